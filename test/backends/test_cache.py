# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The cache of builds: made once, whole or not at all, and never used when damaged or for something else."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from opendr_panoptic_ros.backends.cache import (
    DESCRIPTION,
    BuildKey,
    cached_build,
    check_fits,
    describe,
    is_build,
    read_build,
)
from opendr_panoptic_ros.errors import CheckpointError

KEY = BuildKey("ncnn", "float32", (64, 128), "w" * 64, "c" * 64, "1.0 revision 1", "cpu")


class Builder:
    """Writes a file into the folder it is called with, and counts the calls."""

    def __init__(self, content: str = "model", error: Exception | None = None) -> None:
        self.calls: list[Path] = []
        self._content, self._error = content, error

    def __call__(self, folder: Path) -> None:
        self.calls.append(folder)
        (folder / "part").mkdir()
        (folder / "part" / "model.bin").write_text(self._content)
        if self._error is not None:
            raise self._error


@pytest.fixture
def messages() -> list[str]:
    return []


@pytest.fixture
def progress(messages: list[str]) -> Callable[[str, float | None], None]:
    return lambda message, _: messages.append(message)


def test_a_build_is_made_once(tmp_path: Path, progress: Callable[[str, float | None], None]) -> None:
    build = Builder()
    folders = {cached_build(tmp_path / "cache", KEY, build, progress) for _ in range(3)}
    assert len(build.calls) == 1
    assert read_build(folders.pop()) == KEY
    assert not folders


@pytest.mark.parametrize("change", [f.name for f in dataclasses.fields(BuildKey)])
def test_every_entry_of_the_key_makes_another_build(
    change: str, tmp_path: Path, progress: Callable[[str, float | None], None]
) -> None:
    build = Builder()
    other = BuildKey(**{**dataclasses.asdict(KEY), change: (96, 128) if change == "size" else "other"})
    folders = [cached_build(tmp_path, key, build, progress) for key in (KEY, other, KEY, other)]
    assert len(build.calls) == 2
    assert read_build(folders[1]) == other


def test_a_build_that_fails_leaves_nothing(tmp_path: Path, progress: Callable[[str, float | None], None]) -> None:
    with pytest.raises(OSError, match="disk full"):
        cached_build(tmp_path, KEY, Builder(error=OSError("disk full")), progress)
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []
    assert (cached_build(tmp_path, KEY, Builder("second"), progress) / "part" / "model.bin").read_text() == "second"


def test_what_a_kill_left_is_replaced(tmp_path: Path, progress: Callable[[str, float | None], None]) -> None:
    partial = tmp_path / f".{KEY.digest()}.partial"
    partial.mkdir()
    (partial / "part").write_text("half")
    assert (cached_build(tmp_path, KEY, Builder(), progress) / "part" / "model.bin").read_text() == "model"
    assert not partial.exists()


@pytest.mark.parametrize("damage", ["flipped", "missing", "description", "truncated"])
def test_a_damaged_build_is_made_again(
    damage: str, tmp_path: Path, progress: Callable[[str, float | None], None]
) -> None:
    folder = cached_build(tmp_path, KEY, Builder(), progress)
    model, description = folder / "part" / "model.bin", folder / DESCRIPTION
    if damage == "flipped":
        model.write_text("mobel")
    elif damage == "missing":
        model.unlink()
    elif damage == "description":
        description.write_text("[]")
    else:
        description.write_bytes(description.read_bytes()[:50])
    with pytest.raises(CheckpointError, match="cannot be used"):
        read_build(folder)
    build = Builder()
    assert read_build(cached_build(tmp_path, KEY, build, progress)) == KEY
    assert len(build.calls) == 1


def test_of_several_only_one_builds(
    tmp_path: Path, progress: Callable[[str, float | None], None], messages: list[str]
) -> None:
    has_begun, may_end = threading.Event(), threading.Event()
    build = Builder()

    def slow(folder: Path) -> None:
        has_begun.set()
        assert may_end.wait(120)
        build(folder)

    first = threading.Thread(target=cached_build, args=(tmp_path, KEY, slow, progress))
    first.start()
    assert has_begun.wait(120)
    second = threading.Thread(target=cached_build, args=(tmp_path, KEY, slow, progress))
    second.start()
    while not messages:
        second.join(0.05)
    assert messages == ["Another process builds the same network; waiting for it."]
    may_end.set()
    for thread in (first, second):
        thread.join(120)
    assert len(build.calls) == 1


def test_without_a_cache_the_build_is_temporary(
    tmp_path: Path, progress: Callable[[str, float | None], None], messages: list[str]
) -> None:
    (tmp_path / "file").write_text("")
    folder = cached_build(tmp_path / "file" / "cache", KEY, Builder(), progress)
    assert read_build(folder) == KEY
    assert "cannot be written" in messages[0]


@pytest.mark.parametrize("name", ["backend", "precision", "version", "device", "config", "weights"])
def test_a_build_for_something_else_is_refused(name: str, tmp_path: Path) -> None:
    wanted = BuildKey(**{**dataclasses.asdict(KEY), name: "other"})
    with pytest.raises(CheckpointError, match=rf"is for {name} {getattr(KEY, name)[:30]}.*expected other"):
        check_fits(tmp_path, KEY, wanted)
    check_fits(tmp_path, KEY, dataclasses.replace(KEY, size=None, calibration="x"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": "else"}, "'format' is not"),
        ({"format_version": 2}, "'format_version' is not 1"),
        ({"build": {}}, "expected the entries backend, calibration"),
        ({"files": {"../../etc/passwd": "0"}}, "does not name files of the folder"),
        ({"files": []}, "does not name files of the folder"),
        ({"files": {"gone": "0"}}, "gone is missing"),
    ],
)
def test_foreign_descriptions(change: dict[str, object], reason: str, tmp_path: Path) -> None:
    (tmp_path / "model").write_text("model")
    describe(tmp_path, KEY)
    assert is_build(tmp_path)
    values = json.loads((tmp_path / DESCRIPTION).read_text())
    (tmp_path / DESCRIPTION).write_text(json.dumps({**values, **change}))
    with pytest.raises(CheckpointError, match=reason):
        read_build(tmp_path)
