# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Canvas: image and segment ids, painted together from far to near; the frontmost object hides the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.synthetic.render.arrays import Float32Array, FloatArray, PixelArray
from opendr_panoptic_ros.synthetic.render.camera import NEAR_M, Camera
from opendr_panoptic_ros.synthetic.render.light import Light
from opendr_panoptic_ros.synthetic.render.mesh import Mesh
from opendr_panoptic_ros.synthetic.render.pose import Pose

_SHIFT = 4  # OpenCV's fixed point: 1/16 pixel
_LEVELS = np.arange(256.0)[:, None]
_TOWARDS_CAMERA = np.array([0.0, 0.5, -0.6])
_FAR_PX = 30000.0  # keeps fixed-point coordinates inside 32 bits


class Canvas:
    """An image and an id map of the same geometry.

    `image` is `(H, W, 3)` uint8 RGB, anti-aliased. `ids` is `(H, W)` int32, not anti-aliased, 0 where nothing was
    painted. `depth_m` is `(H, W)` float32, the depth of what `ids` shows, 0 where it has none; or None.

    Args:
        camera: The camera that sees the scene.
        light: The light of the scene.
        with_depth: Whether to paint the depth too.
    """

    def __init__(self, camera: Camera, light: Light, *, with_depth: bool = False) -> None:
        shape = (camera.height_px, camera.width_px)
        self.camera, self.light = camera, light
        self.image = np.zeros((*shape, 3), np.uint8)
        self.ids = np.zeros(shape, np.int32)
        self.depth_m: Float32Array | None = np.zeros(shape, np.float32) if with_depth else None
        self._contact, self._sun_shadow = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)

    def shaded(self, colors: FloatArray, normals: FloatArray, depth_m: FloatArray) -> FloatArray:
        """Return colours with shading and haze, `(..., 3)` RGB, 0 to 255.

        Args:
            colors: `(..., 3)` RGB, 0 to 255.
            normals: `(..., 3)` outward unit normals in world axes.
            depth_m: `(...)` distances in metres.
        """
        return self.light.through_haze(np.minimum(colors * self.light.shade(normals), 255.0), depth_m)

    def fill_polygon(
        self, pixels: FloatArray, color: Sequence[float], segment_id: int | None, depth_m: float = 0.0
    ) -> None:
        """Fill a polygon in the image and in the id map.

        Args:
            pixels: `(n, 2)` pixel coordinates.
            color: RGB, 0 to 255.
            segment_id: Id of the pixels; None leaves the id map and the depth as they are.
            depth_m: Depth of the pixels in metres; 0 for none.
        """
        points = fixed_point(pixels)
        cv2.fillPoly(self.image, [points], color, cv2.LINE_AA, _SHIFT)
        if segment_id is not None:
            cv2.fillPoly(self.ids, [points], segment_id, cv2.LINE_8, _SHIFT)
            if self.depth_m is not None:
                cv2.fillPoly(self.depth_m, [points], depth_m, cv2.LINE_8, _SHIFT)

    def _fill_depth(self, outline: NDArray[np.int32], corners: FloatArray) -> None:
        """Paint the depth of a flat polygon: 1 / depth is linear in the pixel coordinates.

        Args:
            outline: `(n, 2)` fixed-point pixel coordinates of its corners.
            corners: `(n, 3)` its corners in camera axes.
        """
        if self.depth_m is None:
            return
        height, width = self.depth_m.shape
        pixels = outline / (1 << _SHIFT)
        x0, y0 = np.clip(np.floor(pixels.min(axis=0)).astype(int) - 1, 0, (width, height))
        x1, y1 = np.clip(np.ceil(pixels.max(axis=0)).astype(int) + 2, 0, (width, height))
        if x1 <= x0 or y1 <= y0:
            return
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        cv2.fillPoly(mask, [outline - np.array([x0 << _SHIFT, y0 << _SHIFT], np.int32)], (1,), cv2.LINE_8, _SHIFT)
        after = np.roll(corners, -1, axis=0)
        normal = np.cross(corners, after).sum(axis=0)
        distance = float(normal @ corners.mean(axis=0))
        focal = self.camera.focal_px
        x = (np.arange(x0, x1) + 0.5 - 0.5 * width) / focal
        y = (0.5 * height - 0.5 - np.arange(y0, y1)) / focal
        near, far = corners[:, 2].min(), corners[:, 2].max()
        if abs(distance) > 1e-9:
            inverse = (normal[0] * x + (normal[1] * y + normal[2])[:, None]) / distance
            depth = 1 / np.clip(inverse, 1 / far, 1 / near)
        else:  # seen exactly from the side
            depth = np.full(mask.shape, corners[:, 2].mean())
        cv2.copyTo(depth.astype(np.float32), mask, self.depth_m[y0:y1, x0:x1])

    def draw_mesh(self, mesh: Mesh, pose: Pose, ids: Sequence[int], *, haze: bool = True) -> None:
        """Draw the faces of a mesh that face the camera, in their order.

        Args:
            mesh: The mesh.
            pose: Where it stands.
            ids: Segment id of each slot of the mesh.
            haze: Whether haze is applied.
        """
        camera = self.camera
        points = camera.to_camera(pose.to_world(mesh.vertices))
        first = mesh.starts[:-1]
        normals = pose.turn(mesh.normals)
        facing = np.einsum("ij,ij->i", normals @ camera.rotation.T, points[first]) < 0
        ahead = points[:, 2] > NEAR_M
        count_ahead = np.add.reduceat(ahead, first, dtype=np.int64)
        counts = np.diff(mesh.starts)
        pixels = camera.to_pixels(points)
        low, high = np.minimum.reduceat(pixels, first), np.maximum.reduceat(pixels, first)
        inside = ((high > -1) & (low < (camera.width_px + 1, camera.height_px + 1))).all(axis=1)
        whole = count_ahead == counts
        visible = (facing | mesh.two_sided) & ((whole & inside) | (~whole & (count_ahead > 0)))
        if not visible.any():
            return
        depth = np.add.reduceat(points[:, 2], first) / counts if haze else np.zeros(len(first))
        colors = self.shaded(mesh.colors, normals, depth)
        if mesh.glows.any():
            colors[mesh.glows] = self.light.through_haze(mesh.colors[mesh.glows], depth[mesh.glows])
        rows = colors.tolist()
        fixed = fixed_point(pixels)
        image, id_map = self.image, self.ids
        for i in np.flatnonzero(visible):
            begin, end = mesh.starts[i], mesh.starts[i + 1]
            corners = points[begin:end] if whole[i] else clip_near(points[begin:end])
            outline = fixed[begin:end] if whole[i] else fixed_point(camera.to_pixels(corners))
            cv2.fillPoly(image, [outline], rows[i], cv2.LINE_AA, _SHIFT)
            cv2.fillPoly(id_map, [outline], ids[mesh.slots[i]], cv2.LINE_8, _SHIFT)
            self._fill_depth(outline, corners)

    def add_shadow(self, points: FloatArray, strength: float, *, contact: bool) -> None:
        """Darken the ground inside the hull of points that lie on it.

        Shadows of one kind do not add up: all of them must have the same strength.

        Args:
            points: `(n, 3)` points in world axes with y = 0, metres.
            strength: Share of light that is removed, 0 to 1.
            contact: True for the shadow under an object, False for a shadow cast by the sun.
        """
        mask = self._contact if contact else self._sun_shadow
        camera_points = self.camera.to_camera(points)
        if (camera_points[:, 2] < NEAR_M).all():
            return
        if (camera_points[:, 2] < NEAR_M).any():
            hull_m = cv2.convexHull(points[:, [0, 2]].astype(np.float32))[:, 0]
            outline = np.column_stack([hull_m[:, 0], np.zeros(len(hull_m)), hull_m[:, 1]]).astype(float)
            camera_points = clip_near(self.camera.to_camera(outline))
            if len(camera_points) < 3:
                return
        hull = cv2.convexHull(np.clip(self.camera.to_pixels(camera_points), -_FAR_PX, _FAR_PX).astype(np.float32))
        cv2.fillPoly(mask, [fixed_point(np.asarray(hull[:, 0], float))], (255 * strength,), cv2.LINE_AA, _SHIFT)

    @cached_property
    def shadows(self) -> PixelArray:
        """The share of light that shadows remove, `(H, W)` uint8, 255 for all. Read it after all shadows were added."""
        thrown = cv2.GaussianBlur(self._sun_shadow, (0, 0), max(len(self.ids) / 300, 0.5))
        contact = cv2.GaussianBlur(self._contact, (0, 0), max(len(self.ids) / 150, 0.5))
        return np.asarray(cv2.max(thrown, contact), np.uint8)

    def draw_panel(
        self,
        draw: Callable[[], tuple[PixelArray, PixelArray | None]],
        corners: FloatArray,
        normal: FloatArray,
        segment_id: int,
    ) -> None:
        """Draw a textured upright rectangle, if it is in view.

        Args:
            draw: Returns the texture and its glow; called only when the panel is in view. The texture is `(h, w, 3)`
                uint8, or `(h, w, 4)` whose alpha applies to the image alone (the id map gets the whole rectangle). The
                glow is `(h, w)` uint8, not 0 where the texture is unshaded, or None.
            corners: `(4, 3)` in world axes: bottom left, bottom right, top right and top left of the texture.
            normal: `(3,)` outward unit normal in world axes.
            segment_id: Id of the pixels.
        """
        camera = self.camera
        points = camera.to_camera(corners)
        outline = clip_near(points)
        if len(outline) < 3:
            return
        pixels = camera.to_pixels(outline)
        x0, y0 = np.maximum(np.floor(pixels.min(axis=0)).astype(int) - 1, 0)
        x1, y1 = np.minimum(np.ceil(pixels.max(axis=0)).astype(int) + 2, (camera.width_px, camera.height_px))
        if x1 <= x0 or y1 <= y0:
            return
        local = fixed_point(pixels - (x0, y0))
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        cv2.fillPoly(mask, [local], (255,), cv2.LINE_AA, _SHIFT)
        texture, glow = draw()
        texture = _reduced(texture, pixels)
        if glow is not None:
            glow = cv2.resize(glow, texture.shape[1::-1], interpolation=cv2.INTER_NEAREST)
        texture = self._shaded(texture, normal, float(np.median(outline[:, 2])), glow)
        height, width = texture.shape[:2]
        across, up, origin = (points[1] - points[0]) / width, (points[0] - points[3]) / height, points[3]
        to_camera = np.column_stack([across, up, origin])
        to_image = np.array(
            [
                [camera.focal_px, 0, 0.5 * camera.width_px - x0],
                [0, -camera.focal_px, 0.5 * camera.height_px - y0],
                [0, 0, 1],
            ]
        )
        half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])  # pixel centres lie at integers in OpenCV
        homography = np.linalg.inv(half) @ to_image @ to_camera @ half
        warped = cv2.warpPerspective(
            texture, homography, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        weight = mask if warped.shape[2] == 3 else cv2.multiply(mask, warped[..., 3], scale=1 / 255)
        _blend(self.image[y0:y1, x0:x1], warped, weight)
        cv2.fillPoly(self.ids[y0:y1, x0:x1], [local], segment_id, cv2.LINE_8, _SHIFT)
        self._fill_depth(fixed_point(pixels), outline)

    def draw_billboard(
        self, draw: Callable[[], PixelArray], base: FloatArray, width_m: float, height_m: float, segment_id: int
    ) -> None:
        """Draw an RGBA cut-out that faces the camera, if it is in view.

        Args:
            draw: Returns the cut-out, `(h, w, 4)` uint8; called only when it is in view. The id map gets the pixels
                whose alpha is at least 128.
            base: `(3,)` bottom centre in world axes.
            width_m: Width in metres.
            height_m: Height in metres.
            segment_id: Id of the pixels.
        """
        camera = self.camera
        point = camera.to_camera(base)
        if point[2] < 2 * NEAR_M:
            return
        scale = camera.focal_px / point[2]
        foot = camera.to_pixels(point)
        size = (max(round(width_m * scale), 1), max(round(height_m * scale), 1))
        left, top = round(foot[0] - 0.5 * size[0]), round(foot[1] - size[1])
        x0, y0 = max(left, 0), max(top, 0)
        x1, y1 = min(left + size[0], camera.width_px), min(top + size[1], camera.height_px)
        if x1 <= x0 or y1 <= y0:
            return
        texture = draw()
        height, width = texture.shape[:2]
        if size[0] <= width:
            cut = cv2.resize(texture, size, interpolation=cv2.INTER_AREA)[y0 - top : y1 - top, x0 - left : x1 - left]
        else:  # may be far larger than the image: enlarge only the visible part
            ratio = (width / size[0], height / size[1])
            matrix = np.array(
                [[ratio[0], 0, (x0 - left + 0.5) * ratio[0] - 0.5], [0, ratio[1], (y0 - top + 0.5) * ratio[1] - 0.5]]
            )
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            cut = cv2.warpAffine(texture, matrix, (x1 - x0, y1 - y0), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        alpha = cut[..., 3]
        _blend(self.image[y0:y1, x0:x1], self._shaded(cut, _TOWARDS_CAMERA, point[2], None), alpha)
        self.ids[y0:y1, x0:x1][alpha >= 128] = segment_id
        if self.depth_m is not None:
            self.depth_m[y0:y1, x0:x1][alpha >= 128] = point[2]

    def _shaded(self, texture: PixelArray, normal: FloatArray, depth_m: float, glow: PixelArray | None) -> PixelArray:
        """Return a texture with shading and haze; alpha is kept."""
        haze = float(np.exp(-depth_m / self.light.haze_distance_m))
        offset = np.asarray(self.light.haze_rgb) * (1 - haze)
        table = np.empty((256, texture.shape[2]), np.uint8)
        table[:, :3] = np.minimum(_LEVELS * (self.light.shade(normal) * haze) + offset, 255)
        table[:, 3:] = _LEVELS
        shaded = np.asarray(cv2.LUT(texture, table[None]), np.uint8)
        if glow is not None:
            table = np.minimum(_LEVELS * haze + offset, 255).astype(np.uint8)
            cv2.copyTo(cv2.LUT(texture, table[None]), glow, shaded)
        return shaded


def fixed_point(pixels: FloatArray) -> NDArray[np.int32]:
    """Convert pixel coordinates to the fixed-point integers of OpenCV, 1/16 pixel.

    Args:
        pixels: `(..., 2)` pixel coordinates; the centre of the first pixel is 0.5 (0 in the result).
    """
    return np.rint((np.clip(pixels, -_FAR_PX, _FAR_PX) - 0.5) * (1 << _SHIFT)).astype(np.int32)


def clip_near(points: FloatArray) -> FloatArray:
    """Return the part of a polygon that lies beyond the near plane.

    Args:
        points: `(n, 3)` corners in camera axes.

    Returns:
        `(m, 3)` corners; m is 0 when nothing is left.
    """
    inside = points[:, 2] >= NEAR_M
    if inside.all():
        return points
    kept: list[FloatArray] = []
    for i in range(len(points)):
        before, here = points[i - 1], points[i]
        if inside[i - 1] != inside[i]:
            kept.append(before + (here - before) * (NEAR_M - before[2]) / (here[2] - before[2]))
        if inside[i]:
            kept.append(here)
    return np.array(kept).reshape(-1, 3)


def _reduced(texture: PixelArray, pixels: FloatArray) -> PixelArray:
    """Return the texture reduced to about the size at which it is seen; warping alone would cause aliasing."""
    height, width = texture.shape[:2]
    span = np.ptp(pixels, axis=0)
    size = (int(np.clip(span[0], 4, width)), int(np.clip(span[1], 4, height)))
    return texture if size == (width, height) else cv2.resize(texture, size, interpolation=cv2.INTER_AREA)


def _blend(target: PixelArray, source: PixelArray, weight: PixelArray) -> None:
    """Blend `source` into `target` in place, by weights from 0 to 255."""
    if source.shape[2] == 4:
        source = np.asarray(cv2.cvtColor(source, cv2.COLOR_RGBA2RGB))
    share = cv2.cvtColor(weight, cv2.COLOR_GRAY2RGB)
    kept = cv2.multiply(target, cv2.bitwise_not(share), scale=1 / 255)
    target[:] = cv2.add(cv2.multiply(source, share, scale=1 / 255), kept)
