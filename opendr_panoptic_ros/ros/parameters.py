"""The node's parameters: one table, from which they are declared, checked and read."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, cast

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.parameter import Parameter

if TYPE_CHECKING:
    from rclpy.node import Node

ReadAt = Literal["start", "configure", "frame"]
"""When a value is read: once; at each configure, so that it can be changed before one; for each frame."""


def _parameter(
    default: Any,
    description: str,
    *,
    expected: str = "",
    accepts: Callable[[Any], bool] = lambda _: True,
    read_at: ReadAt = "configure",
) -> Any:
    """One row of the table. expected: the legal values in words, which `accepts` enforces."""
    metadata = {"description": description, "expected": expected, "accepts": accepts, "read_at": read_at}
    return field(default=default, metadata=metadata)


def _one_of(*choices: str) -> dict[str, Any]:
    return {"expected": "one of " + ", ".join(map(repr, choices)), "accepts": lambda value: value in choices}


_SHARE_OR_CONFIG: dict[str, Any] = {
    "expected": "0 to 1, or -1 for the configuration's value",
    "accepts": lambda value: value == -1 or 0 <= value <= 1,
}
_CAMERA_NAME = re.compile(r"(/?[A-Za-z_]\w*(/[A-Za-z_]\w*)*)?", re.ASCII)


@dataclass(frozen=True)
class NodeParameters:
    """Every parameter of the node, with its default."""

    checkpoint: str = _parameter("demo", "Weights: a file, a directory of OpenDR, or the name of downloaded weights.")
    config: str = _parameter("", "Configuration: a YAML file or a preset's name. Empty: the one in the checkpoint.")
    device: str = _parameter("auto", "Where the network runs: 'cpu', 'cuda', 'cuda:1'; 'auto' takes CUDA if there is.")
    precision: str = _parameter("auto", "Number format of the network; 'auto' takes half precision on CUDA.")
    inference_size: str | int = _parameter(
        "",
        "Size at which the network sees the image. Published: fitted into the configuration's test size.",
        expected="'' or 0 for the published size, 'native' for the image's own, or the longer side in pixels",
        accepts=lambda value: value in {"", "native"} or str(value).isdecimal(),
    )
    score_threshold: float = _parameter(-1.0, "Detections with a lower score are left out.", **_SHARE_OR_CONFIG)
    overlap_threshold: float = _parameter(
        -1.0, "An instance of which better ones cover more than this share is left out.", **_SHARE_OR_CONFIG
    )
    min_stuff_area: int = _parameter(
        -1,
        "Stuff classes with fewer pixels, at the network's size, become void.",
        expected="0 or more, or -1 for the configuration's value",
        accepts=lambda value: value >= -1,
    )
    image_transport: str = _parameter("raw", "How the camera's images come.", **_one_of("raw"))
    cameras: tuple[str, ...] = _parameter(
        ("",),
        "Names of the cameras. One empty name: topics image_raw, panoptic/...; else NAME/image_raw, NAME/panoptic/...",
        expected="a list of different names, each legal in a topic",
        accepts=lambda value: 0 < len(set(value)) == len(value) and all(map(_CAMERA_NAME.fullmatch, value)),
    )
    visualization: str = _parameter(
        "overlay",
        "What panoptic/rgb_visualization shows: colours over the image, or a 2x2 of input and results.",
        **_one_of("overlay", "detailed"),
        read_at="frame",
    )
    visualization_opacity: float = _parameter(
        0.5,
        "Of the colours in the overlay.",
        expected="0 (the image alone) to 1 (the colours alone)",
        accepts=lambda value: 0 <= value <= 1,
        read_at="frame",
    )
    autostart: bool = _parameter(
        True, "Whether the node configures and activates itself, or waits for a lifecycle manager.", read_at="start"
    )

    def segmenter_options(self) -> dict[str, Any]:
        """The keyword arguments of `PanopticSegmenter`; what stands for the configuration's value is None."""
        size = str(self.inference_size)
        return {
            "config": self.config or None,
            "device": self.device,
            "precision": self.precision,
            "inference_size": (int(size) if size.isdecimal() else size) or None,
            "score_threshold": None if self.score_threshold < 0 else self.score_threshold,
            "overlap_threshold": None if self.overlap_threshold < 0 else self.overlap_threshold,
            "min_stuff_area": None if self.min_stuff_area < 0 else self.min_stuff_area,
        }


_TABLE = {row.name: row for row in fields(NodeParameters)}


def declare(node: Node) -> None:
    """Declare every parameter of the table on `node`.

    Raises rclpy's ParameterException when a value given on the command line or in a file is not legal.
    """
    for name, row in _TABLE.items():
        # An integer where a float is meant, a number or a word for inference_size: rclpy then leaves the types to us.
        loose = isinstance(row.default, float) or name == "inference_size"
        descriptor = ParameterDescriptor(
            description=row.metadata["description"],
            additional_constraints=row.metadata["expected"],
            read_only=row.metadata["read_at"] == "start",
            dynamic_typing=loose,
        )
        default = list(row.default) if isinstance(row.default, tuple) else row.default
        node.declare_parameter(name, default, descriptor)


def read(node: Node) -> NodeParameters:
    """The present values on `node`, each in the type of its default."""
    values = {}
    for name, row in _TABLE.items():
        default: Any = row.default
        value = node.get_parameter(name).value
        values[name] = value if name == "inference_size" else type(default)(value)
    return NodeParameters(**values)


def refusal(parameters: list[Parameter[Any]], *, configured: bool) -> str:
    """Why these new values cannot be set, or an empty string.

    configured: whether the node holds a network, so that what configure reads would not take effect.
    Parameters that are not of this table are not looked at.
    """
    for parameter in parameters:
        row = _TABLE.get(parameter.name)
        if row is None:
            continue
        value = cast("Any", parameter.value)
        if not _has_type_of(row.default, value, loose=row.name == "inference_size") or not row.metadata["accepts"](
            value
        ):
            expected = row.metadata["expected"] or f"a value such as {row.default!r}"
            return f"{row.name} is {value!r}; expected {expected}."
        if configured and row.metadata["read_at"] == "configure":
            return (
                f"{row.name} is read when the node is configured, and it is configured now. "
                "Deactivate and clean up the node, set it, then configure again."
            )
    return ""


def _has_type_of(default: Any, value: Any, *, loose: bool) -> bool:
    """Whether `value` can stand for `default`: the same type, or an integer for a float. loose: or a string."""
    if isinstance(value, bool) or isinstance(default, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    if isinstance(default, float):
        return isinstance(value, int | float)
    if isinstance(default, tuple):
        return isinstance(value, list | tuple) and all(isinstance(name, str) for name in value)
    return isinstance(value, type(default)) or (loose and isinstance(value, int))
