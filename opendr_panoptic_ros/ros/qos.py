# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Quality of service: the profiles of the node's topics, and in words why a publisher does not match."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSCompatibility,
    QoSProfile,
    ReliabilityPolicy,
    qos_check_compatible,
)

if TYPE_CHECKING:
    from rclpy.node import Node
    from rclpy.subscription import Subscription


def input_qos() -> QoSProfile:
    """Matches every camera, and never waits for old frames. A profile of its own: overrides are written into it."""
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)


def output_qos() -> QoSProfile:
    """Matches every listener that does not ask for old messages. A profile of its own, as above."""
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=5, reliability=ReliabilityPolicy.RELIABLE)


def latched_qos() -> QoSProfile:
    """Whoever comes later still gets the last message."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=1,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL,
    )


def mismatch(node: Node, subscription: Subscription[Any]) -> str:
    """In words, which publishers of the subscription's topic it gets nothing from, or an empty string."""
    topic, asked = subscription.topic_name, subscription.qos_profile
    offers = [
        f"{endpoint.node_namespace.rstrip('/')}/{endpoint.node_name} offers {_words(endpoint.qos_profile)}"
        for endpoint in node.get_publishers_info_by_topic(topic)
        if qos_check_compatible(endpoint.qos_profile, asked)[0] == QoSCompatibility.ERROR
    ]
    if not offers:
        return ""
    return (
        f"quality of service of {topic} does not match: {'; '.join(offers)}; this node asks for {_words(asked)}. "
        f"Change the publisher, or this node's parameters qos_overrides.{topic}.subscription"
    )


def _words(profile: QoSProfile) -> str:
    policies = {"reliability": profile.reliability, "durability": profile.durability}
    return ", ".join(f"{name} {policy.name.lower()}" for name, policy in policies.items())
