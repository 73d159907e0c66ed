# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The locked versions that `make setup` installs, and the list of their licenses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
_LOCK_SCRIPT = (ROOT / "scripts" / "lock.sh").read_text(encoding="utf-8")
_COMMON = re.findall(r"[\w-]+", re.findall(r"requirements/\{([\w,-]+)\}\.txt", _LOCK_SCRIPT)[0])
_NOT_INSTALLED = {"peers", "tensorrt"}  # networks to compare with; what needs a GPU
LISTS = {"jazzy": [*_COMMON, "ros"], "kilted": [*_COMMON, "ros-kilted"]}


def pins(name: str) -> set[tuple[str, str]]:
    """Return the names and versions that requirements/NAME pins."""
    text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
    return {(key.lower().replace("_", "-").replace(".", "-"), version) for key, version in _PIN.findall(text)}


_PIN = re.compile(r"^([\w.-]+)==([\w.+]+)", re.MULTILINE)


@pytest.mark.parametrize("lock", LISTS)
def test_a_lock_holds_every_pin(lock: str) -> None:
    pinned = set().union(*(pins(f"{name}.txt") for name in LISTS[lock]))
    assert pinned - pins(f"{lock}.lock") == set(), "run make lock"


@pytest.mark.parametrize("lock", LISTS)
def test_every_locked_package_has_a_hash(lock: str) -> None:
    text = (ROOT / "requirements" / f"{lock}.lock").read_text(encoding="utf-8")
    entries = re.split(r"\n(?=[\w.-]+==)", text)[1:]
    assert len(entries) > 200
    for entry in entries:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", entry), entry


def test_setup_installs_nothing_but_the_lock() -> None:
    setup = (ROOT / "scripts" / "setup.sh").read_text(encoding="utf-8")
    assert '--require-hashes --requirement "$lock"' in setup
    assert not re.search(r"pip install(?!.*(--require-hashes|--no-deps))", setup)


def test_every_list_is_locked() -> None:
    lists = {path.stem for path in (ROOT / "requirements").glob("*.txt")}
    assert lists - _NOT_INSTALLED == set().union(*LISTS.values())


def test_every_pinned_package_has_its_license_listed() -> None:
    listed = set(re.findall(r"[\w.-]+", (ROOT / "docs" / "licenses.md").read_text(encoding="utf-8")))
    names = {name for list_ in LISTS["jazzy"] for name, _ in pins(f"{list_}.txt")}
    installed_elsewhere = {"backports-zstd"}  # Python before 3.14 only
    assert names - listed - installed_elsewhere == set(), "run make docs"
