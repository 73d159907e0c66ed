# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Layer of commands: arguments of any kind end in an answer or in one line, never in a traceback."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np
import typer
from attack.properties import REFUSED, attack
from attack.targets import CORPUS
from hypothesis import strategies as st

from opendr_panoptic_ros.cli.main import app, main

# Commands that neither train, nor download, nor open windows or ROS; those only with arguments that are refused.
COMMANDS = ("infer", "bag", "evaluate", "prepare", "parameters", "view")
_GROUP: Any = typer.main.get_command(app)
OPTIONS = sorted({option for name in COMMANDS for row in _GROUP.commands[name].params for option in row.opts})
WORDS = st.sampled_from(
    [
        *(
            "image.png",
            "broken.png",
            "in.mcap",
            "folder",
            "gone",
            "dangling",
            "out",
            "",
            "*.png",
            "[",
            "../x",
            "\udcff.png",
        ),
        *("-1", "0", "1", "nan", "inf", "1e400", "-", "--", "~nosuchuser", "/dev/null", "/proc/self/mem", "a" * 300),
        *("cityscapes", "demo", "[red]x", "%s", "labels", "cpu", "torch"),
    ]
) | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
ARGUMENTS = st.lists(WORDS | st.sampled_from([o for o in OPTIONS if o.startswith("--") and o != "--help"]), max_size=6)


def files(folder: Path) -> None:
    (folder / "image.png").write_bytes(cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes())
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    (folder / "in.mcap").write_bytes((CORPUS / "bag" / "whole_mcap").read_bytes()[1:])
    (folder / "folder").mkdir()
    (folder / "dangling").symlink_to(folder / "missing")


def run(arguments: list[str]) -> tuple[int, str]:
    """Run a command in an empty folder and return its status and what it has printed on stderr."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as scratch:
        files(Path(scratch))
        out, err = (
            io.TextIOWrapper(io.BytesIO(), errors="backslashreplace"),
            io.TextIOWrapper(io.BytesIO(), errors="backslashreplace"),
        )
        os.chdir(scratch)
        try:
            with (
                contextlib.redirect_stdout(out),
                contextlib.redirect_stderr(err),
                mock.patch.object(sys, "argv", ["opendr-panoptic", *arguments]),
            ):
                main()
                status = 0
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        finally:
            os.chdir(before)
        err.seek(0)
        return status, err.read()


@attack("commands", short=6, command=st.sampled_from(COMMANDS), arguments=ARGUMENTS)
def test_arguments(command: str, arguments: list[str]) -> str | None:
    status, printed = run([command, *arguments])
    assert status in {0, 1, 2}
    assert "Traceback" not in printed
    assert len(printed) < 20_000
    return REFUSED if status else None


@attack(
    "commands",
    short=6,
    command=st.sampled_from(["train", "download", "play", "demo", "x"]),
    arguments=st.lists(
        st.sampled_from(["gone", "--nothing", "-1", "--size", "nan", "\udcff", ""]), min_size=2, max_size=4
    ),
)
def test_arguments_that_are_refused(command: str, arguments: list[str]) -> str | None:
    """A mistake in the arguments of the other commands is found before they begin."""
    status, printed = run([command, "--no-such-option", *arguments])
    assert status == 2
    assert "Traceback" not in printed
    return REFUSED
