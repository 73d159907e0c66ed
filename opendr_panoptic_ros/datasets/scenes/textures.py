"""Textures painted once per scene: facades, walls, fences, hedges (panels), crowns of trees and bushes (cut-outs)."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.datasets.scenes.palette import BLACK, Rgb, cloth, hsv, leaf, masonry, mixed, paint, scaled

Texture = NDArray[np.uint8]
_WORDS = ("CAFE", "HOTEL", "BOOKS", "MARKT", "BAR", "PIZZA", "BANK", "TEE", "OPTIK", "SHOP", "BLUMEN", "KINO")


def noise(rng: np.random.Generator, height: int, width: int, cell: int) -> NDArray[np.float32]:
    """Smooth noise of about ±1 with features `cell` pixels wide."""
    coarse = rng.standard_normal((height // cell + 2, width // cell + 2), np.float32)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def _plain(rng: np.random.Generator, height: int, width: int, color: Rgb, grain: float = 5.0) -> Texture:
    stains = noise(rng, height, width, 12) * grain * 0.8 + noise(rng, height, width, 2) * grain * 0.6
    return np.clip(np.asarray(color, np.float32) + stains[..., None], 0, 255).astype(np.uint8)


def _bricks(rng: np.random.Generator, texture: Texture, color: Rgb, row_px: int, brick_px: int) -> None:
    """Joints, and single bricks of another tone."""
    height, width = texture.shape[:2]
    rows, columns = height // row_px + 1, width // brick_px + 2
    tones = np.repeat(np.repeat(rng.normal(0, 9, (rows, columns)), row_px, 0), brick_px, 1)[:height, : width + brick_px]
    shift = (np.arange(height) // row_px % 2) * (brick_px // 2)
    columns_at = np.arange(width)[None] + shift[:, None]
    shaded = texture + tones[np.arange(height)[:, None], columns_at][..., None]
    joint = (np.arange(height) % row_px == 0)[:, None] | (columns_at % brick_px == 0)
    shaded[joint] = np.asarray(color) * 0.72 + 25
    texture[:] = np.clip(shaded, 0, 255)


def facade(
    rng: np.random.Generator, width_m: float, height_m: float, *, scale: int = 14, night: bool, shop: bool | None = None
) -> tuple[Texture, Texture]:
    """A house front of `scale` pixels per metre, and where it shines by itself: windows, a door, at times a shop."""
    height, width = int(height_m * scale), int(width_m * scale)
    color = masonry(rng)
    texture = _plain(rng, height, width, color)
    style = rng.random()
    if style < 0.3:
        _bricks(rng, texture, color, max(scale // 4, 3), max(scale // 2, 6))
    elif style < 0.45:
        for y in range(0, height, scale):
            texture[y] = np.asarray(scaled(color, 0.85), np.uint8)
    glow = np.zeros((height, width), np.uint8)
    storey = int(rng.uniform(2.8, 3.5) * scale)
    pitch = int(rng.uniform(1.9, 3.4) * scale)
    if rng.random() < 0.12:
        pitch = int(1.5 * scale)
    ww, wh = int(pitch * rng.uniform(0.42, 0.68)), int(storey * rng.uniform(0.45, 0.66))
    frame, trim = scaled(masonry(rng), 1.1), scaled(color, rng.choice([0.7, 1.25]))
    panes = [_window(rng, ww, wh, frame, night=night) for _ in range(5)]
    shutters = paint(rng) if rng.random() < 0.2 else None
    balcony = rng.random() < 0.2
    ground_floor = int(1.1 * storey)
    margin = (width - (width // pitch) * pitch) // 2 + (pitch - ww) // 2
    for top in range(height - ground_floor - storey + (storey - wh) // 2, -1, -storey):
        if top < scale // 4:
            break
        for left in range(margin, width - ww, pitch):
            pane, lit = panes[int(rng.integers(5))]
            if shutters is not None:
                cv2.rectangle(texture, (left - ww // 3, top), (left + ww + ww // 3, top + wh), shutters, -1)
            cv2.rectangle(texture, (left - 2, top - 2), (left + ww + 1, top + wh + 1), trim, 2)
            texture[top : top + wh, left : left + ww] = pane
            glow[top : top + wh, left : left + ww] = lit
            cv2.rectangle(texture, (left - 2, top + wh), (left + ww + 1, top + wh + 2), scaled(trim, 1.2), -1)
            if balcony and rng.random() < 0.7:
                cv2.rectangle(
                    texture, (left - 4, top + wh - wh // 3), (left + ww + 3, top + wh + 3), scaled(trim, 0.6), 1
                )
                cv2.rectangle(texture, (left - 4, top + wh + 2), (left + ww + 3, top + wh + 4), scaled(color, 0.6), -1)
                for x in range(left - 4, left + ww + 4, 3):
                    cv2.line(texture, (x, top + wh - wh // 3), (x, top + wh + 2), scaled(trim, 0.6), 1)
        if style > 0.6:
            cv2.rectangle(texture, (0, top + wh + storey // 5), (width, top + wh + storey // 5 + 2), trim, -1)
    _ground_floor(
        rng, texture, glow, ground_floor, scale, shop=rng.random() < 0.5 if shop is None else shop, night=night
    )
    cv2.rectangle(texture, (0, 0), (width, max(scale // 3, 2)), scaled(color, 0.75), -1)
    cv2.rectangle(texture, (0, height - scale // 2), (width, height), scaled(color, 0.65), -1)
    return texture, glow


def _window(rng: np.random.Generator, width: int, height: int, frame: Rgb, *, night: bool) -> tuple[Texture, Texture]:
    lit = rng.random() < (0.45 if night else 0.04)
    glass = (
        hsv(rng.uniform(0.09, 0.14), rng.uniform(0.3, 0.6), 0.95)
        if lit
        else hsv(rng.uniform(0.52, 0.66), 0.25, rng.uniform(0.15, 0.55))
    )
    fade = np.linspace(1.25, 0.75, height)[:, None, None]
    pane = np.clip(np.asarray(glass) * fade * np.ones((1, width, 1)), 0, 255).astype(np.uint8)
    if rng.random() < 0.4:  # a curtain or blind
        cv2.rectangle(pane, (0, 0), (width, int(height * rng.uniform(0.2, 0.8))), scaled(cloth(rng), 1.2), -1)
    if width > 6:
        cv2.line(pane, (0, height // 2), (width // 2, 0), mixed(glass, (230, 235, 240), 0.4), max(width // 8, 1))
    cv2.line(pane, (width // 2, 0), (width // 2, height), frame, 1)
    if height > 12:
        cv2.line(pane, (0, height // 3), (width, height // 3), frame, 1)
    cv2.rectangle(pane, (0, 0), (width - 1, height - 1), frame, 1)
    return pane, np.full((height, width), 255 if lit and night else 0, np.uint8)


def _ground_floor(
    rng: np.random.Generator, texture: Texture, glow: Texture, floor_px: int, scale: int, *, shop: bool, night: bool
) -> None:
    height, width = texture.shape[:2]
    top = height - floor_px
    door_width, door_height = int(1.2 * scale), int(2.3 * scale)
    x = int(rng.uniform(0.1, 0.8) * max(width - door_width, 1))
    if shop:
        cv2.rectangle(texture, (0, top), (width, height), scaled(masonry(rng), 0.7), -1)
        sign, glass = paint(rng), hsv(rng.uniform(0.08, 0.6), 0.3, rng.uniform(0.35, 0.8))
        step = int(rng.uniform(2.5, 4.5) * scale)
        for left in range(scale // 3, width - scale, step):
            right = min(left + step - scale // 3, width - scale // 3)
            y0, y1 = top + int(0.75 * scale), height - scale // 2
            cv2.rectangle(texture, (left, y0), (right, y1), glass, -1)
            for _ in range(6):  # goods
                gx, gy = rng.integers(left, max(right - scale // 2, left + 1)), rng.integers((y0 + y1) // 2, y1)
                cv2.rectangle(texture, (int(gx), int(gy)), (int(gx) + scale // 2, y1), cloth(rng), -1)
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
            awning, y = paint(rng), top + int(0.7 * scale)
            for k, left in enumerate(range(0, width, scale // 2)):
                tone = awning if k % 2 else (235.0, 232.0, 225.0)
                cv2.rectangle(texture, (left, y), (left + scale // 2, y + int(0.6 * scale)), tone, -1)
    else:
        panes = _window(rng, int(1.1 * scale), int(1.4 * scale), scaled(masonry(rng), 1.1), night=night)
        for left in range(scale, width - 2 * scale, int(2.6 * scale)):
            y = top + int(0.9 * scale)
            texture[y : y + panes[0].shape[0], left : left + panes[0].shape[1]] = panes[0]
            glow[y : y + panes[1].shape[0], left : left + panes[1].shape[1]] = panes[1]
    door = paint(rng)
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


def wall(rng: np.random.Generator, width_m: float, height_m: float, color: Rgb, *, scale: int = 24) -> Texture:
    """A garden wall, noise barrier or concrete wall with a coping, at times with graffiti."""
    height, width = max(int(height_m * scale), 8), int(width_m * scale)
    texture = _plain(rng, height, width, color, 7.0)
    kind = rng.random()
    if kind < 0.4:
        _bricks(rng, texture, color, max(scale // 7, 3), max(scale // 4, 5))
    elif kind < 0.65:
        _bricks(rng, texture, color, scale // 3, int(0.6 * scale))
    else:
        for x in range(0, width, int(rng.uniform(1.5, 3.0) * scale)):
            cv2.line(texture, (x, 0), (x, height), scaled(color, 0.65), 2)
    if rng.random() < 0.3:
        for _ in range(int(rng.integers(1, 5))):
            points = rng.uniform((0, 0.3), (width, 0.95), (5, 2)) * (1, height)
            points[:, 0] = points[0, 0] + (points[:, 0] - points[0, 0]) * 1.5 * scale / width
            cv2.polylines(texture, [points.astype(np.int32)], False, paint(rng), max(scale // 7, 2), cv2.LINE_AA)
    fade = np.linspace(1.06, 0.8, height)[:, None, None]
    texture = np.clip(texture * fade, 0, 255).astype(np.uint8)
    cv2.rectangle(texture, (0, 0), (width, max(height // 12, 2)), scaled(color, rng.choice([0.7, 1.25])), -1)
    return texture


def fence(rng: np.random.Generator, width_m: float, height_m: float, *, scale: int = 30) -> Texture:
    """A fence as RGBA: palings, railings, wire mesh or a guard rail; one looks through its gaps."""
    height, width = max(int(height_m * scale), 10), int(width_m * scale)
    color = paint(rng) if rng.random() < 0.4 else scaled(masonry(rng), rng.uniform(0.5, 1.1))
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
    """A clipped hedge."""
    return _leaves(rng, int(height_m * scale), int(width_m * scale), leaf(rng), 3.0)[..., :3]


def _leaves(rng: np.random.Generator, height: int, width: int, color: Rgb, grain: float) -> Texture:
    tone = (
        noise(rng, height, width, 9) * 0.14 + noise(rng, height, width, 4) * 0.16 + noise(rng, height, width, 1) * 0.12
    )
    tone = tone + np.linspace(1.15, 0.75, height, dtype=np.float32)[:, None]
    texture = np.empty((height, width, 4), np.uint8)
    texture[..., :3] = np.clip(np.asarray(color, np.float32) * tone[..., None] + grain, 0, 255)
    texture[..., 3] = 255
    return texture


def crown(rng: np.random.Generator, kind: str, size: int = 160) -> Texture:
    """The crown of a tree, "round", "tall" or "conifer", or a "bush", as an RGBA cut-out."""
    color = leaf(rng)
    mask, light = np.zeros((size, size), np.uint8), np.full((size, size), 0.55, np.float32)
    count = 26 if kind == "conifer" else 44
    for k in range(count):
        share = (k + 0.5) / count
        if kind == "conifer":
            y = 0.08 + 0.9 * share
            x, radius = 0.5 + rng.uniform(-0.36, 0.36) * share, 0.05 + 0.09 * share
        else:
            angle, spread = rng.uniform(0, 2 * np.pi), np.sqrt(rng.random())
            width, tall = {"tall": (0.24, 0.38), "bush": (0.4, 0.3)}.get(kind, (0.36, 0.36))
            x, y = (
                0.5 + width * spread * np.cos(angle),
                (0.66 if kind == "bush" else 0.5) + tall * spread * np.sin(angle),
            )
            radius = rng.uniform(0.06, 0.13)
            if kind == "bush":
                y = min(y, 0.97)
        center, r = (int(x * size), int(y * size)), max(int(radius * size), 2)
        cv2.circle(mask, center, r, 255, -1)
        cv2.circle(light, center, r, float(np.clip(1.3 - 0.6 * y + rng.normal(0, 0.1), 0.5, 1.5)), -1)
    light = cv2.GaussianBlur(light, (0, 0), size / 60)
    soft = cv2.GaussianBlur(mask, (0, 0), size / 45).astype(np.float32)
    ragged = soft + 60 * noise(rng, size, size, 4) * np.minimum(soft / 90, 1)
    texture = _leaves(rng, size, size, color, 0.0)
    texture[..., :3] = np.clip(texture[..., :3] * light[..., None], 0, 255)
    texture[..., 3] = np.clip((ragged - 100) * 6, 0, 255)
    return texture
