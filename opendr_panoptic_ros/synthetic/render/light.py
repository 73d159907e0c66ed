# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Sun, ambient light and haze."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from opendr_panoptic_ros.synthetic.render.arrays import FloatArray
from opendr_panoptic_ros.synthetic.render.palette import hsv, mixed


@dataclass(frozen=True)
class Light:
    """The light of a scene.

    Attributes:
        to_sun: Unit vector to the sun in world axes.
        sun_rgb: Strength of direct light as a factor per colour channel.
        ambient_rgb: Strength of ambient light as a factor per colour channel.
        shadow: Share of light that shadows remove from the ground, 0 to 1.
        haze_rgb: Colour of the haze and of the sky at the horizon, 0 to 255.
        haze_distance_m: Distance at which haze hides 63 % of an object.
        zenith_rgb: Colour of the sky at the zenith, 0 to 255.
        cloudiness: Share of clouds, 0 to 1.
        is_night: Whether windows and lamps are lit.
        wetness: How strongly the road reflects, 0 to 1.
        snow: Share of snow on the ground, 0 to 1.
    """

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
        """Return the factors by which light scales the colours of faces.

        Args:
            normals: `(..., 3)` outward unit normals in world axes.

        Returns:
            `(..., 3)` factors per colour channel.
        """
        facing = np.maximum(normals @ np.asarray(self.to_sun), 0.0)
        sky = 0.85 + 0.15 * normals[..., 1]  # faces that look up get more light from the sky
        return np.asarray(self.ambient_rgb) * sky[..., None] + np.asarray(self.sun_rgb) * facing[..., None]

    def through_haze(self, colors: FloatArray, depth_m: FloatArray) -> FloatArray:
        """Return colours as seen from a distance.

        Args:
            colors: `(..., 3)` RGB, 0 to 255.
            depth_m: `(...)` distances in metres.
        """
        clear = np.exp(-np.maximum(depth_m, 0.0) / self.haze_distance_m)[..., None]
        return colors * clear + np.asarray(self.haze_rgb) * (1.0 - clear)


def draw_light(rng: np.random.Generator) -> tuple[Light, str]:
    """Return the light of a random time of day and weather, and the precipitation: "", "rain" or "snow".

    Args:
        rng: Random number generator.
    """
    hour = str(rng.choice(["clear", "cloudy", "dusk", "fog", "night"], p=[0.38, 0.32, 0.12, 0.07, 0.11]))
    elevation = rng.uniform(0.1, 0.3) if hour == "dusk" else rng.uniform(0.45, 1.1)
    azimuth = rng.uniform(0, 2 * np.pi)
    to_sun = (
        float(np.cos(elevation) * np.sin(azimuth)),
        float(np.sin(elevation)),
        float(np.cos(elevation) * np.cos(azimuth)),
    )
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
        shadow=shadow,
        haze_rgb=haze,
        haze_distance_m=distance,
        zenith_rgb=zenith,
        cloudiness=clouds,
        is_night=hour == "night",
        wetness=wet,
        snow=snow,
    )
    return light, precipitation
