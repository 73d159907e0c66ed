# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The points node on real DDS: clouds on paper, and every input that cannot be used is described."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest

from opendr_panoptic_ros.codec.cloud import encode_cloud
from opendr_panoptic_ros.labels import CITYSCAPES, VOID
from opendr_panoptic_ros.points import CLOUD_DTYPE

pytestmark = pytest.mark.ros
pytest.importorskip("rclpy")
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus  # noqa: E402
from opendr_panoptic_ros.msg import PanopticSegmentation, SegmentInfo  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from sensor_msgs.msg import CameraInfo, Image, PointCloud2  # noqa: E402
from std_msgs.msg import Header  # noqa: E402

from opendr_panoptic_ros.ros.messages import image_message  # noqa: E402
from opendr_panoptic_ros.ros.point_messages import cloud_message  # noqa: E402
from opendr_panoptic_ros.ros.points_node import PointsNode  # noqa: E402
from opendr_panoptic_ros.ros.transforms import matrix_of  # noqa: E402

NAN = float("nan")
SEGMENT_MAP = np.array([[1, 1, 7, 7], [1, 1, 7, 7], [0, 0, 0, 0]], np.int32)
SEGMENTS = [
    SegmentInfo(id=1, class_id=0, label="road", score=NAN),
    SegmentInfo(id=7, class_id=13, label="car", is_thing=True, score=0.75),
]
DEPTH_M = np.array([[2, 2, 2, 2], [4, NAN, 4, 4], [6, 6, 6, 0]], np.float32)
UP_AND_TURNED = [0.0, 0.0, 0.0, 0.5, -0.5, 0.5, 0.5]
"""The usual axes of a LiDAR (x forward, y left, z up) in those of a camera."""


class Feed:
    """Publishers of the node's inputs, and what it publishes."""

    def __init__(self, bench, source: str, **parameters) -> None:
        self.bench = bench
        overrides = [Parameter(name, value=value) for name, value in {"source": source, **parameters}.items()]
        self.node = PointsNode(context=bench.context, parameter_overrides=overrides)
        self.clouds = bench.subscribe("panoptic/points", PointCloud2)
        self.diagnostics = bench.subscribe("/diagnostics", DiagnosticArray)
        create = bench.client.create_publisher
        self.segmentations = create(PanopticSegmentation, "panoptic/segmentation", 10)
        self.points = create(*{"depth": (Image, "depth/image_rect"), "lidar": (PointCloud2, "points")}[source], 10)
        self.infos = create(CameraInfo, "depth/camera_info" if source == "depth" else "camera_info", 10)
        bench.spin_after_start(self.node)
        for publisher in (self.segmentations, self.points, self.infos):
            bench.wait_for(publisher.get_subscription_count, "a subscription")

    def header(self, stamp_ns: int, frame_id: str = "optical") -> Header:
        header = Header(frame_id=frame_id)
        header.stamp.sec, header.stamp.nanosec = divmod(stamp_ns, 10**9)
        return header

    def send_info(self, width: int = 4, height: int = 3, f: float = 2.0) -> None:
        k = [f, 0.0, 1.0, 0.0, f, 1.0, 0.0, 0.0, 1.0]
        p = [*k[:3], 0.0, *k[3:6], 0.0, *k[6:], 0.0]
        self.infos.publish(CameraInfo(header=self.header(0), width=width, height=height, k=k, p=p))
        processor = self.node._processor
        assert processor is not None
        if f > 0:
            self.bench.wait_for(lambda: processor._camera and processor._camera.width == width, "the camera")

    def send_segmentation(self, stamp_ns: int) -> None:
        header = self.header(stamp_ns)
        message = PanopticSegmentation(header=header, segments=SEGMENTS)
        message.segment_map = image_message(SEGMENT_MAP, "32SC1", header)
        self.segmentations.publish(message)

    def send_depth(self, pixels: np.ndarray, stamp_ns: int) -> None:
        encoding = {"f": "32FC1", "u": "16UC1"}[pixels.dtype.kind]
        message = Image(header=self.header(stamp_ns), height=pixels.shape[0], width=pixels.shape[1], encoding=encoding)
        message.is_bigendian, message.step = int(pixels.dtype.byteorder == ">"), pixels.strides[0]
        message.data.frombytes(pixels.tobytes())
        self.points.publish(message)

    def status(self) -> Any:
        return self.diagnostics[-1].status[-1] if self.diagnostics else None

    def wait_for_status(self, level: bytes, text: str, **counts: int) -> None:
        def arrived() -> bool:
            status = self.status()
            if status is None or status.level != level or text not in status.message:
                return False
            values = {entry.key: entry.value for entry in status.values}
            return all(values[name] == str(number) for name, number in counts.items())

        self.bench.wait_for(arrived, f"{text!r} in the diagnostics")


