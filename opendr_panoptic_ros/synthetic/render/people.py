# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Pedestrians and riders as figures; they face positive z and stand on y = 0."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from opendr_panoptic_ros.synthetic.render.figure import Figure
from opendr_panoptic_ros.synthetic.render.palette import Rgb, cloth_color, hair_color, hsv, scaled, skin_color

Vec = tuple[float, float, float]


@dataclass(frozen=True)
class Appearance:
    """Body and clothes of a person.

    Attributes:
        height: Height in metres.
        girth: Girth as a factor.
        skin: Colour of the skin.
        hair: Colour of hair and hat.
        top: Colour of the upper garment.
        trousers: Colour of trousers or skirt.
        shoes: Colour of the shoes.
        coat: Whether the upper garment reaches the knees.
        skirt: Whether there is a skirt.
        shorts: Whether the lower legs are bare.
        long_hair: Whether the hair is long.
        hat: Whether there is a hat.
        bag: Colour of a bag on the back, or None.
        helmet: Colour of the helmet or hat.
    """

    height: float
    girth: float
    skin: Rgb
    hair: Rgb
    top: Rgb
    trousers: Rgb
    shoes: Rgb
    coat: bool
    skirt: bool
    shorts: bool
    long_hair: bool
    hat: bool
    bag: Rgb | None
    helmet: Rgb

    @classmethod
    def random(cls, rng: np.random.Generator, *, adult: bool = False) -> Appearance:
        """Return a random appearance.

        Args:
            rng: Random number generator.
            adult: Whether children are excluded.
        """
        child = not adult and rng.random() < 0.12
        return cls(
            height=rng.uniform(1.1, 1.35) if child else rng.uniform(1.58, 1.92),
            girth=rng.uniform(0.9, 1.3),
            skin=skin_color(rng),
            hair=hair_color(rng),
            top=cloth_color(rng),
            trousers=cloth_color(rng),
            shoes=scaled(cloth_color(rng), 0.7),
            coat=rng.random() < 0.25,
            skirt=rng.random() < 0.18,
            shorts=rng.random() < 0.15,
            long_hair=rng.random() < 0.4,
            hat=rng.random() < 0.2,
            bag=cloth_color(rng) if rng.random() < 0.35 else None,
            helmet=hsv(rng.random(), rng.uniform(0, 0.9), rng.uniform(0.2, 0.95)),
        )


def _head(figure: Figure, look: Appearance, neck: Vec, lean: float, helmet: bool) -> None:
    """Add neck, head, and hair, hat or helmet."""
    h, (x, y, z) = look.height, neck
    center = (x, y + 0.1 * h, z + lean * 0.06)
    figure.limb(neck, center, 0.03 * h, scaled(look.skin, 0.85))
    figure.limb(
        (x, center[1] - 0.015 * h, center[2] + 0.012), (x, center[1] + 0.02 * h, center[2] + 0.01), 0.056 * h, look.skin
    )
    crown = look.helmet if helmet or look.hat else look.hair
    size = 0.07 if helmet else 0.06
    figure.limb(
        (x, center[1] + 0.035 * h, center[2] - 0.03), (x, center[1] + 0.045 * h, center[2] + 0.02), size * h, crown
    )
    if look.long_hair and not helmet:
        figure.limb((x, center[1], center[2] - 0.05), (x, y - 0.01 * h, z - 0.06), 0.045 * h, look.hair)


