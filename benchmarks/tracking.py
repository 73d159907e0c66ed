# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Measures how well instances keep their ids on synthetic drives, with tracking and without.

The tracker gets the ground truth of the drives, with new ids in every frame, as a segmentation of single images gives
them: in random order, or from the largest instance to the smallest. Faults are added: missed instances and eroded
outlines.

Links: an object is detected in two consecutive frames; a link is right if both detections have the same id.
Gaps: an object is detected again after 1 to 5 frames without a detection.
Switches: an object is detected with another id than at its previous detection, also after it left the image.

python benchmarks/tracking.py --drives 3 --frames 120
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import harness
import numpy as np
from harness import Row

from opendr_panoptic_ros.prediction import PanopticPrediction, Segment
from opendr_panoptic_ros.synthetic.drive import SyntheticDrive
from opendr_panoptic_ros.synthetic.scenes import EVALUATION_SEEDS_FROM
from opendr_panoptic_ros.tracking import InstanceTracker

MIN_AREA_PX = 20
"""Smaller things are left out: a network does not detect them."""

MAX_GAP_FRAMES = 5

AssignedIds = dict[int, int]
"""The assigned id of each object by the object's own id."""


@dataclass(frozen=True)
class Faults:
    """Faults of a segmentation.

    Attributes:
        missed: Share of the instances that are left out of a frame, 0 to 1.
        eroded: Share of the instances whose outline loses a pixel all around, 0 to 1.
    """

    missed: float = 0.0
    eroded: float = 0.0


SEGMENTATIONS = {
    "perfect": Faults(),
    "10 % missed": Faults(missed=0.1),
    "10 % missed, half of them eroded": Faults(missed=0.1, eroded=0.5),
}
TRACKERS: dict[str, Callable[[], InstanceTracker] | None] = {
    "off, random order": None,
    "off, largest first": None,
    "on": InstanceTracker,
    "on, no memory": lambda: InstanceTracker(memory_frames=0),
}


@dataclass
class Count:
    """How often ids were kept.

    Attributes:
        right: Pairs of detections with the same id.
        total: All pairs of detections.
    """

    right: int = 0
    total: int = 0

    @property
    def percent(self) -> float | None:
        """The share of right pairs, or None without pairs."""
        return 100 * self.right / self.total if self.total else None


@dataclass
class Score:
    """The ids of all drives.

    Attributes:
        links: Pairs of detections in consecutive frames.
        gaps: Pairs of detections with 1 to 5 frames in between.
        switches: Changes of an object's id.
        objects: Number of objects.
    """

    links: Count = field(default_factory=Count)
    gaps: Count = field(default_factory=Count)
    switches: int = 0
    objects: int = 0

    def add(self, frames: Iterable[AssignedIds]) -> None:
        """Count the ids of one drive.

        Args:
            frames: The assigned ids of each frame.
        """
        last: dict[int, tuple[int, int]] = {}
        for frame, ids in enumerate(frames):
            for thing, assigned in ids.items():
                if thing in last:
                    last_frame, last_id = last[thing]
                    self.switches += assigned != last_id
                    count = self.links if last_frame == frame - 1 else self.gaps
                    if frame - last_frame <= MAX_GAP_FRAMES + 1:
                        count.right += assigned == last_id
                        count.total += 1
                last[thing] = frame, assigned
        self.objects += len(last)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} %"


COLUMNS: dict[str, Callable[[Row], Any]] = {
    "segmentation": lambda row: row["segmentation"],
    "track_ids": lambda row: row["track_ids"],
    "links right": lambda row: _percent(row["links_right_percent"]),
    "gaps right": lambda row: _percent(row["gaps_right_percent"]),
    "switches": lambda row: row["switches"],
    "links": lambda row: row["links"],
    "gaps": lambda row: row["gaps"],
    "objects": lambda row: row["objects"],
    "ms/frame": lambda row: row["tracker_ms_per_frame"],
}


