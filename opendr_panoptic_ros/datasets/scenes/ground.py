"""Ground and sky: what is painted first. GroundPlan lays out road, kerbs, sidewalks, grass and markings."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.datasets.scenes.camera import Floats, stream
from opendr_panoptic_ros.datasets.scenes.canvas import Canvas, Pose
from opendr_panoptic_ros.datasets.scenes.mesh import Mesh, MeshBuilder
from opendr_panoptic_ros.datasets.scenes.palette import Rgb, hsv, mixed, scaled
from opendr_panoptic_ros.datasets.scenes.textures import noise

ROAD, SIDEWALK, TERRAIN, SKY = 0, 1, 9, 10
KERB_M = 0.12
STUFF_IDS = tuple(range(1, 12))
"""Segment ids of the stuff classes: train id + 1. Things come after."""


@dataclass(frozen=True)
class Street:
    """The street's cross-section and its side streets, in metres; x is to the right, traffic keeps right.

    lanes: (x of the middle, direction +1 away or -1 towards). parking: x of the middle of each row of parked cars.
    kerbs: x of the left and right kerb. walks: x-ranges of the sidewalks. fronts: x where the plots begin.
    verges: x-ranges of grass between kerb and sidewalk. crossings: z-ranges of the side streets.
    """

    lane_m: float
    lanes: tuple[tuple[float, int], ...]
    parking: tuple[float, ...]
    kerbs: tuple[float, float]
    verges: tuple[tuple[float, float], ...]
    walks: tuple[tuple[float, float], tuple[float, float]]
    fronts: tuple[float, float]
    crossings: tuple[tuple[float, float], ...]
    rails_x: float | None
    rails_cross: int | None
    z_range: tuple[float, float]
    green: tuple[bool, bool]


@dataclass(frozen=True)
class Ground:
    """The painted ground: a mesh whose slots are train ids, and its colours by train id."""

    mesh: Mesh
    base: Rgb

    def paint(self, canvas: Canvas) -> None:
        """Paint ground and texture, then the shadows collected in `canvas.shadows`."""
        x, z, depth = canvas.camera.ground()
        below = depth < 399.0
        canvas.image[below] = self.base
        canvas.ids[below] = STUFF_IDS[TERRAIN]
        canvas.mesh(self.mesh, Pose(0, 0), STUFF_IDS, haze=False)
        if canvas.flat:
            return
        top = int(np.argmax(below.any(axis=1))) if below.any() else len(below)
        _texture(canvas, x, z, depth, top)


def lay_ground(rng: np.random.Generator, street: Street, *, snow: float) -> Ground:
    """Colours and markings for a street."""
    asphalt = mixed(hsv(rng.uniform(0, 1), rng.uniform(0, 0.1), rng.uniform(0.3, 0.52)), (235, 238, 242), 0.35 * snow)
    paving = mixed(
        hsv(rng.choice([0.08, 0.6, 0.02]), rng.uniform(0, 0.18), rng.uniform(0.42, 0.72)), (240, 242, 246), 0.8 * snow
    )
    grass = mixed(
        hsv(rng.uniform(0.14, 0.3), rng.uniform(0.35, 0.6), rng.uniform(0.3, 0.55)), (240, 242, 246), 0.85 * snow
    )
    paint: Rgb = scaled((232, 232, 226), rng.uniform(0.75, 1.05))
    mesh = MeshBuilder()
    z0, z1 = street.z_range
    z1 += 160
    left, right = street.kerbs
    for side, green in enumerate(street.green):
        if not green:
            edge = street.fronts[side]
            _strip(
                mesh,
                *sorted((edge, edge + (80 if side else -80))),
                z0,
                z1,
                mixed(paving, asphalt, 0.3),
                SIDEWALK,
                KERB_M,
            )
    for side, walk in enumerate(street.walks):
        _strip(mesh, *walk, z0, z1, paving, SIDEWALK, KERB_M)
        for verge in street.verges:
            if (verge[0] > 0) == bool(side):
                _strip(mesh, *verge, z0, z1, grass, TERRAIN, KERB_M)
    _strip(mesh, left, right, z0, z1, asphalt, ROAD, 0.0)
    for side, x in enumerate(street.kerbs):
        _kerb(mesh, x, 1 if side == 0 else -1, z0, z1, scaled(paving, 1.15))
    for a, b in street.crossings:
        mesh.slot = ROAD
        mesh.face(
            [(-90, KERB_M + 0.01, a), (90, KERB_M + 0.01, a), (90, KERB_M + 0.01, b), (-90, KERB_M + 0.01, b)],
            asphalt,
            normal=(0, 1, 0),
        )
    _markings(mesh, rng, street, asphalt, paint, z0, z1)
    return Ground(mesh.build(), grass)


def _strip(mesh: MeshBuilder, x0: float, x1: float, z0: float, z1: float, color: Rgb, slot: int, y: float) -> None:
    z = np.unique(np.concatenate([np.arange(z0, z1, 6.0), [z1]]))
    mesh.slot = slot
    points = [(x0, y, p) for p in z] + [(x1, y, p) for p in z[::-1]]
    mesh.face(points, color, normal=(0, 1, 0))


def _kerb(mesh: MeshBuilder, x: float, facing: int, z0: float, z1: float, color: Rgb) -> None:
    z = np.append(np.arange(z0, z1, 6.0), z1)
    mesh.slot = SIDEWALK
    mesh.face([(x, 0.0, p) for p in z] + [(x, KERB_M, p) for p in z[::-1]], scaled(color, 0.8), normal=(facing, 0, 0))
    top = x - facing * 0.16
    mesh.face([(x, KERB_M, p) for p in z] + [(top, KERB_M, p) for p in z[::-1]], color, normal=(0, 1, 0))


def _bar(mesh: MeshBuilder, x0: float, x1: float, z0: float, z1: float, color: Rgb, y: float = 0.0) -> None:
    mesh.face([(x0, y, z0), (x1, y, z0), (x1, y, z1), (x0, y, z1)], color, normal=(0, 1, 0))


def _markings(
    mesh: MeshBuilder, rng: np.random.Generator, street: Street, asphalt: Rgb, paint: Rgb, z0: float, z1: float
) -> None:
    mesh.slot = ROAD
    left, right = street.kerbs

    def clear(z: float, margin: float = 1.0) -> bool:
        return not any(a - margin < z < b + margin for a, b in street.crossings)

    for _ in range(int(0.16 * (z1 - z0))):  # patches, cracks and manholes
        x, z, tone = rng.uniform(left, right), rng.uniform(z0, z1), rng.choice([0.72, 0.8, 0.88, 1.1])
        if rng.random() < 0.3:
            angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
            mesh.face(
                [(x + 0.34 * np.cos(a), 0, z + 0.34 * np.sin(a)) for a in angle], scaled(asphalt, 0.6), normal=(0, 1, 0)
            )
            continue
        half = rng.uniform(0.2, 1.4)
        _bar(mesh, max(left, x - half), min(right, x + half), z, z + rng.uniform(0.4, 6.0), scaled(asphalt, tone))
    xs = sorted(x for x, _ in street.lanes)
    borders = [(a + b) / 2 for a, b in zip(xs[:-1], xs[1:], strict=True)]
    middle = next((b for b in borders if abs(b) < 0.6), None)
    dash, gap = rng.uniform(2.5, 4.0), rng.uniform(3.5, 6.0)
    solid_middle = rng.random() < 0.3
    for border in borders:
        solid = solid_middle and border == middle
        for z in np.arange(z0, z1, dash if solid else dash + gap):
            if clear(z) and clear(z + dash):
                _bar(mesh, border - 0.07, border + 0.07, z, z + dash, paint)
    if street.parking or rng.random() < 0.5:
        for x in (xs[0] - street.lane_m / 2, xs[-1] + street.lane_m / 2):
            for z in np.arange(z0, z1, 6.0):
                if clear(z, 4) and clear(z + 6, 4):
                    _bar(mesh, x - 0.06, x + 0.06, z, z + 6, paint)
    if rng.random() < 0.35:
        for x, direction in street.lanes:
            for z in np.arange(z0 + rng.uniform(0, 20), z1, 28.0):
                _arrow(mesh, x, z, direction, paint)
    drive_edge = (xs[0] - street.lane_m / 2, xs[-1] + street.lane_m / 2)
    for a, b in street.crossings:
        for near in (a - 3.4, b + 0.6):
            for x in np.arange(left + 0.4, right - 0.4, 1.0):
                _bar(mesh, x, x + 0.5, near, near + 2.8, paint)
        _bar(mesh, 0.1, drive_edge[1], a - 5.0, a - 4.6, paint)
        _bar(mesh, drive_edge[0], -0.1, b + 4.8, b + 5.2, paint)
        y = KERB_M + 0.012
        for x in np.concatenate([np.arange(-70, left - 6, 7.0), np.arange(right + 4, 70, 7.0)]):
            _bar(mesh, x, x + 3, (a + b) / 2 - 0.07, (a + b) / 2 + 0.07, paint, y)
    steel: Rgb = (110, 108, 106)
    if street.rails_x is not None:
        for x in (street.rails_x - 0.72, street.rails_x + 0.72):
            _bar(mesh, x - 0.12, x + 0.12, z0, z1, scaled(asphalt, 0.7))
            _bar(mesh, x - 0.045, x + 0.045, z0, z1, steel)
    if street.rails_cross is not None:
        a, b = street.crossings[street.rails_cross]
        for z in ((a + b) / 2 - 0.72, (a + b) / 2 + 0.72):
            _bar(mesh, -90, 90, z - 0.12, z + 0.12, scaled(asphalt, 0.7), KERB_M + 0.013)
            _bar(mesh, -90, 90, z - 0.045, z + 0.045, steel, KERB_M + 0.014)


def _arrow(mesh: MeshBuilder, x: float, z: float, direction: int, paint: Rgb) -> None:
    shape = [(-0.09, 0), (0.09, 0), (0.09, 2.2), (0.32, 2.2), (0, 3.6), (-0.32, 2.2), (-0.09, 2.2)]
    mesh.face([(x + p, 0, z + direction * q) for p, q in shape], paint, normal=(0, 1, 0))


@cache
def _grain() -> NDArray[np.float32]:
    """`(256, 256)` of noise that repeats without a seam, shared by all scenes."""
    grain = stream(0, 77).standard_normal((256, 256)).astype(np.float32)
    return cv2.GaussianBlur(np.tile(grain, (3, 3)), (0, 0), 1.0)[256:512, 256:512] * 3.2


def _texture(canvas: Canvas, x: Floats, z: Floats, depth: Floats, top: int) -> None:
    """Grain, stains and paving joints fixed to the ground, haze, wetness, then shadows."""
    x, z, depth = (m[top:].astype(np.float32) for m in (x, z, depth))
    ids, light = canvas.ids[top:], canvas.light
    view = canvas.image[top:].astype(np.float32)

    def sample(per_m: float) -> NDArray[np.float32]:
        return cv2.remap(_grain(), np.mod(x * per_m, 255), np.mod(z * per_m, 255), cv2.INTER_LINEAR)

    fine = sample(22.0) * np.minimum(1.0, 9.0 / depth)
    broad = sample(1.1) * np.minimum(1.0, 40.0 / depth)
    is_grass, is_walk = ids == STUFF_IDS[TERRAIN], ids == STUFF_IDS[SIDEWALK]
    factor = 1.0 + np.where(is_grass, 0.13, 0.045) * fine + np.where(is_grass, 0.09, 0.04) * broad
    joints = (np.mod(x, 0.6) < 0.05) | (np.mod(z, 0.6) < 0.07)
    factor = np.where(is_walk & joints, factor - 0.2 * np.clip(7.0 / depth, 0, 1), factor)
    factor *= 1.0 - 0.3 * light.wetness * ~is_grass
    factor *= 1.0 - canvas.shadows[top:] * np.float32(1 / 255)
    clear = np.exp(-depth / light.haze_distance_m)
    view *= (factor * clear)[..., None]
    view += np.asarray(light.haze_rgb, np.float32) * (1 - clear)[..., None]
    canvas.image[top:] = np.clip(view, 0, 255)


def paint_sky(canvas: Canvas, rng: np.random.Generator) -> None:
    """Fill the picture with sky: a gradient, clouds, the sun or stars."""
    light, camera = canvas.light, canvas.camera
    canvas.ids[:] = STUFF_IDS[SKY]
    clouds = _clouds(rng)
    if canvas.flat:
        canvas.image[:] = light.zenith_rgb
        return
    rays = camera.rays[::2, ::2].astype(np.float32)
    up = np.maximum(rays[..., 1], 0.0) / np.linalg.norm(rays, axis=-1)
    blend = np.clip(up / 0.45, 0, 1)[..., None] ** 0.7
    sky = np.asarray(light.haze_rgb, np.float32) * (1 - blend) + np.asarray(light.zenith_rgb, np.float32) * blend
    height = np.maximum(rays[..., 1], 0.03)
    u, v = (np.mod(rays[..., k] / height * 38.0, 255).astype(np.float32) for k in (0, 2))
    cover = cv2.remap(clouds, u, v, cv2.INTER_LINEAR)
    cover = np.clip(cover * 1.4 + light.cloudiness * 2.4 - 1.3, 0, 1) * np.clip(up / 0.1, 0, 1)
    bright = np.asarray(light.haze_rgb, np.float32) * 0.4 + (60 if light.is_night else 250) * np.array([0.6, 0.6, 0.6])
    bright = np.minimum(bright * (0.55 if light.is_night else 1), 255)
    sky += (bright - sky) * (0.85 * cover)[..., None]
    direction = np.asarray(light.to_sun, np.float32)
    cosine = rays @ direction / np.linalg.norm(rays, axis=-1)
    if not light.is_night and light.shadow > 0.1:
        glow = np.clip((cosine - 0.9) / 0.1, 0, 1) ** 3 * 0.6 + np.clip((cosine - 0.998) / 0.001, 0, 1)
        sky += (np.array([255, 246, 222]) - sky) * np.minimum(glow, 1)[..., None]
    sky = np.clip(sky, 0, 255).astype(np.uint8)
    canvas.image[:] = cv2.resize(sky, (camera.width_px, camera.height_px), interpolation=cv2.INTER_LINEAR)


def _clouds(rng: np.random.Generator) -> NDArray[np.float32]:
    return noise(rng, 256, 256, 48) * 0.6 + noise(rng, 256, 256, 20) * 0.35 + noise(rng, 256, 256, 8) * 0.15
