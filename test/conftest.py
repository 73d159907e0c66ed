# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Fixtures of all tests: the golden checkpoint, files of the shared folder, ROS domains, commands."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from support.paths import SHARED_DATA

HERE = Path(__file__).resolve().parent

pytest_plugins = ["support.strict_skips"]


def pytest_configure(config: pytest.Config) -> None:
    if workers := getattr(config, "workerinput", {}).get("workercount"):
        # PyTorch in every worker of pytest-xdist and in its child processes takes its share of the cores.
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // workers)))
    # A shell starts background jobs with SIGINT ignored, and the commands that tests interrupt would inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the builds of back ends out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENDR_PANOPTIC_HOME", str(tmp_path_factory.mktemp("home")))
        yield


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device")


@pytest.fixture(scope="session")
def make_checkpoint() -> ModuleType:
    """The recipe test/data/make_checkpoint.py as a module."""
    spec = importlib.util.spec_from_file_location("make_checkpoint", HERE / "data" / "make_checkpoint.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def golden_state_dict(make_checkpoint: ModuleType) -> dict[str, Any]:
    """The synthetic weights of seed 19 under the names of the published checkpoint; tests do not modify them."""
    state_dict: dict[str, Any] = make_checkpoint.build_state_dict(19)
    return state_dict


@pytest.fixture(scope="session")
def golden_checkpoint(
    make_checkpoint: ModuleType, golden_state_dict: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The same weights in a file of the published format."""
    import torch

    path = tmp_path_factory.mktemp("golden") / "seed19.pth"
    torch.save({"meta": {"CLASSES": make_checkpoint.THING_CLASSES, "epoch": 0}, "state_dict": golden_state_dict}, path)
    return path


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """A function from a file name to its path in ../shared/data; it skips the test where the file is missing."""

    def find(name: str) -> Path:
        path = SHARED_DATA / name
        if not path.exists():
            pytest.skip(f"{path} is missing")
        return path

    return find


@pytest.fixture
def ros_domain(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A ROS_DOMAIN_ID that no other process uses, limited to this machine; set for this process and its children."""
    from opendr_panoptic_ros.demo.dds import reserved_domain_id

    with reserved_domain_id() as domain_id:
        monkeypatch.setenv("ROS_DOMAIN_ID", str(domain_id))
        monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        yield domain_id


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights file of a tiny network whose seed finds instances in noise and among the pedestrians."""
    from support.tiny_network import write_tiny_checkpoint

    return write_tiny_checkpoint(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def paper_case() -> Any:
    """A `PaperCase`: an annotation and a prediction of 4×6 pixels."""
    from support.paper_case import make_paper_case

    return make_paper_case()


@pytest.fixture
def make_bag(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes messages to a bag of a kind (ros1, sqlite3 or mcap) and returns its path."""
    from support.bags import write_bag

    return lambda sent, kind="mcap", name="in": write_bag(tmp_path / name, kind, sent)


@pytest.fixture
def run_main(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """A function that runs a command in this process, in an empty folder, and returns status, stdout and stderr."""
    from opendr_panoptic_ros.cli.main import main

    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["opendr-panoptic", *map(str, arguments)])
        capfd.readouterr()
        try:
            main()
        except SystemExit as stop:
            code = stop.code
        else:
            code = 0
        printed = capfd.readouterr()
        return int(code or 0), printed.out, printed.err

    return run


@pytest.fixture
def run_bag(monkeypatch, run_main, tiny_checkpoint):
    """A function that runs `opendr-panoptic bag` in this process and returns status, stdout and stderr."""
    monkeypatch.setenv("COLUMNS", "400")
    return lambda *arguments: run_main("bag", *arguments, "--checkpoint", tiny_checkpoint)
