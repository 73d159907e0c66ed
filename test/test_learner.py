# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""EfficientPsLearner: every method of OpenDR's interface, on a network of a few weights."""

from __future__ import annotations

import dataclasses
import inspect
import logging

import numpy as np
import pytest
from support.random_weights import seed_weights_

from opendr_panoptic_ros.annotation import PanopticAnnotation
from opendr_panoptic_ros.checkpoint import load_checkpoint, save_checkpoint
from opendr_panoptic_ros.config import Config, DataConfig, ModelConfig, ScheduleConfig, TestConfig
from opendr_panoptic_ros.data import Heatmap, Image
from opendr_panoptic_ros.errors import ConfigError, DatasetError, PanopticError
from opendr_panoptic_ros.inference import PanopticSegmenter
from opendr_panoptic_ros.labels import CITYSCAPES, ClassTable
from opendr_panoptic_ros.learner import EfficientPsLearner
from opendr_panoptic_ros.network import EfficientPS
from opendr_panoptic_ros.opendr_results import RawOutput

SMALL = Config(
    name="small",
    model=ModelConfig(
        backbone_width=0.35,
        backbone_depth=0.35,
        fpn_channels=32,
        semantic_channels=16,
        box_head_width=64,
        anchor_scale=4,
    ),
    test=TestConfig(long_side_px=128, short_side_px=64, min_stuff_area=16, score_threshold=0.2),
    data=DataConfig(crop_height_px=64, crop_width_px=128),
    schedule=ScheduleConfig(epochs=1, batch_size=2, learning_rate=0.01, warmup_iterations=0, decay_epochs=()),
)


def scene(seed: int, classes: ClassTable = CITYSCAPES) -> tuple[Image, PanopticAnnotation]:
    rng = np.random.default_rng(seed)
    ids = np.full((64, 128), 1, np.int32)
    ids[30:] = 2
    ids[35:55, 20:50] = 3
    annotation = PanopticAnnotation.from_map(ids, {1: 0, 2: 1, 3: classes.num_stuff}, classes)
    return Image((ids[:, :, None] * 60 + rng.integers(0, 20, (64, 128, 3))).astype(np.uint8)), annotation


@pytest.fixture
def learner(tmp_path_factory):
    """A learner whose network yields detections."""
    learner = EfficientPsLearner(SMALL, device="cpu", num_workers=0, seed=1)
    network = EfficientPS.from_config(SMALL)
    seed_weights_(network, 7)
    path = tmp_path_factory.mktemp("seeded") / "seeded.pth"
    save_checkpoint(network, path)
    assert learner.load(path)
    return learner


def test_arguments_are_those_of_opendr():
    parameters = list(inspect.signature(EfficientPsLearner).parameters)
    assert parameters == [
        "config_file", "lr", "iters", "batch_size", "optimizer", "lr_schedule", "momentum", "weight_decay",
        "optimizer_config", "checkpoint_after_iter", "temp_path", "device", "num_workers", "seed",
    ]  # fmt: skip
    schedule = EfficientPsLearner().config.schedule
    assert (schedule.learning_rate, schedule.epochs, schedule.batch_size, schedule.optimizer) == (0.07, 160, 1, "SGD")
    assert (schedule.momentum, schedule.weight_decay, schedule.checkpoint_every) == (0.9, 1e-4, 1)


