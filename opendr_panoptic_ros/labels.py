# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""ClassTable: names, colours, kinds (stuff or thing) and dataset ids of the train ids."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.errors import ConfigError, plain, quoted

VOID = 255
"""Train id of pixels that belong to no class."""


@dataclass(frozen=True)
class ClassTable:
    """The classes of a network in the order of their train ids: all stuff first, then all things.

    Attributes:
        names: Unique names, 1 to 254 of them.
        num_stuff: Number of stuff classes.
        colors: RGB colour of each class, 0 to 255.
        dataset_ids: Unique id of each class in the scheme of the dataset (Cityscapes: 7 to 33), 1 to 999: the id of a
            thing's segment is `dataset_id * 1000 + k` there.
        ids: Unique id of each class in predictions, 0 to 254. The train ids, unless a label map has replaced them.

    Raises:
        ConfigError: A value is not legal, or the lists differ in length.
    """

    names: tuple[str, ...]
    num_stuff: int
    colors: tuple[tuple[int, int, int], ...]
    dataset_ids: tuple[int, ...]
    ids: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        count = len(self.names)
        if not all(isinstance(name, str) and name for name in self.names):
            raise ConfigError(
                f"classes.names has an entry that is not a string: {quoted(self.names)}; put numbers in quotes."
            )
        if not 0 < count < VOID or len(set(self.names)) != count:
            raise ConfigError(f"classes.names has {count} entries, some may be equal; expected 1 to 254 unique names.")
        if len(self.colors) != count or len(self.dataset_ids) != count:
            raise ConfigError(
                f"classes has {count} names, {len(self.colors)} colors and {len(self.dataset_ids)} dataset_ids; "
                "expected as many of each."
            )
        if not 0 <= self.num_stuff <= count:
            raise ConfigError(f"classes.num_stuff is {self.num_stuff}; expected 0 to {count}, the number of names.")
        if any(len(color) != 3 or not all(0 <= value <= 255 for value in color) for color in self.colors):
            raise ConfigError("classes.colors has an entry that is not three numbers from 0 to 255.")
        if any(not 0 < dataset_id < 1000 for dataset_id in self.dataset_ids):
            raise ConfigError("classes.dataset_ids has an id outside 1 to 999.")
        if len(set(self.dataset_ids)) != count:
            raise ConfigError(
                f"classes.dataset_ids is {quoted(self.dataset_ids)}; expected an id of its own for each class."
            )
        object.__setattr__(self, "ids", self.ids or tuple(range(count)))
        if len(set(self.ids)) != count or not all(0 <= class_id < VOID for class_id in self.ids):
            raise ConfigError(f"classes.ids is {quoted(self.ids)}; expected {count} different ids from 0 to 254.")

    def __len__(self) -> int:
        return len(self.names)

    @property
    def num_things(self) -> int:
        """Number of thing classes."""
        return len(self.names) - self.num_stuff

    def is_thing(self, class_id: int) -> bool:
        """Test whether a class is a thing.

        Args:
            class_id: Id of the class in predictions; 255 (void) and unknown ids are not things.

        Returns:
            Whether instances of the class are separate segments.
        """
        return self._positions.get(class_id, -1) >= self.num_stuff

    def position(self, class_id: int) -> int:
        """Return the place of a class in the lists of this table.

        Args:
            class_id: Id of the class in predictions.

        Raises:
            KeyError: There is no such class.
        """
        return self._positions[class_id]

    @cached_property
    def _positions(self) -> dict[int, int]:
        return {class_id: position for position, class_id in enumerate(self.ids)}

    @cached_property
    def palette(self) -> NDArray[np.uint8]:
        """`(256, 3)` uint8: RGB colour by class id; black for void and for ids without a class."""
        palette = np.zeros((256, 3), np.uint8)
        palette[list(self.ids)] = self.colors
        return palette

    def to_dict(self) -> dict[str, Any]:
        """Return the table as lists, strings and numbers, for YAML or JSON and for `from_dict`."""
        return {
            "names": list(self.names),
            "num_stuff": self.num_stuff,
            "colors": [list(color) for color in self.colors],
            "dataset_ids": list(self.dataset_ids),
        }

    @classmethod
    def unnamed(cls, num_stuff: int, num_things: int) -> ClassTable:
        """Make a table for weights without class names.

        Args:
            num_stuff: Number of stuff classes.
            num_things: Number of thing classes.

        Returns:
            A table with the names `stuff 1`, …, `thing 1`, ….
        """
        names = [f"stuff {i + 1}" for i in range(num_stuff)] + [f"thing {i + 1}" for i in range(num_things)]
        return cls.from_dict({"names": names, "num_stuff": num_stuff})

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ClassTable:
        """Make a table from a mapping, as `to_dict` returns it.

        Args:
            values: `names` and `num_stuff`, and optionally `colors` (default: distinct hues) and `dataset_ids`
                (default: from 1).

        Returns:
            The table.

        Raises:
            ConfigError: An entry is unknown, missing or malformed.
        """
        unknown = set(values) - {"names", "num_stuff", "colors", "dataset_ids"}
        if unknown or not {"names", "num_stuff"} <= set(values):
            raise ConfigError(
                f"classes has the entries {quoted(sorted(map(str, values)))}; expected names and num_stuff, "
                "and if wanted colors and dataset_ids."
            )
        names, colors, dataset_ids = values["names"], values.get("colors"), values.get("dataset_ids")
        if not isinstance(names, list | tuple):
            raise ConfigError(f"classes.names is {quoted(names)}; expected a list of words.")
        try:
            return cls(
                names=tuple(names),
                num_stuff=operator.index(values["num_stuff"]),
                colors=tuple((int(r), int(g), int(b)) for r, g, b in colors or _distinct_colors(len(names))),
                dataset_ids=tuple(operator.index(i) for i in dataset_ids or range(1, len(names) + 1)),
            )
        except ConfigError:
            raise
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise ConfigError(
                f"classes cannot be read: {plain(str(error))}. Colors are lists of three, ids are numbers."
            ) from error


