# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""What happens between the epochs of a training: evaluation, the record of the figures, the networks that are kept."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

from opendr_panoptic_ros.checkpoint import save_checkpoint
from opendr_panoptic_ros.errors import PanopticError
from opendr_panoptic_ros.evaluation.run import LabelledImages, evaluate
from opendr_panoptic_ros.inference import PanopticSegmenter
from opendr_panoptic_ros.network import EfficientPS
from opendr_panoptic_ros.prediction import PanopticPrediction
from opendr_panoptic_ros.training import mmcv_ops
from opendr_panoptic_ros.visualize import overlay

mmcv_ops.install()
from mmengine.hooks import Hook  # noqa: E402
from mmengine.runner import BaseLoop  # noqa: E402

if TYPE_CHECKING:
    from opendr_panoptic_ros.training.runner import PanopticRunner

_NUM_PICTURES = 4
_CHECK_EVERY = 20  # batches; looking waits for the device


class ValidationLoop(BaseLoop):
    """Evaluates the network exactly as it is run: by PanopticSegmenter, image by image. The first process does it."""

    def __init__(self, runner: PanopticRunner, dataloader: LabelledImages, evaluator: None) -> None:  # noqa: ARG002
        super().__init__(runner, dataloader)

    def run(self) -> None:
        """One evaluation, with everything that is to happen before and after it."""
        if self.runner.rank == 0:
            self.runner.call_hook("before_val")
            self.runner.call_hook("before_val_epoch")
            metrics = self._evaluate()
            self.runner.call_hook("after_val_epoch", metrics=metrics)
            self.runner.call_hook("after_val")
        if dist.is_initialized():
            dist.barrier()

    def _evaluate(self) -> dict[str, float]:
        network = _network(self.runner)
        segmenter = PanopticSegmenter(network, device=next(network.parameters()).device)

        def picture(index: int, pixels: NDArray[np.uint8], prediction: PanopticPrediction) -> None:
            if index < _NUM_PICTURES:
                drawn = overlay(pixels, prediction, labels=True)
                self.runner.visualizer.add_image(f"val/image_{index}", drawn, self.runner.epoch)

        result = evaluate(segmenter, self.dataloader, on_image=picture)
        quality = result.panoptic.all
        return {
            "pq": quality.pq,
            "sq": quality.sq,
            "rq": quality.rq,
            "pq_things": result.panoptic.things.pq,
            "pq_stuff": result.panoptic.stuff.pq,
            "miou": result.mean_iou,
            "ap": result.mean_ap,
        }


class TrainingRecord(Hook):
    """Keeps the figures of each epoch, and the best network as `best.safetensors`."""

    priority = "ABOVE_NORMAL"  # after_val_epoch comes before EMAHook takes the averaged weights away again

    def __init__(self, work_dir: Path) -> None:
        self._work_dir = work_dir
        self._sums: dict[str, Tensor] = {}
        self._count = 0

    def before_train_epoch(self, runner: PanopticRunner) -> None:
        """Start the means anew, unless it is the rest of an epoch that begins."""
        if not runner.train_loop.batches_done:
            self._sums, self._count = {}, 0

    def before_save_checkpoint(self, runner: PanopticRunner, checkpoint: dict[str, Any]) -> None:  # noqa: ARG002
        """The means so far are kept for the rest of the epoch."""
        checkpoint["loss_sums"], checkpoint["loss_count"] = self._sums, self._count

    def after_load_checkpoint(self, runner: PanopticRunner, checkpoint: dict[str, Any]) -> None:
        """Take them up again."""
        parameter = next(runner.model.parameters())
        self._sums = {name: value.to(parameter.device) for name, value in checkpoint["loss_sums"].items()}
        self._count = checkpoint["loss_count"]

    def after_train_iter(
        self, runner: PanopticRunner, batch_idx: int, *, outputs: dict[str, Tensor], **_batch: Any
    ) -> None:
        """Count the losses of one batch; they stay on their device.

        Raises PanopticError when they are not numbers any more, looked at now and then.
        """
        if batch_idx % _CHECK_EVERY == 0:
            _check_finite(float(outputs["loss"]), runner)
        for name, value in outputs.items():
            self._sums[name] = self._sums.get(name, torch.zeros_like(value)) + value
        self._count += 1

    def after_train_epoch(self, runner: PanopticRunner) -> None:
        """Record the means over the epoch. Raises PanopticError when they are not numbers."""
        means = {name: float(value) / self._count for name, value in self._sums.items()}
        _check_finite(means["loss"], runner)  # the same in every process: all stop
        if runner.rank == 0:
            rate = runner.optim_wrapper.get_lr()["lr"][0]
            runner.history.add("train", {"epoch": runner.epoch + 1, "learning_rate": rate, **means})

    def after_val_epoch(self, runner: PanopticRunner, metrics: dict[str, float]) -> None:
        """Record the figures, and keep the network if it is the best."""
        is_best = metrics["pq"] > runner.history.best_pq
        runner.history.add("val", {"epoch": runner.epoch, **metrics})
        if is_best:
            save_checkpoint(_network(runner), self._work_dir / "best.safetensors")


class CheckpointFiles(Hook):
    """Writes what resuming needs, every so many epochs and after the last."""

    priority = "VERY_LOW"  # after the learning rate of the next epoch is set

    def __init__(self, every: int) -> None:
        self._every = every

    def after_train_epoch(self, runner: PanopticRunner) -> None:
        """Write it if it is time to."""
        if self.every_n_epochs(runner, self._every) or self.is_last_train_epoch(runner):
            runner.save_training_checkpoint()


def _check_finite(loss: float, runner: PanopticRunner) -> None:
    if not math.isfinite(loss):
        raise PanopticError(
            f"The loss is {loss} in epoch {runner.epoch + 1}: training has diverged. "
            "Lower schedule.learning_rate, or raise schedule.warmup_iterations."
        )


def _network(runner: PanopticRunner) -> EfficientPS:
    model = runner.model.module if hasattr(runner.model, "module") else runner.model
    return model.network
