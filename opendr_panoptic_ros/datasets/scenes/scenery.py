"""What stands still along a street: houses, walls, fences, hedges, trees, lamps, lights and signs."""

from __future__ import annotations

from functools import cache

import numpy as np

from opendr_panoptic_ros.datasets.scenes import street as furniture
from opendr_panoptic_ros.datasets.scenes import textures
from opendr_panoptic_ros.datasets.scenes.camera import Light, stream
from opendr_panoptic_ros.datasets.scenes.figure import Figure
from opendr_panoptic_ros.datasets.scenes.ground import STUFF_IDS, Street
from opendr_panoptic_ros.datasets.scenes.items import Cutout, Item, Moving, Panel, Solid, fixed
from opendr_panoptic_ros.datasets.scenes.mesh import MeshBuilder
from opendr_panoptic_ros.datasets.scenes.palette import hsv, masonry, scaled
from opendr_panoptic_ros.datasets.scenes.textures import Texture

BUILDING, WALL, FENCE, POLE, LIGHT, SIGN, VEGETATION = (STUFF_IDS[i] for i in (2, 3, 4, 5, 6, 7, 8))
VOID_ID = 0


def draw_street(rng: np.random.Generator, length_m: float, *, crossings_m: list[float]) -> Street:
    """A random cross-section, with side streets of random width that begin at `crossings_m`."""
    lane = rng.uniform(2.9, 3.5)
    per_side = (int(rng.random() < 0.25) + 1, int(rng.random() < 0.3) + 1)
    lanes = [(-lane * (k + 0.5), -1) for k in range(per_side[0])] + [(lane * (k + 0.5), 1) for k in range(per_side[1])]
    parked = (rng.random() < 0.55, rng.random() < 0.55)
    edges = [-lane * per_side[0], lane * per_side[1]]
    parking = []
    kerbs = []
    for side, sign in enumerate((-1, 1)):
        if parked[side]:
            parking.append(edges[side] + sign * 1.15)
        kerbs.append(edges[side] + sign * (2.3 if parked[side] else rng.uniform(0.2, 1.6)))
    verges, walks, fronts = [], [], []
    for side, sign in enumerate((-1, 1)):
        start = kerbs[side]
        width = rng.uniform(1.6, 4.2)
        if rng.random() < 0.4:
            grass = rng.uniform(1.0, 3.0)
            verges.append(
                (min(start + sign * 0.16, start + sign * grass), max(start + sign * 0.16, start + sign * grass))
            )
            start += sign * grass
        walks.append((min(start, start + sign * width), max(start, start + sign * width)))
        fronts.append(start + sign * width)
    crossings = tuple((z, z + rng.uniform(6.5, 9.5)) for z in crossings_m)
    tram = rng.random()
    return Street(
        lane_m=lane, lanes=tuple(sorted(lanes)), parking=tuple(parking), kerbs=(kerbs[0], kerbs[1]),
        verges=tuple(verges), walks=(walks[0], walks[1]), fronts=(fronts[0], fronts[1]), crossings=crossings,
        rails_x=float(rng.choice([x for x, _ in lanes])) if tram < 0.35 else None,
        rails_cross=0 if crossings and 0.2 < tram < 0.55 else None,
        z_range=(-8.0, length_m), green=(rng.random() < 0.5, rng.random() < 0.5),
    )  # fmt: skip


