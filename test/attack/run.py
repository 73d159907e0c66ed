# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The long attack: `make attack`. Prints and writes the table of the inputs in test/attack/README.md.

`make attack ARGS="--examples 2000 --minutes 5 --pickles 20000 --scale 1"` are the defaults. An input that breaks a
property is printed by pytest, with the line that repeats it; one that breaks a reader is kept in log/attack/.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "test")]
FOUND = ROOT / "log" / "attack"
RECORDS = FOUND / "records"
README = HERE / "README.md"
BEGIN, END = "<!-- table of run.py -->", "<!-- end of the table -->"
_SECONDS_OF_INPUT = 10
"""Time on the wall for each input of a property; pytest ends the process of one that takes longer in all."""
LAYERS = {"values": "values", "runtime": "network and runtime", "datasets": "datasets", "bags": "bags", "ros": "node"}


class Row(NamedTuple):
    """One fuzzer.

    Attributes:
        layer: Layer of the package.
        name: Name of the fuzzer.
        read: Number of inputs that were read.
        refused: Number of inputs that were refused with a typed error.
        lost: Number of inputs with any other end.
        seconds: Most processor time of an input.
        memory_mb: Most memory of an input above that before.
    """

    layer: str
    name: str
    read: int
    refused: int
    lost: int
    seconds: float
    memory_mb: float

    def line(self) -> str:
        """The row in Markdown."""
        return (
            f"| {LAYERS.get(self.layer, self.layer)} | {self.name} | {self.read + self.refused + self.lost:,} "
            f"| {self.read:,} | {self.refused:,} | {self.lost} | {self.seconds:.2f} s | {self.memory_mb:.0f} MB |"
        )


def run_properties(examples: int, files: list[Path] | None = None) -> bool:
    """Try the properties; each file of them runs in a process of its own, which records what it has tried.

    Args:
        examples: Number of inputs of each property.
        files: Files with properties; None for all of this folder.

    Returns:
        Whether all of them hold. A process that ends before it has written its records is recorded as lost.
    """
    held = True
    limit_s = max(600, _SECONDS_OF_INPUT * examples)
    for path in sorted(HERE.glob("test_*.py")) if files is None else files:
        if "@attack(" in path.read_text(encoding="utf-8"):
            folder = RECORDS / path.stem
            shutil.rmtree(folder, ignore_errors=True)
            chosen = {"ATTACK_EXAMPLES": str(examples), "ATTACK_RECORDS": str(folder), "OMP_NUM_THREADS": "1"}
            # The method "thread" ends the process: a loop in C does not return to Python.
            limits = ["--timeout", str(limit_s), "--timeout-method", "thread"]
            command = [sys.executable, "-m", "pytest", "-q", *limits, str(path)]
            ran = subprocess.run(command, env={**os.environ, **chosen}, cwd=ROOT, check=False)
            has_records = any(folder.glob("*.json"))
            held &= ran.returncode == 0 and has_records
            if not has_records:
                name = f"the process of {path.stem}, which ended with status {ran.returncode}"
                _record(name, "values", {"error": 1}, 0, 0, folder)
    return held


def run_coverage(seconds: int) -> None:
    """Run each coverage-guided fuzzer for a time; none where atheris is missing."""
    if importlib.util.find_spec("atheris") is None:
        print("atheris has no wheel for this Python or platform: no coverage-guided fuzzing.")
        return
    from attack.fuzz_coverage import TARGETS, fuzz

    layers = {"bag": "bags", "config": "values"}
    for name in TARGETS:
        result = fuzz(name, seconds, FOUND)
        for error in result["errors"]:
            print(f"{name}: {error}")
        outcomes = {**result["outcomes"], "error": len(result["errors"])}
        _record(
            f"{name}, guided by coverage", layers.get(name, "runtime"), outcomes, result["seconds"], result["memory_mb"]
        )


def run_checkpoints(count: int) -> None:
    """Try damaged and made-up checkpoints."""
    from attack.fuzz_checkpoints import attack

    outcome = attack(count)
    for seed, result in outcome.faults[:20]:
        print(f"checkpoint of seed {seed}: {result}")
    outcomes = {
        "read": outcome.counts["loaded"],
        "refused": outcome.counts["refused"],
        "error": outcome.counts["fault"],
    }
    _record("checkpoints in child processes", "runtime", outcomes, outcome.max_seconds, outcome.max_grown_mb)


