# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""`LabelFrames` on batches as Ray Data makes them of MCAP files."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from mcap.reader import make_reader
from support.bags import ORIGIN_NS, STAMP_NS, STEP_NS, drive, pictures

from opendr_panoptic_ros.bags import LabelFrames
from opendr_panoptic_ros.bags.label_frames import OUTPUT_COLUMNS
from opendr_panoptic_ros.bags.options import NetworkOptions
from opendr_panoptic_ros.errors import ConfigError
from opendr_panoptic_ros.inference import PanopticSegmenter


def batch_of(path):
    """The columns that ray.data.read_mcap makes of a file."""
    rows = []
    with path.open("rb") as file:
        for schema, channel, message in make_reader(file).iter_messages():
            assert schema is not None
            rows.append((message.data, channel.topic, message.log_time, schema.name, message.sequence))
    names = ("data", "topic", "log_time", "schema_name", "sequence")
    return {name: np.array(column, object) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


def decoded(png):
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)


def test_labels_of_a_batch(make_bag, tiny_checkpoint):
    sent = [*drive(3), ("/chatter", 3 * STEP_NS, "hello"), ("/cam/image_raw/compressed", 4 * STEP_NS, b"no image")]
    batch = batch_of(make_bag(sent) / "in.mcap")
    label = LabelFrames(NetworkOptions(str(tiny_checkpoint)), label_map="identity")
    result = label(batch)
    assert tuple(result) == OUTPUT_COLUMNS
    assert result["topic"] == ["/cam/image_raw"] * 3 + ["/cam/image_raw/compressed"]
    assert result["log_time"] == [ORIGIN_NS + i * STEP_NS for i in (0, 1, 2, 4)]
    assert result["stamp_ns"][:3] == [ORIGIN_NS + i * STEP_NS - STAMP_NS for i in range(3)]
    assert (result["height"], result["width"]) == ([48, 48, 48, 0], [64, 64, 64, 0])
    assert [bool(error) for error in result["error"]] == [False, False, False, True]
    assert (result["semantic_png"][3], result["instance_png"][3], result["segments_json"][3]) == (b"", b"", "[]")
    segmenter = PanopticSegmenter(tiny_checkpoint)
    for place, prediction in enumerate(segmenter(pictures(3))):
        assert np.array_equal(decoded(result["semantic_png"][place]), prediction.semantic_map)
        assert np.array_equal(decoded(result["instance_png"][place]), prediction.instance_map)
        segments = json.loads(result["segments_json"][place])
        assert [(s["id"], s["label"], s["area_px"]) for s in segments] == [
            (s.id, s.label, s.area_px) for s in prediction.segments
        ]
        assert [s["score"] is None for s in segments] == [not s.is_thing for s in prediction.segments]


def test_wrong_batches_and_options(tiny_checkpoint):
    label = LabelFrames(NetworkOptions(str(tiny_checkpoint)), classes=["car"])
    with pytest.raises(ConfigError, match="include_metadata=True"):
        label({"data": [], "topic": [], "log_time": []})
    empty = label({"data": [], "topic": [], "log_time": [], "schema_name": []})
    assert empty == {name: [] for name in OUTPUT_COLUMNS}
    with pytest.raises(ConfigError, match="classes has spaceship"):
        LabelFrames(NetworkOptions(str(tiny_checkpoint)), classes=["spaceship"])
