# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""What all benchmarks share: the description of the machine, its peaks, measuring, child processes and reports.

A report is a table on the terminal and two files, `DATE-NAME.json` and `DATE-NAME.md`. The machine's own speed is
measured in the same process as each figure, so that figures of different machines, or of a machine that is shared with
other work, can be compared: CPU seconds and a share of the peak barely depend on what else runs.
"""

from __future__ import annotations

import argparse
import ctypes
import datetime as dt
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
WORK = ROOT / "build" / "benchmarks"
"""Checkpoints and builds that are made once."""

_PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "opencv-python",
    "ncnn",
    "openvino",
    "nncf",
    "onnxruntime",
    "onnxruntime-gpu",
    "tensorrt",
    "rclpy",
    "mmdet",
    "transformers",
)
_RESULT_MARK = "BENCHMARK-RESULT "
Row = dict[str, Any]


def machine() -> dict[str, Any]:
    """Return a description of the hardware and of the load by other processes."""
    cpu = _proc_value("/proc/cpuinfo", "model name") or platform.processor()
    flags = set((_proc_value("/proc/cpuinfo", "flags") or "").split())
    described: dict[str, Any] = {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "instructions": sorted(flags & {"avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "asimd", "i8mm"}),
        "memory_gb": round(int((_proc_value("/proc/meminfo", "MemTotal") or "0 kB").split()[0]) / 2**20, 1),
        "system": f"{platform.system()} {platform.release()}",
        "load_1min": round(os.getloadavg()[0], 2),
    }
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        described["gpu"] = torch.cuda.get_device_name()
        described["gpu_memory_gb"] = round(torch.cuda.get_device_properties(0).total_memory / 2**30, 1)
    return described


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that are installed."""
    installed = {distribution.metadata["Name"]: distribution.version for distribution in metadata.distributions()}
    found = {name: installed[name] for name in _PACKAGES if name in installed}
    return {"python": platform.python_version(), **found}


def summary(values: Sequence[float]) -> dict[str, float]:
    """Return the median, the 5th and 95th percentile, and the number of some values.

    Args:
        values: At least one value.
    """
    ordered = sorted(values)
    last = len(ordered) - 1
    return {
        "median": median(ordered),
        "p5": ordered[round(0.05 * last)],
        "p95": ordered[round(0.95 * last)],
        "count": len(ordered),
    }


def measure(function: Callable[[], Any], *, warm_up: int = 1, repeat: int = 5, limit_s: float = 60.0) -> Row:
    """Measure a call: wall time and CPU time of the whole process.

    Args:
        function: What to call.
        warm_up: Number of calls that are not counted.
        repeat: Largest number of calls that are counted.
        limit_s: No further call begins after this time, once one was counted.

    Returns:
        `wall_s` and `cpu_s`, each as returned by `summary`.
    """
    for _ in range(warm_up):
        function()
    wall_s: list[float] = []
    cpu_s: list[float] = []
    begin = time.perf_counter()
    while len(wall_s) < repeat and (not wall_s or time.perf_counter() - begin < limit_s):
        synchronize()
        start_wall, start_cpu = time.perf_counter(), time.process_time()
        function()
        synchronize()
        wall_s.append(time.perf_counter() - start_wall)
        cpu_s.append(time.process_time() - start_cpu)
    return {"wall_s": summary(wall_s), "cpu_s": summary(cpu_s)}


