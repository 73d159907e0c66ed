# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""`opendr-panoptic bag` on bags of all kinds."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import typer
import yaml
from rosbags.rosbag2 import StoragePlugin, Writer
from support.bags import ORIGIN_NS, STAMP_NS, STEP_NS, drive, frames_in, pictures, pixels, read_bag, stamp_ns
from support.paths import ROOT

from opendr_panoptic_ros import visualize
from opendr_panoptic_ros.bags.groups import grouped
from opendr_panoptic_ros.bags.reader import Message
from opendr_panoptic_ros.bags.results import result_prefixes
from opendr_panoptic_ros.bags.types import IMAGE, typestore
from opendr_panoptic_ros.cli.main import app
from opendr_panoptic_ros.inference import PanopticSegmenter
from opendr_panoptic_ros.label_map import LabelMap
from opendr_panoptic_ros.labels import CITYSCAPES
from opendr_panoptic_ros.rotation import rotated, rotated_prediction

LABELS = ("semantic", "instance", "panoptic", "segmentation")
LISTS = ("detections", "annotations")


def content_of(path: Path) -> dict[str, tuple[str, int]]:
    files = [path] if path.is_file() else sorted(path.rglob("*"))
    return {str(f): (hashlib.sha256(f.read_bytes()).hexdigest(), f.stat().st_mtime_ns) for f in files if f.is_file()}


@pytest.mark.parametrize("kind", ["ros1", "sqlite3", "mcap"])
def test_every_kind_of_bag(run_bag, make_bag, tmp_path, tiny_checkpoint, kind):
    sent = drive(5)
    source = make_bag([*sent, ("/chatter", 5 * STEP_NS, "hello")], kind)
    before = content_of(source)
    code, out, err = run_bag(source, "out", "--batch", 1, "--only")
    assert (code, out) == (0, "5 frames segmented, results in out\n")
    assert re.search(r"100 % 5 frames time left \d+:\d\d:\d\d", err)
    assert content_of(source) == before
    assert sorted(p.name for p in tmp_path.iterdir()) == [source.name, "out"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["metadata.yaml", "out.mcap"]

    messages = read_bag(tmp_path / "out")
    outputs = [*LABELS, "semantic_color", "instance_color", "rgb_visualization"]
    assert set(messages) == {"/cam/image_raw", *(f"/cam/panoptic/{name}" for name in (*outputs, *LISTS, "label_info"))}
    (labels,) = messages["/cam/panoptic/label_info"].values()
    assert {entry.class_id: entry.class_name for entry in labels.class_map} == dict(enumerate(CITYSCAPES.names))
    segmenter = PanopticSegmenter(tiny_checkpoint, backend="auto")
    for _, time_ns, picture in sent:
        got = {output: messages[f"/cam/panoptic/{output}"][ORIGIN_NS + time_ns] for output in outputs}
        image = messages["/cam/image_raw"][ORIGIN_NS + time_ns]
        assert np.array_equal(pixels(image), picture)
        for message in (image, *got.values(), got["segmentation"].segment_map):
            assert (stamp_ns(message), message.header.frame_id) == (ORIGIN_NS + time_ns - STAMP_NS, "optical")
        expected = segmenter(picture)
        assert any(s.is_thing for s in expected.segments), "a test without instances shows little"
        assert np.array_equal(pixels(got["semantic"]), expected.semantic_map)
        assert np.array_equal(pixels(got["instance"]), expected.instance_map)
        assert np.array_equal(pixels(got["panoptic"]), expected.panoptic_ids)
        assert np.array_equal(pixels(got["segmentation"].segment_map), expected.segment_map)
        assert np.array_equal(pixels(got["semantic_color"]), visualize.semantic_color(expected))
        assert np.array_equal(pixels(got["instance_color"]), visualize.instance_color(expected))
        assert np.array_equal(pixels(got["rgb_visualization"]), visualize.overlay(picture, expected))
        assert [got[output].encoding for output in LABELS[:3]] == ["mono8", "mono16", "32SC1"]
        detections = messages["/cam/panoptic/detections"][ORIGIN_NS + time_ns]
        annotations = messages["/cam/panoptic/annotations"][ORIGIN_NS + time_ns]
        assert stamp_ns(detections) == ORIGIN_NS + time_ns - STAMP_NS
        things = [s for s in expected.segments if s.is_thing]
        assert [d.id for d in detections.detections] == [str(s.id) for s in things]
        assert [d.results[0].hypothesis.class_id for d in detections.detections] == [s.label for s in things]
        assert [t.text for t in annotations.texts] == [f"{s.label} {s.score:.2f} #{s.id}" for s in things]
        for info, s in zip(got["segmentation"].segments, expected.segments, strict=True):
            assert (info.id, info.class_id, info.label, info.is_thing) == (s.id, s.class_id, s.label, s.is_thing)
            assert (info.area_px, tuple(info.box_xyxy_px)) == (s.area_px, s.box_xyxy_px)
            assert info.score == pytest.approx(s.score, nan_ok=True)


def test_a_single_file_in_and_out(run_bag, make_bag, tmp_path):
    source = make_bag(drive(3))
    code, _, _ = run_bag(source / "in.mcap", "out.mcap", "--no-colors", "--no-overlay")
    assert code == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "out.mcap"]
    messages = read_bag(tmp_path / "out.mcap")
    assert set(messages) == {"/cam/image_raw", *(f"/cam/panoptic/{name}" for name in (*LABELS, *LISTS, "label_info"))}
    assert frames_in(messages, "/cam/panoptic/semantic") == [0, 1, 2]