def person_figure(look: Appearance, phase: float, *, walking: bool) -> Figure:
    """Return a pedestrian.

    Args:
        look: Body and clothes.
        phase: Phase of the gait in strides of two steps; its fraction counts.
        walking: Whether legs and arms swing.
    """
    figure = Figure()
    h, g = look.height, look.girth
    swing = 0.42 * np.sin(2 * np.pi * phase) if walking else 0.04
    hip, shoulder = 0.5 * h, 0.81 * h
    for side in (-1, 1):
        angle = swing * side
        bend = max(0.0, -angle) * 1.1 + 0.05 if walking else 0.03
        knee = (side * 0.05 * h, hip - 0.25 * h * np.cos(angle), 0.25 * h * np.sin(angle))
        ankle = (
            side * 0.05 * h,
            max(knee[1] - 0.22 * h * np.cos(angle - bend), 0.04),
            knee[2] + 0.22 * h * np.sin(angle - bend),
        )
        bare = look.shorts or look.skirt
        figure.limb((side * 0.045 * h, hip, 0), knee, 0.047 * h * g, look.trousers, 0.036 * h * g)
        figure.limb(knee, ankle, 0.034 * h * g, look.skin if bare else look.trousers, 0.026 * h)
        figure.limb(
            (ankle[0], ankle[1] - 0.01, ankle[2] - 0.02),
            (ankle[0], ankle[1] - 0.015, ankle[2] + 0.07 * h),
            0.024 * h,
            look.shoes,
        )
        arm = -angle * 0.9
        elbow = (side * (0.13 * h * g), shoulder - 0.17 * h * np.cos(arm), 0.17 * h * np.sin(arm))
        hand = (elbow[0], elbow[1] - 0.14 * h * np.cos(arm + 0.25), elbow[2] + 0.14 * h * np.sin(arm + 0.25))
        figure.limb((side * 0.105 * h * g, shoulder - 0.01 * h, 0), elbow, 0.032 * h * g, look.top)
        figure.limb(elbow, hand, 0.028 * h, scaled(look.top, 0.93), 0.022 * h)
        figure.limb(hand, (hand[0], hand[1] - 0.03 * h, hand[2]), 0.022 * h, look.skin)
    low = 0.3 * h if look.coat else 0.5 * h
    if look.skirt:
        figure.limb((0, 0.5 * h, 0), (0, 0.33 * h, 0), 0.07 * h * g, look.trousers, 0.1 * h * g)
    for side in (-1, 1):  # two capsules: a chest is wider than deep
        figure.limb(
            (side * 0.055 * h * g, shoulder - 0.035 * h, 0),
            (side * 0.035 * h * g, low, 0),
            0.055 * h * g,
            look.top,
            0.06 * h * g if look.coat else 0.05 * h * g,
        )
    if look.bag:
        figure.limb((0, 0.76 * h, -0.1 * h), (0, 0.6 * h, -0.11 * h), 0.07 * h, look.bag)
    _head(figure, look, (0, 0.83 * h, 0), 0.0, False)
    return figure


def add_rider(figure: Figure, look: Appearance, seat: Vec, grip: Vec, pedals: tuple[Vec, Vec], helmet: bool) -> None:
    """Add a seated person.

    Args:
        figure: The figure that gets the limbs.
        look: Body and clothes.
        seat: Position of the seat, metres.
        grip: Position of the right grip, metres; the left one is its mirror image.
        pedals: Positions of the left and the right foot, metres.
        helmet: Whether the rider wears a helmet.
    """
    h, g = look.height, look.girth
    lean = 0.5 * (grip[2] - seat[2])
    neck = (0.0, seat[1] + 0.31 * h, seat[2] + 0.62 * lean)
    for side, foot in zip((-1, 1), pedals, strict=True):
        hip = (side * 0.05 * h, seat[1] + 0.03, seat[2])
        knee = (side * 0.075 * h, 0.5 * (hip[1] + foot[1]) + 0.09 * h, 0.5 * (hip[2] + foot[2]) + 0.13 * h)
        figure.limb(hip, knee, 0.05 * h * g, look.trousers, 0.04 * h)
        figure.limb(knee, foot, 0.036 * h, look.skin if look.shorts else look.trousers, 0.028 * h)
        figure.limb(foot, (foot[0], foot[1] - 0.01, foot[2] + 0.07 * h), 0.026 * h, look.shoes)
        shoulder = (side * 0.11 * h * g, neck[1] - 0.03 * h, neck[2])
        elbow = (side * 0.15 * h * g, 0.5 * (shoulder[1] + grip[1]) - 0.05 * h, 0.5 * (shoulder[2] + grip[2]))
        hand = (side * grip[0], grip[1] + 0.03, grip[2])
        figure.limb(shoulder, elbow, 0.033 * h * g, look.top)
        figure.limb(elbow, hand, 0.029 * h, scaled(look.top, 0.93), 0.024 * h)
        figure.limb(
            (side * 0.055 * h * g, neck[1] - 0.04 * h, neck[2]),
            (side * 0.04 * h, seat[1] + 0.03 * h, seat[2]),
            0.055 * h * g,
            look.top,
        )
    if look.bag:
        figure.limb(
            (0, neck[1] - 0.07 * h, neck[2] - 0.1 * h),
            (0, seat[1] + 0.12 * h, seat[2] + 0.2 * lean - 0.09 * h),
            0.065 * h,
            look.bag,
        )
    _head(figure, look, neck, lean, helmet)
