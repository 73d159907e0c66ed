# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Conversion between the fields of `sensor_msgs/PointCloud2` and NumPy arrays.

Messages of ROS and of the rosbags library have the same fields, so no ROS installation is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.errors import PanopticError, quoted

_DTYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}
"""Type of a value by the constant `datatype` of `sensor_msgs/PointField`."""
_DATATYPES = {dtype: number for number, dtype in _DTYPES.items()}


class CloudMessage(Protocol):
    """The fields of `sensor_msgs/PointCloud2` that are read. `data`: any object with the buffer interface."""

    height: int
    width: int
    fields: Any
    is_bigendian: Any
    point_step: int
    row_step: int
    data: Any
    is_dense: Any


@dataclass(frozen=True)
class CloudField:
    """A field of the points, as `sensor_msgs/PointField` describes it.

    Attributes:
        name: Name of the field.
        offset: Offset in bytes from the beginning of a point.
        datatype: Constant of PointField: 2 is uint8, 6 is uint32, 7 is float32, and so on.
        count: Number of values.
    """

    name: str
    offset: int
    datatype: int
    count: int


@dataclass(frozen=True)
class CloudFields:
    """The content of a cloud message, apart from its header.

    Attributes:
        height: Number of rows; 1 for a cloud that is not organised.
        width: Number of points in a row.
        fields: The fields of a point.
        is_bigendian: Whether values are stored with the most significant byte first.
        point_step: Bytes of a point.
        row_step: Bytes of a row.
        data: The bytes of all points, `(height * row_step,)` uint8.
        is_dense: Whether no coordinate is NaN.
    """

    height: int
    width: int
    fields: tuple[CloudField, ...]
    is_bigendian: bool
    point_step: int
    row_step: int
    data: NDArray[np.uint8]
    is_dense: bool


def encode_cloud(cloud: NDArray[Any]) -> CloudFields:
    """Return the fields of a cloud message.

    Args:
        cloud: Points `(H, W)` or `(N,)` of a structured dtype, little-endian.

    Returns:
        The fields; `is_dense` is false, as the coordinates may be NaN.
    """
    height, width = cloud.shape if cloud.ndim == 2 else (1, len(cloud))
    dtype = cloud.dtype
    described = tuple(
        CloudField(name, offset, _DATATYPES[kind.str[1:]], 1)
        for name, (kind, offset, *_) in (dtype.fields or {}).items()
    )
    data = np.ascontiguousarray(cloud).reshape(-1).view(np.uint8)
    return CloudFields(height, width, described, False, dtype.itemsize, width * dtype.itemsize, data, False)


def decode_xyz(message: CloudMessage | CloudFields) -> NDArray[np.floating[Any]]:
    """Return the coordinates of the points of a cloud message.

    Args:
        message: A message of ROS or of the rosbags library, or `CloudFields`, organised or not, in either byte order;
            its rows may be padded.

    Returns:
        `(N, 3)` float32 or float64, row by row.

    Raises:
        PanopticError: A field x, y or z is missing or not a floating-point number, or the data do not fit the other
            fields.
    """
    points = _points(message)
    fields = {field.name: field for field in message.fields}
    axes = []
    for name in "xyz":
        field = fields.get(name)
        kind = None if field is None else _DTYPES.get(int(field.datatype))
        if field is None or kind not in {"f4", "f8"}:
            raise PanopticError(
                f"The cloud has the fields {quoted(sorted(fields))}; expected x, y and z as float32 or float64."
            )
        dtype = np.dtype(kind).newbyteorder(">" if message.is_bigendian else "<")
        end = int(field.offset) + dtype.itemsize
        if end > points.shape[1]:
            raise PanopticError(f"The cloud's field {name} ends at byte {end} of points of {points.shape[1]} bytes.")
        axes.append(np.ascontiguousarray(points[:, int(field.offset) : end]).view(dtype)[:, 0])
    return np.stack([axis.astype(axis.dtype.newbyteorder("=")) for axis in axes], axis=1)


def decode_uint32(message: CloudMessage | CloudFields, name: str) -> NDArray[np.uint32]:
    """Return a field of the points of a cloud message.

    Args:
        message: As for `decode_xyz`.
        name: Name of the field, of type uint32.

    Returns:
        `(N,)` uint32, row by row.

    Raises:
        PanopticError: There is no such field of this type, or the data do not fit the other fields.
    """
    points = _points(message)
    field = next((f for f in message.fields if f.name == name and _DTYPES.get(int(f.datatype)) == "u4"), None)
    if field is None or int(field.offset) + 4 > points.shape[1]:
        raise PanopticError(f"The cloud has no field {name} of type uint32; expected a cloud of the points node.")
    dtype = np.dtype(">u4" if message.is_bigendian else "<u4")
    start = int(field.offset)
    return np.ascontiguousarray(points[:, start : start + 4]).view(dtype)[:, 0].astype(np.uint32)


def append_fields(
    message: CloudMessage | CloudFields, added: Mapping[str, NDArray[np.unsignedinteger[Any]]]
) -> CloudFields:
    """Return a cloud with additional fields of type uint32.

    Args:
        message: The cloud, as for `decode_xyz`. All of its bytes are kept, apart from the padding of rows.
        added: Values `(N,)` by name. A field of the cloud that has the same name is no longer described.

    Returns:
        The fields of the new cloud.

    Raises:
        PanopticError: The data do not fit the other fields.
    """
    points = _points(message)
    dtype = np.dtype(">u4" if message.is_bigendian else "<u4")
    columns = [points, *(values.astype(dtype)[:, None].view(np.uint8) for values in added.values())]
    step = points.shape[1]
    kept = [CloudField(f.name, int(f.offset), int(f.datatype), int(f.count)) for f in message.fields]
    described = [field for field in kept if field.name not in added]
    described += [CloudField(name, step + 4 * i, _DATATYPES["u4"], 1) for i, name in enumerate(added)]
    step += 4 * len(added)
    height, width = int(message.height), int(message.width)
    data = np.concatenate(columns, axis=1).reshape(-1)
    return CloudFields(
        height,
        width,
        tuple(described),
        bool(message.is_bigendian),
        step,
        width * step,
        data,
        bool(message.is_dense),
    )


def _points(message: CloudMessage | CloudFields) -> NDArray[np.uint8]:
    """Return the bytes of the points, `(N, point_step)`."""
    height, width, step, row_step = (
        int(value) for value in (message.height, message.width, message.point_step, message.row_step)
    )
    data = np.frombuffer(message.data, np.uint8)
    if height * width == 0:
        return np.empty((0, step), np.uint8)
    # The last row need not be padded.
    if step < 1 or row_step < width * step or len(data) < (height - 1) * row_step + width * step:
        raise PanopticError(
            f"The cloud holds {len(data)} bytes; {height} rows of {row_step} bytes with {width} points of {step} bytes "
            "do not fit. The message is truncated, or its sizes are wrong."
        )
    rows = np.lib.stride_tricks.as_strided(data, (height, width * step), (row_step, 1), writeable=False)
    return rows.reshape(height * width, step)
