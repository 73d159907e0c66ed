# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Quality of service: the profiles of the node's topics, and descriptions of publishers that do not match."""

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
    """Return a new profile for input topics: it matches every publisher. rclpy writes overrides into the profile."""
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)


def output_qos() -> QoSProfile:
    """Return a new profile for output topics: it matches every subscription that is not transient local."""
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=5, reliability=ReliabilityPolicy.RELIABLE)


def latched_qos() -> QoSProfile:
    """Return a new profile for topics whose last message is delivered to late subscribers as well."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=1,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL,
    )


def mismatch(node: Node, subscription: Subscription[Any]) -> str:
    """Describe the publishers whose quality of service does not match that of a subscription.

    Args:
        node: The node that owns the subscription.
        subscription: The subscription.

    Returns:
        A description with the settings of both sides; an empty string if all publishers match.
    """
    topic, requested = subscription.topic_name, subscription.qos_profile
    offers = [
        f"{endpoint.node_namespace.rstrip('/')}/{endpoint.node_name} offers {_policies(endpoint.qos_profile)}"
        for endpoint in node.get_publishers_info_by_topic(topic)
        if qos_check_compatible(endpoint.qos_profile, requested)[0] == QoSCompatibility.ERROR
    ]
    if not offers:
        return ""
    return (
        f"quality of service of {topic} does not match: {'; '.join(offers)}; this node requests {_policies(requested)}."
        f" Change the publisher, or this node's parameters qos_overrides.{topic}.subscription"
    )


def _policies(profile: QoSProfile) -> str:
    policies = {"reliability": profile.reliability, "durability": profile.durability}
    return ", ".join(f"{name} {policy.name.lower()}" for name, policy in policies.items())
