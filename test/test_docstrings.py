# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Every public function documents its parameters under `Args:`, as Google style has it, and has a licence line.

`python test/test_docstrings.py FOLDER_OR_FILE...` prints what is missing there.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "opendr_panoptic_ros"
_ROWS = {"parameter", "autostart"}
_SECTIONS = r"Args|Attributes|Returns|Yields|Raises|Example|Examples|Note|Notes"


def missing(path: Path, source: str) -> Iterator[str]:
    """Yield one line for each public definition of a file that lacks documentation of a parameter or attribute."""
    tree = ast.parse(source)
    yield from _missing_in(tree.body, f"{path}", "")


def _missing_in(body: list[ast.stmt], file: str, owner: str) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield from _of_function(node, file, owner)
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from _of_class(node, file)
            yield from _missing_in(node.body, file, f"{node.name}.")


def _of_function(node: ast.FunctionDef | ast.AsyncFunctionDef, file: str, owner: str) -> Iterator[str]:
    decorators = {ast.unparse(decorator).rpartition(".")[2] for decorator in node.decorator_list}
    if decorators & {"override", "overload", "setter"}:
        return
    yield from _lacking(node, _parameters(node), "Args", f"{file}:{node.lineno}: {owner}{node.name}")


def _of_class(node: ast.ClassDef, file: str) -> Iterator[str]:
    where = f"{file}:{node.lineno}: {node.name}"
    decorators = " ".join(ast.unparse(decorator) for decorator in node.decorator_list)
    bases = {ast.unparse(base) for base in node.bases}
    if "dataclass" in decorators or "NamedTuple" in bases:
        fields = [
            statement.target.id
            for statement in node.body
            if isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and not statement.target.id.startswith("_")
            # A table of parameters documents each row in the row itself.
            and not (
                isinstance(statement.value, ast.Call)
                and ast.unparse(statement.value.func) in {"parameter", "autostart"}
            )
        ]
        yield from _lacking(node, fields, "Attributes|Args", where)
        return
    for statement in node.body:
        if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
            yield from _lacking(node, _parameters(statement), "Args", where)


def _parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """The parameters to document: not self or cls, not private ones, not options that carry a help text."""
    arguments = node.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    every += [a for a in (arguments.vararg, arguments.kwarg) if a is not None]
    return [
        a.arg
        for a in every
        if a.arg not in {"self", "cls"}
        and not a.arg.startswith("_")
        and not (a.annotation is not None and re.search(r"\b(typer|options|engines)\.", ast.unparse(a.annotation)))
    ]


def _lacking(
    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, names: list[str], section: str, where: str
) -> Iterator[str]:
    if not names:
        return
    docstring = ast.get_docstring(node) or ""
    found = re.search(rf"^(?:{section}):\n(.*?)(?=^(?:{_SECTIONS}):|\Z)", docstring, re.MULTILINE | re.DOTALL)
    documented = re.findall(r"^\s+\*{0,2}(\w[\w, *]*?)(?: \([^)]*\))?:", found[1], re.MULTILINE) if found else []
    named = {name.strip(" *") for entry in documented for name in entry.split(",")}
    lacking = [name for name in names if name not in named]
    if lacking:
        yield f"{where}: no {section.partition('|')[0]} entry for {', '.join(lacking)}"


def source_files() -> list[Path]:
    """Return the Python files of the repository that git tracks, or that are new."""
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-co", "--exclude-standard"], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    paths = [ROOT / name for name in listed if not name.startswith("test/data/")]
    return [
        path for path in paths if path.is_file() and (path.suffix in {".py", ".msg"} or path.parent.name == "scripts")
    ]


# Folders and files whose docstrings are not yet in Google style.
PENDING: set[str] = set()


def test_public_functions_document_their_parameters() -> None:
    lines = [
        line
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.relative_to(PACKAGE).parts[0] not in PENDING
        for line in missing(path.relative_to(ROOT), path.read_text("utf-8"))
    ]
    assert not lines, "\n".join(lines)


def test_every_source_file_has_a_licence_line() -> None:
    assert [
        str(path)
        for path in source_files()
        if "SPDX-License-Identifier: Apache-2.0" not in path.read_text("utf-8")[:200]
    ] == []


EXAMPLE = '''
class Box:
    """A box.

    Args:
        width_px: Width.
    """

    def __init__(self, width_px, height_px): ...

    def scaled(self, factor):
        """Return a scaled copy."""


@dataclass
class Point:
    """A point."""

    x_px: int


def area(box, *, scale=1):
    """Return the area.

    Args:
        box (Box): A box.
        scale: Factor.

    Returns:
        The area in px.
    """
'''


def test_what_is_missing_is_found() -> None:
    assert list(missing(Path("example.py"), EXAMPLE)) == [
        "example.py:2: Box: no Args entry for height_px",
        "example.py:11: Box.scaled: no Args entry for factor",
        "example.py:16: Point: no Attributes entry for x_px",
    ]


if __name__ == "__main__":
    for argument in sys.argv[1:] or [str(PACKAGE)]:
        start = Path(argument).resolve()
        for file in sorted(start.rglob("*.py")) if start.is_dir() else [start]:
            print(*missing(file.relative_to(ROOT), file.read_text("utf-8")), sep="\n", end="\n")
