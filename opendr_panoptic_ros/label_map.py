# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""LabelMap: groups the classes of a network into classes with other ids, names and colours."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from opendr_panoptic_ros.errors import ConfigError, plain, quoted
from opendr_panoptic_ros.labels import VOID, ClassTable, moving_classes
from opendr_panoptic_ros.prediction import PanopticPrediction, Segment
from opendr_panoptic_ros.yaml_files import find_yaml, read_yaml

LABEL_MAPS = ("identity", "cityscapes_ids", "navigation")
"""Names of the label maps that are part of the package."""
_ENTRIES = ("classes", "drop", "others")
_CLASS_ENTRIES = ("name", "id", "of", "color", "thing")


@dataclass(frozen=True)
class LabelMap:
    """Replaces the classes of predictions.

    Stuff segments that get the same class become one segment; instances stay separate. Segments of dropped classes
    become void.

    Attributes:
        source: Classes of the network.
        classes: Classes of the results.
        new_ids: Id of a class in `classes` by id in `source`; dropped classes have none.
    """

    source: ClassTable
    classes: ClassTable
    new_ids: dict[int, int]

    @classmethod
    def load(cls, path_or_name: str | Path, source: ClassTable) -> LabelMap:
        """Read a label map from a YAML file, or one that is part of the package.

        Args:
            path_or_name: A YAML file, or one of `LABEL_MAPS`.
            source: Classes of the network.

        Returns:
            The label map.

        Raises:
            ConfigError: There is no such file or name, or an entry is unknown or not legal.
        """
        path = find_yaml(path_or_name, LABEL_MAPS, "presets/label_maps", what="the label map")
        try:
            return cls.from_dict(read_yaml(path), source, where=f"label_map {plain(path.name)}")
        except RecursionError as error:
            raise ConfigError(f"{path} is nested too deeply.") from error

    @classmethod
    def from_dict(cls, values: dict[str, Any], source: ClassTable, *, where: str = "label_map") -> LabelMap:
        """Make a label map from a mapping.

        Args:
            values: `classes`, a list of mappings with `name`, `id` (0 to 254), `of` (names of the network's classes)
                and optionally `color` (RGB; default: that of the first class) and `thing` (whether instances stay
                separate; default: whether all of its classes are things); `drop`, a list of names; `others`, `keep` or
                `drop`, for the classes that are not named, without which there must be none.
            source: Classes of the network.
            where: What error messages begin with.

        Returns:
            The label map.

        Raises:
            ConfigError: An entry is unknown or not legal.
        """
        _check_entries(values, _ENTRIES, where)
        groups = [_read_group(entry, source, at) for entry, at in _entries(values.get("classes"), where)]
        dropped = _class_names(values.get("drop"), source, f"{where}: drop")
        others = values.get("others")
        _require(others in (None, "keep", "drop"), f"{where}: others", others, "keep, drop, or no such entry")
        named = [*(name for group in groups for name in group.of), *dropped]
        twice = sorted({name for name in named if named.count(name) > 1})
        if twice:
            raise ConfigError(f"{where}: {plain(twice[0])} is named twice; expected each class once.")
        rest = [name for name in source.names if name not in named]
        if rest and others is None:
            raise ConfigError(
                f"{where}: {plain(rest[0])} is in no class; add it to one or to drop, or set others to keep or drop."
            )
        if others == "keep":
            groups += [_kept(name, source) for name in rest]
        _require_unique([group.name for group in groups], f"{where}: the name")
        _require_unique([group.id for group in groups], f"{where}: the id")
        if not groups:
            raise ConfigError(f"{where}: every class is dropped; expected at least one in classes.")

        stuff = [group for group in groups if not group.thing]
        ordered = [*stuff, *(group for group in groups if group.thing)]
        first = [source.names.index(group.of[0]) for group in ordered]
        classes = ClassTable(
            names=tuple(group.name for group in ordered),
            num_stuff=len(stuff),
            colors=tuple(group.color for group in ordered),
            dataset_ids=tuple(source.dataset_ids[position] for position in first),
            ids=tuple(group.id for group in ordered),
        )
        new_ids = {source.ids[source.names.index(name)]: group.id for group in ordered for name in group.of}
        return cls(source, classes, new_ids)

    @property
    def is_identity(self) -> bool:
        """Whether predictions stay as they are."""
        return self.classes == self.source

    @property
    def moving_classes(self) -> tuple[str, ...]:
        """Names of the classes of results that contain a class of the network that can move."""
        return self.names_of(moving_classes(self.source))

    def names_of(self, names: Collection[str]) -> tuple[str, ...]:
        """Return the classes of results that contain some classes of the network.

        Args:
            names: Names of classes of the network.

        Returns:
            Names of classes of results, in the order of their table.
        """
        ids = {self.new_ids.get(self.source.ids[self.source.names.index(name)]) for name in names}
        return tuple(
            name for name, class_id in zip(self.classes.names, self.classes.ids, strict=True) if class_id in ids
        )

    def apply(self, prediction: PanopticPrediction) -> PanopticPrediction:
        """Replace the classes of a prediction.

        Args:
            prediction: A prediction of the network; it is not modified.

        Returns:
            The prediction with the classes `classes`; `prediction` itself if nothing changes.
        """
        if self.is_identity:
            return prediction
        new_segment_ids = np.zeros(max((s.id for s in prediction.segments), default=0) + 1, np.int32)
        segments: dict[int, Segment] = {}
        stuff: dict[int, int] = {}  # id of the segment by class
        for segment in prediction.segments:
            class_id = self.new_ids.get(segment.class_id)
            if class_id is None:
                continue
            is_thing = self.classes.is_thing(class_id)
            new_id = segment.id if is_thing else stuff.setdefault(class_id, segment.id)
            new_segment_ids[segment.id] = new_id
            if new_id in segments:
                segments[new_id] = _united(segments[new_id], segment)
            else:
                segments[new_id] = dataclasses.replace(
                    segment,
                    class_id=class_id,
                    label=self.classes.names[self.classes.position(class_id)],
                    is_thing=is_thing,
                    score=segment.score if is_thing else float("nan"),
                )
        return dataclasses.replace(
            prediction,
            segment_map=np.take(new_segment_ids, prediction.segment_map),
            segments=tuple(segments.values()),
            classes=self.classes,
        )


