# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""BagClouds: labelled clouds from the depth images of a bag."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.bags.options import CloudOptions
from opendr_panoptic_ros.bags.reader import BagReader
from opendr_panoptic_ros.bags.results import BagFrame, stamp_ns
from opendr_panoptic_ros.bags.types import IMAGE, typestore
from opendr_panoptic_ros.codec.cloud import encode_cloud
from opendr_panoptic_ros.codec.values import decode_values
from opendr_panoptic_ros.errors import PanopticError
from opendr_panoptic_ros.points import CameraModel, SegmentMaps, depth_in_metres, labelled_cloud
from opendr_panoptic_ros.prediction import PanopticPrediction

POINTS = "points"
"""Topic below `panoptic/` of the clouds."""
POINTS_TYPE = "sensor_msgs/msg/PointCloud2"
_CAMERA_INFO = "sensor_msgs/msg/CameraInfo"


@dataclass(frozen=True, eq=False)
class DepthIndex:
    """Where the depth images of a bag are.

    Attributes:
        camera_info: The CameraInfo of the depth images in CDR.
        times_ns: `(N, 2)` int64, stamp and record time of each depth image in ns, in ascending order.
    """

    camera_info: bytes
    times_ns: NDArray[np.int64]

    @classmethod
    def of(cls, reader: BagReader, options: CloudOptions) -> DepthIndex:
        """Read the stamps of the depth images, which may be recorded before or after their frames.

        Args:
            reader: The bag.
            options: The topics.

        Returns:
            The index.

        Raises:
            PanopticError: The bag does not have these topics, or the camera is not calibrated.
        """
        for topic, type_name in ((options.depth_topic, IMAGE), (options.info_topic, _CAMERA_INFO)):
            if topic not in reader.topics or reader.topics[topic].type_name != type_name:
                raise PanopticError(f"The bag has no {type_name} on {topic}. Its topics: {', '.join(reader.topics)}.")
        first = next(iter(reader.messages((options.info_topic,))), None)
        if first is None:
            raise PanopticError(f"There are no messages on {options.info_topic}.")
        CameraModel.from_message(_message(first.data, _CAMERA_INFO))
        times = sorted(
            (stamp_ns(_message(message.data, IMAGE).header), message.time_ns)
            for message in reader.messages((options.depth_topic,))
        )
        return cls(bytes(first.data), np.array(times, np.int64).reshape(-1, 2))


class BagClouds:
    """Makes a labelled cloud of each frame that has a depth image.

    Args:
        reader: The bag; it must not be used by others at the same time.
        index: Where its depth images are.
        options: How clouds are made.
        tolerance_s: Largest difference between the stamps of a frame and its depth image, in seconds.

    Attributes:
        missing: Number of frames without a depth image.
    """

    def __init__(
        self, reader: BagReader, index: DepthIndex, options: CloudOptions, *, tolerance_s: float = 0.02
    ) -> None:
        self.missing, self._is_rectified = 0, options.is_rectified
        self._reader, self._topic, self._tolerance_ns = reader, options.depth_topic, round(tolerance_s * 1e9)
        self._camera = CameraModel.from_message(_message(index.camera_info, _CAMERA_INFO))
        self._times_ns = index.times_ns

    def serialized(self, frame: BagFrame, prediction: PanopticPrediction) -> memoryview | None:
        """Serialize the cloud of a frame.

        Args:
            frame: The frame.
            prediction: Its result.

        Returns:
            The `sensor_msgs/PointCloud2` in CDR, or None if the frame has no depth image.

        Raises:
            PanopticError: The depth image cannot be used.
        """
        depth = self._depth_of(stamp_ns(frame.header))
        if depth is None:
            self.missing += 1
            return None
        depth_m = depth_in_metres(decode_values(depth, "16UC1", "mono16", "32FC1"))
        maps = SegmentMaps.of(prediction.segment_map, prediction.segments)
        palette = prediction.classes.palette
        rectified = self._is_rectified
        cloud = encode_cloud(
            labelled_cloud(depth_m, self._camera, maps.labels, maps.instances, palette, is_rectified=rectified)
        )
        types = typestore().types
        fields = [types["sensor_msgs/msg/PointField"](f.name, f.offset, f.datatype, f.count) for f in cloud.fields]
        message = types[POINTS_TYPE](
            frame.header,
            cloud.height,
            cloud.width,
            fields,
            cloud.is_bigendian,
            cloud.point_step,
            cloud.row_step,
            cloud.data,
            cloud.is_dense,
        )
        return typestore().serialize_cdr(message, POINTS_TYPE)

    def _depth_of(self, frame_ns: int) -> Any:
        place = int(np.searchsorted(self._times_ns[:, 0], frame_ns))
        near = self._times_ns[max(place - 1, 0) : place + 1].tolist()
        nearest = min(near, key=lambda entry: abs(entry[0] - frame_ns), default=None)
        if nearest is None or abs(nearest[0] - frame_ns) > self._tolerance_ns:
            return None
        time_ns = nearest[1]
        for message in self._reader.messages((self._topic,), start_ns=time_ns, end_ns=time_ns + 1):
            depth = _message(message.data, IMAGE)
            if stamp_ns(depth.header) == nearest[0]:
                return depth
        return None


def _message(data: bytes | memoryview, type_name: str) -> Any:
    return typestore().deserialize_cdr(data, type_name)
