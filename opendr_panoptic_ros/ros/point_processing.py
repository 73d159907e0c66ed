# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""PointProcessor: from a segmentation and a depth image or cloud to the messages of the points node."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from opendr_panoptic_ros.codec.cloud import CloudFields, append_fields, decode_xyz, encode_cloud
from opendr_panoptic_ros.codec.values import decode_values
from opendr_panoptic_ros.errors import PanopticError
from opendr_panoptic_ros.points import (
    CLOUD_DTYPE,
    CameraModel,
    SegmentMaps,
    boxes_of_things,
    depth_in_metres,
    label_points,
    labelled_cloud,
    packed_colors,
)
from opendr_panoptic_ros.ros.point_messages import (
    DETECTIONS_3D,
    MARKERS,
    POINTS,
    cloud_message,
    detections_message,
    labelled_boxes,
    markers_message,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from opendr_panoptic_ros.ros.points_parameters import PointsParameters
    from opendr_panoptic_ros.ros.transforms import Transforms


class PointMessages(NamedTuple):
    """The messages made of a pair.

    Attributes:
        messages: Message by topic below `panoptic/`.
        is_empty: Whether there is no point with finite coordinates.
    """

    messages: dict[str, Any]
    is_empty: bool


class PointProcessor:
    """Makes the messages of the points node.

    Args:
        transforms: From the LiDAR to the camera; None for depth images, which need none.
    """

    def __init__(self, transforms: Transforms | None) -> None:
        self._transforms = transforms
        self._info: CameraInfo | None = None
        self._camera: CameraModel | None = None

    def set_camera(self, info: CameraInfo) -> None:
        """Use another camera from now on.

        Args:
            info: The parameters of the camera.
        """
        if self._info is None or self._camera is None or not _is_same_camera(info, self._info):
            self._info, self._camera = info, None
            self._camera = CameraModel.from_message(info)

    def close(self) -> None:
        """Release the transforms."""
        if self._transforms is not None:
            self._transforms.close()

    def process(self, first: Any, second: Any, topics: Collection[str], settings: PointsParameters) -> PointMessages:
        """Make the messages of a pair.

        Args:
            first: A segmentation, and `second` a depth image; or a cloud, and `second` a segmentation.
            second: As above.
            topics: The topics below `panoptic/` that are needed.
            settings: Parameters of the node.

        Returns:
            The messages, with the stamp of the segmentation or the cloud.

        Raises:
            PanopticError: The pair cannot be used.
        """
        if self._camera is None:
            raise PanopticError("No usable camera_info has arrived. Publish the camera_info of the calibrated camera.")
        if isinstance(first, PointCloud2):
            return self._of_lidar(first, second, self._camera, topics, settings)
        return self._of_depth(first, second, self._camera, topics, settings)

    def _of_depth(
        self, segmentation: Any, depth: Image, camera: CameraModel, topics: Collection[str], settings: PointsParameters
    ) -> PointMessages:
        maps = _maps_of(segmentation)
        depth_m = depth_in_metres(decode_values(depth, "16UC1", "mono16", "32FC1"))
        rectified = settings.depth_is_rectified
        cloud = labelled_cloud(depth_m, camera, maps.labels, maps.instances, maps.palette, is_rectified=rectified)
        messages: dict[str, Any] = {}
        if POINTS in topics:
            messages[POINTS] = cloud_message(encode_cloud(cloud), segmentation.header)
        messages |= _box_messages(cloud, segmentation, maps, segmentation.header, topics, settings)
        return PointMessages(messages, bool(np.isnan(depth_m).all()))

    def _of_lidar(
        self,
        lidar: PointCloud2,
        segmentation: Any,
        camera: CameraModel,
        topics: Collection[str],
        settings: PointsParameters,
    ) -> PointMessages:
        assert self._transforms is not None  # noqa: S101 - the source is a LiDAR
        maps = _maps_of(segmentation)
        xyz = decode_xyz(lidar)
        header = segmentation.header
        transform = self._transforms.find(header.frame_id, lidar.header)
        points = xyz @ transform[:, :3].T.astype(xyz.dtype) + transform[:, 3].astype(xyz.dtype)
        labels, instances = label_points(
            points,
            camera,
            maps.labels,
            maps.instances,
            occlusion_cell_px=settings.occlusion_cell_px,
            occlusion_tolerance=settings.occlusion_tolerance,
        )
        messages: dict[str, Any] = {}
        if POINTS in topics:
            rgba = packed_colors(maps.palette)[labels]
            added = {"rgba": rgba, "label": labels.astype(np.uint32), "instance": instances}
            content: CloudFields = append_fields(lidar, added)
            messages[POINTS] = cloud_message(content, lidar.header)
        is_thing = instances > 0
        things = np.zeros(int(is_thing.sum()), CLOUD_DTYPE)
        for axis, name in enumerate("xyz"):
            things[name] = points[is_thing, axis]
        things["instance"] = instances[is_thing]
        header = type(header)(stamp=lidar.header.stamp, frame_id=header.frame_id)
        messages |= _box_messages(things, segmentation, maps, header, topics, settings)
        return PointMessages(messages, not np.isfinite(xyz).all(axis=1).any())


def _maps_of(segmentation: Any) -> SegmentMaps:
    segment_map = decode_values(segmentation.segment_map, "32SC1")
    return SegmentMaps.of(segment_map.astype(np.int32, copy=False), segmentation.segments)


def _box_messages(
    cloud: NDArray[Any],
    segmentation: Any,
    maps: SegmentMaps,
    header: Any,
    topics: Collection[str],
    settings: PointsParameters,
) -> dict[str, Any]:
    if not {DETECTIONS_3D, MARKERS}.intersection(topics):
        return {}
    found = boxes_of_things(cloud, min_points=settings.min_points)
    boxes = labelled_boxes(found, segmentation.segments, maps.palette)
    make = {DETECTIONS_3D: detections_message, MARKERS: markers_message}
    return {topic: make[topic](boxes, header) for topic in make if topic in topics}


def _is_same_camera(a: CameraInfo, b: CameraInfo) -> bool:
    names = ("width", "height", "distortion_model")
    arrays = ("k", "d", "p")
    return all(getattr(a, name) == getattr(b, name) for name in names) and all(
        np.array_equal(getattr(a, name), getattr(b, name)) for name in arrays
    )
