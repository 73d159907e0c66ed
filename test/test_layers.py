# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""One direction: each layer imports only what stands above it, and not the libraries it is kept free of.

The table is that of CONTRIBUTING.md. Imports inside functions and for type checking count as well.
"""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest

NAME = "opendr_panoptic_ros"
PACKAGE = Path(__file__).resolve().parents[1] / NAME

OPENMMLAB = r"mmdet|mmengine|mmcv"
ROS = (
    r"rclpy|launch|launch_ros|cv_bridge|message_filters|image_transport|diagnostic_updater|rcl_\w+|rosidl_\w+"
    r"|ament_\w+|tf2_?\w*|\w+_msgs|\w+_interfaces"
)


class Layer(NamedTuple):
    """The files and folders of a layer, the layers it may not import beside those below it, and libraries neither."""

    members: str
    libraries: str
    layers: str = ""


# From top to bottom, as in CONTRIBUTING.md.
LAYERS = {
    "values": Layer(
        "__init__ data labels prediction annotation config config_section label_map errors files "
        "yaml_files image_header",
        rf"torch|torchvision|{OPENMMLAB}|{ROS}",
    ),
    "network": Layer("network", rf"{OPENMMLAB}|{ROS}|cv2"),
    "runtime": Layer(
        "backends weight_files checkpoint inference optimization tracking postprocess rotation multi_view pipeline "
        "lists outputs visualize media connections download codec points",
        rf"{OPENMMLAB}|{ROS}",
    ),
    "datasets": Layer("formats datasets synthetic", ROS),
    "evaluation": Layer("evaluation", ROS),
    "training": Layer("training", ROS),
    "learner": Layer("learner opendr_arguments opendr_results", ROS),
    "compat": Layer("opendr_compat", ROS),
    "bags": Layer("bags", rf"{OPENMMLAB}|{ROS}", "datasets evaluation training learner compat"),
    "fleet": Layer("export fleet", rf"{OPENMMLAB}|{ROS}"),
    "ros": Layer("msg ros", OPENMMLAB, "datasets evaluation training learner compat bags fleet"),
    "commands": Layer("demo cli __main__", r"(?!)"),
}
LAYER_OF = {member: name for name, layer in LAYERS.items() for member in layer.members.split()}
ORDER = list(LAYERS)


@dataclass
class Import:
    """One imported module, by its full name, and the functions and `if TYPE_CHECKING` around the statement."""

    module: str
    line: int
    inside: tuple[str, ...]


def imports(tree: ast.AST, file: Path, around: tuple[str, ...] = ()) -> Iterator[Import]:
    """Every import statement below `tree`; `file` is relative to the folder that holds the package."""
    for node in ast.iter_child_nodes(tree):
        inside = around
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            inside = (*around, node.name)
        elif isinstance(node, ast.If):
            inside = (*around, ast.unparse(node.test))
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, inside)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(file.parent.parts[: len(file.parent.parts) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, [base, node.module]))
            # `from package import member` names a member that may be a module.
            for alias in node.names if module == NAME else node.names[:1]:
                yield Import(f"{module}.{alias.name}" if module == NAME else module, node.lineno, inside)
        yield from imports(node, file, inside)


def complaints(package: Path) -> list[str]:
    """One line for each import, in the package's source files, that the table forbids."""
    found = []
    for path in sorted(package.rglob("*.py")):
        file = path.relative_to(package.parent)
        layer = LAYER_OF.get(file.with_suffix("").parts[1])
        if layer is None:
            found.append(f"{file}: belongs to no layer; name it in test/test_layers.py")
            continue
        for imported in imports(ast.parse(path.read_text(encoding="utf-8")), file):
            fault = fault_of(layer, imported)
            if fault:
                found.append(f"{file}:{imported.line}: {layer} may not import {imported.module}: {fault}")
    return found


def fault_of(layer: str, imported: Import) -> str:
    """Why `layer` may not import this, or an empty string."""
    top, *members = imported.module.split(".")
    if top == NAME:
        target = LAYER_OF.get(members[0] if members else "__init__", "values")
        if ORDER.index(target) > ORDER.index(layer):
            return f"{target} stands below"
        if target in LAYERS[layer].layers.split():
            return f"{target} is not for it"
        needs_training = target == "training"
    else:
        if re.fullmatch(LAYERS[layer].libraries, top):
            return "it is kept free of this library"
        needs_training = bool(re.fullmatch(OPENMMLAB, top))
    if layer == "learner" and needs_training and {"fit", "TYPE_CHECKING"}.isdisjoint(imported.inside):
        return "only inside fit(), so that everything else works without the training extra"
    return ""


