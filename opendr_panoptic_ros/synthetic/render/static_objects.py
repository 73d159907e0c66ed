# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""StaticObjectFactory makes houses, walls, fences, hedges, trees and street furniture."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import numpy as np

from opendr_panoptic_ros.synthetic.render import furniture, textures
from opendr_panoptic_ros.synthetic.render.facades import facade
from opendr_panoptic_ros.synthetic.render.figure import Figure
from opendr_panoptic_ros.synthetic.render.furniture import Signal
from opendr_panoptic_ros.synthetic.render.mesh import Mesh, MeshBuilder
from opendr_panoptic_ros.synthetic.render.objects import SceneObject
from opendr_panoptic_ros.synthetic.render.palette import hsv, masonry_color, scaled
from opendr_panoptic_ros.synthetic.render.parts import BillboardPart, FigurePart, MeshPart, PanelPart, SwitchedPart
from opendr_panoptic_ros.synthetic.render.pose import stationary
from opendr_panoptic_ros.synthetic.render.rng import rng_for
from opendr_panoptic_ros.synthetic.render.segment_ids import (
    BUILDING_ID,
    FENCE_ID,
    LIGHT_ID,
    POLE_ID,
    VEGETATION_ID,
    WALL_ID,
)
from opendr_panoptic_ros.synthetic.render.textures import Texture

_TREES = ("round", "round2", "tall", "conifer")


