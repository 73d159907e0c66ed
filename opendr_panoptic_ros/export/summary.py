# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Summaries of labelled bags: statistics of the classes, and a contact sheet."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.bags.reader import BagReader
from opendr_panoptic_ros.export.frames import LabelledFrame, segmented_cameras
from opendr_panoptic_ros.files import write_json, write_png
from opendr_panoptic_ros.labels import ClassTable
from opendr_panoptic_ros.prediction import PanopticPrediction
from opendr_panoptic_ros.visualize import contact_sheet, overlay

_TILES = 12  # of a contact sheet
_COLUMNS = 3
_TILE_WIDTH_PX = 480


class BagSummary:
    """Counts the classes of all segmented frames of a bag, and collects tiles of some of them.

    Args:
        name: Name of the bag.
        reader: The bag.
        classes: The classes of its segmentations.
    """

    def __init__(self, name: str, reader: BagReader, classes: ClassTable) -> None:
        self._name, self._classes = name, classes
        self._start_ns, self._duration_s = reader.start_ns, (reader.end_ns - reader.start_ns) / 1e9
        count = sum(reader.topics[topic].message_count for topic in segmented_cameras(reader))
        self._tile_frames = set(np.linspace(0, max(count - 1, 0), min(count, _TILES)).round().astype(int).tolist())
        self._frames: Counter[str] = Counter()
        self._areas: Counter[int] = Counter()
        self._segments: Counter[int] = Counter()
        self._occurs: Counter[int] = Counter()
        self._total_px = 0
        self._tiles: list[NDArray[np.uint8]] = []
        self._titles: list[str] = []

    def count(self, frame: LabelledFrame, shape: tuple[int, int]) -> bool:
        """Count the classes of a frame.

        Args:
            frame: The next frame of the bag.
            shape: Height and width of the frame in px.

        Returns:
            Whether the contact sheet is to show it.
        """
        is_shown = self._frames.total() in self._tile_frames
        self._frames[frame.camera] += 1
        self._total_px += shape[0] * shape[1]
        for segment in frame.segments:
            self._areas[segment.class_id] += segment.area_px
            self._segments[segment.class_id] += 1
        self._occurs.update({segment.class_id for segment in frame.segments})
        return is_shown

    def show(self, frame: LabelledFrame, pixels: NDArray[np.uint8], prediction: PanopticPrediction) -> None:
        """Add a frame to the contact sheet.

        Args:
            frame: The frame.
            pixels: Its image, `(H, W, 3)` uint8 RGB.
            prediction: Its prediction, of the same height and width.
        """
        height = max(1, round(pixels.shape[0] * _TILE_WIDTH_PX / pixels.shape[1]))
        interpolation = cv2.INTER_AREA if pixels.shape[1] > _TILE_WIDTH_PX else cv2.INTER_CUBIC
        tile = cv2.resize(overlay(pixels, prediction), (_TILE_WIDTH_PX, height), interpolation=interpolation)
        self._tiles.append(np.asarray(tile, np.uint8))  # small, so that memory does not grow with the size of frames
        time_s = max(frame.time_ns - self._start_ns, 0) / 1e9  # a stamp is earlier than its record time
        self._titles.append(f"{frame.camera} #{frame.number}  {time_s:.1f} s")

    def to_dict(self) -> dict[str, Any]:
        """Return the statistics as JSON can hold them.

        Returns:
            `bag`, `duration_s`, `frames` by camera, and `classes`: by name the share of all pixels (0-1), the number
            of frames with the class, and the number of its segments (of things: instances over all frames).
        """
        classes = {}
        for class_id, name in zip(self._classes.ids, self._classes.names, strict=True):
            classes[name] = {
                "pixel_share": round(self._areas[class_id] / max(self._total_px, 1), 6),
                "frames": self._occurs[class_id],
                "segments": self._segments[class_id],
            }
        return {
            "bag": self._name,
            "duration_s": round(self._duration_s, 3),
            "frames": dict(self._frames),
            "classes": classes,
        }

    def write(self, folder: Path) -> None:
        """Write `NAME.json` with the statistics, and `NAME.png` with the contact sheet if there are frames.

        Args:
            folder: Where to write; existing files are replaced.
        """
        write_json(folder / f"{self._name}.json", self.to_dict())
        if self._tiles:
            sheet = contact_sheet(self._tiles, columns=_COLUMNS, tile_width_px=_TILE_WIDTH_PX, titles=self._titles)
            write_png(folder / f"{self._name}.png", sheet)
