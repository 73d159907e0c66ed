# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""SIGKILL at random moments of `opendr-panoptic bag --out-dir`; the next run goes on, and all results are as without.

`python test/attack/kill_bags.py --kills 30` runs the long version and prints a line for each kill. After each kill, a
folder with the name of a result must be complete: its bytes are compared with those of a run that is not killed.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "test")]

from support.bags import drive, write_bag  # noqa: E402
from support.tiny_network import write_tiny_checkpoint  # noqa: E402

KINDS = ("mcap", "sqlite3", "ros1")


def content_of(folder: Path) -> dict[str, bytes]:
    """Return the content of the files of a folder by name."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def results_of(folder: Path) -> dict[str, dict[str, bytes]]:
    """Return the content of each result in a folder."""
    return {
        path.name: content_of(path) for path in sorted(folder.iterdir()) if path.is_dir() and path.suffix != ".partial"
    }


def label(arguments: list[str]) -> None:
    """Run the command in a child of this process, which has imported everything, and end the child."""
    from opendr_panoptic_ros.cli.main import main

    sys.argv = ["opendr-panoptic", *arguments]
    status = 1
    try:
        with Path(os.devnull).open("w", encoding="utf-8") as nothing:
            os.dup2(nothing.fileno(), 1)
            os.dup2(nothing.fileno(), 2)
            main()
            status = 0
    except SystemExit as stop:
        status = int(stop.code or 0)
    finally:
        os._exit(status)


def run(arguments: list[str], kill_after_s: float | None, jobs: int) -> tuple[int, float]:
    """Run the command and kill it. Return its wait status or exit status, and how long it ran.

    With one job, a child of this process runs it, as importing takes longer than labelling; with several, a new
    process, of which the workers must end, too.
    """
    begin_s = time.monotonic()
    if jobs == 1:
        child = os.fork()
        if child == 0:
            label(arguments)
    else:
        command = [sys.executable, "-m", "opendr_panoptic_ros", *arguments]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
        nothing = subprocess.DEVNULL
        child = subprocess.Popen(command, env=environment, stdout=nothing, stderr=nothing).pid
    status: int | None = None
    while status is None:
        ended, code = os.waitpid(child, os.WNOHANG)
        if ended:
            status = os.waitstatus_to_exitcode(code)
        elif kill_after_s is not None and time.monotonic() - begin_s > kill_after_s:
            os.kill(child, signal.SIGKILL)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        else:
            time.sleep(0.002)
    return status, time.monotonic() - begin_s


def attack(kills: int, *, jobs: int = 1, seed: int = 0, bags: int = 3, frames: int = 8) -> Counter[str]:
    """Kill runs until `kills` are counted, then let one end.

    Args:
        kills: Number of kills.
        jobs: Number of processes of each run.
        seed: Chooses the moments.
        bags: Number of recordings.
        frames: Number of frames of each.

    Returns:
        Number of runs by what came of them: `killed`, `ended` before the kill, and `results` that were compared.

    Raises:
        AssertionError: A result is not that of a run that is not killed.
    """
    import opendr_panoptic_ros.cli.bag_runs
    import opendr_panoptic_ros.inference  # noqa: F401 - imported once, not in each child

    rng, counts = random.Random(seed), Counter[str]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkpoint = write_tiny_checkpoint(folder / "weights")
        (folder / "in").mkdir()
        for number in range(bags):
            write_bag(folder / "in" / f"drive{number}", KINDS[number % len(KINDS)], drive(frames))
        options = ["--checkpoint", str(checkpoint), "--batch", "1", "--jobs", str(jobs), "--backend", "torch"]
        command = ["bag", str(folder / "in"), *options, "--out-dir"]
        status, whole_s = run([*command, str(folder / "whole")], None, jobs)
        assert status == 0, status
        whole, out = results_of(folder / "whole"), folder / "out"
        assert len(whole) == bags
        bag_s, missing = whole_s / bags, bags
        while counts["killed"] < kills:
            status, ran_s = run([*command, str(out)], rng.uniform(0, bag_s * missing), jobs)
            counts["killed" if status == -signal.SIGKILL else "ended"] += 1
            assert status in {0, -signal.SIGKILL}, f"exit status {status}"
            if status == 0:
                bag_s = ran_s / missing
            found = results_of(out) if out.exists() else {}
            for result, content in found.items():
                assert content == whole[result], f"{result} differs from that of a run that is not killed"
                counts["results"] += 1
            left = sorted(path.name for path in out.glob("*.partial")) if out.exists() else []
            counts["left partial"] += len(left)
            print(f"{ran_s:5.2f} s: status {status}, {len(found)} results, {', '.join(left)}", flush=True)
            for result in list(found):  # so that there is work for the next run
                if len(found) == bags or rng.random() < 0.3:
                    shutil.rmtree(out / result)
            missing = bags - len(results_of(out) if out.exists() else {})
        status, _ = run([*command, str(out)], None, jobs)
        assert status == 0, status
        assert results_of(out) == whole
        assert sorted(path.name for path in out.iterdir()) == sorted(whole)
        counts["results"] += bags
    return counts


def main() -> None:
    """Run the attack that the command line describes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(dict(attack(options.kills, jobs=options.jobs, seed=options.seed)))


if __name__ == "__main__":
    main()
