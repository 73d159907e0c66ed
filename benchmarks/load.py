# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The node with 1, 2, 4 and 8 cameras that together send more than it can answer: throughput, latency and fairness.

    python benchmarks/load.py [--answers 60] [--checkpoint demo] [--cameras 1 2 4 8] [--out FILE.md]

Node, cameras and listener are processes of their own that communicate over DDS. The cameras have unlike sizes, and then
equal ones. Answers per CPU second of the node do not depend on what else the machine does. Source install/setup.bash
first.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "test"))

from support.live_rig import CameraKind, LiveRig, live_rig  # noqa: E402
from support.process_samples import cpu_s, memory_mb  # noqa: E402

UNLIKE = ((480, 640), (240, 320), (256, 512), (540, 960), (376, 500), (600, 400), (333, 777), (120, 160))
EQUAL = ((480, 640),) * 8
_COLUMNS = (
    "cameras",
    "sizes",
    "frames sent",
    "answers/s",
    "answers per CPU second",
    "latency p50",
    "latency p99",
    "least / most served",
    "RSS",
)


def measure(rig: LiveRig, names: list[str], answers: int, patience_s: float) -> list[str]:
    """Return a row of the table, of the present load.

    Args:
        rig: The node with its cameras.
        names: The cameras.
        answers: Smallest number of answers of each camera.
        patience_s: Longest time in seconds.
    """
    rig.wait_for_answers("every camera", number=3)
    before, cpu_before, totals = rig.answers.copy(), cpu_s(rig.pid), rig.totals.copy()
    start_s, _ = time.monotonic(), rig.latencies_ms.clear()
    rig.wait_for(lambda: min(rig.answers[name] - before[name] for name in names) >= answers, "answers", patience_s)
    span_s, used_s = time.monotonic() - start_s, cpu_s(rig.pid) - cpu_before
    served = [rig.answers[name] - before[name] for name in names]
    latencies = [latency for _, latency in rig.latencies_ms]
    return [
        f"{(rig.totals['received'] - totals['received']) / span_s:.0f}/s",
        f"{sum(served) / span_s:.2f}",
        f"{sum(served) / used_s:.2f}",
        f"{np.percentile(latencies, 50):.0f} ms",
        f"{np.percentile(latencies, 99):.0f} ms",
        f"{min(served)} / {max(served)} = {min(served) / max(served):.2f}",
        f"{memory_mb(rig.pid)['rss']:.0f} MiB",
    ]


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="demo", help="path or name")
    parser.add_argument("--cameras", type=int, nargs="*", default=[1, 2, 4, 8], help="numbers of cameras, at most 8")
    parser.add_argument("--rate-hz", type=float, default=10.0, help="frames per second of each camera")
    parser.add_argument("--answers", type=int, default=60, help="answers that every camera must get")
    parser.add_argument("--patience-s", type=float, default=600.0, help="longest time for each row")
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    arguments = parser.parse_args()
    lines = [f"| {' | '.join(_COLUMNS)} |", "|" + "---|" * len(_COLUMNS)]
    for number in arguments.cameras:
        for kind, sizes in (("unlike", UNLIKE), ("equal", EQUAL)):
            if kind == "equal" and number == 1:
                continue
            names = [f"camera_{index}" for index in range(number)]
            with tempfile.TemporaryDirectory() as folder, live_rig(Path(folder)) as rig:
                rig.start_node({"checkpoint": arguments.checkpoint, "cameras": str(names)})
                for index, name in enumerate(names):
                    rig.listen(name)
                    rig.start_camera(name, CameraKind(*sizes[index], "rgb8", arguments.rate_hz, index % 4))
                row = [str(number), kind, *measure(rig, names, arguments.answers, arguments.patience_s)]
            lines.append(f"| {' | '.join(row)} |")
            print(lines[-1], flush=True)
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
