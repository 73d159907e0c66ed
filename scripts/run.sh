#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors
# Runs a command with .venv and the built messages: scripts/run.sh python -m pytest
set -e
cd "$(dirname "$0")/.."
if [ ! -f .venv/bin/activate ] || [ ! -f install/setup.bash ]; then
    echo "run.sh: 'make setup' has to be run first" >&2
    exit 1
fi
. scripts/no_other_ros.sh
. .venv/bin/activate
. install/setup.bash
exec "$@"