def test_chosen_outputs(run_bag, make_bag, tmp_path, tiny_checkpoint):
    source = make_bag(drive(2))
    code, _, err = run_bag(source, "out", "--outputs", "mask,confidence", "--outputs", "packed", "--batch", 1)
    assert code == 0, err
    messages = read_bag(tmp_path / "out")
    assert set(messages) == {"/cam/image_raw", *(f"/cam/panoptic/{name}" for name in ("mask", "confidence", "packed"))}
    segmenter = PanopticSegmenter(tiny_checkpoint, backend="auto")
    for _, time_ns, picture in drive(2):
        got = {name: pixels(messages[f"/cam/panoptic/{name}"][ORIGIN_NS + time_ns]) for name in ("mask", "packed")}
        expected = segmenter(picture, with_confidence=True)
        things = {s.label for s in expected.segments if s.is_thing}
        assert np.array_equal(got["mask"], expected.class_mask(things))
        assert np.array_equal(got["packed"], expected.packed_map)
        confidence = messages["/cam/panoptic/confidence"][ORIGIN_NS + time_ns]
        assert np.array_equal(pixels(confidence), expected.confidence_map)
    code, _, err = run_bag(source, "none", "--outputs", "masks")
    assert code == 1
    assert "--outputs has 'masks'; expected some of semantic, instance" in err


def test_label_map(run_bag, make_bag, tmp_path, tiny_checkpoint):
    source = make_bag(drive(1))
    options = "--outputs", "semantic,mask", "--label-map", "navigation"
    code, _, err = run_bag(source, "out", *options)
    assert code == 0, err
    messages = read_bag(tmp_path / "out")
    segmenter = PanopticSegmenter(tiny_checkpoint, backend="auto")
    label_map = LabelMap.load("navigation", segmenter.config.classes)
    (_, time_ns, picture) = drive(1)[0]
    expected = label_map.apply(segmenter(picture))
    got = {name: pixels(messages[f"/cam/panoptic/{name}"][ORIGIN_NS + time_ns]) for name in ("semantic", "mask")}
    assert np.array_equal(got["semantic"], expected.semantic_map)
    assert np.array_equal(got["mask"], expected.class_mask(label_map.moving_classes))
    code, _, err = run_bag(source, "none", *options, "--classes", "car")
    assert code == 1
    assert "--classes has 'car'; expected some of free, sidewalk" in err


def test_messages_outside_the_times_of_the_metadata_are_there_too(run_bag, make_bag, tmp_path):
    """As where one that came late has moved the beginning back, and the duration stayed."""
    source = make_bag(drive(4))
    file = source / "metadata.yaml"
    metadata = yaml.safe_load(file.read_text())
    metadata["rosbag2_bagfile_information"]["duration"]["nanoseconds"] = 2 * STEP_NS
    file.write_text(yaml.safe_dump(metadata))
    code, _, err = run_bag(source, "out")
    assert code == 0, err
    assert frames_in(read_bag(tmp_path / "out")) == [0, 1, 2, 3]


