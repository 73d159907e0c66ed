# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The mesh of the ground: road, kerbs, sidewalks, grass, lane lines, zebra crossings, arrows, rails and patches."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from opendr_panoptic_ros.synthetic.render.ground import ROAD_SLOT, SIDEWALK_SLOT, TERRAIN_SLOT, Ground
from opendr_panoptic_ros.synthetic.render.mesh import MeshBuilder
from opendr_panoptic_ros.synthetic.render.palette import Rgb, hsv, mixed, scaled
from opendr_panoptic_ros.synthetic.render.street import KERB_HEIGHT_M, KERB_WIDTH_M, Street

_SNOW: Rgb = (238.0, 241.0, 246.0)
_STEEL: Rgb = (110.0, 108.0, 106.0)
_CORNER_EVERY_M = 6.0  # corners of long bands, so that they follow a bend of the street
_HALF_LINE_M = 0.07  # half the width of lane lines
_HALF_GAUGE_M = 0.72  # half the distance between tram rails
_SIDE_STREET_M = 90  # how far side streets reach to the left and right
_ABOVE_CROSSING_M = KERB_HEIGHT_M + 0.012  # side streets lie on top of the sidewalks


def lay_ground(rng: np.random.Generator, street: Street, *, snow: float) -> Ground:
    """Return the ground of a street with random colours and markings.

    Args:
        rng: Random number generator.
        street: Layout of the street.
        snow: Share of snow on the ground, 0 to 1.
    """
    asphalt = mixed(hsv(rng.random(), rng.uniform(0, 0.1), rng.uniform(0.3, 0.52)), _SNOW, 0.35 * snow)
    paving = mixed(hsv(rng.choice([0.08, 0.6, 0.02]), rng.uniform(0, 0.18), rng.uniform(0.42, 0.72)), _SNOW, 0.8 * snow)
    grass = mixed(hsv(rng.uniform(0.14, 0.3), rng.uniform(0.35, 0.6), rng.uniform(0.3, 0.55)), _SNOW, 0.85 * snow)
    mesh = MeshBuilder()
    z0, z1 = street.z_range[0], street.z_range[1] + 160
    for side, green in enumerate(street.green):
        edge = street.fronts[side]
        if not green:
            plots = (edge, edge + 80) if side else (edge - 80, edge)
            _strip(mesh, plots, z0, z1, mixed(paving, asphalt, 0.3), SIDEWALK_SLOT, KERB_HEIGHT_M)
    for walk in street.walks:
        _strip(mesh, walk, z0, z1, paving, SIDEWALK_SLOT, KERB_HEIGHT_M)
    for verge in street.verges:
        _strip(mesh, verge, z0, z1, grass, TERRAIN_SLOT, KERB_HEIGHT_M)
    _strip(mesh, street.kerbs, z0, z1, asphalt, ROAD_SLOT, 0.0)
    for side, x in enumerate(street.kerbs):
        _kerb(mesh, x, -1 if side else 1, z0, z1, scaled(paving, 1.15))
    mesh.slot = ROAD_SLOT
    for a, b in street.crossings:
        _bar(mesh, -_SIDE_STREET_M, _SIDE_STREET_M, a, b, asphalt, KERB_HEIGHT_M + 0.01)
    line: Rgb = scaled((232.0, 232.0, 226.0), rng.uniform(0.75, 1.05))
    _wear(mesh, rng, street, asphalt, z0, z1)
    _lane_lines(mesh, rng, street, line, z0, z1)
    if rng.random() < 0.35:
        _arrows(mesh, rng, street, line, z0, z1)
    for a, b in street.crossings:
        _junction(mesh, street, a, b, line)
    _rails(mesh, street, asphalt, z0, z1)
    return Ground(mesh.build(), grass)


def _strip(mesh: MeshBuilder, x: Sequence[float], z0: float, z1: float, color: Rgb, slot: int, y: float) -> None:
    """Add a band along z."""
    z = np.append(np.arange(z0, z1, _CORNER_EVERY_M), z1)
    mesh.slot = slot
    mesh.face([(x[0], y, p) for p in z] + [(x[1], y, p) for p in z[::-1]], color, normal=(0, 1, 0))


def _kerb(mesh: MeshBuilder, x: float, facing: int, z0: float, z1: float, color: Rgb) -> None:
    """Add a kerb: its upright face and its top."""
    z = np.append(np.arange(z0, z1, _CORNER_EVERY_M), z1)
    mesh.slot = SIDEWALK_SLOT
    mesh.face(
        [(x, 0.0, p) for p in z] + [(x, KERB_HEIGHT_M, p) for p in z[::-1]], scaled(color, 0.8), normal=(facing, 0, 0)
    )
    _strip(mesh, (x, x - facing * KERB_WIDTH_M), z0, z1, color, SIDEWALK_SLOT, KERB_HEIGHT_M)