@dataclass(frozen=True)
class _Group:
    name: str
    id: int
    of: tuple[str, ...]
    color: tuple[int, int, int]
    thing: bool


def _read_group(entry: Any, source: ClassTable, where: str) -> _Group:
    _check_entries(entry, _CLASS_ENTRIES, where)
    name, class_id, of = entry.get("name"), entry.get("id"), _class_names(entry.get("of"), source, f"{where}.of")
    _require(isinstance(name, str) and 0 < len(name) <= 100, f"{where}.name", name, "a word of at most 100 characters")
    _require(_is_integer(class_id, VOID - 1), f"{where}.id", class_id, f"a whole number from 0 to {VOID - 1}")
    _require(bool(of), f"{where}.of", entry.get("of"), f"some of {', '.join(source.names)}")
    positions = [source.names.index(member) for member in of]
    color = entry.get("color", list(source.colors[positions[0]]))
    is_color = isinstance(color, list) and len(color) == 3 and all(_is_integer(value, 255) for value in color)
    _require(is_color, f"{where}.color", color, "three whole numbers from 0 to 255, as in [220, 20, 60]")
    all_things = all(position >= source.num_stuff for position in positions)
    thing = entry.get("thing", all_things)
    _require(isinstance(thing, bool), f"{where}.thing", thing, "true or false")
    if thing and not all_things:
        raise ConfigError(f"{where}.thing is true, but one of its classes is stuff, which has no instances; remove it.")
    return _Group(name, class_id, of, (color[0], color[1], color[2]), thing)


def _kept(name: str, source: ClassTable) -> _Group:
    position = source.names.index(name)
    return _Group(name, source.ids[position], (name,), source.colors[position], position >= source.num_stuff)


def _entries(values: Any, where: str) -> Iterator[tuple[Any, str]]:
    """Yield the entries of `classes` with their places."""
    values = [] if values is None else values
    _require(isinstance(values, list), f"{where}: classes", values, "a list of classes with name, id and of")
    for place, entry in enumerate(values):
        yield entry, f"{where}: classes[{place}]"


def _class_names(values: Any, source: ClassTable, where: str) -> tuple[str, ...]:
    values = [] if values is None else values
    _require(isinstance(values, list), where, values, "a list of class names")
    for value in values:
        if value not in source.names:
            raise ConfigError(f"{where} has {quoted(value)}; expected some of {', '.join(source.names)}.")
    return tuple(values)


def _check_entries(values: Any, known: Collection[str], where: str) -> None:
    _require(isinstance(values, dict), where, values, f"a mapping with {', '.join(known)}")
    for name in values:
        if name not in known:
            raise ConfigError(f"{where} has the unknown entry {quoted(name)}; known are {', '.join(known)}.")


def _require_unique(values: list[Any], what: str) -> None:
    for value in values:
        if values.count(value) > 1:
            raise ConfigError(f"{what} {quoted(value)} is used twice; expected a different one for each class.")


def _require(holds: bool, where: str, got: object, expected: str) -> None:
    if not holds:
        raise ConfigError(f"{where} is {quoted(got)}; expected {expected}.")


def _is_integer(value: Any, largest: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= largest


def _united(one: Segment, other: Segment) -> Segment:
    """Return a stuff segment that also has the pixels of another segment."""
    (left, top, right, bottom), (x1, y1, x2, y2) = one.box_xyxy_px, other.box_xyxy_px
    return dataclasses.replace(
        one,
        area_px=one.area_px + other.area_px,
        box_xyxy_px=(min(left, x1), min(top, y1), max(right, x2), max(bottom, y2)),
    )
