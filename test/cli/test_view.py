# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""`opendr-panoptic view`: what its recordings hold, read back with Rerun's own reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer

from opendr_panoptic_ros.bags.types import typestore
from opendr_panoptic_ros.codec.cloud import encode_cloud
from opendr_panoptic_ros.inference import PanopticSegmenter
from opendr_panoptic_ros.media import VideoWriter
from opendr_panoptic_ros.points import CLOUD_DTYPE
from opendr_panoptic_ros.rotation import rotated, rotated_prediction

pytest.importorskip("rerun")
from rerun.chunk import RrdReader

NOISE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
PICTURE = np.asarray(cv2.GaussianBlur(NOISE, (0, 0), 3), np.uint8)
STAMPS = [1_700_000_000_000_000_000 + i * 100_000_000 for i in range(3)]


def header(stamp_ns: int) -> Any:
    types = typestore().types
    return types["std_msgs/msg/Header"](types["builtin_interfaces/msg/Time"](*divmod(stamp_ns, 10**9)), "optical")


def image(stamp_ns: int, pixels: np.ndarray, encoding: str) -> Any:
    height, width = pixels.shape[:2]
    data = np.ascontiguousarray(pixels).reshape(-1).view(np.uint8)
    return typestore().types["sensor_msgs/msg/Image"](
        header(stamp_ns), height, width, encoding, 0, data.size // height, data
    )


def segmentation(stamp_ns: int) -> Any:
    """A road (id 1) with a car (id 7)."""
    segment_map = np.ones((48, 64), np.int32)
    segment_map[10:20, 30:50] = 7
    info = typestore().types["opendr_panoptic_ros/msg/SegmentInfo"]
    rows = [
        info(1, 0, "road", False, float("nan"), 2872, np.array([0, 0, 64, 48], np.int32)),
        info(7, 13, "car", True, 0.875, 200, np.array([30, 10, 50, 20], np.int32)),
    ]
    return typestore().types["opendr_panoptic_ros/msg/PanopticSegmentation"](
        header(stamp_ns), image(stamp_ns, segment_map, "32SC1"), rows
    )


def cloud(stamp_ns: int) -> Any:
    points = np.zeros((2, 3), CLOUD_DTYPE)
    points["z"] = [[1, 2, np.nan], [4, 5, 6]]
    points["rgba"], points["label"] = 0xFF00008E, 13
    return cloud_message(stamp_ns, points)


def cloud_message(stamp_ns: int, points: np.ndarray) -> Any:
    fields, types = encode_cloud(points), typestore().types
    described = [types["sensor_msgs/msg/PointField"](f.name, f.offset, f.datatype, f.count) for f in fields.fields]
    return types["sensor_msgs/msg/PointCloud2"](
        header(stamp_ns), *points.shape, described, False, fields.point_step, fields.row_step, fields.data, False
    )


def boxes(stamp_ns: int) -> Any:
    types = typestore().types
    point, vector = types["geometry_msgs/msg/Point"], types["geometry_msgs/msg/Vector3"]
    quaternion = types["geometry_msgs/msg/Quaternion"]
    pose = types["geometry_msgs/msg/Pose"](point(1.0, 2.0, 9.0), quaternion(0.0, 0.0, 0.0, 1.0))
    hypothesis = types["vision_msgs/msg/ObjectHypothesis"]("car", 0.875)
    with_pose = types["vision_msgs/msg/ObjectHypothesisWithPose"](
        hypothesis, types["geometry_msgs/msg/PoseWithCovariance"](pose, np.zeros(36))
    )
    box = types["vision_msgs/msg/BoundingBox3D"](pose, vector(2.0, 1.5, 4.0))
    detection = types["vision_msgs/msg/Detection3D"](header(stamp_ns), [with_pose], box, "7")
    return types["vision_msgs/msg/Detection3DArray"](header(stamp_ns), [detection])


def write(path: Path, messages: list[tuple[str, int, Any]]) -> Path:
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections: dict[str, Any] = {}
        for topic, time_ns, message in messages:
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, message.__msgtype__, typestore=typestore())
            writer.write(connections[topic], time_ns, typestore().serialize_cdr(message, message.__msgtype__))
    return path