def test_the_package_keeps_the_table() -> None:
    assert not complaints(PACKAGE)


# The requirement files whose libraries a layer may import; `pip install .` alone is core.
REQUIREMENTS = {
    "runtime": ["cpu", "onnx-export", "onnx", "openvino", "tensorrt"],
    "datasets": ["train", "view"],
    "evaluation": ["train"],
    "training": ["train"],
    "learner": ["train"],
    "compat": ["train"],
    "fleet": ["fleet", "train"],
}


def test_every_library_is_a_requirement() -> None:
    """So that the core works with core.txt alone, and nothing is imported that only happens to be there."""
    # rerun-sdk puts its module into a folder of its own, which packages_distributions does not look into.
    distributions = {"rerun": ["rerun-sdk"], **importlib.metadata.packages_distributions()}
    missing = set()
    for path in PACKAGE.rglob("*.py"):
        layer = LAYER_OF[path.relative_to(PACKAGE).with_suffix("").parts[0]]
        files = [PACKAGE.parent / "requirements" / f"{name}.txt" for name in ["core", *REQUIREMENTS.get(layer, [])]]
        required = {normal(name) for file in files for name in re.findall(r"^[\w.-]+", file.read_text(), re.MULTILINE)}
        for imported in imports(ast.parse(path.read_text(encoding="utf-8")), path.relative_to(PACKAGE.parent)):
            top = imported.module.partition(".")[0]
            # compression belongs to the standard library since Python 3.14.
            known = top in {*sys.stdlib_module_names, "compression"} or top == NAME or re.fullmatch(ROS, top)
            if known or "TYPE_CHECKING" in imported.inside:
                continue
            if required.isdisjoint(normal(name) for name in distributions.get(top, [top])):
                missing.add(f"{layer}: {imported.module}")
    assert sorted(missing) == []


def circles(package: Path) -> list[str]:
    """Return one line for each circle of modules that import each other, type checking and functions included."""
    files = {".".join(module_parts(path, package)): path for path in package.rglob("*.py")}
    arrows: dict[str, set[str]] = {}
    for module, path in files.items():
        arrows[module] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for target in targets_of(node, path.relative_to(package.parent)):
                while target and target not in files:  # a function or class: the module that holds it
                    target = target.rpartition(".")[0]
                if target and target != module:
                    arrows[module].add(target)
    return [" ⇄ ".join(sorted(group)) for group in strongly_connected(arrows) if len(group) > 1]


def module_parts(path: Path, package: Path) -> tuple[str, ...]:
    parts = path.relative_to(package.parent).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


