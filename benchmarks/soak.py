# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""A soak of the node: full load for minutes or an hour, with faults mixed in; writes samples, a plot and a table.

    python benchmarks/soak.py --minutes 60 [--faults-every-s 8] [--env MALLOC_ARENA_MAX=2] [--name soak]

The node is a process of its own, as are the cameras, which together send several times what the network can answer.
The faults are those of test/support/faults.py. After each of them the node must answer every camera again. Samples are
appended to OUT/NAME.jsonl while the soak runs; OUT/NAME.json, .png and .md are made of them at the end. The exit status
is 0 if nothing was lost. Source install/setup.bash first.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "test"))

import soak_report  # noqa: E402
from support.faults import FAULTS, random_kind  # noqa: E402
from support.live_rig import LiveRig, live_rig  # noqa: E402
from support.process_samples import cpu_s, handles, memory_mb  # noqa: E402

CAMERAS = ("front", "left", "right", "rear")


class Soak:
    """One run: faults and samples in turn.

    Args:
        rig: The node with its cameras.
        samples: File to which samples and faults are appended, a JSON object a line.
        rng: Chooses faults and their details.
        sample_every_s: Seconds between two samples.
    """

    def __init__(self, rig: LiveRig, samples: Path, rng: random.Random, sample_every_s: float) -> None:
        self.injected: Counter[str] = Counter()
        self.lost: list[str] = []
        self._rig = rig
        self._samples = samples
        self._rng = rng
        self._every_s = sample_every_s
        self._start_s = time.monotonic()
        self._next_s = 0.0
        self._answered_before = 0

    @property
    def time_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start_s

    def inject(self) -> None:
        """Inject one fault and wait until every camera is answered again; a fault that is not survived is noted."""
        names = list(FAULTS)
        name = self._rng.choices(names, [FAULTS[entry][1] for entry in names])[0]
        self.injected[name] += 1
        begin_s = self.time_s
        try:
            FAULTS[name][0](self._rig, self._rng)
            self._rig.wait_for_answers(f"answers after: {name}")
        except AssertionError as error:
            self.lost.append(f"{self.time_s:.0f} s: {name}: {error}")
        self._write({"fault": name, "time_s": begin_s, "seconds": self.time_s - begin_s, "lost": len(self.lost)})

    def run_until(self, end_s: float) -> None:
        """Run under load, with samples, until a time.

        Args:
            end_s: Seconds since the start.
        """
        while (now_s := self.time_s) < end_s and self._is_alive():
            if now_s >= self._next_s:
                self._sample()
                self._next_s = now_s + self._every_s
            self._rig.spin(max(0.0, min(self._next_s, end_s) - self.time_s))

    def check_counts(self) -> None:
        """Once the cameras have ended, check that no frame is unaccounted for."""
        for name in self._rig.camera_names:
            self._rig.end_camera(name, signal.SIGTERM)
        try:
            self._rig.wait_for(
                lambda: all(
                    counts["received"] == counts["answered"] + counts["dropped"] + counts["failed"]
                    for counts in self._rig.counts().values()
                ),
                "received = answered + dropped + failed",
            )
        except AssertionError as error:
            self.lost.append(f"{error}: {self._rig.counts()}")

    def _is_alive(self) -> bool:
        return self._rig.node is not None and self._rig.node.is_running

    def _sample(self) -> None:
        rig = self._rig
        answers = rig.answers.total()
        latencies = [latency for _, latency in rig.latencies_ms]
        rig.latencies_ms.clear()
        self._write(
            {
                "time_s": self.time_s,
                "memory_mb": memory_mb(rig.pid),
                "handles": handles(rig.pid),
                "cpu_s": cpu_s(rig.pid),
                "answers": answers - self._answered_before,
                "latencies_ms": [round(latency, 1) for latency in latencies],
                "counts": dict(rig.totals),
                "callback_errors": int(rig.diagnostics.get("", {}).get("callback_errors", 0)),
                "load": os.getloadavg()[0],
            }
        )
        self._answered_before = answers

    def _write(self, entry: dict[str, Any]) -> None:
        with self._samples.open("a") as file:
            file.write(json.dumps(entry) + "\n")


def main() -> None:
    """Run the soak from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10, help="duration")
    parser.add_argument("--checkpoint", default="demo", help="path or name")
    parser.add_argument("--faults-every-s", type=float, default=8.0, help="mean time between two faults; 0 for none")
    parser.add_argument("--sample-every-s", type=float, default=5.0, help="time between two samples")
    parser.add_argument("--seed", type=int, default=0, help="chooses faults and cameras")
    parser.add_argument("--env", nargs="*", default=[], metavar="NAME=VALUE", help="environment of the node")
    parser.add_argument("--beside", default="", help="what else ran on the machine, for the table")
    parser.add_argument("--name", default="soak", help="name of the results")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results", help="folder of the results")
    arguments = parser.parse_args()
    samples = arguments.out / f"{arguments.name}.jsonl"
    samples.unlink(missing_ok=True)
    rng = random.Random(arguments.seed)
    environment = dict(variable.split("=", 1) for variable in arguments.env)
    with tempfile.TemporaryDirectory() as folder, live_rig(Path(folder)) as rig:
        rig.start_node({"checkpoint": arguments.checkpoint, "cameras": str(list(CAMERAS))}, **environment)
        for name in CAMERAS:
            rig.listen(name)
            rig.start_camera(name, random_kind(rng))
        rig.wait_for_answers("the first answers")
        soak = Soak(rig, samples, rng, arguments.sample_every_s)
        end_s = 60 * arguments.minutes
        while soak.time_s < end_s and len(soak.lost) < 5 and rig.node is not None and rig.node.is_running:
            pause_s = rng.expovariate(1 / arguments.faults_every_s) if arguments.faults_every_s else end_s
            soak.run_until(min(end_s, soak.time_s + pause_s))
            if arguments.faults_every_s and soak.time_s < end_s:
                soak.inject()
        soak.check_counts()
        status = rig.node.stop(signal.SIGTERM) if rig.node is not None else 1
        if status:
            soak.lost.append(f"exit status {status}")
        (arguments.out / f"{arguments.name}.log").write_text(rig.log[-20_000:])
    about = {
        "minutes": arguments.minutes,
        "checkpoint": arguments.checkpoint,
        "environment": " ".join(arguments.env),
        "beside": arguments.beside,
        "injected": dict(soak.injected),
        "lost": soak.lost,
    }
    soak_report.write(samples, about)
    sys.exit(1 if soak.lost else 0)


if __name__ == "__main__":
    main()
