# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Options that several commands share, and the conversion of their values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from opendr_panoptic_ros.backends import BACKENDS
from opendr_panoptic_ros.errors import ConfigError

if TYPE_CHECKING:
    from opendr_panoptic_ros.label_map import LabelMap
    from opendr_panoptic_ros.labels import ClassTable

_CONFIGURED = "the configuration's"

Checkpoint = Annotated[
    str, typer.Option(help="Weights: a file, a folder of OpenDR or of `optimize`, or the name of downloaded weights.")
]
Configuration = Annotated[
    str | None, typer.Option("--config", help="Configuration instead of the checkpoint's: a name or a YAML file.")
]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change one entry of the configuration: schedule.epochs=20. May be repeated."),
]
Device = Annotated[str, typer.Option(help="Device of the network: auto, cpu, cuda, cuda:1.")]
Backend = Annotated[str, typer.Option(help=f"Runtime of the network: {', '.join(('auto', *BACKENDS))}.")]
Precision = Annotated[
    str,
    typer.Option(
        help="Number format of the network: auto (float32; on a GPU float16), float32, float16, bfloat16, int8."
    ),
]
Size = Annotated[
    int | None,
    typer.Option(min=32, help="Longer side of the network's input in pixels.", show_default=_CONFIGURED),
]
ScoreThreshold = Annotated[
    float | None, typer.Option(min=0, max=1, help="Minimum detection score.", show_default=_CONFIGURED)
]
OverlapThreshold = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help="Largest share of an instance that others of higher score may cover.",
        show_default=_CONFIGURED,
    ),
]
MinStuffArea = Annotated[
    int | None,
    typer.Option(min=0, help="Smallest stuff region in pixels of the network's input.", show_default=_CONFIGURED),
]
Scales = Annotated[
    str,
    typer.Option(help="Scales at which each image is segmented, separated by commas, such as 0.75,1,1.25; see --flip."),
]
Flip = Annotated[
    bool, typer.Option("--flip", help="Segment each image mirrored too. The outputs of all views are merged.")
]
Classes = Annotated[
    list[str] | None,
    typer.Option(help="Keep only these classes: names, separated by commas. May be repeated.", show_default="all"),
]
EgoMaskFiles = Annotated[
    list[Path] | None,
    typer.Option("--ego-mask", help="PNG of the images' size; pixels that are not black become void. May be repeated."),
]
EgoMaskFile = Annotated[
    Path | None,
    typer.Option("--ego-mask", help="PNG of the images' size; pixels that are not black become void."),
]
_ROTATION_HELP = "Degrees clockwise that make the images upright: 0, 90, 180, 270. Results keep their orientation."
ImageRotation = Annotated[int, typer.Option("--image-rotation", help=_ROTATION_HELP)]
ImageRotations = Annotated[
    list[int] | None, typer.Option("--image-rotation", help=f"{_ROTATION_HELP} May be repeated.", show_default="0")
]
LabelMapFile = Annotated[
    str | None,
    typer.Option(
        "--label-map", help="Ids, names and groups of classes: a YAML file, identity, cityscapes_ids or navigation."
    ),
]
TrackIds = Annotated[bool, typer.Option("--track-ids", help="Keep the ids of instances over consecutive frames.")]


def scales(text: str) -> tuple[float, ...]:
    """Return the numbers given with `--scales`.

    Args:
        text: The option's value.

    Raises:
        ConfigError: A part is not a number.
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"--scales is {text!r}; expected numbers separated by commas, such as 0.75,1,1.25.") from None


def label_map(path_or_name: str | None, classes: ClassTable) -> LabelMap | None:
    """Return the label map given with `--label-map`.

    Args:
        path_or_name: The option's value.
        classes: The network's classes.

    Raises:
        ConfigError: There is no such label map, or it is not legal.
    """
    from opendr_panoptic_ros.label_map import LabelMap

    return LabelMap.load(path_or_name, classes) if path_or_name else None


def split(values: Sequence[str] | None) -> tuple[str, ...]:
    """Return the names given with an option.

    Args:
        values: The option's values, each one name or several separated by commas.
    """
    return tuple(name.strip() for value in values or () for name in value.split(",") if name.strip())


def class_names(values: Sequence[str] | None, known: Sequence[str]) -> tuple[str, ...]:
    """Return the class names given with `--classes`.

    Args:
        values: The option's values, each one name or several separated by commas.
        known: Names of the classes of results.

    Raises:
        ConfigError: There is no class of that name.
    """
    names = split(values)
    unknown = [name for name in dict.fromkeys(names) if name not in known]
    if unknown:
        raise ConfigError(f"--classes has {', '.join(map(repr, unknown))}; expected some of {', '.join(known)}.")
    return names
