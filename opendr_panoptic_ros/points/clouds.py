# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Clouds of labelled points from a depth image, and labels for the points of a LiDAR."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.errors import ImageEncodingError
from opendr_panoptic_ros.labels import VOID
from opendr_panoptic_ros.points.camera import CameraModel

CLOUD_DTYPE = np.dtype(
    [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("rgba", "<u4"), ("label", "<u4"), ("instance", "<u4")]
)
"""A point: coordinates in metres, colour 0xAARRGGBB, label (255 is void) and instance id (0 is none)."""

_MM = 1e-3


def depth_in_metres(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """Return a depth image in metres.

    Args:
        pixels: `(H, W)` uint16 in millimetres, where 0 is no measurement, or float32 in metres, where 0, negative
            values, NaN and infinity are none.

    Returns:
        `(H, W)` float32 in metres, NaN where there is no measurement.

    Raises:
        ImageEncodingError: The pixels are of another kind.
    """
    if pixels.ndim != 2 or pixels.dtype.newbyteorder("=") not in (np.uint16, np.float32):
        raise ImageEncodingError(
            f"The depth image is {pixels.dtype} of shape {pixels.shape}; expected 16UC1 in millimetres or 32FC1 in "
            "metres."
        )
    depth_m = pixels.astype(np.float32)
    if pixels.dtype.newbyteorder("=") == np.uint16:
        depth_m *= np.float32(_MM)
    with np.errstate(invalid="ignore"):
        depth_m[~((depth_m > 0) & (depth_m < np.inf))] = np.nan
    return depth_m


def labelled_cloud(
    depth_m: NDArray[np.float32],
    camera: CameraModel,
    labels: NDArray[np.uint8],
    instances: NDArray[np.unsignedinteger[Any]],
    palette: NDArray[np.uint8],
    *,
    is_rectified: bool = True,
) -> NDArray[Any]:
    """Return an organised cloud with one point for each pixel of the segmentation.

    Args:
        depth_m: Depth image in metres, NaN where there is none. It shows the same view as the segmentation,
            and may have another size: the nearest depth pixel then counts.
        camera: Camera of the depth image. Its size must be that of the depth image.
        labels: `(H, W)` uint8, 255 where void.
        instances: `(H, W)` of an unsigned type, 0 where there is no instance.
        palette: `(256, 3)` uint8 RGB, the colour of each label.
        is_rectified: Whether the depth image is rectified. If not, the distortion of the camera is undone.

    Returns:
        `(H, W)` of `CLOUD_DTYPE`; x, y and z are NaN where there is no depth.

    Raises:
        ImageEncodingError: The depth image has another size than its camera, or another aspect ratio than the labels.
    """
    depth_height, depth_width = depth_m.shape
    height, width = labels.shape
    if (camera.width, camera.height) != (depth_width, depth_height):
        raise ImageEncodingError(
            f"The depth image is {depth_width}x{depth_height} pixels, its camera_info is for "
            f"{camera.width}x{camera.height}. Publish both from the same camera."
        )
    if abs(depth_width * height - width * depth_height) > max(width, depth_width):
        raise ImageEncodingError(
            f"The depth image is {depth_width}x{depth_height} pixels, the segmentation {width}x{height}: they cannot "
            "show the same view. Register the depth to the colour camera."
        )
    u, v = _pixel_centers(camera, width, height)
    if (height, width) != depth_m.shape:
        columns = np.clip(np.round(u), 0, depth_width - 1).astype(np.intp)
        rows = np.clip(np.round(v), 0, depth_height - 1).astype(np.intp)
        depth_m = depth_m[rows[:, None], columns]
    if is_rectified:
        fx, fy, cx, cy = camera.rectified
        x, y = ((u - cx) / fx).astype(np.float32), ((v - cy) / fy).astype(np.float32)[:, None]
    else:
        x, y = _raw_slopes(camera, width, height)
    cloud = np.empty((height, width), CLOUD_DTYPE)
    cloud["x"] = depth_m * x
    cloud["y"] = depth_m * y
    cloud["z"] = depth_m
    cloud["rgba"] = packed_colors(palette)[labels]
    cloud["label"] = labels
    cloud["instance"] = instances
    return cloud


def _pixel_centers(camera: CameraModel, width: int, height: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return columns and rows of the pixels of a segmentation, in coordinates of the camera's image."""
    u = (np.arange(width) + 0.5) * camera.width / width - 0.5
    v = (np.arange(height) + 0.5) * camera.height / height - 0.5
    return u, v


@lru_cache(maxsize=4)  # finding the directions takes longer than all the rest
def _raw_slopes(camera: CameraModel, width: int, height: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return camera.slopes(*_pixel_centers(camera, width, height))


def label_points(
    points: NDArray[np.floating[Any]],
    camera: CameraModel,
    labels: NDArray[np.uint8],
    instances: NDArray[np.unsignedinteger[Any]],
    *,
    occlusion_cell_px: int = 4,
    occlusion_tolerance: float = 0.05,
) -> tuple[NDArray[np.uint8], NDArray[np.uint32]]:
    """Return label and instance of each point of a cloud that a camera sees.

    Args:
        points: `(N, 3)` in the camera's optical frame, in metres.
        camera: The camera. The segmentation has the size of its images, or another one of the same view.
        labels: `(H, W)` uint8, 255 where void.
        instances: `(H, W)` of an unsigned type, 0 where there is no instance.
        occlusion_cell_px: Size of the cells of the depth buffer in px of the camera's image; 0 switches occlusion off.
            It should be at least the distance between neighbouring points.
        occlusion_tolerance: A point is hidden if it is farther away than the nearest point in its cell by more than
            this share of the distance.

    Returns:
        Labels `(N,)` uint8, 255 where a point is behind the camera, outside the image, hidden or void; and instances
        `(N,)` uint16, 0 in these cases.

    Raises:
        ImageEncodingError: The segmentation has another aspect ratio than the camera.
    """
    height, width = labels.shape
    if abs(camera.width * height - width * camera.height) > max(width, camera.width):
        raise ImageEncodingError(
            f"The segmentation is {width}x{height} pixels, camera_info is for {camera.width}x{camera.height}: they "
            "cannot belong to the same camera."
        )
    pixels, is_seen = camera.project(points)
    if occlusion_cell_px:
        z = np.asarray(points, np.float64).reshape(-1, 3)[:, 2]
        is_seen &= ~_is_hidden(pixels, z, is_seen, camera, occlusion_cell_px, occlusion_tolerance)
    point_labels = np.full(len(pixels), VOID, np.uint8)
    point_instances = np.zeros(len(pixels), np.uint32)
    scale = np.array([width / camera.width, height / camera.height])
    column, row = np.floor((pixels[is_seen] + 0.5) * scale).astype(np.intp).T
    column, row = np.minimum(column, width - 1), np.minimum(row, height - 1)
    point_labels[is_seen] = labels[row, column]
    point_instances[is_seen] = instances[row, column]
    return point_labels, point_instances


def packed_colors(palette: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Return the colours of labels as PointCloud2's field `rgba` holds them.

    Args:
        palette: `(256, 3)` uint8 RGB.

    Returns:
        `(256,)` uint32: 0xFF, red, green, blue from the highest byte.
    """
    red, green, blue = (palette[:, channel].astype(np.uint32) for channel in range(3))
    return np.uint32(0xFF000000) | red << 16 | green << 8 | blue


def _is_hidden(
    pixels: NDArray[np.float64],
    z: NDArray[np.float64],
    is_seen: NDArray[np.bool_],
    camera: CameraModel,
    cell_px: int,
    tolerance: float,
) -> NDArray[np.bool_]:
    """Return the points that lie clearly behind the nearest point of their cell of a coarse depth buffer."""
    columns = -(-camera.width // cell_px)
    rows = -(-camera.height // cell_px)
    column, row = np.floor((pixels[is_seen] + 0.5) / cell_px).astype(np.intp).T
    cell = row * columns + column
    nearest = np.full(rows * columns, np.inf)
    np.minimum.at(nearest, cell, z[is_seen])
    is_hidden = np.zeros(len(z), bool)
    is_hidden[is_seen] = z[is_seen] > nearest[cell] * (1 + tolerance)
    return is_hidden
