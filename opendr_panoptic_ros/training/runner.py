# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""`train`: the whole of a training, on mmengine's Runner."""

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

from opendr_panoptic_ros.checkpoint import save_checkpoint
from opendr_panoptic_ros.config import ScheduleConfig
from opendr_panoptic_ros.errors import CheckpointError, ConfigError
from opendr_panoptic_ros.evaluation.run import LabelledImages
from opendr_panoptic_ros.files import write_whole
from opendr_panoptic_ros.network import EfficientPS
from opendr_panoptic_ros.training import mmcv_ops
from opendr_panoptic_ros.training.data import training_loader
from opendr_panoptic_ros.training.history import History, Row
from opendr_panoptic_ros.training.hooks import CheckpointFiles, TrainingRecord, ValidationLoop
from opendr_panoptic_ros.training.loop import StoppableEpochs
from opendr_panoptic_ros.training.model import TrainableEfficientPS

mmcv_ops.install()
from mmengine.model import MMDistributedDataParallel  # noqa: E402
from mmengine.runner import Runner  # noqa: E402

STOPPED = "stopped.pth"
"""What a training that was stopped within an epoch goes on from."""
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
    """`network` is trained as its config says, in place; what is returned is the record of each epoch.

    images: to learn from. val_images: to evaluate on; the best weights by PQ are kept where there are some.
    work_dir: gets `epoch_N.pth` (to resume from), `last.safetensors` and `best.safetensors` (networks), `history.json`
        and TensorBoard's files. seed: of everything random. num_workers: processes that load images.
    resume_from: an `epoch_N.pth` or `stopped.pth`: training goes on after it as if it had never stopped (its seed is
        used). should_stop: asked after each step; once it is true, `stopped.pth` is written and TrainingStopped raised.
    silent: warnings only.

    Under torchrun every process calls this; gradients are shared, and the first process evaluates and writes.
    Returns `{"train": [{"epoch", "learning_rate", losses}], "val": [{"epoch", "pq", "sq", "rq", "miou", "ap"}]}`;
    a figure that does not exist, such as AP without things, is None.
    Raises TrainingStopped when `should_stop` said so, ConfigError when `work_dir` holds a training that is not resumed,
    CheckpointError when `resume_from` cannot be, DatasetError for unusable images.
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
    """mmengine's Runner with its parts put together for EfficientPS.

    It differs in what it saves: tensors and plain containers only, so that no class has to be trusted to read it, and
    whole files only. Every random choice follows from seed, epoch and image: the seed is all the random state there is.
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
            val_evaluator={} if validate else None,  # mmengine wants one; ours is in the loop
            optim_wrapper=_optim_wrapper(schedule),
            param_scheduler=_param_schedulers(schedule),
            default_hooks={"checkpoint": None},
            custom_hooks=custom_hooks,
            env_cfg={"mp_cfg": {"opencv_num_threads": cv2.getNumThreads()}},
            log_level="WARNING",  # what mmengine says while it is put together helps nobody
            visualizer={"type": "Visualizer", "vis_backends": [{"type": "TensorboardVisBackend"}]},
            randomness={"seed": seed},
            experiment_name=f"{work_dir.name}_{uuid.uuid4().hex[:8]}",
        )
        for logger in (self.logger, *self.logger.handlers):
            logger.setLevel("ERROR" if rank > 0 else "WARNING" if silent else "INFO")

    def wrap_model(self, model_wrapper_cfg: None, model: nn.Module) -> nn.Module:  # noqa: ARG002
        """The model on its device; under torchrun, one whose gradients are averaged over the processes."""
        model = model.to(self._device).to(memory_format=torch.channels_last)
        if not dist.is_initialized():
            return model
        device_ids = [self._device.index] if self._device.type == "cuda" else None
        return MMDistributedDataParallel(model, device_ids=device_ids)

    def save_training_checkpoint(self, *, batches_done: int = 0) -> None:
        """`epoch_N.pth` and `last.safetensors` are written, N the number of finished epochs with the current one.

        batches_done: of the current epoch when it is not finished; the file then is `stopped.pth`.
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
        # Not the network itself: with a running mean of the weights, that mean is what the hook has put there.
        model = copy.deepcopy(_plain_model(self.model))
        model.load_state_dict(checkpoint["state_dict"])
        save_checkpoint(model.network, work_dir / "last.safetensors")

    def load_kept_weights(self) -> None:
        """The network in memory is the one in `last.safetensors`: the running mean, where there is one."""
        model = _plain_model(self.model)
        checkpoint = {"state_dict": model.state_dict()}
        self.call_hook("before_save_checkpoint", checkpoint=checkpoint)  # EMAHook puts the mean there
        model.load_state_dict(checkpoint["state_dict"])

    def load_or_resume(self) -> None:
        """Go on after the checkpoint that was given, if one was."""
        checkpoint, self._checkpoint = self._checkpoint, None
        if checkpoint is None:
            return
        self._resume = True  # EMAHook asks
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

    def dump_config(self) -> None:
        """Nothing: the networks that are saved hold our configuration, and mmengine's is made from it."""

    def _log_env(self, env_cfg: dict[str, Any]) -> None:
        """Nothing: pages about the machine before the first line about the training."""


def read_training_checkpoint(path: str | Path) -> dict[str, Any]:
    """The content of an `epoch_N.pth` or `stopped.pth`. Raises CheckpointError when it is none."""
    path = Path(path).expanduser()
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"There is no checkpoint {path} to resume from.") from error
    except Exception as error:  # torch.load lets through whatever the pickle machinery raises
        raise CheckpointError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    wanted = {"epoch", "batches_done", "iteration", "seed", "state_dict", "optimizer", "param_schedulers"}
    if not isinstance(content, dict) or not wanted <= content.keys():
        raise CheckpointError(f"{path} is not an epoch_N.pth of this package's training; resume from one of those.")
    return content


def latest_training_checkpoint(work_dir: str | Path) -> Path | None:
    """The `stopped.pth` in a folder, else the `epoch_N.pth` of the latest epoch; None where there is none."""
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
    """The model inside the wrapper that shares gradients, or the model itself."""
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
    """Whether this call has joined the processes that torchrun started."""
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if dist.is_initialized() or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return False
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=_DISTRIBUTED_TIMEOUT)
    return True
