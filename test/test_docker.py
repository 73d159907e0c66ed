# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The container files: they use the project's own pins, name files that exist and do not run as root.

No image is built here.
"""

from __future__ import annotations

import fnmatch
import re
import subprocess
from pathlib import Path

import pytest

from opendr_panoptic_ros import __version__

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "docker").glob("*.Dockerfile"))
TITLES = ("title", "description", "source", "licenses", "version", "revision")


def instructions(path: Path) -> list[tuple[str, str]]:
    """Return the instructions of a container file with their arguments, continued lines joined."""
    text = re.sub(r"^#.*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    return [(line.split()[0], " ".join(line.split()[1:])) for line in text.splitlines() if line.strip()]


def ignored(name: str) -> bool:
    patterns = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    return any(fnmatch.fnmatch(name.split("/", maxsplit=1)[0], p) for p in patterns if p and not p.startswith("#"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_names_what_exists(path: Path) -> None:
    arguments = dict(argument.split("=") for name, argument in instructions(path) if name == "ARG")
    assert arguments["VERSION"] == __version__
    copied = [word for name, a in instructions(path) if name == "COPY" for word in a.split()[:-1] if word[:2] != "--"]
    assert "." in copied
    for name in copied:
        assert (ROOT / name).exists(), name
        assert name == "." or not ignored(name), name
    runs = " ".join(argument for name, argument in instructions(path) if name == "RUN")
    lists = re.findall(r"-r (\S+)", runs)
    assert {Path(name).name for name in lists} == {Path(name).name for name in copied if "requirements/" in name}
    for name in ("setup.py", "README.md", "pyproject.toml", "package.xml", "CMakeLists.txt", "opendr_panoptic_ros"):
        assert not ignored(name), f"the build needs {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_package_is_pinned_by_the_lists(path: Path) -> None:
    for name, argument in instructions(path):
        for install in re.findall(r"pip install ([^&]*)", argument) if name == "RUN" else ():
            words = [word for word in install.split() if not word.startswith(("-", "https://"))]
            named = [word for word in words if word != "." and not word.endswith(".txt")]
            assert named == [], "versions are in requirements/"
    bases = [argument for name, argument in instructions(path) if name == "FROM"]
    assert all(re.fullmatch(r"[\w/.-]+:[\w.-]+", base) and "latest" not in base for base in bases)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_labels_and_user(path: Path) -> None:
    found = instructions(path)
    labels = " ".join(argument for name, argument in found if name == "LABEL")
    assert [t for t in TITLES if f"org.opencontainers.image.{t}=" not in labels] == []
    users = [argument for name, argument in found if name == "USER"]
    # By number: Kubernetes refuses names under runAsNonRoot.
    assert users == ["1000:1000"]
    assert [name for name, _ in found].index("USER") > max(i for i, (name, _) in enumerate(found) if name == "RUN")
    assert [name for name, _ in found].count("ENTRYPOINT") == 1


def test_the_entry_point_is_a_program() -> None:
    path = ROOT / "docker" / "entrypoint.sh"
    assert path.stat().st_mode & 0o111
    assert subprocess.run(["bash", "-n", path], check=False).returncode == 0


def test_the_files_are_found() -> None:
    assert [path.stem for path in FILES] == ["cpu", "cuda", "jazzy"]