def _bar(mesh: MeshBuilder, x0: float, x1: float, z0: float, z1: float, color: Rgb, y: float = 0.0) -> None:
    """Add a rectangle."""
    mesh.face([(x0, y, z0), (x1, y, z0), (x1, y, z1), (x0, y, z1)], color, normal=(0, 1, 0))


def _wear(mesh: MeshBuilder, rng: np.random.Generator, street: Street, asphalt: Rgb, z0: float, z1: float) -> None:
    """Add patches and manholes."""
    left, right = street.kerbs
    angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    for _ in range(int(0.16 * (z1 - z0))):
        x, z = rng.uniform(left, right), rng.uniform(z0, z1)
        if rng.random() < 0.3:
            ring = [(x + 0.34 * np.cos(a), 0, z + 0.34 * np.sin(a)) for a in angle]
            mesh.face(ring, scaled(asphalt, 0.6), normal=(0, 1, 0))
            continue
        half, tone = rng.uniform(0.2, 1.4), rng.choice([0.72, 0.8, 0.88, 1.1])
        _bar(mesh, max(left, x - half), min(right, x + half), z, z + rng.uniform(0.4, 6.0), scaled(asphalt, tone))


def _lane_lines(mesh: MeshBuilder, rng: np.random.Generator, street: Street, line: Rgb, z0: float, z1: float) -> None:
    """Add lines between the lanes and at the edges of the road."""
    xs = sorted(x for x, _ in street.lanes)
    dash, gap = rng.uniform(2.5, 4.0), rng.uniform(3.5, 6.0)
    solid_middle = rng.random() < 0.3
    lines = [((a + b) / 2, solid_middle and a < 0 < b) for a, b in pairwise(xs)]
    if street.parking or rng.random() < 0.5:
        lines += [(xs[0] - street.lane_m / 2, True), (xs[-1] + street.lane_m / 2, True)]
    for x, solid in lines:
        for z in np.arange(z0, z1, dash if solid else dash + gap):
            if street.is_clear(z, 4.0) and street.is_clear(z + dash, 4.0):
                _bar(mesh, x - _HALF_LINE_M, x + _HALF_LINE_M, z, z + dash, line)


def _arrows(mesh: MeshBuilder, rng: np.random.Generator, street: Street, line: Rgb, z0: float, z1: float) -> None:
    """Add arrows in the direction of each lane."""
    shape = [(-0.09, 0), (0.09, 0), (0.09, 2.2), (0.32, 2.2), (0, 3.6), (-0.32, 2.2), (-0.09, 2.2)]
    for x, direction in street.lanes:
        for z in np.arange(z0 + rng.uniform(0, 20), z1, 28.0):
            if street.is_clear(z, 8.0):
                mesh.face([(x + p, 0, z + direction * q) for p, q in shape], line, normal=(0, 1, 0))


def _junction(mesh: MeshBuilder, street: Street, a: float, b: float, line: Rgb) -> None:
    """Add zebra crossings and stop lines before and after a side street, and the centre line of the side street."""
    left, right = street.kerbs
    for near in (a - 3.4, b + 0.6):
        for x in np.arange(left + 0.4, right - 0.4, 1.0):
            _bar(mesh, x, x + 0.5, near, near + 2.8, line)
    xs = [x for x, _ in street.lanes]
    _bar(mesh, 0.1, max(xs) + street.lane_m / 2, a - 5.0, a - 4.6, line)
    _bar(mesh, min(xs) - street.lane_m / 2, -0.1, b + 4.8, b + 5.2, line)
    middle = (a + b) / 2
    for x in (*np.arange(-70, left - 6, 7.0), *np.arange(right + 4, 70, 7.0)):
        _bar(mesh, x, x + 3, middle - _HALF_LINE_M, middle + _HALF_LINE_M, line, _ABOVE_CROSSING_M)


def _rails(mesh: MeshBuilder, street: Street, asphalt: Rgb, z0: float, z1: float) -> None:
    """Add tram rails along a lane and along a side street; rails belong to the road."""
    groove = scaled(asphalt, 0.7)
    if street.rails_x is not None:
        for x in (street.rails_x - _HALF_GAUGE_M, street.rails_x + _HALF_GAUGE_M):
            _strip(mesh, (x - 0.12, x + 0.12), z0, z1, groove, ROAD_SLOT, 0.0)
            _strip(mesh, (x - 0.045, x + 0.045), z0, z1, _STEEL, ROAD_SLOT, 0.0)
    if street.rails_cross is not None:
        a, b = street.crossings[street.rails_cross]
        for z in ((a + b) / 2 - _HALF_GAUGE_M, (a + b) / 2 + _HALF_GAUGE_M):
            _bar(mesh, -_SIDE_STREET_M, _SIDE_STREET_M, z - 0.12, z + 0.12, groove, _ABOVE_CROSSING_M)
            _bar(mesh, -_SIDE_STREET_M, _SIDE_STREET_M, z - 0.045, z + 0.045, _STEEL, _ABOVE_CROSSING_M)
