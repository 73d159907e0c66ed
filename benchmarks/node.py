# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The node over DDS: from the image of a camera to the message of its result, in processes of their own.

    python benchmarks/node.py --checkpoint demo --sizes 256x512 1080x1920
    python benchmarks/node.py --cameras 1 4 --transports raw compressed --outputs semantic rgb_visualization

Latency: the next image is sent when the result of the previous one has arrived, so nothing waits. The latency that the
node adds is that latency without the time of the same network on the same image, called in Python. Load: each camera
sends more images than the network can process. The ROS environment must be sourced (install/setup.bash).
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from typing import Any

import harness
import numpy as np
from harness import Row

_PATIENCE_S = 180.0
COUNTS = ("received", "answered", "dropped", "failed")


class Client:
    """Cameras, and a listener to their results, in this process.

    Args:
        cameras: Names of the cameras.
        transport: "raw" or "compressed".
        outputs: Topics below `panoptic/` to subscribe to.
        image: `(H, W, 3)` uint8 RGB that the cameras send.
    """

    def __init__(self, cameras: Sequence[str], transport: str, outputs: Sequence[str], image: np.ndarray) -> None:
        import rclpy
        from diagnostic_msgs.msg import DiagnosticArray
        from rclpy.qos import qos_profile_sensor_data
        from sensor_msgs.msg import CompressedImage, Image
        from std_msgs.msg import Header

        from opendr_panoptic_ros.ros.messages import image_message, jpeg_message, message_types

        self._rclpy = rclpy
        self.context = rclpy.Context()
        rclpy.init(context=self.context, args=[])
        self.node = rclpy.create_node("benchmark", context=self.context)
        self._executor = rclpy.executors.SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self.diagnostics: dict[str, dict[str, str]] = {}
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        suffix, message_type = ("", Image) if transport == "raw" else ("/compressed", CompressedImage)
        self._message = (
            image_message(image, "rgb8", Header(frame_id="camera"))
            if transport == "raw"
            else jpeg_message(image, Header(frame_id="camera"), quality=90)
        )
        self._publishers = {}
        self.results: dict[str, int] = dict.fromkeys(cameras, 0)
        types = message_types().outputs
        for name in cameras:
            prefix = f"{name}/" if name else ""
            self._publishers[name] = self.node.create_publisher(
                message_type, f"{prefix}image_raw{suffix}", qos_profile_sensor_data
            )
            for output in outputs:  # raw: this process must not spend time on what is not measured
                callback = (lambda _, name=name: self._count(name)) if output == outputs[-1] else (lambda _: None)
                self.node.create_subscription(types[output], f"{prefix}panoptic/{output}", callback, 10, raw=True)

    def send(self, camera: str) -> None:
        """Send the image with the present time as its stamp.

        Args:
            camera: Name of the camera.
        """
        self._message.header.stamp = self.node.get_clock().now().to_msg()
        self._publishers[camera].publish(self._message)

    def spin_until(self, condition: Callable[[], Any], patience_s: float = _PATIENCE_S) -> bool:
        """Handle messages until a condition holds; return whether it does.

        Args:
            condition: The condition.
            patience_s: Longest time.
        """
        end_s = time.monotonic() + patience_s
        while not condition():
            if time.monotonic() > end_s:
                return False
            self._executor.spin_once(timeout_sec=0.05)
        return True

    def is_connected(self) -> bool:
        """Return whether the node subscribes to all cameras."""
        return all(publisher.get_subscription_count() for publisher in self._publishers.values())

    def camera_diagnostics(self) -> list[dict[str, str]]:
        """Return the values of the diagnostics of each camera."""
        return [values for values in self.diagnostics.values() if "received" in values]

    def counts(self) -> dict[str, int]:
        """Return the counts of all cameras in the latest diagnostics."""
        return {key: sum(int(values[key]) for values in self.camera_diagnostics()) for key in COUNTS}

    def close(self) -> None:
        """End the ROS context."""
        self._executor.shutdown()
        self.node.destroy_node()
        self._rclpy.shutdown(context=self.context)

    def _count(self, camera: str) -> None:
        self.results[camera] += 1

    def _on_diagnostics(self, message: Any) -> None:
        for status in message.status:
            self.diagnostics[status.name] = {entry.key: entry.value for entry in status.values}


