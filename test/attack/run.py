# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The long attack: `make attack`. Prints and writes the table of test/attack/README.md.

`make attack ARGS="--examples 2000 --minutes 5 --pickles 20000"` are the defaults. An input that breaks a property is
printed by pytest, with the line that repeats it; one that breaks a reader is kept in log/attack/.
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


def run_properties(examples: int) -> None:
    """Try the properties; each file of them runs in a process of its own, which records what it has tried."""
    chosen = {"ATTACK_EXAMPLES": str(examples), "ATTACK_RECORDS": str(RECORDS), "OMP_NUM_THREADS": "1"}
    for path in sorted(HERE.glob("test_*.py")):
        if "@attack(" in path.read_text(encoding="utf-8"):
            command = [sys.executable, "-m", "pytest", "-q", "--timeout", "0", str(path)]
            subprocess.run(command, env={**os.environ, **chosen}, cwd=ROOT, check=False)


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


def _record(name: str, layer: str, outcomes: dict[str, int], seconds: float, memory_mb: float) -> None:
    RECORDS.mkdir(parents=True, exist_ok=True)
    content = {"layer": layer, "outcomes": outcomes, "seconds": seconds, "memory_mb": memory_mb}
    (RECORDS / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")


def recorded() -> list[Row]:
    """Return the rows of everything that was tried."""
    rows = []
    for path in sorted(RECORDS.glob("*.json")):
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
        seconds=max(row.seconds for row in rows),
        memory_mb=max(row.memory_mb for row in rows),
    )
    lines.append(total.line())
    return "\n".join(lines)


def replace_table(page: Path, begin: str, end: str, made: str) -> None:
    """Replace what stands between two lines of a page."""
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    page.write_text(f"{before}{begin}\n\n{made}\n\n{end}{rest.partition(end)[2]}", encoding="utf-8")


def main() -> None:
    """Run everything; exit status 1 if an input was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=2000, help="Inputs of each property; 0 for none.")
    parser.add_argument("--minutes", type=float, default=5, help="Time of each coverage-guided fuzzer; 0 for none.")
    parser.add_argument("--pickles", type=int, default=20_000, help="Damaged checkpoints; 0 for none.")
    parser.add_argument("--write", action="store_true", help="Write the table into test/attack/README.md.")
    parser.add_argument("--keep", action="store_true", help="Keep the rows of earlier runs that are not run again.")
    arguments = parser.parse_args()
    if not arguments.keep:
        shutil.rmtree(RECORDS, ignore_errors=True)
    if arguments.examples:
        run_properties(arguments.examples)
    if arguments.minutes:
        run_coverage(round(60 * arguments.minutes))
    if arguments.pickles:
        run_checkpoints(arguments.pickles)
    rows = recorded()
    made = table(rows)
    print(made)
    if arguments.write:
        replace_table(README, BEGIN, END, made)
    sys.exit(any(row.lost for row in rows))


if __name__ == "__main__":
    main()
