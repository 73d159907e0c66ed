# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The demo's corner of DDS: a domain of its own, and shared memory that holds its images."""

from __future__ import annotations

import os
import random
import re
import shutil
import socket
from importlib.metadata import version
from pathlib import Path

_PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")  # old name; new, from Kilted
_KILTED_RCLPY = 9
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Fast DDS has its segments


def free_domain_id() -> int:
    """A ROS_DOMAIN_ID, 1-100, on which nobody on this machine listens at the moment."""
    for domain_id in random.sample(range(1, 101), 100):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                # Discovery port of a domain's first participant (RTPS 2.5, section 9.6.2.4).
                probe.bind(("", 7400 + 250 * domain_id + 10))
            except OSError:
                continue
            return domain_id
    return 0


def profile_variable() -> str | None:
    """The environment variable in which this release of ROS looks for a profile; None if the user has set one."""
    if any(name in os.environ for name in _PROFILE_VARIABLES):
        return None
    return _PROFILE_VARIABLES[int(version("rclpy").split(".")[0]) >= _KILTED_RCLPY]


def dds_environment(folder: Path, profile: Path, pixels: int) -> dict[str, str]:
    """Environment variables for processes that shall hear each other, nobody else, and images of so many pixels.

    profile: config/fastdds_large_images.xml, which says what it is good for; a copy fitted to the images is written to
    `folder`, unless the user has chosen a profile.
    """
    environment = {"ROS_DOMAIN_ID": str(free_domain_id()), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    variable = profile_variable()
    if variable and _SHARED_MEMORY.is_dir():
        # The node's outputs have 20 bytes a pixel; three frames of them at a time, but not more than there is.
        segment_bytes = min(max(60 * pixels, 2**23), shutil.disk_usage(_SHARED_MEMORY).free // 8, 2**30)
        fitted = folder / profile.name
        text = profile.read_text("utf-8")
        fitted.write_text(re.sub(r"(?<=<segment_size>)\d+", str(segment_bytes), text), "utf-8")
        environment[variable] = str(fitted)
    return environment