def _distinct_colors(count: int) -> list[tuple[int, int, int]]:
    """Return distinct RGB colours: hues a golden angle apart, which works for any number of them."""
    import colorsys

    rgb = (colorsys.hsv_to_rgb(0.618034 * i % 1.0, 0.65, 0.95 - 0.35 * (i % 2)) for i in range(count))
    return [(round(255 * r), round(255 * g), round(255 * b)) for r, g, b in rgb]


_CITYSCAPES = (  # name, dataset id, colour: cityscapesscripts' labels.py
    ("road", 7, (128, 64, 128)),
    ("sidewalk", 8, (244, 35, 232)),
    ("building", 11, (70, 70, 70)),
    ("wall", 12, (102, 102, 156)),
    ("fence", 13, (190, 153, 153)),
    ("pole", 17, (153, 153, 153)),
    ("traffic light", 19, (250, 170, 30)),
    ("traffic sign", 20, (220, 220, 0)),
    ("vegetation", 21, (107, 142, 35)),
    ("terrain", 22, (152, 251, 152)),
    ("sky", 23, (70, 130, 180)),
    ("person", 24, (220, 20, 60)),
    ("rider", 25, (255, 0, 0)),
    ("car", 26, (0, 0, 142)),
    ("truck", 27, (0, 0, 70)),
    ("bus", 28, (0, 60, 100)),
    ("train", 31, (0, 80, 100)),
    ("motorcycle", 32, (0, 0, 230)),
    ("bicycle", 33, (119, 11, 32)),
)

CITYSCAPES = ClassTable(
    names=tuple(name for name, _, _ in _CITYSCAPES),
    num_stuff=11,
    colors=tuple(color for _, _, color in _CITYSCAPES),
    dataset_ids=tuple(dataset_id for _, dataset_id, _ in _CITYSCAPES),
)
"""The 19 Cityscapes classes, also those of the KITTI panoptic dataset."""

_MOVING = ("person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle")


def moving_classes(classes: ClassTable) -> tuple[str, ...]:
    """Return the names of the classes whose instances can move by themselves.

    Args:
        classes: The classes.

    Returns:
        Those of person, rider, car, truck, bus, train, motorcycle and bicycle that are in the table; all things if
        none of them is.
    """
    things = classes.names[classes.num_stuff :]
    return tuple(name for name in things if name in _MOVING) or things