def test_compressed_images(run_bag, make_bag, tmp_path, tiny_checkpoint):
    sent = [
        ("/cam/image_raw/compressed", time_ns, cv2.imencode(".png", picture[:, :, ::-1])[1].tobytes())
        for _, time_ns, picture in drive(3)
    ]
    code, _, err = run_bag(make_bag(sent), "out", "--batch", 1)
    assert code == 0, err
    messages = read_bag(tmp_path / "out")
    assert messages["/cam/image_raw/compressed"][ORIGIN_NS].data.tobytes() == sent[0][2]
    segmenter = PanopticSegmenter(tiny_checkpoint, backend="auto")
    for _, time_ns, picture in drive(3):
        got = messages["/cam/panoptic/panoptic"][ORIGIN_NS + time_ns]
        assert np.array_equal(pixels(got), segmenter(picture).panoptic_ids)


def test_several_topics_of_several_sizes_in_batches(run_bag, make_bag, tmp_path, tiny_checkpoint):
    front, rear = drive(5, "/front/image_raw"), drive(5, "/rear/image_raw", height=33, width=97)
    sent = sorted([*front, *rear, *drive(2, "/other/image_raw")], key=lambda message: message[1])
    source = make_bag(sent)
    code, _, err = run_bag(source, "none")
    assert code == 1
    assert "several topics" in err
    assert "/other/image_raw (2 sensor_msgs/msg/Image)" in err
    topics = ("--topic", "/front/image_raw", "--topic", "/rear/image_raw", "--only")
    code, out, _ = run_bag(source, "out", *topics, "--batch", 3)
    assert (code, out) == (0, "10 frames segmented, results in out\n")
    messages = read_bag(tmp_path / "out")
    assert not [topic for topic in messages if topic.startswith("/other")]
    segmenter = PanopticSegmenter(tiny_checkpoint, backend="auto")
    for topic, time_ns, picture in (*front, *rear):
        got = pixels(messages[topic.replace("image_raw", "panoptic/semantic")][ORIGIN_NS + time_ns])
        # A batch may round differently from a single image.
        assert (got == segmenter(picture).semantic_map).mean() > 0.99


def test_names_of_the_results():
    assert result_prefixes(["/image_raw"]) == {"/image_raw": "/panoptic"}
    assert result_prefixes(["/a/image_raw/compressed", "/b/c/image"]) == {
        "/a/image_raw/compressed": "/a/panoptic",
        "/b/c/image": "/b/c/panoptic",
    }
    assert result_prefixes(["/a/left", "/a/right"]) == {"/a/left": "/a/left/panoptic", "/a/right": "/a/right/panoptic"}
    assert result_prefixes(["/image", "/panoptic/rgb_visualization"]) == {
        "/image": "/image/panoptic",
        "/panoptic/rgb_visualization": "/panoptic/panoptic",
    }
    assert result_prefixes(["/a", "/b", "/a/image"]) == {
        topic: f"{topic}/panoptic" for topic in ("/a", "/b", "/a/image")
    }


@pytest.mark.parametrize(
    ("options", "frames"),
    [
        (["--start", 0.3], [3, 4, 5, 6, 7]),
        (["--end", 0.3], [0, 1, 2]),
        (["--start", 0.25, "--end", 0.5], [3, 4]),
        (["--every", 3], [0, 3, 6]),
        (["--every", 3, "--start", 0.1], [3, 6]),  # counted from the bag's beginning
    ],
)
def test_a_part_of_a_bag(run_bag, make_bag, tmp_path, options, frames):
    code, _, _ = run_bag(make_bag(drive(8)), "out", *options)
    assert code == 0
    messages = read_bag(tmp_path / "out")
    assert frames_in(messages) == frames_in(messages, "/cam/panoptic/segmentation") == frames


def test_track_ids(run_bag, make_bag, tmp_path):
    """The same picture four times: what is found keeps its id, and stuff has one that no instance has."""
    picture = pictures(1)[0]
    code, _, _ = run_bag(make_bag([("/image", i * STEP_NS, picture) for i in range(4)]), "out", "--track-ids")
    assert code == 0
    maps = [pixels(message) for message in read_bag(tmp_path / "out")["/panoptic/panoptic"].values()]
    assert all(np.array_equal(maps[0], later) for later in maps[1:])


