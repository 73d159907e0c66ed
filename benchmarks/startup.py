# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Time from the start of a process until it is ready, and what the time is spent on.

    python benchmarks/startup.py [--checkpoint demo] [--backends torch ncnn] [--repeat 5]

Commands: from the start of the process to its end, or to the line that says that it is ready. Phases: the steps of the
node in one process. Imports: `python -X importtime`, the packages that take the most time. A first start after an
update also compiles Python files and reads libraries from the disk; it is not counted.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness
from harness import Row

_IMPORT = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \| (\s*)(\S+)")
_MIN_SHARE = 0.03
PARTS = ("commands", "phases", "imports")


def commands(checkpoint: str, backend: str, folder: Path) -> dict[str, tuple[list[str], str]]:
    """Return the commands that are measured by name, each with the text of the line at which it is ready, or "".

    Args:
        checkpoint: The weights.
        backend: Back end of the node.
        folder: Folder for results.
    """
    node = [sys.executable, str(harness.ROOT / "scripts" / "panoptic_node"), "--ros-args"]
    command = [sys.executable, "-m", "opendr_panoptic_ros"]
    return {
        "opendr-panoptic --help": ([*command, "--help"], ""),
        "panoptic_node, until active": (
            [*node, "-p", f"checkpoint:={checkpoint}", "-p", f"backend:={backend}"],
            "Active: ",
        ),
        "opendr-panoptic demo, until the node is ready": (
            [*command, "demo", "--frames", "1", "--checkpoint", checkpoint, "--out", str(folder / "demo")],
            "The node is ready",
        ),
    }


def time_command(command: list[str], ready: str) -> Row:
    """Run a command until it is ready.

    Args:
        command: The command.
        ready: Text of the line at which it is ready; empty: its end.

    Returns:
        `wall_s`, and `cpu_s` of the process and of its children that have ended.
    """
    start_s = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if ready and ready in line:
                break
        wall_s = time.perf_counter() - start_s
        cpu_s = harness.cpu_s_of(process.pid) if ready and process.poll() is None else None
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        process.wait(60)
    if ready and not any(ready in line for line in lines):
        return {"error": "".join(lines[-3:]).strip()}
    return {"wall_s": wall_s, "cpu_s": cpu_s}


def phases(*, checkpoint: str, backend: str) -> Row:
    """Run the steps of the node's start. Runs in a process of its own.

    Args:
        checkpoint: The weights.
        backend: The back end.

    Returns:
        Wall and CPU seconds by step.
    """
    spent: Row = {}
    last = [time.perf_counter(), 0.0]

    def mark(name: str) -> None:
        now = [time.perf_counter(), time.process_time()]
        spent[name] = {"wall_s": now[0] - last[0], "cpu_s": now[1] - last[1]}
        last[:] = now

    mark("interpreter")
    import torch  # noqa: F401

    mark("import torch")
    import rclpy

    mark("import rclpy")
    from opendr_panoptic_ros.ros.node import PanopticNode

    mark("import the node")
    from rclpy.parameter import Parameter

    from opendr_panoptic_ros.inference import PanopticSegmenter

    rclpy.init(args=[])
    values = {"checkpoint": checkpoint, "backend": backend}
    node = PanopticNode(parameter_overrides=[Parameter(key, value=value) for key, value in values.items()])
    mark("create the ROS node")
    segmenter = PanopticSegmenter(checkpoint, backend=backend)
    mark("load weights, open the back end")
    segmenter.warm_up()
    mark("first prediction")
    segmenter.warm_up()
    mark("second prediction, for comparison")
    node.destroy_node()
    rclpy.shutdown()
    return {"phases": spent}


