#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors
# Resolve requirements/*.txt, for every Python version and platform, into requirements/jazzy.lock and kilted.lock: each
# package with its version and the hashes of its files. `make setup` installs exactly these. Versions that are in a
# lock already are kept; `scripts/lock.sh --upgrade` takes the newest ones of what is not pinned.
set -euo pipefail
cd "$(dirname "$0")/.."

lock() {
    uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --custom-compile-command "make lock" \
        --output-file "requirements/$1.lock" "${@:2}" \
        requirements/{core,cpu,onnx-export,onnx,openvino,train,view,fleet,dev,ros-build}.txt
}

lock jazzy requirements/ros.txt "$@"
lock kilted requirements/ros-kilted.txt "$@"
