# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Names of the array types of this package."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Float32Array = NDArray[np.float32]
PixelArray = NDArray[Any]
"""uint8 pixels; typed Any because the functions of OpenCV return arrays of unspecified type."""
