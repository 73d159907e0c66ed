# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Many faults on a live node over DDS: subscribers, parameters, transitions, and every fault of the soak's table.

`python test/attack/live_faults.py` runs the long version and prints a table; `--scale 0.1` does a tenth of it.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sensor_msgs.msg import Image
from support.faults import FAULTS, parameters, random_kind
from support.live_rig import LiveRig, live_rig
from support.process_samples import handles, memory_mb
from support.tiny_network import write_tiny_checkpoint

CAMERAS = ("front", "rear")


def subscribers(rig: LiveRig, rng: random.Random, count: int) -> None:
    """Subscribers in nodes of their own join, all at once, and leave again."""
    clients = [rig.add_client(f"subscriber_{number}") for number in range(count)]
    for client in clients:
        for topic in rng.sample(("semantic", "panoptic", "rgb_visualization", "confidence"), 2):
            rig.subscribe(f"{rng.choice(CAMERAS)}/panoptic/{topic}", Image, client)
    rig.wait_for_answers("answers with all subscribers", number=3)
    rng.shuffle(clients)
    for client in clients:
        rig.remove_client(client)
        rig.pause(0.05)


def transitions(rig: LiveRig, rng: random.Random, count: int) -> None:
    """Transitions under load, a fifth of them through unconfigured."""
    for number in range(count // 2):
        assert rig.transition("deactivate")
        if number % 10 == 0:
            assert rig.transition("cleanup")
            assert rig.transition("configure")
        assert rig.transition("activate")


def attack(scale: float = 1.0, seed: int = 0) -> list[tuple[str, int, int, float]]:
    """Return for each kind of fault: its name, how many were injected, how many were lost, and seconds."""
    rng = random.Random(seed)
    rows = []
    with tempfile.TemporaryDirectory() as folder, live_rig(Path(folder)) as rig:
        checkpoint = write_tiny_checkpoint(Path(folder))
        rig.start_node({"checkpoint": checkpoint, "cameras": list(CAMERAS)}, OMP_NUM_THREADS="1")
        for name in CAMERAS:
            rig.listen(name)
            rig.start_camera(name, random_kind(rng))
        rig.wait_for_answers("the first answers")
        before = {**memory_mb(rig.pid), **handles(rig.pid)}

        def run(name: str, count: int, inject: Callable[[], None], repeat: int = 1) -> None:
            start_s, lost = time.monotonic(), 0
            for _ in range(repeat):
                lost += not _survives(rig, name, inject)
            rows.append((name, count, lost, time.monotonic() - start_s))
            print(f"{name}: {count}, {lost} lost, {rows[-1][3]:.0f} s", flush=True)

        scaled = lambda number: max(1, round(scale * number))  # noqa: E731
        run("subscribers that join together and leave", scaled(50), lambda: subscribers(rig, rng, scaled(50)))
        run("parameter changes", scaled(100) * 10, lambda: parameters(rig, rng), scaled(100))
        run("transitions under load", scaled(200), lambda: transitions(rig, rng, scaled(200)))
        for name, (fault, _) in FAULTS.items():
            run(name, scaled(10), lambda fault=fault: fault(rig, rng), scaled(10))  # type: ignore[misc]
        after = {**memory_mb(rig.pid), **handles(rig.pid)}
        for key in ("rss", "threads", "descriptors", "children"):
            print(f"{key}: {before[key]:.0f} before, {after[key]:.0f} after")
        for name in CAMERAS:
            rig.end_camera(name, 9)
        run("counts that do not add up", len(CAMERAS), lambda: _check_counts(rig))
        assert rig.node is not None
        status = rig.node.stop(15)
        rows.append(("exit status other than 0", 1, int(status != 0), 0.0))
        rows.append(("tracebacks in the log", 1, int("Traceback" in rig.log), 0.0))
    return rows


def _survives(rig: LiveRig, name: str, inject: Callable[[], None]) -> bool:
    try:
        inject()
        rig.wait_for_answers(f"answers after: {name}")
    except AssertionError as error:
        print(f"LOST: {name}: {error}", file=sys.stderr)
        return False
    return True


def _check_counts(rig: LiveRig) -> None:
    rig.wait_for(
        lambda: all(c["received"] == c["answered"] + c["dropped"] + c["failed"] for c in rig.counts().values()),
        "received = answered + dropped + failed",
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rows = attack(arguments.scale, arguments.seed)
    print("| fault | injected | lost |\n|---|---|---|")
    for name, injected, lost, _ in rows:
        print(f"| {name} | {injected} | {lost} |")
    return 1 if any(lost for *_, lost, _ in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
