# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Reading bags of all kinds, damaged ones too, and writing one that every release of ROS 2 reads."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from support.bags import message_of, stamp_ns
from support.paths import ROOT

from opendr_panoptic_ros.bags import types as bag_types
from opendr_panoptic_ros.bags.reader import BagReader, Message
from opendr_panoptic_ros.bags.results import read_frame
from opendr_panoptic_ros.bags.types import IMAGE
from opendr_panoptic_ros.bags.writer import BagWriter
from opendr_panoptic_ros.errors import ImageEncodingError, PanopticError

LONG = QosTime(9223372036, 854775807)


def test_humble_reads_the_metadata_too(tmp_path):
    """It refuses what versions above 8 have: qualities of service as lists, in words."""
    camera = Qos(QosHistory.KEEP_LAST, 5, QosReliability.BEST_EFFORT, QosDurability.VOLATILE,
                 LONG, LONG, QosLiveliness.AUTOMATIC, LONG, False)  # fmt: skip
    with Writer(tmp_path / "in", version=9, storage_plugin=StoragePlugin.MCAP) as recorder:
        recorder.add_connection("/image", IMAGE, typestore=bag_types.typestore(), offered_qos_profiles=[camera])
    writer = BagWriter(tmp_path / "out")
    with BagReader(tmp_path / "in") as reader:
        writer.add_topic("/image", IMAGE, reader.topics["/image"].qos)
    writer.add_topic("/panoptic/semantic", IMAGE)
    writer.write(1, {"/image": b""})
    writer.close()
    metadata = yaml.safe_load((tmp_path / "out" / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    topics = {each["topic_metadata"]["name"]: each["topic_metadata"] for each in metadata["topics_with_message_count"]}
    assert metadata["version"] == 8
    assert topics["/panoptic/semantic"]["offered_qos_profiles"] == ""
    (qos,) = yaml.safe_load(topics["/image"]["offered_qos_profiles"])  # as it was recorded, in numbers
    assert (qos["history"], qos["reliability"], qos["durability"], qos["depth"]) == (1, 2, 2, 5)


@pytest.mark.parametrize("kind", ["ros1", "sqlite3", "mcap"])
def test_damage_is_a_typed_error_wherever_it_is(make_bag, kind):
    """Bytes of the file are overwritten in many places; a message may be wrong then, but nothing else is raised."""
    source = make_bag([("/image", i, np.full((24, 32, 3), i, np.uint8)) for i in range(20)], kind)
    file = next((f for f in source.glob("*") if f.suffix in {".db3", ".mcap"}), source)
    whole = file.read_bytes()
    refused = []
    for place in range(20):
        for garbage in (b"\xff" * 6, bytes(4096)):
            first = len(whole) * place // 20
            file.write_bytes(whole[:first] + garbage + whole[first + len(garbage) :])
            try:
                with BagReader(file) as reader:
                    list(reader.messages(list(reader.topics)))
                    refused += reader.damage
            except PanopticError as error:
                refused.append(str(error))
    assert len(refused) >= 3
    assert all(str(file) in reason for reason in refused)


def test_a_message_that_was_cut_short_is_a_frame_that_cannot_be_read():
    message, name = message_of(bag_types.typestore(), np.zeros((48, 64, 3), np.uint8), 0, ros1=False, seq=0)
    data = bag_types.typestore().serialize_cdr(message, name)
    assert read_frame(Message("/image", name, 0, data)).image_rgb.shape == (48, 64, 3)
    for length in (0, 3, 4, 11, 20, 40, 60, len(data) - 1):
        with pytest.raises(ImageEncodingError):
            read_frame(Message("/image", name, 0, data[:length]))


def test_camera_infos_of_ros_1(tmp_path):
    """`play` publishes them. In ROS 1 their fields are in capitals, and the header has one more."""
    store, name = get_typestore(Stores.ROS1_NOETIC), "sensor_msgs/msg/CameraInfo"
    types = store.types
    header = types["std_msgs/msg/Header"](7, types["builtin_interfaces/msg/Time"](1, 2), "optical")
    matrix, roi = np.arange(9.0), types["sensor_msgs/msg/RegionOfInterest"](1, 2, 3, 4, True)
    info = types[name](header, 4, 6, "plumb_bob", np.arange(5.0), matrix, matrix, np.arange(12.0), 1, 2, roi)
    with Ros1Writer(tmp_path / "in.bag") as writer:
        writer.write(writer.add_connection("/camera_info", name, typestore=store), 3, store.serialize_ros1(info, name))
    with BagReader(tmp_path / "in.bag") as reader:
        (message,) = reader.messages(list(reader.topics))
    got: Any = bag_types.typestore().deserialize_cdr(message.data, message.type_name)
    assert (stamp_ns(got), got.header.frame_id, got.height, got.width) == (1_000_000_002, "optical", 4, 6)
    assert (list(got.d), list(got.k), list(got.p)) == (list(range(5)), list(range(9)), list(range(12)))
    assert (got.distortion_model, got.binning_y, got.roi.width, got.roi.do_rectify) == ("plumb_bob", 2, 4, True)


OWN_TYPES = [name for name in bag_types.DEFINITIONS if name.startswith("opendr_panoptic_ros/")]


def test_the_types_are_those_of_the_msg_files():
    for name in OWN_TYPES:
        file = ROOT / "msg" / f"{name.rpartition('/')[2]}.msg"
        assert get_types_from_msg(bag_types.DEFINITIONS[name], name) == get_types_from_msg(
            file.read_text("utf-8"), name
        )
    assert {name.rpartition("/")[2] for name in OWN_TYPES} == {p.stem for p in (ROOT / "msg").glob("*.msg")}


def test_the_types_have_the_hashes_of_the_built_messages():
    """ROS 2 compares types by these hashes. Those of other packages are compared where the packages are installed."""
    prefixes = [
        ROOT / "install" / "opendr_panoptic_ros",
        *map(Path, os.environ.get("AMENT_PREFIX_PATH", "").split(":")),
    ]
    compared = set()
    for name in bag_types.DEFINITIONS:
        for prefix in prefixes:
            description = prefix / "share" / Path(name).with_suffix(".json")
            if description.exists():
                hashes = {h["type_name"]: h["hash_string"] for h in json.loads(description.read_text())["type_hashes"]}
                assert bag_types.typestore().hash_rihs01(name) == hashes[name]
                compared.add(name)
    if not compared.issuperset(OWN_TYPES):
        pytest.skip("the messages are not built; make setup does it")
