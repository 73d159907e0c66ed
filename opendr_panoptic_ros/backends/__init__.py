# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Back ends: each computes the dense part of the network in one inference runtime.

A new back end is one file with a subclass of `DenseBackend` and one row of `BACKENDS`. Everything after the dense part
(proposals, RoI heads, fusion) runs in torch, whatever the back end.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

from opendr_panoptic_ros.errors import ConfigError

if TYPE_CHECKING:
    from opendr_panoptic_ros.backends.base import DenseBackend

_INSTALL = "pip install 'opendr_panoptic_ros[{}]'"
_FLOATS = ("float32", "float16", "bfloat16")


class BackendRow(NamedTuple):
    """A back end that is imported when it is first used, so that the table needs no inference runtime.

    Attributes:
        module: The module of this package that holds the class.
        backend_class: Name of the subclass of `DenseBackend`.
        precisions: The precisions that it supports, by type of device ("cpu", "cuda").
        runtime: Name of the module of the runtime, which must be installed; empty if there is none beside torch.
        install: Command that installs the runtime.
    """

    module: str
    backend_class: str
    precisions: Mapping[str, tuple[str, ...]] = {"cpu": _FLOATS, "cuda": _FLOATS}
    runtime: str = ""
    install: str = ""

    def load(self) -> type[DenseBackend]:
        """Import the module and return the class."""
        loaded: type[DenseBackend] = getattr(import_module(f"{__name__}.{self.module}"), self.backend_class)
        return loaded

    def is_installed(self) -> bool:
        """Return whether the runtime is installed; it is not imported."""
        return not self.runtime or find_spec(self.runtime) is not None


BACKENDS = {
    "torch": BackendRow("torch", "TorchBackend"),
    "ncnn": BackendRow("ncnn", "NcnnBackend", {"cpu": ("float32", "bfloat16")}, "ncnn", _INSTALL.format("cpu")),
    "onnxruntime": BackendRow(
        "onnxruntime",
        "OnnxRuntimeBackend",
        {"cpu": ("float32",), "cuda": ("float32", "float16")},
        "onnxruntime",
        _INSTALL.format("onnx"),
    ),
    "openvino": BackendRow(
        "openvino",
        "OpenVinoBackend",
        {"cpu": ("float32", "bfloat16", "int8")},
        "openvino",
        _INSTALL.format("openvino"),
    ),
    "tensorrt": BackendRow(
        "tensorrt", "TensorRtBackend", {"cuda": ("float32", "float16")}, "tensorrt", _INSTALL.format("tensorrt")
    ),
}
"""Back ends by name. `auto` is accepted wherever a name is and stands for the fastest one."""

_FASTEST = {
    ("cpu", "float32"): ("ncnn", "onnxruntime", "openvino", "torch"),
    ("cpu", "bfloat16"): ("openvino", "ncnn", "torch"),
}
"""What `auto` stands for, by type of device and precision: the first of these that is installed (docs/backends.md)."""


def resolve_backend(name: str, *, device: str = "cpu", precision: str = "float32") -> str:
    """Return the name of the back end to use.

    Args:
        name: A name of `BACKENDS`, or `auto`.
        device: Type of the device: "cpu" or "cuda".
        precision: Number format of the dense part.

    Returns:
        A name of `BACKENDS`: the given one, or for `auto` the fastest one that is installed.

    Raises:
        ConfigError: There is no back end of this name, its runtime is not installed, or it does not support the
            device or the precision.
    """
    if name == "auto":
        supporting = [known for known, row in BACKENDS.items() if precision in row.precisions.get(device, ())]
        order = [known for known in _FASTEST.get((device, precision), ("torch",)) if known in supporting]
        for known in dict.fromkeys([*order, *supporting]):
            if BACKENDS[known].is_installed():
                return known
        commands = " or ".join(f"`{BACKENDS[known].install}`" for known in supporting)
        raise ConfigError(
            f"No installed back end supports {precision} on {device}. "
            + (f"Install one with {commands}." if commands else "Choose another precision.")
        )
    if name not in BACKENDS:
        raise ConfigError(f"backend is {name!r}; expected one of {', '.join(('auto', *BACKENDS))}.")
    row = BACKENDS[name]
    if not row.is_installed():
        raise ConfigError(f"The back end {name} needs {row.runtime}, which is not installed. Run `{row.install}`.")
    if device not in row.precisions:
        raise ConfigError(f"The back end {name} does not run on {device}; expected {' or '.join(row.precisions)}.")
    if precision not in row.precisions[device]:
        raise ConfigError(
            f"The back end {name} does not support {precision} on {device}; expected "
            f"{', '.join(row.precisions[device])}."
        )
    return name
