# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Random changes of the pixels of training images, for other cameras, light and weather, by torchvision and OpenCV.

The published training has none of them (paper section 4.2: scale, crop and flip alone).
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.v2 import functional as change

_GREY_PROBABILITY = 0.05
_BLUR_PROBABILITY = 0.25
_NOISE_PROBABILITY = 0.3
_JPEG_PROBABILITY = 0.3


def change_photometry(pixels: NDArray[np.uint8], strength: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Change light, colour, sharpness, noise and compression of an image at random.

    Args:
        pixels: `(H, W, 3)` uint8 RGB.
        strength: 0 leaves the image as it is. At 1, brightness, contrast and saturation change by factors of up to
            0.5, hue by up to 0.06 of the circle, gamma from 1/1.8 to 1.8, and grey, blur (standard deviation up to
            1.5 px), noise (up to 0.06 of full scale) and JPEG (quality 30 to 95) are applied with the probabilities
            of this module. The ranges and probabilities are proportional to it.
        rng: Source of the random choices.

    Returns:
        `(H, W, 3)` uint8 RGB.
    """
    if strength == 0:
        return pixels
    image = torch.from_numpy(pixels).permute(2, 0, 1)
    steps = [_brightness, _contrast, _saturation, _hue]
    for index in rng.permutation(len(steps)):
        image = steps[index](image, strength, rng)
    image = change.adjust_gamma(image, 1.8 ** rng.uniform(-strength, strength))
    if rng.random() < _GREY_PROBABILITY * strength:
        image = change.rgb_to_grayscale(image, num_output_channels=3)
    if rng.random() < _BLUR_PROBABILITY * strength:
        image = change.gaussian_blur(image, [5, 5], [rng.uniform(0.3, 0.3 + 1.2 * strength)])
    if rng.random() < _NOISE_PROBABILITY * strength:
        noise = rng.standard_normal(image.shape, np.float32) * (255 * rng.uniform(0, 0.06 * strength))
        image = (image + torch.from_numpy(noise)).round_().clamp_(0, 255).to(torch.uint8)
    changed = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
    if rng.random() < _JPEG_PROBABILITY * strength:
        quality = int(rng.integers(95 - round(65 * strength), 96))
        _, data = cv2.imencode(".jpg", changed[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        decoded: Any = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
        return decoded
    return changed


def _brightness(image: Tensor, strength: float, rng: np.random.Generator) -> Tensor:
    return change.adjust_brightness(image, 1 + rng.uniform(-0.5, 0.5) * strength)


def _contrast(image: Tensor, strength: float, rng: np.random.Generator) -> Tensor:
    return change.adjust_contrast(image, 1 + rng.uniform(-0.5, 0.5) * strength)


def _saturation(image: Tensor, strength: float, rng: np.random.Generator) -> Tensor:
    return change.adjust_saturation(image, 1 + rng.uniform(-0.5, 0.5) * strength)


def _hue(image: Tensor, strength: float, rng: np.random.Generator) -> Tensor:
    return change.adjust_hue(image, rng.uniform(-0.06, 0.06) * strength)
