# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Validation, the record of the figures, and the checkpoints of a training, as a loop and hooks of mmengine."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from opendr_panoptic_ros.annotation import LabelledImages
from opendr_panoptic_ros.checkpoint import save_checkpoint
from opendr_panoptic_ros.config import ScheduleConfig
from opendr_panoptic_ros.errors import PanopticError
from opendr_panoptic_ros.evaluation.run import EvaluatedImage, evaluate
from opendr_panoptic_ros.inference import PanopticSegmenter
from opendr_panoptic_ros.network import EfficientPS
from opendr_panoptic_ros.training import mmcv_ops
from opendr_panoptic_ros.training.protocol import TrainingRunner
from opendr_panoptic_ros.visualize import overlay

mmcv_ops.install()
from mmengine.hooks import Hook  # noqa: E402
from mmengine.runner import BaseLoop  # noqa: E402

_NUM_PICTURES = 4
_NO_PQ = 0.01  # below this a network has learnt nothing visible
_FALLEN = 0.9  # of the first epoch's loss: it falls
_CHECK_EVERY = 20  # batches; reading a loss waits for the device


class ValidationLoop(BaseLoop):
    """Evaluates the network as it is used, through PanopticSegmenter, image by image; only the first process does.

    Args:
        runner: The training.
        dataloader: The validation images, under mmengine's name.
        evaluator: Unused; mmengine passes one.
    """

    def __init__(self, runner: TrainingRunner, dataloader: LabelledImages, evaluator: None) -> None:  # noqa: ARG002
        super().__init__(runner, dataloader)

    @override
    def run(self) -> None:
        """Evaluate once, and call the hooks around it."""
        if self.runner.rank == 0:
            self.runner.call_hook("before_val")
            self.runner.call_hook("before_val_epoch")
            metrics = self._evaluate()
            self.runner.call_hook("after_val_epoch", metrics=metrics)
            self.runner.call_hook("after_val")
        # The other processes wait here. All of them have to end the training after the same epoch.
        if self.runner.train_loop.any_process(self._is_without_progress()):
            self.runner.train_loop.stop_training = True

    def _is_without_progress(self) -> bool:
        """Whether the patience of the schedule has ended; only the first process has the figures."""
        if self.runner.rank != 0:
            return False
        history, epoch = self.runner.history, self.runner.epoch
        patience = _network(self.runner).config.schedule.patience
        ends = 0 < patience <= epoch - history.best_epoch
        if ends and epoch < self.runner.max_epochs:
            self.runner.logger.info(
                "PQ has not risen since epoch %d: the training ends after epoch %d (schedule.patience is %d).",
                history.best_epoch,
                epoch,
                patience,
            )
        return ends

    def _evaluate(self) -> dict[str, float]:
        network = _network(self.runner)
        segmenter = PanopticSegmenter(network, device=next(network.parameters()).device)

        def picture(image: EvaluatedImage) -> None:
            if image.index < _NUM_PICTURES:
                drawn = overlay(image.pixels, image.prediction, labels=True)
                self.runner.visualizer.add_image(f"val/image_{image.index}", drawn, self.runner.epoch)

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
    """Records the figures of each epoch, and saves the best network as `best.safetensors`.

    Args:
        work_dir: The folder of the training.
    """

    priority = "ABOVE_NORMAL"  # after_val_epoch must run before EMAHook restores the weights that are not averaged

    def __init__(self, work_dir: Path) -> None:
        self._work_dir = work_dir
        self._sums: dict[str, Tensor] = {}
        self._count = 0
        self._has_warned = False

    @override
    def before_train_epoch(self, runner: TrainingRunner) -> None:
        """Reset the mean losses, except when a resumed epoch continues."""
        if not runner.train_loop.batches_done:
            self._sums, self._count = {}, 0

    @override
    def before_save_checkpoint(self, runner: TrainingRunner, checkpoint: dict[str, Any]) -> None:
        """Store the sums of the losses, for the rest of the epoch after resuming."""
        checkpoint["loss_sums"], checkpoint["loss_count"] = self._sums, self._count

    @override
    def after_load_checkpoint(self, runner: TrainingRunner, checkpoint: dict[str, Any]) -> None:
        """Restore the sums of the losses."""
        parameter = next(runner.model.parameters())
        self._sums = {name: value.to(parameter.device) for name, value in checkpoint["loss_sums"].items()}
        self._count = checkpoint["loss_count"]

    @override
    def after_train_iter(
        self, runner: TrainingRunner, batch_idx: int, *, outputs: dict[str, Tensor], **_batch: Any
    ) -> None:
        """Add the losses of one batch, on their device.

        Raises:
            PanopticError: The loss is not finite; checked every 20 batches.
        """
        if batch_idx % _CHECK_EVERY == 0:
            _check_finite(float(outputs["loss"]), runner)
        for name, value in outputs.items():
            self._sums[name] = self._sums.get(name, torch.zeros_like(value)) + value
        self._count += 1

    @override
    def after_train_epoch(self, runner: TrainingRunner) -> None:
        """Record the mean losses of the epoch.

        Raises:
            PanopticError: The mean loss is not finite.
        """
        means = {name: float(value) / self._count for name, value in self._sums.items()}
        _check_finite(means["loss"], runner)  # the same value in every process, so all stop
        if runner.rank == 0:
            rate = runner.optim_wrapper.get_lr()["lr"][0]
            runner.history.add("train", {"epoch": runner.epoch + 1, "learning_rate": rate, **means})

    @override
    def after_val_epoch(self, runner: TrainingRunner, metrics: dict[str, float]) -> None:
        """Record the figures, and save the network if it is the best so far."""
        is_best = metrics["pq"] > runner.history.best_pq
        if is_best:  # before the figures: after a kill in between, resuming evaluates and saves again
            save_checkpoint(_network(runner), self._work_dir / "best.safetensors")
        runner.history.add("val", {"epoch": runner.epoch, **metrics})
        self._warn_of_no_progress(runner)

    def _warn_of_no_progress(self, runner: TrainingRunner) -> None:
        """Warn when the losses fall but PQ stays near 0: once early, and at the end of the training."""
        losses = [row["loss"] for row in runner.history.to_dict()["train"]]
        is_last = runner.epoch >= runner.max_epochs
        if len(losses) < 2 or losses[-1] > _FALLEN * losses[0] or runner.history.best_pq >= _NO_PQ:
            return
        if is_last or not self._has_warned:
            self._has_warned = True
            runner.logger.warning(
                "The loss fell from %.3g to %.3g in %d epochs, but the best PQ is %.2f %%: the network has not been "
                "trained long enough to segment anything, or the evaluated running mean of the weights lags behind. "
                "Raise schedule.epochs, set schedule.ema_momentum=0, or start from other weights.",
                losses[0],
                losses[-1],
                len(losses),
                100 * max(runner.history.best_pq, 0.0),
            )


class CheckpointFiles(Hook):
    """Saves the training's checkpoint at regular epochs, after the last one, and after each that may be the last.

    Args:
        schedule: The schedule of the training.
    """

    priority = "VERY_LOW"  # after the learning rate of the next epoch is set

    def __init__(self, schedule: ScheduleConfig) -> None:
        self._schedule = schedule

    @override
    def after_train_epoch(self, runner: TrainingRunner) -> None:
        """Save a checkpoint if one is due."""
        may_be_last = self._schedule.patience and self.every_n_epochs(runner, self._schedule.evaluate_every)
        is_due = self.every_n_epochs(runner, self._schedule.checkpoint_every)
        if is_due or may_be_last or self.is_last_train_epoch(runner):
            runner.save_training_checkpoint()


def _check_finite(loss: float, runner: TrainingRunner) -> None:
    if not math.isfinite(loss):
        raise PanopticError(
            f"The loss is {loss} in epoch {runner.epoch + 1}: training has diverged. "
            "Lower schedule.learning_rate, or raise schedule.warmup_iterations."
        )


def _network(runner: TrainingRunner) -> EfficientPS:
    model = runner.model.module if hasattr(runner.model, "module") else runner.model
    return model.network
