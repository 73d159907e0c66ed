# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Training of a network on mmengine's Runner."""

from __future__ import annotations

import copy
import datetime as dt
import os
import re
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import cv2
import torch
import torch.distributed as dist
from torch import nn
from typing_extensions import override

from opendr_panoptic_ros.annotation import LabelledImages
from opendr_panoptic_ros.checkpoint import save_checkpoint
from opendr_panoptic_ros.config import ScheduleConfig
from opendr_panoptic_ros.errors import CheckpointError, ConfigError
from opendr_panoptic_ros.files import is_file, write_whole
from opendr_panoptic_ros.network import EfficientPS
from opendr_panoptic_ros.training import mmcv_ops
from opendr_panoptic_ros.training.data import training_loader
from opendr_panoptic_ros.training.history import History, Row
from opendr_panoptic_ros.training.hooks import CheckpointFiles, TrainingRecord, ValidationLoop
from opendr_panoptic_ros.training.loop import StoppableEpochs
from opendr_panoptic_ros.training.model import TrainableEfficientPS
from opendr_panoptic_ros.weight_files.stored import load_state_dict

mmcv_ops.install()
from mmengine.model import MMDistributedDataParallel  # noqa: E402
from mmengine.runner import Runner  # noqa: E402

STOPPED = "stopped.pth"
"""Checkpoint of a training that was stopped within an epoch."""
_DISTRIBUTED_TIMEOUT = dt.timedelta(hours=6)  # the other processes wait while one evaluates


def train(
    network: EfficientPS,
    images: LabelledImages,
    val_images: LabelledImages | None = None,
    *,
    work_dir: str | Path,
    seed: int = 0,
    device: str | torch.device = "auto",
    num_workers: int = 0,
    resume_from: str | Path | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    silent: bool = False,
) -> dict[str, list[Row]]:
    """Train a network in place, with the settings of its configuration.

    Under torchrun every process calls this function; gradients are averaged over the processes, and the first process
    evaluates and writes files.

    Args:
        network: The network to train.
        images: Training images with their ground truth.
        val_images: Validation images; with them, the best weights by PQ are saved.
        work_dir: Receives `epoch_N.pth` (to resume from), the networks `last.safetensors` and `best.safetensors`,
            `history.json` and TensorBoard's files.
        seed: Seed of all random choices.
        device: auto, or a device of torch such as cpu, cuda, cuda:1.
        num_workers: Processes that load images; 0 = load between the steps.
        resume_from: An `epoch_N.pth` or `stopped.pth`. Training continues as if it had not been interrupted, with the
            seed of the checkpoint.
        should_stop: Called after each step; once it returns True, `stopped.pth` is saved and TrainingStopped raised.
        silent: Whether to log warnings only.

    Returns:
        The history: `{"train": [{"epoch", "learning_rate", losses}], "val": [{"epoch", "pq", "sq", "rq", "miou",
        "ap"}]}`; a figure that does not exist, such as AP without things, is None.

    Raises:
        TrainingStopped: `should_stop` returned True.
        ConfigError: `work_dir` holds a training that is not resumed, or the device is unusable.
        CheckpointError: `resume_from` cannot be resumed.
        DatasetError: The images are unusable.
    """
    work_dir = Path(work_dir).expanduser()
    found = _resolve_device(device, network.config.schedule)
    checkpoint = read_training_checkpoint(resume_from) if resume_from is not None else None
    if checkpoint is None and latest_training_checkpoint(work_dir) is not None:
        raise ConfigError(f"{work_dir} holds a training. Resume it, remove it, or choose another folder.")
    seed = seed if checkpoint is None else int(checkpoint["seed"])

    started_here = _join_processes(found)
    try:
        history = History(work_dir / "history.json", after_epoch=0 if checkpoint is None else int(checkpoint["epoch"]))
        runner = PanopticRunner(
            network, images, val_images, work_dir=work_dir, seed=seed, device=found, num_workers=num_workers,
            checkpoint=checkpoint, history=history, should_stop=should_stop, silent=silent,
        )  # fmt: skip
        runner.train()
        runner.load_kept_weights()
    finally:
        if started_here:
            dist.destroy_process_group()
    network.eval()
    return history.to_dict()


