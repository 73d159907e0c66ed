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
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "test")]
FOUND = ROOT / "log" / "attack"
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


def properties(examples: int) -> Iterator[Row]:
    """Yield the rows of the properties; each file of them runs in a process of its own."""
    with tempfile.TemporaryDirectory() as records:
        environment = {
            **os.environ,
            "ATTACK_EXAMPLES": str(examples),
            "ATTACK_RECORDS": records,
            "OMP_NUM_THREADS": "1",
        }
        for path in sorted(HERE.glob("test_*.py")):
            if "@attack(" in path.read_text(encoding="utf-8"):
                command = [sys.executable, "-m", "pytest", "-q", "--timeout", "0", str(path)]
                subprocess.run(command, env=environment, cwd=ROOT, check=False)
        for path in sorted(Path(records).glob("*.json")):
            record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            outcomes = record["outcomes"]
            name = path.stem.removeprefix("test_").replace("_", " ")
            counts = outcomes.get("read", 0), outcomes.get("refused", 0), outcomes.get("error", 0)
            yield Row(record["layer"], name, *counts, record["seconds"], record["memory_mb"])


def coverage(seconds: int) -> Iterator[Row]:
    """Yield the rows of the coverage-guided fuzzers; none where atheris is missing."""
    if importlib.util.find_spec("atheris") is None:
        print("atheris has no wheel for this Python or platform: no coverage-guided fuzzing.")
        return
    from attack.fuzz_coverage import TARGETS, fuzz

    layers = {"bag": "bags", "config": "values"}
    for name in TARGETS:
        result = fuzz(name, seconds, FOUND)
        for error in result["errors"]:
            print(f"{name}: {error}")
        outcomes = result["outcomes"]
        counts = outcomes.get("read", 0), outcomes.get("refused", 0), len(result["errors"])
        layer = layers.get(name, "runtime")
        yield Row(layer, f"{name}, guided by coverage", *counts, result["seconds"], result["memory_mb"])


def checkpoints(count: int) -> Row:
    """Return the row of the damaged and made-up checkpoints."""
    from attack.fuzz_checkpoints import attack

    outcome = attack(count)
    for seed, result in outcome.faults[:20]:
        print(f"checkpoint of seed {seed}: {result}")
    return Row(
        "runtime",
        "checkpoints in child processes",
        read=outcome.counts["loaded"],
        refused=outcome.counts["refused"],
        lost=outcome.counts["fault"],
        seconds=outcome.max_seconds,
        memory_mb=outcome.max_grown_mb,
    )


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
    arguments = parser.parse_args()
    rows = list(properties(arguments.examples)) if arguments.examples else []
    rows += list(coverage(round(60 * arguments.minutes))) if arguments.minutes else []
    rows += [checkpoints(arguments.pickles)] if arguments.pickles else []
    made = table(rows)
    print(made)
    if arguments.write:
        replace_table(README, BEGIN, END, made)
    sys.exit(any(row.lost for row in rows))


if __name__ == "__main__":
    main()
