# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The weights in the package give the same maps on every way to them."""

from __future__ import annotations

import subprocess
import sys

import cv2
import numpy as np
import pytest

from opendr_panoptic_ros.data import Image
from opendr_panoptic_ros.inference import PanopticSegmenter
from opendr_panoptic_ros.synthetic.scenes import EVALUATION_SEEDS_FROM, SyntheticScenes

pytestmark = pytest.mark.ros
pytest.importorskip("rclpy")


def test_learner_command_and_node_give_the_segmenters_maps(bench, tmp_path):
    pytest.importorskip("mmdet")
    from opendr_panoptic_ros.learner import EfficientPsLearner

    image, truth = SyntheticScenes([EVALUATION_SEEDS_FROM])[0]
    pixels = image.convert("channels_last")
    expected = PanopticSegmenter("demo", device="cpu", backend="auto")(pixels)
    assert (expected.semantic_map == truth.semantic_map).mean() > 0.8, "a network that has learnt nothing shows little"
    assert sum(segment.is_thing for segment in expected.segments) >= 2

    learner = EfficientPsLearner(device="cpu")
    assert learner.load("demo")
    instance, semantic = learner.infer(Image(image.convert("channels_first"), guess_format=False))
    assert np.array_equal(instance.data, expected.instance_map)
    assert np.array_equal(semantic.data, expected.semantic_map)

    cv2.imwrite(str(tmp_path / "street.png"), pixels[:, :, ::-1])
    command = [sys.executable, "-m", "opendr_panoptic_ros", "infer", tmp_path / "street.png", "--checkpoint", "demo"]
    options = ["--device", "cpu", "--format", "labels", "--out", tmp_path / "results"]
    subprocess.run([*map(str, command), *map(str, options)], check=True, capture_output=True)
    for name, expected_map in (("semantic", expected.semantic_map), ("instance", expected.instance_map)):
        written = cv2.imread(str(tmp_path / "results" / f"street_{name}.png"), cv2.IMREAD_UNCHANGED)
        assert written is not None
        assert np.array_equal(written, expected_map), name

    bench.active_node(checkpoint="demo", device="cpu")
    received = {topic: bench.subscribe(f"panoptic/{topic}") for topic in ("semantic", "instance", "panoptic")}
    bench.send(bench.camera(), pixels, stamp_ns=1)
    bench.wait_for(lambda: all(received.values()), "a message on every topic")
    assert received["semantic"][0].data.tobytes() == expected.semantic_map.tobytes()
    assert received["instance"][0].data.tobytes() == expected.instance_map.tobytes()
    assert received["panoptic"][0].data.tobytes() == expected.panoptic_ids.tobytes()