class PanopticRunner(Runner):
    """mmengine's Runner, assembled for EfficientPS.

    Its checkpoints hold only tensors and plain containers, so that reading them executes no code, and are written
    atomically. Every random choice follows from seed, epoch and image, so that the seed is the whole random state.

    Args:
        network: The network to train.
        images: Training images with their ground truth.
        val_images: Validation images, or None.
        work_dir: Folder of the training.
        seed: Seed of all random choices.
        device: Where to train.
        num_workers: Processes that load images.
        checkpoint: Content of a training checkpoint to resume from, or None.
        history: Receives the figures of each epoch.
        should_stop: As in `train`.
        silent: Whether to log warnings only.
    """

    def __init__(
        self,
        network: EfficientPS,
        images: LabelledImages,
        val_images: LabelledImages | None,
        *,
        work_dir: Path,
        seed: int,
        device: torch.device,
        num_workers: int,
        checkpoint: dict[str, Any] | None,
        history: History,
        should_stop: Callable[[], bool],
        silent: bool,
    ) -> None:
        self._device = device
        self.should_stop = should_stop
        self.accumulate = network.config.schedule.accumulate
        self._checkpoint = checkpoint
        self.history = history
        schedule = network.config.schedule
        rank, world_size = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
        custom_hooks: list[Any] = [TrainingRecord(work_dir), CheckpointFiles(schedule.checkpoint_every)]
        if schedule.ema_momentum > 0:
            custom_hooks.append({"type": "EMAHook", "momentum": schedule.ema_momentum})
        validate = val_images is not None
        super().__init__(
            model=TrainableEfficientPS(network),
            work_dir=str(work_dir),
            train_dataloader=training_loader(
                images, network.config, seed=seed, num_workers=num_workers, rank=rank, world_size=world_size
            ),
            train_cfg={"type": StoppableEpochs, "max_epochs": schedule.epochs, "val_interval": schedule.evaluate_every},
            val_dataloader=val_images,
            val_cfg={"type": ValidationLoop} if validate else None,
            val_evaluator={} if validate else None,  # mmengine requires one; ours is in the loop
            optim_wrapper=_optim_wrapper(schedule),
            param_scheduler=_param_schedulers(schedule),
            default_hooks={"checkpoint": None},
            custom_hooks=custom_hooks,
            env_cfg={"mp_cfg": {"opencv_num_threads": cv2.getNumThreads()}},
            log_level="WARNING",  # suppresses mmengine's messages about its construction
            visualizer={"type": "Visualizer", "vis_backends": [{"type": "TensorboardVisBackend"}]},
            randomness={"seed": seed},
            experiment_name=f"{work_dir.name}_{uuid.uuid4().hex[:8]}",
        )
        for logger in (self.logger, *self.logger.handlers):
            logger.setLevel("ERROR" if rank > 0 else "WARNING" if silent else "INFO")

    @override
    def wrap_model(self, model_wrapper_cfg: None, model: nn.Module) -> nn.Module:
        """Move the model to its device; under torchrun, wrap it to average gradients over the processes."""
        model = model.to(self._device).to(memory_format=torch.channels_last)
        if not dist.is_initialized():
            return model
        device_ids = [self._device.index] if self._device.type == "cuda" else None
        return MMDistributedDataParallel(model, device_ids=device_ids)

    def save_training_checkpoint(self, *, batches_done: int = 0) -> None:
        """Save `epoch_N.pth` and `last.safetensors`, N the number of finished epochs including the current one.

        Args:
            batches_done: Batches of the current epoch when it is not finished; the file is `stopped.pth` then.
        """
        if self.rank != 0:
            return
        checkpoint: dict[str, Any] = {
            "epoch": self.epoch if batches_done else self.epoch + 1,
            "batches_done": batches_done,
            "iteration": self.iter,
            "seed": self.seed,
            "state_dict": _plain_model(self.model).state_dict(),
            "optimizer": self.optim_wrapper.state_dict(),
            "param_schedulers": [scheduler.state_dict() for scheduler in self.param_schedulers],
        }
        self.call_hook("before_save_checkpoint", checkpoint=checkpoint)
        work_dir = Path(self.work_dir)
        name = STOPPED if batches_done else f"epoch_{checkpoint['epoch']}.pth"
        write_whole(work_dir / name, lambda partial: torch.save(checkpoint, partial))
        if not batches_done:
            (work_dir / STOPPED).unlink(missing_ok=True)
        # A copy, because the hook puts the running mean of the weights, where there is one, into the checkpoint.
        model = copy.deepcopy(_plain_model(self.model))
        model.load_state_dict(checkpoint["state_dict"])
        save_checkpoint(model.network, work_dir / "last.safetensors")

    def load_kept_weights(self) -> None:
        """Load the weights of `last.safetensors` into the network: the running mean, where there is one."""
        model = _plain_model(self.model)
        checkpoint = {"state_dict": model.state_dict()}
        self.call_hook("before_save_checkpoint", checkpoint=checkpoint)  # EMAHook puts the mean there
        model.load_state_dict(checkpoint["state_dict"])

    @override
    def load_or_resume(self) -> None:
        """Restore the state of the checkpoint to resume from, if there is one."""
        checkpoint, self._checkpoint = self._checkpoint, None
        if checkpoint is None:
            return
        self._resume = True  # EMAHook reads it
        self.call_hook("after_load_checkpoint", checkpoint=checkpoint)
        try:
            _plain_model(self.model).load_state_dict(checkpoint["state_dict"])
            self.optim_wrapper.load_state_dict(checkpoint["optimizer"])
            for scheduler, state in zip(self.param_schedulers, checkpoint["param_schedulers"], strict=True):
                scheduler.load_state_dict(state)
        except (RuntimeError, ValueError, KeyError) as error:
            raise CheckpointError(
                f"The checkpoint is of another network or schedule: {error}. Resume with the configuration it had."
            ) from error
        self.train_loop._epoch, self.train_loop._iter = checkpoint["epoch"], checkpoint["iteration"]
        self.train_loop.batches_done = checkpoint["batches_done"]
        self.logger.info("Resumed after epoch %d, iteration %d.", checkpoint["epoch"], checkpoint["iteration"])

    @override
    def dump_config(self) -> None:
        """Write nothing: the saved networks hold our configuration, from which mmengine's is made."""

    @override
    def _log_env(self, env_cfg: dict[str, Any]) -> None:
        """Log nothing: mmengine would print pages about the machine."""


