# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The part of the runner that its loop and its hooks use."""

from __future__ import annotations

from typing import Any, Protocol

from opendr_panoptic_ros.training.history import History


class TrainingRunner(Protocol):
    """A running training, as the loop and the hooks see it; `PanopticRunner` is one.

    Attributes:
        accumulate: Batches for each step of the optimiser.
        history: The figures of each epoch.
        model: The TrainableEfficientPS, possibly wrapped for several processes.
        optim_wrapper: mmengine's wrapper of the optimiser.
        visualizer: mmengine's visualizer.
    """

    accumulate: int
    history: History
    model: Any
    optim_wrapper: Any
    visualizer: Any

    @property
    def rank(self) -> int:
        """The number of this process; 0 evaluates and writes files."""
        ...

    @property
    def epoch(self) -> int:
        """The number of finished epochs."""
        ...

    @property
    def max_epochs(self) -> int:
        """The number of epochs of the whole training."""
        ...

    @property
    def logger(self) -> Any:
        """Mmengine's logger."""
        ...

    @property
    def train_loop(self) -> Any:
        """The StoppableEpochs."""
        ...

    @property
    def val_loop(self) -> Any:
        """The ValidationLoop, or None without validation images."""
        ...

    def should_stop(self) -> bool:
        """Whether the training is to stop after the current step."""
        ...

    def save_training_checkpoint(self, *, batches_done: int = 0) -> None:
        """Write what resuming needs.

        Args:
            batches_done: Batches of the current epoch, when it is not finished.
        """
        ...

    def call_hook(self, fn_name: str, **kwargs: Any) -> None:
        """Call a method of every hook.

        Args:
            fn_name: Name of the method.
            kwargs: Its arguments.
        """
        ...
