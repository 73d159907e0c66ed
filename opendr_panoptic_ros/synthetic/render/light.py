# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Light: sun, ambient light and haze of a random time of day and weather."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from opendr_panoptic_ros.synthetic.render.arrays import FloatArray
from opendr_panoptic_ros.synthetic.render.palette import hsv, mixed


@dataclass(frozen=True)
class Light:
    """Where light comes from. Colours are factors or RGB 0-255; haze hides 63 % at `haze_distance_m`."""

    to_sun: tuple[float, float, float]
    sun_rgb: tuple[float, float, float]
    ambient_rgb: tuple[float, float, float]
    shadow: float
    haze_rgb: tuple[float, float, float]
    haze_distance_m: float
    zenith_rgb: tuple[float, float, float]
    cloudiness: float
    is_night: bool = False
    wetness: float = 0.0
    snow: float = 0.0

    def shade(self, normals: FloatArray) -> FloatArray:
        """`(..., 3)` factors for the albedo of faces with these outward normals."""
        facing = np.maximum(normals @ np.asarray(self.to_sun), 0.0)
        sky = 0.85 + 0.15 * normals[..., 1]  # what faces up sees more of the sky
        return np.asarray(self.ambient_rgb) * sky[..., None] + np.asarray(self.sun_rgb) * facing[..., None]

    def through_haze(self, colors: FloatArray, depth_m: FloatArray) -> FloatArray:
        """`(..., 3)` colours as seen from that distance."""
        clear = np.exp(-np.maximum(depth_m, 0.0) / self.haze_distance_m)[..., None]
        return colors * clear + np.asarray(self.haze_rgb) * (1.0 - clear)


def draw_light(rng: np.random.Generator) -> tuple[Light, str]:
    """The light of a random hour, and what falls: "", "rain" or "snow"."""
    hour = str(rng.choice(["clear", "cloudy", "dusk", "fog", "night"], p=[0.38, 0.32, 0.12, 0.07, 0.11]))
    elevation = rng.uniform(0.1, 0.3) if hour == "dusk" else rng.uniform(0.45, 1.1)
    azimuth = rng.uniform(0, 2 * np.pi)
    to_sun = (
        float(np.cos(elevation) * np.sin(azimuth)), float(np.sin(elevation)), float(np.cos(elevation) * np.cos(azimuth))
    )  # fmt: skip
    precipitation = ""
    if hour in ("cloudy", "night", "fog") and rng.random() < 0.35:
        precipitation = "snow" if rng.random() < 0.25 else "rain"
    snow = rng.uniform(0.5, 1.0) if precipitation == "snow" else (0.6 if rng.random() < 0.02 else 0.0)
    wet = rng.uniform(0.4, 1.0) if precipitation == "rain" else (rng.uniform(0, 0.5) if rng.random() < 0.15 else 0.0)
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
    return light, precipitation
