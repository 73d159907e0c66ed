# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The figures of a soak, from its samples: slopes of memory with their confidence, a plot and a table.

python benchmarks/soak_report.py benchmarks/results/soak.jsonl
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

WARM_UP = 0.2
"""Share of a soak that is not part of the slopes."""
_BLOCK_S = 120.0  # residuals within it depend on each other
_RESAMPLES = 2000
KINDS = ("rss", "pss", "anonymous", "heap", "arenas", "mapped", "file", "shared")
HANDLES = ("threads", "descriptors", "segments", "children")


def slope_per_hour(times_s: NDArray[np.float64], values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the slope of a series by least squares, with its 95 % interval by a bootstrap of blocks of residuals.

    Args:
        times_s: Times in seconds, about evenly spaced.
        values: The values.

    Returns:
        The slope and the ends of its interval, in units per hour.
    """
    hours = times_s / 3600
    slope, intercept = np.polyfit(hours, values, 1)
    residuals = values - slope * hours - intercept
    length = max(1, min(len(values) // 4, round(_BLOCK_S / max(1e-9, float(np.median(np.diff(times_s)))))))
    rng = np.random.default_rng(0)
    slopes = []
    for _ in range(_RESAMPLES):
        starts = rng.integers(0, len(values) - length + 1, -(-len(values) // length))
        drawn = np.concatenate([residuals[start : start + length] for start in starts])[: len(values)]
        slopes.append(np.polyfit(hours, slope * hours + intercept + drawn, 1)[0])
    low, high = np.percentile(slopes, [2.5, 97.5])
    return float(slope), float(low), float(high)


def summarise(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the figures of a soak.

    Args:
        lines: The samples and faults, as soak.py has written them.
    """
    samples = [line for line in lines if "memory_mb" in line]
    times_s = np.array([sample["time_s"] for sample in samples])
    is_warm = times_s >= WARM_UP * times_s[-1]
    memory = {}
    for kind in KINDS:
        values = np.array([sample["memory_mb"][kind] for sample in samples])
        slope, low, high = slope_per_hour(times_s[is_warm], values[is_warm])
        halves = np.array_split(values[is_warm], 2)
        memory[kind] = {
            "first_mb": values[0],
            "median_mb": float(np.median(values[is_warm])),
            "max_mb": float(values.max()),
            "slope_mb_per_h": slope,
            "slope_95_mb_per_h": [low, high],
            "medians_of_halves_mb": [float(np.median(half)) for half in halves],
        }
    latencies = np.concatenate([sample["latencies_ms"] for sample in samples])
    thirds = np.array_split(latencies, 3)
    span_s = float(times_s[-1] - times_s[0])
    counts = samples[-1]["counts"]
    faults = [line for line in lines if "fault" in line]
    return {
        "seconds": span_s,
        "samples": len(samples),
        "memory": memory,
        "handles": {
            name: {
                "min": min(sample["handles"][name] for sample in samples),
                "median": float(np.median([sample["handles"][name] for sample in samples])),
                "max": max(sample["handles"][name] for sample in samples),
                "last": samples[-1]["handles"][name],
            }
            for name in HANDLES
        },
        "answers": sum(sample["answers"] for sample in samples[1:]),
        "answers_per_s": sum(sample["answers"] for sample in samples[1:]) / span_s,
        "received_per_s": counts["received"] / span_s,
        "latency_ms": {str(percent): float(np.percentile(latencies, percent)) for percent in (50, 99)},
        "latency_ms_by_third": [[float(np.percentile(third, percent)) for percent in (50, 99)] for third in thirds],
        "counts": counts,
        "callback_errors": samples[-1]["callback_errors"],
        "node_cores": (samples[-1]["cpu_s"] - samples[0]["cpu_s"]) / span_s,
        "machine_load": float(np.mean([sample["load"] for sample in samples])),
        "slowest_recovery_s": max((fault["seconds"] for fault in faults), default=0.0),
    }


def plot(lines: list[dict[str, Any]], figures: dict[str, Any], path: Path) -> None:
    """Draw memory by kind, handles, latency and answers over time.

    Args:
        lines: As for `summarise`.
        figures: The result of `summarise`.
        path: The PNG file to write.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    samples = [line for line in lines if "memory_mb" in line]
    minutes = np.array([sample["time_s"] for sample in samples]) / 60
    configured = [line["time_s"] / 60 for line in lines if str(line.get("fault", "")).startswith("cleaned up")]
    figure, (memory, parts, handles, latency, rate) = plt.subplots(
        5, 1, figsize=(11, 15), sharex=True, constrained_layout=True
    )
    for axis, kinds in ((memory, ("rss", "pss", "anonymous")), (parts, ("heap", "arenas", "mapped", "file", "shared"))):
        for kind in kinds:
            slope = figures["memory"][kind]["slope_mb_per_h"]
            label = f"{kind} ({slope:+.1f} MiB/h)"
            axis.plot(minutes, [sample["memory_mb"][kind] for sample in samples], lw=1, label=label)
        axis.set_ylabel("MiB")
        axis.axvspan(0, WARM_UP * minutes[-1], color="0.93")
        for at in configured:
            axis.axvline(at, color="0.75", lw=0.6)
    memory.set_title("Memory of the node (grey: warm-up; lines: configured again)")
    parts.set_title("Parts: anonymous = heap + arenas + mapped; rss = anonymous + file + shared")
    for name in HANDLES:
        handles.plot(minutes, [sample["handles"][name] for sample in samples], lw=1, label=name)
    handles.set_title("Threads, descriptors, mapped segments of /dev/shm, children")
    for percent, width in ((50, 1.2), (99, 0.8)):
        values = [np.percentile(s["latencies_ms"], percent) if s["latencies_ms"] else np.nan for s in samples]
        latency.plot(minutes, values, lw=width, label=f"p{percent}")
    latency.set_title("Latency from the camera's stamp to the subscriber, within each sample")
    latency.set_ylabel("ms")
    latency.set_ylim(0, None)
    spans = np.diff(minutes, prepend=np.nan) * 60
    rate.plot(minutes, [sample["answers"] for sample in samples] / spans, lw=1, label="answers/s")
    rate.plot(minutes, [sample["load"] for sample in samples], lw=1, label="load of the machine")
    rate.set_ylim(0, None)
    rate.set_xlabel("minutes")
    for axis in (memory, parts, handles, latency, rate):
        axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)
        axis.grid(alpha=0.3)
    figure.savefig(path, dpi=80)


def table(figures: dict[str, Any], about: dict[str, Any]) -> str:
    """Return the figures as Markdown.

    Args:
        figures: The result of `summarise`.
        about: The run, as soak.py describes it.
    """
    faults, lost = sum(about["injected"].values()), len(about["lost"])
    rows = [
        f"{about['minutes']:g} minutes, checkpoint `{about['checkpoint']}`: {faults} faults, {lost} lost.",
        f"Environment of the node: {about['environment'] or 'nothing set'}.",
        f"Beside it: {about['beside'] or 'nothing stated'}; mean load of the machine {figures['machine_load']:.1f}.",
        "",
        "| figure | value |",
        "|---|---|",
        f"| answers | {figures['answers']} ({figures['answers_per_s']:.2f}/s of {figures['received_per_s']:.1f}/s) |",
        f"| frames | {', '.join(f'{value} {key}' for key, value in figures['counts'].items())} |",
        f"| errors of callbacks, survived | {figures['callback_errors']} |",
        f"| latency p50, p99 | {figures['latency_ms']['50']:.0f} ms, {figures['latency_ms']['99']:.0f} ms |",
        "| the same by thirds of the time | "
        + "; ".join(f"{p50:.0f}, {p99:.0f} ms" for p50, p99 in figures["latency_ms_by_third"])
        + " |",
        f"| longest fault with its recovery | {figures['slowest_recovery_s']:.1f} s |",
        f"| processor of the node | {figures['node_cores']:.2f} cores |",
    ]
    for name, values in figures["handles"].items():
        rows.append(f"| {name} (least, median, most, last) | {' / '.join(f'{v:g}' for v in values.values())} |")
    rows += [
        "",
        "| memory, MiB | first | median | most | halves after warm-up | slope in an hour (95 %) |",
        "|" + "---|" * 6,
    ]
    for kind, values in figures["memory"].items():
        low, high = values["slope_95_mb_per_h"]
        first_half, second_half = values["medians_of_halves_mb"]
        rows.append(
            f"| {kind} | {values['first_mb']:.0f} | {values['median_mb']:.0f} | {values['max_mb']:.0f} "
            f"| {first_half:.0f}, {second_half:.0f} | {values['slope_mb_per_h']:+.1f} ({low:+.1f} to {high:+.1f}) |"
        )
    rows += ["", "| fault | times |", "|---|---|"]
    rows += [f"| {name} | {number} |" for name, number in sorted(about["injected"].items())]
    rows += [f"- lost: {reason.splitlines()[0]}" for reason in about["lost"]]
    return "\n".join(rows) + "\n"


def write(path: Path, about: dict[str, Any]) -> None:
    """Write figures, plot and table beside the samples, and print the table.

    Args:
        path: The file of samples, NAME.jsonl.
        about: The run, as soak.py describes it.
    """
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    figures = summarise(lines)
    path.with_suffix(".json").write_text(json.dumps({"about": about, **figures}, indent=1) + "\n")
    plot(lines, figures, path.with_suffix(".png"))
    path.with_suffix(".md").write_text(table(figures, about))
    print(table(figures, about))


if __name__ == "__main__":
    source = Path(sys.argv[1])
    found = source.with_suffix(".json")
    nothing = {"minutes": 0, "checkpoint": "", "environment": "", "beside": "", "injected": {}, "lost": []}
    write(source, json.loads(found.read_text())["about"] if found.exists() else nothing)
