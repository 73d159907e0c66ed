"""Ground and sky: what is painted first. GroundPlan lays out road, kerbs, sidewalks, grass and markings."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from opendr_panoptic_ros.datasets.scenes.camera import Maps, stream
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
        top = int(np.clip(min(canvas.camera.horizon_px) - 1, 0, canvas.camera.height_px))
        x, z, depth = canvas.camera.ground(slice(top, None))
        below = (depth < 399.0).view(np.uint8)
        cv2.copyTo(np.full_like(canvas.image[top:], self.base), below, canvas.image[top:])
        cv2.copyTo(np.full_like(canvas.ids[top:], STUFF_IDS[TERRAIN]), below, canvas.ids[top:])
        canvas.mesh(self.mesh, Pose(0, 0), STUFF_IDS, haze=False)
        if not canvas.flat:
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
def _grain() -> Maps:
    """`(256, 256)` of noise that repeats without a seam, shared by all scenes."""
    grain = np.tile(stream(0, 77).standard_normal((256, 256), np.float32), (3, 3))
    return np.ascontiguousarray(cv2.GaussianBlur(grain, (0, 0), 1.0)[256:512, 256:512] * 3.2)


def _texture(canvas: Canvas, x: Maps, z: Maps, depth: Maps, top: int) -> None:
    """Grain, stains and paving joints fixed to the ground, haze, wetness, and shadows."""
    ids, light = canvas.ids[top:], canvas.light

    def sample(per_m: float) -> Maps:
        return np.asarray(cv2.remap(_grain(), x * per_m, z * per_m, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP))

    is_grass, is_walk = ids == STUFF_IDS[TERRAIN], ids == STUFF_IDS[SIDEWALK]
    near = 1 / depth
    factor = sample(22.0) * np.minimum(1.0, 9.0 * near) + 0.8 * sample(1.1) * np.minimum(1.0, 40.0 * near)
    factor *= np.where(is_grass, np.float32(0.125), np.float32(0.046))
    across, along = x * np.float32(1 / 0.6), z * np.float32(1 / 0.6)
    joints = (across - np.floor(across) < 0.08) | (along - np.floor(along) < 0.11)
    factor -= (is_walk & joints) * np.minimum(np.float32(0.2), np.float32(1.4) * near)
    factor += 1.0
    if light.wetness:
        factor *= 1.0 - np.float32(0.3 * light.wetness) * ~is_grass
    factor *= 1.0 - canvas.shadows[top:] * np.float32(1 / 255)
    clear = np.exp(depth * np.float32(-1 / light.haze_distance_m))
    veil = 1.0 - clear
    factor *= clear
    view = canvas.image[top:]
    for k in range(3):
        channel = cv2.multiply(view[..., k], factor, dtype=cv2.CV_32F)
        view[..., k] = np.clip(cv2.scaleAdd(veil, light.haze_rgb[k], channel), 0, 255)


def paint_sky(canvas: Canvas, rng: np.random.Generator) -> None:
    """Fill the picture with sky: a gradient, clouds and the sun."""
    light, camera = canvas.light, canvas.camera
    canvas.ids[:] = STUFF_IDS[SKY]
    canvas.image[:] = light.haze_rgb
    clouds, drift = _clouds(rng), rng.uniform(300, 900, 2)
    bottom = int(np.clip(max(camera.horizon_px) + 4, 0, camera.height_px))
    if canvas.flat or bottom < 2:
        return
    across, up, forward = camera.rays(slice(0, bottom, 2), 2)
    length = np.sqrt(across * across + up * up + forward * forward)
    rise = np.maximum(up, 0.0) / length
    height = 38.0 / np.maximum(up, np.float32(0.03))
    u, v = _mirrored(across * height + np.float32(drift[0])), _mirrored(forward * height + np.float32(drift[1]))
    cover = np.asarray(cv2.remap(clouds, u, v, cv2.INTER_LINEAR))
    cover = 0.85 * np.clip(cover * 1.4 + (light.cloudiness * 2.4 - 1.3), 0, 1) * np.minimum(rise * 10, 1)
    blend = np.power(np.minimum(rise / 0.45, 1), 0.7)
    sun = np.zeros_like(rise)
    if not light.is_night and light.shadow > 0.1:
        x, y, z = light.to_sun
        cosine = (across * x + up * y + forward * z) / length
        sun = np.clip((cosine - 0.9) * 10, 0, 1) ** 3 * 0.6 + np.clip((cosine - 0.998) * 1000, 0, 1)
        sun = np.minimum(sun, 1)
    sky = np.empty((*rise.shape, 3), np.uint8)
    for k, sunlight in enumerate((255, 246, 222)):
        cloud = min(light.haze_rgb[k] * 0.4 + (36 if light.is_night else 150), 255) * (0.55 if light.is_night else 1)
        channel = light.haze_rgb[k] + (light.zenith_rgb[k] - light.haze_rgb[k]) * blend
        channel += (cloud - channel) * cover
        sky[..., k] = np.clip(channel + (sunlight - channel) * sun, 0, 255)
    canvas.image[:bottom] = cv2.resize(sky, (camera.width_px, bottom), interpolation=cv2.INTER_LINEAR)


def _mirrored(position: Maps) -> Maps:
    """Positions in a tile of 256 pixels that is mirrored at its edges instead of repeated: no seam."""
    return np.abs(np.mod(position, np.float32(510)) - np.float32(255))


def _clouds(rng: np.random.Generator) -> Maps:
    return noise(rng, 256, 256, 48) * 0.6 + noise(rng, 256, 256, 20) * 0.35 + noise(rng, 256, 256, 8) * 0.15
