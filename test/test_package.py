# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The installation of the package by colcon and by pip, and the files that describe the package to them."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml

import opendr_panoptic_ros

NAME = "opendr_panoptic_ros"
ROOT = Path(__file__).resolve().parents[1]
PREFIX = ROOT / "install" / NAME
SOURCES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / NAME).rglob("*")
    if path.is_file() and "__pycache__" not in path.parts
)


def output_of(*command: str | Path, cwd: Path = ROOT, **environment: str) -> str:
    """Run a command and return its output; fail the test, with the output, if the command fails."""
    done = subprocess.run(
        command, check=False, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def in_new_shell(*command: str | Path, cwd: Path = ROOT) -> str:
    """Run a command in a shell in which only install/setup.bash has been sourced, and return its output."""
    if not (ROOT / "install" / "setup.bash").exists():
        pytest.skip("the messages are not built; make setup does it")
    source = f'. "{ROOT}/scripts/no_other_ros.sh" && . "{ROOT}/install/setup.bash" && exec "$@"'
    return output_of("bash", "-c", source, "bash", *command, cwd=cwd)


WHERE_FROM = f"""
import pathlib, pkgutil, {NAME}
from {NAME} import config
from {NAME}.codec import image
from {NAME}.msg import PanopticSegmentation, SegmentInfo
for module in ({NAME}, config, image):
    print(pathlib.Path(module.__file__).resolve())
print(PanopticSegmentation.__module__, SegmentInfo().score)
"""


@pytest.mark.ros
def test_the_same_source_runs_from_everywhere() -> None:
    from_root, from_outside = (in_new_shell(sys.executable, "-c", WHERE_FROM, cwd=cwd) for cwd in (ROOT, Path("/")))
    assert from_root == from_outside
    *files, messages = from_root.splitlines()
    assert files == [str(ROOT / NAME / file) for file in ("__init__.py", "config.py", "codec/image.py")]
    assert messages == f"{NAME}.msg._panoptic_segmentation 0.0"


@pytest.mark.ros
@pytest.mark.parametrize("name", ["panoptic_node", "panoptic_points_node", "opendr-panoptic"])
def test_colcon_installs_the_executables(name: str) -> None:
    in_new_shell("true")
    executable = PREFIX / "lib" / NAME / name
    assert os.access(executable, os.X_OK)
    assert executable.read_text().splitlines()[0] == "#!/usr/bin/env python3"  # runs in a virtual environment


@pytest.mark.ros
def test_an_installed_executable_runs() -> None:
    python_first = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    output = in_new_shell(
        "env", f"PATH={python_first}", PREFIX / "lib" / NAME / "opendr-panoptic", "--version", cwd=Path("/")
    )
    assert output == f"opendr-panoptic {opendr_panoptic_ros.__version__}\n"


@pytest.mark.ros
@pytest.mark.parametrize("folder", ["launch", "config"])
def test_colcon_installs_launch_and_parameter_files(folder: str) -> None:
    in_new_shell("true")
    sources = {path.name for path in (ROOT / folder).iterdir() if path.is_file()}
    assert sources
    assert sources <= {path.name for path in (PREFIX / "share" / NAME / folder).iterdir()}


def test_the_versions_agree() -> None:
    version = opendr_panoptic_ros.__version__
    assert ET.parse(ROOT / "package.xml").findtext("version") == version
    assert output_of(sys.executable, "setup.py", "--version").splitlines()[-1] == version


def test_package_xml_is_what_colcon_accepts() -> None:
    package = pytest.importorskip("catkin_pkg.package").parse_package(str(ROOT / "package.xml"))
    assert package.package_format == 3
    assert package.get_build_type() == "ament_cmake"
    assert [group.name for group in package.member_of_groups] == ["rosidl_interface_packages"]
    assert package.licenses == ["Apache-2.0"]


def test_package_xml_names_every_ros_package_that_is_used() -> None:
    imports = re.compile(
        r"^\s*(?:from|import) (rclpy|launch|launch_ros|cv_bridge|ament_\w+|rcl_\w+|\w+_msgs|\w+_interfaces)\b",
        re.MULTILINE,
    )
    nodes = re.compile(r"\bpackage=\"(\w+)\"")
    launch_files = list((ROOT / "launch").glob("*.py"))
    used = {name for file in (ROOT / NAME).rglob("*.py") for name in imports.findall(file.read_text(encoding="utf-8"))}
    for file in launch_files:
        used.update(imports.findall(file.read_text(encoding="utf-8")), nodes.findall(file.read_text(encoding="utf-8")))
    named = {element.text for element in ET.parse(ROOT / "package.xml").getroot()}
    assert {"rclpy", "launch_ros", "rviz2"} <= used
    assert used - {NAME} <= named


def test_one_repository_is_named_everywhere() -> None:
    urls = {url.get("type"): url.text for url in ET.parse(ROOT / "package.xml").iter("url")}
    repository = urls["repository"]
    assert urls == {"website": repository, "repository": repository, "bugtracker": f"{repository}/issues"}
    assert output_of(sys.executable, "setup.py", "--url").splitlines()[-1] == repository
    for page in (ROOT / "README.md", ROOT / "docs" / "install.md"):
        assert re.findall(r"git clone (\S+)", page.read_text(encoding="utf-8")) == [repository]


def test_changelog_is_what_the_release_tools_read() -> None:
    module = pytest.importorskip("catkin_pkg.changelog")
    text = (ROOT / "CHANGELOG.rst").read_text(encoding="utf-8")
    # catkin_prepare_release replaces this title; the tools read titles of released versions only.
    released = re.sub(r"^Forthcoming\n-+$", f"0.1.0 (2026-01-01)\n{18 * '-'}", text, count=1, flags=re.MULTILINE)
    changelog = module.populate_changelog_from_rst(module.Changelog(NAME), released)
    assert len(list(changelog.get_content_of_version("0.1.0")[0])) > 5


@pytest.mark.ros
def test_the_parameter_file_holds_every_parameter_with_its_default() -> None:
    parameters = pytest.importorskip(f"{NAME}.ros.parameters").NodeParameters()
    (node,) = yaml.safe_load((ROOT / "config" / "panoptic_node.yaml").read_text()).values()
    defaults = {key: list(value) if isinstance(value, tuple) else value for key, value in vars(parameters).items()}
    assert node["ros__parameters"] == defaults


@pytest.fixture(scope="module")
def pip_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the package with pip and return the folder."""
    folder = tmp_path_factory.mktemp("pip")
    copy, site = folder / "source", folder / "site"  # pip builds inside the source folder
    shutil.copytree(ROOT / NAME, copy / NAME, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "requirements", copy / "requirements")
    for name in ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md"):
        shutil.copy(ROOT / name, copy)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    output_of(*pip, "--target", site, copy, cwd=folder, PYTHONPATH="")
    return site


def test_pip_installs_every_file(pip_site: Path) -> None:
    assert f"{NAME}/presets/demo.yaml" in SOURCES
    assert [file for file in SOURCES if not (pip_site / file).is_file()] == []


def test_pip_installs_what_runs_without_the_source(pip_site: Path) -> None:
    show = f"from {NAME}.config import Config, __file__ as file; print(file); print(Config.load('kitti').name)"
    output = output_of(sys.executable, "-c", show, cwd=Path("/"), PYTHONPATH=str(pip_site))
    assert output.splitlines() == [str(pip_site / NAME / "config.py"), "kitti"]


def test_pip_requires_any_version_where_the_marker_holds(pip_site: Path) -> None:
    (distribution,) = importlib.metadata.distributions(path=[str(pip_site)])
    core = [entry.replace("'", '"') for entry in distribution.requires or [] if "extra ==" not in entry]
    assert {"torch", 'backports.zstd; python_version < "3.14"'} <= set(core)
    assert len(core) == len(set(core))
    assert not any("==" in entry for entry in core)


def test_the_commands_of_pip_exist(pip_site: Path) -> None:
    (distribution,) = importlib.metadata.distributions(path=[str(pip_site)])
    commands = distribution.entry_points
    assert {command.name for command in commands} == {"opendr-panoptic", "panoptic_node", "panoptic_points_node"}
    assert all(callable(command.load()) for command in commands)


SKIPS = {
    "another reason": ('pytest.skip("no mmdet here", allow_module_level=True)', 1),
    "a module that is missing": ('pytest.importorskip("no_such_module")', 1),
    "a shared file": ('pytest.skip("../shared/data/street.jpg is missing", allow_module_level=True)', 0),
    "launch_ros": ("pytest.importorskip('launch_ros.no_such_part')", 0),
    "nothing skipped": ("pass", 0),
}


@pytest.mark.parametrize(("statement", "code"), SKIPS.values(), ids=SKIPS)
@pytest.mark.parametrize("place", ["{}", "def test_it():\n    {}"], ids=["module", "test"])
def test_strict_skips(tmp_path: Path, place: str, statement: str, code: int) -> None:
    check_strict_skips(tmp_path, place.format(statement), code)


@pytest.mark.parametrize("place", ["{}", "def test_it():\n    {}"], ids=["module", "test"])
def test_strict_skips_of_several_workers(tmp_path: Path, place: str) -> None:
    pytest.importorskip("xdist")
    check_strict_skips(tmp_path, place.format(SKIPS["another reason"][0]), 1, "-n", "2")


def check_strict_skips(tmp_path: Path, statement: str, code: int, *options: str) -> None:
    (tmp_path / "test_skips.py").write_text(f"import pytest\n{statement}")
    (tmp_path / "test_passes.py").write_text("def test_it():\n    pass")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "support.strict_skips"]
    path = os.pathsep.join([str(ROOT / "test"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}
    command += options
    if code:
        lenient = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, env=environment)
        assert lenient.returncode == 0, lenient.stdout.decode()
    command += ["--strict-skips"]
    strict = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, env=environment)
    assert strict.returncode == code, strict.stdout.decode()
    assert (b"skipped, but must run" in strict.stdout) == (code == 1)