def targets_of(node: ast.AST, file: Path) -> Iterator[str]:
    """Yield the full names that an import statement names; `file` is relative to the folder of the package."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = ".".join(file.parent.parts[: len(file.parent.parts) - node.level + 1]) if node.level else ""
        module = ".".join(filter(None, [base, node.module]))
        yield from (f"{module}.{alias.name}" for alias in node.names)


def strongly_connected(arrows: dict[str, set[str]]) -> list[set[str]]:
    """Return the groups of nodes that reach each other."""
    reached: dict[str, set[str]] = {}
    for start in arrows:
        found: set[str] = set()
        waiting = [start]
        while waiting:
            for target in arrows[waiting.pop()] - found:
                found.add(target)
                waiting.append(target)
        reached[start] = found
    groups = {frozenset({a} | {b for b in reached[a] if a in reached[b]}) for a in arrows}
    return sorted((set(group) for group in groups), key=sorted)


def test_no_circle_of_imports() -> None:
    assert circles(PACKAGE) == []


def test_contributing_has_the_table() -> None:
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) \| (`.*?) \| .*\|$", text, re.MULTILINE)
    described = {
        name: {member.strip("/").removesuffix(".py") for member in re.findall(r"`([\w./]+)`", cell)}
        for name, cell in rows
    }
    assert list(described) == ORDER
    for name, layer in LAYERS.items():
        assert described[name] == set(layer.members.split()), name


def normal(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


FORBIDDEN = {
    "values need no torch": ("config.py", "import torch.nn"),
    "upwards": ("network/backbone.py", "from opendr_panoptic_ros.checkpoint import load_checkpoint"),
    "upwards by name": ("labels.py", "from opendr_panoptic_ros import inference"),
    "relative": ("network/backbone.py", "from ..inference import PanopticSegmenter"),
    "relative to the folder": ("network/heads/box.py", "from ...checkpoint import save_checkpoint"),
    "inside a function": ("network/rpn.py", "def f():\n    import cv2"),
    "for types": ("inference.py", "if TYPE_CHECKING:\n    from sensor_msgs.msg import Image"),
    "our messages are ROS": ("visualize.py", "from opendr_panoptic_ros.msg import SegmentInfo"),
    "the robot needs no mmdet": ("ros/node.py", "import mmdet.models as models"),
    "the robot needs no datasets": ("ros/node.py", "from opendr_panoptic_ros.datasets import KittiDataset"),
    "no learner in the node": ("ros/node.py", "from opendr_panoptic_ros import learner"),
    "training at import": ("learner.py", "from opendr_panoptic_ros.training import runner"),
    "training outside fit": ("learner.py", "class L:\n    def eval(self):\n        import mmengine"),
    "a file of no layer": ("helpers.py", ""),
}
ALLOWED = {
    "training in fit": (
        "learner.py",
        "class L:\n    def fit(self):\n        from opendr_panoptic_ros.training import run",
    ),
    "training's types": ("learner.py", "if TYPE_CHECKING:\n    from opendr_panoptic_ros.training.data import Labels"),
    "the version": ("cli/main.py", "from opendr_panoptic_ros import __version__"),
    "downwards": ("ros/node.py", "from opendr_panoptic_ros.inference import PanopticSegmenter\nimport rclpy"),
    "relative within a layer": ("network/backbone.py", "from .layers import Norm\nfrom . import layers"),
    "bags without ROS": ("datasets/bags.py", "from rosbags.highlevel import AnyReader"),
    "commands use everything": ("cli/demo.py", "import rclpy, mmdet\nfrom opendr_panoptic_ros.ros.node import main"),
}


def planted(tmp_path: Path, file: str, source: str) -> list[str]:
    path = tmp_path / NAME / file
    path.parent.mkdir(parents=True)
    path.write_text(source)
    return complaints(tmp_path / NAME)


@pytest.mark.parametrize(("file", "source"), FORBIDDEN.values(), ids=FORBIDDEN)
def test_a_planted_fault_is_found(tmp_path: Path, file: str, source: str) -> None:
    (complaint,) = planted(tmp_path, file, source)
    assert complaint.startswith(f"{NAME}/{file}")


@pytest.mark.parametrize(("file", "source"), ALLOWED.values(), ids=ALLOWED)
def test_what_the_table_allows(tmp_path: Path, file: str, source: str) -> None:
    assert planted(tmp_path, file, source) == []


CIRCLES = {
    "two modules": {"a.py": f"import {NAME}.b", "b.py": f"from {NAME} import a"},
    "for types": {
        "x/a.py": f"from {NAME}.x.b import f",
        "x/b.py": f"if TYPE_CHECKING:\n    from {NAME}.x.a import C",
    },
    "inside a function": {"a.py": "def f():\n    from .b import g", "b.py": "from .a import f"},
    "three modules": {"a.py": "from .b import x", "b.py": "from .c import x", "c.py": "from .a import x"},
    "a package and its module": {"x/__init__.py": "from .a import f", "x/a.py": f"from {NAME}.x import g"},
}


@pytest.mark.parametrize("files", CIRCLES.values(), ids=CIRCLES)
def test_a_planted_circle_is_found(tmp_path: Path, files: dict[str, str]) -> None:
    write_files(tmp_path, files)
    (circle,) = circles(tmp_path / NAME)
    assert circle.count("⇄") == len(files) - 1


def test_what_is_no_circle(tmp_path: Path) -> None:
    """Several ways to one module, and a package whose `__init__` imports modules that import each other in order."""
    files = {
        "x/__init__.py": "from .a import f",
        "x/a.py": "from .b import g\nfrom .c import h",
        "x/b.py": "from .c import h",
    }
    write_files(tmp_path, {**files, "x/c.py": "import json"})
    assert circles(tmp_path / NAME) == []


def write_files(folder: Path, files: dict[str, str]) -> None:
    for name, source in files.items():
        path = folder / NAME / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