def read_training_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read an `epoch_N.pth` or `stopped.pth`.

    Args:
        path: The file; `~` is expanded.

    Returns:
        Its content.

    Raises:
        CheckpointError: The file is missing, unreadable, or not a checkpoint of a training.
    """
    path = Path(path).expanduser()
    if not is_file(path):
        raise CheckpointError(f"There is no checkpoint {path} to resume from.")
    content = load_state_dict(path)
    wanted = {"epoch", "batches_done", "iteration", "seed", "state_dict", "optimizer", "param_schedulers"}
    if not wanted <= content.keys():
        raise CheckpointError(f"{path} is not an epoch_N.pth of this package's training; resume from one of those.")
    return content


def latest_training_checkpoint(work_dir: str | Path) -> Path | None:
    """Find the checkpoint to resume from.

    Args:
        work_dir: Folder of a training; `~` is expanded.

    Returns:
        `stopped.pth` if there is one, else the `epoch_N.pth` of the latest epoch, else None.
    """
    work_dir = Path(work_dir).expanduser()
    if (work_dir / STOPPED).exists():
        return work_dir / STOPPED
    found = {
        int(match[1]): path
        for path in work_dir.glob("epoch_*.pth")
        if (match := re.fullmatch(r"epoch_(\d+)", path.stem))
    }
    return found[max(found)] if found else None


def _plain_model(model: nn.Module) -> TrainableEfficientPS:
    """Return the model without the wrapper that averages gradients."""
    plain = model.module if isinstance(model, MMDistributedDataParallel) else model
    return cast(TrainableEfficientPS, plain)


def _optim_wrapper(schedule: ScheduleConfig) -> dict[str, Any]:
    optimizer: dict[str, Any] = {
        "type": schedule.optimizer, "lr": schedule.learning_rate, "weight_decay": schedule.weight_decay
    }  # fmt: skip
    if schedule.optimizer == "SGD":
        optimizer["momentum"] = schedule.momentum
    wrapper: dict[str, Any] = {"optimizer": optimizer, "accumulative_counts": schedule.accumulate}
    if schedule.max_gradient_norm > 0:
        wrapper["clip_grad"] = {"max_norm": schedule.max_gradient_norm}
    if schedule.precision == "float16":  # small gradients would become zero without a scaled loss
        return {"type": "AmpOptimWrapper", "dtype": "float16", "loss_scale": "dynamic", **wrapper}
    return {"type": "OptimWrapper", **wrapper}


def _param_schedulers(schedule: ScheduleConfig) -> list[dict[str, Any]]:
    schedulers: list[dict[str, Any]] = [
        {"type": "MultiStepLR", "milestones": list(schedule.decay_epochs), "gamma": schedule.decay, "by_epoch": True}
    ]
    if schedule.warmup_iterations > 0:
        warmup = {"type": "LinearLR", "start_factor": schedule.warmup_start, "by_epoch": False}
        schedulers.insert(0, {**warmup, "begin": 0, "end": schedule.warmup_iterations})
    return schedulers


def _resolve_device(device: str | torch.device, schedule: ScheduleConfig) -> torch.device:
    found = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if str(device) == "auto" else device)
    if found.type == "cuda" and found.index is None:
        found = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    if schedule.precision == "float16" and found.type != "cuda":
        raise ConfigError("schedule.precision is 'float16', which trains on CUDA only; use 'bfloat16' or 'float32'.")
    return found


def _join_processes(device: torch.device) -> bool:
    """Join the processes that torchrun started; return whether this call did so."""
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if dist.is_initialized() or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return False
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=_DISTRIBUTED_TIMEOUT)
    return True
