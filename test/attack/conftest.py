# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Writes what the properties have tried, where ATTACK_RECORDS names a folder."""

from __future__ import annotations

import os
from pathlib import Path


def pytest_sessionfinish() -> None:
    if folder := os.environ.get("ATTACK_RECORDS"):
        from attack.properties import write_records

        write_records(Path(folder))
