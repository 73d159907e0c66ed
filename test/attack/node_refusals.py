# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Messages that attack the live node: `python test/attack/node_refusals.py` prints their table of README.md.

The node runs in a process of its own. After each attack it must answer an ordinary image; the time is the processor
time of the node until then, and the memory is its peak above that before.
"""

# ruff: noqa: E402 - the package and the helpers of the tests are found only after the path is set

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
sys.path.insert(0, str(HERE.parents[1]))
os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE.parents[1]), str(HERE.parent), os.environ.get("PYTHONPATH", "")])

import numpy as np
from attack.bounds import Cost
from attack.refusals import TINY_BOMB, jpeg, png
from attack.run import replace_table
from builtin_interfaces.msg import Time
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header
from support.node_process import NodeProcess
from support.ros_bench import Bench
from support.tiny_network import write_tiny_checkpoint

from opendr_panoptic_ros.demo.dds import reserved_domain_id

BEGIN, END = "<!-- table of node_refusals.py -->", "<!-- end of the refusals of the node -->"
REPEATS = 20
"""Number of times that each attack is sent."""
PICTURE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)


class Attacker:
    """Sends hostile messages to a node.

    Args:
        bench: A ROS context.
        transport: The node's `image_transport`.
    """

    def __init__(self, bench: Bench, transport: str) -> None:
        self._bench = bench
        self._publishers: dict[str, Any] = {}
        self._client = bench.client.create_client(SetParameters, "/panoptic_segmentation/set_parameters")
        self._type: Any = CompressedImage if transport == "compressed" else Image
        self._topic = "image_raw/compressed" if transport == "compressed" else "image_raw"
        self._answers = bench.subscribe("panoptic/semantic")
        self._number = 0

    def publish(self, topic: str, message: Any) -> None:
        if topic not in self._publishers:
            self._publishers[topic] = self._bench.client.create_publisher(type(message), topic, 10)
            self._bench.wait_for(self._publishers[topic].get_subscription_count, f"a subscription to {topic}")
        self._publishers[topic].publish(message)

    def image(self, **fields: Any) -> None:
        message = self._type(header=Header(stamp=Time(sec=1)), **fields)
        self.publish(self._topic, message)

    def set_parameter(self, message: ParameterMessage, *, is_answered: bool) -> None:
        self._bench.wait_for(self._client.service_is_ready, "the service")
        future = self._client.call_async(SetParameters.Request(parameters=[message]))
        if is_answered:
            self._bench.wait_for(future.done, "the response")
            assert not future.result().results[0].successful
            assert "root:" not in future.result().results[0].reason

    def is_answered(self) -> None:
        """Send an ordinary image until it is answered."""
        self._number += 1
        header = Header(frame_id="camera")
        header.stamp.sec = 1000 + self._number
        message = self._type(header=header)
        if self._type is CompressedImage:
            import cv2

            message.format = "png"
            message.data.frombytes(cv2.imencode(".png", PICTURE)[1].tobytes())
        else:
            message.height, message.width, message.encoding, message.step = *PICTURE.shape[:2], "rgb8", 192
            message.data.frombytes(PICTURE.tobytes())

        def answered() -> bool:
            self.publish(self._topic, message)
            time.sleep(0.05)
            return any(answer.header.stamp.sec == header.stamp.sec for answer in self._answers)

        self._bench.wait_for(answered, "an answer")


def camera_info(sec: int, coefficients: int = 5) -> CameraInfo:
    return CameraInfo(header=Header(stamp=Time(sec=sec)), d=[0.0] * coefficients)


RAW: dict[str, Callable[[Attacker], object]] = {
    "`set_parameters` with a type that does not exist": lambda attacker: attacker.set_parameter(
        ParameterMessage(name="jpeg_quality", value=ParameterValue(type=77)), is_answered=False
    ),
    "`config` set to `/etc/passwd`": lambda attacker: attacker.set_parameter(
        Parameter("config", value="/etc/passwd").to_parameter_msg(), is_answered=True
    ),
    "`checkpoint` of 1 MB of text": lambda attacker: attacker.set_parameter(
        Parameter("checkpoint", value="x" * 1_000_000).to_parameter_msg(), is_answered=True
    ),
    "`/clock` with negative seconds": lambda attacker: attacker.publish("/clock", Clock(clock=Time(sec=-5))),
    "CameraInfo with a negative stamp": lambda attacker: attacker.publish("camera_info", camera_info(-5)),
    "CameraInfo with 200,000 coefficients": lambda attacker: attacker.publish("camera_info", camera_info(1, 200_000)),
    "image with a negative stamp": lambda attacker: attacker.publish(
        "image_raw", Image(header=Header(stamp=Time(sec=-7)), height=1, width=1, step=3, encoding="rgb8", data=bytes(3))
    ),
    "image whose encoding has 5 MB": lambda attacker: attacker.image(encoding="x" * 5_000_000, height=1, width=1),
    "image that claims 4,000,000,000 rows": lambda attacker: attacker.image(
        encoding="rgb8", height=4_000_000_000, width=1000, step=3000, data=bytes(3000)
    ),
}
COMPRESSED: dict[str, Callable[[Attacker], object]] = {
    "PNG of 41 bytes whose chunk claims 4 GB": lambda attacker: attacker.image(format="png", data=TINY_BOMB),
    "PNG of 30,000 x 30,000": lambda attacker: attacker.image(format="png", data=png(30_000, 30_000)),
    "JPEG of 14 KB that claims 65,500 x 2,000": lambda attacker: attacker.image(
        format="jpeg", data=jpeg(65_500, 2_000)
    ),
}


def usage(pid: int) -> tuple[float, int, int]:
    """Return processor time in s, resident memory and its peak in kB of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines())
    return ticks / os.sysconf("SC_CLK_TCK"), int(status["VmRSS"].split()[0]), int(status["VmHWM"].split()[0])