@pytest.mark.parametrize("pixels", [DEPTH_M, DEPTH_M.astype(">f4"), np.nan_to_num(DEPTH_M * 1000).astype("u2")])
def test_a_depth_image_becomes_a_cloud(bench, pixels) -> None:
    """F = 2, centre at (1, 1): x = (u − 1)·z / 2, y = (v − 1)·z / 2."""
    feed = Feed(bench, "depth")
    feed.send_info()
    feed.send_depth(pixels, 5)
    feed.send_segmentation(5)
    bench.wait_for(lambda: feed.clouds, "the cloud")
    (message,) = feed.clouds
    assert message.header == feed.header(5)
    assert (message.height, message.width, message.point_step, message.is_dense) == (3, 4, 24, False)
    assert [(f.name, f.offset, f.datatype, f.count) for f in message.fields] == [
        ("x", 0, 7, 1), ("y", 4, 7, 1), ("z", 8, 7, 1), ("rgba", 12, 6, 1), ("label", 16, 6, 1), ("instance", 20, 6, 1),
    ]  # fmt: skip
    cloud = np.frombuffer(message.data, CLOUD_DTYPE).reshape(3, 4)
    z = np.where(DEPTH_M > 0, DEPTH_M, np.nan)
    u, v = np.meshgrid(range(4), range(3))
    for name, expected in (("x", (u - 1) * z / 2), ("y", (v - 1) * z / 2), ("z", z)):
        assert np.allclose(cloud[name], expected, rtol=1e-6, atol=0, equal_nan=True)
    assert cloud["label"].tolist() == [[0, 0, 13, 13], [0, 0, 13, 13], [VOID] * 4]
    assert cloud["instance"].tolist() == [[0, 0, 7, 7], [0, 0, 7, 7], [0] * 4]
    red, green, blue = CITYSCAPES.colors[13]
    assert cloud["rgba"][0, 2] == 0xFF000000 | red << 16 | green << 8 | blue


def test_points_of_a_lidar_are_labelled(bench) -> None:
    """Its own fields are kept; what is behind the camera, hidden or outside is not labelled."""
    feed = Feed(bench, "lidar", transform=UP_AND_TURNED, occlusion_cell_px=1)
    feed.send_info()
    points = np.zeros((2, 3), [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("intensity", "<f4")])
    # In the camera's axes: on the car at (2, 1), hidden behind it, behind the camera, road at (0, 0), outside, NaN.
    camera = np.array([[1, 0, 2], [2, 0, 4], [1, 0, -2], [-1, -1, 2], [9, 0, 2], [NAN, 0, 2]]).reshape(2, 3, 3)
    points["x"], points["y"], points["z"] = camera[..., 2], -camera[..., 0], -camera[..., 1]
    points["intensity"] = 0.5
    feed.points.publish(cloud_message(encode_cloud(points), feed.header(5, "lidar")))
    feed.send_segmentation(5)
    bench.wait_for(lambda: feed.clouds, "the cloud")
    message = feed.clouds[0]
    assert message.header == feed.header(5, "lidar")
    assert (message.height, message.width, message.point_step) == (2, 3, 28)
    dtype = [*points.dtype.descr, ("rgba", "<u4"), ("label", "<u4"), ("instance", "<u4")]
    found = np.frombuffer(message.data, dtype)
    assert found["label"].tolist() == [13, VOID, VOID, 0, VOID, VOID]
    assert found["instance"].tolist() == [7, 0, 0, 0, 0, 0]
    car, road, void = 0xFF00008E, 0xFF804080, 0xFF000000  # of Cityscapes
    assert found["rgba"].tolist() == [car, void, void, road, void, void]
    for name in ("x", "y", "z", "intensity"):
        assert np.array_equal(found[name], points[name].ravel(), equal_nan=True)


