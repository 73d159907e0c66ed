# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Training of a network on mmengine's Runner."""

from __future__ import annotations

import copy
import datetime as dt
import os
import re
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, cast

import cv2
import torch
import torch.distributed as dist
from torch import nn
from typing_extensions import override

from opendr_panoptic_ros.annotation import LabelledImages, labelled_image, require_dataset
from opendr_panoptic_ros.checkpoint import save_checkpoint
from opendr_panoptic_ros.config import ScheduleConfig
from opendr_panoptic_ros.errors import CheckpointError, ConfigError, DatasetError
from opendr_panoptic_ros.files import write_whole
from opendr_panoptic_ros.inference import resolve_device
from opendr_panoptic_ros.network import EfficientPS
from opendr_panoptic_ros.training import mmcv_ops
from opendr_panoptic_ros.training.data import training_loader
from opendr_panoptic_ros.training.history import History, Row
from opendr_panoptic_ros.training.hooks import CheckpointFiles, TrainingRecord, ValidationLoop
from opendr_panoptic_ros.training.loop import StoppableEpochs
from opendr_panoptic_ros.training.model import TrainableEfficientPS
from opendr_panoptic_ros.training.norms import separate_norms_, synchronise_norms_
from opendr_panoptic_ros.training.run_record import write_run_record
from opendr_panoptic_ros.training.schedule import bounded_schedule, optim_wrapper, param_schedulers
from opendr_panoptic_ros.training.states import (
    STOPPED,
    epoch_checkpoints,
    latest_training_checkpoint,
    read_training_checkpoint,
    removed_on_failure,
)

mmcv_ops.install()
from mmengine.model import MMDistributedDataParallel  # noqa: E402
from mmengine.runner import Runner  # noqa: E402

