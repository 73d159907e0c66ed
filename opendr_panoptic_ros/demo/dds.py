# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""DDS settings of the demo: a ROS domain that no other process uses, and shared memory large enough for its images."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import socket
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from opendr_panoptic_ros.errors import PanopticError

_OLD_PROFILE_VARIABLE = "FASTRTPS_DEFAULT_PROFILES_FILE"
_NEW_PROFILE_VARIABLE = "FASTDDS_DEFAULT_PROFILES_FILE"  # from Kilted on
_KILTED_RCLPY = 9
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Fast DDS keeps its segments


@contextlib.contextmanager
def reserved_domain_id() -> Iterator[int]:
    """Yield a ROS_DOMAIN_ID from 1 to 100 that no other process on this machine uses, reserved until the context ends.

    Raises:
        PanopticError: Every domain is in use.
    """
    for domain_id in random.sample(range(1, 101), 100):
        first_port = 7400 + 250 * domain_id
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as reservation,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe,
        ):
            try:
                # A domain has 250 ports; only participant 119 would use the last one. Binding it is atomic, so two
                # processes never reserve the same domain, and the system releases it when the process ends.
                reservation.bind(("127.0.0.1", first_port + 249))
                # Discovery port of a domain's first participant (RTPS 2.5, section 9.6.2.4).
                probe.bind(("", first_port + 10))
            except OSError:
                continue
            probe.close()
            yield domain_id
            return
    raise PanopticError("Every ROS_DOMAIN_ID from 1 to 100 is in use on this machine. Stop ROS nodes and try again.")


def profile_variable() -> str | None:
    """Return the environment variable that names a Fast DDS profile, or None if the user has set one already."""
    if _OLD_PROFILE_VARIABLE in os.environ or _NEW_PROFILE_VARIABLE in os.environ:
        return None
    is_kilted_or_newer = int(version("rclpy").split(".")[0]) >= _KILTED_RCLPY
    return _NEW_PROFILE_VARIABLE if is_kilted_or_newer else _OLD_PROFILE_VARIABLE


def dds_environment(domain_id: int, folder: Path, profile: Path, frame_bytes: int) -> dict[str, str]:
    """Return environment variables for processes that exchange images with each other alone, on this machine.

    Args:
        domain_id: ROS domain of the processes.
        folder: Folder for a copy of the profile that is fitted to the images; none is written where the environment
            already names a profile.
        profile: Path of config/fastdds_large_images.xml.
        frame_bytes: Size of all messages that are made of one frame.

    Returns:
        Values by name of the variable.
    """
    environment = {"ROS_DOMAIN_ID": str(domain_id), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    variable = profile_variable()
    if variable and _SHARED_MEMORY.is_dir():
        # Three frames, limited by the memory that is available.
        segment_bytes = min(max(3 * frame_bytes, 2**23), shutil.disk_usage(_SHARED_MEMORY).free // 8, 2**30)
        fitted = folder / profile.name
        text = profile.read_text("utf-8")
        fitted.write_text(re.sub(r"(?<=<segment_size>)\d+", str(segment_bytes), text), "utf-8")
        environment[variable] = str(fitted)
    return environment
