# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The tables of the nodes' parameters, from which they are declared, read, checked (settings.py) and documented.

The tables need no ROS, so that `opendr-panoptic parameters` prints it anywhere.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from opendr_panoptic_ros import visualize
from opendr_panoptic_ros.backends import BACKENDS
from opendr_panoptic_ros.config import PRESETS, Thresholds
from opendr_panoptic_ros.image_header import MAX_IMAGE_PIXELS
from opendr_panoptic_ros.label_map import LABEL_MAPS
from opendr_panoptic_ros.rotation import ROTATIONS

ReadAt = Literal["start", "configure", "frame"]
"""When a value is read: once at the start, at each configure, or for each frame."""


def _parameter(
    default: Any,
    description: str,
    *,
    expected: str = "",
    accepts: Callable[[Any], bool] = lambda _: True,
    limits: tuple[float, float] | None = None,
    read_at: ReadAt = "configure",
    loose: bool = False,
    path_names: tuple[str, ...] | None = None,
) -> Any:
    """Return one row of the table.

    Args:
        default: Default value, whose type is the type of the parameter.
        description: Meaning of the parameter, one or more sentences.
        expected: Description of the legal values, which `accepts` enforces.
        accepts: Whether a value of the right type is legal.
        limits: The smallest and the largest legal value, instead of `accepts`.
        read_at: When the value is read.
        loose: Whether values of other types are passed to `accepts` as well.
        path_names: Of a parameter with paths, the names that are accepted instead of a path; None for others.
    """
    if limits is not None:
        low, high = limits
        expected = expected or (f"{low:.10g} to {high:.10g}" if math.isfinite(high) else f"{low:.10g} or more, finite")

        def accepts(value: Any) -> bool:
            return low <= value <= high and math.isfinite(value)

    if isinstance(default, bool):
        expected = "true or false"
    metadata = {
        "description": description,
        "expected": expected,
        "accepts": accepts,
        "limits": limits,
        "read_at": read_at,
        "loose": loose,
        "path_names": path_names,
    }
    return field(default=default, metadata=metadata)


def _one_of(*choices: str) -> dict[str, Any]:
    return {"expected": "one of " + ", ".join(map(repr, choices)), "accepts": lambda value: value in choices}


def are_strings(value: Any) -> bool:
    """Return whether a value is a list of strings.

    Args:
        value: Any value.
    """
    return isinstance(value, list | tuple) and all(isinstance(entry, str) for entry in value)


def as_integers(value: Any) -> tuple[Any, ...]:
    """Return a value as a tuple: its elements, or the value itself if it has none.

    Args:
        value: An integer, or a list or array of them.
    """
    return (value,) if isinstance(value, int) else tuple(value)


_SHARE_OR_CONFIG: dict[str, Any] = {
    "expected": "0 to 1, or -1 for the value of the configuration",
    "accepts": lambda value: value == -1 or 0 <= value <= 1,
    "read_at": "frame",
}
OR_MORE = (0.0, math.inf)
"""Limits of a number that is not negative."""
_CAMERA_NAME = re.compile(r"(/?[A-Za-z_]\w*(/[A-Za-z_]\w*)*)?", re.ASCII)


