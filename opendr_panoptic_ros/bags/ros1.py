# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Converting the messages of ROS 1 bags to ROS 2."""

from __future__ import annotations

from typing import Any

from rosbags.convert.converter import STATIC_MSGTYPE_RENAMES, is_same_wireformat, migrate_bytes
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from opendr_panoptic_ros.bags.channels import LATCHED, BagChannel
from opendr_panoptic_ros.bags.types import typestore


class Ros1Converter:
    """Converts the messages of a type of ROS 1 to ROS 2.

    A type that ROS 2 or this package defines is converted to that definition. Where the fields of both have the same
    types, as nearly always, the bytes of the fields are kept; elsewhere fields are matched by their names, or else by
    their types, and new fields are zero or empty. A type that ROS 2 does not define keeps the definition in the bag.
    `std_msgs/Header` loses its field `seq`, and `tf/tfMessage` becomes `tf2_msgs/TFMessage`.

    Args:
        type_name: Name of the type in ROS 1.
        definition: Its definition in the bag.

    Raises:
        Exception: The definition is not legal; rosbags raises errors of several types.
    """

    def __init__(self, type_name: str, definition: str) -> None:
        self._source_type, self._type = type_name, STATIC_MSGTYPE_RENAMES.get(type_name, type_name)
        self._source, self._target = get_typestore(Stores.EMPTY), get_typestore(Stores.EMPTY)
        self._source.register(get_types_from_msg(definition, type_name))
        known = typestore().fielddefs
        target = {name: known.get(name) or fields for name, fields in self._source.fielddefs.items()}
        self._target.register(_with_nested({self._type: known.get(self._type) or target[type_name]} | target))
        self._has_same_fields = is_same_wireformat(self._source, self._target, type_name, self._type)
        self._defaults: dict[str, Any] = {}

    def channel(self, topic: str, latched_count: int) -> BagChannel:
        """Return the channel of the converted messages.

        Args:
            topic: Name of the topic.
            latched_count: Number of latched connections of the topic, 0 if it is not latched. The profile of the topic
                has this depth, so that a late subscriber gets the last message of each publisher.
        """
        qos = [LATCHED._replace(depth=latched_count)] if latched_count else []
        return BagChannel.of_type(topic, self._type, qos, store=self._target)

    def __call__(self, data: bytes | memoryview) -> memoryview:
        """Convert a message.

        Args:
            data: Its bytes in ROS 1.

        Returns:
            The message in CDR.
        """
        if self._has_same_fields:
            return self._target.ros1_to_cdr(data, self._type)
        return migrate_bytes(
            self._source,
            self._target,
            self._source_type,
            self._type,
            self._defaults,
            data,
            src_is2=False,
            dst_is2=True,
        )


def _with_nested(types: dict[str, Any]) -> dict[str, Any]:
    """Return types with those of ROS 2 that their fields refer to."""
    known, found = typestore().fielddefs, dict(types)
    waiting = list(types.values())
    while waiting:
        _, fields = waiting.pop()
        for name in {name for _, description in fields for name in _names(description)} - found.keys():
            found[name] = known[name]
            waiting.append(known[name])
    return found


def _names(description: Any) -> list[str]:
    """Return the names of message types in the description of a field: base type, name, or array of one of these."""
    value = description[1]
    if isinstance(value, str):
        return [value]
    return _names(value[0]) if isinstance(value[0], tuple) else []
