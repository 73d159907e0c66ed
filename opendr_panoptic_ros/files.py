# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Files that are either whole or not there: written under a temporary name, then renamed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """`path` holds what `write` wrote into the file name it was given; an error or a kill leaves `path` as it was.

    The temporary name is a fixed one, so that a second try writes over what a kill left of the first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)  # a link left there would be written through
    try:
        write(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """`path` holds `value` as JSON, keys sorted: equal values give equal bytes."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    write_whole(path, lambda partial: partial.write_text(text + "\n", encoding="utf-8"))


def write_png(path: Path, pixels: NDArray[Any]) -> None:
    """`path` holds a PNG of `pixels`: `(H, W)` uint8 or uint16, or `(H, W, 3)` uint8 RGB."""
    import cv2  # only here: a value needs no OpenCV

    _, data = cv2.imencode(".png", pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels[:, :, ::-1]))
    write_whole(path, lambda partial: partial.write_bytes(data.tobytes()))
