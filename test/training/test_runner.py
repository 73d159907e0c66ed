# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Whole trainings of a small network: what they leave, exact resume, two processes, and learning by heart."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("mmdet")

from support.paths import ROOT

from opendr_panoptic_ros.checkpoint import load_checkpoint
from opendr_panoptic_ros.errors import CheckpointError, ConfigError, PanopticError
from opendr_panoptic_ros.evaluation.run import evaluate
from opendr_panoptic_ros.inference import PanopticSegmenter
from opendr_panoptic_ros.network import EfficientPS
from opendr_panoptic_ros.training.initialisation import initialise_weights_
from opendr_panoptic_ros.training.loop import TrainingStopped
from opendr_panoptic_ros.training.runner import latest_training_checkpoint, train

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
    assert names == {"epoch_1.pth", "epoch_2.pth", "last.safetensors", "best.safetensors", "history.json"}
    assert len(list(tmp_path.rglob("events.out.tfevents.*"))) == 1
    assert same(weights_of(tmp_path / "last.safetensors"), dict(network.state_dict()))
    assert load_checkpoint(tmp_path / "last.safetensors").config == network.config
    assert not network.training

    # The file, run as anybody would run it, predicts bit for bit what was evaluated.
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


class StopAfter:
    """Asks a training to stop once it has been asked so many times."""

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
