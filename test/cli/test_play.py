# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""`opendr-panoptic play` over real DDS: to a subscriber, and to the node, whose answers are those of `bag`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import pytest
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from support.bags import ORIGIN_NS, STAMP_NS, pixels, read_bag, stamp_ns
from support.commands import run_command, start_command
from support.paths import ROOT

from opendr_panoptic_ros.bags.reader import Message
from opendr_panoptic_ros.bags.results import SEGMENTATION_TYPE, BagFrame, serialized
from opendr_panoptic_ros.bags.types import IMAGE, typestore
from opendr_panoptic_ros.bags.writer import BagWriter
from opendr_panoptic_ros.prediction import PanopticPrediction, Segment

rclpy = pytest.importorskip("rclpy")
from rclpy.qos import QoSProfile  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402
from std_msgs.msg import String  # noqa: E402

pytestmark = pytest.mark.ros

STEP_NS = 50_000_000
PATIENCE_S = 90.0


class Subscriber:
    """A node that stores the messages it receives."""

    def __init__(self) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node("subscriber", context=self.context)
        self._executor = rclpy.executors.SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)

    def subscribe(self, topic: str, message_type: Any = Image) -> list[tuple[float, Any]]:
        """A list that fills with messages and the times in seconds at which they were published."""
        received: list[tuple[float, Any]] = []

        def keep(message: Any, info: dict[str, Any]) -> None:
            received.append((info["source_timestamp"] / 1e9, message))

        self.node.create_subscription(message_type, topic, keep, QoSProfile(depth=300))
        return received

    def spin_until(self, condition: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end, f"waited in vain for {what}"
            self._executor.spin_once(timeout_sec=0.05)

    def spin_until_quiet(self, process: subprocess.Popen[str], received: list[tuple[float, Any]]) -> None:
        """Until the process has ended and nothing more has come for a second."""
        self.spin_until(lambda: process.poll() is not None, "the end of the process")
        quiet_since, count = time.monotonic(), len(received)
        while time.monotonic() - quiet_since < 1:
            self._executor.spin_once(timeout_sec=0.05)
            if len(received) != count:
                quiet_since, count = time.monotonic(), len(received)

    def close(self) -> None:
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture
def subscriber(ros_domain) -> Iterator[Subscriber]:
    subscriber = Subscriber()
    yield subscriber
    subscriber.close()


def numbered(count):
    return [("/cam/image_raw", i * STEP_NS, np.full((4, 6, 3), i, np.uint8)) for i in range(count)]


@pytest.mark.parametrize("kind", ["ros1", "sqlite3", "mcap"])
def test_every_message_at_its_pace_with_its_stamp(subscriber, make_bag, kind):
    received = subscriber.subscribe("/cam/image_raw")
    process = start_command("play", make_bag(numbered(11), kind), "--rate", 0.5, "--wait", 60)
    subscriber.spin_until_quiet(process, received)
    out, err = process.communicate()
    assert (process.returncode, out) == (0, "11 messages published on /cam/image_raw\n"), err
    assert [int(message.data[0]) for _, message in received] == list(range(11))
    assert [stamp_ns(message) - ORIGIN_NS + STAMP_NS for _, message in received] == [i * STEP_NS for i in range(11)]
    assert {(m.encoding, m.height, m.width, m.header.frame_id) for _, m in received} == {("rgb8", 4, 6, "optical")}
    assert received[-1][0] - received[0][0] > 0.8, "half the pace: 10 steps of 50 ms take a second"


def test_chosen_topics_and_types_that_are_not_installed(subscriber, make_bag):
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    words, images = subscriber.subscribe("/chatter", String), subscriber.subscribe("/cam/image_raw")
    source = make_bag([*numbered(2), ("/chatter", 3 * STEP_NS, "hello")])
    process = start_command("play", source, "--topic", "/chatter", "--wait", 60)
    subscriber.spin_until_quiet(process, words)
    assert process.communicate()[0] == "1 messages published on /chatter\n"
    assert ([m.data for _, m in words], images) == (["hello"], [])

    typestore = get_typestore(Stores.LATEST)
    typestore.register(get_types_from_msg("uint8 x", "unheard_msgs/msg/Of"))
    unheard = source.with_name("unheard")
    with Writer(unheard, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection("/odd", "unheard_msgs/msg/Of", typestore=typestore)
        writer.write(
            connection, 1, typestore.serialize_cdr(typestore.types["unheard_msgs/msg/Of"](1), "unheard_msgs/msg/Of")
        )
    code, _, err = run_command("play", unheard)
    assert code == 1
    assert "/odd is left out: unheard_msgs/msg/Of is not installed." in err
    assert "There is nothing to publish" in err

    code, _, err = run_command("play", source, "--topic", "/none")
    assert code == 1
    assert "The bag has no /none that can be published, but: /cam/image_raw (2 sensor_msgs/msg/Image), /chatter" in err


def bag_of(path, topics):
    """A bag with one empty message on each topic; `topics` are pairs of name and type."""
    from rosbags.rosbag2 import StoragePlugin, Writer

    with Writer(path, version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        for name, type_name in topics:
            connection = writer.add_connection(name, type_name, msgdef="string data\n", rihs01="RIHS01_" + "0" * 64)
            writer.write(connection, 1, b"\0\1\0\0\1\0\0\0\0")
    return path


def test_a_bag_cannot_choose_the_module_that_is_imported(subscriber, tmp_path, monkeypatch):
    """A type names a module; one that lies in the working folder or on the path is not run."""
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil" / "__init__.py").write_text("import pathlib; pathlib.Path('executed').touch()")
    (tmp_path / "evil" / "msg.py").write_text("class Payload: pass")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    words = subscriber.subscribe("/words", String)
    source = bag_of(tmp_path / "bag", [("/evil", "evil/msg/Payload"), ("/words", "std_msgs/msg/String")])
    process = start_command("play", source, "--wait", 60)
    subscriber.spin_until_quiet(process, words)
    _, err = process.communicate()
    assert process.returncode == 0, err
    assert "/evil is left out: evil/msg/Payload is not installed." in err
    assert not (tmp_path / "executed").exists()
    assert len(words) == 1


def test_odd_topic_names_are_left_out_and_the_others_played(subscriber, tmp_path):
    words = subscriber.subscribe("/words", String)
    names = ["/no spaces", "//twice", "/9", "/ends/", "~{x}", "/words"]
    source = bag_of(tmp_path / "bag", [(name, "std_msgs/msg/String") for name in names])
    process = start_command("play", source, "--wait", 60)
    subscriber.spin_until_quiet(process, words)
    out, err = process.communicate()
    assert (process.returncode, out) == (0, "1 messages published on /words\n"), err
    assert "Traceback" not in err
    for name in names[:-1]:
        assert f"{name!r} is left out: ROS 2 does not allow this topic name." in err
    assert len(words) == 1


def test_a_topic_with_two_types_is_left_out_and_the_others_played(subscriber, tmp_path):
    words = subscriber.subscribe("/words", String)
    types = [("/both", "std_msgs/msg/String"), ("/both", "std_msgs/msg/Char"), ("/words", "std_msgs/msg/String")]
    process = start_command("play", bag_of(tmp_path / "bag", types), "--wait", 60)
    subscriber.spin_until_quiet(process, words)
    out, err = process.communicate()
    assert (process.returncode, out) == (0, "1 messages published on /words\n"), err
    assert "left out: /both has messages of several types, std_msgs/msg/String and std_msgs/msg/Char" in err


def test_our_own_messages_are_played(subscriber, tmp_path):
    """As `bag` writes them, from a single file."""
    messages = pytest.importorskip("opendr_panoptic_ros.msg")
    received = subscriber.subscribe("/panoptic/segmentation", messages.PanopticSegmentation)
    segment = Segment(3, 13, "car", True, 0.75, 2, (1, 0, 3, 1))
    prediction = PanopticPrediction(np.array([[0, 3, 3]], np.int32), (segment,))
    types = typestore().types
    header = types["std_msgs/msg/Header"](types["builtin_interfaces/msg/Time"](1, 2), "optical")
    frame = BagFrame(Message("/image_raw", IMAGE, 0, b""), header, np.zeros((1, 3, 3), np.uint8))
    writer = BagWriter(tmp_path / "out.mcap")
    writer.add_topic("/panoptic/segmentation", SEGMENTATION_TYPE)
    writer.write(1, {"/panoptic/segmentation": serialized("segmentation", frame, prediction)})
    writer.close()
    process = start_command("play", tmp_path / "out.mcap", "--wait", 60)
    subscriber.spin_until_quiet(process, received)
    _, err = process.communicate()
    assert process.returncode == 0, err
    ((_, message),) = received
    assert (stamp_ns(message), message.header.frame_id) == (1_000_000_002, "optical")
    assert np.array_equal(pixels(message.segment_map), prediction.segment_map)
    (got,) = message.segments
    assert (got.id, got.class_id, got.label, got.is_thing, got.score) == (3, 13, "car", True, 0.75)
    assert (got.area_px, list(got.box_xyxy_px)) == (2, [1, 0, 3, 1])


def test_latched_as_recorded_and_ctrl_c_while_waiting(subscriber, tmp_path):
    forever = QosTime(9223372036, 854775807)
    latched = Qos(QosHistory.KEEP_LAST, 1, QosReliability.RELIABLE, QosDurability.TRANSIENT_LOCAL,
                  forever, forever, QosLiveliness.AUTOMATIC, forever, False)  # fmt: skip
    writer = BagWriter(tmp_path / "in")
    for name, qos in (("/map", [latched]), ("/words", [])):
        writer.add_topic(name, "std_msgs/msg/String", qos)
        writer.write(1, {name: b""})
    writer.close()
    process = start_command("play", tmp_path / "in", "--wait", 60)
    try:
        offers = subscriber.node.get_publishers_info_by_topic
        subscriber.spin_until(lambda: offers("/map") and offers("/words"), "the publishers")
        durability = [offers(name)[0].qos_profile.durability.name for name in ("/map", "/words")]
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    assert durability == ["TRANSIENT_LOCAL", "VOLATILE"]
    assert (process.returncode, out, err) == (130, "", "Stopped.\n")


def test_a_topic_without_messages_is_not_looped(tmp_path):
    writer = BagWriter(tmp_path / "in")
    for name in ("/empty", "/image"):
        writer.add_topic(name, "std_msgs/msg/String")
    writer.write(1, {"/image": b""})
    writer.close()
    code, _, err = run_command("play", tmp_path / "in", "--topic", "/empty", "--loop")
    assert code == 1
    assert "There is nothing to publish" in err


def test_a_loop_goes_on_until_ctrl_c(subscriber, make_bag):
    received = subscriber.subscribe("/cam/image_raw")
    process = start_command("play", make_bag(numbered(3)), "--loop", "--wait", 60)
    try:
        subscriber.spin_until(lambda: len(received) >= 8, "the third round")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    assert (process.returncode, err) == (130, "Stopped.\n")
    assert [int(message.data[0]) for _, message in received[:8]] == [0, 1, 2, 0, 1, 2, 0, 1]


@pytest.mark.slow
def test_the_node_answers_a_played_bag_as_bag_does(
    subscriber, make_bag, tmp_path, tiny_checkpoint, shared_data, monkeypatch
):
    """200 frames of a real camera: where the node has answered a frame, its label images are those of `bag`."""
    messages = pytest.importorskip("opendr_panoptic_ros.msg")
    profile = str(ROOT / "config" / "fastdds_large_images.xml")
    for name in ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"):
        monkeypatch.setenv(name, profile)
    video = cv2.VideoCapture(str(shared_data("pedestrians.avi")))
    sent = []
    for i in range(200):
        frame = video.read()[1]
        rgb = np.ascontiguousarray(cv2.resize(frame, (384, 288), interpolation=cv2.INTER_AREA)[:, :, ::-1])
        sent.append(("/image_raw", i * STEP_NS, rgb))
    source = make_bag(sent, "sqlite3")
    # Single frames, as the node takes them from one camera: a batch may round differently.
    code, out, err = run_command("bag", source, tmp_path / "out", "--checkpoint", tiny_checkpoint, "--batch", 1)
    assert (code, out) == (0, f"200 frames segmented, results in {tmp_path / 'out'}\n"), err
    expected = read_bag(tmp_path / "out")
    assert len(expected["/image_raw"]) == 200

    received = {name: subscriber.subscribe(f"/panoptic/{name}") for name in ("semantic", "instance", "panoptic")}
    received["segmentation"] = subscriber.subscribe("/panoptic/segmentation", messages.PanopticSegmentation)
    node = subprocess.Popen(
        [sys.executable, ROOT / "scripts" / "panoptic_node", "--ros-args",
         "-p", f"checkpoint:={tiny_checkpoint}", "-p", "device:=cpu",
         "-p", "qos_overrides./image_raw.subscription.reliability:=reliable"],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}:{os.environ['PYTHONPATH']}"},
    )  # fmt: skip
    try:
        subscriber.spin_until(lambda: subscriber.node.count_subscribers("/image_raw") == 1, "the node")
        process = start_command("play", source, "--topic", "/image_raw", "--rate", 0.8, "--wait", 60)
        subscriber.spin_until_quiet(process, received["segmentation"])
        assert process.communicate()[0] == "200 messages published on /image_raw\n"
    finally:
        node.send_signal(signal.SIGINT)
        try:
            node.wait(30)
        finally:
            node.kill()
            node.wait()

    answered = {name: {stamp_ns(message): message for _, message in of} for name, of in received.items()}
    assert len(answered["segmentation"]) > 100, "a good share must be answered"
    instances = 0
    for name, of_stamp in answered.items():
        right = {stamp_ns(message): message for message in expected[f"/panoptic/{name}"].values()}
        for stamp, message in of_stamp.items():
            if name == "segmentation":
                assert np.array_equal(pixels(message.segment_map), pixels(right[stamp].segment_map))
                assert [(s.id, s.label, s.area_px) for s in message.segments] == [
                    (s.id, s.label, s.area_px) for s in right[stamp].segments
                ]
                instances += sum(s.is_thing for s in message.segments)
            else:
                assert np.array_equal(pixels(message), pixels(right[stamp]))
    assert instances > 100, "a test without instances shows little"
    print({name: len(of_stamp) for name, of_stamp in answered.items()}, instances)
