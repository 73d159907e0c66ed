# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Traffic signs and direction boards as meshes. Slots: 0 post, 1 sign."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

import numpy as np

from opendr_panoptic_ros.synthetic.render.furniture import add_post
from opendr_panoptic_ros.synthetic.render.mesh import Mesh, MeshBuilder, rectangle
from opendr_panoptic_ros.synthetic.render.palette import BLACK, STEEL, Rgb, scaled

_BLUE: Rgb = (20.0, 80.0, 175.0)
_WHITE: Rgb = (238.0, 238.0, 235.0)
_RED: Rgb = (200.0, 25.0, 32.0)
_GOLD: Rgb = (245.0, 195.0, 30.0)
_BOARD_COLORS: tuple[Rgb, ...] = (_BLUE, (15.0, 110.0, 70.0), (245.0, 205.0, 60.0), (235.0, 235.0, 232.0))
_ARROW = ((-0.08, -0.2), (0.02, -0.2), (0.02, 0.02), (0.2, 0.02), (-0.03, 0.24), (-0.26, 0.02), (-0.08, 0.02))


class _Symbol(Enum):
    """The symbol of a plate."""

    NONE = "none"
    BAR = "bar"
    ARROW = "arrow"
    PICTOGRAM = "pictogram"


class _Plate(NamedTuple):
    """Shape and colours of a plate: a regular polygon, rotated by `turn_rad`."""

    corners: int
    turn_rad: float
    border: Rgb
    face: Rgb
    symbol: _Symbol
    symbol_color: Rgb = BLACK
    symbol_offset_m: float = 0.0
    scale: float = 1.0


_PLATES = (
    _Plate(16, 0.0, _RED, _WHITE, _Symbol.PICTOGRAM),  # prohibition
    _Plate(16, 0.0, _BLUE, _BLUE, _Symbol.ARROW, _WHITE),  # mandatory direction
    _Plate(3, np.pi / 2, _RED, _WHITE, _Symbol.PICTOGRAM, symbol_offset_m=-0.06),  # warning
    _Plate(8, np.pi / 8, _RED, _RED, _Symbol.BAR, _WHITE),  # stop
    _Plate(4, np.pi / 4, _BLUE, _BLUE, _Symbol.PICTOGRAM, _WHITE, scale=1.2),  # information
    _Plate(4, np.pi / 2, _WHITE, _GOLD, _Symbol.NONE),  # priority road
    _Plate(3, -np.pi / 2, _RED, _WHITE, _Symbol.NONE),  # give way
)


def traffic_sign(rng: np.random.Generator) -> tuple[Mesh, float]:
    """Return one or two traffic signs on a post, or a direction board, and the height in metres.

    The front faces -z; the back is grey.

    Args:
        rng: Random number generator.
    """
    mesh = MeshBuilder()
    if rng.random() < 0.14:
        return _direction_board(rng, mesh)
    height = rng.uniform(2.4, 3.2)
    add_post(mesh, 0, 0.045, 0, height, STEEL)
    mesh.slot = 1
    y = height - 0.42
    for _ in range(2 if rng.random() < 0.3 else 1):
        _add_plate(rng, mesh, y, rng.uniform(0.36, 0.48))
        y -= 0.85
    return mesh.build(), height


def _add_plate(rng: np.random.Generator, mesh: MeshBuilder, y: float, radius: float) -> None:
    """Add a plate of a random kind with its centre at height y."""
    plate = _PLATES[int(rng.integers(0, len(_PLATES)))]
    radius *= plate.scale

    def ring(radius: float, z: float) -> list[tuple[float, float, float]]:
        angle = np.linspace(0, 2 * np.pi, plate.corners, endpoint=False) + plate.turn_rad
        return [(radius * np.cos(a), y + radius * np.sin(a), z) for a in angle]

    mesh.face(ring(radius, -0.06), scaled(STEEL, 0.9), normal=(0, 0, 1))
    mesh.face(ring(radius, -0.065), plate.border, normal=(0, 0, -1))
    mesh.face(ring(radius * 0.74, -0.07), plate.face, normal=(0, 0, -1))
    if plate.symbol is _Symbol.ARROW:
        mesh.face([(a, y + b, -0.075) for a, b in _ARROW], plate.symbol_color, normal=(0, 0, -1))
    elif plate.symbol is not _Symbol.NONE:
        is_bar = plate.symbol is _Symbol.BAR
        half_height, half_width = (0.06, 0.24) if is_bar else (rng.uniform(0.08, 0.17), rng.uniform(0.06, 0.17))
        middle = y + plate.symbol_offset_m
        outline = rectangle(-half_width, half_width, middle - half_height, middle + half_height)
        mesh.face([(a, b, -0.075) for a, b in outline], plate.symbol_color, normal=(0, 0, -1))


def _direction_board(rng: np.random.Generator, mesh: MeshBuilder) -> tuple[Mesh, float]:
    """Return a direction board on two posts and its height in metres."""
    half, y, tall = rng.uniform(0.9, 1.5), rng.uniform(1.6, 2.4), rng.uniform(0.9, 1.4)
    back = _BOARD_COLORS[int(rng.integers(len(_BOARD_COLORS)))]
    ink = (30.0, 30.0, 35.0) if sum(back) > 450 else (240.0, 240.0, 240.0)
    for x in (-half * 0.7, half * 0.7):
        add_post(mesh, x, 0.06, 0, y + tall, STEEL)
    mesh.slot = 1
    mesh.face([(a, b, 0.06) for a, b in rectangle(-half, half, y, y + tall)], scaled(STEEL, 0.9), normal=(0, 0, 1))
    mesh.face([(a, b, -0.08) for a, b in rectangle(-half, half, y, y + tall)], ink, normal=(0, 0, -1))
    mesh.face(
        [(a, b, -0.085) for a, b in rectangle(-half + 0.06, half - 0.06, y + 0.06, y + tall - 0.06)],
        back,
        normal=(0, 0, -1),
    )
    for k in range(2):
        b = y + tall * (0.22 + 0.36 * k)
        mesh.face(
            [(p, q, -0.09) for p, q in rectangle(-half * 0.8, half * rng.uniform(0, 0.5), b, b + 0.16)],
            ink,
            normal=(0, 0, -1),
        )
        mesh.face(
            [(half * 0.6, b, -0.09), (half * 0.85, b + 0.08, -0.09), (half * 0.6, b + 0.16, -0.09)],
            ink,
            normal=(0, 0, -1),
        )
    return mesh.build(), y + tall
