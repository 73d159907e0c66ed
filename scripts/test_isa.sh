#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors
# Runs the numerical tests under every instruction set that this processor has, for PyTorch's own kernels
# (ATEN_CPU_CAPABILITY) and for oneDNN's (ONEDNN_MAX_CPU_ISA): sums are then taken in other orders, and a test that
# passes under all of them does not depend on the processor. Arguments go to pytest.
set -uo pipefail
cd "$(dirname "$0")/.."

tests=(
    test/network test/training test/evaluation test/test_backends.py test/test_checkpoint.py test/test_demo_model.py
    test/test_inference.py test/test_learner.py test/test_opendr_compat.py test/test_pipeline.py
    test/ros/test_demo_model.py test/demo/test_demo.py::test_the_network_in_the_package_sees_the_drive
)
workers=(-n logical --maxprocesses 4 --dist worksteal)
capabilities=(default)
isas=(SSE41)
grep -qw avx2 /proc/cpuinfo && capabilities+=(avx2) isas+=(AVX2)
grep -qw avx512bw /proc/cpuinfo && capabilities+=(avx512) isas+=(AVX512_CORE)

failed=0
for capability in "${capabilities[@]}"; do
    for isa in "${isas[@]}"; do
        export ATEN_CPU_CAPABILITY=$capability ONEDNN_MAX_CPU_ISA=$isa
        output=$(python -m pytest -q "${workers[@]}" "${tests[@]}" "$@" 2>&1)
        status=$?
        printf '%-8s %-12s %s\n' "$capability" "$isa" "$(tail -n 1 <<<"$output")"
        if [ $status -ne 0 ]; then
            grep -E '^(E   |FAILED|ERROR)' <<<"$output"
            failed=1
        fi
    done
done
[ ${#isas[@]} -eq 3 ] || echo "This processor has no AVX-512; the settings with avx512 and AVX512_CORE were left out."
exit $failed