class StaticObjectFactory:
    """Makes static objects and collects them in `objects`.

    Args:
        rng: Random number generator of all objects.
        is_night: Whether windows and lamps are lit.
    """

    def __init__(self, rng: np.random.Generator, *, is_night: bool) -> None:
        self.rng, self.is_night = rng, is_night
        self.objects: list[SceneObject] = []
        seed = int(rng.integers(2**32))
        self._crown = cache(lambda kind: textures.crown(rng_for(seed, sum(map(ord, kind))), kind.rstrip("2")))
        self._tree_kind = str(rng.choice(_TREES))

    def crown_texture(self, kind: str) -> Callable[[], Texture]:
        """Return a function that draws a crown; crowns of one kind share their texture.

        Args:
            kind: A kind of `textures.crown`; a "2" at its end selects another texture of that kind.
        """
        return partial(self._crown, kind)

    def add_house(self, side: int, x: float, z0: float, z1: float) -> None:
        """Add a house with front, ends and roof.

        Args:
            side: 0 for the left side of the street, 1 for the right side.
            x: Position of the front, metres.
            z0: Near end, metres.
            z1: Far end, metres.
        """
        rng, night = self.rng, self.is_night
        sign = (-1, 1)[side]
        depth, height = rng.uniform(8, 12), rng.uniform(5.5, 9) if rng.random() < 0.4 else rng.uniform(9, 19)
        middle_x, middle_z, length = x + sign * depth / 2, (z0 + z1) / 2, z1 - z0
        near, far = -sign * depth / 2, length / 2  # the front's x and the rear end's z, relative to the centre
        seed = int(rng.integers(2**32))  # one seed, so that front and ends have the same colour

        def draw_front() -> tuple[Texture, Texture]:
            return facade(rng_for(seed), length, height, night=night)

        def draw_end() -> tuple[Texture, Texture]:
            return facade(rng_for(seed), depth, height, scale=8, night=night, shop=False)

        left, right = (-far, far) if side == 0 else (far, -far)
        front = np.array([(near, 0, left), (near, 0, right), (near, height, right), (near, height, left)], float)
        parts: list[PanelPart | MeshPart] = []
        for z, normal in ((-far, -1.0), (far, 1.0)):
            a, b = (-depth / 2, depth / 2) if normal < 0 else (depth / 2, -depth / 2)
            corners = np.array([(a, 0, z), (b, 0, z), (b, height, z), (a, height, z)], float)
            parts.append(PanelPart(draw_end, corners, (0.0, 0.0, normal)))
        parts.append(PanelPart(draw_front, front, (float(-sign), 0.0, 0.0)))
        if rng.random() < 0.6:
            mesh, color = MeshBuilder(), scaled(masonry_color(rng), rng.uniform(0.45, 0.8))
            ridge, eave = height + rng.uniform(1.5, 4.0), 0.4
            section = [(-depth / 2 - eave, height), (0.0, ridge), (depth / 2 + eave, height)]
            mesh.solid([(p, q, -far - 0.2) for p, q in section], [(p, q, far + 0.2) for p, q in section], color)
            if rng.random() < 0.5:
                cz = rng.uniform(-0.7, 0.7) * far
                mesh.box((-0.5, 0.5), (height + 0.5, ridge + 1.0), (cz, cz + 0.9), scaled(masonry_color(rng), 0.7))
            parts.insert(0, MeshPart(((0.0, mesh.build()),)))
        self.objects.append(
            SceneObject(tuple(parts), (BUILDING_ID,), stationary(middle_x, middle_z), (depth / 2, far), height)
        )

    def add_boundary(self, x: float, z0: float, z1: float, kind: str | None = None) -> None:
        """Add a fence, wall or hedge along z.

        Args:
            x: Position, metres.
            z0: Near end, metres.
            z1: Far end, metres.
            kind: "fence", "wall", "hedge" or "open" (nothing); random if None.
        """
        rng = self.rng
        kind = kind or str(rng.choice(["fence", "wall", "hedge", "open"], p=[0.36, 0.36, 0.16, 0.12]))
        if kind == "open":
            return
        length = z1 - z0
        height = {"fence": rng.uniform(0.9, 1.8), "wall": rng.uniform(0.7, 2.6), "hedge": rng.uniform(0.8, 1.8)}[kind]
        color, seed = masonry_color(rng), int(rng.integers(2**32))

        def draw() -> tuple[Texture, None]:
            if kind == "fence":
                return textures.fence(rng_for(seed), length, height), None
            if kind == "wall":
                return textures.wall(rng_for(seed), length, height, color), None
            return textures.hedge(rng_for(seed), length, height), None

        half = length / 2
        corners = np.array([(0, 0, -half), (0, 0, half), (0, height, half), (0, height, -half)], float)
        if x > 0:
            corners = corners[[1, 0, 3, 2]]
        parts: list[PanelPart | MeshPart] = []
        if kind == "wall":
            mesh = MeshBuilder()
            mesh.box((-0.12, 0.12), (0, height), (-half, half), color)
            parts.append(MeshPart(((0.0, mesh.build()),)))
            corners = corners + np.array([-0.125 if x > 0 else 0.125, 0, 0])
        parts.append(PanelPart(draw, corners))
        id_ = {"fence": FENCE_ID, "wall": WALL_ID, "hedge": VEGETATION_ID}[kind]
        self.objects.append(SceneObject(tuple(parts), (id_,), stationary(x, (z0 + z1) / 2), (0.1, half), height))

    def add_tree(self, x: float, z: float, *, small: bool = False) -> None:
        """Add a tree; trunk and crown are vegetation.

        Args:
            x: Position to the right, metres.
            z: Position along the street, metres.
            small: Whether it is a small tree.
        """
        rng = self.rng
        kind = self._tree_kind if rng.random() < 0.7 else str(rng.choice(_TREES))
        height = rng.uniform(3.0, 5.0) if small else rng.uniform(5.0, 11.0)
        wide = height * (rng.uniform(0.55, 0.85) if kind.startswith("round") else rng.uniform(0.4, 0.55))
        base = height * (0.08 if kind == "conifer" else rng.uniform(0.22, 0.36))
        trunk = Figure()
        bark = hsv(rng.uniform(0.05, 0.12), rng.uniform(0.1, 0.45), rng.uniform(0.2, 0.45))
        lean = rng.normal(0, 0.03) * height
        trunk.limb((0, 0, 0), (lean, base + 0.3 * height, 0), 0.022 * height, bark, 0.014 * height)
        if kind != "conifer":
            for _ in range(3):
                trunk.limb(
                    (lean * 0.8, base, 0),
                    (rng.normal(0, 0.13) * height, height * rng.uniform(0.5, 0.7), 0),
                    0.011 * height,
                    bark,
                )
        parts = (FigurePart(lambda _t: trunk), BillboardPart(self.crown_texture(kind), wide, height - base, base))
        half = 0.3 * wide
        self.objects.append(
            SceneObject(parts, (VEGETATION_ID,), stationary(x, z), (half, half), height * 0.95, base + 0.2)
        )

    def add_bush(self, x: float, z: float) -> None:
        """Add a bush.

        Args:
            x: Position to the right, metres.
            z: Position along the street, metres.
        """
        height = self.rng.uniform(0.7, 2.0)
        texture = self.crown_texture(("bush", "bush2")[int(self.rng.integers(2))])
        wide = height * self.rng.uniform(1.0, 1.7)
        parts = (BillboardPart(texture, wide, height),)
        self.objects.append(
            SceneObject(parts, (VEGETATION_ID,), stationary(x, z), (0.35 * wide, 0.35 * wide), height * 0.7)
        )

    def add_furniture(
        self, mesh: Mesh, x: float, z: float, height: float, ids: tuple[int, ...], *, yaw: float = 0.0
    ) -> None:
        """Add a piece of street furniture.

        Args:
            mesh: Its mesh.
            x: Position to the right, metres.
            z: Position along the street, metres.
            height: Height in metres, for its shadow.
            ids: Segment id of each slot of the mesh.
            yaw: Heading in radians.
        """
        self.objects.append(
            SceneObject((MeshPart(((0.0, mesh),)),), ids, stationary(x, z, yaw), (0.12, 0.12), height, reach_m=3.0)
        )

    def add_traffic_light(
        self, x: float, z: float, *, yaw: float, reach: float, signal: Callable[[float], Signal]
    ) -> None:
        """Add a traffic light.

        Args:
            x: Position to the right, metres.
            z: Position along the street, metres.
            yaw: Heading in radians; 0 faces -z.
            reach: Length in metres of its arm over the road; 0 for no arm.
            signal: Its state by time in seconds.
        """
        seed = int(self.rng.integers(2**32))

        @cache
        def draw(shown: Signal) -> MeshPart:
            return MeshPart(((0.0, furniture.traffic_light(rng_for(seed), reach=reach, signal=shown)),))

        part, top_m = SwitchedPart(draw, signal), 5.5 if reach else 3.3
        self.objects.append(
            SceneObject((part,), (POLE_ID, LIGHT_ID), stationary(x, z, yaw), (0.12, 0.12), top_m, reach_m=reach + 1)
        )
