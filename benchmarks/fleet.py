# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Labelling on a Ray cluster of two nodes of this machine: lost nodes, killed runs, and the share of ideal speed.

    python benchmarks/fleet.py node FOLDER        one node is killed in the middle; all results are compared
    python benchmarks/fleet.py kills FOLDER       the command is killed at 30 random moments, and repeated
    python benchmarks/fleet.py scaling FOLDER     one and two workers label bags
    python benchmarks/fleet.py engine FOLDER      1 to 16 workers with tasks that only wait

The network is a tiny one and the frames are small: what is measured is the distribution of the work.
"""

from __future__ import annotations

import argparse
import contextlib
import filecmp
import json
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "test")]

PORT = 6399
KINDS = ("mcap", "sqlite3", "ros1")
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
ENVIRONMENT |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
ENVIRONMENT |= {"OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0", "COLUMNS": "160"}


def make_bags(folder: Path, count: int, frames: int, *, with_faults: bool) -> None:
    """Write bags of three kinds; of 40, two are damaged and one has no images."""
    from support.bags import drive, write_bag

    for number in range(count):
        sent = drive(frames + 8 * (number % 5), height=96, width=192)
        if with_faults and number == 7:
            sent = [("/chatter", time_ns, "hello") for _, time_ns, _ in sent]
        path = write_bag(folder / f"bag{number:02d}", KINDS[number % 3], sent)
        if with_faults and number in (4, 5):
            file = path if path.is_file() else next(path.glob("*.db3"))
            content = bytearray(file.read_bytes())
            place = len(content) * 7 // 10
            content[place : place + 8192] = bytes(8192)
            # Pages of a database are lost, which is found without checksums; a ROS 1 bag is cut off.
            file.write_bytes(content if number == 4 else content[:place])


@contextlib.contextmanager
def node(folder: Path, *, head: bool) -> Iterator[subprocess.Popen[bytes]]:
    """A node with one core, in a process group of its own."""
    where = ["--head", f"--port={PORT}", "--include-dashboard=false", f"--temp-dir={folder / 'ray'}"]
    where = where if head else [f"--address=127.0.0.1:{PORT}"]
    command = ["ray", "start", "--block", "--num-cpus=1", "--object-store-memory=100000000", *where]
    process = subprocess.Popen(
        command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    time.sleep(8)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        kill_session(process.pid)


def kill_session(session: int) -> None:
    """Kill every process of a session: workers of Ray have process groups of their own."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ProcessLookupError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == session:
                    os.kill(int(entry.name), signal.SIGKILL)


