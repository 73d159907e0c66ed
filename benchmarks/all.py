# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""All benchmarks: a short selection of each, or with `--full` everything that docs/performance.md shows.

python benchmarks/all.py --out build/benchmarks/results                          # `make bench`: some minutes
python benchmarks/all.py --full --out benchmarks/results --peers-python build/peers/bin/python   # more than an hour
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent

SHORT = {
    "network.py": "--checkpoints demo --threads 1 --repeat 5 --limit-s 10",
    "node.py": "--seconds 5",
    "startup.py": "--repeat 2",
    "data.py": "--images 4 --steps 1",
}
FULL = {
    "network.py": (
        "--checkpoints demo seed19 --sizes 256x512 384x1280 512x1024 1024x2048 --instances 0 10 30 100 --threads 1 2 "
        "--repeat 5 --limit-s 30"
    ),
    "node.py": "--sizes 256x512 1080x1920 --cameras 1 2 4 --transports raw compressed --seconds 10",
    "startup.py": "--backends auto torch --repeat 5",
    "data.py": "--images 16 --steps 5",
    "peers.py": "--sizes 512x1024 --threads 1 2",
}


def main() -> None:
    """Run the benchmarks one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="measure everything")
    parser.add_argument("--only", nargs="+", default=[], help="names of benchmarks, such as network node")
    parser.add_argument("--out", type=Path, help="folder for the reports; without it, tables on the terminal only")
    parser.add_argument("--peers-python", default=sys.executable, help="Python of the environment with transformers")
    parser.add_argument("--note", default="", help="a sentence for the reports, such as what ran beside them")
    options = parser.parse_args()
    failed = []
    for script, arguments in (FULL if options.full else SHORT).items():
        if options.only and script.removesuffix(".py") not in options.only:
            continue
        python = options.peers_python if script == "peers.py" else sys.executable
        command = [python, str(HERE / script), *arguments.split(), "--note", options.note]
        command += ["--out", str(options.out)] if options.out else []
        if subprocess.run(command, check=False).returncode:
            failed.append(script)
    if failed:
        sys.exit(f"Failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
