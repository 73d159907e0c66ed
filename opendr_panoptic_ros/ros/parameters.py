# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The table of the node's parameters, from which they are declared, read, checked (settings.py) and documented.

The table needs no ROS, so that `opendr-panoptic parameters` prints it anywhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from opendr_panoptic_ros import visualize
from opendr_panoptic_ros.backends import BACKENDS
from opendr_panoptic_ros.config import PRESETS, WEIGHTS, Thresholds
from opendr_panoptic_ros.image_header import MAX_IMAGE_PIXELS
from opendr_panoptic_ros.label_map import LABEL_MAPS
from opendr_panoptic_ros.ros.parameter_rows import OR_MORE, are_strings, as_integers, autostart, one_of, parameter
from opendr_panoptic_ros.rotation import ROTATIONS

_SHARE_OR_CONFIG: dict[str, Any] = {
    "expected": "0 to 1, or -1 for the value of the configuration",
    "accepts": lambda value: value == -1 or 0 <= value <= 1,
    "read_at": "frame",
}
_CAMERA_NAME = re.compile(r"(/?[A-Za-z_]\w*(/[A-Za-z_]\w*)*)?", re.ASCII)


@dataclass(frozen=True)
class NodeParameters:
    """Values of all parameters of the panoptic node. The defaults are those of the node."""

    checkpoint: str = parameter(
        "demo",
        "Weights: a file, a directory of OpenDR, a folder written by 'opendr-panoptic optimize', or the name of "
        "downloaded weights. Weights are never downloaded automatically.",
        expected="a path or a name",
        accepts=bool,
        path_names=WEIGHTS,
    )
    config: str = parameter(
        "",
        "Configuration: a YAML file, or one of the presets cityscapes, kitti, coco and demo. If empty, the "
        "configuration stored in the checkpoint is used.",
        expected="a path, a name, or empty",
        path_names=PRESETS,
    )
    device: str = parameter(
        "auto",
        "Device on which the network runs. 'auto' selects the first CUDA device, or the CPU if there is none.",
        expected="'auto', 'cpu', 'cuda' or 'cuda:N'",
    )
    backend: str = parameter(
        "auto",
        "Inference runtime of the dense part of the network. 'auto' selects the fastest installed one. Most runtimes "
        "need a conversion of the network, which is cached.",
        **one_of("auto", *BACKENDS),
    )
    precision: str = parameter(
        "auto",
        "Number format of the network. 'auto' selects float16 on CUDA and float32 on the CPU. int8 needs a checkpoint "
        "written by 'opendr-panoptic optimize'.",
        **one_of("auto", "float32", "float16", "bfloat16", "int8"),
    )
    inference_size: str | int = parameter(
        "",
        "Size to which the image is resized for the network. If empty, the image is fitted into the test size of the "
        "configuration, as published. Results always have the size of the image.",
        expected="'' or 0 for the test size, 'native' for no resizing, or the longer side in pixels",
        accepts=lambda value: isinstance(value, str | int) and re.fullmatch(r"(native)?|\d+", str(value)) is not None,
        loose=True,
    )
    score_threshold: float = parameter(
        -1.0, "Minimum detection score. Instances with a lower score are removed.", **_SHARE_OR_CONFIG
    )
    overlap_threshold: float = parameter(
        -1.0,
        "Maximum overlap. An instance is removed if instances with higher scores cover more than this share of its "
        "mask.",
        **_SHARE_OR_CONFIG,
    )
    min_stuff_area: int = parameter(
        -1,
        "Minimum area of a stuff class, in pixels of the resized image. Smaller ones become void.",
        expected="0 or more, or -1 for the value of the configuration",
        accepts=lambda value: value >= -1,
        read_at="frame",
    )
    classes: tuple[str, ...] = parameter(
        ("",),
        "Names of the classes to keep. All other classes become void in every output. One empty name keeps all.",
        expected="a list of class names",
        accepts=are_strings,
        read_at="frame",
        loose=True,
    )
    label_map: str = parameter(
        "",
        "Label map, which groups classes under other ids, names and colours in every output: a YAML file, or one of "
        "identity, cityscapes_ids and navigation. Other parameters then name its classes. If empty, the classes are "
        "those of the network.",
        expected="a path, a name, or empty",
        path_names=LABEL_MAPS,
    )
    mask_classes: tuple[str, ...] = parameter(
        ("",),
        "Names of the classes in panoptic/mask. One empty name stands for the classes that can move: person, rider, "
        "car, truck, bus, train, motorcycle and bicycle, or all things of a network without these classes.",
        expected="a list of class names",
        accepts=are_strings,
        read_at="frame",
        loose=True,
    )
    track_ids: bool = parameter(
        False,
        "Whether instances keep their ids over the consecutive frames of a camera, in every output. Stamps that are "
        "more than 5 s apart, or go back by more than 0.1 s, end all tracks.",
    )
    cameras: tuple[str, ...] = parameter(
        ("",),
        "Names of the cameras. For each name, the node subscribes to NAME/image_raw and publishes NAME/panoptic/... "
        "One empty name stands for a single camera on image_raw and panoptic/...",
        expected="a list of different names, each legal in a topic",
        accepts=lambda value: 0 < len(set(value)) == len(value) and all(map(_CAMERA_NAME.fullmatch, value)),
    )
    image_transport: str = parameter(
        "raw",
        "Transport of the camera's images: sensor_msgs/Image, or JPEG and PNG in sensor_msgs/CompressedImage. The "
        "topic of compressed images is the resolved name of the image topic with /compressed appended.",
        **one_of("raw", "compressed"),
    )
    max_image_pixels: int = parameter(
        MAX_IMAGE_PIXELS,
        "Maximum number of pixels of an image. Larger images are refused; of compressed images, this is decided by "
        "the header, before memory is reserved.",
        limits=(1, 2**30),
        read_at="start",  # else every peer could remove the limit
    )
    max_rate_hz: float = parameter(
        0.0,
        "Maximum rate at which frames of a camera are processed. Additional frames are dropped. 0 means no limit.",
        limits=OR_MORE,
        read_at="frame",
    )
    max_batch: int = parameter(
        4,
        "Maximum number of frames of several cameras that run through the network in one batch. A larger batch needs "
        "more memory.",
        limits=(1, 64),
    )
    image_rotation: tuple[int, ...] = parameter(
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
    ego_mask: tuple[str, ...] = parameter(
        ("",),
        "Masks of the robot's own body: one PNG file for each camera, in the order of cameras, or one for all. Pixels "
        "that are not black become void in every output. A mask must have the size of the images. An empty path means "
        "no mask.",
        expected="a list of paths",
        accepts=are_strings,
        loose=True,
        path_names=(),
    )
    allowed_paths: tuple[str, ...] = parameter(
        ("",),
        "Folders and files that checkpoint, config, label_map and ego_mask can be set to after the start, with "
        "everything below them. Their values at the start, and names of presets, are always accepted. One empty path "
        "allows no other paths.",
        expected="a list of paths",
        accepts=are_strings,
        read_at="start",  # else every peer could allow any path
        loose=True,
    )
    visualization: str = parameter(
        "overlay",
        "Content of panoptic/rgb_visualization: class colours over the image, or input and results in a 2x2 view.",
        **one_of("overlay", "detailed"),
        read_at="frame",
    )
    visualization_opacity: float = parameter(
        visualize.OPACITY,
        "Opacity of the class colours in the overlay.",
        expected="0 (image only) to 1 (colours only)",
        limits=(0, 1),
        read_at="frame",
    )
    jpeg_quality: int = parameter(
        80,
        "JPEG quality of panoptic/rgb_visualization/compressed. Higher values give better and larger images.",
        limits=(1, 100),
        read_at="frame",
    )
    warn_dropped_share: float = parameter(
        0.5,
        "Diagnostics report a warning if more than this share of the frames of the last 10 s was dropped. Frames "
        "beyond max_rate_hz are not counted. 1 disables the warning.",
        limits=(0, 1),
        read_at="frame",
    )
    warn_latency_ms: float = parameter(
        1000.0,
        "Diagnostics report a warning if more than 5 % of the last results were published later than this after the "
        "stamp of their frame. 0 disables the warning.",
        limits=OR_MORE,
        read_at="frame",
    )
    warn_input_stopped_s: float = parameter(
        3.0,
        "Diagnostics report a warning if an output has a subscriber and no frame has arrived for this time. 0 "
        "disables the warning.",
        limits=OR_MORE,
        read_at="frame",
    )
    autostart: bool = autostart()

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
