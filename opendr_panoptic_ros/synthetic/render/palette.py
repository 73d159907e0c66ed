# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Random colours. The ranges of most classes overlap on purpose: colour alone must not identify a class."""

from __future__ import annotations

import colorsys

import numpy as np

Rgb = tuple[float, float, float]
BLACK: Rgb = (28.0, 28.0, 30.0)
RUBBER: Rgb = (38.0, 38.0, 40.0)
STEEL: Rgb = (150.0, 152.0, 156.0)


def hsv(hue: float, saturation: float, value: float) -> Rgb:
    """Convert a colour to RGB, 0 to 255.

    Args:
        hue: Hue; values outside 0 to 1 wrap around.
        saturation: Saturation, limited to 0 to 1.
        value: Brightness, limited to 0 to 1.
    """
    r, g, b = colorsys.hsv_to_rgb(hue % 1.0, min(max(saturation, 0.0), 1.0), min(max(value, 0.0), 1.0))
    return 255 * r, 255 * g, 255 * b


def paint_color(rng: np.random.Generator) -> Rgb:
    """Return a colour of paint: often white, grey or black, otherwise saturated.

    Args:
        rng: Random number generator.
    """
    if rng.random() < 0.55:
        return hsv(rng.random(), rng.uniform(0, 0.08), rng.choice([0.16, 0.3, 0.5, 0.68, 0.88, 0.95]))
    return hsv(rng.random(), rng.uniform(0.35, 0.9), rng.uniform(0.3, 0.9))


def cloth_color(rng: np.random.Generator) -> Rgb:
    """Return a colour of clothing: mostly muted, sometimes bright.

    Args:
        rng: Random number generator.
    """
    if rng.random() < 0.6:
        return hsv(rng.random(), rng.uniform(0, 0.35), rng.uniform(0.12, 0.6))
    return hsv(rng.random(), rng.uniform(0.3, 0.95), rng.uniform(0.4, 0.95))


def skin_color(rng: np.random.Generator) -> Rgb:
    """Return a colour of skin.

    Args:
        rng: Random number generator.
    """
    return hsv(rng.uniform(0.04, 0.09), rng.uniform(0.3, 0.6), rng.uniform(0.35, 0.95))


def hair_color(rng: np.random.Generator) -> Rgb:
    """Return a colour of hair or a hat.

    Args:
        rng: Random number generator.
    """
    return hsv(rng.uniform(0.03, 0.12), rng.uniform(0.1, 0.6), rng.uniform(0.1, 0.7))


def masonry_color(rng: np.random.Generator) -> Rgb:
    """Return a colour of plaster, brick, concrete or stone.

    Args:
        rng: Random number generator.
    """
    kind = rng.random()
    if kind < 0.3:
        return hsv(rng.uniform(0.0, 0.06), rng.uniform(0.3, 0.6), rng.uniform(0.4, 0.7))
    if kind < 0.55:
        return hsv(rng.uniform(0.0, 1.0), rng.uniform(0, 0.08), rng.uniform(0.4, 0.85))
    return hsv(rng.uniform(0.05, 0.17), rng.uniform(0.1, 0.45), rng.uniform(0.6, 0.92))


def leaf_color(rng: np.random.Generator) -> Rgb:
    """Return a colour of leaves: green, sometimes autumnal.

    Args:
        rng: Random number generator.
    """
    if rng.random() < 0.15:
        return hsv(rng.uniform(0.04, 0.13), rng.uniform(0.4, 0.75), rng.uniform(0.4, 0.7))
    return hsv(rng.uniform(0.18, 0.36), rng.uniform(0.3, 0.65), rng.uniform(0.25, 0.5))


def scaled(color: Rgb, factor: float) -> Rgb:
    """Return a lighter or darker tone.

    Args:
        color: RGB, 0 to 255.
        factor: Factor for all channels; the result is limited to 255.
    """
    return tuple(min(255.0, c * factor) for c in color)  # type: ignore[return-value]


def mixed(a: Rgb, b: Rgb, share: float) -> Rgb:
    """Return a mixture of two colours.

    Args:
        a: The first colour.
        b: The second colour.
        share: Share of `b`, 0 to 1.
    """
    return tuple(p * (1 - share) + q * share for p, q in zip(a, b, strict=True))  # type: ignore[return-value]