def test_classes_and_ego_mask(run_bag, make_bag, tmp_path, tiny_checkpoint):
    """As the node's parameters of these names: other classes and the robot itself are void, in every output."""
    source = make_bag(drive(2))
    mask = np.zeros((48, 64), np.uint8)
    mask[40:] = 255
    cv2.imwrite(str(tmp_path / "ego.png"), mask)
    segmenter = PanopticSegmenter(tiny_checkpoint, backend="auto")
    expected = [segmenter(picture) for _, _, picture in drive(2)]
    chosen = sorted({segment.label for prediction in expected for segment in prediction.segments})[:2]
    code, _, err = run_bag(source, "out", "--classes", ", ".join(chosen), "--ego-mask", "ego.png", "--batch", 1)
    assert code == 0, err
    messages = read_bag(tmp_path / "out")
    names = segmenter.config.classes.names
    for prediction, message in zip(expected, messages["/cam/panoptic/semantic"].values(), strict=True):
        kept = np.isin(prediction.semantic_map, [names.index(name) for name in chosen]) & (mask == 0)
        assert 0 < kept.sum() < kept.size
        assert np.array_equal(pixels(message), np.where(kept, prediction.semantic_map, 255))
    for options, reason in {
        ("--classes", "car,unicorn"): "--classes has 'unicorn'; expected some of ",
        ("--ego-mask", "missing.png"): "The ego_mask missing.png is not a file that contains an image",
        ("--ego-mask", "ego.png", "--ego-mask", "ego.png"): "--ego-mask is given 2 times for 1 topics",
    }.items():
        code, _, err = run_bag(source, "other", *options)
        assert (code, (tmp_path / "other").exists()) == (1, False)
        assert reason in err
    cv2.imwrite(str(tmp_path / "small.png"), mask[:10])
    code, out, err = run_bag(source, "other", "--ego-mask", "small.png")
    assert (code, out) == (1, "0 frames segmented, results in other\n")
    assert "its ego_mask small.png is 64x10" in err


def test_image_rotation(run_bag, make_bag, tmp_path, tiny_checkpoint):
    """The network gets the upright image; results lie on the image of the bag."""
    source = make_bag(drive(2))
    code, _, err = run_bag(source, "out", "--image-rotation", 90, "--batch", 1)
    assert code == 0, err
    segmenter = PanopticSegmenter(tiny_checkpoint, backend="auto")
    got = read_bag(tmp_path / "out")["/cam/panoptic/panoptic"].values()
    for (_, _, picture), message in zip(drive(2), got, strict=True):
        expected = rotated_prediction(segmenter(rotated(picture, 90)), 270)
        assert np.array_equal(pixels(message), expected.panoptic_ids)
    for options, reason in {
        ("--image-rotation", 45): "--image-rotation is 45; expected one of 0, 90, 180, 270",
        ("--image-rotation", 0, "--image-rotation", 90): "--image-rotation has 2 values for 1 cameras",
    }.items():
        code, _, err = run_bag(source, "other", *options)
        assert (code, (tmp_path / "other").exists()) == (1, False)
        assert reason in err


def test_what_is_suspicious_about_a_bag_is_printed(run_bag, make_bag, tmp_path):
    source = make_bag(drive(2))
    metadata = (source / "metadata.yaml").read_text()
    (source / "metadata.yaml").write_text(metadata.replace("message_count: 2\n", "message_count: 3\n"))
    code, _, err = run_bag(source, "out")
    assert code == 0
    assert "metadata.yaml counts 3 messages, the files hold 2; the recording may be incomplete." in err
    assert frames_in(read_bag(tmp_path / "out")) == [0, 1]


def test_a_broken_frame_is_named_and_the_others_are_done(run_bag, make_bag, tmp_path):
    sent = [
        ("/cam/compressed", time_ns, cv2.imencode(".jpg", picture)[1].tobytes()) for _, time_ns, picture in drive(4)
    ]
    sent[2] = (*sent[2][:2], b"\xff\xd8 not a picture")
    code, out, err = run_bag(make_bag(sent), "out")
    assert (code, out) == (1, "3 frames segmented, results in out\n")
    assert f"/cam/compressed at {ORIGIN_NS + 2 * STEP_NS} ns: The compressed image" in err
    messages = read_bag(tmp_path / "out")
    assert frames_in(messages, "/cam/compressed") == [0, 1, 2, 3]
    (topic,) = (topic for topic in messages if topic.endswith("panoptic/semantic"))
    assert frames_in(messages, topic) == [0, 1, 3]