def labelled(path: Path, namespace: str = "/opendr") -> Path:
    """A bag as `ros2 bag record` makes it of the node: the results are in another namespace than the images."""
    duration = typestore().types["std_msgs/msg/Float32"]
    sent: list[tuple[str, int, Any]] = []
    for stamp_ns in STAMPS:
        sent += [
            ("/cam/image_raw", stamp_ns, image(stamp_ns, PICTURE, "rgb8")),
            (f"{namespace}/panoptic/segmentation", stamp_ns + 1000, segmentation(stamp_ns)),
            (f"{namespace}/panoptic/points", stamp_ns + 2000, cloud(stamp_ns)),
            (f"{namespace}/panoptic/detections_3d", stamp_ns + 3000, boxes(stamp_ns)),
            (f"{namespace}/panoptic/debug/pipeline_latency_ms", stamp_ns + 4000, duration(12.5)),
        ]
    return write(path, sent)


def read_back(file: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows of each entity, by its path; `stamp` is the time, None for what is static."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for chunk in RrdReader(str(file)).stream().to_chunks():
        batch = chunk.to_record_batch()
        columns = {name: batch.column(name) for name in batch.schema.names}
        whole = {n: c.cast("int64") if "timestamp" in str(c.type) else c for n, c in columns.items()}
        values = {name: column.to_pylist() for name, column in whole.items()}
        rows.setdefault(chunk.entity_path, []).extend(
            {name: column[i] for name, column in values.items()} for i in range(batch.num_rows)
        )
    return rows


@pytest.mark.parametrize("namespace", ["/opendr", "/cam"])
def test_a_bag(run_main, tmp_path, namespace):
    source = labelled(tmp_path / "drive", namespace)
    code, out, err = run_main("view", source, "--save", "drive.rrd")
    assert (code, err) == (0, "")
    assert out == "3 frames with results in drive.rrd; open it with: rerun drive.rrd\n"
    rows = read_back(tmp_path / "drive.rrd")
    camera = "/cam/image_raw"
    logged = {f"{camera}/{name}" for name in ("image", "image/boxes", "semantic", "instance")}
    logged |= {f"{camera}/space/points", f"{camera}/space/boxes_3d", f"/time{camera}/pipeline_latency_ms"}
    assert logged <= set(rows)
    for path in logged:
        assert [set(row) & {"log_time", "log_tick"} for row in rows[path]] == [set()] * len(rows[path])
    for name in ("image", "image/boxes", "semantic", "space/points", "space/boxes_3d"):
        assert [row["stamp"] for row in shown(rows[f"{camera}/{name}"])] == STAMPS
    infos = context_of(rows[f"{camera}/semantic"])
    assert {i: info["label"] for i, info in infos.items()} == {0: "road", 13: "car", 255: "void"}
    assert infos[0]["color"] == 0x804080FF

    first = {path: shown(rows[path])[0] for path in logged}
    jpeg = cv2.imdecode(np.array(first[f"{camera}/image"]["EncodedImage:blob"][0], np.uint8), cv2.IMREAD_COLOR)
    assert jpeg is not None
    assert np.abs(jpeg[:, :, ::-1].astype(int) - PICTURE).mean() < 4
    semantic = np.array(first[f"{camera}/semantic"]["SegmentationImage:buffer"][0], np.uint8).reshape(48, 64)
    assert (semantic[10:20, 30:50] == 13).all()
    assert np.count_nonzero(semantic == 0) == 2872
    named = context_of(rows[f"{camera}/instance"])
    assert {i: info["label"] for i, info in named.items()} == {0: "no instance", 1: "car 7"}
    instance = np.array(shown(rows[f"{camera}/instance"])[0]["SegmentationImage:buffer"][0], np.uint8)
    assert np.count_nonzero(instance.view(np.uint16) == 1) == 200
    box = first[f"{camera}/image/boxes"]
    assert box["Boxes2D:labels"] == ["car 7 (0.88)"]
    assert (box["Boxes2D:centers"], box["Boxes2D:half_sizes"]) == ([[40, 15]], [[10, 5]])
    points = first[f"{camera}/space/points"]
    assert [z for _, _, z in points["Points3D:positions"]] == [1, 2, 4, 5, 6]
    assert points["Points3D:class_ids"] == [13] * 5
    assert points["Points3D:colors"] == [0x00008EFF] * 5
    box_3d = first[f"{camera}/space/boxes_3d"]
    assert box_3d["Boxes3D:labels"] == ["car 7"]
    assert (box_3d["Boxes3D:half_sizes"], box_3d["Boxes3D:centers"]) == ([[1, 0.75, 2]], [[1, 2, 9]])
    assert [row["Scalars:scalars"] for row in rows[f"/time{camera}/pipeline_latency_ms"]] == [[12.5]] * 3


def test_a_bag_without_boxes_in_3d_and_with_depth(run_main, tmp_path):
    """As the demo records it where vision_msgs is not installed: the boxes are those of the clouds."""
    points = np.zeros((3, 7), CLOUD_DTYPE)
    points["x"], points["z"], points["instance"] = np.linspace(-1, 1, 7), 5, 7
    source = write(
        tmp_path / "drive",
        [
            ("/image_raw", STAMPS[0], image(STAMPS[0], PICTURE, "rgb8")),
            ("/depth/image_rect", STAMPS[0], image(STAMPS[0], np.ones((48, 64), np.float32), "32FC1")),
            ("/opendr/panoptic/segmentation", STAMPS[0] + 1, segmentation(STAMPS[0])),
            ("/opendr/panoptic/points", STAMPS[0] + 2, cloud_message(STAMPS[0], points)),
        ],
    )
    code, _, err = run_main("view", source, "--save", "drive.rrd")
    assert (code, err) == (0, "")
    rows = read_back(tmp_path / "drive.rrd")
    assert not [path for path in rows if "depth" in path]
    (box,) = shown(rows["/image_raw/space/boxes_3d"])
    assert box["Boxes3D:labels"] == ["car 7"]
    assert box["Boxes3D:centers"][0] == pytest.approx([0, 0, 5])
    assert box["Boxes3D:half_sizes"][0] == pytest.approx([1, 0, 0], abs=0.05)


def shown(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows that have a time."""
    return [row for row in rows if row.get("stamp") is not None]


def context_of(rows: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """Names and colours by number: those of the last static row."""
    context = [row for row in rows if "AnnotationContext:context" in row][-1]["AnnotationContext:context"][0]
    return {entry["class_id"]: entry["class_description"]["info"] for entry in context}


def test_a_video_and_an_image_are_segmented_first(run_main, tmp_path, tiny_checkpoint):
    with VideoWriter(tmp_path / "drive.avi", rate_hz=5, size_px=(64, 48)) as writer:
        for i in range(3):
            writer.write(np.roll(PICTURE, i, axis=1))
    cv2.imwrite("street.png", PICTURE[:, :, ::-1])
    options = ("--checkpoint", tiny_checkpoint, "--device", "cpu")
    code, out, _ = run_main("view", "drive.avi", "--save", "video.rrd", *options)
    assert (code, out[:23]) == (0, "3 frames with results i")
    rows = read_back(tmp_path / "video.rrd")
    assert [row["stamp"] for row in shown(rows["/camera/semantic"])] == [0, 200_000_000, 400_000_000]
    assert all(row["Scalars:scalars"][0] > 0 for row in rows["/time/camera/processing_time_ms"])

    code, _, _ = run_main("view", "street.png", "--save", "image.rrd", "--image-rotation", 90, *options)
    assert code == 0
    (row,) = shown(read_back(tmp_path / "image.rrd")["/camera/semantic"])
    semantic = np.array(row["SegmentationImage:buffer"][0], np.uint8).reshape(48, 64)
    by_hand = PanopticSegmenter(tiny_checkpoint, device="cpu")(rotated(PICTURE, 90))
    assert np.array_equal(semantic, rotated_prediction(by_hand, 270).semantic_map)


def test_what_cannot_be_shown(run_main, tmp_path, monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    bare = write(tmp_path / "bare", [("/cam/image_raw", STAMPS[0], image(STAMPS[0], PICTURE, "rgb8"))])
    cases: dict[tuple[Any, ...], str] = {
        (bare, "--save", "x.rrd"): "The bag has no results, only /cam/image_raw (1 sensor_msgs/msg/Image). Label it",
        (labelled(tmp_path / "drive"),): "There is no display; write a recording with --save FILE.rrd",
        ("missing.mp4", "--save", "x.rrd"): "missing.mp4: no image or video there",
        (bare, "--save", "bare"): "bare exists; choose another name",
    }
    for words, reason in cases.items():
        code, _, err = run_main("view", *words)
        assert code == 1
        assert reason in err
        assert len(err.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bare", "drive"]


def test_messages_that_cannot_be_read_are_named(run_main, tmp_path):
    wrong = segmentation(STAMPS[0])
    wrong.segment_map.encoding = "rgb8"
    source = write(
        tmp_path / "drive",
        [("/cam/panoptic/segmentation", STAMPS[0], wrong), ("/cam/panoptic/segmentation", STAMPS[1], segmentation(1))],
    )
    code, out, err = run_main("view", source, "--save", "drive.rrd")
    assert (code, out[:10]) == (1, "1 frames w")
    assert f"not shown: /cam/panoptic/segmentation at {STAMPS[0]} ns: " in err
    assert "/cam/panoptic/semantic" in read_back(tmp_path / "drive.rrd")
