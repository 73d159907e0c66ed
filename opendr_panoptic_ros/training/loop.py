# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The loop over epochs, which can be stopped after any step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.distributed as dist

from opendr_panoptic_ros.errors import PanopticError
from opendr_panoptic_ros.training import mmcv_ops

mmcv_ops.install()
from mmengine.runner import EpochBasedTrainLoop  # noqa: E402

if TYPE_CHECKING:
    from opendr_panoptic_ros.training.runner import PanopticRunner


class TrainingStopped(PanopticError):  # noqa: N818 - it was wanted
    """Somebody asked for it, and what resuming needs has been written."""


class StoppableEpochs(EpochBasedTrainLoop):
    """mmengine's loop over epochs; when the runner is asked to stop, it writes a checkpoint and raises TrainingStopped.

    batches_done: how many batches of the present epoch count already; the next `run_epoch` begins after them.
    """

    runner: PanopticRunner
    batches_done = 0

    def run_epoch(self) -> None:
        """One epoch, or the rest of one."""
        self.runner.call_hook("before_train_epoch")
        self.runner.model.train()
        self.dataloader.sampler.skip(self.batches_done * self.dataloader.batch_size)
        for index, batch in enumerate(self.dataloader, start=self.batches_done):
            self.run_iter(index, batch)
            self.batches_done = index + 1
            # Not at the end of an epoch, which writes a checkpoint by itself, nor where gradients are half summed up.
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
        """Whether any of the processes was asked to: all of them stop after the same step."""
        wanted = torch.tensor(float(self.runner.should_stop()), device=next(self.runner.model.parameters()).device)
        if dist.is_initialized():
            dist.all_reduce(wanted)
        return bool(wanted > 0)