class Scenery:
    """Fills a street. `items` are complete after `build`."""

    def __init__(self, rng: np.random.Generator, street: Street, light: Light) -> None:
        self.rng, self.street, self.light = rng, street, light
        self.items: list[Item] = []
        self._crowns = {kind: textures.crown(rng, kind) for kind in ("round", "tall", "conifer")}
        self._crowns["round2"] = textures.crown(rng, "round")
        self._bushes = [textures.crown(rng, "bush") for _ in range(2)]
        self._tree_kind = str(rng.choice(list(self._crowns)))

    def build(self) -> list[Item]:
        """All the items."""
        for side in (0, 1):
            self._plots(side)
            self._kerbside(side)
        self._skyline()
        for number in range(len(self.street.crossings)):
            self._junction(number)
        return self.items

    def _free(self, z: float, margin: float) -> bool:
        return not any(a - margin < z < b + margin for a, b in self.street.crossings)

    def _plots(self, side: int) -> None:
        """Everything from the sidewalk's far edge on."""
        rng, street = self.rng, self.street
        sign, front = (-1, 1)[side], street.fronts[side]
        z, end = street.z_range[0], street.z_range[1] + 30
        urban = rng.uniform(0.15, 0.85)
        while z < end:
            length = rng.uniform(7, 20)
            for a, b in street.crossings:
                if a - 2 < z < b + 1.5:
                    z = b + 1.5
                elif z < a - 2 < z + length:
                    length = a - 2 - z
            if length < 3:
                z += length + 0.1
                continue
            if rng.random() < urban:
                self.house(side, front + sign * rng.choice([0.0, 0.0, 0.5]), z, z + length)
            else:
                self._garden(side, front, z, z + length, has_house=rng.random() < 0.6)
            z += length + (rng.uniform(0.5, 4.0) if rng.random() < 0.25 else 0.0)

    def house(self, side: int, x: float, z0: float, z1: float) -> None:
        """A house whose front is at x; its ends and roof are seen too."""
        rng, night = self.rng, self.light.is_night
        sign = (-1, 1)[side]
        depth, height = rng.uniform(8, 12), rng.uniform(5.5, 9) if rng.random() < 0.4 else rng.uniform(9, 19)
        middle_x, middle_z, length = x + sign * depth / 2, (z0 + z1) / 2, z1 - z0
        near, far = -sign * depth / 2, length / 2  # the front's x and the rear end's z, seen from the middle
        seed = int(rng.integers(2**32))  # the same for front and ends: they get one colour

        def draw_front() -> tuple[Texture, Texture]:
            return textures.facade(stream(seed), length, height, night=night)

        def draw_end() -> tuple[Texture, Texture]:
            return textures.facade(stream(seed), depth, height, night=night, shop=False)

        left, right = (-far, far) if side == 0 else (far, -far)
        front = np.array([(near, 0, left), (near, 0, right), (near, height, right), (near, height, left)], float)
        parts: list[Panel | Solid] = []
        for z, normal in ((-far, -1.0), (far, 1.0)):
            a, b = (-depth / 2, depth / 2) if normal < 0 else (depth / 2, -depth / 2)
            corners = np.array([(a, 0, z), (b, 0, z), (b, height, z), (a, height, z)], float)
            parts.append(Panel(draw_end, corners, (0.0, 0.0, normal)))
        parts.append(Panel(draw_front, front, (float(-sign), 0.0, 0.0)))
        if rng.random() < 0.6:
            mesh, color = MeshBuilder(), scaled(masonry(rng), rng.uniform(0.45, 0.8))
            ridge, eave = height + rng.uniform(1.5, 4.0), 0.4
            section = [(-depth / 2 - eave, height), (0.0, ridge), (depth / 2 + eave, height)]
            mesh.solid([(p, q, -far - 0.2) for p, q in section], [(p, q, far + 0.2) for p, q in section], color)
            if rng.random() < 0.5:
                cz = rng.uniform(-0.7, 0.7) * far
                mesh.box((-0.5, 0.5), (height + 0.5, ridge + 1.0), (cz, cz + 0.9), scaled(masonry(rng), 0.7))
            parts.insert(0, Solid(((0.0, mesh.build()),)))
        self.items.append(
            Item(tuple(parts), (BUILDING,), fixed(middle_x, middle_z), (depth / 2, far), height)
        )  # fmt: skip

    def _garden(self, side: int, front: float, z0: float, z1: float, *, has_house: bool) -> None:
        """A fence, wall or hedge along the sidewalk, with plants and perhaps a house behind."""
        rng, sign = self.rng, (-1, 1)[side]
        self.boundary(front + sign * 0.12, z0, z1)
        back = front + sign * rng.uniform(4.0, 9.0)
        if has_house and z1 - z0 > 6:
            self.house(side, back, z0 + 0.8, z1 - 0.8)
        else:
            for _ in range(int(rng.integers(2, 6))):
                self.tree(front + sign * rng.uniform(5, 20), rng.uniform(z0, z1))
        for _ in range(int(rng.integers(0, 4))):
            x, z = front + sign * rng.uniform(1.0, 3.5), rng.uniform(z0 + 0.5, z1 - 0.5)
            self.bush(x, z) if rng.random() < 0.6 else self.tree(x, z)

    def boundary(self, x: float, z0: float, z1: float, kind: str | None = None) -> None:
        """A fence, wall or hedge along z at x."""
        rng = self.rng
        kind = kind or str(rng.choice(["fence", "wall", "hedge", "open"], p=[0.36, 0.36, 0.16, 0.12]))
        if kind == "open":
            return
        length = z1 - z0
        height = {"fence": rng.uniform(0.9, 1.8), "wall": rng.uniform(0.7, 2.6), "hedge": rng.uniform(0.8, 1.8)}[kind]
        color, seed = masonry(rng), int(rng.integers(2**32))

        def draw() -> tuple[Texture, None]:
            if kind == "fence":
                return textures.fence(stream(seed), length, height), None
            if kind == "wall":
                return textures.wall(stream(seed), length, height, color), None
            return textures.hedge(stream(seed), length, height), None

        half = length / 2
        corners = np.array([(0, 0, -half), (0, 0, half), (0, height, half), (0, height, -half)], float)
        if x > 0:
            corners = corners[[1, 0, 3, 2]]
        parts: list[Panel | Solid] = []
        if kind == "wall":
            mesh = MeshBuilder()
            mesh.box((-0.12, 0.12), (0, height), (-half, half), color)
            parts.append(Solid(((0.0, mesh.build()),)))
            corners = corners + (-0.125 if x > 0 else 0.125, 0, 0)
        parts.append(Panel(draw, corners))
        id_ = {"fence": FENCE, "wall": WALL, "hedge": VEGETATION}[kind]
        self.items.append(Item(tuple(parts), (id_,), fixed(x, (z0 + z1) / 2), (0.1, half), height))

    def tree(self, x: float, z: float, *, small: bool = False) -> None:
        """A tree; trunk and crown are vegetation."""
        rng = self.rng
        kind = self._tree_kind if rng.random() < 0.7 else str(rng.choice(list(self._crowns)))
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
        parts = (Moving(lambda _t: trunk), Cutout(self._crowns[kind], wide, height - base, base))
        half = 0.3 * wide
        self.items.append(Item(parts, (VEGETATION,), fixed(x, z), (half, half), height * 0.95, base + 0.2))

    def bush(self, x: float, z: float) -> None:
        """A bush."""
        height = self.rng.uniform(0.7, 2.0)
        texture = self._bushes[int(self.rng.integers(2))]
        wide = height * self.rng.uniform(1.0, 1.7)
        parts = (Cutout(texture, wide, height),)
        self.items.append(Item(parts, (VEGETATION,), fixed(x, z), (0.35 * wide, 0.35 * wide), height * 0.7))

    def _kerbside(self, side: int) -> None:
        """Lamps, trees, poles, signs, railings between kerb and sidewalk."""
        rng, street = self.rng, self.street
        sign, kerb = (-1, 1)[side], street.kerbs[side]
        z0, z1 = street.z_range
        x = kerb + sign * 0.5
        step = rng.uniform(16, 30)
        for z in np.arange(z0 + rng.uniform(8, 18), z1, step):
            if self._free(z, 1.0):
                mesh, height = furniture.lamp(rng, night=self.light.is_night)
                self.stand(mesh, x, z, height, (POLE, POLE), yaw=0.0 if side else np.pi)
        if rng.random() < 0.55:
            step, offset = rng.uniform(6, 13), rng.uniform(0, 8)
            verge = next((v for v in street.verges if (v[0] > 0) == bool(side)), None)
            tree_x = (verge[0] + verge[1]) / 2 if verge else kerb + sign * 0.8
            for z in np.arange(z0 + 6 + offset, z1, step):
                if self._free(z, 2.5) and rng.random() < 0.85:
                    self.tree(tree_x, z + rng.uniform(-0.5, 0.5), small=rng.random() < 0.4)
        for z in np.arange(z0 + rng.uniform(9, 16), z1, rng.uniform(9, 17)):
            if self._free(z, 1.5):
                draw = rng.random()
                mesh, height = furniture.sign(rng) if draw < 0.6 else furniture.pole(rng)
                back = rng.random() < 0.2
                self.stand(
                    mesh,
                    x + sign * rng.uniform(-0.1, 0.5),
                    z,
                    height,
                    (POLE, SIGN),
                    yaw=rng.normal(0, 0.12) + back * np.pi,
                )
        if rng.random() < 0.3:
            start = rng.uniform(z0 + 10, max(z1 - 10, z0 + 11))
            length = rng.uniform(6, 14)
            if all(self._free(start + k * length, 1.0) for k in (0.0, 0.25, 0.5, 0.75, 1.0)):
                self.boundary(kerb + sign * 0.3, start, start + length, "fence" if rng.random() < 0.7 else "hedge")
        if rng.random() < 0.12:
            mesh, height = furniture.clutter(rng)
            self.stand(mesh, kerb + sign * 0.9, rng.uniform(z0 + 12, z0 + 40), height, (VOID_ID,))

    def stand(self, mesh: object, x: float, z: float, height: float, ids: tuple[int, ...], *, yaw: float = 0.0) -> None:
        """Put up a piece of street furniture."""
        self.items.append(Item((Solid(((0.0, mesh),)),), ids, fixed(x, z, yaw), (0.12, 0.12), height))  # type: ignore[arg-type]

    def _junction(self, number: int) -> None:
        """Traffic lights at a side street, and houses or trees along it."""
        rng, street = self.rng, self.street
        a, b = street.crossings[number]
        if rng.random() < 0.8:
            reach = rng.uniform(2.5, 5.0) if rng.random() < 0.4 else 0.0
            state = int(rng.choice([0, 1, 2]))
            for x, z, yaw, arm in (
                (street.kerbs[1] + 0.5, a - 3.9, 0.0, reach), (street.kerbs[0] - 0.5, a - 3.9, 0.0, 0.0),
                (street.kerbs[0] - 0.5, b + 3.9, np.pi, 0.0), (street.kerbs[1] + 0.6, b + 3.6, 0.0, 0.0),
            ):  # fmt: skip
                if rng.random() < 0.85:
                    mesh, height = furniture.traffic_light(rng, reach=arm, state=state)
                    self.stand(mesh, x, z, height, (POLE, LIGHT), yaw=yaw)
        for side, sign in enumerate((-1, 1)):
            for k in range(3):
                if rng.random() < 0.6:
                    self.tree(street.fronts[side] + sign * (14 + 9 * k), b + rng.uniform(2, 5))

    def _skyline(self) -> None:
        """Far houses and woods that close the view."""
        rng = self.rng
        z = self.street.z_range[1] + 45
        seed, night = int(rng.integers(2**32)), self.light.is_night

        @cache
        def draw() -> tuple[Texture, Texture]:
            return textures.facade(stream(seed), 16, 14, scale=6, night=night)

        x = -90.0
        while x < 90:
            width = rng.uniform(10, 22)
            at = z + rng.uniform(0, 40)
            if rng.random() < 0.45:
                height = rng.uniform(7, 22)
                corners = np.array(
                    [(-width / 2, 0, 0), (width / 2, 0, 0), (width / 2, height, 0), (-width / 2, height, 0)]
                )
                part = Panel(draw, corners, (0.0, 0.0, -1.0))
                self.items.append(
                    Item((part,), (BUILDING,), fixed(x, at), (width / 2, 0.1), height, casts_shadow=False)
                )
            else:
                crown = Cutout(
                    self._crowns["round" if rng.random() < 0.7 else "tall"], width * 1.3, rng.uniform(8, 17), -1.5
                )
                self.items.append(Item((crown,), (VEGETATION,), fixed(x, at), (width / 2, 0.1), 10, casts_shadow=False))
            x += width * 0.75
