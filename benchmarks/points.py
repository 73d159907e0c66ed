# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Speed of labelled points, and the error of the boxes in 3D on synthetic drives.

    python benchmarks/points.py [--frames 20] [--checkpoint demo] [--out FOLDER]

Times are CPU seconds of one process, so that they do not depend on what else the machine does.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import cv2
import harness
import numpy as np
from harness import Row

from opendr_panoptic_ros.codec.cloud import append_fields, decode_xyz, encode_cloud
from opendr_panoptic_ros.inference import PanopticSegmenter
from opendr_panoptic_ros.points import (
    CameraModel,
    SegmentMaps,
    boxes_of_things,
    depth_in_metres,
    label_points,
    labelled_cloud,
    packed_colors,
)
from opendr_panoptic_ros.synthetic.drive import SyntheticDrive
from opendr_panoptic_ros.synthetic.scenes import EVALUATION_SEEDS_FROM

_LIDAR_POINTS = 130_000
_MIN_IOU = 0.5
_EVERY = 10


def cpu_ms(function: Callable[[], Any], repetitions: int = 20) -> float:
    """Return the CPU time of a call in milliseconds, after one call that is not counted.

    Args:
        function: What to call.
        repetitions: Number of calls.
    """
    function()
    start = time.process_time()
    for _ in range(repetitions):
        function()
    return 1000 * (time.process_time() - start) / repetitions


def speed() -> dict[str, float]:
    """Return CPU milliseconds for a depth image of 640x480 pixels and for a cloud of 130,000 points."""
    height, width = 480, 640
    drive = SyntheticDrive(EVALUATION_SEEDS_FROM, num_frames=80, height=height, width=width)
    _, truth = drive.sample(40)
    depth_mm = np.nan_to_num(drive.depth(40) * 1000).clip(0, 65535).astype(np.uint16)
    k = [500.0, 0, 320, 0, 500, 240, 0, 0, 1]
    info = SimpleNamespace(
        width=width, height=height, k=k, d=[-0.1, 0.05, 0, 0, 0], distortion_model="plumb_bob", p=[0] * 12
    )
    camera = CameraModel.from_message(info)

    def cloud_of_depth() -> Any:
        maps = SegmentMaps.of(truth.segment_map, truth.segments)
        cloud = labelled_cloud(depth_in_metres(depth_mm), camera, maps.labels, maps.instances, maps.palette)
        return encode_cloud(cloud), cloud

    rng = np.random.default_rng(0)
    angle, distance = rng.uniform(-np.pi, np.pi, _LIDAR_POINTS), rng.uniform(2, 80, _LIDAR_POINTS)
    points = np.zeros(_LIDAR_POINTS, [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("intensity", "<f4")])
    points["x"], points["z"] = distance * np.sin(angle), distance * np.cos(angle)
    points["y"] = distance * rng.uniform(-0.3, 0.1, _LIDAR_POINTS)
    message = encode_cloud(points)

    def labelled_lidar() -> Any:
        maps = SegmentMaps.of(truth.segment_map, truth.segments)
        labels, instances = label_points(decode_xyz(message), camera, maps.labels, maps.instances)
        rgba = packed_colors(maps.palette)[labels]
        return append_fields(message, {"rgba": rgba, "label": labels.astype(np.uint32), "instance": instances})

    return {
        "depth_640x480_ms": cpu_ms(cloud_of_depth),
        "boxes_640x480_ms": cpu_ms(lambda: boxes_of_things(cloud_of_depth()[1])),
        "lidar_130000_points_ms": cpu_ms(labelled_lidar),
    }


def box_errors(checkpoint: str, frames: int) -> dict[str, float]:
    """Return how well the boxes of predicted things agree with those of the true masks, both from exact depths.

    Args:
        checkpoint: The weights.
        frames: Number of frames, one second apart, from drives of 20 s.
    """
    segmenter = PanopticSegmenter(checkpoint, device="cpu")
    num_true = num_matched = num_close = 0
    errors_m: list[float] = []
    for number in range(frames):
        drive_number, index = divmod(number * _EVERY, 200)
        drive = SyntheticDrive(EVALUATION_SEEDS_FROM + 500 + drive_number, num_frames=200)
        image, truth = drive.sample(index)
        (prediction,) = segmenter([image])
        maps = SegmentMaps.of(prediction.segment_map, prediction.segments)
        cloud = labelled_cloud(
            drive.depth(index), drive.camera, maps.labels, maps.instances, maps.palette, is_rectified=False
        )
        found, true = boxes_of_things(cloud), drive.boxes(index)
        class_of = {segment.id: segment.class_id for segment in prediction.segments}
        true_class_of = {segment.id: segment.class_id for segment in truth.segments}
        num_true += len(true)
        for true_id, box in true.items():
            mask = truth.segment_map == true_id
            for found_id in np.unique(prediction.segment_map[mask]).tolist():
                other = prediction.segment_map == found_id
                iou = (mask & other).sum() / (mask | other).sum()
                if found_id in found and class_of[found_id] == true_class_of[true_id] and iou > _MIN_IOU:
                    error_m = float(np.linalg.norm(np.subtract(found[found_id].center_m, box.center_m)))
                    num_matched += 1
                    num_close += error_m <= max(0.5, 0.05 * float(np.linalg.norm(box.center_m)))
                    errors_m.append(error_m)
    return {
        "true_boxes": num_true,
        "matched": num_matched,
        "close_share_of_matched": num_close / max(num_matched, 1),
        "close_share_of_all": num_close / max(num_true, 1),
        "median_error_m": float(np.median(errors_m)) if errors_m else float("nan"),
    }


COLUMNS: dict[str, Callable[[Row], Any]] = {"what": lambda row: row["what"], "value": lambda row: row["value"]}


def main() -> None:
    """Run the benchmark from the command line."""
    parser = harness.arguments(__doc__ or "")
    parser.add_argument("--frames", type=int, default=20, help="frames for the error of the boxes; 0 for none")
    parser.add_argument("--checkpoint", default="demo", help="the weights")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    result: dict[str, float] = speed()
    if options.frames:
        result |= box_errors(options.checkpoint, options.frames)
    rows = [{"what": name, "value": value} for name, value in result.items()]
    harness.report("points", "Labelled points and boxes in 3D", rows, COLUMNS, options)


if __name__ == "__main__":
    main()
