# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Whole trainings of a small network: what they leave, exact resume, two processes, and learning by heart."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import pickle
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from support.toy_datasets import write_tiny_coco

pytest.importorskip("mmdet")

from mmengine.optim import build_optim_wrapper
from support.paths import ROOT

from opendr_panoptic_ros.annotation import PanopticAnnotation
from opendr_panoptic_ros.checkpoint import load_checkpoint
from opendr_panoptic_ros.config import Config, ScheduleConfig
from opendr_panoptic_ros.datasets import CocoPanopticDataset
from opendr_panoptic_ros.errors import CheckpointError, ConfigError, DatasetError, PanopticError
from opendr_panoptic_ros.evaluation.run import evaluate
from opendr_panoptic_ros.inference import PanopticSegmenter
from opendr_panoptic_ros.network import EfficientPS
from opendr_panoptic_ros.training.hooks import ValidationLoop
from opendr_panoptic_ros.training.initialisation import initialise_weights_, network_for, start_from_
from opendr_panoptic_ros.training.loop import TrainingStopped
from opendr_panoptic_ros.training.model import TrainableEfficientPS
from opendr_panoptic_ros.training.run_record import read_run_config
from opendr_panoptic_ros.training.runner import train
from opendr_panoptic_ros.training.schedule import bounded_schedule, optim_wrapper
from opendr_panoptic_ros.training.states import latest_training_checkpoint

pytestmark = pytest.mark.train


def new_network(config) -> EfficientPS:
    network = EfficientPS.from_config(config)
    initialise_weights_(network, seed=0)
    return network


def weights_of(path: Path) -> dict[str, torch.Tensor]:
    return dict(load_checkpoint(path).state_dict())


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(first[name].equal(second[name]) for name in first)


def test_what_a_training_leaves(with_schedule, toy_scenes, tmp_path):
    scenes = toy_scenes(4)
    network = new_network(with_schedule(epochs=2, decay_epochs=(1,)))
    history = train(network, scenes, scenes[:2], work_dir=tmp_path, seed=1, device="cpu", silent=True)

    assert [row["epoch"] for row in history["train"]] == [1, 2]
    assert [row["learning_rate"] for row in history["train"]] == pytest.approx([0.02, 0.002])
    assert history["train"][1]["loss"] < history["train"][0]["loss"]
    assert {"epoch", "pq", "sq", "rq", "miou", "ap"} <= history["val"][0].keys()
    assert json.loads((tmp_path / "history.json").read_text()) == history
    names = {path.name for path in tmp_path.iterdir() if path.is_file()}
    assert names == {"run.yaml", "epoch_1.pth", "epoch_2.pth", "last.safetensors", "best.safetensors", "history.json"}
    assert len(list(tmp_path.rglob("events.out.tfevents.*"))) == 1
    assert same(weights_of(tmp_path / "last.safetensors"), dict(network.state_dict()))
    assert load_checkpoint(tmp_path / "last.safetensors").config == network.config
    assert not network.training

    # The file, run in the usual way, predicts bit for bit what was evaluated.
    from_file, in_memory = PanopticSegmenter(tmp_path / "last.safetensors"), PanopticSegmenter(network)
    for image, _ in scenes:
        pixels = image.convert("channels_last")
        assert np.array_equal(from_file(pixels).segment_map, in_memory(pixels).segment_map)
        assert [s[:2] for s in map(dataclasses.astuple, from_file(pixels).segments)] == [
            s[:2] for s in map(dataclasses.astuple, in_memory(pixels).segments)
        ]
    assert evaluate(from_file, scenes[:2]).panoptic.all.pq == history["val"][-1]["pq"]

    with pytest.raises(ConfigError, match="holds a training"):
        train(network, scenes, work_dir=tmp_path, device="cpu")


@pytest.mark.parametrize(
    "schedule",
    [{}, {"ema_momentum": 0.1}, {"optimizer": "AdamW", "learning_rate": 1e-3, "accumulate": 2}],
    ids=["SGD", "EMA", "AdamW accumulated"],
)
def test_resume_is_exact(with_schedule, toy_scenes, tmp_path, schedule):
    scenes = toy_scenes(3)  # an epoch is filled up to whole steps
    config = with_schedule(epochs=3, warmup_iterations=3, decay_epochs=(1,), **schedule)
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, min_scale=0.6, flip_probability=0.5))
    whole = train(
        new_network(config), scenes, scenes[:1], work_dir=tmp_path / "whole", seed=3, device="cpu", silent=True
    )

    stopped = dataclasses.replace(config, schedule=dataclasses.replace(config.schedule, epochs=2))
    train(new_network(stopped), scenes, scenes[:1], work_dir=tmp_path / "parts", seed=3, device="cpu", silent=True)
    resumed = train(
        new_network(config),
        scenes,
        scenes[:1],
        work_dir=tmp_path / "parts",
        resume_from=tmp_path / "parts" / "epoch_1.pth",
        seed=77,  # that of the checkpoint counts
        device="cpu",
        silent=True,
    )
    assert resumed == whole
    for name in ("last", "best"):
        assert same(*(weights_of(tmp_path / run / f"{name}.safetensors") for run in ("whole", "parts")))


