# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Coverage-guided fuzzing of the readers of foreign bytes: atheris changes inputs so that new code is reached.

`python test/attack/fuzz_coverage.py codec --seconds 300`. An input that breaks the target is printed and kept in
`--found`; move it to test/attack/corpus/TARGET/, where it becomes a regression test.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TARGETS = ("codec", "compressed", "bag", "checkpoint", "config")
_INSTRUMENTED = ["opendr_panoptic_ros", "mcap", "rosbags", "yaml", "pickletools", "zipfile"]
_MAX_INPUT_BYTES = 16384
_TIMEOUT_S = 20  # of one input: libFuzzer ends the process
_SAVE_EVERY = 100


def child(name: str, arguments: list[str], counts_file: Path) -> None:
    """Fuzz one target; ends the process."""
    import atheris

    with atheris.instrument_imports(include=_INSTRUMENTED):
        from attack import targets
    from attack.bounds import Meter

    counts: Counter[str] = Counter()
    most = {"seconds": 0.0, "memory_mb": 0.0}
    with tempfile.TemporaryDirectory() as folder:

        def one(data: bytes) -> None:
            with Meter() as meter:
                counts[targets.run(name, data, Path(folder))] += 1
            if counts.total() > 50:  # until then, libraries are imported
                most["seconds"] = max(most["seconds"], meter.cost.seconds)
                most["memory_mb"] = max(most["memory_mb"], meter.cost.memory_mb)
                meter.cost.check()
            if counts.total() % _SAVE_EVERY == 0:
                counts_file.write_text(json.dumps({"outcomes": counts, **most}), encoding="utf-8")

        atheris.Setup([sys.argv[0], *arguments], one)
        atheris.Fuzz()


def fuzz(name: str, seconds: int, found: Path, *, keep: Path | None = None) -> dict[str, Any]:
    """Fuzz one target for a time.

    Args:
        name: One of `TARGETS`.
        seconds: How long.
        found: Folder for inputs that break the target.
        keep: Folder to which inputs that reach new code are added.

    Returns:
        Number of inputs by outcome, most time and memory of an input, and the errors.
    """
    found.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        counts_file, new = Path(scratch, "counts.json"), keep or Path(scratch, "new")
        new.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable, __file__, name, "--child", str(counts_file), str(new),
            str(Path(__file__).parent / "corpus" / name), f"-max_total_time={seconds}", f"-timeout={_TIMEOUT_S}",
            "-rss_limit_mb=3000", f"-max_len={_MAX_INPUT_BYTES}", f"-artifact_prefix={found}/{name}-", "-verbosity=0",
        ]  # fmt: skip
        path = os.pathsep.join([str(ROOT), str(ROOT / "test")])
        environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        ran = subprocess.run(command, capture_output=True, text=True, errors="replace", env=environment, check=False)
        result: dict[str, Any] = {"outcomes": {}, "seconds": 0.0, "memory_mb": 0.0}
        if counts_file.exists():
            result.update(json.loads(counts_file.read_text(encoding="utf-8")))
    output = ran.stdout + ran.stderr
    result["errors"] = re.findall(r"=== Uncaught Python exception: ===\n(.*)", output)
    if ran.returncode != 0 and not result["errors"]:
        result["errors"] = [f"status {ran.returncode}: {output[-600:]}"]
    return result


def main() -> None:
    """Fuzz the targets that are named, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", default=TARGETS, metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=60, help="Time for each target.")
    parser.add_argument("--found", type=Path, default=ROOT / "log" / "attack", help="Folder for inputs that break it.")
    parser.add_argument("--keep", type=Path, help="Folder to which inputs that reach new code are added.")
    parser.add_argument("--child", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    if arguments.child:
        counts_file, *rest = arguments.child
        child(arguments.targets[0], rest, Path(counts_file))
        return
    failed = False
    for name in arguments.targets:
        result = fuzz(name, arguments.seconds, arguments.found, keep=arguments.keep)
        failed |= bool(result["errors"])
        print(name, json.dumps(result))
    sys.exit(failed)


if __name__ == "__main__":
    main()
