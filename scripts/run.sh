#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors
# Run a command with .venv and the built messages, for example: scripts/run.sh python -m pytest
set -e
cd "$(dirname "$0")/.."
if [ ! -f .venv/bin/activate ] || [ ! -f install/setup.bash ]; then
    echo "run.sh: .venv or install/ is missing; run 'make setup' first" >&2
    exit 1
fi
. scripts/no_other_ros.sh
. .venv/bin/activate
. install/setup.bash
exec "$@"
