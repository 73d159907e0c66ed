# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""`opendr-panoptic bag` on a disk that fills up: the limit of a file's size stands for the end of the disk."""

from __future__ import annotations

import resource

import pytest
from support.bags import pictures, read_bag
from support.commands import start_command

FRAMES = 20


@pytest.mark.slow
@pytest.mark.parametrize("limit_kb", [2, 250])
def test_a_full_disk_leaves_no_half_written_bag(make_bag, tmp_path, tiny_checkpoint, limit_kb):
    source = make_bag([("/cam/image_raw", number * 10**8, picture) for number, picture in enumerate(pictures(FRAMES))])
    limit = limit_kb * 1024

    def fill_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))  # Python ignores SIGXFSZ, so that writing fails

    command = ["bag", source, tmp_path / "out", "--checkpoint", tiny_checkpoint, "--backend", "torch", "--batch", 2]
    process = start_command(*command, preexec_fn=fill_disk)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 1, out + err
    assert "File too large" in err
    assert "Traceback" not in err
    left = {path.name for path in tmp_path.iterdir()} - {"in"}
    assert left <= {"out", "out.partial"}
    if "out" in left:
        assert 0 < len(read_bag(tmp_path / "out")["/cam/image_raw"]) < FRAMES, "what was done before can be read"
