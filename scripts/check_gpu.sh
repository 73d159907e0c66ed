#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors
# Runs the tests marked gpu that need no ROS, and the benchmark of the network, on a machine that has torch, torchvision,
# numpy, OpenCV, SciPy, PyYAML, safetensors, typer, rich and pytest, and nothing else; within eight minutes. Without a
# GPU, it runs what tests the code of the GPU on the CPU, and a short benchmark.
#
#     scripts/check_gpu.sh [FOLDER]
#
# Writes FOLDER/check_gpu.json and FOLDER/check_gpu.md (default: check_gpu) and fails if a test or a measurement failed.
set -uo pipefail
cd "$(dirname "$0")/.."
out=${1:-check_gpu}
python=${PYTHON:-python3}
mkdir -p "$out/parts"
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"

device=$("$python" -c 'import torch; print("cuda" if torch.cuda.is_available() else "cpu")') || exit 1
cpu_tests=(test/network/test_batched.py test/network/test_merged.py test/network/test_golden_ops.py)
benchmark=("$python" benchmarks/network.py --device "$device" --backends torch --out "$out/parts")
if [ "$device" = cuda ]; then
    mapfile -t gpu_tests < <(grep -rl --include='test_*.py' 'mark\.gpu' test | grep -Ev '^test/(ros|training)/' | sort)
else
    gpu_tests=()
fi

# The settings of pyproject.toml name plug-ins that are not needed here.
cat >"$out/parts/pytest.ini" <<INI
[pytest]
pythonpath = $PWD/test
addopts = -ra --import-mode=importlib -p no:cacheprovider
filterwarnings =
    ignore::pytest.PytestUnknownMarkWarning
INI

failed=0
run_tests() { # NAME ARGUMENT…
    timeout 240 "$python" -m pytest -q -c "$out/parts/pytest.ini" --rootdir="$PWD" --junitxml="$out/parts/$1.xml" "${@:2}"
    [ $? -eq 0 ] || failed=1
}
measure() { # SECONDS LABEL ARGUMENT…
    timeout "$1" "${benchmark[@]}" --label "$2" "${@:3}" || failed=1
}

run_tests cpu -m "not gpu" "${cpu_tests[@]}"
if [ "$device" = cuda ]; then
    run_tests gpu -m gpu "${gpu_tests[@]}"
    measure 90 demo --checkpoints demo --repeat 20 --limit-s 10
    measure 150 seed19 --checkpoints seed19 --sizes 512x1024 1024x2048 --instances 10 30 100 --precisions float16 \
        --repeat 20 --limit-s 10
else
    measure 120 demo --checkpoints demo --precisions float32 --repeat 2 --limit-s 5
fi

"$python" - "$out" "$failed" <<'PYTHON' || failed=1
"""Merge the parts into one JSON and one table."""

import json
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import torch

out, failed = Path(sys.argv[1]), sys.argv[2] != "0"
suites = {}
for path in sorted((out / "parts").glob("*.xml")):
    counts = ElementTree.parse(path).getroot().find("testsuite").attrib
    suites[path.stem] = {key: int(counts[key]) for key in ("tests", "failures", "errors", "skipped")}
    suites[path.stem]["seconds"] = float(counts["time"])
benchmarks = [json.loads(path.read_text()) for path in sorted((out / "parts").glob("*-network*.json"))]
device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
report = {"device": device, "torch": torch.__version__, "passed": not failed, "tests": suites, "benchmarks": benchmarks}
(out / "check_gpu.json").write_text(json.dumps(report, indent=1) + "\n")

lines = [f"# {device}, torch {torch.__version__}: {'failed' if failed else 'passed'}", ""]
lines += ["| tests | number | failed | skipped | s |", "|---|---|---|---|---|"]
for name, suite in suites.items():
    bad = suite["failures"] + suite["errors"]
    lines.append(f"| {name} | {suite['tests']} | {bad} | {suite['skipped']} | {suite['seconds']:.0f} |")
for path in sorted((out / "parts").glob("*-network*.md")):
    lines += ["", path.read_text().strip()]
(out / "check_gpu.md").write_text("\n".join(lines) + "\n")
print((out / "check_gpu.md").read_text())
PYTHON
echo "Written: $out/check_gpu.json and $out/check_gpu.md"
exit "$failed"
