#!/usr/bin/env bash
# Runs a command with .venv and the built messages: scripts/run.sh python -m pytest
set -e
cd "$(dirname "$0")/.."
. scripts/no_other_ros.sh
. .venv/bin/activate
. install/setup.bash
exec "$@"
