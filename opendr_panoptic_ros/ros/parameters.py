# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The node's parameters: one table, from which they are declared, checked, read and documented.

The table itself needs no ROS: `opendr-panoptic parameters` writes the documents from it.
"""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Callable, Sequence
from dataclasses import Field, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, cast

from opendr_panoptic_ros.config import Thresholds
from opendr_panoptic_ros.errors import ConfigError
from opendr_panoptic_ros.postprocess import check_class_names

if TYPE_CHECKING:
    from rclpy.node import Node
    from rclpy.parameter import Parameter

ReadAt = Literal["start", "configure", "frame"]
"""When a value is read: once; at each configure, so that it can be changed before one; for each frame."""


def _parameter(
    default: Any,
    description: str,
    *,
    expected: str = "",
    accepts: Callable[[Any], bool] = lambda _: True,
    limits: tuple[float, float] | None = None,
    read_at: ReadAt = "configure",
    loose: bool = False,
) -> Any:
    """One row of the table.

    expected: the legal values in words, which `accepts` enforces. limits: the smallest and the largest legal value,
    instead of `accepts`. loose: whether values of another type are left to `accepts`.
    """
    if limits is not None:
        low, high = limits
        expected = expected or (f"{low:g} to {high:g}" if math.isfinite(high) else f"{low:g} or more, finite")

        def accepts(value: Any) -> bool:
            return low <= value <= high and math.isfinite(value)

    metadata = {
        "description": description,
        "expected": expected,
        "accepts": accepts,
        "limits": limits,
        "read_at": read_at,
        "loose": loose,
    }
    return field(default=default, metadata=metadata)


def _one_of(*choices: str) -> dict[str, Any]:
    return {"expected": "one of " + ", ".join(map(repr, choices)), "accepts": lambda value: value in choices}


def _are_strings(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(entry, str) for entry in value)


_SHARE_OR_CONFIG: dict[str, Any] = {
    "expected": "0 to 1, or -1 for the configuration's value",
    "accepts": lambda value: value == -1 or 0 <= value <= 1,
    "read_at": "frame",
}
_OR_MORE = (0.0, math.inf)
_CAMERA_NAME = re.compile(r"(/?[A-Za-z_]\w*(/[A-Za-z_]\w*)*)?", re.ASCII)


@dataclass(frozen=True)
class NodeParameters:
    """Every parameter of the node, with its default."""

    checkpoint: str = _parameter(
        "demo",
        "Weights: a file, a directory of OpenDR, or the name of downloaded weights. A name never downloads by itself.",
        expected="a path or a name",
        accepts=bool,
    )
    config: str = _parameter(
        "",
        "Configuration: a YAML file or one of cityscapes, kitti, demo. Empty: the one inside the checkpoint.",
    )
    device: str = _parameter(
        "auto", "Where the network runs: 'cpu', 'cuda', 'cuda:1'; 'auto' takes CUDA where there is one."
    )
    precision: str = _parameter(
        "auto",
        "Number format of the network; 'auto' takes float16 on CUDA and float32 on the CPU.",
        **_one_of("auto", "float32", "float16", "bfloat16"),
    )
    inference_size: str | int = _parameter(
        "",
        "Size at which the network sees the image; empty fits it into the configuration's test size, as published. "
        "Results always have the image's own size.",
        expected="'' or 0 for the published size, 'native' for the image's own, or the longer side in pixels",
        accepts=lambda value: isinstance(value, str | int) and re.fullmatch(r"(native)?|\d+", str(value)) is not None,
        loose=True,
    )
    score_threshold: float = _parameter(-1.0, "Instances of a lower detection score are left out.", **_SHARE_OR_CONFIG)
    overlap_threshold: float = _parameter(
        -1.0, "An instance of which better ones cover more than this share is left out.", **_SHARE_OR_CONFIG
    )
    min_stuff_area: int = _parameter(
        -1,
        "Stuff classes with fewer pixels, at the network's size, become void.",
        expected="0 or more, or -1 for the configuration's value",
        accepts=lambda value: value >= -1,
        read_at="frame",
    )
    classes: tuple[str, ...] = _parameter(
        ("",),
        "Names of the classes to keep; the others become void in every output. One empty name keeps all.",
        expected="a list of the network's class names",
        accepts=_are_strings,
        read_at="frame",
        loose=True,
    )
    track_ids: bool = _parameter(
        False,
        "Whether an instance keeps its id over the consecutive frames of a camera, in every output. Stamps that go "
        "back, or are more than 5 s apart, end all tracks.",
    )
    cameras: tuple[str, ...] = _parameter(
        ("",),
        "Names of the cameras. One empty name: image_raw in, panoptic/... out. Else, for each name, NAME/image_raw in "
        "and NAME/panoptic/... out.",
        expected="a list of different names, each legal in a topic",
        accepts=lambda value: 0 < len(set(value)) == len(value) and all(map(_CAMERA_NAME.fullmatch, value)),
    )
    image_transport: str = _parameter(
        "raw",
        "How the camera's images come: sensor_msgs/Image, or JPEG and PNG in sensor_msgs/CompressedImage on the image "
        "topic's resolved name + /compressed.",
        **_one_of("raw", "compressed"),
    )
    max_rate_hz: float = _parameter(
        0.0,
        "Frames of a camera that are answered each second at most; what comes beyond is dropped. 0: no limit.",
        limits=_OR_MORE,
        read_at="frame",
    )
    max_batch: int = _parameter(
        4,
        "Frames of equal size, waiting at several cameras, that run through the network together at most. Memory grows "
        "with it.",
        limits=(1, 64),
    )
    ego_mask: tuple[str, ...] = _parameter(
        ("",),
        "A PNG file for each camera, in the order of cameras, or one for all; empty: none. Where it is not black, such "
        "as on the robot's own body, every output is void. As large as the camera's image.",
        expected="a list of paths",
        accepts=_are_strings,
        loose=True,
    )
    visualization: str = _parameter(
        "overlay",
        "What panoptic/rgb_visualization shows: colours over the image, or input and results in 2x2.",
        **_one_of("overlay", "detailed"),
        read_at="frame",
    )
    visualization_opacity: float = _parameter(
        0.5,
        "Of the colours in the overlay.",
        expected="0 (the image alone) to 1 (the colours alone)",
        limits=(0, 1),
        read_at="frame",
    )
    jpeg_quality: int = _parameter(
        80, "Of panoptic/rgb_visualization/compressed: higher is better and larger.", limits=(1, 100), read_at="frame"
    )
    warn_dropped_share: float = _parameter(
        0.5,
        "Diagnostics warn when more than this share of the frames of the last 10 s was dropped; those beyond "
        "max_rate_hz do not count. 1: never.",
        limits=(0, 1),
        read_at="frame",
    )
    warn_latency_ms: float = _parameter(
        1000.0,
        "Diagnostics warn when more than 5 % of the last answers came later than this after their frame's stamp. "
        "0: never.",
        limits=_OR_MORE,
        read_at="frame",
    )
    warn_input_stopped_s: float = _parameter(
        3.0,
        "Diagnostics warn when somebody listens to the outputs and no frame has come for this long. 0: never.",
        limits=_OR_MORE,
        read_at="frame",
    )
    autostart: bool = _parameter(
        True, "Whether the node configures and activates itself, or waits for a lifecycle manager.", read_at="start"
    )

    def thresholds(self) -> Thresholds:
        """Return the thresholds of the present frame; None stands for the configuration's value."""
        return Thresholds(
            score_threshold=None if self.score_threshold < 0 else self.score_threshold,
            overlap_threshold=None if self.overlap_threshold < 0 else self.overlap_threshold,
            min_stuff_area=None if self.min_stuff_area < 0 else self.min_stuff_area,
        )

    def segmenter_options(self) -> dict[str, Any]:
        """The keyword arguments of `PanopticSegmenter`; what stands for the configuration's value is None."""
        size = str(self.inference_size)
        return {
            "config": self.config or None,
            "device": self.device,
            "precision": self.precision,
            "inference_size": (int(size) if size.isdecimal() else size) or None,
        }

    @property
    def class_filter(self) -> tuple[str, ...]:
        """The names of the classes to keep; none keeps all."""
        return tuple(filter(None, self.classes))


