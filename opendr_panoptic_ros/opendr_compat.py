# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""OpenDR's import paths of panoptic segmentation, served by this package once this module is imported.

    import opendr_panoptic_ros.opendr_compat
    from opendr.engine.data import Image
    from opendr.perception.panoptic_segmentation.efficient_ps import EfficientPsLearner

Where OpenDR itself is installed, nothing changes. `mmcv.imread`, which OpenDR's examples use to read images, also
accepts paths that begin with `~` afterwards; without mmcv a small stand-in provides it.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MODULES: dict[str, dict[str, str]] = {
    "opendr": {},
    "opendr.engine": {},
    "opendr.engine.data": {"Image": "data"},
    "opendr.engine.target": {"Heatmap": "data"},
    "opendr.perception": {},
    "opendr.perception.panoptic_segmentation": {
        "EfficientPsLearner": "learner",
        "CityscapesDataset": "datasets",
        "KittiDataset": "datasets",
    },
    "opendr.perception.panoptic_segmentation.efficient_ps": {"EfficientPsLearner": "learner"},
    "opendr.perception.panoptic_segmentation.datasets": {
        "CityscapesDataset": "datasets",
        "KittiDataset": "datasets",
    },
}
"""OpenDR's modules: the names in each, and our module that defines the name."""


class _Module(ModuleType):
    """A package whose names are imported from ours when first used."""

    def __getattr__(self, name: str) -> Any:
        source = _MODULES[self.__name__].get(name)
        if source is None:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"opendr_panoptic_ros.{source}"), name)


def _install() -> None:
    if "opendr" in sys.modules or importlib.util.find_spec("opendr") is not None:
        return
    for name in _MODULES:
        module = _Module(name, "OpenDR's interface, by opendr_panoptic_ros.")
        module.__path__ = []
        module.__spec__ = ModuleSpec(name, loader=None, is_package=True)
        sys.modules[name] = module
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)
    _let_imread_expand_home()


def _let_imread_expand_home() -> None:
    if importlib.util.find_spec("mmcv") is None:
        stand_in = ModuleType("mmcv", "mmcv.imread, by OpenCV.")
        stand_in.__spec__ = ModuleSpec("mmcv", loader=None)
        stand_in.imread = _imread  # type: ignore[attr-defined]
        sys.modules["mmcv"] = stand_in
        return
    import mmcv

    original: Callable[..., NDArray[Any]] = mmcv.imread

    @functools.wraps(original)
    def imread(img_or_path: Any, *arguments: Any, **options: Any) -> NDArray[Any]:
        if isinstance(img_or_path, (str, Path)):
            img_or_path = str(Path(img_or_path).expanduser())
        return original(img_or_path, *arguments, **options)

    mmcv.imread = imread


def _imread(path: str | Path) -> NDArray[np.uint8]:
    """Read an image file as OpenCV does: `(H, W, 3)` uint8, BGR."""
    from opendr_panoptic_ros.data import Image

    return Image.open(Path(path).expanduser()).opencv()


_install()