def main() -> None:
    """Run the benchmark from the command line."""
    parser = harness.arguments(__doc__ or "")
    parser.add_argument("--drives", type=int, default=3, help="number of drives")
    parser.add_argument("--frames", type=int, default=120, help="frames per drive")
    parser.add_argument("--fps", type=float, default=10.0, help="frames per second")
    options = parser.parse_args()
    frames = {"num_frames": options.frames, "fps": options.fps}
    drives = [
        [truth for _, truth in SyntheticDrive(EVALUATION_SEEDS_FROM + number, **frames)]
        for number in range(options.drives)
    ]
    rows = [
        measure(drives, segmentation, tracker) | {"segmentation": segmentation, "track_ids": tracker}
        for segmentation in SEGMENTATIONS
        for tracker in TRACKERS
    ]
    title = f"{options.drives} drives of {options.frames} frames, 256×512 px, {options.fps:g} frames/s"
    harness.report("tracking", f"How well instances keep their ids: {title}", rows, COLUMNS, options)


def measure(drives: list[list[PanopticPrediction]], segmentation: str, tracker_name: str) -> dict[str, Any]:
    """Return the figures of one segmentation and one tracker.

    Args:
        drives: Ground truth of the frames of each drive.
        segmentation: A key of SEGMENTATIONS.
        tracker_name: A key of TRACKERS.
    """
    score, busy_s, num_frames = Score(), 0.0, 0
    make_tracker = TRACKERS[tracker_name]
    for seed, truths in enumerate(drives):
        rng = np.random.default_rng(seed)
        tracker = make_tracker() if make_tracker else None
        frames = []
        for truth in truths:
            seen = observed(truth, SEGMENTATIONS[segmentation], rng, largest_first="largest" in tracker_name)
            start_s = time.perf_counter()
            seen = tracker.update(seen) if tracker else seen
            busy_s += time.perf_counter() - start_s
            frames.append(assigned_ids(truth, seen))
        score.add(frames)
        num_frames += len(truths)
    return {
        "links_right_percent": score.links.percent,
        "links": score.links.total,
        "gaps_right_percent": score.gaps.percent,
        "gaps": score.gaps.total,
        "switches": score.switches,
        "objects": score.objects,
        "tracker_ms_per_frame": 1e3 * busy_s / num_frames if make_tracker else None,
    }


def observed(
    truth: PanopticPrediction, faults: Faults, rng: np.random.Generator, *, largest_first: bool
) -> PanopticPrediction:
    """Return what a segmentation of single images with these faults makes of a frame.

    Args:
        truth: Ground truth of the frame.
        faults: Faults of the segmentation.
        rng: Random number generator.
        largest_first: Whether ids are assigned from the largest segment to the smallest instead of in random order.
    """
    segment_map = np.zeros_like(truth.segment_map)
    segments: list[Segment] = []
    for segment in truth.segments:
        mask = truth.segment_map == segment.id
        if segment.is_thing and rng.random() < faults.eroded:
            mask = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        area_px = int(np.count_nonzero(mask))
        if area_px == 0 or (segment.is_thing and (area_px < MIN_AREA_PX or rng.random() < faults.missed)):
            continue
        x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
        box = (x, y, x + width, y + height)
        segments.append(Segment(segment.id, segment.class_id, segment.label, segment.is_thing, 1.0, area_px, box))
        segment_map[mask] = segment.id
    if largest_first:
        segments.sort(key=lambda segment: -segment.area_px)
    else:
        rng.shuffle(segments)
    new_ids = np.zeros(segment_map.max() + 1, np.int32)
    new_ids[[segment.id for segment in segments]] = np.arange(1, len(segments) + 1)
    renamed = tuple(replace(segment, id=number + 1) for number, segment in enumerate(segments))
    return PanopticPrediction(new_ids[segment_map], renamed, truth.classes)


def assigned_ids(truth: PanopticPrediction, seen: PanopticPrediction) -> AssignedIds:
    """Return the id that each object was assigned: an object and its instance share their pixels.

    Args:
        truth: Ground truth of the frame.
        seen: Segmentation of the frame, with or without tracking.
    """
    columns = int(seen.instance_map.max()) + 1
    pairs = np.flatnonzero(np.bincount((truth.segment_map * columns + seen.instance_map).ravel()))
    things = {segment.id for segment in truth.segments if segment.is_thing}
    return {int(pair // columns): int(pair % columns) for pair in pairs if pair // columns in things and pair % columns}


if __name__ == "__main__":
    main()