def attack(transport: str, attacks: dict[str, Callable[[Attacker], object]], folder: Path) -> list[str]:
    """Start a node, send the attacks, stop it, and return the lines of the table."""
    bench, lines = Bench(), []
    parameters = {"checkpoint": write_tiny_checkpoint(folder), "image_transport": transport, "use_sim_time": "true"}
    node = NodeProcess(folder / f"{transport}.log", parameters)
    try:
        bench.subscribe("panoptic/camera_info", CameraInfo)
        attacker = Attacker(bench, transport)
        for _ in range(20):
            attacker.is_answered()  # what is imported and allocated late
        for name, send in attacks.items():
            Path(f"/proc/{node.pid}/clear_refs").write_text("5", encoding="ascii")
            before_s, before_kb, _ = usage(node.pid)
            for _ in range(REPEATS):
                send(attacker)
            attacker.is_answered()
            after_s, _, peak_kb = usage(node.pid)
            seconds, memory_mb = after_s - before_s, max(0, peak_kb - before_kb) / 1024
            lines.append(f"| {name} | {REPEATS} | {seconds:.2f} s | {memory_mb:.0f} MB |")
            Cost(seconds / REPEATS, memory_mb).check()
        assert node.stop(signal.SIGTERM) == 0
    finally:
        node.kill()
        bench.close()
    return lines


def main() -> None:
    """Print the table; an error is raised where the node does not answer any more, or an attack costs too much."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="Write the table into test/attack/README.md.")
    arguments = parser.parse_args()
    lines = ["| message or request | times | time of all, and of an answer | memory |", "|---|---|---|---|"]
    with reserved_domain_id() as domain_id, tempfile.TemporaryDirectory() as folder:
        os.environ |= {"ROS_DOMAIN_ID": str(domain_id), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
        lines += attack("raw", RAW, Path(folder))
        lines += attack("compressed", COMPRESSED, Path(folder))
    print("\n".join(lines))
    if arguments.write:
        replace_table(HERE / "README.md", BEGIN, END, "\n".join(lines))


if __name__ == "__main__":
    main()