KILLED = """
import os, signal, sys
import torch
import opendr_panoptic_ros.training.hooks as hooks
from opendr_panoptic_ros.network import EfficientPS
from opendr_panoptic_ros.training.initialisation import initialise_weights_
from opendr_panoptic_ros.training.runner import train
from support.toy_scenes import ToyScenes, small_config

place, work_dir = sys.argv[1:]
torch.set_num_threads(1)
evaluate, save_checkpoint = hooks.evaluate, hooks.save_checkpoint
calls = []


def kill_in_second_evaluation(*arguments, **options):
    calls.append(1)
    if len(calls) == 2 and place == "evaluation":
        os.kill(os.getpid(), signal.SIGKILL)
    return evaluate(*arguments, **options)


def kill_while_the_best_is_saved(network, path):
    save_checkpoint(network, path)
    if place == "saving":
        os.kill(os.getpid(), signal.SIGKILL)


hooks.evaluate, hooks.save_checkpoint = kill_in_second_evaluation, kill_while_the_best_is_saved
network = EfficientPS.from_config(small_config(epochs=2, ema_momentum=0.1))
initialise_weights_(network, seed=0)
scenes = ToyScenes(3)
train(network, scenes, scenes[:1], work_dir=work_dir, seed=3, device="cpu", silent=True)
"""


@pytest.mark.parametrize("place", ["evaluation", "saving"])
def test_a_kill_before_the_evaluation_has_ended_does_not_lose_it(with_schedule, toy_scenes, tmp_path, place):
    """After the last epoch and within the training: resuming evaluates the epoch whose figures are missing."""
    scenes, config = toy_scenes(3), with_schedule(epochs=2, ema_momentum=0.1)
    whole = train(
        new_network(config), scenes, scenes[:1], work_dir=tmp_path / "whole", seed=3, device="cpu", silent=True
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "test")))}
    command = [sys.executable, "-c", KILLED, place, tmp_path / "parts"]
    killed = subprocess.run(command, env=environment, timeout=300, check=False)
    assert killed.returncode == -signal.SIGKILL
    epochs = 2 if place == "evaluation" else 1
    left = json.loads((tmp_path / "parts" / "history.json").read_text())
    assert (len(left["train"]), len(left["val"])) == (epochs, epochs - 1)
    resumed = train(
        new_network(config),
        scenes,
        scenes[:1],
        work_dir=tmp_path / "parts",
        resume_from=latest_training_checkpoint(tmp_path / "parts"),
        device="cpu",
        silent=True,
    )
    assert resumed == whole
    for name in ("last", "best"):
        assert same(*(weights_of(tmp_path / run / f"{name}.safetensors") for run in ("whole", "parts")))


class StopAfter:
    """Requests a training to stop at the n-th check."""

    def __init__(self, times: int) -> None:
        self._left = times

    def __call__(self) -> bool:
        self._left -= 1
        return self._left <= 0


@pytest.mark.parametrize(
    ("schedule", "steps"),
    [
        ({"ema_momentum": 0.1}, "Stopped in epoch 1 after 2 of 3 steps"),
        ({"optimizer": "AdamW", "learning_rate": 1e-3, "accumulate": 2}, "Stopped in epoch 2 after 2 of 4 steps"),
    ],
    ids=["EMA", "AdamW accumulated"],
)
def test_a_training_that_was_stopped_goes_on_where_it_was(with_schedule, toy_scenes, tmp_path, schedule, steps):
    """The history too is that of a training that was never stopped: the mean losses of the begun epoch are kept."""
    scenes = toy_scenes(6)
    config = with_schedule(epochs=2, warmup_iterations=4, decay_epochs=(1,), **schedule)
    work_dir = tmp_path / "parts"

    def run(**options: Any) -> Any:
        options = {"work_dir": work_dir, "seed": 3, "device": "cpu", "silent": True, **options}
        return train(new_network(config), scenes, scenes[:1], **options)

    whole = run(work_dir=tmp_path / "whole")
    with pytest.raises(TrainingStopped, match=steps):
        run(should_stop=StopAfter(2))
    stopped = latest_training_checkpoint(work_dir)
    assert stopped == work_dir / "stopped.pth"
    with pytest.raises(ConfigError, match="holds a training"):
        run()
    assert run(resume_from=stopped) == whole
    for name in ("last", "best"):
        assert same(*(weights_of(tmp_path / run / f"{name}.safetensors") for run in ("whole", "parts")))
    assert latest_training_checkpoint(work_dir) == work_dir / "epoch_2.pth"