def run_live(scale: float) -> bool:
    """Attack the live node and the commands.

    Args:
        scale: Factor of the numbers of faults, signals and kills.

    Returns:
        Whether all programs have ended with status 0.
    """
    programs: dict[str, list[str]] = {
        "refusals.py": [],
        "node_refusals.py": [],
        "kill_bags.py": ["--kills", str(max(1, round(30 * scale)))],
        "live_faults.py": ["--scale", str(scale)],
        "signals.py": ["--count", str(max(1, round(200 * scale)))],
    }
    held = True
    for name, options in programs.items():
        print(f"\n{' '.join([name, *options])}", flush=True)
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        command = [sys.executable, str(HERE / name), *options]
        status = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, cwd=ROOT, check=False).returncode
        print(f"{name}: status {status}", flush=True)
        held &= status == 0
    return held


def _record(
    name: str, layer: str, outcomes: dict[str, int], seconds: float, memory_mb: float, folder: Path = RECORDS
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    content = {"layer": layer, "outcomes": outcomes, "seconds": seconds, "memory_mb": memory_mb}
    (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")


def recorded() -> list[Row]:
    """Return the rows of everything that was tried."""
    rows = []
    for path in sorted(RECORDS.rglob("*.json")):
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        outcomes = record["outcomes"]
        name = path.stem.removeprefix("test_").replace("_", " ")
        counts = outcomes.get("read", 0), outcomes.get("refused", 0), outcomes.get("error", 0)
        rows.append(Row(record["layer"], name, *counts, record["seconds"], record["memory_mb"]))
    return rows


def table(rows: list[Row]) -> str:
    """Return the table in Markdown, with a line of sums."""
    lines = [
        "| layer | fuzzer | inputs | read | refused | lost | slowest | most memory |",
        "|---|---|---|---|---|---|---|---|",
    ]
    order = [*LAYERS, "commands"]
    lines += [row.line() for row in sorted(rows, key=lambda row: (order.index(row.layer), row.name))]
    total = Row(
        "**all**",
        "",
        read=sum(row.read for row in rows),
        refused=sum(row.refused for row in rows),
        lost=sum(row.lost for row in rows),
        seconds=max((row.seconds for row in rows), default=0),
        memory_mb=max((row.memory_mb for row in rows), default=0),
    )
    lines.append(total.line())
    return "\n".join(lines)


def replace_table(page: Path, begin: str, end: str, made: str) -> None:
    """Replace what stands between two lines of a page."""
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    page.write_text(f"{before}{begin}\n\n{made}\n\n{end}{rest.partition(end)[2]}", encoding="utf-8")


def main() -> None:
    """Run everything; exit status 1 if an input or a fault was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=2000, help="Inputs of each property; 0 for none.")
    parser.add_argument("--minutes", type=float, default=5, help="Time of each coverage-guided fuzzer; 0 for none.")
    parser.add_argument("--pickles", type=int, default=20_000, help="Damaged checkpoints; 0 for none.")
    parser.add_argument("--scale", type=float, default=1, help="Factor of the faults, signals and kills; 0 for none.")
    parser.add_argument("--write", action="store_true", help="Write the table into test/attack/README.md.")
    parser.add_argument("--keep", action="store_true", help="Keep the rows of earlier runs that are not run again.")
    arguments = parser.parse_args()
    if not arguments.keep:
        shutil.rmtree(RECORDS, ignore_errors=True)
    held = True
    if arguments.examples:
        held &= run_properties(arguments.examples)
    if arguments.minutes:
        run_coverage(round(60 * arguments.minutes))
    if arguments.pickles:
        run_checkpoints(arguments.pickles)
    if arguments.scale:
        held &= run_live(arguments.scale)
    rows = recorded()
    made = table(rows)
    print(made)
    if arguments.write:
        replace_table(README, BEGIN, END, made)
    sys.exit(not held or any(row.lost for row in rows))


if __name__ == "__main__":
    main()