def synchronize() -> None:
    """Wait until the GPU has finished, if this process uses one."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.synchronize()


class Peaks:
    """Speed of the machine, measured whenever `sample` is called.

    Args:
        device: "cpu" or "cuda".
    """

    def __init__(self, device: str = "cpu") -> None:
        self._device = device
        self._samples: list[Row] = []

    def sample(self) -> None:
        """Measure a convolution (3×3, 256 to 256 channels, 64×128 px, channels-last, float32) and a copy of 256 MB."""
        import torch

        def convolution(dtype: Any) -> tuple[Any, Any]:
            x = torch.randn(1, 256, 64, 128, device=self._device, dtype=dtype)
            weight = torch.randn(256, 256, 3, 3, device=self._device, dtype=dtype)
            return x.to(memory_format=torch.channels_last), weight.to(memory_format=torch.channels_last)

        gflop = 2 * 256 * 256 * 9 * 64 * 128 / 1e9
        source = torch.zeros(2**26, device=self._device)
        target = torch.empty_like(source)
        with torch.inference_mode():
            x, weight = convolution(torch.float32)
            spent = measure(lambda: torch.nn.functional.conv2d(x, weight, padding=1), warm_up=2, repeat=4)
            copied = measure(lambda: target.copy_(source), warm_up=1, repeat=3)
            sample = {
                "conv_gflops_per_cpu_s": gflop / max(spent["cpu_s"]["median"], 1e-9),
                "conv_gflops": gflop / spent["wall_s"]["median"],
                "copy_gb_per_s": 2 * source.nbytes / 1e9 / copied["wall_s"]["median"],
            }
            if self._device == "cuda":
                x, weight = convolution(torch.float16)
                spent = measure(lambda: torch.nn.functional.conv2d(x, weight, padding=1), warm_up=5, repeat=20)
                sample["conv_float16_gflops"] = gflop / spent["wall_s"]["median"]
        self._samples.append(sample)

    def result(self) -> dict[str, float]:
        """Return the median of each figure over all samples."""
        return {name: median(sample[name] for sample in self._samples) for name in self._samples[0]}


def reset_peak_rss() -> None:
    """Let the peak of this process's memory begin at its present memory, where the system permits it."""
    release_memory()
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return


def release_memory() -> None:
    """Return freed memory to the system, as far as the allocator permits it."""
    import gc

    gc.collect()
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)


def peak_rss_mb(pid: int | str = "self") -> int:
    """Return the largest resident memory of a process in MiB.

    Args:
        pid: The process.
    """
    found = _proc_value(f"/proc/{pid}/status", "VmHWM")
    return int(found.split()[0]) // 1024 if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def cpu_s_of(pid: int) -> float:
    """Return the user and system time of another process in seconds.

    Args:
        pid: The process.
    """
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def gpu_peak_mb() -> int | None:
    """Return the largest memory of torch on the GPU in MiB, or None without a GPU."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    return int(torch.cuda.max_memory_reserved() // 2**20)


def environment(threads: int) -> dict[str, str]:
    """Return the environment of a process that computes with a number of threads.

    Args:
        threads: Number of threads.
    """
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, **dict.fromkeys(names, str(threads)), "PYTHONPATH": path}


def run_child(script: str, task: Mapping[str, Any], *, threads: int, timeout_s: float = 900.0) -> Row:
    """Run a task in a process of its own, so that memory and number of threads are its own.

    Args:
        script: The `__file__` of the benchmark, which calls `child_main`.
        task: Arguments of its task, which JSON can hold.
        threads: Number of threads.
        timeout_s: Longest time.

    Returns:
        The result of the task, or `{"error": reason}` if it failed.
    """
    command = [sys.executable, script, "--task", json.dumps(task)]
    try:
        finished = subprocess.run(
            command, env=environment(threads), capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        return {"error": f"no result within {timeout_s:.0f} s"}
    for line in reversed(finished.stdout.splitlines()):
        if line.startswith(_RESULT_MARK):
            found: Row = json.loads(line.removeprefix(_RESULT_MARK))
            return found
    lines = finished.stderr.strip().splitlines()
    return {"error": lines[-1] if lines else f"exit status {finished.returncode}"}


def progress(text: str) -> None:
    """Print on standard error what is measured now.

    Args:
        text: The text.
    """
    print(text, file=sys.stderr, flush=True)


def child_main(task: Callable[..., Row], text: str) -> None:
    """Run a task of `run_child` and print what it returns.

    Args:
        task: Called with the arguments of the task.
        text: Value of the option `--task`.
    """
    print(_RESULT_MARK + json.dumps(task(**json.loads(text))), flush=True)


def arguments(description: str) -> argparse.ArgumentParser:
    """Return a parser with the options that all benchmarks have.

    Args:
        description: Docstring of the benchmark.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder for DATE-NAME.json and DATE-NAME.md; without it, no files")
    parser.add_argument("--note", default="", help="a sentence for the report, such as what ran beside it")
    parser.add_argument("--label", default="", help="part of the file names, where a benchmark runs several times")
    parser.add_argument("--task", help=argparse.SUPPRESS)  # runs one measurement in this process, see run_child
    return parser


