# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Names of the array types that the drawing uses."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Float32Array = NDArray[np.float32]
PixelArray = NDArray[Any]
"""8-bit pixels. Any, because the types of OpenCV's functions do not state it."""
