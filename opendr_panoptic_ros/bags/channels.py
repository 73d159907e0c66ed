# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""BagChannel: what a bag states about the messages of a topic, kept as it was recorded."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from rosbags.interfaces import (
    Connection,
    ConnectionExtRosbag2,
    MessageDefinitionFormat,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2.metadata import dump_qos_v8, parse_qos
from rosbags.typesys.store import Typestore

from opendr_panoptic_ros.bags.types import typestore

_UNLIMITED = QosTime(9223372036, 854775807)  # 2^63 - 1 ns
LATCHED = Qos(
    history=QosHistory.KEEP_LAST,
    depth=1,
    reliability=QosReliability.RELIABLE,
    durability=QosDurability.TRANSIENT_LOCAL,
    deadline=_UNLIMITED,
    lifespan=_UNLIMITED,
    liveliness=QosLiveliness.AUTOMATIC,
    liveliness_lease_duration=_UNLIMITED,
    avoid_ros_namespace_conventions=False,
)
"""Profile of topics whose last message is delivered to late subscribers as well."""

QOS = "offered_qos_profiles"
"""Entry of a channel's metadata in MCAP: the profiles in YAML, as rosbag2 writes it."""
TYPE_HASH = "topic_type_hash"
"""Entry of a channel's metadata in MCAP: the hash of the type's description."""
_ENCODINGS = {MessageDefinitionFormat.MSG: "ros2msg", MessageDefinitionFormat.IDL: "ros2idl"}


class BagChannel(NamedTuple):
    """The messages of one topic that have the same type and definition.

    Attributes:
        topic: Name of the topic.
        type_name: Name of the type, such as `sensor_msgs/msg/Image`.
        encoding: How messages are serialized, such as `cdr`.
        schema_encoding: Format of the definition: `ros2msg` or `ros2idl`; empty when there is no definition.
        schema: The definition of the type.
        metadata: Names and values that the bag states about the channel, such as `QOS` and `TYPE_HASH`.
    """

    topic: str
    type_name: str
    encoding: str
    schema_encoding: str
    schema: bytes
    metadata: tuple[tuple[str, str], ...]

    @property
    def key(self) -> tuple[str, str, str, bytes]:
        """What distinguishes channels of a bag. Channels of equal keys are parts of the same one."""
        return self.topic, self.type_name, self.encoding, self.schema

    @property
    def type_hash(self) -> str:
        """The hash of the type's description; empty when the bag has none."""
        return dict(self.metadata).get(TYPE_HASH, "")

    @property
    def qos(self) -> list[Qos]:
        """The profiles that the publishers of the topic offered; empty when there are none or they are not legal."""
        return offered_profiles(dict(self.metadata))

    @classmethod
    def of_type(
        cls, topic: str, type_name: str, qos: Collection[Qos] = (), *, store: Typestore | None = None
    ) -> BagChannel:
        """Make the channel of a topic from the definition of its type.

        Args:
            topic: Name of the topic.
            type_name: Name of the type.
            qos: Profiles that its publishers offer.
            store: Definitions of types; None stands for `typestore()`.
        """
        store = store or typestore()
        schema = store.generate_msgdef(type_name, ros_version=2)[0].encode()
        metadata = ((QOS, dump_qos_v8(list(qos))), (TYPE_HASH, store.hash_rihs01(type_name)))
        return cls(topic, type_name, "cdr", "ros2msg", schema, metadata)

    @classmethod
    def of_database(cls, connection: Connection, extra: ConnectionExtRosbag2) -> BagChannel:
        """Make the channel of a topic of a sqlite3 file, which states definitions since Iron only.

        Args:
            connection: The topic.
            extra: Its encoding and profiles.
        """
        metadata = ((QOS, dump_qos_v8(extra.offered_qos_profiles)), (TYPE_HASH, connection.digest))
        schema_encoding, schema = _ENCODINGS.get(connection.msgdef.format, ""), connection.msgdef.data.encode()
        if not schema_encoding and connection.msgtype in typestore().fielddefs:
            known = cls.of_type(connection.topic, connection.msgtype)
            schema_encoding, schema = known.schema_encoding, known.schema
        return cls(connection.topic, connection.msgtype, extra.serialization_format, schema_encoding, schema, metadata)


def offered_profiles(metadata: Mapping[str, str]) -> list[Qos]:
    """Return the profiles in the metadata of an MCAP channel; empty when there are none or they are not legal.

    Args:
        metadata: The metadata.
    """
    try:
        return parse_qos(metadata.get(QOS, ""))
    except Exception:  # noqa: BLE001 - profiles of an unknown kind hide no messages
        return []
