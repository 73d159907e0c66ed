# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Tests of Config: presets, round trips, and errors that name the entry."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from opendr_panoptic_ros.config import PRESETS, Config, ModelConfig
from opendr_panoptic_ros.errors import ConfigError


@pytest.mark.parametrize("name", PRESETS)
def test_presets_round_trip(name: str, tmp_path: Path) -> None:
    config = Config.load(name)
    assert config.name == name
    path = tmp_path / "copy.yaml"
    path.write_text(yaml.safe_dump(config.to_dict()))
    assert Config.load(path) == config


def test_published_settings() -> None:
    cityscapes, kitti = Config.load("cityscapes"), Config.load("kitti")
    assert (cityscapes.test.long_side_px, cityscapes.test.short_side_px) == (2048, 1024)
    assert (kitti.test.long_side_px, kitti.test.short_side_px) == (1280, 384)
    assert cityscapes.model == kitti.model == ModelConfig()


def test_own_classes_give_the_numbers(tmp_path: Path) -> None:
    path = tmp_path / "farm.yaml"
    path.write_text("classes: {names: [sky, cow, cat], num_stuff: 1}\nmodel: {fpn_channels: 32, anchor_scale: 4}\n")
    config = Config.load(path)
    assert config.name == "farm"
    assert (config.model.num_stuff, config.model.num_things, config.model.fpn_channels) == (1, 2, 32)
    assert isinstance(config.model.anchor_scale, float)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("modle: {}", "modle"),
        ("model: {fpn_chanels: 8}", "fpn_chanels"),
        ("model: {fpn_channels: 8.5}", "model.fpn_channels"),
        ("model: {fpn_channels: wide}", "model.fpn_channels"),
        ("model: {fpn_channels: 0}", "model.fpn_channels"),
        ("model: {pixel_mean: [1, 2]}", "model.pixel_mean"),
        ("model: {num_things: 3}", "thing classes"),
        ("model: 3", "model"),
        ("test: {score_threshold: 1.5}", "test.score_threshold"),
        ("test: {long_side_px: 10, short_side_px: 20}", "test.long_side_px"),
        ("classes: 3", "classes"),
        ("classes: {names: 5, num_stuff: 1}", "classes"),
        ("classes: {names: [a], num_stuff: x}", "classes"),
        ("classes: {names: [a], num_stuff: 1, colors: [1, 2]}", "classes"),
        ("classes: {names: [a, b], num_stuff: 1, dataset_ids: [x, 2]}", "classes"),
        ("classes: {names: [a, b], num_stuff: 1, dataset_ids: [3, 3]}", "dataset_ids"),
        ("classes: {names: [1, b], num_stuff: 1}", "classes.names"),
        ("classes: {names: ab, num_stuff: 1}", "classes.names"),
        ("classes: {1: 2, names: [a], num_stuff: 1}", "classes"),
        ("classes: []", "classes"),
        ("name: 5", "name"),
        ("1: 2", "unknown entries 1"),
        ("model: {1: 2}", "unknown entries 1"),
        ("model: {anchor_scale: .inf}", "model.anchor_scale"),
        ("model: {pixel_mean: [.nan, 1, 2]}", "model.pixel_mean"),
        ("model: {pixel_mean: '123'}", "model.pixel_mean"),
        ("model: {fpn_channels: true}", "model.fpn_channels"),
        ("schedule: {decay_epochs: [1.5]}", "schedule.decay_epochs"),
        ("- a list", "list"),
        ("a: [", "YAML"),
    ],
)
def test_wrong_files(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=named):
        Config.load(path)


def test_missing_file() -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml.*cityscapes, kitti, coco, demo"):
        Config.load("nowhere.yaml")


def test_a_file_in_another_character_set(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes("name: Käfer".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"latin\.yaml is not YAML"):
        Config.load(tmp_path / "latin.yaml")


@pytest.mark.parametrize(
    "content",
    [
        "-----BEGIN OPENSSH PRIVATE KEY-----\nsecretsecretsecret\n-----END OPENSSH PRIVATE KEY-----\n",
        "root:x:0:0:secret:/root:/bin/bash\n",
        "password: 'secret\n",
        "secret",
        "- secret\n- b\n",
        "a: {secret: [\n",
        "{" * 2000 + "secret",
        "[" * 30_000,
        "a: !secret b",
        "a: 2020-99-99 # secret",
        "a: " + "1" * 10_000 + "\nsecret",
        "\x00secret",
    ],
)
def test_errors_do_not_show_what_a_file_holds(tmp_path: Path, content: str) -> None:
    """The network may name any file of the computer as the configuration."""
    (tmp_path / "foreign.yaml").write_text(content)
    with pytest.raises(ConfigError, match="foreign") as caught:
        Config.load(tmp_path / "foreign.yaml")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "value",
    ["x" * 100_000, list(range(10_000)), {"a": [["x" * 1000] * 1000] * 1000}, 10**5000],
    ids=["text", "list", "nested", "number"],
)
def test_large_values_are_quoted_in_part(value: object) -> None:
    for values in (
        {"model": {"fpn_channels": value}},
        {"classes": {"names": value, "num_stuff": 1}},
        {"name": [value]},
    ):
        with pytest.raises(ConfigError) as caught:
            Config.from_dict(values)
        assert len(str(caught.value)) < 250


def test_aliases_are_refused(tmp_path: Path) -> None:
    """Nine levels of ten aliases each stand for a thousand million values."""
    levels = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    (tmp_path / "bomb.yaml").write_text("\n".join(["a0: &a0 x", *levels]))
    with pytest.raises(ConfigError, match=r"bomb\.yaml is not YAML that can be read: the fault is in line 2.*aliases"):
        Config.load(tmp_path / "bomb.yaml")


def test_what_is_no_small_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "large.yaml").write_text("# " + "x" * 100_000)
    os.mkfifo(tmp_path / "pipe.yaml")
    for path, problem in (("large.yaml", "cannot be read: Larger"), ("pipe.yaml", "There is no file")):
        with pytest.raises(ConfigError, match=problem):
            Config.load(tmp_path / path)
    for name in ("~nosuchuser/a.yaml", "x" * 300, "/dev/zero", "a\0b"):
        with pytest.raises(ConfigError):
            Config.load(name)


@pytest.mark.parametrize(
    "entry", ["model: {backbone_depth: 1.0e+5}", "model: {backbone_width: 11}", "test: {long_side_px: 1000000}"]
)
def test_sizes_are_bounded(tmp_path: Path, entry: str) -> None:
    (tmp_path / "large.yaml").write_text(entry)
    with pytest.raises(ConfigError, match=r"at most 10|1 to 16384"):
        Config.load(tmp_path / "large.yaml")


def test_entries_of_a_configuration_are_changed() -> None:
    demo = Config.load("demo")
    config = demo.with_changes(["schedule.decay_epochs=[3, 4]", "data.min_scale=1", "schedule.optimizer=AdamW"])
    assert (config.schedule.decay_epochs, config.data.min_scale, config.schedule.optimizer) == ((3, 4), 1.0, "AdamW")
    assert demo.with_changes([]) == demo
    with pytest.raises(ConfigError, match="schedule has unknown entries epoch"):
        demo.with_changes(["schedule.epoch=3"])
    with pytest.raises(ConfigError, match="not a YAML value"):
        demo.with_changes(["schedule.decay_epochs=[8,"])
    for change in ("epochs=3", "schedule.epochs", "nothing.epochs=3"):
        with pytest.raises(ConfigError, match=r"expected section\.name=value"):
            demo.with_changes([change])
