# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Weather and lens: the light of a scene, and what air, optics, sensor and codec do to the finished picture."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.synthetic.render.camera import Light, Picture
from opendr_panoptic_ros.synthetic.render.palette import hsv, mixed


def draw_light(rng: np.random.Generator) -> tuple[Light, str]:
    """The light of a random hour, and what falls: "", "rain" or "snow"."""
    hour = str(rng.choice(["clear", "cloudy", "dusk", "fog", "night"], p=[0.38, 0.32, 0.12, 0.07, 0.11]))
    elevation = rng.uniform(0.1, 0.3) if hour == "dusk" else rng.uniform(0.45, 1.1)
    azimuth = rng.uniform(0, 2 * np.pi)
    to_sun = (
        float(np.cos(elevation) * np.sin(azimuth)), float(np.sin(elevation)), float(np.cos(elevation) * np.cos(azimuth))
    )  # fmt: skip
    falling = ""
    if hour in ("cloudy", "night", "fog") and rng.random() < 0.35:
        falling = "snow" if rng.random() < 0.25 else "rain"
    snow = rng.uniform(0.5, 1.0) if falling == "snow" else (0.6 if rng.random() < 0.02 else 0.0)
    wet = rng.uniform(0.4, 1.0) if falling == "rain" else (rng.uniform(0, 0.5) if rng.random() < 0.15 else 0.0)
    grey = rng.uniform(0.7, 0.95)
    if hour == "clear":
        sun, ambient, shadow = rng.uniform(0.45, 0.7), rng.uniform(0.5, 0.68), rng.uniform(0.35, 0.55)
        zenith, haze = (
            hsv(rng.uniform(0.55, 0.61), rng.uniform(0.4, 0.7), rng.uniform(0.7, 0.95)),
            hsv(0.57, 0.15, 0.93),
        )
        tint, clouds, distance = (1.0, 0.96, 0.88), rng.uniform(0.1, 0.6), rng.uniform(150, 500)
    elif hour == "dusk":
        sun, ambient, shadow = rng.uniform(0.4, 0.6), rng.uniform(0.4, 0.55), rng.uniform(0.25, 0.45)
        zenith, haze = (
            hsv(rng.uniform(0.58, 0.72), 0.45, rng.uniform(0.4, 0.65)),
            hsv(rng.uniform(0.02, 0.1), 0.5, 0.92),
        )
        tint, clouds, distance = (1.0, 0.82, 0.62), rng.uniform(0.2, 0.6), rng.uniform(100, 300)
    elif hour == "night":
        sun, ambient, shadow = 0.05, rng.uniform(0.28, 0.42), 0.0
        zenith, haze = (
            hsv(0.63, 0.5, rng.uniform(0.06, 0.16)),
            hsv(rng.uniform(0.05, 0.65), 0.3, rng.uniform(0.12, 0.26)),
        )
        tint, clouds, distance = (0.85, 0.9, 1.1), rng.uniform(0.1, 0.7), rng.uniform(120, 300)
    else:
        sun, ambient, shadow = rng.uniform(0.1, 0.2), rng.uniform(0.7, 0.88), rng.uniform(0.0, 0.12)
        zenith, haze = hsv(0.6, rng.uniform(0, 0.15), grey * 0.9), hsv(0.6, 0.03, grey)
        tint, clouds = (1.0, 0.99, 0.97), rng.uniform(0.5, 0.95)
        distance = rng.uniform(28, 60) if hour == "fog" else rng.uniform(90, 350)
    cool = mixed((1.0, 1.0, 1.0), (0.9, 0.98, 1.1), rng.random() if hour != "dusk" else 0.0)
    light = Light(
        to_sun=to_sun,
        sun_rgb=tuple(sun * c for c in tint),  # type: ignore[arg-type]
        ambient_rgb=tuple(ambient * c for c in cool),  # type: ignore[arg-type]
        shadow=shadow, haze_rgb=haze, haze_distance_m=distance, zenith_rgb=zenith, cloudiness=clouds,
        is_night=hour == "night", wetness=wet, snow=snow,
    )  # fmt: skip
    return light, falling


