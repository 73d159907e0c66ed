# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Fixtures of the tests with real nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from support.ros_bench import Bench, Gate

    from opendr_panoptic_ros.ros.node import PanopticNode


@pytest.fixture
def picture() -> np.ndarray:
    """An image `(48, 64, 3)` in which the tiny network finds instances."""
    return np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)


@pytest.fixture
def bench(ros_domain: int) -> Iterator[Bench]:
    """A ROS context with a client; skips the test on a machine without ROS 2."""
    bench: Bench = pytest.importorskip("support.ros_bench").Bench()
    yield bench
    bench.close()


@pytest.fixture
def gate_of() -> Callable[[PanopticNode], Gate]:
    """A function that puts a gate before a node's network."""
    from support.ros_bench import Gate

    def put_gate(node: PanopticNode) -> Gate:
        assert node.pipeline is not None
        gate = Gate(node.pipeline.segmenter)
        node.pipeline.segmenter = gate  # type: ignore[assignment]
        return gate

    return put_gate
