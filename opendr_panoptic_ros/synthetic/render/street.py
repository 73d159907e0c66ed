# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Street: the cross-section of a street and its side streets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

KERB_HEIGHT_M = 0.12
KERB_WIDTH_M = 0.16


@dataclass(frozen=True)
class Street:
    """The street's cross-section and its side streets, in metres; x is to the right, traffic keeps right.

    lanes: (x of the middle, direction +1 away or -1 towards). parking: x of the middle of each row of parked cars.
    kerbs: x of the left and right kerb. walks: x-ranges of the sidewalks. fronts: x where the plots begin.
    verges: x-ranges of grass between kerb and sidewalk. crossings: z-ranges of the side streets. rails_x: the lane
    with tram rails. rails_cross: the side street with tram rails. z_range: from where to where there are houses.
    green: whether the plots on the left and right are grass.
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

    def is_clear(self, z: float, margin_m: float) -> bool:
        """Whether no side street is that near."""
        return not any(a - margin_m < z < b + margin_m for a, b in self.crossings)


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
                (
                    min(start + sign * KERB_WIDTH_M, start + sign * grass),
                    max(start + sign * KERB_WIDTH_M, start + sign * grass),
                )
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
