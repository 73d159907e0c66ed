# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The images and videos that names of files, folders and globs stand for."""

from __future__ import annotations

import glob
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from opendr_panoptic_ros.errors import DatasetError
from opendr_panoptic_ros.formats.results import NamedImage
from opendr_panoptic_ros.media import is_image, is_video, open_video, printable, read_image

_DEFAULT_RATE_HZ = 10.0  # of videos that do not give theirs, and of a sequence of images


def find_inputs(inputs: Sequence[str], problems: list[str]) -> list[Path]:
    """Return the files that names of images, folders, globs and videos stand for, each once.

    Args:
        inputs: The names. A folder stands for the images and videos in it.
        problems: One line is added for each name that stands for nothing.

    Returns:
        The files, in the order of the names; those of a folder or glob are sorted.
    """
    files: list[Path] = []
    for name in inputs:
        path = Path(name).expanduser()
        if path.is_dir():
            found = sorted(p for p in path.iterdir() if is_image(p) or is_video(p))
        elif path.is_file():
            found = [path]
        else:
            found = sorted(Path(p) for p in glob.glob(str(path), recursive=True) if Path(p).is_file())  # noqa: PTH207
        if not found:
            problems.append(f"{printable(Path(name))}: no image or video there")
        files += found
    return list(dict.fromkeys(files))


def read_images(files: Mapping[Path, str], problems: list[str]) -> Iterator[NamedImage]:
    """Yield every image and every frame of every video.

    Args:
        files: The files, and the name that the results of each file begin with; see `names_of`.
        problems: One line is added for each file that cannot be read, or not to its end.

    Yields:
        The images.
    """
    count = 0
    for path, name in files.items():
        try:
            if not is_video(path):
                yield NamedImage(name, read_image(path), time_s=count / _DEFAULT_RATE_HZ)
                count += 1
                continue
            video = open_video(path)
            rate_hz = video.rate_hz or _DEFAULT_RATE_HZ
            for number, pixels in enumerate(video.frames):
                yield NamedImage(f"{name}_{number:06d}", pixels, name, rate_hz, number / rate_hz)
        except DatasetError as error:
            problems.append(str(error))


def names_of(files: Sequence[Path]) -> dict[Path, str]:
    """Return a different name for each file, made of its stem.

    Args:
        files: The files, which may have the same name in several folders.

    Returns:
        The name of each file, in their order.
    """
    names: dict[Path, str] = {}
    taken: set[str] = set()
    for path in files:
        stem = printable(Path(path.stem))
        candidates = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
        names[path] = next(name for name in candidates if name not in taken)
        taken.add(names[path])
    return names