def test_arguments_replace_the_configuration():
    learner = EfficientPsLearner(
        "configs/singlegpu_kitti.py",
        lr=0.01,
        iters=3,
        optimizer="AdamW",
        checkpoint_after_iter=2,
        lr_schedule={"policy": "step", "warmup": "linear", "warmup_iters": 10, "warmup_ratio": 0.5, "step": [2]},
        optimizer_config={"grad_clip": {"max_norm": 5, "norm_type": 2}},
    )
    expected = ScheduleConfig(
        learning_rate=0.01, epochs=3, optimizer="AdamW", checkpoint_every=2, warmup_iterations=10, warmup_start=0.5,
        decay_epochs=(2,), max_gradient_norm=5.0,
    )  # fmt: skip
    assert learner.config.schedule == expected
    assert learner.config.name == "kitti"
    with pytest.raises(ConfigError, match=r"lr_schedule has policy='poly'"):
        EfficientPsLearner(lr_schedule={"policy": "poly"})
    with pytest.raises(ConfigError, match=r"schedule.optimizer is 'LBFGS'"):
        EfficientPsLearner(optimizer="LBFGS")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("multigpu_cityscapes.py", "cityscapes"),
        ("singlegpu_sample.py", "cityscapes"),
        ("demo", "demo"),
        (SMALL, "small"),
    ],
)
def test_names_of_configurations(name, expected):
    assert EfficientPsLearner(config_file=name).config.name == expected


def test_the_user_s_own_default(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert EfficientPsLearner().config.name == "cityscapes"
    (tmp_path / "opendr_panoptic_ros").mkdir()
    (tmp_path / "opendr_panoptic_ros" / "default.yaml").write_text("schedule: {epochs: 5}\n")
    assert EfficientPsLearner().config.schedule.epochs == 5


def test_infer_returns_what_the_segmenter_says(learner):
    image, _ = scene(0)
    instances, semantic = learner.infer(image)
    expected = PanopticSegmenter(learner.model, device="cpu")(image.convert("channels_last"))
    assert isinstance(instances, Heatmap)
    assert [str(heatmap.numpy().dtype) for heatmap in (instances, semantic)] == ["uint16", "uint8"]
    assert np.array_equal(instances.numpy(), expected.instance_map)
    assert np.array_equal(semantic.numpy(), expected.semantic_map)
    assert semantic.class_names[13] == "car"
    assert [type(pair) for pair in learner.infer([image, image])] == [tuple, tuple]


def test_raw_output_is_what_the_fusion_gets(learner):
    raw = learner.infer(scene(0)[0], return_raw_logits=True)
    assert isinstance(raw, RawOutput)
    assert raw.semantic_logits.shape == (19, 64, 128)
    assert raw.boxes.shape == (len(raw.scores), 4)
    assert raw.mask_logits.shape == (len(raw.scores), 28, 28)
    assert len(raw.labels) == len(raw.scores)


def test_eval(learner, capsys):
    figures = learner.eval([scene(0), scene(1)], print_results=True)
    assert {"All", "Things", "Stuff", "per_class", "miou", "ap"} <= figures.keys()
    assert "Panoptic segmentation, 2 images" in capsys.readouterr().out
    learner.eval([scene(0)])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["model.pth", "model.safetensors", "folder/model"])
def test_save_and_load(learner, tmp_path, name):
    assert learner.save(tmp_path / name) is True
    other = EfficientPsLearner(device="cpu", lr=0.5)
    assert other.load(str(tmp_path / name)) is True
    image = scene(0)[0]
    assert np.array_equal(other.infer(image)[0].numpy(), learner.infer(image)[0].numpy())
    assert other.config.test == SMALL.test, "the file's own"
    assert other.config.schedule.learning_rate == 0.5, "the argument's"


def test_a_failure_is_logged(learner, tmp_path, caplog):
    with caplog.at_level(logging.ERROR):
        assert learner.load(tmp_path / "nothing.pth") is False
        assert EfficientPsLearner().save(tmp_path / "model.pth") is False
        (tmp_path / "file").touch()
        assert learner.save(tmp_path / "file" / "model.pth") is False
    assert [record.levelname for record in caplog.records] == ["ERROR"] * 3
    assert "There is no checkpoint" in caplog.text
    assert "There is no network to save" in caplog.text
    assert learner.model is not None, "what was loaded before stays"


def test_without_a_network():
    with pytest.raises(PanopticError, match="call load or fit first"):
        EfficientPsLearner().infer(scene(0)[0])


def test_optimize_and_reset(learner):
    assert learner.optimize("cpu") is True
    learner.reset()
    assert learner.model is None


