"""The demo's corner of DDS: a domain of its own, and shared memory that holds its images."""

from __future__ import annotations

import os
import random
import shutil
import socket
from importlib.metadata import version
from pathlib import Path

_PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")  # old name; new, from Kilted
_KILTED_RCLPY = 9
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Fast DDS has its segments
_PROFILE = """<?xml version="1.0" encoding="UTF-8"?>
<dds xmlns="http://www.eprosima.com">
  <profiles>
    <transport_descriptors>
      <transport_descriptor>
        <transport_id>shared_memory</transport_id>
        <type>SHM</type>
        <segment_size>{segment_bytes}</segment_size>
      </transport_descriptor>
      <transport_descriptor>
        <transport_id>udp</transport_id>
        <type>UDPv4</type>
      </transport_descriptor>
    </transport_descriptors>
    <participant profile_name="large_images" is_default_profile="true">
      <rtps>
        <userTransports>
          <transport_id>shared_memory</transport_id>
          <transport_id>udp</transport_id>
        </userTransports>
        <useBuiltinTransports>false</useBuiltinTransports>
      </rtps>
    </participant>
  </profiles>
</dds>
"""


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


def dds_environment(folder: Path, pixels: int) -> dict[str, str]:
    """Environment variables for processes that shall hear each other, nobody else, and images of so many pixels.

    Fast DDS has shared memory for 0.5 MB in a process. A larger image is cut into pieces, of which some are lost: best
    effort then loses the image, and reliable takes seconds to repeat them. So it gets more, by a profile in `folder`,
    unless the user has a profile already.
    """
    environment = {"ROS_DOMAIN_ID": str(free_domain_id()), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    if _SHARED_MEMORY.is_dir() and not any(name in os.environ for name in _PROFILE_VARIABLES):
        # The node's outputs have 20 bytes a pixel; three frames of them at a time, but not more than there is.
        segment_bytes = min(max(60 * pixels, 2**23), shutil.disk_usage(_SHARED_MEMORY).free // 8, 2**30)
        profile = folder / "fastdds.xml"
        profile.write_text(_PROFILE.format(segment_bytes=segment_bytes), "utf-8")
        is_new = int(version("rclpy").split(".")[0]) >= _KILTED_RCLPY
        environment[_PROFILE_VARIABLES[is_new]] = str(profile)
    return environment
