# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Finding bags in files, folders and glob patterns, and naming their results."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from opendr_panoptic_ros.errors import PanopticError

_SUFFIXES = (".bag", ".db3", ".mcap")
_METADATA = "metadata.yaml"


@dataclass(frozen=True)
class BagTask:
    """A bag to label.

    Attributes:
        source: The bag.
        out: The folder of its result.
    """

    source: Path
    out: Path


def find_bags(inputs: Sequence[str], out_dir: Path) -> list[BagTask]:
    """Find the bags that are given as files, folders and glob patterns.

    A folder with `metadata.yaml` is one bag. In other folders, all bags below are found; each `.bag`, `.mcap` and
    `.db3` file is a bag of its own. Folders whose name ends in .partial, hidden ones and `out_dir` are not searched.

    Args:
        inputs: Paths and patterns; `**` stands for folders of any depth.
        out_dir: The folder of the results.

    Returns:
        The bags in the order of the inputs, those of a folder in the order of their names, each once. The result of a
        bag has its name without the ending; where several have the same one, the name of the folder is put before it.

    Raises:
        PanopticError: An input does not exist, or contains no bag.
    """
    sources: dict[Path, Path] = {}
    for text in inputs:
        found = [source for path in _expanded(text) for source in _bags_at(path, out_dir.resolve())]
        if not found:
            raise PanopticError(f"There is no bag at {text}. Expected .bag, .mcap or .db3 files or rosbag2 folders.")
        for source in found:
            sources.setdefault(source.resolve(), source)
    names = result_names(list(sources))
    return [BagTask(source, out_dir / names[place]) for place, source in sources.items()]


def size_of(source: Path) -> int:
    """Return the size of a bag in bytes; 0 if it cannot be read.

    Args:
        source: The bag.
    """
    return sum(size for _, size, _ in files_of(source))


def files_of(source: Path) -> list[tuple[str, int, int]]:
    """Return name, size in bytes and time of change in ns of the files of a bag.

    Args:
        source: The bag.
    """
    files = sorted(source.iterdir()) if source.is_dir() else [source]
    entries = []
    for file in files:
        try:
            status = file.stat()
        except OSError:
            continue
        if file.name == _METADATA or file.name.removesuffix(".zstd").endswith(_SUFFIXES):
            entries.append((file.name, status.st_size, status.st_mtime_ns))
    return entries


def _expanded(text: str) -> list[Path]:
    path = Path(text).expanduser()
    if os.path.lexists(path) or not glob.has_magic(text):
        if not path.exists():
            raise PanopticError(f"{text} does not exist.")
        return [path]
    return [Path(found) for found in sorted(glob.glob(str(path), recursive=True))]  # noqa: PTH207 - any root


def _bags_at(path: Path, out_dir: Path) -> Iterator[Path]:
    if not path.is_dir():
        if path.suffix in _SUFFIXES:
            yield path
    elif path.resolve() != out_dir:
        if (path / _METADATA).is_file():
            yield path
        else:
            for entry in sorted(path.iterdir()):
                if not entry.name.startswith(".") and entry.suffix != ".partial":
                    yield from _bags_at(entry, out_dir)


def result_names(places: Sequence[Path]) -> dict[Path, str]:
    """Return the name of each result, distinct for distinct bags.

    Args:
        places: The bags.
    """
    return _told_apart({place: _stem(place) for place in places}, 0)


def _told_apart(names: dict[Path, str], depth: int) -> dict[Path, str]:
    """Return names of which none occurs twice: first the ending, then the names of more and more folders are added."""
    counts = Counter(names.values())
    if max(counts.values(), default=1) == 1:
        return names
    if depth > max(len(place.parts) for place in names):  # such as a.b and a_b
        return {place: f"{name}_{number}" for number, (place, name) in enumerate(names.items())}
    longer = {
        place: "_".join((*place.parts[-1 - depth : -1], place.name.replace(".", "_"))) if counts[name] > 1 else name
        for place, name in names.items()
    }
    return _told_apart(longer, depth + 1)


def _stem(place: Path) -> str:
    return place.stem if place.suffix in _SUFFIXES else place.name
