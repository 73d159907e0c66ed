# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Facades of houses: windows, doors, balconies, and shops with signs and awnings."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.synthetic.render.palette import (
    BLACK,
    Rgb,
    cloth_color,
    hsv,
    masonry_color,
    mixed,
    paint_color,
    scaled,
)
from opendr_panoptic_ros.synthetic.render.textures import Texture, paint_bricks, plain_wall

_WORDS = ("CAFE", "HOTEL", "BOOKS", "MARKT", "BAR", "PIZZA", "BANK", "TEE", "OPTIK", "SHOP", "BLUMEN", "KINO")


def facade(
    rng: np.random.Generator, width_m: float, height_m: float, *, scale: int = 14, night: bool, shop: bool | None = None
) -> tuple[Texture, Texture]:
    """Return a facade and its glow: `(h, w, 3)` uint8, and `(h, w)` uint8 that is not 0 where the facade is unshaded.

    Args:
        rng: Random number generator.
        width_m: Width in metres.
        height_m: Height in metres.
        scale: Pixels per metre.
        night: Whether windows may be lit.
        shop: Whether the ground floor is a shop; random if None.
    """
    height, width = int(height_m * scale), int(width_m * scale)
    color = masonry_color(rng)
    texture, glow = plain_wall(rng, height, width, color), np.zeros((height, width), np.uint8)
    style = rng.random()
    if style < 0.3:
        paint_bricks(rng, texture, color, max(scale // 4, 3), max(scale // 2, 6))
    elif style < 0.45:
        texture[::scale] = scaled(color, 0.85)
    storey = int(rng.uniform(2.8, 3.5) * scale)
    pitch = int((rng.uniform(1.9, 3.4) if rng.random() < 0.88 else 1.5) * scale)
    size = (int(pitch * rng.uniform(0.42, 0.68)), int(storey * rng.uniform(0.45, 0.66)))
    trim = scaled(color, rng.choice([0.7, 1.25]))
    shutters = paint_color(rng) if rng.random() < 0.2 else None
    balcony = rng.random() < 0.2
    frame = scaled(masonry_color(rng), 1.1)
    bays = [
        _bay(rng, size, frame, trim, shutters, balcony=balcony and rng.random() < 0.7, night=night) for _ in range(4)
    ]
    bay_height, bay_width = bays[0][0].shape[:2]
    ground_floor = int(1.1 * storey)
    margin = max((width % pitch + pitch - bay_width) // 2, 0)
    first = height - ground_floor - storey + max((storey - bay_height) // 2, 0)
    for top in range(first, scale // 4, -storey):
        for left in range(margin, width - bay_width + 1, pitch):
            pane, shines = bays[int(rng.integers(len(bays)))]
            bottom = min(top + bay_height, height)
            texture[top:bottom, left : left + bay_width] = pane[: bottom - top]
            glow[top:bottom, left : left + bay_width] = shines[: bottom - top]
        if style > 0.6:
            texture[top + bay_height + 1 : top + bay_height + 4] = trim
    _ground_floor(
        rng, texture, glow, ground_floor, scale, shop=rng.random() < 0.5 if shop is None else shop, night=night
    )
    texture[: max(scale // 3, 2)] = scaled(color, 0.75)
    texture[height - scale // 2 :] = scaled(color, 0.65)
    return texture, glow


@cache
def _fade(height: int) -> NDArray[np.float64]:
    """Return `(height, 1)` factors that darken glass towards its lower edge."""
    return np.linspace(1.25, 0.75, height)[:, None]


def _window(rng: np.random.Generator, size: tuple[int, int], frame: Rgb, *, lit: bool) -> Texture:
    """Return a window, `(height, width, 3)` uint8, for a size of width and height."""
    width, height = size
    if lit:
        glass = hsv(rng.uniform(0.09, 0.14), rng.uniform(0.3, 0.6), 0.95)
    else:
        glass = hsv(rng.uniform(0.52, 0.66), 0.25, rng.uniform(0.15, 0.55))
    pane = np.empty((height, width, 3), np.uint8)
    pane[:] = np.minimum(np.asarray(glass) * _fade(height), 255)[:, None]
    if rng.random() < 0.4:  # a curtain or blind
        pane[: int(height * rng.uniform(0.2, 0.8))] = scaled(cloth_color(rng), 1.2)
    if width > 6:
        cv2.line(pane, (0, height // 2), (width // 2, 0), mixed(glass, (230, 235, 240), 0.4), max(width // 8, 1))
    pane[:, width // 2] = frame
    pane[[0, -1]] = frame
    pane[:, [0, -1]] = frame
    if height > 12:
        pane[height // 3] = frame
    return pane


def _bay(
    rng: np.random.Generator,
    size: tuple[int, int],
    frame: Rgb,
    trim: Rgb,
    shutters: Rgb | None,
    *,
    balcony: bool,
    night: bool,
) -> tuple[Texture, Texture]:
    """Return a window with trim and sill, with or without shutters and balcony, and its glow."""
    lit = rng.random() < (0.45 if night else 0.04)
    width, height = size
    side = 2 + (width // 3 if shutters is not None else 0)
    bay = np.empty((height + 5, width + 2 * side, 3), np.uint8)
    bay[:] = trim
    if shutters is not None:
        bay[2 : 2 + height, : side - 2] = bay[2 : 2 + height, side + width + 2 :] = shutters
    bay[2 : 2 + height, side : side + width] = _window(rng, size, frame, lit=lit)
    bay[height + 2 :] = scaled(trim, 1.2)
    if balcony:
        top, dark = 2 + height - height // 3, scaled(trim, 0.6)
        bay[top:height, ::3] = dark
        bay[top] = dark
        bay[height + 1 :] = scaled(trim, 0.5)
    glow = np.zeros(bay.shape[:2], np.uint8)
    if lit and night:
        glow[2 : 2 + height, side : side + width] = 255
    return bay, glow


def _ground_floor(
    rng: np.random.Generator, texture: Texture, glow: Texture, floor_px: int, scale: int, *, shop: bool, night: bool
) -> None:
    """Paint the ground floor of a facade and its glow, in place: a shop or windows, and a door."""
    height, width = texture.shape[:2]
    top = height - floor_px
    door_width, door_height = int(1.2 * scale), int(2.3 * scale)
    x = int(rng.uniform(0.1, 0.8) * max(width - door_width, 1))
    if shop:
        cv2.rectangle(texture, (0, top), (width, height), scaled(masonry_color(rng), 0.7), -1)
        sign, glass = paint_color(rng), hsv(rng.uniform(0.08, 0.6), 0.3, rng.uniform(0.35, 0.8))
        step = int(rng.uniform(2.5, 4.5) * scale)
        for left in range(scale // 3, width - scale, step):
            right = min(left + step - scale // 3, width - scale // 3)
            y0, y1 = top + int(0.75 * scale), height - scale // 2
            cv2.rectangle(texture, (left, y0), (right, y1), glass, -1)
            for _ in range(6):  # goods in the window
                gx, gy = rng.integers(left, max(right - scale // 2, left + 1)), rng.integers((y0 + y1) // 2, y1)
                cv2.rectangle(texture, (int(gx), int(gy)), (int(gx) + scale // 2, y1), cloth_color(rng), -1)
            cv2.line(
                texture,
                (left, y1 - scale),
                ((left + right) // 2, y0),
                mixed(glass, (240, 240, 240), 0.5),
                max(scale // 5, 1),
            )
            cv2.rectangle(texture, (left, y0), (right, y1), BLACK, 1)
            if night:
                cv2.rectangle(glow, (left, y0), (right, y1), 255, -1)
        cv2.rectangle(texture, (0, top), (width, top + int(0.65 * scale)), sign, -1)
        for left in range(scale, width - 3 * scale, 5 * scale):
            word = str(rng.choice(_WORDS))
            cv2.putText(
                texture,
                word,
                (left, top + int(0.52 * scale)),
                cv2.FONT_HERSHEY_SIMPLEX,
                scale / 46,
                (245, 240, 225),
                1,
                cv2.LINE_AA,
            )
        if rng.random() < 0.5:
            awning, y = paint_color(rng), top + int(0.7 * scale)
            for k, left in enumerate(range(0, width, scale // 2)):
                tone = awning if k % 2 else (235.0, 232.0, 225.0)
                cv2.rectangle(texture, (left, y), (left + scale // 2, y + int(0.6 * scale)), tone, -1)
    else:
        lit = night and rng.random() < 0.5
        pane = _window(rng, (int(1.1 * scale), int(1.4 * scale)), scaled(masonry_color(rng), 1.1), lit=lit)
        for left in range(scale, width - 2 * scale, int(2.6 * scale)):
            y = top + int(0.9 * scale)
            texture[y : y + pane.shape[0], left : left + pane.shape[1]] = pane
            glow[y : y + pane.shape[0], left : left + pane.shape[1]] = 255 * lit
    door = paint_color(rng)
    cv2.rectangle(texture, (x - 2, height - door_height - 2), (x + door_width + 2, height), scaled(door, 0.5), -1)
    cv2.rectangle(texture, (x, height - door_height), (x + door_width, height), door, -1)
    cv2.rectangle(
        texture,
        (x + 3, height - door_height + 3),
        (x + door_width - 3, height - int(1.2 * scale)),
        scaled(door, 0.6),
        -1,
    )
    glow[height - door_height :, x : x + door_width] = 0
