# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Builds: the files that a back end makes of a network, described and verified; and the cache of the user's builds."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opendr_panoptic_ros import __version__
from opendr_panoptic_ros.backends.base import Progress
from opendr_panoptic_ros.errors import CheckpointError, plain
from opendr_panoptic_ros.files import is_file, read_json, sha256_of, stays_inside, write_json

DESCRIPTION = "optimized.json"
"""Name of the file that describes a build, in the folder of the build."""

_FORMAT = "opendr_panoptic_ros build"
_FORMAT_VERSION = 1
_POLL_S = 0.2


@dataclass(frozen=True)
class BuildKey:
    """Everything that the files of a build depend on. Builds of equal keys are equal.

    Attributes:
        backend: Name of the back end.
        precision: Number format of the dense part.
        size: Height and width of the input in px; None for a build that serves all sizes.
        weights: SHA-256 of the weights of the dense part.
        config: SHA-256 of the shape of the network.
        version: Version of the runtime and revision of the conversion.
        device: Device for which the build is valid.
        calibration: SHA-256 of the calibration images, or an empty string.
    """

    backend: str
    precision: str
    size: tuple[int, int] | None
    weights: str
    config: str
    version: str
    device: str
    calibration: str = ""

    def digest(self) -> str:
        """Return the name of the build in the cache: 32 hexadecimal digits."""
        return hashlib.sha256(json.dumps(dataclasses.asdict(self), sort_keys=True).encode()).hexdigest()[:32]

    @classmethod
    def from_dict(cls, values: Any) -> BuildKey:
        """Return the key that a description contains.

        Args:
            values: The fields by name.

        Raises:
            ValueError: The fields are not those of a key.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(values, dict) or set(values) != names:
            raise ValueError(f"expected the entries {', '.join(sorted(names))}")
        size = values["size"]
        if size is not None and not (isinstance(size, list) and [type(side) for side in size] == [int, int]):
            raise ValueError("'size' is neither null nor two integers")
        if not all(isinstance(value, str) for name, value in values.items() if name != "size"):
            raise ValueError("an entry is not a text")
        return cls(**{**values, "size": None if size is None else (size[0], size[1])})


def describe(folder: Path, key: BuildKey) -> None:
    """Write the description of a build beside its files.

    Args:
        folder: Folder with the files of the build.
        key: Key of the build.
    """
    files = {
        str(path.relative_to(folder)): sha256_of(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != DESCRIPTION
    }
    values = {
        "format": _FORMAT,
        "format_version": _FORMAT_VERSION,
        "package": __version__,
        "build": dataclasses.asdict(key),
        "files": files,
    }
    write_json(folder / DESCRIPTION, values)


def is_build(folder: Path) -> bool:
    """Return whether a folder holds a build.

    Args:
        folder: Any path.
    """
    return is_file(folder / DESCRIPTION)


def read_build(folder: Path) -> BuildKey:
    """Read the description of a build and verify its files.

    Args:
        folder: Folder of the build.

    Returns:
        The key of the build.

    Raises:
        CheckpointError: The description cannot be read, or a file is missing or damaged.
    """
    advice = "Build it again with `opendr-panoptic optimize`."
    try:
        values = read_json(folder / DESCRIPTION)
        if not isinstance(values, dict) or values.get("format") != _FORMAT:
            raise ValueError(f"'format' is not {_FORMAT!r}")
        if values.get("format_version") != _FORMAT_VERSION:
            raise ValueError(f"'format_version' is not {_FORMAT_VERSION}")
        key = BuildKey.from_dict(values.get("build"))
        files = values.get("files")
        if not isinstance(files, dict) or not all(stays_inside(name) for name in files):
            raise ValueError("'files' does not name files of the folder")
        for name, expected in files.items():
            if not is_file(folder / name):
                raise ValueError(f"{plain(name)} is missing")
            if sha256_of(folder / name) != expected:
                raise ValueError(f"{plain(name)} differs from its checksum")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise CheckpointError(f"The build {folder} cannot be used: {reason}. {advice}") from error
    return key


def check_fits(folder: Path, found: BuildKey, wanted: BuildKey) -> None:
    """Refuse a build for another network, device, version or precision.

    Args:
        folder: Folder of the build.
        found: Key of the build.
        wanted: Key that a new build would have.

    Raises:
        CheckpointError: The keys differ in more than the size and the calibration.
    """
    for name in ("backend", "precision", "version", "device", "config", "weights"):
        got, expected = getattr(found, name), getattr(wanted, name)
        if got != expected:
            raise CheckpointError(
                f"The build {folder} is for {name} {plain(got)}; expected {plain(expected)}. "
                "Build it again on this machine with `opendr-panoptic optimize`."
            )


def cached_build(cache: Path, key: BuildKey, build: Callable[[Path], None], progress: Progress) -> Path:
    """Return the folder of a build in the cache, which is made first if it is missing or damaged.

    Of several processes that need the same build, one makes it and the others wait. A build is written to a folder of
    another name first, so that the cache has it whole or not at all. Where the cache cannot be written, the build is
    made in a folder for temporary files, once for each process.

    Args:
        cache: Folder of the cache; it is created if necessary.
        key: Key of the build.
        build: Writes the files of the build into the folder it is called with.
        progress: Called while the build of another process is awaited, and for a build that cannot be cached.

    Returns:
        The folder, with a description.

    Raises:
        OSError: There is no folder that can be written.
    """
    folder = cache / key.digest()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        lock = (cache / f".{key.digest()}.lock").open("ab")
    except OSError as error:
        if _is_valid(folder, key):
            return folder
        folder = Path(tempfile.mkdtemp(prefix="opendr_panoptic_"))
        progress(f"The cache {cache} cannot be written ({error.strerror}); building in {folder}.", None)
        build(folder)
        describe(folder, key)
        return folder
    with lock, _locked(lock.fileno(), progress):
        if not _is_valid(folder, key):
            partial = cache / f".{key.digest()}.partial"
            for left in (partial, folder):
                shutil.rmtree(left, ignore_errors=True)
            partial.mkdir()
            try:
                build(partial)
                describe(partial, key)
                partial.rename(folder)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    return folder


def _is_valid(folder: Path, key: BuildKey) -> bool:
    try:
        return is_build(folder) and read_build(folder) == key
    except CheckpointError:
        return False


@contextlib.contextmanager
def _locked(file: int, progress: Progress) -> Iterator[None]:
    """Hold the lock of an open file, for which this waits. The end of the process ends the lock."""
    is_announced = False
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if not is_announced:
                progress("Another process builds the same network; waiting for it.", None)
                is_announced = True
            time.sleep(_POLL_S)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)