def test_stamps_within_the_tolerance(bench) -> None:
    feed = Feed(bench, "depth", stamp_tolerance_s=0.02)
    feed.send_info()
    feed.send_depth(DEPTH_M, 1_010_000_000)
    feed.send_segmentation(1_000_000_000)
    bench.wait_for(lambda: feed.clouds, "the cloud")
    assert feed.clouds[0].header.stamp.sec == 1
    assert feed.clouds[0].header.stamp.nanosec == 0
    feed.wait_for_status(DiagnosticStatus.OK, "subscribed", published=1)
    feed.send_segmentation(2_000_000_000)
    feed.send_depth(DEPTH_M, 2_030_000_000)
    feed.wait_for_status(
        DiagnosticStatus.WARN, "no depth image with the stamp 2.000000000: the nearest is 0.030 s away", unmatched=1
    )


def test_depth_that_cannot_be_used_is_described(bench) -> None:
    feed = Feed(bench, "depth")
    feed.send_depth(DEPTH_M, 1)
    feed.send_segmentation(1)
    feed.wait_for_status(DiagnosticStatus.ERROR, "No usable camera_info", unusable=1)
    feed.send_info(f=0.0)
    feed.wait_for_status(DiagnosticStatus.ERROR, "focal lengths 0 and 0", unusable=2)
    feed.send_info(width=8)
    feed.send_depth(DEPTH_M, 2)
    feed.send_segmentation(2)
    feed.wait_for_status(DiagnosticStatus.ERROR, "4x3 pixels, its camera_info is for 8x3", unusable=3)
    feed.send_info(width=1, height=9)
    feed.send_depth(np.ones((9, 1), np.float32), 3)
    feed.send_segmentation(3)
    feed.wait_for_status(DiagnosticStatus.ERROR, "they cannot show the same view", unusable=4)
    assert not feed.clouds
    feed.send_info()
    feed.send_depth(np.full((3, 4), NAN, np.float32), 4)
    feed.send_segmentation(4)
    feed.wait_for_status(DiagnosticStatus.WARN, "the depth image has no measurement", published=1, empty=1)
    feed.send_depth(DEPTH_M, 5)
    feed.send_segmentation(5)
    feed.wait_for_status(DiagnosticStatus.OK, "subscribed", published=2, unusable=4)
    assert len(feed.clouds) == 2


def test_clouds_that_cannot_be_used_are_described(bench) -> None:
    feed = Feed(bench, "lidar", transform=UP_AND_TURNED)
    feed.send_info()
    without_z = np.zeros(2, [("x", "<f4"), ("y", "<f4")])
    feed.points.publish(cloud_message(encode_cloud(without_z), feed.header(1)))
    feed.send_segmentation(1)
    feed.wait_for_status(DiagnosticStatus.ERROR, "expected x, y and z as float32 or float64", unusable=1)
    empty = np.zeros(0, [("x", "<f4"), ("y", "<f4"), ("z", "<f4")])
    feed.points.publish(cloud_message(encode_cloud(empty), feed.header(2)))
    feed.send_segmentation(2)
    feed.wait_for_status(DiagnosticStatus.WARN, "the cloud has no points", published=1, empty=1)
    assert (feed.clouds[0].width, feed.clouds[0].point_step) == (0, 24)
    feed.points.publish(cloud_message(encode_cloud(empty), feed.header(10**9)))
    feed.send_segmentation(2 * 10**9)
    feed.wait_for_status(DiagnosticStatus.WARN, "no segmentation with the stamp 1.000000000", unmatched=1)


def test_an_input_that_stops_is_named(bench) -> None:
    feed = Feed(bench, "depth", warn_input_stopped_s=0.1)
    feed.wait_for_status(DiagnosticStatus.WARN, "input stopped: nothing on /depth/camera_info for")