def test_a_topic_without_messages(run_bag, tmp_path):
    with Writer(tmp_path / "in", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        writer.add_connection("/image", IMAGE, typestore=typestore())
    assert run_bag("in", "out")[::2] == (1, "opendr-panoptic: There are no messages on /image.\n")
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_what_cannot_be_done_leaves_nothing(run_bag, make_bag, tmp_path):
    source = make_bag(drive(2))
    (tmp_path / "there").mkdir()
    (tmp_path / "text.mcap").write_text("no bag")
    (tmp_path / "foreign.partial").mkdir()
    (tmp_path / "foreign.partial" / "thesis.txt").write_text("mine")
    (tmp_path / "link").symlink_to("missing")
    before = content_of(tmp_path)
    for arguments, reason in {
        (source, "there"): "there exists",
        (source, "foreign"): "foreign.partial cannot be replaced: it exists and is not a folder of unfinished work",
        (source, "link"): "link is a link to missing, which is missing; choose another name",
        (source, source / "out"): "is inside the input",
        ("missing", "out"): "missing cannot be read as a bag",
        ("text.mcap", "out"): "text.mcap cannot be read as a bag",
        (source, "out.bag"): "out.bag has the ending of ROS 1 bags; the result is MCAP",
        (source, "text.mcap/out"): "text.mcap is not a writable folder",
        (source, "out", "--topic", "/none"): "no images on /none, but on: /cam/image_raw (2 sensor_msgs/msg/Image)",
        (source, "out", "--start", "7"): "the bag lasts 0.100 s",
        (make_bag([("/chatter", 0, "hello")], "mcap", "words"), "out"): "The bag has no images. Its topics: /chatter",
        (source, "out", "--start", "0.01", "--end", "0.02"): "There are no frames in this time",
    }.items():
        code, _, err = run_bag(*arguments)
        assert code == 1, arguments
        assert reason in err, arguments
        assert "Traceback" not in err
    after = content_of(tmp_path)
    assert {path: after[path] for path in before} == before
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.partial").exists()


@pytest.mark.timeout(120)
def test_pipes_and_devices_do_not_hang_the_command(run_bag, make_bag, tmp_path):
    source = make_bag(drive(2))
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe.mcap", "pipe.db3", "pipe.bag"):
        os.mkfifo(tmp_path / name)
    (tmp_path / "zero.mcap").symlink_to("/dev/zero")
    for name, replaced in (("inside", "in.mcap"), ("metadata", "metadata.yaml")):
        shutil.copytree(source, tmp_path / name)
        (tmp_path / name / replaced).unlink()
        os.mkfifo(tmp_path / name / replaced)
    for arguments in (
        *(("pipe",), ("pipe.mcap",), ("pipe.db3",), ("pipe.bag",), ("zero.mcap",), ("/dev/zero",), ("inside",)),
        (source, "pipe"),
        (source, "out", "--ego-mask", "pipe"),
        (source, "out", "--config", "pipe"),
    ):
        code, _, err = run_bag(*arguments, *(["out"] if len(arguments) == 1 else []))
        assert (code, "Traceback" in err) == (1, False), (arguments, err)
        assert not (tmp_path / "out").exists()
    assert run_bag("metadata", "out")[0] == 0, "a folder without metadata.yaml is read, too"


def test_the_page_names_the_options_that_there_are():
    page = (ROOT / "docs" / "bags.md").read_text("utf-8")
    group: Any = typer.main.get_command(app)
    options = {
        name
        for command in ("bag", "play")
        for p in group.commands[command].params
        for name in p.secondary_opts or p.opts
    }
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", page)) - {"--ros-args"}
    assert named == {name for name in options if name.startswith("--")}


def test_messages_of_one_time_stay_together():
    messages = [Message("/image", IMAGE, t, b"") for t in (1, 2, 2, 2, 3, 4)]
    assert [[m.time_ns for m in group] for group in grouped(messages, 2)] == [[1, 2, 2, 2], [3, 4]]


NO_ROS = """
import sys
class NoRos:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"rclpy", "sensor_msgs", "std_msgs", "rosidl_runtime_py", "ament_index_python"}:
            raise ModuleNotFoundError(f"No module named {name!r}")
sys.meta_path.insert(0, NoRos())
from opendr_panoptic_ros.cli.main import main
main()
"""


def test_no_ros_is_needed(make_bag, tmp_path, tiny_checkpoint, monkeypatch):
    import subprocess

    source = make_bag(drive(1))
    done = subprocess.run(
        [sys.executable, "-c", NO_ROS, "bag", source, tmp_path / "out", "--checkpoint", tiny_checkpoint, "--overlay"],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