def imports(module: str) -> dict[str, float]:
    """Return the seconds that each package takes to import, without what it imports of other packages.

    Args:
        module: Module that is imported in a new process.
    """
    command = [sys.executable, "-X", "importtime", "-c", f"import {module}"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    spent: dict[str, float] = {}
    for match in filter(None, map(_IMPORT.match, output.splitlines())):
        package = match[4].partition(".")[0]
        spent[package] = spent.get(package, 0.0) + int(match[1]) / 1e6
    found = sorted(spent.items(), key=lambda pair: -pair[1])
    whole = sum(spent.values())
    return {"all": whole, **{package: seconds for package, seconds in found if seconds >= _MIN_SHARE * whole}}


def _starts(command: list[str], ready: str, repeat: int) -> Row:
    """Start a command several times, and once before, which warms up."""
    harness.progress(" ".join(command[-4:]))
    found = [time_command(command, ready) for _ in range(repeat + 1)][1:]
    failed = [row for row in found if "error" in row]
    if failed:
        return failed[0]
    values = {clock: [row[clock] for row in found if row[clock] is not None] for clock in ("wall_s", "cpu_s")}
    return {clock: harness.summary(seconds) for clock, seconds in values.items() if seconds}


def _phases(checkpoint: str, backend: str, threads: int, repeat: int) -> list[Row]:
    """Return a row for each step of the start, and one for all of them."""
    harness.progress(f"phases with {backend}")
    task = {"checkpoint": checkpoint, "backend": backend}
    found = [harness.run_child(__file__, task, threads=threads) for _ in range(repeat + 1)][1:]
    failed = [part for part in found if "error" in part]
    if failed:
        return [{"what": "phases", "backend": backend, **failed[0]}]
    rows: list[Row] = []
    for name in found[0]["phases"]:
        spent = [part["phases"][name] for part in found]
        row = {clock: harness.summary([seconds[clock] for seconds in spent]) for clock in ("wall_s", "cpu_s")}
        rows.append({"what": f"phase: {name}", "backend": backend, **row})
    return rows


def run(options: argparse.Namespace) -> list[Row]:
    """Measure everything that the command line names.

    Args:
        options: The command line.
    """
    from opendr_panoptic_ros.demo.dds import reserved_domain_id

    rows: list[Row] = []
    with reserved_domain_id() as domain_id, tempfile.TemporaryDirectory() as folder:
        os.environ |= {"ROS_DOMAIN_ID": str(domain_id), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
        os.environ["PYTHONPATH"] = harness.environment(1)["PYTHONPATH"]
        for backend in options.backends:
            for name, (command, ready) in commands(options.checkpoint, backend, Path(folder)).items():
                if "commands" in options.only and (backend == options.backends[0] or name.startswith("panoptic_node")):
                    rows.append({"what": name, "backend": backend, **_starts(command, ready, options.repeat)})
            if "phases" in options.only:
                rows += _phases(options.checkpoint, backend, options.threads, options.repeat)
    return rows + (_imports(options.repeat) if "imports" in options.only else [])


def _imports(repeat: int) -> list[Row]:
    """Return a row for each of the packages that take the most time to import."""
    rows: list[Row] = []
    for module in ("opendr_panoptic_ros.ros.node", "opendr_panoptic_ros.demo.session", "opendr_panoptic_ros.cli.main"):
        runs = [imports(module) for _ in range(repeat + 1)][1:]
        for package in runs[-1]:
            seconds = [found[package] for found in runs if package in found]
            rows.append({"what": f"import {module}: {package}", "backend": "", "wall_s": harness.summary(seconds)})
    return rows


COLUMNS: dict[str, Callable[[Row], Any]] = {
    "what": lambda row: row["what"],
    "back end": lambda row: row["backend"],
    "wall s": lambda row: row["wall_s"]["median"],
    "p5–p95": lambda row: f"{row['wall_s']['p5']:.3g}–{row['wall_s']['p95']:.3g}",
    "CPU s": lambda row: row["cpu_s"]["median"],
}


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    options = harness.arguments(__doc__ or "")
    options.add_argument("--checkpoint", default="demo", help="the weights")
    options.add_argument("--backends", nargs="+", default=["auto"], help="back ends of the node")
    options.add_argument("--only", nargs="+", default=list(PARTS), choices=PARTS, help="what to measure")
    options.add_argument("--repeat", type=int, default=5, help="number of measured starts")
    options.add_argument("--threads", type=int, default=2, help="number of threads of the network")
    return options


def main() -> None:
    """Run the benchmark from the command line."""
    options = parser().parse_args()
    if options.task:
        harness.child_main(phases, options.task)
        return
    harness.report("startup", "Start: from the start of a process until it is ready", run(options), COLUMNS, options)


if __name__ == "__main__":
    main()
