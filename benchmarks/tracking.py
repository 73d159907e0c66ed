# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""How well instances keep their ids on generated drives, with tracking and without: `python benchmarks/tracking.py`.

The truth of the drives is given to the tracker with new ids in every frame, as a segmentation without memory gives
them: in random order, and from the largest instance to the smallest. Then with faults: instances missed at random,
and outlines that come and go.

links: an object is found in two frames that follow each other; right, if its id is the same in both.
gaps: an object is found again after 1 to 5 frames without it. switches: an object is found with another id than when
it was found before, however long ago that was (also after having left the picture).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import cv2
import numpy as np

from opendr_panoptic_ros.prediction import PanopticPrediction, Segment
from opendr_panoptic_ros.synthetic.drive import SyntheticDrive
from opendr_panoptic_ros.synthetic.scenes import EVALUATION_SEEDS_FROM
from opendr_panoptic_ros.tracking import InstanceTracker

MIN_AREA_PX = 20  # a network finds nothing smaller
GAP_FRAMES = 5

Ids = dict[int, int]  # the object's own id to the id it was given


@dataclass
class Faults:
    """missed: share of the instances left out of a frame. eroded: share whose outline loses a pixel all around."""

    missed: float = 0.0
    eroded: float = 0.0


@dataclass
class Score:
    """links, gaps: right ones and all."""

    links: list[int] = field(default_factory=lambda: [0, 0])
    gaps: list[int] = field(default_factory=lambda: [0, 0])
    switches: int = 0
    objects: int = 0

    def add(self, frames: Iterable[Ids]) -> None:
        """Count one drive."""
        last: dict[int, tuple[int, int]] = {}
        for number, ids in enumerate(frames):
            for thing, given in ids.items():
                if thing in last:
                    seen, before = last[thing]
                    self.switches += given != before
                    counted = self.links if seen == number - 1 else self.gaps
                    if number - seen <= GAP_FRAMES + 1:
                        counted[0] += given == before
                        counted[1] += 1
                last[thing] = number, given
        self.objects += len(last)


def observed(truth: PanopticPrediction, faults: Faults, rng: np.random.Generator, order: str) -> PanopticPrediction:
    """What a segmentation with these faults and without memory makes of a frame."""
    segment_map, segments = np.zeros_like(truth.segment_map), []
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
    if order == "random":
        rng.shuffle(segments)
    else:
        segments.sort(key=lambda segment: -segment.area_px)
    new_ids = np.zeros(segment_map.max() + 1, np.int32)
    new_ids[[segment.id for segment in segments]] = np.arange(1, len(segments) + 1)
    renamed = tuple(Segment(i + 1, *list(vars(s).values())[1:]) for i, s in enumerate(segments))
    return PanopticPrediction(new_ids[segment_map], renamed, truth.classes)


def given_ids(truth: PanopticPrediction, seen: PanopticPrediction) -> Ids:
    """The id that each object was given: objects and instances share their pixels."""
    columns = int(seen.instance_map.max()) + 1
    pairs = np.flatnonzero(np.bincount((truth.segment_map * columns + seen.instance_map).ravel()))
    things = {segment.id for segment in truth.segments if segment.is_thing}
    return {int(pair // columns): int(pair % columns) for pair in pairs if pair // columns in things and pair % columns}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--drives", type=int, default=3)
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--fps", type=float, default=10.0)
    options = parser.parse_args()
    drives = [
        [truth for _, truth in SyntheticDrive(EVALUATION_SEEDS_FROM + i, num_frames=options.frames, fps=options.fps)]
        for i in range(options.drives)
    ]
    print(f"{options.drives} drives of {options.frames} frames, 512x256, {options.fps:g} frames/s")
    print(f"{'segmentation':<34}{'track_ids':<22}{'links right':>14}{'gaps right':>13}{'switches':>10}{'ms/frame':>10}")
    rows = {
        "perfect": Faults(),
        "10 % missed": Faults(missed=0.1),
        "10 % missed, half of them eroded": Faults(missed=0.1, eroded=0.5),
    }
    trackers: dict[str, Callable[[], InstanceTracker] | None] = {
        "off, random order": None,
        "off, largest first": None,
        "on": InstanceTracker,
        "on, no memory": lambda: InstanceTracker(memory_frames=0),
    }
    for name, faults in rows.items():
        for setting, make_tracker in trackers.items():
            score, busy_s = Score(), 0.0
            for i, truths in enumerate(drives):
                rng = np.random.default_rng(i)
                tracker = make_tracker() if make_tracker else None
                frames = []
                for truth in truths:
                    seen = observed(truth, faults, rng, "size" if "largest" in setting else "random")
                    start_s = time.perf_counter()
                    seen = tracker.update(seen) if tracker else seen
                    busy_s += time.perf_counter() - start_s
                    frames.append(given_ids(truth, seen))
                score.add(frames)
            ms = f"{1000 * busy_s / options.drives / options.frames:.1f}" if make_tracker else ""
            print(f"{name:<34}{setting:<22}{share(score.links):>14}{share(score.gaps):>13}{score.switches:>10}{ms:>10}")
    print(f"{score.objects} objects; {score.links[1]} links and {score.gaps[1]} gaps in the last row")


def share(counts: list[int]) -> str:
    return f"{100 * counts[0] / counts[1]:.2f} %" if counts[1] else "-"


if __name__ == "__main__":
    main()
