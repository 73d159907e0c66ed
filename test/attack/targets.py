# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The readers that take foreign bytes: each target reads one input as the package does, or refuses it typed.

Inputs that break a target are kept in corpus/TARGET/, which `make test` runs.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np

from opendr_panoptic_ros.bags.reader import BagReader
from opendr_panoptic_ros.bags.results import read_frame
from opendr_panoptic_ros.bags.types import COMPRESSED_IMAGE, IMAGE
from opendr_panoptic_ros.checkpoint import load_checkpoint
from opendr_panoptic_ros.codec.compressed import CompressedImageFields, decode_compressed
from opendr_panoptic_ros.codec.image import ENCODINGS, ImageFields, decode
from opendr_panoptic_ros.codec.values import decode_values
from opendr_panoptic_ros.config import Config
from opendr_panoptic_ros.errors import CheckpointError, ImageEncodingError, PanopticError
from opendr_panoptic_ros.label_map import LabelMap
from opendr_panoptic_ros.labels import CITYSCAPES
from opendr_panoptic_ros.weight_files.stored import load_state_dict

CORPUS = Path(__file__).parent / "corpus"
READ, REFUSED = "read", "refused"
_IMAGE_HEADER = struct.Struct("<HHIBB")
_ENCODINGS = (*sorted(ENCODINGS), "16UC1", "32FC1", "32SC1", "unknown")
_FORMATS = (
    "jpeg", "png", "rgb8; jpeg compressed bgr8", "bayer_rggb8; png compressed", "bgr16; tiff compressed",
    "bayer_gbrg16; jpeg compressed mono8", "mono16; png compressed ", "16UC1; compressedDepth png", "", ";;;",
)  # fmt: skip
_BAG_NAMES = ("in.mcap", "in.db3", "in.bag", "in/metadata.yaml")
MAX_PIXELS = 1_000_000
"""The limit that the codec targets set, as the node's parameter `max_image_pixels` does."""


def codec(data: bytes, _folder: Path) -> str:
    """Decode a raw image: height, width, step, byte order and encoding, then the pixels."""
    if len(data) < _IMAGE_HEADER.size:
        return REFUSED
    height, width, step, order, encoding = _IMAGE_HEADER.unpack_from(data)
    pixels = np.frombuffer(data, np.uint8, offset=_IMAGE_HEADER.size)
    name = _ENCODINGS[encoding % len(_ENCODINGS)]
    fields = ImageFields(height, width, name, order & 1, step, pixels)
    if name in {"16UC1", "32FC1", "32SC1"}:
        values = decode_values(fields, name)
        assert values.shape == (height, width)
        return READ
    rgb = decode(fields, max_pixels=MAX_PIXELS)
    assert rgb.shape == (height, width, 3)
    assert rgb.dtype == np.uint8
    return READ


def compressed(data: bytes, _folder: Path) -> str:
    """Decode a compressed image: the number of a format, then the file."""
    content = np.frombuffer(data, np.uint8, offset=min(1, len(data)))
    image_format = _FORMATS[(data[0] if data else 0) % len(_FORMATS)]
    rgb = decode_compressed(CompressedImageFields(image_format, content), max_pixels=MAX_PIXELS)
    assert rgb.ndim == 3
    assert rgb.shape[2] == 3
    assert rgb.shape[0] * rgb.shape[1] <= MAX_PIXELS
    return READ


def bag(data: bytes, folder: Path) -> str:
    """Read every message of a bag: the number of its kind, then the file."""
    path = folder / _BAG_NAMES[(data[0] if data else 0) % len(_BAG_NAMES)]
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data[1:])
    if path.name == "metadata.yaml":
        (path.parent / "in_0.mcap").write_bytes((CORPUS / "bag" / "whole_mcap").read_bytes()[1:])
        path = path.parent
    with BagReader(path) as reader:
        for topic in reader.topics.values():
            try:
                topic.check_type()
            except PanopticError:
                continue
            for message in reader.messages([topic.name]):
                if message.type_name in {IMAGE, COMPRESSED_IMAGE}:
                    try:
                        read_frame(message)
                    except ImageEncodingError:
                        continue
        assert all(str(path) in line for line in reader.damage)
    return READ


def checkpoint(data: bytes, folder: Path) -> str:
    """Read all that a checkpoint holds, then load it: the number of its kind, then the file."""
    path = folder / ("in.pth", "in.safetensors")[(data[0] if data else 0) % 2]
    path.write_bytes(data[1:])
    load_state_dict(path)
    with contextlib.suppress(CheckpointError):  # the seeds are no networks, which are larger
        load_checkpoint(path)
    return READ


def config(data: bytes, folder: Path) -> str:
    """Read a configuration or a label map: the number of its kind, then the file."""
    path = folder / "in.yaml"
    path.write_bytes(data[1:])
    if data and data[0] % 2:
        LabelMap.load(path, CITYSCAPES)
        return READ
    loaded = Config.load(path)
    assert Config.from_dict(loaded.to_dict()) == loaded
    return READ


TARGETS: dict[str, Callable[[bytes, Path], str]] = {
    target.__name__: target for target in (codec, compressed, bag, checkpoint, config)
}


def run(name: str, data: bytes, folder: Path) -> str:
    """Give one input to a target.

    Args:
        name: Key of `TARGETS`.
        data: The input.
        folder: Folder for the files of the input.

    Returns:
        `READ` or `REFUSED`. Every other error than a PanopticError is raised, and one whose text is too long to show.
    """
    try:
        return TARGETS[name](data, folder)
    except PanopticError as error:
        text = str(error)
        assert len(text) <= 2000, f"an error of {len(text)} characters"
        assert text.isprintable() or "\n" in text, f"an error that is not printable: {text!r}"
        return REFUSED
