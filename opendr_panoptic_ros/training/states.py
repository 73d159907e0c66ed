# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The files that a training is resumed from: `epoch_N.pth` and `stopped.pth`."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from opendr_panoptic_ros.errors import CheckpointError
from opendr_panoptic_ros.files import is_file
from opendr_panoptic_ros.weight_files.stored import load_state_dict

STOPPED = "stopped.pth"
"""Checkpoint of a training that was stopped within an epoch."""


def read_training_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read an `epoch_N.pth` or `stopped.pth`.

    Args:
        path: The file; `~` is expanded.

    Returns:
        Its content.

    Raises:
        CheckpointError: The file is missing, unreadable, or not a checkpoint of a training.
    """
    path = Path(path).expanduser()
    if not is_file(path):
        raise CheckpointError(f"There is no checkpoint {path} to resume from.")
    content = load_state_dict(path)
    wanted = {"epoch", "batches_done", "iteration", "seed", "state_dict", "optimizer", "param_schedulers"}
    if not wanted <= content.keys():
        raise CheckpointError(f"{path} is not an epoch_N.pth of this package's training; resume from one of those.")
    return content


def latest_training_checkpoint(work_dir: str | Path) -> Path | None:
    """Find the checkpoint to resume from.

    Args:
        work_dir: Folder of a training; `~` is expanded.

    Returns:
        `stopped.pth` if there is one, else the `epoch_N.pth` of the latest epoch, else None.
    """
    work_dir = Path(work_dir).expanduser()
    if (work_dir / STOPPED).exists():
        return work_dir / STOPPED
    found = epoch_checkpoints(work_dir)
    return found[max(found)] if found else None


def epoch_checkpoints(work_dir: Path) -> dict[int, Path]:
    """Find the checkpoints of finished epochs.

    Args:
        work_dir: Folder of a training.

    Returns:
        Each `epoch_N.pth` by N.
    """
    return {
        int(match[1]): path
        for path in work_dir.glob("epoch_*.pth")
        if (match := re.fullmatch(r"epoch_(\d+)", path.stem))
    }


@contextmanager
def removed_on_failure(work_dir: Path) -> Iterator[None]:
    """Remove what a training has written to its folder when it fails within its first epoch; a context.

    Args:
        work_dir: Folder of the training. It is removed as well if it did not exist before.

    Yields:
        None.
    """
    existed = work_dir.is_dir()
    before = set(work_dir.iterdir()) if existed else set()
    try:
        yield
    except BaseException:
        written = set(work_dir.iterdir()) - before if work_dir.is_dir() else set()
        if not any(path.suffix == ".pth" or path.name == "history.json" for path in written):
            for path in written:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            if work_dir.is_dir() and not existed:
                work_dir.rmdir()
        raise
