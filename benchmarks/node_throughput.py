# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Measures the node with a camera that is faster than the network. Prints a table; `--json` writes a file.

Camera, node and listener are separate processes that communicate over DDS. Source install/setup.bash first.

python benchmarks/node_throughput.py --checkpoint demo --size 576x768 --rate-hz 25
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from opendr_panoptic_ros.msg import PanopticSegmentation
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rich.console import Console
from rich.table import Table
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from opendr_panoptic_ros.demo.dds import profile_variable, reserved_domain_id
from opendr_panoptic_ros.ros.messages import image_message

ROOT = Path(__file__).resolve().parents[1]
COUNTS = ("received", "answered", "dropped", "failed")
TIMES = ("processing_time_ms_p50", "processing_time_ms_p95", "pipeline_latency_ms_p50", "pipeline_latency_ms_p95")


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="demo", help="path or name")
    parser.add_argument("--size", default="576x768", help="height x width of the camera image in pixels")
    parser.add_argument("--rate-hz", type=float, default=25.0, help="frames per second of the camera")
    parser.add_argument("--frames", type=int, default=300, help="number of frames that the camera sends")
    parser.add_argument("--listen", nargs="*", default=["segmentation"], help="topics below panoptic/ to subscribe to")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--camera", action="store_true", help=argparse.SUPPRESS)  # runs this script as the camera
    arguments = parser.parse_args()
    if arguments.camera:
        publish(arguments.size, arguments.rate_hz, arguments.frames)
        return
    with reserved_domain_id() as domain_id:
        report = measure(arguments, domain_id)
    table = Table("figure", "value")
    for name, value in report.items():
        table.add_row(name, f"{value:.1f}" if isinstance(value, float) else str(value))
    Console().print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def publish(size: str, rate_hz: float, frames: int) -> None:
    """Publish frames of coarse noise with best-effort reliability; each frame differs from the one before.

    Args:
        size: Height x width of the frames in pixels.
        rate_hz: Frames per second.
        frames: Number of frames.
    """
    rclpy.init()
    node = Node("benchmark_camera")
    camera = node.create_publisher(Image, "image_raw", qos_profile_sensor_data)
    height, width = map(int, size.split("x"))
    coarse = np.random.default_rng(0).integers(0, 256, (height // 16 + 1, width // 16 + 1, 3), dtype=np.uint8)
    picture = coarse.repeat(16, 0).repeat(16, 1)[:height, :width]
    wait_for(camera.get_subscription_count, 120)
    time.sleep(0.5)
    due_s = time.monotonic()
    for number in range(frames):
        time.sleep(max(0.0, due_s - time.monotonic()))
        due_s += 1 / rate_hz
        header = Header(stamp=node.get_clock().now().to_msg(), frame_id="camera")
        camera.publish(image_message(np.roll(picture, number, axis=1), "rgb8", header))
    time.sleep(0.5)


def measure(arguments: argparse.Namespace, domain_id: int) -> dict[str, Any]:
    """Run the camera and the node, subscribe to the outputs, and return the figures.

    Args:
        arguments: The command line.
        domain_id: ROS domain of camera, node and listener.
    """
    os.environ["ROS_DOMAIN_ID"] = str(domain_id)
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    if variable := profile_variable():
        os.environ[variable] = str(ROOT / "config" / "fastdds_large_images.xml")
    rclpy.init()
    listener = Node("benchmark_listener")
    diagnostics: list[dict[str, str]] = []
    listener.create_subscription(DiagnosticArray, "/diagnostics", lambda m: diagnostics.append(_values(m)), 10)
    for topic in arguments.listen:
        message_type = PanopticSegmentation if topic == "segmentation" else Image
        listener.create_subscription(message_type, f"panoptic/{topic}", lambda _: None, 10)

    def spin_until(condition: Callable[[], Any]) -> None:
        while not condition():
            rclpy.spin_once(listener, timeout_sec=0.1)

    command = [sys.executable, str(ROOT / "scripts" / "panoptic_node"), "--ros-args"]
    camera_command = [sys.executable, __file__, "--camera", "--size", arguments.size]
    camera_command += ["--rate-hz", str(arguments.rate_hz), "--frames", str(arguments.frames)]
    with subprocess.Popen([*command, "-p", f"checkpoint:={arguments.checkpoint}"]) as node:
        try:
            spin_until(lambda: (diagnostics and diagnostics[-1]["state"] == "active") or node.poll() is not None)
            if node.poll() is not None:
                sys.exit("The node exited; see its output above.")
            cpu_s, start_s = _cpu_s(node.pid), time.monotonic()
            with subprocess.Popen(camera_command) as camera:
                spin_until(lambda: camera.poll() is not None)
            wall_s = time.monotonic() - start_s
            cpu_percent = 100 * (_cpu_s(node.pid) - cpu_s) / wall_s
            peak_rss_mb = _peak_rss_mb(node.pid)
            spin_until(lambda: sum(int(diagnostics[-1][key]) for key in COUNTS) == 2 * int(diagnostics[-1]["received"]))
        finally:
            node.send_signal(signal.SIGINT)
    values = diagnostics[-1]
    rclpy.shutdown()
    counts = {key: int(values[key]) for key in COUNTS}
    return {
        "checkpoint": arguments.checkpoint,
        "image": arguments.size,
        "camera_hz": arguments.rate_hz,
        "outputs": " ".join(arguments.listen),
        "device": values["device"],
        "processor": f"{platform.machine()}, {os.cpu_count()} cores",
        "sent": arguments.frames,
        **counts,
        "received_percent": 100 * counts["received"] / arguments.frames,
        "results_per_s": counts["answered"] / (arguments.frames / arguments.rate_hz),
        **{key: float(values[key]) for key in TIMES},
        "node_cpu_percent": cpu_percent,
        "node_peak_rss_mb": peak_rss_mb,
    }


def _values(message: DiagnosticArray) -> dict[str, str]:
    return {entry.key: entry.value for status in message.status for entry in status.values}


def _cpu_s(pid: int) -> float:
    """Return the user and system time of a process in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _peak_rss_mb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) // 1024


def wait_for(condition: Callable[[], Any], patience_s: float) -> None:
    """Return once a condition holds; exit with an error when it does not in time.

    Args:
        condition: Returns whether it holds.
        patience_s: Longest time to wait in seconds.
    """
    end_s = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > end_s:
            sys.exit("The node does not subscribe to the camera.")
        time.sleep(0.02)


if __name__ == "__main__":
    main()
