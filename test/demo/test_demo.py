# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The command `opendr-panoptic demo` as a user runs it, and its parts that need no ROS."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from support.paths import ROOT
from support.waiting import PATIENCE_S, wait_for

from opendr_panoptic_ros.demo.source import open_source
from opendr_panoptic_ros.labels import CITYSCAPES
from opendr_panoptic_ros.outputs import OUTPUTS, SEGMENTATION
from opendr_panoptic_ros.points import CLOUD_DTYPE

RECORDED = (*OUTPUTS, SEGMENTATION)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder of twelve images of three sizes, and a file that is none."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for i in range(12):
        size = ((48, 64), (33, 97), (1, 1))[i % 3]
        cv2.imwrite(str(folder / f"{i:02}.png"), rng.integers(0, 256, (*size, 3), np.uint8))
    (folder / "notes.txt").write_text("no image")
    return folder


def run_demo(*arguments: Any, **options: Any) -> subprocess.Popen[str]:
    """The command, running from this folder's sources."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, str(ROOT / "scripts" / "opendr-panoptic"), "demo", *map(str, arguments)]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}, text=True, **options)


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def read_bag(bag: Path) -> dict[str, dict[int, Any]]:
    """Messages by topic and stamp in ns."""
    from rosbags.highlevel import AnyReader

    messages: dict[str, dict[int, Any]] = {}
    with AnyReader([bag]) as reader:
        for connection, _, data in reader.messages():
            message: Any = reader.deserialize(data, connection.msgtype)
            if not hasattr(message, "header"):  # markers, where visualization_msgs is installed
                continue
            stamp = message.header.stamp
            messages.setdefault(connection.topic, {})[stamp.sec * 10**9 + stamp.nanosec] = message
    return messages


@pytest.mark.ros
@pytest.mark.slow
def test_demo_leaves_a_bag_a_video_and_a_contact_sheet(tmp_path, tiny_checkpoint, pictures):
    pytest.importorskip("opendr_panoptic_ros.msg")
    out = tmp_path / "out"
    (out / "bag").mkdir(parents=True)
    (out / "bag" / "bag.mcap").write_text("left by an earlier run")
    (out / "bag" / "other.txt").write_text("not the demo's")
    options = ("--frames", 9, "--out", out, "--checkpoint", tiny_checkpoint, "--device", "cpu")
    process = run_demo(pictures, *options, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    printed, complaints = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, printed + complaints
    assert not complaints

    # The figures
    counts = json.loads((out / "result.json").read_text())
    assert counts["published"] == 9
    assert counts["received"] <= 9
    assert counts["received"] == counts["answered"] + counts["dropped"] + counts["failed"]
    assert counts["answered"] >= 1
    assert counts["failed"] == 0

    # The bag: every frame; for each answered one all outputs, with its stamp and its size
    messages = read_bag(out / "bag")
    frames = messages["/image_raw"]
    answers = {name: messages[f"/opendr/panoptic/{name}"] for name in RECORDED}
    assert len(frames) == 9
    assert {(m.height, m.width) for m in frames.values()} == {(48, 64), (33, 97), (1, 1)}
    for name in RECORDED:
        assert set(answers[name]) <= set(frames), name
        assert len(answers[name]) == counts["answered"], name
    for stamp_ns, segmentation in answers["segmentation"].items():
        segment_map = segmentation.segment_map
        assert (segment_map.height, segment_map.width) == (frames[stamp_ns].height, frames[stamp_ns].width)
        assert segment_map.encoding == answers["panoptic"][stamp_ns].encoding == "32SC1"
        ids = np.frombuffer(segment_map.data, np.int32)
        panoptic_ids = np.frombuffer(answers["panoptic"][stamp_ns].data, np.int32)
        assert {s.id for s in segmentation.segments} == set(ids.tolist()) - {0}
        for s in segmentation.segments:
            (panoptic_id,) = set(panoptic_ids[ids == s.id].tolist())
            dataset_id = CITYSCAPES.dataset_ids[s.class_id]
            assert (panoptic_id // 1000 if s.is_thing else panoptic_id) == dataset_id

    # Its metadata, of the version that every release reads, with the qualities of service
    metadata = yaml.safe_load((out / "bag" / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    topics = {each["topic_metadata"]["name"]: each["topic_metadata"] for each in metadata["topics_with_message_count"]}
    assert metadata["version"] == 8
    for name in ("/image_raw", *(f"/opendr/panoptic/{name}" for name in RECORDED)):
        (qos,) = yaml.safe_load(topics[name]["offered_qos_profiles"])
        assert (qos["reliability"], qos["durability"]) == (1, 2)  # reliable, volatile

    # The pictures
    video = cv2.VideoCapture(str(out / "overlay.webm"))
    assert video.read()[0]
    assert cv2.imread(str(out / "contact_sheet.png")) is not None
    assert "answered" in (out / "node.log").read_text()
    assert f"{counts['answered']} of 9 frames answered" in (out / "index.html").read_text()

    # Nothing else
    assert sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()) == [
        "bag/bag.mcap", "bag/metadata.yaml", "bag/other.txt", "contact_sheet.png", "index.html", "node.log",
        "overlay.webm", "result.json",
    ]  # fmt: skip


@pytest.mark.ros
@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "number", "status"),
    [
        ("starting the node", signal.SIGINT, 130),
        ("Hz …", signal.SIGINT, 130),
        ("Hz …", signal.SIGKILL, -signal.SIGKILL),
    ],
)
def test_no_process_is_left_when_the_demo_is_stopped(tmp_path, tiny_checkpoint, pictures, stage, number, status):
    pytest.importorskip("opendr_panoptic_ros.msg")
    out, log = tmp_path / "out", tmp_path / "log.txt"
    with log.open("wb") as file:
        process = run_demo(
            pictures, "--out", out, "--checkpoint", tiny_checkpoint, stdout=file, stderr=subprocess.STDOUT
        )
    try:
        wait_for(lambda: stage in log.read_text() or process.poll() is not None, stage)
        wait_for(lambda: len(children_of(process.pid)) == 2, "node and camera")
        children = children_of(process.pid)
        process.send_signal(number)
        assert process.wait(PATIENCE_S) == status, log.read_text()
    finally:
        process.kill()
        process.wait()
    wait_for(lambda: not any(map(is_alive, children)), "the end of node and camera")
    if number != signal.SIGKILL:
        assert "Stopped" in log.read_text()
        assert list(out.iterdir()) == []


@pytest.mark.ros
@pytest.mark.slow
def test_a_picture_that_cannot_be_read_ends_the_demo(tmp_path, tiny_checkpoint, pictures):
    pytest.importorskip("opendr_panoptic_ros.msg")
    # The name is not UTF-8, which neither OpenCV nor ROS accepts.
    folder, out = tmp_path / os.fsdecode(b"pictures \xdf"), tmp_path / "out"
    shutil.copytree(pictures, folder)
    whole = (folder / "00.png").read_bytes()
    (folder / "05.png").write_bytes(whole[: len(whole) // 2])
    process = run_demo(folder, "--out", out, "--checkpoint", tiny_checkpoint, stderr=subprocess.PIPE)
    _, complaints = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert "05.png is not an image" in complaints
    assert list(out.iterdir()) == []


@pytest.mark.ros
@pytest.mark.slow
def test_the_reason_of_a_node_that_does_not_start_is_printed(tmp_path, pictures):
    pytest.importorskip("opendr_panoptic_ros.msg")
    out = tmp_path / "out"
    process = run_demo(pictures, "--out", out, "--checkpoint", tmp_path / "missing.pth", stderr=subprocess.PIPE)
    _, complaints = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert "The node has ended with status 1" in complaints
    assert "missing.pth" in complaints
    assert "Traceback" not in complaints
    assert list(out.iterdir()) == []


def test_without_the_messages_the_error_names_the_remedy(tmp_path):
    """In an environment without ROS's generated messages: `-I` and a bare path leave colcon's folders out."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from opendr_panoptic_ros.cli.demo import demo; demo()"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert "PanopticError" in done.stderr
    assert "Run `make setup`" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_gives_its_images_in_the_order_of_their_names(pictures):
    source = open_source(pictures, 5)
    assert (source.count, source.size_px) == (5, (64, 48))
    frames = list(source.frames)
    assert [frame.shape for frame in frames] == [(48, 64, 3), (33, 97, 3), (1, 1, 3), (48, 64, 3), (33, 97, 3)]
    bgr = cv2.imread(str(pictures / "01.png"))
    assert bgr is not None
    assert (frames[1] == bgr[:, :, ::-1]).all()


