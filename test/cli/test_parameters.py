# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The two documents that are written from the node's table of parameters."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from opendr_panoptic_ros.cli import parameters
from opendr_panoptic_ros.cli.main import app
from opendr_panoptic_ros.errors import PanopticError
from opendr_panoptic_ros.ros.parameters import NodeParameters

ROOT = Path(__file__).resolve().parents[2]
STALE = "is stale: run `opendr-panoptic parameters --write .`"


def test_the_documents_are_up_to_date():
    assert (ROOT / parameters.PARAMETER_FILE).read_text() == parameters.parameter_file(), (
        f"{parameters.PARAMETER_FILE} {STALE}"
    )
    assert (ROOT / parameters.DOCUMENT).read_text() == parameters.document(), f"{parameters.DOCUMENT} {STALE}"


def test_what_is_printed_is_a_parameter_file_with_every_default():
    result = CliRunner().invoke(app, ["parameters"])
    assert result.exit_code == 0
    (node,) = yaml.safe_load(result.stdout).values()
    defaults = {row.name: list(row.default) if row.default == ("",) else row.default for row in fields(NodeParameters)}
    assert node["ros__parameters"] == defaults
    assert max(map(len, result.stdout.splitlines())) <= 120


def test_the_table_has_a_row_for_each_parameter():
    pattern = r"\| `(\w+)` \| [\w ]+ \| `.+` \|.*\| (live|configure|start) \| .+ \|"
    matches = map(re.compile(pattern).fullmatch, parameters.document().splitlines())
    rows = {match[1]: match[2] for match in matches if match}
    assert list(rows) == [row.name for row in fields(NodeParameters)]
    assert rows["score_threshold"] == "live"
    assert rows["checkpoint"] == "configure"
    assert rows["autostart"] == "start"


def test_writing(tmp_path):
    with pytest.raises(PanopticError, match=r"no folder .*config; give the folder of the package's sources"):
        CliRunner().invoke(app, ["parameters", "--write", str(tmp_path)], catch_exceptions=False)
    for folder in ("config", "docs"):
        (tmp_path / folder).mkdir()
    assert CliRunner().invoke(app, ["parameters", "--write", str(tmp_path)]).exit_code == 0
    written = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*"))
    assert written == ["config/panoptic_node.yaml", "docs/parameters.md"]