def test_a_running_mean_is_what_is_kept(with_schedule, toy_scenes, tmp_path):
    scenes = toy_scenes(2)
    network = new_network(with_schedule(epochs=2, ema_momentum=0.5))
    train(network, scenes, scenes, work_dir=tmp_path, device="cpu", silent=True)
    kept = weights_of(tmp_path / "last.safetensors")
    assert same(kept, dict(network.state_dict()))
    last_step = torch.load(tmp_path / "epoch_2.pth", weights_only=True)["ema_state_dict"]  # mmengine swaps the two
    assert not same(kept, {name: last_step[f"module.network.{name}"] for name in kept})


def test_a_validation_without_things_has_no_ap(with_schedule, toy_scenes, tmp_path):
    network = new_network(with_schedule(epochs=1))
    history = train(network, toy_scenes(2), toy_scenes(1, things=False), work_dir=tmp_path, device="cpu", silent=True)
    assert history["val"][0]["ap"] is None
    assert history["val"][0]["pq"] is not None
    assert json.loads((tmp_path / "history.json").read_text()) == history
    assert (tmp_path / "best.safetensors").exists()


def test_two_processes_equal_one_with_twice_the_batch(with_schedule, toy_scenes, tmp_path):
    scenes = list(toy_scenes(8, crowds=True))
    # So few proposals that all of them are sampled. Among 1,300, as many as NMS leaves, some scores differ by less than
    # float32's rounding; their order then depends on the batch size and the processor, and with it the sample.
    sampling = {"proposals": 16, "rois": 256}
    histories = []
    for world_size, batch_size in ((1, 4), (2, 2)):
        folder = tmp_path / str(world_size)
        folder.mkdir()
        config = with_schedule(epochs=2, batch_size=batch_size, freeze_norms=True, learning_rate=0.002, **sampling)
        (folder / "job.pickle").write_bytes(pickle.dumps((config.to_dict(), scenes)))
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={world_size}"]
        script = Path(__file__).with_name("two_processes.py")
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'test'}"}
        subprocess.run([*launcher, str(script), str(folder)], check=True, env=environment, timeout=240)
        histories.append(json.loads((folder / "run" / "history.json").read_text())["train"])
    # Sums in another order, through all layers and four steps, differ by a few times float32's 1.2e-7.
    for one, two in zip(*histories, strict=True):
        assert one == {name: pytest.approx(value, rel=1e-5, abs=1e-5) for name, value in two.items()}
    first, second = (weights_of(tmp_path / n / "run" / "last.safetensors") for n in "12")
    assert all(torch.allclose(first[name], second[name], rtol=1e-5, atol=1e-6) for name in first)


def test_mixed_precision_trains(with_schedule, toy_scenes, tmp_path):
    network = new_network(with_schedule(epochs=2, precision="bfloat16"))
    history = train(network, toy_scenes(2), work_dir=tmp_path, device="cpu", silent=True)
    assert history["train"][1]["loss"] < history["train"][0]["loss"]
    assert {weight.dtype for weight in network.parameters()} == {torch.float32}


@pytest.mark.gpu
def test_half_precision_trains_on_cuda(with_schedule, toy_scenes, tmp_path):
    network = new_network(with_schedule(epochs=4, precision="float16"))
    history = train(network, toy_scenes(4), work_dir=tmp_path, device="cuda", silent=True)
    assert history["train"][-1]["loss"] < history["train"][0]["loss"]


def test_half_precision_needs_cuda(with_schedule, toy_scenes, tmp_path):
    network = new_network(with_schedule(precision="float16"))
    with pytest.raises(ConfigError, match="CUDA only; use 'bfloat16'"):
        train(network, toy_scenes(2), work_dir=tmp_path, device="cpu")


