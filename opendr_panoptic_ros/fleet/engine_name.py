# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Names of the engines, apart from Ray: every start of the command line reads them."""

from __future__ import annotations

from enum import Enum


class EngineName(str, Enum):
    """Where the work is done."""

    LOCAL = "local"
    RAY = "ray"
