# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Back ends: each computes the dense part of the network in one inference runtime.

A new back end is one file with a subclass of `DenseBackend` and one row of `BACKENDS`. Everything after the dense part
(proposals, RoI heads, fusion) runs in torch, whatever the back end.
"""

from opendr_panoptic_ros.backends.base import DenseBackend
from opendr_panoptic_ros.backends.torch import TorchBackend
from opendr_panoptic_ros.errors import ConfigError

BACKENDS: dict[str, type[DenseBackend]] = {"torch": TorchBackend}
"""Back ends by name. `auto` is accepted wherever a name is and stands for the fastest one."""

__all__ = ["BACKENDS", "DenseBackend", "TorchBackend", "resolve_backend"]


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
