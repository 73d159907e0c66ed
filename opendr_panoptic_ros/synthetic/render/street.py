# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The layout of a street: its cross-section and its side streets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

KERB_HEIGHT_M = 0.12
KERB_WIDTH_M = 0.16
_PARKING_WIDTH_M = 2.3


@dataclass(frozen=True)
class Street:
    """The layout of a street, in metres. Traffic keeps to the right.

    Attributes:
        lane_m: Width of a lane.
        lanes: x of the centre of each lane and its direction: +1 along z, -1 against it.
        parking: x of the centre of each row of parked cars.
        kerbs: x of the left and the right kerb.
        verges: x ranges of grass between kerb and sidewalk.
        walks: x ranges of the left and the right sidewalk.
        fronts: x where the plots begin, left and right.
        crossings: z ranges of the side streets.
        rails_x: x of the lane with tram rails, or None.
        rails_cross: Index of the side street with tram rails, or None.
        z_range: z range along which the street has houses.
        green: Whether the plots on the left and on the right are grass.
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
        """Return whether a position keeps a distance from all side streets.

        Args:
            z: Position along the street, metres.
            margin_m: The distance, metres.
        """
        return not any(a - margin_m < z < b + margin_m for a, b in self.crossings)

    def side_street_lane(self, direction: int, number: int = 0) -> float:
        """Return z of the centre of a lane of a side street.

        Args:
            direction: +1 for the lane to the right, -1 for the lane to the left.
            number: Index of the side street in `crossings`.
        """
        a, b = self.crossings[number]
        return a + (b - a) * (0.27 if direction > 0 else 0.73)


def draw_street(rng: np.random.Generator, length_m: float, *, crossings_m: list[float]) -> Street:
    """Return a random street.

    Args:
        rng: Random number generator.
        length_m: Length of the street with houses, from z = 0.
        crossings_m: z at which the side streets begin; their widths are random.
    """
    lane = rng.uniform(2.9, 3.5)
    per_side = (int(rng.random() < 0.25) + 1, int(rng.random() < 0.3) + 1)
    lanes = [(-lane * (k + 0.5), -1) for k in range(per_side[0])] + [(lane * (k + 0.5), 1) for k in range(per_side[1])]
    parked = (rng.random() < 0.55, rng.random() < 0.55)
    edges = [-lane * per_side[0], lane * per_side[1]]
    parking = []
    kerbs = []
    for side, sign in enumerate((-1, 1)):
        if parked[side]:
            parking.append(edges[side] + sign * _PARKING_WIDTH_M / 2)
        kerbs.append(edges[side] + sign * (_PARKING_WIDTH_M if parked[side] else rng.uniform(0.2, 1.6)))
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
        lane_m=lane,
        lanes=tuple(sorted(lanes)),
        parking=tuple(parking),
        kerbs=(kerbs[0], kerbs[1]),
        verges=tuple(verges),
        walks=(walks[0], walks[1]),
        fronts=(fronts[0], fronts[1]),
        crossings=crossings,
        rails_x=float(rng.choice([x for x, _ in lanes])) if tram < 0.35 else None,
        rails_cross=0 if crossings and 0.2 < tram < 0.55 else None,
        z_range=(-8.0, length_m),
        green=(rng.random() < 0.5, rng.random() < 0.5),
    )