def test_lifecycle_and_laziness(bench) -> None:
    node = PointsNode(context=bench.context)
    segmentations = bench.client.create_publisher(PanopticSegmentation, "panoptic/segmentation", 10)
    for _ in range(2):
        bench.spin(node) if node.executor is None else None
        assert node.start(), node.last_error
        assert node.state == "active"
        assert not node.is_subscribed
        subscription = bench.client.create_subscription(PointCloud2, "panoptic/points", print, 10)
        bench.wait_for(segmentations.get_subscription_count, "the subscription to the segmentation")
        bench.client.destroy_subscription(subscription)
        bench.wait_for(lambda: not segmentations.get_subscription_count(), "the node to leave")
        refused = node.set_parameters([Parameter("source", value="lidar"), Parameter("min_points", value=0)])
        assert "read when the node is configured" in refused[0].reason
        assert "Min: 1, Max: 1000000" in refused[1].reason
        assert node.set_parameters([Parameter("min_points", value=20)])[0].successful
        node.trigger_deactivate()
        node.trigger_cleanup()
        assert node.state == "unconfigured"
        bench.wait_for(lambda: not bench.client.count_publishers("panoptic/points"), "the topic to go")


def test_without_tf2_the_transform_must_be_given(bench) -> None:
    if importlib.util.find_spec("tf2_ros") is not None:
        pytest.skip("tf2_ros is installed")
    node = PointsNode(context=bench.context, parameter_overrides=[Parameter("source", value="lidar")])
    bench.spin(node)
    assert not node.start()
    assert "tf2_ros is missing" in node.last_error
    assert node.state == "unconfigured"


@pytest.mark.parametrize("topic", ["detections_3d", "markers"])
def test_boxes_where_their_messages_are_installed(bench, topic) -> None:
    package = {"detections_3d": "vision_msgs", "markers": "visualization_msgs"}[topic]
    feed = Feed(bench, "depth", min_points=2)
    if importlib.util.find_spec(package) is None:
        assert not bench.client.count_publishers(f"panoptic/{topic}")
        return
    if topic == "detections_3d":
        from vision_msgs.msg import Detection3DArray as Boxes
    else:
        from visualization_msgs.msg import MarkerArray as Boxes
    found = bench.subscribe(f"panoptic/{topic}", Boxes)
    bench.wait_for(feed.node._outputs[topic].get_subscription_count, "the subscription")
    feed.send_info()
    # The car is a plate at 2 m: u of 2 and 3 are x of 1 and 2 m, v of 0 and 1 are y of −1 and 0 m.
    feed.send_depth(np.full((3, 4), 2, np.float32), 5)
    feed.send_segmentation(5)
    bench.wait_for(lambda: found, "the boxes")
    if topic == "detections_3d":
        (detection,) = found[0].detections
        assert (detection.id, detection.header) == ("7", feed.header(5))
        (result,) = detection.results
        assert (result.hypothesis.class_id, result.hypothesis.score) == ("car", 0.75)
        pose, size = detection.bbox.center, detection.bbox.size
    else:
        deleting, cube, text = found[0].markers
        assert (deleting.action, cube.action, cube.id, text.text) == (3, 0, 7, "car 7")
        assert [cube.color.r, cube.color.g, cube.color.b] == pytest.approx(
            [channel / 255 for channel in CITYSCAPES.colors[13]]
        )
        pose, size = cube.pose, cube.scale
    assert [pose.position.x, pose.position.y, pose.position.z] == pytest.approx([1.5, -0.5, 2])
    assert [size.x, size.y, size.z] == pytest.approx([1, 1, 0.01])


def test_poses() -> None:
    """A quarter turn about z, and the axes of a LiDAR: forward is z of the camera, left is −x, up is −y."""
    quarter = matrix_of([1, 2, 3, 0, 0, 1, 1])
    assert quarter == pytest.approx(np.array([[0, -1, 0, 1], [1, 0, 0, 2], [0, 0, 1, 3]]))
    assert matrix_of(UP_AND_TURNED)[:, :3] == pytest.approx(np.array([[0, -1, 0], [0, 0, -1], [1, 0, 0]]))
