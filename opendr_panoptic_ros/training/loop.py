# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The loop over epochs, which can be stopped after each step."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import nn
from typing_extensions import override

from opendr_panoptic_ros.errors import PanopticError
from opendr_panoptic_ros.training import mmcv_ops
from opendr_panoptic_ros.training.protocol import TrainingRunner

mmcv_ops.install()
from mmengine.runner import EpochBasedTrainLoop  # noqa: E402


class TrainingStopped(PanopticError):  # noqa: N818 - a request, not an error
    """Training was stopped on request; the checkpoint needed to resume has been saved."""


class StoppableEpochs(EpochBasedTrainLoop):
    """mmengine's loop over epochs, which saves a checkpoint and raises TrainingStopped when the runner is to stop.

    Attributes:
        batches_done: Processed batches of the current epoch; the next `run_epoch` continues after them.
    """

    runner: TrainingRunner
    batches_done = 0

    @override
    def run(self) -> nn.Module:
        """Run the epochs; a resumed training first evaluates its last epoch if it was killed before it had done so."""
        if self._lacks_evaluation():
            self.runner.val_loop.run()
        return super().run()

    @override
    def run_epoch(self) -> None:
        """Run one epoch, or the rest of a resumed one."""
        self.runner.call_hook("before_train_epoch")
        self.runner.model.train()
        self.dataloader.sampler.skip(self.batches_done * self.dataloader.batch_size)
        for index, batch in enumerate(self.dataloader, start=self.batches_done):
            self.run_iter(index, batch)
            self.batches_done = index + 1
            # The end of an epoch saves a checkpoint anyway; accumulated gradients are not part of a checkpoint.
            is_between = self.batches_done < len(self.dataloader) and self.batches_done % self.runner.accumulate == 0
            if is_between and self._is_to_stop():
                self.runner.save_training_checkpoint(batches_done=self.batches_done)
                raise TrainingStopped(
                    f"Stopped in epoch {self.epoch + 1} after {self.batches_done} of {len(self.dataloader)} steps."
                )
        self.batches_done = 0
        self.runner.call_hook("after_train_epoch")
        self._epoch += 1

    def _is_to_stop(self) -> bool:
        """Whether any process is to stop: all processes then stop after the same step."""
        return self.any_process(self.runner.should_stop())

    def _lacks_evaluation(self) -> bool:
        """Whether the epoch of the checkpoint was to be evaluated, but its figures are missing."""
        history, epoch = self.runner.history, self.epoch
        is_due = epoch % self.val_interval == 0 or epoch == self.max_epochs
        return self.any_process(
            self.runner.rank == 0  # only this process writes the history
            and self.runner.val_loop is not None
            and self.batches_done == 0
            and is_due
            and history.has("train", epoch)
            and not history.has("val", epoch)
        )

    def any_process(self, condition: bool) -> bool:
        """Return whether a condition holds in any process; the result is equal in all of them.

        Args:
            condition: Whether it holds in this process. Every process has to call this.
        """
        holds = torch.tensor(float(condition), device=next(self.runner.model.parameters()).device)
        if dist.is_initialized():
            dist.all_reduce(holds)
        return bool(holds > 0)