def report(
    name: str,
    title: str,
    rows: Sequence[Row],
    columns: Mapping[str, Callable[[Row], Any]],
    options: argparse.Namespace,
    *,
    peaks: Mapping[str, float] | None = None,
) -> Row:
    """Print the rows as a table, and write JSON and Markdown if `--out` was given.

    Args:
        name: Name of the benchmark, part of the names of the files.
        title: Title of the table.
        rows: The measurements; those with the key `error` are listed below the table.
        columns: Heading of each column, with a function that returns the value of a row.
        options: The command line, of the parser of `arguments`.
        peaks: As `Peaks.result` returns them.

    Returns:
        The report as written to the JSON file.
    """
    now = dt.datetime.now(dt.timezone.utc)
    chosen = {key: value for key, value in vars(options).items() if key not in {"out", "task", "label"}}
    content: Row = {
        "benchmark": name,
        "time": now.isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions(),
        "options": json.loads(json.dumps(chosen, default=str)),
        "peaks": dict(peaks or {}),
        "rows": list(rows),
    }
    good = [row for row in rows if "error" not in row]
    cells = [[_cell(function, row) for function in columns.values()] for row in good]
    failures = [f"{_label(row)}: {row['error']}" for row in rows if "error" in row]
    table = Table(*columns, title=title)
    for line in cells:
        table.add_row(*line)
    console = Console(width=max(200, Console().width))
    console.print(table)
    facts = _facts(content)
    for line in [*facts, *(f"failed: {failure}" for failure in failures)]:
        console.print(line, highlight=False, soft_wrap=True)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        label = f"-{options.label}" if options.label else ""
        stem = options.out / f"{now:%Y-%m-%d}-{name}{label}"
        stem.with_suffix(".json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        lines = [f"# {title}: {now:%Y-%m-%d}", "", *_wrapped(facts), "", *markdown_table(list(columns), cells)]
        lines += ["", "Failed:", "", *(f"- {failure}" for failure in failures)] if failures else []
        stem.with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")
        console.print(f"Written: {stem}.json and .md", highlight=False, soft_wrap=True)
    return content


def markdown_table(headings: Sequence[str], cells: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table in Markdown.

    Args:
        headings: Heading of each column.
        cells: Texts of each row.
    """
    lines = ["| " + " | ".join(headings) + " |", "|" + "---|" * len(headings)]
    return lines + ["| " + " | ".join(row) + " |" for row in cells]


def _facts(content: Row) -> list[str]:
    described, peaks = content["machine"], content["peaks"]
    gpu = f", {described['gpu']}" if "gpu" in described else ""
    hardware = f"{described['cpu']}, {described['cores']} cores ({' '.join(described['instructions'])}), "
    hardware += f"{described['memory_gb']} GB{gpu}; load average at the end {described['load_1min']}."
    facts = [hardware, ", ".join(f"{name} {version}" for name, version in content["versions"].items()) + "."]
    if peaks:
        facts.append("Peaks: " + ", ".join(f"{name} {value:.1f}" for name, value in peaks.items()) + ".")
    if content["options"].get("note"):
        facts.append(content["options"]["note"])
    return facts


def _wrapped(lines: Sequence[str]) -> list[str]:
    import textwrap

    return [part for line in lines for part in textwrap.wrap(line, 118)]


def _label(row: Row) -> str:
    return " ".join(str(value) for key, value in row.items() if key != "error" and not isinstance(value, dict))


def _cell(function: Callable[[Row], Any], row: Row) -> str:
    try:
        value = function(row)
    except KeyError:
        return ""
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    return "" if value is None else str(value)


def _proc_value(path: str, name: str) -> str | None:
    """Return the value of a line `name: value` of a file of /proc, or None."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == name), None)
