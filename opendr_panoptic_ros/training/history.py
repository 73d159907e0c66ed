# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The figures of each epoch of a training, kept in a file beside its checkpoints."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from opendr_panoptic_ros.files import write_json

Row = dict[str, Any]
"""Figures by name: floats, or None where a figure does not exist."""


class History:
    """The figures of training and validation for each epoch, in the order of the epochs.

    Args:
        path: The JSON file to keep them in.
        after_epoch: Number of epochs that are finished when training starts. Rows of later epochs in an existing file
            are dropped; 0 starts an empty history.
    """

    def __init__(self, path: Path, *, after_epoch: int) -> None:
        self._path = path
        rows = json.loads(path.read_text("utf-8")) if after_epoch and path.exists() else {"train": [], "val": []}
        self._rows: dict[str, list[Row]] = {
            key: [row for row in rows[key] if row["epoch"] <= after_epoch] for key in ("train", "val")
        }

    def add(self, kind: str, row: dict[str, float]) -> None:
        """Append the figures of one epoch and write the file.

        Args:
            kind: train or val.
            row: Figures by name. NaN (such as AP of images without things) becomes None, in the file null.
        """
        self._rows[kind].append({name: None if math.isnan(value) else value for name, value in row.items()})
        write_json(self._path, self._rows)

    def has(self, kind: str, epoch: int) -> bool:
        """Return whether the figures of an epoch are there.

        Args:
            kind: train or val.
            epoch: Number of the epoch, from 1.
        """
        return any(row["epoch"] == epoch for row in self._rows[kind])

    @property
    def best_pq(self) -> float:
        """The highest panoptic quality, 0-1; -1 before the first validation with a figure."""
        return max((pq for row in self._rows["val"] if (pq := row["pq"]) is not None), default=-1.0)

    @property
    def best_epoch(self) -> int:
        """The epoch of `best_pq`; 0 before the first validation with a figure."""
        rows = [row for row in self._rows["val"] if row["pq"] is not None]
        return int(max(rows, key=lambda row: row["pq"])["epoch"]) if rows else 0

    def to_dict(self) -> dict[str, list[Row]]:
        """Return `{"train": rows, "val": rows}`, a copy."""
        return {key: [dict(row) for row in rows] for key, rows in self._rows.items()}
