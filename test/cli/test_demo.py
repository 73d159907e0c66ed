"""The command `opendr-panoptic demo` as a user runs it, and its parts that need no ROS."""

from __future__ import annotations

import base64
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from opendr_panoptic_ros.cli import demo_dds
from opendr_panoptic_ros.cli.demo_source import open_source, synthetic_drive
from opendr_panoptic_ros.errors import DatasetError
from opendr_panoptic_ros.labels import CITYSCAPES

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 120.0
OUTPUTS = (
    "semantic",
    "instance",
    "panoptic",
    "semantic_color",
    "instance_color",
    "rgb_visualization",
    "segmentation",
)


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


def wait_for(condition, what):
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, f"waited {PATIENCE_S:.0f} s in vain for {what}"
        time.sleep(0.02)


def read_bag(bag: Path) -> dict[str, dict[int, Any]]:
    """Messages by topic and stamp in ns."""
    from rosbags.highlevel import AnyReader

    messages: dict[str, dict[int, Any]] = {}
    with AnyReader([bag]) as reader:
        for connection, _, data in reader.messages():
            message: Any = reader.deserialize(data, connection.msgtype)
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

    # The table
    rows = dict(re.findall(r"│ (\w+)[^│\n]*│\s*(\d+) │", printed))
    counts = {name: int(rows[name]) for name in ("frames", "received", "answered", "dropped", "failed")}
    assert counts["frames"] == 9
    assert counts["received"] <= 9
    assert counts["received"] == counts["answered"] + counts["dropped"] + counts["failed"]
    assert counts["answered"] >= 1
    assert counts["failed"] == 0

    # The bag: every frame; for each answered one all outputs, with its stamp and its size
    messages = read_bag(out / "bag")
    frames = messages["/image_raw"]
    answers = {name: messages[f"/opendr/panoptic/{name}"] for name in OUTPUTS}
    assert len(frames) == 9
    assert {(m.height, m.width) for m in frames.values()} == {(48, 64), (33, 97), (1, 1)}
    for name in OUTPUTS:
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

    # The pictures
    video = cv2.VideoCapture(str(out / "overlay.webm"))
    assert video.read()[0]
    assert cv2.imread(str(out / "contact_sheet.png")) is not None
    assert "answered" in (out / "node.log").read_text()
    assert f"{counts['answered']} of 9 frames answered" in (out / "index.html").read_text()

    # Nothing else
    assert sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()) == [
        "bag/bag.mcap", "bag/metadata.yaml", "bag/other.txt", "contact_sheet.png", "index.html", "node.log",
        "overlay.webm",
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
    folder, out = tmp_path / "pictures", tmp_path / "out"
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
def test_a_node_that_does_not_start_is_told_at_once(tmp_path, pictures):
    pytest.importorskip("opendr_panoptic_ros.msg")
    out = tmp_path / "out"
    process = run_demo(pictures, "--out", out, "--checkpoint", tmp_path / "missing.pth", stderr=subprocess.PIPE)
    _, complaints = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert "The node has ended with status 1" in complaints
    assert "missing.pth" in complaints
    assert "Traceback" not in complaints
    assert list(out.iterdir()) == []


def test_without_the_messages_the_demo_says_what_to_do(tmp_path):
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


def test_a_video_gives_its_frames_at_its_own_pace(tmp_path):
    path = tmp_path / "video.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    for red in range(0, 250, 50):
        writer.write(np.full((48, 64, 3), (0, 0, red), np.uint8))
    writer.release()
    source = open_source(path, 100)
    assert (source.count, source.rate_hz, source.size_px) == (5, 25, (64, 48))
    frames = list(source.frames)
    assert [int(frame[..., 0].mean().round(-1)) for frame in frames] == [0, 50, 100, 150, 200]
    assert len(list(open_source(path, 2).frames)) == 2


def test_without_a_video_there_is_a_synthetic_drive():
    source = open_source(None, 3)
    first, second, third = source.frames
    assert source.size_px == (512, 256)
    assert first.shape == (256, 512, 3)
    assert first.dtype == np.uint8
    assert (first != second).any()
    assert (second != third).any()


def test_a_source_that_cannot_be_read_is_refused(tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="no video file or image folder"):
        open_source(tmp_path / "missing.mp4", 1)
    with pytest.raises(DatasetError, match=r"nothing in .*text\.mp4"):
        open_source(tmp_path / "text.mp4", 1)
    with pytest.raises(DatasetError, match=r"nothing in .*empty"):
        open_source(tmp_path / "empty", 1)


@pytest.mark.ros
@pytest.mark.ros
@pytest.mark.slow
def test_the_network_in_the_package_sees_the_drive(tmp_path):
    """Things of a dozen pixels lie far down the road of a drive: it is harder than the scenes of docs/demo_model.md."""
    pytest.importorskip("opendr_panoptic_ros.msg")
    process = run_demo("--frames", 20, "--out", tmp_path / "out", "--device", "cpu", stdout=subprocess.PIPE)
    printed, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, printed
    found = re.search(r"│ PQ / SQ / RQ, all classes \(\d+\) +│ +([\d.]+) / ([\d.]+) / ([\d.]+) │", printed)
    assert found, printed
    assert float(found[1]) > 30, "an untrained network has about 3"


def test_answers_equal_to_the_drives_truth_have_the_quality_one(tmp_path):
    pytest.importorskip("rclpy")
    quality = quality_of_answers(tmp_path, lambda truth: truth)
    assert (quality.all.pq, quality.things.pq, quality.stuff.pq) == (1, 1, 1)
    assert quality.per_class["car"].tp >= 1


@pytest.mark.ros
def test_answers_about_another_frame_are_worse(tmp_path):
    pytest.importorskip("rclpy")
    mirrored = quality_of_answers(
        tmp_path, lambda truth: truth.with_map(np.ascontiguousarray(truth.segment_map[:, ::-1]))
    )
    assert mirrored.all.pq < 0.7


@pytest.mark.ros
def test_a_network_of_other_classes_has_no_quality_on_the_drive(tmp_path):
    pytest.importorskip("rclpy")
    assert quality_of_answers(tmp_path, lambda truth: truth, label="tree") is None


def quality_of_answers(tmp_path, answer, label=None):
    """The quality of a bag with answers to the frames 1 and 3 of the drive, made from their truth."""
    from rosbags.rosbag2 import StoragePlugin, Writer

    from opendr_panoptic_ros.cli.demo_quality import drive_quality
    from opendr_panoptic_ros.cli.demo_recorder import message_typestore

    types = message_typestore(ROOT / "msg")
    names = ("sensor_msgs/msg/Image", "std_msgs/msg/Header", "builtin_interfaces/msg/Time",
             "opendr_panoptic_ros/msg/SegmentInfo", "opendr_panoptic_ros/msg/PanopticSegmentation")  # fmt: skip
    image, header, time_, info, segmentation = (types.types[name] for name in names)
    drive, stamps_ns = synthetic_drive(4), [10**9 * second for second in range(4)]
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection("/segmentation", names[-1], typestore=types)
        for frame in (1, 3):
            truth = answer(drive[frame][1])
            head = header(time_(frame, 0), "camera")
            height, width = truth.shape
            data = truth.segment_map.view(np.uint8).ravel()
            segments = [
                info(
                    s.id,
                    s.class_id,
                    label or s.label,
                    s.is_thing,
                    s.score,
                    s.area_px,
                    np.array(s.box_xyxy_px, np.int32),
                )
                for s in truth.segments
            ]
            message = segmentation(head, image(head, height, width, "32SC1", 0, 4 * width, data), segments)
            writer.write(connection, frame, types.serialize_cdr(message, names[-1]))
    return drive_quality(tmp_path / "bag", "/segmentation", drive, stamps_ns)


def test_the_page_has_everything_in_it(tmp_path):
    from opendr_panoptic_ros.cli.demo_page import write_page
    from opendr_panoptic_ros.cli.demo_report import DemoResult

    (tmp_path / "overlay.webm").write_bytes(b"a video")
    result = DemoResult(
        published=5, received=4, answered=2, dropped=2, failed=0, answer_stamps_ns=(0, 10**9),
        answer_times_ns=(2 * 10**8, 12 * 10**8), first_answer_s=3.25, image_size_px=(8, 6), checkpoint="<mine>.pth",
        device="cpu", quality=None, files=(),
    )  # fmt: skip
    red = np.full((6, 8, 3), (255, 0, 0), np.uint8)
    write_page(
        tmp_path / "index.html", result, tmp_path / "overlay.webm", [(0.0, {"input": red}), (1.0, {"input": red})]
    )
    page = (tmp_path / "index.html").read_text()
    assert "2 of 5 frames answered" in page
    assert "&lt;mine&gt;.pth" in page
    assert "<td>latency p50 / p95, frame to message</td><td>200 / 200 ms</td>" in page
    sources = re.findall(r'src="([^"]*)"', page)
    assert [source.partition(",")[0] for source in sources] == [
        "data:video/webm;base64", "data:image/jpeg;base64", "data:image/jpeg;base64"
    ]  # fmt: skip
    assert base64.b64decode(sources[0].partition(",")[2]) == b"a video"
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(sources[1].partition(",")[2]), np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert np.abs(picture[..., ::-1].astype(int) - red).max() < 8
    assert not re.search(r"https?://|<link|<script", page)


def test_a_domain_in_use_is_not_chosen(monkeypatch):
    order = iter([7, 8])
    monkeypatch.setattr(demo_dds, "random", SimpleNamespace(sample=lambda *_: order))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("", 7400 + 250 * 7 + 10))
        assert demo_dds.free_domain_id() == 8


def test_shared_memory_fits_the_images_unless_the_user_has_a_profile(tmp_path, monkeypatch):
    pytest.importorskip("rclpy")
    profile = ROOT / "config" / "fastdds_large_images.xml"
    names = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2**40))
    environment = demo_dds.dds_environment(tmp_path, profile, 1024 * 2048)
    (fitted,) = (environment[name] for name in names if name in environment)
    assert f"<segment_size>{60 * 1024 * 2048}</segment_size>" in Path(fitted).read_text()
    monkeypatch.setenv(names[0], "/home/user/profile.xml")
    assert not set(names) & set(demo_dds.dds_environment(tmp_path, profile, 1024 * 2048))
    assert os.environ[names[0]] == "/home/user/profile.xml"


@pytest.mark.parametrize(
    ("size", "video_size"), [((512, 256), (512, 256)), ((2048, 1023), (1280, 640)), ((1, 1), (16, 16))]
)
def test_video_sizes_are_even_and_limited(size, video_size):
    from opendr_panoptic_ros.cli.demo_report import _video_size

    assert _video_size(*size) == video_size
