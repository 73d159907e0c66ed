# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The command `parameters`, and the two files that `make docs` writes from the node's table of parameters."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from opendr_panoptic_ros.cli.main import app
from opendr_panoptic_ros.ros.parameters import NodeParameters
from opendr_panoptic_ros.ros.points_parameters import PointsParameters

ROOT = Path(__file__).resolve().parents[2]
WRITTEN = ("config/panoptic_node.yaml", "docs/parameters.md", "docs/points_parameters.md")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The files that `make docs` would write."""
    folder = tmp_path_factory.mktemp("docs")
    for name in WRITTEN:
        (folder / name).parent.mkdir(exist_ok=True)
    subprocess.run([sys.executable, ROOT / "docs" / "make_parameters.py", folder], check=True)
    return {name: (folder / name).read_text("utf-8") for name in WRITTEN}


@pytest.mark.parametrize("name", WRITTEN)
def test_the_documents_are_up_to_date(written: dict[str, str], name: str) -> None:
    assert (ROOT / name).read_text("utf-8") == written[name], f"{name} is stale: run `make docs`"


def test_what_is_printed_is_a_parameter_file_with_every_default(written: dict[str, str]) -> None:
    result = CliRunner().invoke(app, ["parameters"])
    assert result.exit_code == 0
    assert result.stdout == written["config/panoptic_node.yaml"]
    (node,) = yaml.safe_load(result.stdout).values()
    defaults = {
        row.name: list(row.default) if isinstance(row.default, tuple) else row.default for row in fields(NodeParameters)
    }
    assert node["ros__parameters"] == defaults
    assert max(map(len, result.stdout.splitlines())) <= 120


@pytest.mark.parametrize(
    ("page", "table"), [("docs/parameters.md", NodeParameters), ("docs/points_parameters.md", PointsParameters)]
)
def test_the_table_has_a_row_for_each_parameter(written: dict[str, str], page: str, table: type) -> None:
    pattern = r"\| `(\w+)` \| [\w ]+ \| `.+` \|.*\| (live|configure|start) \| .+ \|"
    matches = map(re.compile(pattern).fullmatch, written[page].splitlines())
    rows = {match[1]: match[2] for match in matches if match}
    assert list(rows) == [row.name for row in fields(table)]
    assert rows["autostart"] == "start"
    if table is NodeParameters:
        assert rows["score_threshold"] == "live"
        assert rows["checkpoint"] == "configure"