def start(source: Path, out: Path, *more: object) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "opendr_panoptic_ros",
        "bag",
        source,
        "--out-dir",
        out,
        "--batch",
        1,
        "--backend",
        "torch",
        *more,
    ]
    return subprocess.Popen(
        list(map(str, command)), env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def finished(out: Path) -> int:
    return sum(1 for path in out.glob("*") if (path / "labelled.json").exists()) if out.is_dir() else 0


def differences(reference: Path, out: Path, *, complete: bool) -> list[str]:
    """Return the names of files that differ; of an incomplete run, only files that have their final names count."""
    found = [p.relative_to(out) for p in out.rglob("*") if p.is_file()]
    if not complete:
        found = [name for name in found if ".partial" not in str(name)]
    wrong = [
        str(name)
        for name in found
        if not (reference / name).is_file() or not filecmp.cmp(reference / name, out / name, shallow=False)
    ]
    if complete:
        expected = {p.relative_to(reference) for p in reference.rglob("*") if p.is_file()}
        wrong += [f"missing: {name}" for name in expected - set(found)]
    else:  # a result is whole when it has its name
        for path in out.glob("*"):
            if path.is_dir() and ".partial" not in path.name:
                names = {p.name for p in (reference / path.name).iterdir()}
                wrong += [f"missing: {path.name}/{name}" for name in names if not (path / name).exists()]
    return wrong


def prepare(folder: Path, count: int, frames: int, *, with_faults: bool) -> tuple[Path, Path, Path]:
    """Return bags, their results of one process, and the checkpoint."""
    from support.tiny_network import write_tiny_checkpoint

    shutil.rmtree(folder, ignore_errors=True)
    (folder / "in").mkdir(parents=True)
    checkpoint = write_tiny_checkpoint(folder)
    make_bags(folder / "in", count, frames, with_faults=with_faults)
    started = time.monotonic()
    process = start(folder / "in", folder / "reference", "--checkpoint", checkpoint, "--threads", 1)
    out, err = process.communicate()
    print(f"one process: status {process.returncode}, {time.monotonic() - started:.1f} s, {out.splitlines()[-1]}")
    if not finished(folder / "reference"):
        sys.exit(err)
    return folder / "in", folder / "reference", checkpoint


def lost_node(folder: Path) -> bool:
    source, reference, checkpoint = prepare(folder, 40, 16, with_faults=True)
    with node(folder, head=True), node(folder, head=False) as second:
        out = folder / "out"
        arguments = ("--checkpoint", checkpoint, "--threads", 1, "--engine", "ray", "--address", f"127.0.0.1:{PORT}")
        started = time.monotonic()
        process = start(source, out, *arguments, "--report", folder / "report.json")
        while finished(out) < 12 and process.poll() is None:
            time.sleep(0.1)
        killed_s, killed_at = time.monotonic() - started, finished(out)
        kill_session(second.pid)
        text, err = process.communicate()
        if not text:
            sys.exit(err)
        print(f"two nodes: one killed after {killed_s:.1f} s, with {killed_at} bags done")
        print(f"  status {process.returncode}, {time.monotonic() - started:.1f} s, {text.splitlines()[-1]}")
        wrong = differences(reference, out, complete=True)
        print(f"  files that differ from those of one process: {wrong or 'none'}")
        statuses = [bag["status"] for bag in json.loads((folder / "report.json").read_text())["bags"]]
        print("  " + ", ".join(f"{statuses.count(s)} {s}" for s in sorted(set(statuses))))
        again = start(source, out, *arguments)
        text, _ = again.communicate()
        print(f"  repeated: {text.splitlines()[-1]}")
        return not wrong


def kills(folder: Path, count: int) -> bool:
    source, reference, checkpoint = prepare(folder, 6, 32, with_faults=False)
    rng = random.Random(20261125)
    out = folder / "out"
    arguments = ("--checkpoint", checkpoint, "--threads", 1, "--engine", "ray", "--address", f"127.0.0.1:{PORT}")
    wrong: list[str] = []
    with node(folder, head=True), node(folder, head=False):
        started = time.monotonic()
        start(source, out, *arguments).communicate()
        length_s = time.monotonic() - started
        print(f"a whole run takes {length_s:.1f} s")
        wrong += differences(reference, out, complete=True)
        for number in range(count):
            if number % 5 == 0:  # the other runs continue what the killed ones have left
                shutil.rmtree(out)
            process = start(source, out, *arguments)
            moment_s = rng.uniform(0.2, 0.9) * length_s
            time.sleep(moment_s)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            done, partial = finished(out), len(list(out.glob("*.partial"))) if out.is_dir() else 0
            broken = differences(reference, out, complete=False) if out.is_dir() else []
            print(f"{number:2d}: killed after {moment_s:4.1f} s with {done} results and {partial} unfinished", end="")
            if number % 5 == 4:
                again = start(source, out, *arguments)
                text, err = again.communicate()
                broken += differences(reference, out, complete=True)
                print(f"; repeated: status {again.returncode}, {text.splitlines()[-1] if text else err[-300:]}", end="")
            print(f"; wrong: {broken or 'none'}", flush=True)
            wrong += broken
    print(f"{count} kills; files that differ: {wrong or 'none'}")
    return not wrong


def cpu_s(sessions: list[int]) -> float:
    """Return the CPU seconds of the processes of sessions, including those of children that have ended."""
    ticks = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) in sessions:
                    ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def scaling(folder: Path) -> bool:
    source, reference, checkpoint = prepare(folder, 8, 64, with_faults=False)
    used_s, wrong = {}, []
    with node(folder, head=True) as first, node(folder, head=False) as second:
        for workers in (1, 2):
            out = folder / f"out{workers}"
            arguments = ("--checkpoint", checkpoint, "--threads", 1, "--engine", "ray", "--workers", workers)
            before_s, started = cpu_s([first.pid, second.pid]), time.monotonic()
            process = start(source, out, *arguments, "--address", f"127.0.0.1:{PORT}")
            process.communicate()
            time.sleep(3)  # until the workers have ended
            used_s[workers] = cpu_s([first.pid, second.pid]) - before_s
            wrong += differences(reference, out, complete=True)
            print(
                f"{workers} workers: {time.monotonic() - started:.1f} s, {used_s[workers]:.1f} CPU seconds of the nodes"
            )
    print(f"files that differ from those of one process: {wrong or 'none'}")
    print(f"CPU seconds of one worker to those of two: {used_s[1] / used_s[2]:.2f}; load {os.getloadavg()}")
    return not wrong


def engine(_folder: Path) -> bool:
    os.environ |= {name: ENVIRONMENT[name] for name in ENVIRONMENT if name.startswith("RAY_")}
    import ray

    from opendr_panoptic_ros.fleet.ray_workers import RayWorkers

    def wait(seconds: float) -> int:
        time.sleep(seconds)
        return os.getpid()

    ray.init(
        "local",
        num_cpus=2,
        object_store_memory=10**8,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=40,
    )
    for count in (1, 2, 16):
        with RayWorkers(cores=0.02, workers=count) as workers:
            ready: set[int] = set()
            while len(ready) < count:
                ready |= set(workers.map_in_order(wait, [0.5] * (2 * count)))
            started = time.monotonic()
            list(workers.map_in_order(wait, [2.0] * (12 * count)))
            took_s = time.monotonic() - started
            print(f"{count:2d} workers: {12 * count} tasks of 2 s in {took_s:.1f} s, share of ideal {24 / took_s:.2f}")
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trial", choices=["node", "kills", "scaling", "engine"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=30)
    options = parser.parse_args()
    folder = options.folder.absolute()
    trials = {"node": lost_node, "kills": lambda f: kills(f, options.count), "scaling": scaling, "engine": engine}
    sys.exit(not trials[options.trial](folder))


if __name__ == "__main__":
    main()
