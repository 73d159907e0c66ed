# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""`opendr-panoptic optimize`: convert a checkpoint for a back end ahead of time."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from opendr_panoptic_ros.cli import options
from opendr_panoptic_ros.cli.common import user_errors
from opendr_panoptic_ros.cli.view import is_bag
from opendr_panoptic_ros.errors import ConfigError, ImageEncodingError, PanopticError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_CALIBRATION_IMAGES = 64


def optimize(
    checkpoint: Annotated[str, typer.Argument(help="Weights: a file, a folder of OpenDR, or a name.")] = "demo",
    backend: options.Backend = "auto",
    precision: options.Precision = "auto",
    size: Annotated[
        str | None,
        typer.Option(
            metavar="HEIGHTxWIDTH",
            help="Size of the network's input in pixels, for back ends that serve one size.",
            show_default="the configuration's test size",
        ),
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(
            metavar="IMAGES|VIDEO|BAG",
            help="Images of your camera, from which int8 takes the ranges of values.",
        ),
    ] = None,
    calibration_topic: Annotated[
        list[str] | None, typer.Option(help="Image topic of the bag. May be repeated.", show_default="the only one")
    ] = None,
    calibration_images: Annotated[
        int, typer.Option(min=1, help="Number of images that are used, evenly spread.")
    ] = _CALIBRATION_IMAGES,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write.", show_default="CHECKPOINT-BACKEND-PRECISION")
    ] = None,
    config: options.Configuration = None,
    device: options.Device = "auto",
) -> None:
    """Convert a checkpoint for a back end, on the machine on which it will run.

    The folder is accepted wherever a checkpoint is. Without this command, float networks are converted when they are
    first used, and the result is cached.
    """
    with user_errors():
        from opendr_panoptic_ros.backends import resolve_backend
        from opendr_panoptic_ros.checkpoint import load_checkpoint
        from opendr_panoptic_ros.inference import resolve_device, resolve_precision
        from opendr_panoptic_ros.optimization import optimize as optimize_network

        height_width = None if size is None else _size(size)
        chosen_device = resolve_device(device)
        precision = resolve_precision(precision, chosen_device)
        backend = resolve_backend(backend, device=chosen_device.type, precision=precision)
        name = Path(checkpoint).expanduser()
        folder = out or Path(f"{name.stem or 'checkpoint'}-{backend}-{precision}")
        network = load_checkpoint(checkpoint, config=config)
        console = Console(stderr=True)
        images: list[NDArray[np.uint8]] = []
        if calibration is not None:
            problems: list[str] = []
            images = _calibration_images(calibration, calibration_topic or [], calibration_images, problems)
            for problem in problems:
                console.print(problem, markup=False, highlight=False)
            if not images:
                raise PanopticError(f"There are no images in {calibration} that can be read.")
            console.print(f"{len(images)} images for calibration", markup=False, highlight=False)
        with console.status("Converting") as status:
            optimize_network(
                network,
                folder.expanduser(),
                device=chosen_device,
                backend=backend,
                precision=precision,
                size=height_width,
                calibration=images,
                progress=lambda message, fraction: status.update(
                    message if fraction is None else f"{message} {fraction:.0%}"
                ),
            )
        typer.echo(f"{folder} is ready; give it as the checkpoint")


def _size(text: str) -> tuple[int, int]:
    """Return height and width of the option `--size`."""
    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if found is None:
        raise ConfigError(f"--size is {text!r}; expected HEIGHTxWIDTH in pixels, such as 512x1024.")
    return int(found[1]), int(found[2])


def _calibration_images(source: str, topics: list[str], number: int, problems: list[str]) -> list[NDArray[np.uint8]]:
    """Return at most `number` images of a bag, a video, a folder or a glob, evenly spread over it."""
    path = Path(source).expanduser()
    if path.exists() and is_bag(path):
        return _bag_images(path, topics, number, problems)
    from opendr_panoptic_ros.formats.image_inputs import find_inputs, names_of, read_images
    from opendr_panoptic_ros.media import is_video, open_video

    files = find_inputs([source], problems)
    count = sum((open_video(file).frame_count or 0) if is_video(file) else 1 for file in files)
    images = (image.pixels for image in read_images(names_of(files), problems))
    return list(itertools.islice(images, 0, number * max(1, count // number), max(1, count // number)))


def _bag_images(path: Path, topics: list[str], number: int, problems: list[str]) -> list[NDArray[np.uint8]]:
    from opendr_panoptic_ros.bags.plan import image_topics
    from opendr_panoptic_ros.bags.reader import BagReader
    from opendr_panoptic_ros.bags.results import read_frame

    images = []
    with BagReader(path) as reader:
        chosen = image_topics(reader, topics)
        count = sum(reader.topics[topic].message_count for topic in chosen)
        for message in itertools.islice(reader.messages(chosen), 0, None, max(1, count // number)):
            try:
                images.append(read_frame(message).image_rgb)
            except ImageEncodingError as error:
                problems.append(f"{message.topic}: {error}")
            if len(images) == number:
                break
        problems += reader.damage
    return images
