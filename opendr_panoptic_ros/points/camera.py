# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""CameraModel: the projection that a `sensor_msgs/CameraInfo` describes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.errors import ConfigError

_COEFFICIENTS = {"plumb_bob": (0, 4, 5), "rational_polynomial": (8, 12, 14), "equidistant": (4,), "": (0,)}
"""Numbers of distortion coefficients by distortion model of CameraInfo; a camera without a model has none."""


@dataclass(frozen=True, eq=False)
class CameraModel:
    """Intrinsic parameters of a camera.

    Attributes:
        width: Width of its images in px.
        height: Height of its images in px.
        k: Intrinsic matrix of the raw images, `(3, 3)` float64: fx, 0, cx; 0, fy, cy; 0, 0, 1, in px.
        d: Distortion coefficients of the raw images, `(N,)` float64; four zeros if all are 0.
        distortion_model: `plumb_bob`, `rational_polynomial` or `equidistant`; empty for none.
        p: Projection matrix of the rectified images, `(3, 4)` float64; zero where the camera is not calibrated for it.

    Raises:
        ConfigError: The camera is not calibrated, or the distortion is not one of these models.
    """

    width: int
    height: int
    k: NDArray[np.float64]
    d: NDArray[np.float64]
    distortion_model: str
    p: NDArray[np.float64]

    def __post_init__(self) -> None:
        if not (np.isfinite(self.k).all() and self.k[0, 0] > 0 and self.k[1, 1] > 0):
            raise ConfigError(
                f"camera_info has the focal lengths {self.k[0, 0]:g} and {self.k[1, 1]:g}; expected numbers above 0. "
                "Calibrate the camera."
            )
        known = _COEFFICIENTS.get(self.distortion_model)
        if known is None:
            names = ", ".join(filter(None, _COEFFICIENTS))
            raise ConfigError(
                f"camera_info has the distortion model {self.distortion_model[:40]!r}; expected one of {names}."
            )
        if not np.isfinite(self.d).all() or (self.d.any() and len(self.d) not in known):
            raise ConfigError(
                f"camera_info has {len(self.d)} distortion coefficients for {self.distortion_model!r}; expected "
                f"{' or '.join(map(str, known))} finite numbers."
            )
        if not self.d.any():  # OpenCV accepts only some numbers of coefficients, whether they are 0 or not
            object.__setattr__(self, "d", np.zeros(4))

    @classmethod
    def from_message(cls, info: Any) -> CameraModel:
        """Return the model of a CameraInfo message.

        Args:
            info: A `sensor_msgs/CameraInfo`, or any object with its fields.

        Returns:
            The model.

        Raises:
            ConfigError: As the class.
        """
        k, d, p = (np.array(getattr(info, name), np.float64) for name in ("k", "d", "p"))
        return cls(int(info.width), int(info.height), k.reshape(3, 3), d, info.distortion_model, p.reshape(3, 4))

    @property
    def rectified(self) -> tuple[float, float, float, float]:
        """Return fx, fy, cx, cy of the rectified images in px: those of `p`, or of `k` where `p` is zero."""
        matrix = self.p if self.p[0, 0] > 0 else self.k
        return float(matrix[0, 0]), float(matrix[1, 1]), float(matrix[0, 2]), float(matrix[1, 2])

    def slopes(self, u: NDArray[np.float64], v: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the viewing directions of pixels of the raw image.

        Args:
            u: `(W,)` columns in px, where 0 is the centre of the first pixel.
            v: `(H,)` rows in px.

        Returns:
            x / z and y / z, each `(H, W)`.
        """
        pixels = np.stack(np.meshgrid(u, v), axis=-1).reshape(-1, 1, 2)
        criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 40, 1e-7)
        if self.distortion_model == "equidistant" and self.d.any():
            found = cv2.fisheye.undistortPoints(pixels, self.k, self.d, criteria=criteria)
        else:
            iterate: Any = getattr(cv2, "undistortPointsIter", None)  # OpenCV 4; only version 5 has the keyword
            if iterate is None:
                found = cv2.undistortPoints(pixels, self.k, self.d, criteria=criteria)
            else:
                found = iterate(pixels, self.k, self.d, np.eye(3), np.eye(3), criteria)
        x, y = found.astype(np.float32).reshape(len(v), len(u), 2).transpose(2, 0, 1)
        return x, y

    def project(self, points: NDArray[np.floating[Any]]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Project points into the raw image.

        Args:
            points: `(N, 3)` in the optical frame, in metres.

        Returns:
            Image coordinates `(N, 2)` in px, where 0 is the centre of the first pixel, and a mask `(N,)` of the points
            that the camera can see: in front of it, inside the image, and within the field in which the distortion
            model is monotonic. Coordinates of other points are NaN.
        """
        xyz = np.ascontiguousarray(points, np.float64).reshape(-1, 3)
        pixels = np.full((len(xyz), 2), np.nan)
        with np.errstate(invalid="ignore", divide="ignore"):
            is_seen = np.isfinite(xyz).all(axis=1) & (xyz[:, 2] > 0)
            is_seen &= np.hypot(xyz[:, 0], xyz[:, 1]) < self._max_slope * xyz[:, 2]
        if not is_seen.any():
            return pixels, is_seen
        if self.distortion_model == "equidistant" and self.d.any():
            found, _ = cv2.fisheye.projectPoints(xyz[is_seen, None], np.zeros(3), np.zeros(3), self.k, self.d)
        else:
            found, _ = cv2.projectPoints(xyz[is_seen], np.zeros(3), np.zeros(3), self.k, self.d)
        pixels[is_seen] = found.reshape(-1, 2)
        with np.errstate(invalid="ignore"):
            is_seen &= ((pixels >= -0.5) & (pixels < (self.width - 0.5, self.height - 0.5))).all(axis=1)
        pixels[~is_seen] = np.nan
        return pixels, is_seen

    @cached_property
    def _max_slope(self) -> float:
        """Largest tangent of the angle to the optical axis at which the radial distortion still grows.

        Beyond it, the polynomial maps points that are far outside the field of view back into the image.
        """
        slopes = np.tan(np.linspace(0, np.pi / 2, 4097)[1:-1])
        if not self.d.any():
            return float(slopes[-1])
        if self.distortion_model == "equidistant":
            theta = np.arctan(slopes)
            radii = theta * (1 + _polynomial(self.d, theta**2))
        else:
            k = np.zeros(8)
            k[: min(len(self.d), 8)] = self.d[:8]
            squares = slopes**2
            numerator = 1 + _polynomial(k[[0, 1, 4]], squares)
            denominator = 1 + _polynomial(k[5:8], squares)
            with np.errstate(divide="ignore", invalid="ignore"):
                radii = slopes * numerator / denominator
        falls = np.flatnonzero(~(np.diff(radii) > 0))
        return float(slopes[falls[0]] if len(falls) else slopes[-1])


def _polynomial(coefficients: Sequence[float] | NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return c0·x + c1·x² + c2·x³ and so on."""
    result = np.zeros_like(x)
    for coefficient in reversed(list(coefficients)):
        result = (result + coefficient) * x
    return result
