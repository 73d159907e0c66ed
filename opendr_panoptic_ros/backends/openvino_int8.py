# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Post-training quantisation of OpenVINO models with NNCF."""

from __future__ import annotations

import contextlib
import io
import logging
import os
from collections.abc import Iterator, Sequence

import openvino
from torch import Tensor

from opendr_panoptic_ros.backends.base import Progress
from opendr_panoptic_ros.errors import ConfigError

_TILE_PX = (512, 1024)


def quantize(model: openvino.Model, calibration: Sequence[Tensor], progress: Progress) -> openvino.Model:
    """Quantise the convolutions of a model to int8.

    Weights are quantised for each output channel, feature maps for each tensor, with a zero point. Depthwise
    convolutions stay in floating point: OpenVINO computes them so in any case, and quantising their inputs would
    lose accuracy without a gain.

    Args:
        model: The model as exported.
        calibration: Inputs `(1, 3, H, W)` float32 from which the ranges of values are taken.
        progress: Called with each step.

    Returns:
        The quantised model.

    Raises:
        ConfigError: The package nncf is missing, or the images show nothing.
    """
    if all(image.std(dim=(2, 3)).max() == 0 for image in calibration):
        raise ConfigError(
            "Each of the calibration images has one colour only; expected some dozens of images of the camera."
        )
    with _quiet_nncf():
        try:
            import nncf
        except ImportError as error:
            raise ConfigError(
                "int8 needs the package nncf. Install it with: pip install 'opendr_panoptic_ros[openvino]'."
            ) from error
        tiles = [tile.numpy() for image in calibration for tile in _tiles(image)]
        progress(f"Measuring the ranges of values on {len(calibration)} images.", None)
        return nncf.quantize(
            model,
            nncf.Dataset(tiles),
            subset_size=len(tiles),
            preset=nncf.QuantizationPreset.MIXED,
            target_device=nncf.TargetDevice.CPU,
            ignored_scope=nncf.IgnoredScope(types=["GroupConvolution"]),
        )


def _tiles(image: Tensor) -> Iterator[Tensor]:
    """Cut an image into tiles, because the memory for measuring ranges is several GB for large images."""
    for rows in image.split(_TILE_PX[0], dim=2):
        for tile in rows.split(_TILE_PX[1], dim=3):
            yield tile.contiguous()


@contextlib.contextmanager
def _quiet_nncf() -> Iterator[None]:
    """Import and run NNCF without usage statistics, progress bars, and messages about single operators."""
    before = os.environ.get("NNCF_CI")
    os.environ["NNCF_CI"] = "1"  # the only switch of its usage statistics, read when it is imported
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(disabled)
        if before is None:
            del os.environ["NNCF_CI"]
        else:
            os.environ["NNCF_CI"] = before
