# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Fixtures of the training tests."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from support.toy_scenes import ToyScenes, small_config


@pytest.fixture(autouse=True)
def _one_thread():
    """One thread: on tensors this small, further threads only add waiting."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def toy_scenes():
    """The class ToyScenes."""
    return ToyScenes


@pytest.fixture
def config():
    """The configuration of the small network."""
    return small_config()


@pytest.fixture
def with_schedule(config):
    """A function that returns the small configuration with another schedule: `with_schedule(epochs=2)`."""
    return lambda **schedule: dataclasses.replace(config, schedule=small_config(**schedule).schedule)
