# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The options of engines, which several commands share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated

import typer

from opendr_panoptic_ros.errors import ConfigError
from opendr_panoptic_ros.fleet.engine_name import EngineName

if TYPE_CHECKING:
    from opendr_panoptic_ros.fleet.ray_workers import RayWorkers

Engine = Annotated[
    EngineName, typer.Option(help="Where the work is done: in this process, or by workers on Ray (extra fleet).")
]
Address = Annotated[
    str | None,
    typer.Option(help="Ray cluster: auto, ray://HOST:10001, HOST:6379.", show_default="a cluster of this machine"),
]
Cores = Annotated[float, typer.Option(min=0, help="Processor cores of a worker on Ray; it also gets one GPU, if any.")]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Number of workers on Ray.", show_default="as many as there is room for")
]


ShardOption = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Label the part I of N of the bags, I from 0. auto takes both from the variables of arrays of AWS "
        "Batch, Slurm or Kubernetes; auto/N gives N.",
    ),
]


@dataclass(frozen=True)
class EngineOptions:
    """The values of the options.

    Attributes:
        engine: Where the work is done.
        address: Address of the cluster, as `RayWorkers` takes it.
        cores: Processor cores of a worker.
        workers: Number of workers; None for as many as there is room for.
    """

    engine: EngineName = EngineName.LOCAL
    address: str | None = None
    cores: float = 1
    workers: int | None = None

    def open(self) -> RayWorkers | None:
        """Return the workers, as a context; None if the work is done in this process.

        Raises:
            ConfigError: An address is given for another engine.
            PanopticError: The cluster cannot be used.
        """
        return ray_workers(self.engine, self.address, self.cores, self.workers)


def ray_workers(
    engine: EngineName,
    address: str | None,
    cores: float,
    workers: int | None,
    *,
    without: Mapping[str, object] = MappingProxyType({}),
) -> RayWorkers | None:
    """Return the workers that the options name.

    Args:
        engine: Where the work is done.
        address: Address of the cluster, as `RayWorkers` takes it.
        cores: Processor cores of a worker.
        workers: Number of workers; None for as many as there is room for.
        without: Values of options, by their names, that cannot be used on Ray.

    Returns:
        The workers, as a context; None if the work is done in this process.

    Raises:
        ConfigError: An address is given for another engine, or one of `without` is given.
        PanopticError: The cluster cannot be used.
    """
    if engine is EngineName.LOCAL:
        if address is not None:
            raise ConfigError("--address is for --engine ray; add it, or leave out --address.")
        return None
    given = [name for name, value in without.items() if value]
    if given:
        raise ConfigError(f"--engine ray cannot be used with {' and '.join(given)}; leave one of them out.")
    from opendr_panoptic_ros.fleet.ray_workers import RayWorkers

    return RayWorkers(address, cores=cores, workers=workers)
