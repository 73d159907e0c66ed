# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Effects of precipitation, optics, sensor and codec on the finished image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.synthetic.render.arrays import Float32Array, PixelArray


@dataclass(frozen=True)
class Lens:
    """Optics, sensor and codec of one camera. Lengths are fractions of the image height.

    Attributes:
        distortion: Radial distortion at the corners; positive for barrel, negative for pincushion distortion.
        vignette: Loss of light towards the corners, 0 to 1.
        blur: Standard deviation of the defocus.
        motion: Length of the horizontal motion blur.
        gain: White balance as a factor per colour channel.
        gamma: Exponent of the tone curve.
        brightness: Mean grey value that the automatic exposure aims at, 0 to 255.
        noise: Standard deviation of the sensor noise in grey values.
        jpeg_quality: Quality of the JPEG compression, 1 to 100; 0 for none.
        precipitation: "", "rain" or "snow".
        drops: Number of drops on the lens.
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
    precipitation: str
    drops: int

    @classmethod
    def random(cls, rng: np.random.Generator, precipitation: str, *, is_night: bool) -> Lens:
        """Return a random lens; most of them are good.

        Args:
            rng: Random number generator.
            precipitation: "", "rain" or "snow".
            is_night: Whether the scene is at night: the exposure is lower.
        """
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
            precipitation=precipitation,
            drops=int(rng.integers(3, 12)) if precipitation == "rain" and rng.random() < 0.3 else 0,
        )

    def distort(self, image: PixelArray, ids: NDArray[np.int32]) -> tuple[PixelArray, NDArray[np.int32]]:
        """Return image and segment ids with the radial distortion of the lens; ids by nearest neighbour.

        Args:
            image: `(H, W, 3)` uint8.
            ids: `(H, W)` int32 segment ids.
        """
        if not self.bends:
            return image, ids
        map_x, map_y = self._maps(*ids.shape)
        bent = cv2.remap(image, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return bent, self.distort_map(ids)

    @property
    def bends(self) -> bool:
        """Whether the lens has a radial distortion."""
        return abs(self.distortion) >= 1e-3

    def distort_map(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return ids or depths with the radial distortion of the lens, by nearest neighbour.

        Args:
            values: `(H, W)` of any type.
        """
        if not self.bends:
            return values
        height, width = values.shape
        map_x, map_y = self._maps(height, width)
        rows, columns = np.rint(map_y).astype(np.intp), np.rint(map_x).astype(np.intp)
        return values[np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)]

    def radial_coefficients(self, focal_px: float, height: int, width: int) -> tuple[float, NDArray[np.float64]]:
        """Return the distortion in the model plumb_bob.

        Args:
            focal_px: Focal length without the lens, in pixels.
            height: Height of the image in pixels.
            width: Width of the image in pixels.

        Returns:
            The focal length at the centre of the image in pixels; and k1, k2 and k3, fitted to better than 0.1 px.
        """
        if not self.bends:
            return focal_px, np.zeros(3)
        zoom = max(1.0, 1 + self.distortion)
        bent = np.linspace(0.01, 1.0, 200)  # radius in the image, as a share of that of the corners
        straight = bent * (1 + self.distortion * bent**2) / zoom
        corner = 0.5 * np.hypot(width, height)
        slope = straight * corner / focal_px
        growth = bent / straight / zoom - 1
        # Weighted by the radius, so that the error in pixels is minimised.
        powers = np.stack([slope**2, slope**4, slope**6], axis=1) * straight[:, None]
        k, *_ = np.linalg.lstsq(powers, growth * straight, rcond=None)
        return focal_px * zoom, np.asarray(k, np.float64)

    def _maps(self, height: int, width: int) -> tuple[Float32Array, Float32Array]:
        """Return x and y of each pixel in the image without distortion, in OpenCV's coordinates."""
        x = (np.arange(width, dtype=np.float32) + 0.5 - 0.5 * width)[None]
        y = (np.arange(height, dtype=np.float32) + 0.5 - 0.5 * height)[:, None]
        r2 = (x * x + y * y) / (0.25 * (width * width + height * height))
        k = np.float32(self.distortion)
        factor = (1 + k * r2) / max(1.0, 1 + self.distortion)
        map_x = (x * factor + (0.5 * width - 0.5)).astype(np.float32)
        map_y = (y * factor + (0.5 * height - 0.5)).astype(np.float32)
        return map_x, map_y

    def expose(self, image: PixelArray, rng: np.random.Generator) -> PixelArray:
        """Return the image as the camera outputs it, `(H, W, 3)` uint8. The geometry does not change.

        Args:
            image: `(H, W, 3)` uint8.
            rng: Random number generator for noise, precipitation and drops.
        """
        height, width = image.shape[:2]
        if self.precipitation:
            image = _add_precipitation(image, self.precipitation, rng)
        if self.motion > 0:
            length = max(int(self.motion * height) | 1, 1)
            image = cv2.blur(image, (length, 1))
        if self.blur * height > 0.25:
            image = cv2.GaussianBlur(image, (0, 0), self.blur * height)
        for _ in range(self.drops):
            _add_drop(image, rng)
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


def _add_precipitation(image: PixelArray, kind: str, rng: np.random.Generator) -> PixelArray:
    """Return the image with rain streaks or snow flakes in the foreground."""
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


def _add_drop(image: PixelArray, rng: np.random.Generator) -> None:
    """Add a drop on the lens in place: a small disc that shows the image blurred and upside down."""
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