def test_visualize(learner, tmp_path, monkeypatch):
    for variable in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(variable, raising=False)
    image, _ = scene(0)
    prediction = learner.infer(image)
    figure = EfficientPsLearner.visualize(
        image, prediction, save_figure=True, figure_filename=tmp_path / "new" / "f.png"
    )
    assert figure.data.shape == (3, 64, 128)
    assert np.array_equal(Image.open(tmp_path / "new" / "f.png").data, figure.data)
    assert EfficientPsLearner.visualize(image, prediction, figure_size=(0.64, 5)).data.shape == (3, 32, 64)
    assert EfficientPsLearner.visualize(image, prediction, detailed=True).data.shape[0] == 3
    plain = (Heatmap(prediction[0].numpy()), Heatmap(prediction[1].numpy()))
    assert np.array_equal(EfficientPsLearner.visualize(image, plain).data, figure.data)
    with pytest.raises(ValueError, match="no figure_filename"):
        EfficientPsLearner.visualize(image, prediction, save_figure=True)


def test_download_knows_its_words():
    with pytest.raises(ValueError, match="mode is 'pretrained'"):
        EfficientPsLearner.download(".", mode="pretrained")


@pytest.mark.train
def test_fit_then_other_classes(tmp_path):
    pytest.importorskip("mmdet")
    learner = EfficientPsLearner(SMALL, device="cpu", num_workers=0, seed=1, temp_path=tmp_path / "temp")
    history = learner.fit([scene(0), scene(1)], [scene(0)])
    assert (len(history["train"]), len(history["val"])) == (1, 1)
    assert len(list((tmp_path / "temp").glob("*/last.safetensors"))) == 1
    assert learner.infer(scene(0)[0])[1].numpy().shape == (64, 128)

    class Animals(list[tuple[Image, PanopticAnnotation]]):
        classes = ClassTable.from_dict({"names": ["grass", "sky", "cow"], "num_stuff": 2})

    animals = Animals(scene(i, Animals.classes) for i in range(2))
    first = learner.model
    learner.fit(animals, logging_path=tmp_path / "animals")
    assert learner.model is not first
    assert learner.config.classes.names == ("grass", "sky", "cow")
    saved = load_checkpoint(tmp_path / "animals" / "last.safetensors")
    assert saved.config == dataclasses.replace(learner.config)
    assert learner.eval(animals)["num_images"] == 2


def test_a_given_configuration_outlives_the_loading(learner, tmp_path):
    """Its thresholds and sizes hold for the loaded network too; without one the checkpoint's do."""
    assert learner.save(tmp_path / "small.pth")
    strict = dataclasses.replace(SMALL, test=TestConfig(long_side_px=96, short_side_px=64, score_threshold=0.9))
    own, plain = EfficientPsLearner(strict, device="cpu"), EfficientPsLearner(device="cpu")
    for each in (own, plain):
        assert each.load(tmp_path / "small.pth")
    assert own.model is not None
    assert plain.model is not None
    assert own.config.test == own.model.config.test == strict.test
    assert plain.config.test == plain.model.config.test == SMALL.test
    assert own.config.model == plain.config.model == SMALL.model


@pytest.mark.parametrize("batch", [np.zeros((4, 4, 3), np.uint8), "street.jpg", [np.zeros((4, 4, 3), np.uint8)], None])
def test_infer_takes_images_only(learner, batch):
    with pytest.raises(TypeError, match="expected an Image"):
        learner.infer(batch)


def test_an_unknown_device_changes_nothing(learner):
    with pytest.raises(ValueError, match="gpu0"):
        learner.optimize("gpu0")
    assert learner.device == "cpu"
    learner.infer(scene(0)[0])


def test_save_refuses_other_endings(learner, tmp_path):
    assert learner.save(tmp_path / "model.onnx") is False
    assert not list(tmp_path.iterdir())


def test_unusable_paths_are_logged(learner, tmp_path, caplog):
    (tmp_path / "text.pth").write_text("no weights")
    for path in (None, tmp_path, tmp_path / "text.pth"):
        assert learner.load(path) is False
    assert learner.save(None) is False
    assert len(caplog.records) == 4
    assert learner.model is not None


