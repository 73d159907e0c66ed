# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The pytest option --strict-skips: the run fails when a test was skipped that `make setup` provides for."""

from __future__ import annotations

import re

import pytest

# What a machine may lack under --strict-skips; tests marked gpu may skip as well.
ALLOWED = re.compile(r"shared/(data|reference)|'launch(_ros)?(\.\w+)*'|this CPU has no bfloat16")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--strict-skips",
        action="store_true",
        help="Fail when a test was skipped for another reason than a GPU, a CPU with bfloat16, launch_ros or a file of "
        "shared/data that this machine lacks.",
    )


def pytest_configure(config: pytest.Config) -> None:
    # A worker of pytest-xdist sends its reports to the controller, which decides.
    if config.getoption("--strict-skips") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(StrictSkips(), "strict-skips-of-run")


class StrictSkips:
    """Collects the skips that are not allowed and fails the run when there is one."""

    def __init__(self) -> None:
        self._refused: dict[str, None] = {}  # in order; each worker reports a module that it cannot collect

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if "gpu" not in report.keywords:
            self._judge(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._judge(report)

    def _judge(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if not report.skipped or hasattr(report, "wasxfail"):
            return
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not ALLOWED.search(reason):
            self._refused[f"{report.nodeid}: {reason}"] = None

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._refused and session.exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._refused:
            terminalreporter.section("skipped, but must run (--strict-skips)", red=True)
            for line in self._refused:
                terminalreporter.line(line)