_TABLE = {row.name: row for row in fields(NodeParameters)}
_TYPE_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", tuple: "a list of texts"}


def declare(node: Node) -> None:
    """Declare every parameter of the table on `node`.

    Raises rclpy's ParameterException when a value given on the command line or in a file is not legal.
    """
    from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

    for name, row in _TABLE.items():
        # Dynamic: rclpy leaves the types to `refusal`, which takes an integer for a float and says what is legal.
        descriptor = ParameterDescriptor(
            description=row.metadata["description"],
            additional_constraints=row.metadata["expected"],
            read_only=row.metadata["read_at"] == "start",
            dynamic_typing=True,
        )
        low, high = row.metadata["limits"] or _OR_MORE
        if math.isfinite(high):  # a range without an end is no range for the tools that draw sliders
            if isinstance(row.default, float):
                descriptor.floating_point_range = [FloatingPointRange(from_value=float(low), to_value=float(high))]
            else:
                descriptor.integer_range = [IntegerRange(from_value=low, to_value=high, step=1)]
        default = list(row.default) if isinstance(row.default, tuple) else row.default
        node.declare_parameter(name, default, descriptor)


def read(node: Node) -> NodeParameters:
    """The present values on `node`, each in the type of its default."""
    values = {}
    for name, row in _TABLE.items():
        values[name] = _typed(row, node.get_parameter(name).value)
    return NodeParameters(**values)


def refusal(
    parameters: list[Parameter[Any]], *, present: NodeParameters | None, class_names: Sequence[str] = ()
) -> str:
    """Why these new values cannot be set, or an empty string.

    present, class_names: the values and the classes of the network while the node holds one: what configure reads
    cannot be changed then. Parameters that are not of this table are not looked at.
    """
    for parameter in parameters:
        row = _TABLE.get(parameter.name)
        if row is None:
            continue
        value = cast("Any", parameter.value)
        has_type = row.metadata["loose"] or _has_type_of(row.default, value)
        if not has_type or not row.metadata["accepts"](value):
            expected = row.metadata["expected"] or f"a value such as {row.default!r}"
            kind = "" if has_type else f"{_TYPE_NAMES[type(row.default)]}: "
            return f"{row.name} is {reprlib.repr(value)}; expected {kind}{expected}."
        if present is None:
            continue
        if row.metadata["read_at"] == "configure" and _typed(row, value) != getattr(present, row.name):
            return (
                f"{row.name} is read when the node is configured, and it is configured now. "
                "Deactivate and clean up the node, set it, then configure again."
            )
        if row.name == "classes":
            try:
                check_class_names(set(value) - {""}, class_names)
            except ConfigError as error:
                return str(error)
    return ""


def _typed(row: Field[Any], value: Any) -> Any:
    """A legal value in the type of the row's default."""
    default: Any = row.default
    return value if row.name == "inference_size" else type(default)(value)


def _has_type_of(default: Any, value: Any) -> bool:
    """Whether `value` can stand for `default`: the same type, or an integer for a float."""
    if isinstance(value, bool) or isinstance(default, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    if isinstance(default, float):
        return isinstance(value, int | float)
    if isinstance(default, tuple):
        return _are_strings(value)
    return isinstance(value, type(default))