@dataclass(frozen=True)
class Lens:
    """Optics, sensor and codec of one camera. Lengths are fractions of the picture's height.

    brightness: the mean grey value, 0-255, that the automatic exposure aims at.
    """

    distortion: float
    vignette: float
    blur: float
    motion: float
    gain: tuple[float, float, float]
    gamma: float
    brightness: float
    noise: float
    jpeg_quality: int
    falling: str
    drops: int

    @classmethod
    def random(cls, rng: np.random.Generator, falling: str, *, is_night: bool) -> Lens:
        """Any camera, most of them good."""
        gain = rng.normal(1.0, 0.05) * np.exp(rng.normal(0, 0.035, 3))
        return cls(
            distortion=float(rng.uniform(-0.07, 0.14)) if rng.random() < 0.6 else 0.0,
            vignette=float(rng.uniform(0, 0.4)),
            blur=float(rng.uniform(0.0, 0.0032)) if rng.random() < 0.7 else 0.0,
            motion=float(rng.uniform(0.006, 0.022)) if rng.random() < 0.12 else 0.0,
            gain=(float(gain[0]), float(gain[1]), float(gain[2])),
            gamma=float(np.exp(rng.normal(0, 0.1))),
            brightness=float(rng.uniform(48, 78) if is_night else rng.uniform(88, 132)),
            noise=float(rng.uniform(0, 6) if rng.random() < 0.8 else rng.uniform(6, 14)),
            jpeg_quality=int(rng.integers(45, 96)) if rng.random() < 0.7 else 0,
            falling=falling,
            drops=int(rng.integers(3, 12)) if falling == "rain" and rng.random() < 0.3 else 0,
        )

    def bend(self, image: Picture, ids: NDArray[np.int32]) -> tuple[Picture, NDArray[np.int32]]:
        """Picture and truth through the distorting lens; the truth by nearest neighbour."""
        if abs(self.distortion) < 1e-3:
            return image, ids
        height, width = ids.shape
        x = (np.arange(width, dtype=np.float32) + 0.5 - 0.5 * width)[None]
        y = (np.arange(height, dtype=np.float32) + 0.5 - 0.5 * height)[:, None]
        r2 = (x * x + y * y) / (0.25 * (width * width + height * height))
        k = np.float32(self.distortion)
        factor = (1 + k * r2) / max(1.0, 1 + self.distortion)
        map_x = (x * factor + (0.5 * width - 0.5)).astype(np.float32)
        map_y = (y * factor + (0.5 * height - 0.5)).astype(np.float32)
        bent = cv2.remap(image, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        rows, columns = np.rint(map_y).astype(np.intp), np.rint(map_x).astype(np.intp)
        return bent, ids[np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)]

    def expose(self, image: Picture, rng: np.random.Generator) -> Picture:
        """The picture as it leaves the camera. The truth is not touched."""
        height, width = image.shape[:2]
        if self.falling:
            image = _falling(image, self.falling, rng)
        if self.motion > 0:
            length = max(int(self.motion * height) | 1, 1)
            image = cv2.blur(image, (length, 1))
        if self.blur * height > 0.25:
            image = cv2.GaussianBlur(image, (0, 0), self.blur * height)
        for _ in range(self.drops):
            _drop(image, rng)
        exposure = np.clip((self.brightness / max(float(image.mean()), 1.0)) ** 0.8, 0.75, 2.4)
        levels = np.linspace(0, 1, 256)[:, None] ** self.gamma * np.asarray(self.gain) * exposure
        levels = 255 * np.where(levels > 0.8, 1 - 0.2 * np.exp(-(levels - 0.8) / 0.2), levels)  # film-like shoulder
        image = cv2.LUT(image, np.clip(levels, 0, 255).astype(np.uint8)[None])
        y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
        x = np.linspace(-1, 1, width, dtype=np.float32)[None]
        shading = 1 - np.float32(self.vignette * 0.5) * (x * x + y * y)
        values = image.astype(np.float32) * shading[..., None]
        values += rng.standard_normal(image.shape, np.float32) * np.float32(self.noise)
        image = np.clip(values, 0, 255).astype(np.uint8)
        if self.jpeg_quality:
            _, code = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, self.jpeg_quality])
            image = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), np.uint8)
        return image


def _falling(image: Picture, kind: str, rng: np.random.Generator) -> Picture:
    """Rain streaks or snow flakes before the scene."""
    height, width = image.shape[:2]
    layer = image.copy()
    unit, count = height / 256, int(rng.integers(60, 180))
    slant = rng.uniform(-0.3, 0.3)
    for x, y, size in rng.random((count, 3)):
        point = (int(x * width), int(y * height))
        if kind == "snow":
            cv2.circle(layer, point, max(round((0.6 + 1.4 * size) * unit), 1), (240, 242, 246), -1, cv2.LINE_AA)
        else:
            length = (6 + 16 * size) * unit
            end = (int(point[0] + slant * length), int(point[1] + length))
            cv2.line(layer, point, end, (205, 210, 218), 1, cv2.LINE_AA)
    return cv2.addWeighted(image, 0.55 if kind == "rain" else 0.3, layer, 0.45 if kind == "rain" else 0.7, 0)


def _drop(image: Picture, rng: np.random.Generator) -> None:
    """A drop on the lens: a small disc of blurred picture, upside down."""
    height, width = image.shape[:2]
    r = max(int(rng.uniform(0.015, 0.035) * height), 2)
    if min(height, width) < 4 * r:
        return
    x, y = int(rng.integers(r, width - r)), int(rng.integers(r, height - r))
    view = image[y - r : y + r, x - r : x + r]
    inside = cv2.GaussianBlur(view[::-1], (0, 0), r / 3)
    disc = np.zeros((2 * r, 2 * r), np.float32)
    cv2.circle(disc, (r, r), r - 1, 0.8, -1, cv2.LINE_AA)
    soft = cv2.GaussianBlur(disc, (0, 0), 1)[..., None]
    view[:] = (view * (1 - soft) + inside * soft).astype(np.uint8)


def reflect(image: Picture, is_wet: NDArray[np.bool_], horizon_px: float, strength: float) -> None:
    """Mirror what stands above the horizon in wet ground, in place."""
    height = len(image)
    rows = np.clip(np.rint(2 * horizon_px - np.arange(height)), 0, height - 1).astype(np.intp)
    mirrored = cv2.blur(image[rows], (3, max(height // 20, 1)))
    mixed_picture = cv2.addWeighted(image, 1 - 0.35 * strength, mirrored, 0.35 * strength, 0)
    cv2.copyTo(mixed_picture, is_wet.astype(np.uint8), image)