def test_arguments_are_attributes():
    learner = EfficientPsLearner(lr=0.01, iters=3, checkpoint_after_iter=2, lr_schedule={"step": 2, "warmup_iters": 10})
    assert (learner.lr, learner.iters, learner.batch_size, learner.optimizer) == (0.01, 3, 1, "SGD")
    assert (learner.momentum, learner.weight_decay, learner.checkpoint_after_iter) == (0.9, 1e-4, 2)
    assert learner.lr_schedule["step"] == [2]
    again = EfficientPsLearner(
        lr=0.01,
        iters=3,
        checkpoint_after_iter=2,
        lr_schedule=learner.lr_schedule,
        optimizer_config=learner.optimizer_config,
    )
    assert again.config == learner.config
    with pytest.raises(AttributeError):
        learner.lr = 1.0


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"iters": 1.5}, r"schedule\.epochs is 1\.5"),
        ({"lr": "x"}, r"schedule\.learning_rate is 'x'"),
        ({"lr": float("inf")}, r"schedule\.learning_rate is inf"),
        ({"batch_size": True}, r"schedule\.batch_size is True"),
        ({"optimizer": 3}, r"schedule\.optimizer is 3"),
        ({"lr_schedule": {"step": "late"}}, r"schedule\.decay_epochs"),
        ({"optimizer_config": {"grad_clip": 35}}, "optimizer_config has grad_clip=35"),
    ],
)
def test_wrong_arguments(arguments, named):
    with pytest.raises(ConfigError, match=named):
        EfficientPsLearner(**arguments)


@pytest.mark.parametrize(
    "path",
    [
        "/proc/model.pth",
        "/proc/model.safetensors",
        "{}/file/model.pth",
        "{}/folder.pth",
        "{}/a\0b.pth",
        "{}/" + "x" * 300,
        "~nosuchuser/model.pth",
        "{}/model.zip",
        "",
        None,
        5,
    ],
)
def test_what_cannot_be_written_is_false(learner, tmp_path, path, caplog):
    (tmp_path / "file").touch()
    (tmp_path / "folder.pth").mkdir()
    before = sorted(tmp_path.rglob("*"))
    assert learner.save(path.format(tmp_path) if isinstance(path, str) else path) is False
    assert "Could not save to" in caplog.text
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("path", ["a\0b.pth", "~nosuchuser/model.pth", "", None, 5, "x" * 300])
def test_what_cannot_be_read_is_false(path, caplog):
    assert EfficientPsLearner(SMALL).load(path) is False
    assert "Could not load" in caplog.text


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"device": "gpu"}, "device is 'gpu'; expected 'auto', 'cpu', 'cuda' or 'cuda:N'"),
        ({"device": "cpu:1"}, "device is 'cpu:1'; expected"),
        ({"device": "cuda:99"}, "device is 'cuda:99', but"),
        ({"device": None}, "device is 'None'; expected"),
        ({"num_workers": -1}, "num_workers is -1; expected an integer, 0 or more"),
        ({"num_workers": 1.5}, "num_workers is 1.5; expected"),
        ({"num_workers": "2"}, "num_workers is '2'; expected"),
        ({"seed": -1}, "seed is -1; expected"),
    ],
)
def test_wrong_arguments_are_named_at_once(argument, message):
    with pytest.raises(ConfigError, match=message):
        EfficientPsLearner(SMALL, **argument)


@pytest.mark.train
@pytest.mark.parametrize(
    "dataset", ["data/cityscapes/train", b"data", None, 5, {}, [], np.zeros((2, 4, 4, 3), np.uint8)]
)
def test_what_is_no_dataset_is_told_at_once(learner, tmp_path, dataset):
    pytest.importorskip("mmdet")
    with pytest.raises(DatasetError, match="The training dataset is"):
        learner.fit(dataset, logging_path=tmp_path / "run")
    with pytest.raises(DatasetError, match="The evaluation dataset is"):
        learner.eval(dataset)
    assert list(tmp_path.iterdir()) == []