@pytest.mark.ros
@pytest.mark.slow
def test_the_network_in_the_package_sees_the_drive(tmp_path):
    """Things of a dozen pixels lie far down the road of a drive: it is harder than the scenes of docs/demo_model.md."""
    pytest.importorskip("opendr_panoptic_ros.msg")
    process = run_demo("--frames", 20, "--out", tmp_path / "out", "--device", "cpu", stdout=subprocess.PIPE)
    printed, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, printed
    quality = json.loads((tmp_path / "out" / "result.json").read_text())["quality"]
    assert quality["All"]["pq"] > 0.3, "an untrained network has about 0.03"
    messages = read_bag(tmp_path / "out" / "bag")
    frames, clouds = messages["/image_raw"], messages["/opendr/panoptic/points"]
    assert set(messages["/depth/image_rect"]) == set(messages["/depth/camera_info"]) == set(frames)
    assert clouds
    assert set(clouds) <= set(messages["/opendr/panoptic/segmentation"])
    for cloud in clouds.values():
        points = np.frombuffer(cloud.data, CLOUD_DTYPE)
        is_car = points["label"] == CITYSCAPES.names.index("car")
        assert (points["instance"][is_car] > 0).all()
        assert 0.5 < np.isfinite(points["z"]).mean() < 1, "the sky has no depth"
