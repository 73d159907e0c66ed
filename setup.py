# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Packaging for pip: the Python package without ROS. With ROS, colcon builds it through CMakeLists.txt."""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
NAME = "opendr_panoptic_ros"
REPOSITORY = "https://github.com/opendr-panoptic/opendr_panoptic_ros"


def requirements(name: str, *, pinned: bool) -> list[str]:
    """Return the entries of requirements/NAME.txt, with versions if pinned, with their markers always."""
    lines = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    entries = [entry for line in lines if (entry := line.partition("#")[0].strip())]
    return entries if pinned else sorted({re.sub(r"^([\w.-]+)[^;]*", r"\1", entry) for entry in entries})


setup(
    name=NAME,
    version=re.search(r'__version__ = "(.+)"', (ROOT / NAME / "__init__.py").read_text(encoding="utf-8"))[1],
    description="Panoptic segmentation of camera images with EfficientPS, for ROS 2",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    url=REPOSITORY,
    project_urls={"Source": REPOSITORY, "Bug Tracker": f"{REPOSITORY}/issues"},
    license="Apache-2.0",
    python_requires=">=3.10",
    # The explicit folder makes `pip install -e` a plain path entry, which the package's extend_path can follow.
    package_dir={"": "."},
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={NAME: ["presets/*", "presets/label_maps/*"]},
    install_requires=requirements("core", pinned=False),
    # mmdet and the ROS wheels work in exactly these versions together.
    extras_require={
        "cpu": requirements("cpu", pinned=False),
        "onnx": requirements("onnx-export", pinned=False) + requirements("onnx", pinned=False),
        "openvino": requirements("onnx-export", pinned=False) + requirements("openvino", pinned=False),
        "tensorrt": requirements("onnx-export", pinned=False) + requirements("tensorrt", pinned=True),
        "train": requirements("train", pinned=True),
        "ros": requirements("ros", pinned=True),
        "view": requirements("view", pinned=True),
        "fleet": requirements("fleet", pinned=True),
        "dev": requirements("dev", pinned=False),
    },
    entry_points={
        "console_scripts": [
            f"opendr-panoptic = {NAME}.cli.main:main",
            f"panoptic_node = {NAME}.ros.main:main",
            f"panoptic_points_node = {NAME}.ros.main:points_main",
        ]
    },
)
