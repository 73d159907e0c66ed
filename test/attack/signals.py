# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""SIGINT, SIGTERM and SIGKILL at random moments of the node, over live DDS with a camera, and of `opendr-panoptic bag`.

`python test/attack/signals.py --count 200` runs the long version and prints what happened. Each process must end soon,
with status 0 or 130 (of SIGKILL, with the signal), without a traceback, a child or a half-written file.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "test"))

from support.bags import pictures, read_bag, write_bag  # noqa: E402
from support.live_rig import CameraKind, LiveRig, live_rig  # noqa: E402
from support.process_samples import cpu_s, own_segments  # noqa: E402
from support.tiny_network import write_tiny_checkpoint  # noqa: E402

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
LIMIT_S = 3.0
"""Longest time from the signal to the end: processor time, and time on the wall where the processors are free."""
_FRAMES = 40
_NO_CACHE_SHARE = 0.3
"""Share of the runs that begin without a cache."""


@dataclass
class Outcome:
    """What happened.

    counts: Ends by program, moment, signal and status.
    faults: What should not have happened.
    slowest_s, slowest_cpu_s: From the signal to the end, on the wall and of processor time.
    """

    counts: collections.Counter[str] = field(default_factory=collections.Counter)
    faults: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    slowest_cpu_s: float = 0.0


