# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The topics of a bag that are not segmented are in the labelled bag as they were recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml
from mcap.reader import make_reader
from mcap.writer import Writer as McapWriter
from rosbags.highlevel import AnyReader
from rosbags.interfaces import (
    ConnectionExtRosbag2,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as Ros2Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from support.bags import ORIGIN_NS, STEP_NS, drive, message_of, read_bag

from opendr_panoptic_ros.bags.reader import BagReader
from opendr_panoptic_ros.bags.types import IMAGE

FRAMES = 5
ODD = "my_robot/msg/Wheel"
ODD_DEFINITION = (
    "# of the robot alone\nstd_msgs/Header header\nfloat32[4] speeds\nOdd[] parts\n"
    f"{'=' * 80}\nMSG: std_msgs/Header\nbuiltin_interfaces/Time stamp\nstring frame_id\n"
    f"{'=' * 80}\nMSG: builtin_interfaces/Time\nint32 sec\nuint32 nanosec\n"
    f"{'=' * 80}\nMSG: my_robot/Odd\nuint8 value\n"
)
IDL = f"{'=' * 80}\nIDL: my_robot/msg/Arm\nmodule my_robot {{ module msg {{ struct Arm {{ double angle; }}; }}; }};\n"
LATCHED_V9 = (
    "- history: keep_all\n  depth: 0\n  reliability: reliable\n  durability: transient_local\n"
    "  deadline:\n    sec: 9223372036\n    nsec: 854775807\n  lifespan:\n    sec: 9223372036\n    nsec: 854775807\n"
    "  liveliness: automatic\n  liveliness_lease_duration:\n    sec: 9223372036\n    nsec: 854775807\n"
    "  avoid_ros_namespace_conventions: false"
)


def twenty_topics(path: Path) -> Path:
    """A camera and 19 other topics: types of ROS 2, own ones, without definition, JSON, latched, of zero bytes."""
    store = get_typestore(Stores.LATEST)
    rng = np.random.default_rng(0)
    definitions = {
        name: ("ros2msg", store.generate_msgdef(name, ros_version=2)[0].encode())
        for name in ("tf2_msgs/msg/TFMessage", "nav_msgs/msg/Odometry", "sensor_msgs/msg/PointCloud2", IMAGE)
    } | {
        ODD: ("ros2msg", ODD_DEFINITION.encode()),
        "my_robot/msg/Arm": ("ros2idl", IDL.encode()),
        "lost/msg/T": ("", b""),
    }
    topics = [
        ("/tf", "tf2_msgs/msg/TFMessage", "cdr", {"offered_qos_profiles": ""}),
        ("/tf_static", "tf2_msgs/msg/TFMessage", "cdr", {"offered_qos_profiles": LATCHED_V9, "more": "kept"}),
        ("/odom", "nav_msgs/msg/Odometry", "cdr", {"offered_qos_profiles": "", "topic_type_hash": "RIHS01_5ca1e"}),
        ("/wheels", ODD, "cdr", {}),
        ("/arm", "my_robot/msg/Arm", "cdr", {"offered_qos_profiles": "not: [yaml"}),
        ("/unknown", "lost/msg/T", "cdr", {}),
        ("/json", "json/schema", "json", {}),
        ("/rear/image_raw", IMAGE, "cdr", {}),
        *((f"/cloud{i}", "sensor_msgs/msg/PointCloud2", "cdr", {}) for i in range(11)),
    ]
    with path.open("wb") as file:
        writer = McapWriter(file, chunk_size=20_000)
        writer.start(profile="ros2", library="test")
        channels = {}
        for topic, name, encoding, metadata in [("/cam/image_raw", IMAGE, "cdr", {}), *topics]:
            kind, text = definitions.get(name, ("jsonschema", b"{}"))
            schema = writer.register_schema(name, kind, text)
            channels[topic] = writer.register_channel(topic, encoding, schema, metadata)
        writer.add_message(channels["/tf_static"], ORIGIN_NS, b"\0\1\0\0static", ORIGIN_NS - 5, 7)
        for i, (topic, time_ns, picture) in enumerate(drive(FRAMES)):
            now_ns = ORIGIN_NS + time_ns
            image, name = message_of(store, picture, time_ns, ros1=False, seq=i)
            writer.add_message(channels[topic], now_ns, bytes(store.serialize_cdr(image, name)), now_ns - 9, i)
            for j, other in enumerate(channel for channel in channels if channel not in (topic, "/tf_static")):
                data = rng.integers(0, 256, j * 10, np.uint8).tobytes()
                writer.add_message(channels[other], now_ns + j * 1000, data, now_ns - j, 100 * i + j)
        writer.finish()
    return path


def records_of(path: Path) -> dict[str, list[tuple[Any, Any]]]:
    """All that an MCAP file states about each topic, read by the package `mcap`."""
    found: dict[str, list[tuple[Any, Any]]] = {}
    with path.open("rb") as file:
        for schema, channel, message in make_reader(file, validate_crcs=True).iter_messages():
            assert schema is not None
            described = (
                schema.name,
                schema.encoding,
                schema.data,
                channel.message_encoding,
                tuple(channel.metadata.items()),
            )
            sent = message.log_time, message.publish_time, message.sequence, message.data
            found.setdefault(channel.topic, []).append((described, sent))
    return found


def test_twenty_topics_of_an_mcap_file(run_bag, tmp_path):
    source = twenty_topics(tmp_path / "in.mcap")
    code, out, err = run_bag(source, "out", "--topic", "/cam/image_raw")
    assert (code, out) == (0, f"{FRAMES} frames segmented, results in out\n"), err
    before, after = records_of(source), records_of(tmp_path / "out" / "out.mcap")
    assert len(before) == 20
    for topic, records in before.items():
        assert after[topic] == records, topic
    assert all(topic.startswith("/cam/panoptic/") for topic in after.keys() - before.keys())
    information = yaml.safe_load((tmp_path / "out" / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    topics = {row["topic_metadata"]["name"]: row for row in information["topics_with_message_count"]}
    assert {name: row["message_count"] for name, row in topics.items()} == {t: len(m) for t, m in after.items()}
    assert topics["/odom"]["topic_metadata"]["type_description_hash"] == "RIHS01_5ca1e"
    assert topics["/json"]["topic_metadata"]["serialization_format"] == "json"
    (profile,) = yaml.safe_load(topics["/tf_static"]["topic_metadata"]["offered_qos_profiles"])
    assert (profile["history"], profile["durability"]) == (2, 1), "as version 8 writes keep_all and transient_local"
    with BagReader(tmp_path / "out") as reader:
        assert reader.topics["/tf_static"].qos[0].durability == QosDurability.TRANSIENT_LOCAL


def test_latched_messages_before_the_start_are_at_the_beginning(run_bag, tmp_path):
    source = twenty_topics(tmp_path / "in.mcap")
    code, _, err = run_bag(source, "out", "--topic", "/cam/image_raw", "--start", 0.2, "--outputs", "semantic")
    assert code == 0, err
    before, after = records_of(source), records_of(tmp_path / "out" / "out.mcap")
    ((described, sent),) = before["/tf_static"]
    assert after["/tf_static"] == [(described, (ORIGIN_NS + 2 * STEP_NS, *sent[1:]))]
    for topic in before.keys() - {"/tf_static"}:
        assert after[topic] == before[topic][2:], topic


def test_a_bag_that_was_labelled_before(run_bag, make_bag, tmp_path):
    """Its results are replaced; a second topic keeps those of the first."""
    source = make_bag([*drive(2), *drive(2, "/rear/image_raw")])
    assert run_bag(source, "first", "--topic", "/cam/image_raw")[0] == 0
    code, _, err = run_bag("first", "second", "--topic", "/rear/image_raw")
    assert code == 0, err
    messages = read_bag(tmp_path / "second")
    assert {"/cam/panoptic/semantic", "/rear/panoptic/semantic"} < set(messages)
    code, _, err = run_bag("second", "third", "--topic", "/rear/image_raw", "--outputs", "semantic")
    assert code == 0, err
    assert "not copied are /rear/panoptic/semantic, as the new results have these names" in err
    assert len(read_bag(tmp_path / "third")["/rear/panoptic/semantic"]) == 2


def test_definitions_and_profiles_of_a_database(run_bag, tmp_path):
    unlimited = QosTime(2**31 - 1, 2**32 - 1)
    qos = Qos(
        QosHistory.KEEP_LAST, 10, QosReliability.BEST_EFFORT, QosDurability.TRANSIENT_LOCAL, unlimited, unlimited,
        QosLiveliness.AUTOMATIC, unlimited, avoid_ros_namespace_conventions=False,
    )  # fmt: skip
    store = get_typestore(Stores.LATEST)
    store.register(get_types_from_msg("float32[4] speeds\nstring name\n", ODD))
    with Ros2Writer(tmp_path / "in", version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
        wheels = writer.add_connection("/wheels", ODD, typestore=store, offered_qos_profiles=[qos])
        camera = writer.add_connection("/cam/image_raw", IMAGE, typestore=store)
        message = store.types[ODD](np.arange(4, dtype=np.float32), "left")
        data = bytes(store.serialize_cdr(message, ODD))
        for i, (_, time_ns, picture) in enumerate(drive(2)):
            image, name = message_of(store, picture, time_ns, ros1=False, seq=i)
            writer.write(wheels, ORIGIN_NS + time_ns - 1, data)
            writer.write(camera, ORIGIN_NS + time_ns, store.serialize_cdr(image, name))
    code, _, err = run_bag("in", "out")
    assert code == 0, err
    with AnyReader([tmp_path / "out"]) as reader:
        (connection,) = (c for c in reader.connections if c.topic == "/wheels")
        assert isinstance(connection.ext, ConnectionExtRosbag2)
        assert (connection.digest, connection.ext.offered_qos_profiles) == (store.hash_rihs01(ODD), [qos])
        got = [(time_ns, bytes(raw)) for _, time_ns, raw in reader.messages([connection])]
        assert got == [(ORIGIN_NS + i * STEP_NS - 1, data) for i in range(2)]
        wheel: Any = reader.deserialize(data, ODD)
        assert wheel.name == "left"


def test_ros_1_is_converted(run_bag, tmp_path):
    """TF with latched publishers, a type that has changed, an own one with a header, and a broken definition."""
    store = get_typestore(Stores.ROS1_NOETIC)
    own = "std_msgs/Header header\nmy_robot/Part[2] parts\nchar letter\n"
    store.register(
        get_types_from_msg(own, ODD)
        | get_types_from_msg("float64 angle\n", "my_robot/msg/Part")
        | get_types_from_msg("geometry_msgs/TransformStamped[] transforms\n", "tf/msg/tfMessage")
    )
    types = store.types
    header = types["std_msgs/msg/Header"](4, types["builtin_interfaces/msg/Time"](12, 34), "base")
    vector, rotation = types["geometry_msgs/msg/Vector3"](1, 2, 3), types["geometry_msgs/msg/Quaternion"](0, 0, 0, 1)
    transform = types["geometry_msgs/msg/Transform"](vector, rotation)
    static = types["tf/msg/tfMessage"]([types["geometry_msgs/msg/TransformStamped"](header, "child", transform)])
    distance = types["sensor_msgs/msg/Range"](header, 1, 0.5, 0.1, 9.0, 4.0)
    wheel = types[ODD](header, [types["my_robot/msg/Part"](angle) for angle in (0.5, 1.5)], 65)
    with Ros1Writer(tmp_path / "in.bag") as writer:
        camera = writer.add_connection("/cam/image_raw", IMAGE, typestore=store)
        for i, (_, time_ns, picture) in enumerate(drive(2)):
            image, name = message_of(store, picture, time_ns, ros1=True, seq=i)
            writer.write(camera, ORIGIN_NS + time_ns, store.serialize_ros1(image, name))
        for time_ns, callerid in enumerate(("/one", "/two")):
            connection = writer.add_connection(
                "/tf_static", "tf/msg/tfMessage", typestore=store, callerid=callerid, latching=1
            )
            writer.write(connection, ORIGIN_NS + time_ns, store.serialize_ros1(static, "tf/msg/tfMessage"))
        for topic, message in {"/range": distance, "/wheel": wheel}.items():
            name = type(message).__msgtype__
            connection = writer.add_connection(topic, name, typestore=store)
            writer.write(connection, ORIGIN_NS + 5, store.serialize_ros1(message, name))
        broken = writer.add_connection("/broken", "my_robot/msg/Broken", msgdef="no definition !", md5sum="0" * 32)
        writer.write(broken, ORIGIN_NS + 6, b"\1\2")
    code, _, err = run_bag("in.bag", "out")
    assert code == 0, err
    assert "/broken is left out, as my_robot/msg/Broken cannot be converted to ROS 2" in err
    messages = read_bag(tmp_path / "out")
    (got,) = messages["/range"].values()
    assert (got.header.stamp.sec, got.header.frame_id, got.range, got.variance) == (12, "base", 4.0, 0.0)
    (got,) = messages["/wheel"].values()
    assert ([part.angle for part in got.parts], got.letter, got.header.frame_id) == ([0.5, 1.5], 65, "base")
    with BagReader(tmp_path / "out") as reader:
        (qos,) = reader.topics["/tf_static"].qos
        assert (qos.durability, qos.depth) == (QosDurability.TRANSIENT_LOCAL, 2)
        assert reader.topics["/tf_static"][1:3] == ("tf2_msgs/msg/TFMessage", 2)
        assert "/broken" not in reader.topics
