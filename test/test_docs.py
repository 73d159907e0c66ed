# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The Markdown pages: links and paths name files that exist, lines are at most 120 characters long."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from opendr_panoptic_ros.cli.main import app

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "opendr_panoptic_ros"
BUILT = {"build", "install", "log", "__pycache__"}
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")],
    key=lambda path: path.relative_to(ROOT).as_posix(),
)
LINE_LENGTH = 120
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
FOLDERS = {path.name for folder in (ROOT, PACKAGE) for path in folder.iterdir() if path.is_dir()} - BUILT
"""A code reference that starts with one of these is a path, below the repository's root or below the package."""


def paths_in(text: str) -> Iterator[str]:
    """Yield the code references that are paths of the repository, with braces as in `a/{b,c}` expanded."""
    for code in CODE.findall(without_blocks(text)):
        for word in expanded(code):
            folder, slash, _ = word.partition("/")
            if re.fullmatch(r"[\w./*-]+", word) and ((slash and folder in FOLDERS) or re.fullmatch(r"\w+\.py", word)):
                yield word.rstrip("/.")


def exists(path: str) -> bool:
    """Whether a path exists; a file name without a folder can be anywhere in the package."""
    message = re.fullmatch(rf"{PACKAGE.name}/([A-Z]\w*)", path)
    if message:
        return (ROOT / "msg" / f"{message[1]}.msg").is_file()
    return any(any(folder.glob(path)) for folder in (ROOT, PACKAGE)) or ("/" not in path and any(PACKAGE.rglob(path)))


def expanded(text: str) -> list[str]:
    """Expand the first pair of braces as a shell does."""
    match = re.fullmatch(r"(.*?)\{([^{}]*)\}(.*)", text)
    return [match[1] + middle + match[3] for middle in match[2].split(",")] if match else [text]


def without_blocks(text: str) -> str:
    """Remove fenced and indented blocks of code."""
    return re.sub(r"^(```.*?^```|    .*?)$", "", text, flags=re.MULTILINE | re.DOTALL)


def headings(path: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", without_blocks(path.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def is_prose(line: str) -> bool:
    """Tables and lines that end with a long URL or link cannot be wrapped."""
    return not line.lstrip().startswith("|") and not re.search(r"https?://\S{60,}", line)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(without_blocks(page.read_text(encoding="utf-8"))):
        if re.match(r"\w+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), link
        if anchor:
            assert anchor in headings(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_paths_exist(page: Path) -> None:
    for path in paths_in(page.read_text(encoding="utf-8")):
        assert exists(path), path


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.rst"], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_lines_are_wrapped(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if len(line) > LINE_LENGTH and is_prose(line)] == []


def unknown_options(text: str) -> list[str]:
    """Return the lines of commands whose subcommand, or one of whose long options, does not exist."""
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    unknown = []
    for line in re.findall(r"^ *(?:ros2 run \S+ )?opendr-panoptic +(\w.*)$", text.replace("\\\n", ""), re.MULTILINE):
        name, *words = line.partition("#")[0].split()
        options = {option for parameter in getattr(commands.get(name), "params", []) for option in parameter.opts}
        if name not in commands or not {word for word in words if word.startswith("--")} <= options:
            unknown.append(line)
    return unknown


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_commands_and_options_exist(page: Path) -> None:
    assert unknown_options(page.read_text(encoding="utf-8")) == []


def test_the_checks_see_faults() -> None:
    text = "In `test/no_such.py`, `config/{a,b}.yaml` and\n```\n`test/in_a_block.py`\n```\nand `test/data/` again."
    assert list(paths_in(text)) == ["test/no_such.py", "config/a.yaml", "config/b.yaml", "test/data"]
    assert not exists("test/no_such.py")
    assert exists("opendr_panoptic_ros/SegmentInfo")
    assert not exists("opendr_panoptic_ros/NoMessage")
    assert len(PAGES) > 10
    wrong = "opendr-panoptic fly\n    opendr-panoptic infer a.png --checkpoint x \\\n        --speed 2\n"
    assert len(unknown_options(wrong)) == 2
    assert headings(ROOT / "README.md") >= {"weights"}
