# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Panoptic quality of the demo's results on the synthetic drive, whose ground truth is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from opendr_panoptic_ros.annotation import PanopticAnnotation
from opendr_panoptic_ros.bags.reader import BagReader
from opendr_panoptic_ros.bags.results import stamp_ns
from opendr_panoptic_ros.bags.types import typestore
from opendr_panoptic_ros.formats.panoptic_quality import PanopticQuality, PanopticQualityCounter
from opendr_panoptic_ros.labels import CITYSCAPES
from opendr_panoptic_ros.synthetic.drive import SyntheticDrive


def drive_quality(
    bag: Path, topic: str, drive: SyntheticDrive, frame_stamps_ns: Sequence[int]
) -> PanopticQuality | None:
    """Compare the PanopticSegmentation messages of a bag with the ground truth of a drive.

    Args:
        bag: The bag.
        topic: Topic of the messages.
        drive: The drive.
        frame_stamps_ns: Stamps of the drive's frames, used to match each message to its ground truth.

    Returns:
        The panoptic quality; None if the classes of the network are not those of Cityscapes, which the drive uses.
    """
    counter = PanopticQualityCounter(CITYSCAPES)
    index = {stamp: frame for frame, stamp in enumerate(frame_stamps_ns)}
    with BagReader(bag) as reader:
        for recorded in reader.messages([topic]):
            message: Any = typestore().deserialize_cdr(recorded.data, recorded.type_name)
            if any(CITYSCAPES.names[s.class_id : s.class_id + 1] != (s.label,) for s in message.segments):
                return None
            image = message.segment_map
            segment_map = np.frombuffer(image.data, np.int32).reshape(image.height, image.width)
            class_ids = {s.id: s.class_id for s in message.segments}
            _, truth = drive[index[stamp_ns(message.header)]]
            counter.add(truth, PanopticAnnotation.from_map(segment_map, class_ids, CITYSCAPES))
    return counter.result()