def test_a_diverged_training_says_so(with_schedule, toy_scenes, tmp_path):
    network = new_network(with_schedule(epochs=30, learning_rate=1e9, max_gradient_norm=0.0))
    with pytest.raises(PanopticError, match=r"training has diverged. Lower schedule.learning_rate"):
        train(network, toy_scenes(2), work_dir=tmp_path, device="cpu", silent=True)


def test_a_training_that_diverges_after_its_first_batch_says_so(with_schedule, toy_scenes, tmp_path):
    network = new_network(with_schedule(epochs=1, batch_size=1, learning_rate=1e30, max_gradient_norm=0.0))
    with pytest.raises(PanopticError, match=r"training has diverged. Lower schedule.learning_rate"):
        train(network, toy_scenes(3), work_dir=tmp_path, device="cpu", silent=True)
    assert latest_training_checkpoint(tmp_path) is None


def test_what_cannot_be_resumed(with_schedule, toy_scenes, tmp_path):
    assert latest_training_checkpoint(tmp_path) is None
    network = new_network(with_schedule())
    with pytest.raises(CheckpointError, match="There is no checkpoint"):
        train(network, toy_scenes(2), work_dir=tmp_path, device="cpu", resume_from=tmp_path / "epoch_9.pth")
    torch.save({"state_dict": {}}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"is not an epoch_N.pth"):
        train(network, toy_scenes(2), work_dir=tmp_path, device="cpu", resume_from=tmp_path / "other.pth")
    (tmp_path / "broken.pth").write_bytes(b"PK")
    with pytest.raises(CheckpointError, match="cannot be read"):
        train(network, toy_scenes(2), work_dir=tmp_path, device="cpu", resume_from=tmp_path / "broken.pth")


def test_the_latest_checkpoint_is_found_by_number(tmp_path):
    for epoch in (2, 10, 9):
        (tmp_path / f"epoch_{epoch}.pth").touch()
    assert latest_training_checkpoint(tmp_path) == tmp_path / "epoch_10.pth"


@pytest.mark.slow
def test_learns_eight_images_by_heart(with_schedule, toy_scenes, tmp_path):
    scenes = toy_scenes(8)
    network = new_network(with_schedule(epochs=40, decay_epochs=(30,), evaluate_every=40, checkpoint_every=40))
    history = train(network, scenes, scenes, work_dir=tmp_path, seed=1, device="cpu", silent=True)
    assert history["val"][-1]["pq"] > 0.8
    assert history["val"][-1]["pq_things"] > 0.6