_EMA_WARMUP_STEPS = 10
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
        work_dir: Receives `run.yaml` (configuration, command, versions), `epoch_N.pth` (to resume from; the latest
            `schedule.keep_checkpoints` and that of the best epoch), the networks `last.safetensors` and
            `best.safetensors`, `history.json` and TensorBoard's files.
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
        ConfigError: `work_dir` holds a training that is not resumed or cannot be written, or the device is unusable.
        CheckpointError: `resume_from` cannot be resumed.
        DatasetError: The images are unusable.
    """
    work_dir = Path(work_dir).expanduser()
    found = _training_device(device, network.config.schedule)
    if num_workers < 0:
        raise ConfigError(f"num_workers is {num_workers}; expected 0 or more processes.")
    require_dataset(images, "training")
    labelled_image(images, 0, network.config.classes)
    if val_images is not None:
        require_dataset(val_images, "validation")
        labelled_image(val_images, 0, network.config.classes)
    checkpoint = read_training_checkpoint(resume_from) if resume_from is not None else None
    if checkpoint is None and latest_training_checkpoint(work_dir) is not None:
        raise ConfigError(f"{work_dir} holds a training. Resume it, remove it, or choose another folder.")
    seed = seed if checkpoint is None else int(checkpoint["seed"])

    started_here = _join_processes(found)
    is_first = not dist.is_initialized() or dist.get_rank() == 0
    with removed_on_failure(work_dir) if is_first else nullcontext(), _errors_of_workers():
        try:
            if is_first:
                _make_folder(work_dir)
                write_run_record(work_dir, network.config, seed=seed)
            after_epoch = 0 if checkpoint is None else int(checkpoint["epoch"])
            history = History(work_dir / "history.json", after_epoch=after_epoch)
            runner = PanopticRunner(
                network,
                images,
                val_images,
                work_dir=work_dir,
                seed=seed,
                device=found,
                num_workers=num_workers,
                checkpoint=checkpoint,
                history=history,
                should_stop=should_stop,
                silent=silent,
            )
            try:
                runner.train()
            finally:
                runner.visualizer.close()  # TensorBoard's thread writes until then
            runner.load_kept_weights()
        finally:
            if started_here:
                dist.destroy_process_group()
    separate_norms_(network)
    network.eval()
    return history.to_dict()


@contextmanager
def _errors_of_workers() -> Iterator[None]:
    """Turn the error of a process that loads images, which torch reports with its traceback, into one line."""
    try:
        yield
    except DatasetError as error:
        original = re.search(r"\n(?:[\w.]+\.)?DatasetError: (.*)\Z", str(error), re.DOTALL)
        if original is None:
            raise
        raise DatasetError(original[1].strip()) from error


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
        self._keep_checkpoints = network.config.schedule.keep_checkpoints
        self._checkpoint = checkpoint
        self.history = history
        schedule = network.config.schedule
        self._sync_norms = schedule.sync_norms
        rank, world_size = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
        custom_hooks: list[Any] = [TrainingRecord(work_dir), CheckpointFiles(schedule)]
        if schedule.ema_momentum > 0:
            # The momentum is at least 10 / (10 + steps): the mean follows the first steps of a training closely.
            ema = {"ema_type": "MomentumAnnealingEMA", "momentum": schedule.ema_momentum, "gamma": _EMA_WARMUP_STEPS}
            custom_hooks.append({"type": "EMAHook", **ema})
        loader = training_loader(
            images, network.config, seed=seed, num_workers=num_workers, rank=rank, world_size=world_size
        )
        bounded = bounded_schedule(schedule, batches_per_epoch=len(loader))
        validate = val_images is not None
        super().__init__(
            model=TrainableEfficientPS(network),
            work_dir=str(work_dir),
            train_dataloader=loader,
            train_cfg={"type": StoppableEpochs, "max_epochs": schedule.epochs, "val_interval": schedule.evaluate_every},
            val_dataloader=val_images,
            val_cfg={"type": ValidationLoop} if validate else None,
            val_evaluator={} if validate else None,  # mmengine requires one; ours is in the loop
            optim_wrapper=optim_wrapper(schedule),
            param_scheduler=param_schedulers(bounded, batches_per_epoch=len(loader)),
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
        for name in ("warmup_iterations", "decay_epochs"):
            configured, used = getattr(schedule, name), getattr(bounded, name)
            if configured != used and not (name == "decay_epochs" and schedule.decay_rule != "step"):
                self.logger.info(
                    "schedule.%s is %s, which does not fit %d epochs of %d batches; %s is used.",
                    name,
                    configured,
                    schedule.epochs,
                    len(loader),
                    used,
                )

    @override
    def wrap_model(self, model_wrapper_cfg: None, model: nn.Module) -> nn.Module:
        """Move the model to its device; under torchrun, wrap it to average gradients over the processes."""
        model = model.to(self._device).to(memory_format=torch.channels_last)
        if not dist.is_initialized():
            return model
        if self._sync_norms:
            synchronise_norms_(model)
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
            self._remove_old_checkpoints(checkpoint["epoch"])
        # A copy, because the hook puts the running mean of the weights, where there is one, into the checkpoint.
        model = copy.deepcopy(_plain_model(self.model))
        model.load_state_dict(checkpoint["state_dict"])
        save_checkpoint(model.network, work_dir / "last.safetensors")

    def _remove_old_checkpoints(self, epoch: int) -> None:
        """Remove checkpoints up to `epoch`, but the latest ones and that of the epoch with the highest PQ."""
        if self._keep_checkpoints == 0:
            return
        earlier = {number: path for number, path in epoch_checkpoints(Path(self.work_dir)).items() if number <= epoch}
        for number in sorted(earlier)[: -self._keep_checkpoints]:
            if number != self.history.best_epoch:
                earlier[number].unlink()

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


def _plain_model(model: nn.Module) -> TrainableEfficientPS:
    """Return the model without the wrapper that averages gradients."""
    plain = model.module if isinstance(model, MMDistributedDataParallel) else model
    return cast(TrainableEfficientPS, plain)


def _make_folder(work_dir: Path) -> None:
    try:
        work_dir.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=work_dir).close()
    except OSError as error:
        raise ConfigError(
            f"The training cannot write to the folder {work_dir}: {error.strerror}. Choose another one."
        ) from error


def _training_device(device: str | torch.device, schedule: ScheduleConfig) -> torch.device:
    """Return the device of this process; under torchrun, "cuda" is the one of its local rank."""
    found = resolve_device(device)
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