@dataclass(frozen=True)
class NodeParameters:
    """Values of all parameters of the panoptic node. The defaults are those of the node."""

    checkpoint: str = _parameter(
        "demo",
        "Weights: a file, a directory of OpenDR, or the name of downloaded weights. Weights are never downloaded "
        "automatically.",
        expected="a path or a name",
        accepts=bool,
        path_names=PRESETS,
    )
    config: str = _parameter(
        "",
        "Configuration: a YAML file, or one of the presets cityscapes, kitti and demo. If empty, the configuration "
        "stored in the checkpoint is used.",
        expected="a path, a name, or empty",
        path_names=PRESETS,
    )
    device: str = _parameter(
        "auto",
        "Device on which the network runs. 'auto' selects the first CUDA device, or the CPU if there is none.",
        expected="'auto', 'cpu', 'cuda' or 'cuda:N'",
    )
    backend: str = _parameter(
        "auto",
        "Inference runtime of the dense part of the network. 'auto' selects the fastest one.",
        **_one_of("auto", *BACKENDS),
    )
    precision: str = _parameter(
        "auto",
        "Number format of the network. 'auto' selects float16 on CUDA and float32 on the CPU.",
        **_one_of("auto", "float32", "float16", "bfloat16"),
    )
    inference_size: str | int = _parameter(
        "",
        "Size to which the image is resized for the network. If empty, the image is fitted into the test size of the "
        "configuration, as published. Results always have the size of the image.",
        expected="'' or 0 for the test size, 'native' for no resizing, or the longer side in pixels",
        accepts=lambda value: isinstance(value, str | int) and re.fullmatch(r"(native)?|\d+", str(value)) is not None,
        loose=True,
    )
    score_threshold: float = _parameter(
        -1.0, "Minimum detection score. Instances with a lower score are removed.", **_SHARE_OR_CONFIG
    )
    overlap_threshold: float = _parameter(
        -1.0,
        "Maximum overlap. An instance is removed if instances with higher scores cover more than this share of its "
        "mask.",
        **_SHARE_OR_CONFIG,
    )
    min_stuff_area: int = _parameter(
        -1,
        "Minimum area of a stuff class, in pixels of the resized image. Smaller ones become void.",
        expected="0 or more, or -1 for the value of the configuration",
        accepts=lambda value: value >= -1,
        read_at="frame",
    )
    classes: tuple[str, ...] = _parameter(
        ("",),
        "Names of the classes to keep. All other classes become void in every output. One empty name keeps all.",
        expected="a list of class names",
        accepts=are_strings,
        read_at="frame",
        loose=True,
    )
    label_map: str = _parameter(
        "",
        "Label map, which groups classes under other ids, names and colours in every output: a YAML file, or one of "
        "identity, cityscapes_ids and navigation. Other parameters then name its classes. If empty, the classes are "
        "those of the network.",
        expected="a path, a name, or empty",
        path_names=LABEL_MAPS,
    )
    mask_classes: tuple[str, ...] = _parameter(
        ("",),
        "Names of the classes in panoptic/mask. One empty name stands for the classes that can move: person, rider, "
        "car, truck, bus, train, motorcycle and bicycle, or all things of a network without these classes.",
        expected="a list of class names",
        accepts=are_strings,
        read_at="frame",
        loose=True,
    )
    track_ids: bool = _parameter(
        False,
        "Whether instances keep their ids over the consecutive frames of a camera, in every output. Stamps that are "
        "more than 5 s apart, or go back by more than 0.1 s, end all tracks.",
    )
    cameras: tuple[str, ...] = _parameter(
        ("",),
        "Names of the cameras. For each name, the node subscribes to NAME/image_raw and publishes NAME/panoptic/... "
        "One empty name stands for a single camera on image_raw and panoptic/...",
        expected="a list of different names, each legal in a topic",
        accepts=lambda value: 0 < len(set(value)) == len(value) and all(map(_CAMERA_NAME.fullmatch, value)),
    )
    image_transport: str = _parameter(
        "raw",
        "Transport of the camera's images: sensor_msgs/Image, or JPEG and PNG in sensor_msgs/CompressedImage. The "
        "topic of compressed images is the resolved name of the image topic with /compressed appended.",
        **_one_of("raw", "compressed"),
    )
    max_image_pixels: int = _parameter(
        MAX_IMAGE_PIXELS,
        "Maximum number of pixels of an image. Larger images are refused; of compressed images, this is decided by "
        "the header, before memory is reserved.",
        limits=(1, 2**30),
        read_at="start",  # else every peer could remove the limit
    )
    max_rate_hz: float = _parameter(
        0.0,
        "Maximum rate at which frames of a camera are processed. Additional frames are dropped. 0 means no limit.",
        limits=OR_MORE,
        read_at="frame",
    )
    max_batch: int = _parameter(
        4,
        "Maximum number of frames of several cameras that run through the network in one batch. A larger batch needs "
        "more memory.",
        limits=(1, 64),
    )
    image_rotation: tuple[int, ...] = _parameter(
        (0,),
        "Rotation that makes the images of a camera upright, in degrees clockwise, for cameras that are mounted "
        "sideways or upside down. The network gets the upright image; every output has the camera's own orientation. "
        "One value for each camera, in the order of cameras, or one for all.",
        expected="0, 90, 180 or 270, or a list of them",
        accepts=lambda value: (
            not isinstance(value, bool | str | float | bytes | None) and set(as_integers(value)) <= set(ROTATIONS)
        ),
        loose=True,
    )
    ego_mask: tuple[str, ...] = _parameter(
        ("",),
        "Masks of the robot's own body: one PNG file for each camera, in the order of cameras, or one for all. Pixels "
        "that are not black become void in every output. A mask must have the size of the images. An empty path means "
        "no mask.",
        expected="a list of paths",
        accepts=are_strings,
        loose=True,
        path_names=(),
    )
    allowed_paths: tuple[str, ...] = _parameter(
        ("",),
        "Folders and files that checkpoint, config, label_map and ego_mask can be set to after the start, with "
        "everything below them. Their values at the start, and names of presets, are always accepted. One empty path "
        "allows no other paths.",
        expected="a list of paths",
        accepts=are_strings,
        read_at="start",  # else every peer could allow any path
        loose=True,
    )
    visualization: str = _parameter(
        "overlay",
        "Content of panoptic/rgb_visualization: class colours over the image, or input and results in a 2x2 view.",
        **_one_of("overlay", "detailed"),
        read_at="frame",
    )
    visualization_opacity: float = _parameter(
        visualize.OPACITY,
        "Opacity of the class colours in the overlay.",
        expected="0 (image only) to 1 (colours only)",
        limits=(0, 1),
        read_at="frame",
    )
    jpeg_quality: int = _parameter(
        80,
        "JPEG quality of panoptic/rgb_visualization/compressed. Higher values give better and larger images.",
        limits=(1, 100),
        read_at="frame",
    )
    warn_dropped_share: float = _parameter(
        0.5,
        "Diagnostics report a warning if more than this share of the frames of the last 10 s was dropped. Frames "
        "beyond max_rate_hz are not counted. 1 disables the warning.",
        limits=(0, 1),
        read_at="frame",
    )
    warn_latency_ms: float = _parameter(
        1000.0,
        "Diagnostics report a warning if more than 5 % of the last results were published later than this after the "
        "stamp of their frame. 0 disables the warning.",
        limits=OR_MORE,
        read_at="frame",
    )
    warn_input_stopped_s: float = _parameter(
        3.0,
        "Diagnostics report a warning if an output has a subscriber and no frame has arrived for this time. 0 "
        "disables the warning.",
        limits=OR_MORE,
        read_at="frame",
    )
    autostart: bool = _parameter(
        True,
        "Whether the node configures and activates itself at the start. If not, it waits for a lifecycle manager.",
        read_at="start",
    )

    def thresholds(self) -> Thresholds:
        """Return the thresholds; None stands for the value of the configuration."""
        return Thresholds(
            score_threshold=None if self.score_threshold < 0 else self.score_threshold,
            overlap_threshold=None if self.overlap_threshold < 0 else self.overlap_threshold,
            min_stuff_area=None if self.min_stuff_area < 0 else self.min_stuff_area,
        )

    def segmenter_options(self) -> dict[str, Any]:
        """Return keyword arguments of `PanopticSegmenter`."""
        size = str(self.inference_size)
        return {
            "config": self.config or None,
            "device": self.device,
            "backend": self.backend,
            "precision": self.precision,
            "inference_size": (int(size) if size.isdecimal() else size) or None,
        }

    @property
    def class_filter(self) -> tuple[str, ...]:
        """Names of the classes to keep; empty if all are kept."""
        return tuple(filter(None, self.classes))

    @property
    def masked(self) -> tuple[str, ...]:
        """Names of the classes in the mask; empty for the default."""
        return tuple(filter(None, self.mask_classes))