def test_the_record_of_a_run(with_schedule, toy_scenes, tmp_path):
    config = with_schedule(epochs=1)
    train(new_network(config), toy_scenes(2), work_dir=tmp_path, seed=5, device="cpu", silent=True)
    assert read_run_config(tmp_path) == config
    record = yaml.safe_load((tmp_path / "run.yaml").read_text())
    (start,) = record["starts"]
    assert start["command"] == sys.argv
    assert start["seed"] == 5
    assert start["versions"]["torch"] == torch.__version__.partition("+")[0] or "+" in start["versions"]["torch"]
    assert start["git"] is None or re.fullmatch(r"[0-9a-f]{40}", start["git"]["commit"])

    longer = with_schedule(epochs=2)
    resume = {"resume_from": tmp_path / "epoch_1.pth", "device": "cpu", "silent": True}
    train(new_network(longer), toy_scenes(2), work_dir=tmp_path, **resume)
    assert read_run_config(tmp_path) == longer
    assert len(yaml.safe_load((tmp_path / "run.yaml").read_text())["starts"]) == 2
    assert read_run_config(tmp_path / "nothing") is None
    for text in ("[1", "5", "config: {schedule: {epochs: many}}"):
        (tmp_path / "run.yaml").write_text(text)
        with pytest.raises(ConfigError):
            read_run_config(tmp_path)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"images": "scenes"}, DatasetError, "The training dataset is 'scenes'; expected a dataset such as"),
        ({"images": None}, DatasetError, "The training dataset is None"),
        ({"images": []}, DatasetError, "The training dataset is empty"),
        ({"images": [1, 2]}, DatasetError, "Item 0 of the dataset is int"),
        ({"val_images": "scenes"}, DatasetError, "The validation dataset is 'scenes'"),
        ({"val_images": []}, DatasetError, "The validation dataset is empty"),
        ({"device": "gpu"}, ConfigError, "device is 'gpu'; expected"),
        ({"num_workers": -1}, ConfigError, "num_workers is -1"),
        ({"resume_from": "nothing.pth"}, CheckpointError, "There is no checkpoint nothing.pth"),
    ],
)
def test_a_start_that_fails_is_told_at_once_and_leaves_nothing(
    with_schedule, toy_scenes, tmp_path, change, error, message
):
    arguments = {"images": toy_scenes(2), "val_images": None, "device": "cpu", **change}
    network = new_network(with_schedule())
    with pytest.raises(error, match=message):
        train(network, arguments.pop("images"), arguments.pop("val_images"), work_dir=tmp_path / "run", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(with_schedule, toy_scenes, tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "run", Path("/proc/run")):
        with pytest.raises(ConfigError, match=f"cannot write to the folder {folder}: .*[.] Choose another one"):
            train(new_network(with_schedule()), toy_scenes(2), work_dir=folder, device="cpu")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_other_classes_of_the_validation_are_told_before_the_first_step(with_schedule, toy_scenes, tmp_path):
    image, annotation = toy_scenes(1)[0]
    other = dataclasses.replace(annotation.classes, names=("street", *annotation.classes.names[1:]))
    renamed = PanopticAnnotation(annotation.segment_map, annotation.segments, other)
    with pytest.raises(DatasetError, match=r"The dataset's classes are street"):
        train(new_network(with_schedule()), toy_scenes(2), [(image, renamed)], work_dir=tmp_path / "run", device="cpu")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("num_workers", [0, 1])
def test_an_unusable_image_is_one_line_and_leaves_no_folder(with_schedule, toy_scenes, tmp_path, num_workers):
    scenes = [*toy_scenes(3), (toy_scenes(1)[0][0], None)]
    network = new_network(with_schedule())
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").touch()
    with pytest.raises(DatasetError, match=r"\AImage 3 of the dataset has no annotation; [^\n]*\Z"):
        train(network, scenes, work_dir=tmp_path / "run", device="cpu", num_workers=num_workers, silent=True)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["mine.txt"]
    with pytest.raises(DatasetError, match="Image 3"):
        train(network, scenes, work_dir=tmp_path / "new", device="cpu", num_workers=num_workers, silent=True)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(("keep", "kept"), [(1, [2, 5]), (2, [2, 4, 5]), (0, [1, 2, 3, 4, 5])])
def test_old_checkpoints_are_removed_but_for_the_best(with_schedule, toy_scenes, tmp_path, monkeypatch, keep, kept):
    scenes = toy_scenes(2)
    qualities = iter([0.1, 0.4, 0.2, 0.3, 0.1])
    figures = dict.fromkeys(("pq", "sq", "rq", "pq_things", "pq_stuff", "miou", "ap"), 0.0)
    monkeypatch.setattr(ValidationLoop, "_evaluate", lambda self: {**figures, "pq": next(qualities)})
    network = new_network(with_schedule(epochs=5, keep_checkpoints=keep))
    train(network, scenes, scenes, work_dir=tmp_path, device="cpu", silent=True)
    assert sorted(int(path.stem[6:]) for path in tmp_path.glob("epoch_*.pth")) == kept
    assert latest_training_checkpoint(tmp_path) == tmp_path / "epoch_5.pth"


@pytest.mark.parametrize(
    ("schedule", "batches", "warmup", "decays"),
    [
        ({"epochs": 160, "warmup_iterations": 500, "decay_epochs": (120, 144)}, 2975, 500, (120, 144)),  # cityscapes
        ({"epochs": 4, "warmup_iterations": 300, "decay_epochs": (3,)}, 1667, 300, (3,)),  # demo
        ({"epochs": 6, "warmup_iterations": 300, "decay_epochs": (3,)}, 5, 6, (3,)),  # 30 steps
        ({"epochs": 20, "warmup_iterations": 500, "decay_epochs": (120, 144)}, 100, 400, (15, 18)),
        ({"epochs": 10, "warmup_iterations": 300, "decay_epochs": (3,)}, 3, 6, (9,)),
        ({"epochs": 1, "warmup_iterations": 300, "decay_epochs": (3,)}, 2, 3, ()),
        ({"epochs": 100, "warmup_iterations": 0, "decay_epochs": (20, 60)}, 100, 0, (20, 60)),
        ({"epochs": 5, "warmup_iterations": 1, "decay_epochs": ()}, 10, 1, ()),
    ],
)
def test_warmup_and_decay_fit_the_training(schedule, batches, warmup, decays):
    bounded = bounded_schedule(ScheduleConfig(**schedule), batches_per_epoch=batches)
    assert (bounded.warmup_iterations, bounded.decay_epochs) == (warmup, decays)


@pytest.mark.parametrize(("rule", "middle"), [("cosine", 0.5), ("poly", 0.5**0.9)])
def test_the_learning_rate_falls_to_zero_by_a_curve(with_schedule, toy_scenes, tmp_path, rule, middle):
    """Four epochs of 4 steps without warm-up: after half of the steps the rate is the curve's middle."""
    config = with_schedule(epochs=4, batch_size=1, decay_rule=rule, warmup_iterations=1, learning_rate=0.002)
    history = train(new_network(config), toy_scenes(4), work_dir=tmp_path, device="cpu", silent=True)
    rates = [row["learning_rate"] for row in history["train"]]  # of the last step of each epoch, so of steps 3, 7, …
    assert rates == sorted(rates, reverse=True)
    at_step = {"cosine": lambda t: (1 + math.cos(math.pi * t)) / 2, "poly": lambda t: (1 - t) ** 0.9}[rule]
    assert at_step(0.5) == pytest.approx(middle)
    expected = [0.002 * at_step(step / 16) for step in (4, 8, 12, 16)]
    assert rates == pytest.approx(expected, rel=0.3, abs=1e-4)


def test_the_backbone_learns_at_a_rate_of_its_own(with_schedule):
    model = TrainableEfficientPS(new_network(with_schedule(backbone_rate=0.1, learning_rate=0.002)))
    optimizer = build_optim_wrapper(model, optim_wrapper(model.network.config.schedule)).optimizer
    backbone = {id(weight) for weight in model.network.backbone.parameters()}
    rates = {(id(p) in backbone): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert rates == {True: pytest.approx(0.0002), False: pytest.approx(0.002)}


def test_a_training_without_progress_ends_early(with_schedule, toy_scenes, tmp_path):
    """A learning rate of almost 0 changes nothing, so the first evaluation stays the best one."""
    config = with_schedule(epochs=9, patience=2, learning_rate=1e-12, checkpoint_every=9, freeze_norms=True)
    history = train(new_network(config), toy_scenes(2), toy_scenes(2), work_dir=tmp_path, device="cpu", silent=True)
    assert [row["epoch"] for row in history["val"]] == [1, 2, 3]
    assert (tmp_path / "epoch_3.pth").exists(), "what is left is the state at the end"


def test_a_warmup_of_one_step_does_not_last(with_schedule, toy_scenes, tmp_path):
    network = new_network(with_schedule(epochs=1, warmup_iterations=1))
    history = train(network, toy_scenes(4), work_dir=tmp_path, device="cpu", silent=True)
    assert history["train"][0]["learning_rate"] == pytest.approx(0.02)


def test_no_progress_in_quality_is_told(with_schedule, toy_scenes, tmp_path, capsys):
    scenes = toy_scenes(2)
    config = with_schedule(epochs=6, evaluate_every=6)
    blind = dataclasses.replace(
        config, test=dataclasses.replace(config.test, score_threshold=1.0, min_stuff_area=10**6)
    )
    history = train(new_network(blind), scenes, scenes, work_dir=tmp_path, device="cpu", silent=True)
    assert max(row["pq"] for row in history["val"]) < 0.01
    assert "but the best PQ is 0.00 %" in "".join(capsys.readouterr())


@pytest.mark.slow
def test_a_short_fine_tuning_with_a_preset_learns(tmp_path):
    """30 steps on 15 small images of other classes: PQ was 0, because of the schedule for thousands of images."""
    write_tiny_coco(tmp_path / "raw", num_train=15, num_val=1, height=120, width=160)
    CocoPanopticDataset.prepare_data(tmp_path / "raw", tmp_path / "data", num_workers=1)
    images = CocoPanopticDataset(tmp_path / "data" / "train")
    demo = Config.load("demo")
    config = dataclasses.replace(
        demo,
        test=dataclasses.replace(demo.test, long_side_px=160, short_side_px=128),
        data=dataclasses.replace(demo.data, crop_width_px=160, crop_height_px=128),
        schedule=dataclasses.replace(demo.schedule, epochs=6, evaluate_every=6),
    )
    network = network_for(config, images.classes, start=None, seed=0)
    start_from_(network, "demo")
    history = train(network, images, images, work_dir=tmp_path / "run", device="cpu", silent=True)
    assert len(history["train"]) * len(images) == 90  # in batches of 3: 30 steps
    assert history["val"][0]["pq"] > 0.05