class _Program:
    """A process in a session of its own, with a folder for temporary files of its own.

    The home, where a cache may lie, is that of all runs: what one leaves there half-written, the next ones find.
    """

    def __init__(self, folder: Path, home: Path, arguments: list[str]) -> None:
        self.folder = folder
        for name in ("tmp", "work"):
            (folder / name).mkdir(parents=True)
        environment = {"HOME": str(home), "TMPDIR": str(folder / "tmp"), "OMP_NUM_THREADS": "1"}
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        with (folder / "log").open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=folder / "work",
                env={**os.environ, **environment, "PYTHONPATH": path},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def handles_signals(self) -> bool:
        """Whether the process has installed its handler of SIGTERM; Python has none."""
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
            caught = next(int(line.split()[1], 16) for line in lines if line.startswith("SigCgt"))
            return bool(caught >> (signal.SIGTERM - 1) & 1)
        return False

    def has_ended(self) -> bool:
        """Whether the process has ended. It is not waited for, so that /proc keeps its figures."""
        return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def descendants(self) -> list[str]:
        """Return the other processes of its session."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                name, _, rest = stat.read_text().rpartition(")")
                if int(rest.split()[3]) == self.process.pid and int(stat.parent.name) != self.process.pid:
                    found.append(name)
        return found

    def end(self, number: int, limit_s: float) -> tuple[int | None, float, float]:
        """Send a signal; return the status (None after the limit), wall seconds and CPU seconds until the end."""
        segments = own_segments(self.process.pid)
        start_s, start_cpu_s = time.monotonic(), cpu_s(self.process.pid)
        os.kill(self.process.pid, number)  # send_signal would wait for a process that has ended
        while not self.has_ended() and time.monotonic() - start_s < limit_s:
            time.sleep(0.005)
        taken_s = time.monotonic() - start_s
        used_s = cpu_s(self.process.pid) - start_cpu_s
        status = self.process.poll()
        if status is None:
            self.process.kill()
            self.process.wait()
        if status in {None, -signal.SIGKILL}:
            for segment in segments:
                for suffix in ("", "_el"):
                    Path(segment + suffix).unlink(missing_ok=True)
        return status, taken_s, used_s


def attack(count: int, seed: int = 0, bag_share: float = 0.25, limit_s: float = LIMIT_S) -> Outcome:
    """End programs at random moments.

    Args:
        count: Number of ends.
        seed: Chooses programs, signals and moments.
        bag_share: Share of `bag`; the others are nodes.
        limit_s: Longest time from the signal to the end, see `LIMIT_S`.

    Returns:
        What happened.
    """
    rng = random.Random(seed)
    outcome = Outcome()
    with tempfile.TemporaryDirectory() as name, live_rig(Path(name)) as rig:
        folder = Path(name)
        (folder / "home").mkdir()
        checkpoint = write_tiny_checkpoint(folder)
        bag = write_bag(
            folder / "in", "mcap", [("/cam/image_raw", i * 10**8, p) for i, p in enumerate(pictures(_FRAMES))]
        )
        rig.start_camera("front", CameraKind(48, 64, "rgb8", 20.0))
        rig.listen("front")
        node = [str(ROOT / "scripts" / "panoptic_node"), "--ros-args"]
        node += ["-p", f"checkpoint:={checkpoint}", "-p", "cameras:=['front']"]
        labeller = [str(ROOT / "scripts" / "opendr-panoptic"), "bag", str(bag), "out", "--checkpoint", str(checkpoint)]
        start_s = {"node": 0.0, "bag": 0.0}
        for number in range(count):
            program = "bag" if rng.random() < bag_share else "node"
            if rng.random() < _NO_CACHE_SHARE:
                shutil.rmtree(folder / "home" / ".cache", ignore_errors=True)
            run = _Program(folder / str(number), folder / "home", labeller if program == "bag" else node)
            _one(rig, run, program, rng, start_s, outcome, limit_s)
            if (number + 1) % 10 == 0:
                times = f"{outcome.slowest_s:.1f} s, {outcome.slowest_cpu_s:.1f} s of processor time"
                print(f"{number + 1}: {dict(outcome.counts)}, slowest {times}", flush=True)
    return outcome


def _one(
    rig: LiveRig,
    run: _Program,
    program: str,
    rng: random.Random,
    start_s: dict[str, float],
    outcome: Outcome,
    limit_s: float,
) -> None:
    """End one run at a random moment: while it starts, or while it works."""
    began_s = time.monotonic()
    number = rng.choice(SIGNALS)
    works = {"node": "Active", "bag": "segmented"}[program]
    at_work = not start_s[program] or rng.random() < 0.5
    if at_work:
        rig.wait_for(lambda: _works(run, works) or run.has_ended(), f"the {program} to work")
        start_s[program] = time.monotonic() - began_s
        rig.spin(rng.uniform(0, 2 if program == "node" else 1))
    else:
        rig.spin(rng.uniform(0, start_s[program]))
    handled = run.handles_signals()
    finished = run.has_ended()
    busy = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    status, taken_s, used_s = run.end(number, max(limit_s, 20 * LIMIT_S * busy))
    moment = "finished" if finished else "at work" if at_work else "starting" if handled else "before its handler"
    outcome.counts[f"{program} {moment} {signal.Signals(number).name} {status}"] += 1
    expected = {0, 130} if program == "bag" else {0}
    if number == signal.SIGKILL:
        expected.add(-signal.SIGKILL)
    if not handled:
        expected |= {-number, 130, 1}  # 1: KeyboardInterrupt in the interpreter's own start
    what = f"{program} {moment}, {signal.Signals(number).name} after {time.monotonic() - began_s - taken_s:.2f} s"
    faults = _half_written(run.folder, killed=number == signal.SIGKILL)
    if status not in expected:
        faults.append(f"status {status}")
    if "Traceback" in run.log and handled:
        faults.append("a traceback")
    if left := run.descendants():
        faults.append(f"left {left}")
    is_lost = not handled and status == 0  # the wheels of ROS start the interpreter twice, and the first one had it
    if not is_lost and not finished:
        outcome.slowest_s = max(outcome.slowest_s, taken_s)
        outcome.slowest_cpu_s = max(outcome.slowest_cpu_s, used_s)
        if used_s > limit_s or taken_s > limit_s * busy:
            faults.append(f"took {taken_s:.1f} s, {used_s:.1f} s of processor time, load {busy:.1f} for each processor")
    for fault in faults:
        print(f"{what}: {fault}\n{run.log[-1500:]}", flush=True)
        outcome.faults.append(f"{what}: {fault}")


def _works(run: _Program, text: str) -> bool:
    out = run.folder / "work" / "out.partial"
    return text in run.log or any(file.stat().st_size > 10_000 for file in out.rglob("*.mcap"))


def _half_written(folder: Path, *, killed: bool) -> list[str]:
    """Return what a program has left that is not whole; a kill may leave `out.partial`, which tells what it is."""
    faults = []
    for path in [*(folder / "tmp").rglob("*"), *(folder / "work").iterdir()]:
        relative = path.relative_to(folder)
        if path.is_dir() and path.name != "out.partial" and path != folder / "work" / "out":
            continue
        if path == folder / "work" / "out":
            try:
                messages = read_bag(path)
                if len(messages["/cam/image_raw"]) > _FRAMES:
                    faults.append(f"{relative} has too many frames")
            except Exception as error:  # noqa: BLE001 - whatever makes it unreadable
                faults.append(f"{relative} cannot be read: {error!r}")
        elif not (killed and (path.name == "out.partial" or relative.parts[0] == "tmp")):
            faults.append(f"{relative} is left")
    return faults


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bag-share", type=float, default=0.25, help="share of `bag`; the others are nodes")
    arguments = parser.parse_args()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a background job; children inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    outcome = attack(arguments.count, arguments.seed, arguments.bag_share)
    for what, number in sorted(outcome.counts.items()):
        print(f"{number:4} {what}")
    print(f"slowest end {outcome.slowest_s:.1f} s, {outcome.slowest_cpu_s:.1f} s of processor time")
    print(*outcome.faults, f"{len(outcome.faults)} faults", sep="\n")
    return 1 if outcome.faults else 0


if __name__ == "__main__":
    sys.exit(main())