def _is_transform(value: Any) -> bool:
    try:
        numbers = [float(number) for number in value]
    except (TypeError, ValueError):
        return False
    return numbers == [0] or (len(numbers) == 7 and all(map(math.isfinite, numbers)) and any(numbers[3:]))


@dataclass(frozen=True)
class PointsParameters:
    """Values of all parameters of the points node. The defaults are those of the node."""

    source: str = _parameter(
        "depth",
        "Origin of the points: a depth image that is aligned with the segmented camera, or the cloud of a LiDAR.",
        **_one_of("depth", "lidar"),
    )
    depth_is_rectified: bool = _parameter(
        True,
        "Whether the depth images are rectified. If not, the distortion in depth/camera_info is undone for the points.",
        read_at="frame",
    )
    stamp_tolerance_s: float = _parameter(
        0.02,
        "Largest difference between the stamps of the segmentation and of the depth image or cloud that belongs to it. "
        "0 requires equal stamps.",
        limits=OR_MORE,
    )
    sync_queue: int = _parameter(
        30,
        "Number of depth images or clouds that wait for their segmentation. They must cover its latency: 30 images at "
        "30 Hz are one second.",
        limits=(1, 1000),
    )
    transform: tuple[float, ...] = _parameter(
        (0.0,),
        "Pose of the LiDAR in the optical frame of the camera: x, y, z in metres and a quaternion x, y, z, w. A single "
        "0 takes it from tf2.",
        expected="seven numbers, or a single 0",
        accepts=_is_transform,
        loose=True,
    )
    occlusion_cell_px: int = _parameter(
        4,
        "Size of the cells, in pixels of the camera's image, in which a point of the LiDAR hides those behind it. 0 "
        "labels hidden points too.",
        limits=(0, 1000),
        read_at="frame",
    )
    occlusion_tolerance: float = _parameter(
        0.05,
        "Share of its distance by which a point of the LiDAR may lie behind the nearest one of its cell before it is "
        "hidden.",
        limits=OR_MORE,
        read_at="frame",
    )
    min_points: int = _parameter(
        10,
        "Smallest number of points of a thing that has a box in panoptic/detections_3d and panoptic/markers.",
        limits=(1, 1_000_000),
        read_at="frame",
    )
    warn_input_stopped_s: float = _parameter(
        5.0,
        "Diagnostics report a warning if an output has a subscriber and nothing has arrived on an input for this time. "
        "0 disables the warning.",
        limits=OR_MORE,
        read_at="frame",
    )
    autostart: bool = _parameter(
        True,
        "Whether the node configures and activates itself at the start. If not, it waits for a lifecycle manager.",
        read_at="start",
    )