def measure(
    *,
    checkpoint: str,
    parameters: dict[str, Any],
    size: str,
    cameras: int,
    transport: str,
    outputs: list[str],
    seconds: float,
    rate_hz: float,
) -> Row:
    """Measure the node with one set of cameras. Runs in a process of its own, which is the client.

    Args:
        checkpoint: Weights of the node.
        parameters: Further parameters of the node.
        size: Height x width of the images in px.
        cameras: Number of cameras.
        transport: "raw" or "compressed".
        outputs: Topics below `panoptic/` with a subscriber.
        seconds: Duration of each part.
        rate_hz: Images per second of each camera under load.

    Returns:
        The measurement.
    """
    from opendr_panoptic_ros.demo.dds import reserved_domain_id

    height, width = map(int, size.split("x"))
    coarse = np.random.default_rng(0).integers(0, 256, (height // 16 + 1, width // 16 + 1, 3), dtype=np.uint8)
    image = np.ascontiguousarray(coarse.repeat(16, 0).repeat(16, 1)[:height, :width])
    names = [""] if cameras == 1 else [f"camera{number}" for number in range(cameras)]
    with reserved_domain_id() as domain_id:
        _set_environment(domain_id)
        client = Client(names, transport, outputs, image)
        try:
            with _node(checkpoint, {**parameters, "image_transport": transport}, names) as node:
                return _measure(client, node, names, seconds, rate_hz)
        finally:
            client.close()


def _measure(client: Client, node: subprocess.Popen[bytes], names: list[str], seconds: float, rate_hz: float) -> Row:
    if not client.spin_until(lambda: client.is_connected() or node.poll() is not None) or node.poll() is not None:
        return {"error": "the node did not start"}

    def answered() -> int:
        return sum(client.results.values())

    def attempt() -> bool:  # until both sides have discovered each other, images are lost
        for name in names:
            client.send(name)
        return client.spin_until(lambda: all(client.results.values()), 2.0)

    if not any(attempt() for _ in range(60)):
        return {"error": "the node does not answer"}
    client.spin_until(lambda: False, 1.0)

    latencies_s = []
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s or len(latencies_s) < 5:
        before, start_s = answered(), time.perf_counter()
        client.send(names[0])
        if not client.spin_until(lambda count=before: answered() > count, 60.0):
            return {"error": "an image was not answered"}
        latencies_s.append(time.perf_counter() - start_s)

    client.spin_until(lambda: False, 1.5)  # until the counts are published
    counts = client.counts()
    before, cpu_s, start_s, sent = answered(), harness.cpu_s_of(node.pid), time.monotonic(), 0
    due: deque[float] = deque([start_s])
    while time.monotonic() < start_s + seconds:
        client.spin_until(lambda: time.monotonic() >= due[-1], 1.0)
        for name in names:
            client.send(name)
        sent += len(names)
        due.append(start_s + len(due) / rate_hz)
    wall_s = time.monotonic() - start_s
    results = answered() - before
    cpu_s = harness.cpu_s_of(node.pid) - cpu_s
    client.spin_until(lambda: False, 2.5)  # the last results, and two diagnostics
    rows = client.camera_diagnostics()
    return {
        "latency_s": harness.summary(latencies_s),
        "answers_per_s": results / wall_s,
        "sent": sent,
        "counts": {key: number - counts[key] for key, number in client.counts().items()},
        "load_latency_ms_p50": median(float(row["pipeline_latency_ms_p50"]) for row in rows),
        "load_latency_ms_p95": max(float(row["pipeline_latency_ms_p95"]) for row in rows),
        "processing_ms_p50": median(float(row["processing_time_ms_p50"]) for row in rows),
        "node_cpu_percent": 100 * cpu_s / wall_s,
        "node_cpu_s_per_answer": cpu_s / max(results, 1),
        "node_peak_rss_mb": harness.peak_rss_mb(node.pid),
    }


def measure_network(*, checkpoint: str, parameters: dict[str, Any], size: str) -> Row:
    """Measure the network alone on an image of the same size. Runs in a process of its own.

    Args:
        checkpoint: The weights.
        parameters: Parameters of the node; those of the network are used.
        size: Height x width of the image in px.
    """
    from opendr_panoptic_ros.inference import PanopticSegmenter

    names = {"device", "precision", "backend", "inference_size", "score_threshold"}
    chosen = {key: value for key, value in parameters.items() if key in names}
    segmenter = PanopticSegmenter(checkpoint, **{"backend": "auto", **chosen})  # the node's default
    height, width = map(int, size.split("x"))
    coarse = np.random.default_rng(0).integers(0, 256, (height // 16 + 1, width // 16 + 1, 3), dtype=np.uint8)
    image = np.ascontiguousarray(coarse.repeat(16, 0).repeat(16, 1)[:height, :width])
    spent = harness.measure(lambda: segmenter(image), warm_up=2, repeat=15, limit_s=6)
    peaks = harness.Peaks(segmenter.device.type)
    peaks.sample()
    return {**spent, "backend": segmenter.backend, "precision": segmenter.precision, "peaks": peaks.result()}


@contextmanager
def _node(checkpoint: str, parameters: dict[str, Any], names: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run the node until the context ends."""
    command = [sys.executable, str(harness.ROOT / "scripts" / "panoptic_node"), "--ros-args"]
    values = {"checkpoint": f'"{checkpoint}"', **parameters}
    if names != [""]:
        values["cameras"] = "[" + ",".join(names) + "]"
        values["max_batch"] = len(names)
    for name, value in values.items():
        command += ["-p", f"{name}:={value}"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as node:
        try:
            yield node
        finally:
            node.send_signal(signal.SIGINT)
            try:
                node.wait(30)
            except subprocess.TimeoutExpired:
                node.kill()


def _set_environment(domain_id: int) -> None:
    from opendr_panoptic_ros.demo.dds import profile_variable

    os.environ["ROS_DOMAIN_ID"] = str(domain_id)
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    if variable := profile_variable():
        os.environ[variable] = str(harness.ROOT / "config" / "fastdds_large_images.xml")


def run(options: argparse.Namespace) -> list[Row]:
    """Measure everything that the command line names.

    Args:
        options: The command line.
    """
    parameters = dict(text.split(":=", 1) for text in options.parameters)
    rows = []
    for size in options.sizes:
        for number in options.cameras:
            for transport in options.transports:
                name = {"size": size, "cameras": number, "transport": transport}
                harness.progress(f"node {name}")
                task = {"step": "node", "checkpoint": options.checkpoint, "parameters": parameters, **name}
                task |= {"outputs": options.outputs, "seconds": options.seconds, "rate_hz": options.rate_hz}
                row = {**name, **harness.run_child(__file__, task, threads=options.threads)}
                task = {"step": "network", "checkpoint": options.checkpoint, "parameters": parameters, "size": size}
                network = harness.run_child(__file__, task, threads=options.threads)
                if "error" not in row and "error" not in network:
                    row["network"] = network
                    row["added_s"] = row["latency_s"]["median"] - network["wall_s"]["median"]
                rows.append(row)
    return rows


COLUMNS: dict[str, Callable[[Row], Any]] = {
    "image": lambda row: row["size"],
    "cameras": lambda row: row["cameras"],
    "transport": lambda row: row["transport"],
    "back end": lambda row: row["network"]["backend"],
    "network ms": lambda row: 1e3 * row["network"]["wall_s"]["median"],
    "latency ms": lambda row: 1e3 * row["latency_s"]["median"],
    "p95": lambda row: 1e3 * row["latency_s"]["p95"],
    "added ms": lambda row: 1e3 * row["added_s"],
    "answers/s under load": lambda row: row["answers_per_s"],
    "latency p50 / p95 ms under load": lambda row: (
        f"{row['load_latency_ms_p50']:.0f} / {row['load_latency_ms_p95']:.0f}"
    ),
    "received of sent": lambda row: f"{row['counts']['received']} of {row['sent']}",
    "CPU %": lambda row: row["node_cpu_percent"],
    "CPU ms/answer": lambda row: 1e3 * row["node_cpu_s_per_answer"],
    "RSS MB": lambda row: row["node_peak_rss_mb"],
    "GFLOP/s": lambda row: row["network"]["peaks"]["conv_gflops"],
}


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    options = harness.arguments(__doc__ or "")
    options.add_argument("--checkpoint", default="demo", help="weights of the node")
    options.add_argument("--sizes", nargs="+", default=["256x512"], help="height x width of the images in px")
    options.add_argument("--cameras", nargs="+", type=int, default=[1], help="numbers of cameras")
    options.add_argument("--transports", nargs="+", default=["raw"], choices=("raw", "compressed"))
    options.add_argument("--outputs", nargs="+", default=["segmentation"], help="topics below panoptic/")
    options.add_argument("--parameters", nargs="*", default=[], help="further parameters of the node, NAME:=VALUE")
    options.add_argument("--rate-hz", type=float, default=25.0, help="images per second of each camera under load")
    options.add_argument("--seconds", type=float, default=10.0, help="duration of each of both parts")
    options.add_argument("--threads", type=int, default=2, help="number of threads of the network")
    return options


def task(*, step: str, **values: Any) -> Row:
    """Run one step in this process.

    Args:
        step: "node" or "network".
        values: Arguments of the step.
    """
    return {"node": measure, "network": measure_network}[step](**values)


def main() -> None:
    """Run the benchmark from the command line."""
    options = parser().parse_args()
    if options.task:
        harness.child_main(task, options.task)
        return
    harness.report("node", "Node: image in, message out over DDS", run(options), COLUMNS, options)


if __name__ == "__main__":
    main()
