# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The benchmarks run, with a tiny network, and their reports have the fields that docs/performance.md is made of."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
TIMES = {"median", "p5", "p95", "count"}

pytestmark = pytest.mark.slow


def report_of(out: Path, script: str, *arguments: str) -> dict[str, Any]:
    """Run a benchmark and return its JSON; its table and its Markdown file must exist as well."""
    command = [
        sys.executable,
        str(ROOT / "benchmarks" / f"{script}.py"),
        *arguments,
        "--out",
        str(out),
        "--note",
        "Test.",
    ]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    finished = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert finished.returncode == 0, finished.stderr
    assert "failed: " not in finished.stdout
    [path] = out.glob(f"*-{script}.json")
    report = json.loads(path.read_text(encoding="utf-8"))
    assert report["benchmark"] == script
    assert {"cpu", "cores", "memory_gb", "load_1min"} <= set(report["machine"])
    assert {"python", "torch", "numpy"} <= set(report["versions"])
    assert report["options"]["note"] == "Test."
    markdown = path.with_suffix(".md").read_text(encoding="utf-8")
    assert "Test." in markdown
    assert markdown.count("\n| ") == 1 + len(report["rows"])
    return report


def test_network(tmp_path: Path) -> None:
    report = report_of(
        tmp_path,
        "network",
        *("--checkpoints", "tiny", "--sizes", "64x128", "--backends", "torch", "--precisions", "float32"),
        *("--instances", "3", "-1", "--repeat", "3"),
    )
    rows = report["rows"]
    assert [row["instances"] for row in rows] == [3, None]
    assert rows[0]["detections"] == 3
    for row in rows:
        assert (row["backend"], row["precision"], row["threads"]) == ("torch", "float32", 1)
        assert set(row["wall_s"]) == set(row["cpu_s"]) == TIMES
        assert 0 < row["cpu_s"]["p5"] <= row["cpu_s"]["median"] <= row["cpu_s"]["p95"]
        assert row["peak_rss_mb"] > 0
        assert all(value > 0 for value in row["peaks"].values())
        assert {
            "input",
            "backbone",
            "neck",
            "rpn",
            "semantic_head",
            "proposals",
            "roi_heads",
            "fusion",
            "output",
        } <= set(row["stages"])
        assert all(spent["cpu_s"] >= 0 for spent in row["stages"].values())
        assert row["post_cpu_s"] > 0


def test_the_ratio_to_the_original() -> None:
    """3600 GFLOP at 100 GFLOP/s are 36 s: with 6 s, the network is 6 times as fast."""
    code = (
        "import sys, json; sys.path.insert(0, sys.argv[1]); import network; "
        "row = {'checkpoint': 'seed19', 'size': '1024x2048', 'threads': 1, 'cpu_s': {'median': 6.0}, "
        "'peaks': {'conv_gflops_per_cpu_s': 100.0}}; print(network.with_ratios(row)['ratio'])"
    )
    command = [sys.executable, "-c", code, str(ROOT / "benchmarks")]
    assert float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) == pytest.approx(6.0)


def test_data(tmp_path: Path) -> None:
    report = report_of(tmp_path, "data", "--parts", "prepare", "--images", "1")
    [row] = report["rows"]
    assert row["part"] == "prepare"
    assert row["per_s"] > 0
    assert row["cpu_s_each"] > 0


@pytest.mark.ros
def test_node(tmp_path: Path, tiny_checkpoint: Path) -> None:
    pytest.importorskip("rclpy")
    arguments = ("--sizes", "48x64", "--seconds", "1", "--threads", "1", "--rate-hz", "5")
    report = report_of(tmp_path, "node", "--checkpoint", str(tiny_checkpoint), *arguments)
    [row] = report["rows"]
    assert set(row["latency_s"]) == TIMES
    assert row["counts"]["answered"] > 0
    assert row["counts"]["failed"] == 0
    assert row["node_cpu_s_per_answer"] > 0
    assert row["network"]["wall_s"]["median"] > 0
    assert row["added_s"] == pytest.approx(row["latency_s"]["median"] - row["network"]["wall_s"]["median"])


@pytest.mark.ros
def test_startup_names_the_steps(tmp_path: Path, tiny_checkpoint: Path) -> None:
    pytest.importorskip("rclpy")
    report = report_of(tmp_path, "startup", "--checkpoint", str(tiny_checkpoint), "--only", "phases", "--repeat", "1")
    steps = {row["what"] for row in report["rows"]}
    assert {"phase: import torch", "phase: create the ROS node", "phase: first prediction"} <= steps
