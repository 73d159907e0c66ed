# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Back ends: each computes the dense part of the network in one inference runtime.

A new back end is one file with a subclass of `DenseBackend` and one row of `BACKENDS`. Everything after the dense part
(proposals, RoI heads, fusion) runs in torch, whatever the back end.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from opendr_panoptic_ros.errors import ConfigError

if TYPE_CHECKING:
    from opendr_panoptic_ros.backends.base import DenseBackend


class BackendRow(NamedTuple):
    """A back end that is imported when it is first used, so that the table needs no inference runtime.

    Attributes:
        module: The module of this package that holds the class.
        backend_class: Name of the subclass of `DenseBackend`.
    """

    module: str
    backend_class: str

    def load(self) -> type[DenseBackend]:
        """Import the module and return the class."""
        loaded: type[DenseBackend] = getattr(import_module(f"{__name__}.{self.module}"), self.backend_class)
        return loaded


BACKENDS = {"torch": BackendRow("torch", "TorchBackend")}
"""Back ends by name. `auto` is accepted wherever a name is and stands for the fastest one."""


def resolve_backend(name: str) -> str:
    """Return the name of the back end to use.

    Args:
        name: A name of `BACKENDS`, or `auto`.

    Returns:
        A name of `BACKENDS`.

    Raises:
        ConfigError: There is no back end of this name.
    """
    if name == "auto":
        return "torch"
    if name not in BACKENDS:
        raise ConfigError(f"backend is {name!r}; expected one of {', '.join(('auto', *BACKENDS))}.")
    return name
