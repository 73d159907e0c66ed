# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""How good the demo's answers on the synthetic drive were: the drive knows the truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.highlevel import AnyReader

from opendr_panoptic_ros.annotation import PanopticAnnotation
from opendr_panoptic_ros.formats.panoptic_quality import PanopticQuality, PanopticQualityCounter
from opendr_panoptic_ros.labels import CITYSCAPES
from opendr_panoptic_ros.synthetic.drive import SyntheticDrive


def drive_quality(
    bag: Path, topic: str, drive: SyntheticDrive, frame_stamps_ns: Sequence[int]
) -> PanopticQuality | None:
    """The panoptic quality of the segmentation messages on a topic of a bag; None for a network of other classes.

    frame_stamps_ns: of frame 0, 1, … of the drive, with which the messages are found their truth.
    """
    counter = PanopticQualityCounter(CITYSCAPES)
    index = {stamp_ns: frame for frame, stamp_ns in enumerate(frame_stamps_ns)}
    with AnyReader([bag]) as reader:
        connections = [connection for connection in reader.connections if connection.topic == topic]
        for connection, _, data in reader.messages(connections):
            message: Any = reader.deserialize(data, connection.msgtype)
            if any(CITYSCAPES.names[s.class_id : s.class_id + 1] != (s.label,) for s in message.segments):
                return None
            stamp, image = message.header.stamp, message.segment_map
            segment_map = np.frombuffer(image.data, np.int32).reshape(image.height, image.width)
            class_ids = {s.id: s.class_id for s in message.segments}
            _, truth = drive[index[stamp.sec * 10**9 + stamp.nanosec]]
            counter.add(truth, PanopticAnnotation.from_map(segment_map, class_ids, CITYSCAPES))
    return counter.result()
