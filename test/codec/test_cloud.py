# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""PointCloud2 in all layouts: organised, padded, big-endian, float64; and images of numbers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from opendr_panoptic_ros.codec.cloud import CloudFields, append_fields, decode_xyz, encode_cloud
from opendr_panoptic_ros.codec.image import ImageFields
from opendr_panoptic_ros.codec.values import decode_values
from opendr_panoptic_ros.errors import ImageEncodingError, PanopticError

XYZ = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9], [-1, -2, np.nan]])


def cloud_of(order: str, kind: str, *, shape=(4,), padding=0) -> CloudFields:
    """XYZ with an intensity in between, rows padded with 0xEE."""
    dtype = np.dtype([("x", order + kind), ("intensity", "u1"), ("y", order + kind), ("z", order + kind)])
    points = np.zeros(4, dtype)
    for axis, name in enumerate("xyz"):
        points[name] = XYZ[:, axis]
    points["intensity"] = [10, 20, 30, 40]
    cloud = encode_cloud(points.astype(dtype.newbyteorder("<")).reshape(shape))
    rows = points.view(np.uint8).reshape(cloud.height, -1)
    data = np.pad(rows, ((0, 0), (0, padding)), constant_values=0xEE).ravel()
    return dataclasses.replace(cloud, data=data, row_step=cloud.row_step + padding, is_bigendian=order == ">")


LAYOUTS = {
    "plain": cloud_of("<", "f4"),
    "organised": cloud_of("<", "f4", shape=(2, 2)),
    "padded": cloud_of("<", "f4", shape=(2, 2), padding=5),
    "big-endian": cloud_of(">", "f4"),
    "float64": cloud_of(">", "f8", shape=(2, 2), padding=3),
}


@pytest.mark.parametrize("cloud", LAYOUTS.values(), ids=LAYOUTS)
def test_every_layout_is_read_and_extended(cloud) -> None:
    assert np.array_equal(decode_xyz(cloud), XYZ, equal_nan=True)
    labels, instances = np.array([1, 2, 3, 255], np.uint8), np.array([0, 0, 70000, 0], np.uint32)
    found = append_fields(cloud, {"label": labels, "instance": instances})
    assert (found.height, found.width) == (cloud.height, cloud.width)
    assert found.fields[:4] == cloud.fields
    assert [(f.name, f.datatype, f.offset - cloud.point_step) for f in found.fields[4:]] == [
        ("label", 6, 0),
        ("instance", 6, 4),
    ]
    assert found.row_step == found.width * found.point_step
    points = found.data.reshape(4, found.point_step)
    order = ">u4" if cloud.is_bigendian else "<u4"
    tail = np.ascontiguousarray(points[:, cloud.point_step :]).view(order)
    assert tail.tolist() == [[1, 0], [2, 0], [3, 70000], [255, 0]]
    assert np.array_equal(decode_xyz(found), XYZ, equal_nan=True)
    assert points[:, cloud.fields[1].offset].tolist() == [10, 20, 30, 40]


def test_a_label_that_is_there_is_replaced() -> None:
    once = append_fields(LAYOUTS["plain"], {"label": np.zeros(4, np.uint32)})
    twice = append_fields(once, {"label": np.arange(4, dtype=np.uint32)})
    assert [field.name for field in twice.fields].count("label") == 1
    assert twice.data.reshape(4, -1)[:, twice.fields[-1].offset].tolist() == [0, 1, 2, 3]


def test_no_points() -> None:
    empty = encode_cloud(np.zeros(0, [("x", "<f4"), ("y", "<f4"), ("z", "<f4")]))
    assert decode_xyz(empty).shape == (0, 3)
    assert append_fields(empty, {"label": np.zeros(0, np.uint32)}).point_step == 16


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"width": 5}, "do not fit"),
        ({"data": np.zeros(7, np.uint8)}, "holds 7 bytes"),
        ({"point_step": 0}, "do not fit"),
        ({"fields": LAYOUTS["plain"].fields[:2]}, "expected x, y and z"),
        ({"fields": tuple(dataclasses.replace(f, datatype=5) for f in LAYOUTS["plain"].fields)}, "as float32 or"),
        ({"fields": tuple(dataclasses.replace(f, offset=11) for f in LAYOUTS["plain"].fields)}, "ends at byte 15"),
    ],
)
def test_clouds_that_cannot_be_used(changes, reason) -> None:
    with pytest.raises(PanopticError, match=reason):
        decode_xyz(dataclasses.replace(LAYOUTS["plain"], **changes))


@pytest.mark.parametrize("encoding", ["16UC1", "32SC1", "32FC1"])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("padding", [0, 3])
def test_values_of_an_image(encoding, order, padding) -> None:
    dtype = np.dtype(order + {"16UC1": "u2", "32SC1": "i4", "32FC1": "f4"}[encoding])
    pixels = np.array([[0, 1, 258], [3, 4, 65535]], dtype)
    rows = np.pad(pixels.view(np.uint8), ((0, 0), (0, padding)), constant_values=0xEE)
    message = ImageFields(2, 3, encoding, int(order == ">"), rows.shape[1], rows.ravel())
    assert decode_values(message, "8UC1", encoding).tolist() == pixels.tolist()
    with pytest.raises(ImageEncodingError, match="expected mono16"):
        decode_values(message, "mono16")
    with pytest.raises(ImageEncodingError, match="is truncated"):
        decode_values(dataclasses.replace(message, height=3), encoding)
    with pytest.raises(ImageEncodingError, match="0x2"):
        decode_values(dataclasses.replace(message, width=0), encoding)
