# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Textures: noise, brickwork, walls, fences, hedges, and the crowns of trees and bushes."""

from __future__ import annotations

import math
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.synthetic.render.arrays import PixelArray
from opendr_panoptic_ros.synthetic.render.palette import Rgb, leaf_color, masonry_color, paint_color, scaled
from opendr_panoptic_ros.synthetic.render.rng import rng_for

Texture = PixelArray


def noise(rng: np.random.Generator, height: int, width: int, cell: int) -> NDArray[np.float32]:
    """Return smooth noise of about ±1, `(height, width)` float32.

    Args:
        rng: Random number generator.
        height: Height in pixels.
        width: Width in pixels.
        cell: Size of the features in pixels.
    """
    coarse = rng.standard_normal((height // cell + 2, width // cell + 2), np.float32)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


@cache
def _tile(*cells_and_percents: int) -> Texture:
    """Return `(1024, 1024, 3)` grey noise around 128, of which each texture takes a random part."""
    rng, tile = rng_for(0, 78, *cells_and_percents), np.full((1024, 1024), 128, np.float32)
    for cell, percent in zip(cells_and_percents[::2], cells_and_percents[1::2], strict=True):
        tile = tile + noise(rng, 1024, 1024, cell) * percent
    return cv2.merge([np.clip(tile, 0, 255).astype(np.uint8)] * 3)


def _grained(rng: np.random.Generator, height: int, width: int, tile: Texture, low: Rgb, high: Rgb) -> Texture:
    """Return a random part of a noise tile, its grey values mapped to colours from `low` to `high`."""
    y, x = (int(rng.integers(0, max(1024 - size, 0) + 1)) for size in (height, width))
    part = tile[y : y + height, x : x + width]
    if part.shape[:2] != (height, width):
        part = cv2.resize(part, (width, height))
    shares = np.linspace(0, 1, 256)[:, None]
    table = np.clip(np.asarray(low) * (1 - shares) + np.asarray(high) * shares, 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(part, table[None]), np.uint8)


def plain_wall(rng: np.random.Generator, height: int, width: int, color: Rgb, grain: float = 5.0) -> Texture:
    """Return a wall of one colour with grain and stains, `(height, width, 3)` uint8.

    Args:
        rng: Random number generator.
        height: Height in pixels.
        width: Width in pixels.
        color: RGB, 0 to 255.
        grain: Strength of the grain in grey values.
    """
    low, high = (tuple(c + sign * 4 * grain for c in color) for sign in (-1, 1))
    return _grained(rng, height, width, _tile(12, 26, 2, 20), low, high)  # type: ignore[arg-type]


def paint_bricks(rng: np.random.Generator, texture: Texture, color: Rgb, row_px: int, brick_px: int) -> None:
    """Paint joints and bricks of varying tone on a wall, in place.

    Args:
        rng: Random number generator.
        texture: `(height, width, 3)` uint8.
        color: RGB of the wall, 0 to 255.
        row_px: Height of a row of bricks in pixels.
        brick_px: Length of a brick in pixels.
    """
    height, width = texture.shape[:2]
    tones = rng.normal(1, 0.07, (height // row_px + 1, width // brick_px + 2)).astype(np.float32)
    tones = np.repeat(np.repeat(tones, brick_px, axis=1), row_px, axis=0)
    joint = tuple(c * 0.72 + 25 for c in color)
    for row, top in enumerate(range(0, height, row_px)):
        left = row % 2 * (brick_px // 2)
        strip = tones[top : top + row_px, left : left + width]
        bottom = min(top + row_px, height)
        tones[top:bottom, :width] = strip[: bottom - top]
        texture[top:bottom, brick_px - 1 - left :: brick_px] = joint
    np.copyto(texture, np.minimum(texture * tones[:height, :width, None], 255), casting="unsafe")
    texture[::row_px] = joint


def wall(rng: np.random.Generator, width_m: float, height_m: float, color: Rgb, *, scale: int = 24) -> Texture:
    """Return a garden wall, noise barrier or concrete wall with a coping, sometimes with graffiti, `(h, w, 3)` uint8.

    Args:
        rng: Random number generator.
        width_m: Width in metres.
        height_m: Height in metres.
        color: RGB, 0 to 255.
        scale: Pixels per metre.
    """
    height, width = max(int(height_m * scale), 8), int(width_m * scale)
    texture = plain_wall(rng, height, width, color, 7.0)
    kind = rng.random()
    if kind < 0.4:
        paint_bricks(rng, texture, color, max(scale // 7, 3), max(scale // 4, 5))
    elif kind < 0.65:
        paint_bricks(rng, texture, color, scale // 3, int(0.6 * scale))
    else:
        for x in range(0, width, int(rng.uniform(1.5, 3.0) * scale)):
            cv2.line(texture, (x, 0), (x, height), scaled(color, 0.65), 2)
    if rng.random() < 0.3:
        for _ in range(int(rng.integers(1, 5))):
            points = rng.uniform((0, 0.3), (width, 0.95), (5, 2)) * (1, height)
            points[:, 0] = points[0, 0] + (points[:, 0] - points[0, 0]) * 1.5 * scale / width
            cv2.polylines(texture, [points.astype(np.int32)], False, paint_color(rng), max(scale // 7, 2), cv2.LINE_AA)
    fade = np.linspace(1.06, 0.8, height)[:, None, None]
    texture = np.clip(texture * fade, 0, 255).astype(np.uint8)
    cv2.rectangle(texture, (0, 0), (width, max(height // 12, 2)), scaled(color, rng.choice([0.7, 1.25])), -1)
    return texture


def fence(rng: np.random.Generator, width_m: float, height_m: float, *, scale: int = 30) -> Texture:
    """Return a fence of palings, railings, wire mesh or boards, `(h, w, 4)` uint8 RGBA with transparent gaps.

    Args:
        rng: Random number generator.
        width_m: Width in metres.
        height_m: Height in metres.
        scale: Pixels per metre.
    """
    height, width = max(int(height_m * scale), 10), int(width_m * scale)
    color = paint_color(rng) if rng.random() < 0.4 else scaled(masonry_color(rng), rng.uniform(0.5, 1.1))
    texture = np.zeros((height, width, 4), np.uint8)
    texture[..., :3] = np.asarray(color, np.uint8)
    solid = (*color, 255.0)
    kind = rng.choice(["pales", "rails", "mesh", "boards"], p=[0.4, 0.3, 0.15, 0.15])
    post = int(rng.uniform(1.8, 2.6) * scale)
    if kind == "pales":
        step = int(rng.uniform(0.14, 0.22) * scale)
        for x in range(0, width, step):
            tone = (*scaled(color, rng.uniform(0.85, 1.1)), 255.0)
            cv2.rectangle(texture, (x, 1), (x + int(0.68 * step), height), tone, -1)
    elif kind == "rails":
        step = int(rng.uniform(0.12, 0.18) * scale)
        for x in range(0, width, step):
            cv2.rectangle(texture, (x, 2), (x + max(step // 3, 1), height), solid, -1)
    elif kind == "mesh":
        texture[..., 3] = 70
        for x in range(-height, width, 7):
            cv2.line(texture, (x, 0), (x + height, height), solid, 1)
            cv2.line(texture, (x + height, 0), (x, height), solid, 1)
    else:
        step = int(0.28 * scale)
        for y in range(2, height, step):
            cv2.rectangle(
                texture, (0, y), (width, y + int(0.7 * step)), (*scaled(color, rng.uniform(0.85, 1.1)), 255.0), -1
            )
    dark = (*scaled(color, 0.75), 255.0)
    for y in (height // 7, int(0.8 * height)):
        cv2.rectangle(texture, (0, y), (width, y + max(scale // 12, 2)), dark, -1)
    for x in range(0, width, post):
        cv2.rectangle(texture, (x, 0), (x + max(scale // 8, 2), height), dark, -1)
    return texture


def hedge(rng: np.random.Generator, width_m: float, height_m: float, *, scale: int = 16) -> Texture:
    """Return a clipped hedge, `(h, w, 3)` uint8.

    Args:
        rng: Random number generator.
        width_m: Width in metres.
        height_m: Height in metres.
        scale: Pixels per metre.
    """
    return _leaves(rng, int(height_m * scale), int(width_m * scale), leaf_color(rng))


def _leaves(rng: np.random.Generator, height: int, width: int, color: Rgb) -> Texture:
    """Return a surface of leaves, `(height, width, 3)` uint8."""
    return _grained(rng, height, width, _tile(9, 18, 4, 20, 1, 15), scaled(color, 0.1), scaled(color, 1.9))


def crown(rng: np.random.Generator, kind: str, size: int = 144) -> Texture:
    """Return the crown of a tree or a bush, `(size, size, 4)` uint8 RGBA.

    Args:
        rng: Random number generator.
        kind: "round", "tall", "conifer" or "bush".
        size: Height and width in pixels.
    """
    mask, light = np.zeros((size, size), np.uint8), np.full((size, size), 0.55, np.float32)
    count = 26 if kind == "conifer" else 44
    width, tall = {"tall": (0.24, 0.38), "bush": (0.4, 0.3)}.get(kind, (0.36, 0.36))
    for k, (turn, out, wide, bright) in enumerate(rng.random((count, 4)).tolist()):
        if kind == "conifer":
            share = (k + 0.5) / count
            x, y, radius = 0.5 + (0.72 * turn - 0.36) * share, 0.08 + 0.9 * share, 0.05 + 0.09 * share
        else:
            x, y = 0.5 + width * out**0.5 * math.cos(6.283 * turn), 0.5 + tall * out**0.5 * math.sin(6.283 * turn)
            radius = 0.06 + 0.07 * wide
            if kind == "bush":
                y = min(y + 0.16, 0.97)
        center, r = (int(x * size), int(y * size)), max(int(radius * size), 2)
        cv2.circle(mask, center, r, (255,), -1)
        cv2.circle(light, center, r, (min(max(1.15 - 0.6 * y + 0.3 * bright, 0.5), 1.5),), -1)
    light = np.asarray(cv2.GaussianBlur(light, (0, 0), size / 60), np.float32)
    soft = cv2.GaussianBlur(mask, (0, 0), size / 45).astype(np.float32)
    ragged = soft + 60 * noise(rng, size, size, 4) * np.minimum(soft / 90, 1)
    texture = np.empty((size, size, 4), np.uint8)
    texture[..., :3] = np.clip(_leaves(rng, size, size, leaf_color(rng)) * light[..., None], 0, 255)
    texture[..., 3] = np.clip((ragged - 100) * 6, 0, 255)
    return texture
