# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Config: the shape of the network, its classes, and how it is run and trained, as read from one YAML file."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from opendr_panoptic_ros.config_section import (
    ABOVE_0,
    FROM_0,
    FROM_1,
    SHARE,
    SHARE_BELOW_1,
    Rule,
    Section,
    entry,
    one_of,
    refuse_unknown,
    require,
)
from opendr_panoptic_ros.errors import ConfigError, plain, quoted
from opendr_panoptic_ros.labels import CITYSCAPES, ClassTable
from opendr_panoptic_ros.yaml_files import find_yaml, read_yaml

MAX_SIDE_PX = 16384
"""Longest side in px at which the network may see an image; one of 16384 x 8192 takes more than 100 GB."""

PRESETS = ("cityscapes", "kitti", "coco", "demo")
"""Names that `Config.load` accepts."""

WEIGHTS = ("cityscapes", "kitti", "demo")
"""Names that `load_checkpoint` accepts; each is also a preset."""


_SWITCH = Rule("true or false", lambda value: isinstance(value, bool))
_AREA_PX = Rule("0 or more pixels", lambda value: value >= 0)
_SIDE_PX = Rule(f"1 to {MAX_SIDE_PX} pixels", lambda value: 1 <= value <= MAX_SIDE_PX)
_MULTIPLIER = Rule("a number above 0, at most 10", lambda value: 0 < value <= 10)
_MULTIPLE_OF_32 = Rule("a multiple of 32", lambda value: value > 0 and value % 32 == 0)
_RGB = Rule("three numbers (R, G, B)", lambda values: len(values) == 3)
_FRACTION = Rule("above 0, at most 1", lambda value: 0 < value <= 1)
_EPOCHS = Rule("numbers from 1", lambda values: all(epoch >= 1 for epoch in values))
_RGB_ABOVE_0 = Rule("three numbers (R, G, B) above 0", lambda values: len(values) == 3 and min(values) > 0)


@dataclass(frozen=True)
class ModelConfig(Section):
    """The shape of the network. The defaults are the published network (EfficientNet-B5).

    Attributes:
        backbone_width: Width multiplier of EfficientNet: B0 1.0, B5 1.6, B7 2.0.
        backbone_depth: Depth multiplier of EfficientNet: B0 1.0, B5 2.2, B7 3.1.
        fpn_channels: Channels of the neck's maps, of the RPN and of the mask head.
        semantic_channels: Channels inside the semantic head.
        box_head_width: Width of the two fully connected layers of the box head.
        num_stuff: Number of stuff classes.
        num_things: Number of thing classes.
        anchor_scale: Anchor size in multiples of the stride of a level.
        pixel_mean: Mean of the RGB values, 0 to 255, which is subtracted from the input.
        pixel_std: Standard deviation of the RGB values, by which the input is divided.
    """

    section = "model"

    backbone_width: float = entry(1.6, _MULTIPLIER)
    backbone_depth: float = entry(2.2, _MULTIPLIER)
    fpn_channels: int = entry(256, ABOVE_0)
    semantic_channels: int = entry(128, ABOVE_0)
    box_head_width: int = entry(1024, ABOVE_0)
    num_stuff: int = entry(11, FROM_1)
    num_things: int = entry(8, ABOVE_0)
    anchor_scale: float = entry(8.0, ABOVE_0)
    pixel_mean: tuple[float, float, float] = entry((106.433, 116.617, 119.559), _RGB)
    pixel_std: tuple[float, float, float] = entry((65.496, 67.6, 74.123), _RGB_ABOVE_0)


@dataclass(frozen=True)
class Thresholds:
    """Replacements for the values of the same names in a TestConfig; None keeps the value of the configuration.

    Attributes:
        score_threshold: Smallest score of a detection that is kept, 0 to 1.
        overlap_threshold: Largest share of an instance's mask that instances of higher scores may cover, 0 to 1.
        min_stuff_area: Smallest area of a stuff segment that is kept, in px of the resized image.
        contain_instances: Whether an instance is restricted to the box of its detection.
    """

    score_threshold: float | None = None
    overlap_threshold: float | None = None
    min_stuff_area: int | None = None
    contain_instances: bool | None = None


@dataclass(frozen=True)
class TestConfig(Section):
    """Settings of the inference. The defaults are the published settings for Cityscapes, but for `contain_instances`.

    Attributes:
        long_side_px: The image is resized, keeping its aspect ratio, so that its longer side fits into this length.
        short_side_px: The same for its shorter side.
        score_threshold: Smallest score of a detection that is kept by the box head, 0 to 1.
        box_nms_threshold: Largest IoU of two detections of one class, 0 to 1.
        max_detections: Largest number of detections in an image.
        mask_threshold: Probability from which a pixel belongs to a mask, 0 to 1 (paper section 3.5).
        overlap_threshold: Largest share of an instance's mask that instances of higher scores may cover, 0 to 1.
        min_stuff_area: Smallest area of a stuff segment that is kept, in px of the resized image.
        contain_instances: Whether an instance is restricted to the box of its detection; false is the published rule.
        rpn_max_per_level: Largest number of proposals of a level, before and after NMS.
        rpn_max_proposals: Largest number of proposals of an image.
        rpn_nms_threshold: Largest IoU of two proposals of a level, 0 to 1.
    """

    __test__ = False  # pytest would take the name for that of a test case
    section = "test"

    long_side_px: int = entry(2048, _SIDE_PX)
    short_side_px: int = entry(1024, FROM_1)
    score_threshold: float = entry(0.5, SHARE)
    box_nms_threshold: float = entry(0.5, SHARE)
    max_detections: int = entry(100, FROM_1)
    mask_threshold: float = entry(0.5, SHARE)
    overlap_threshold: float = entry(0.5, SHARE)
    min_stuff_area: int = entry(2048, _AREA_PX)
    contain_instances: bool = entry(True, _SWITCH)
    rpn_max_per_level: int = entry(1000, FROM_1)
    rpn_max_proposals: int = entry(1000, FROM_1)
    rpn_nms_threshold: float = entry(0.7, SHARE)

    def __post_init__(self) -> None:
        super().__post_init__()
        expected = f"at least test.short_side_px ({self.short_side_px})"
        require(self.long_side_px >= self.short_side_px, "test.long_side_px", self.long_side_px, expected)

    def with_thresholds(self, thresholds: Thresholds) -> TestConfig:
        """Return these settings with some thresholds replaced.

        Args:
            thresholds: The replacements; None keeps a value.

        Returns:
            A copy with the replaced values.

        Raises:
            ConfigError: A value is outside its range.
        """
        values = {name: value for name, value in vars(thresholds).items() if value is not None}
        return dataclasses.replace(self, **values)


@dataclass(frozen=True)
class DataConfig(Section):
    """Augmentation of the training images. The defaults are the published ones for Cityscapes.

    The published training changes the geometry alone; `photometric` is for networks that are to work on other cameras
    than those of the training images.

    Attributes:
        crop_height_px: Height of every training image, a multiple of 32.
        crop_width_px: Width of every training image, a multiple of 32.
        min_scale: Smallest random scale, relative to the size that the network sees in testing.
        max_scale: Largest random scale.
        flip_probability: Probability of a horizontal flip, 0 to 1.
        photometric: Strength of random changes of light, colour, sharpness, noise and compression, 0 to 1; 0 leaves
            the pixels as they are. See `training.photometric`.
    """

    section = "data"

    crop_height_px: int = entry(1024, _MULTIPLE_OF_32)
    crop_width_px: int = entry(2048, _MULTIPLE_OF_32)
    min_scale: float = entry(0.5, ABOVE_0)
    max_scale: float = 2.0
    flip_probability: float = entry(0.5, SHARE)
    photometric: float = entry(0.0, SHARE)

    def __post_init__(self) -> None:
        super().__post_init__()
        expected = f"at least data.min_scale ({self.min_scale})"
        require(self.max_scale >= self.min_scale, "data.max_scale", self.max_scale, expected)


@dataclass(frozen=True)
class ScheduleConfig(Section):
    """Settings of the training. The defaults are the published ones for Cityscapes.

    Warm-up and decays are fitted to the length of short trainings; see `training.schedule.bounded_schedule`.

    Attributes:
        epochs: Number of passes over the training images.
        batch_size: Images in a batch of one process.
        optimizer: `SGD` or `AdamW`.
        learning_rate: Learning rate after the warm-up.
        backbone_rate: Factor of the learning rate of the backbone, above 0. Below 1, a backbone that starts from
            weights of another task keeps more of them.
        momentum: Momentum of SGD, 0 to 1.
        weight_decay: Weight decay.
        warmup_iterations: Number of iterations over which the learning rate rises linearly.
        warmup_start: Fraction of the learning rate at which the warm-up begins, above 0 to 1.
        decay_rule: How the learning rate falls after the warm-up: `step` at `decay_epochs`; `cosine` and `poly` (power
            0.9) from iteration to iteration to 0 at the end, whatever `decay_epochs` and `decay` are.
        decay_epochs: Epochs after which the learning rate is multiplied by `decay`.
        decay: Factor of the learning rate.
        max_gradient_norm: Norm to which gradients are scaled down; 0 leaves them as they are.
        accumulate: Number of batches whose gradients are added up for one step.
        precision: `float32`, or `float16` or `bfloat16` for mixed precision.
        ema_momentum: Share of the newest weights in the running mean that is evaluated and saved, 0 to 1; 0 evaluates
            and saves the newest weights themselves.
        freeze_norms: Whether all norm layers keep their statistics.
        freeze_backbone_norms: Whether the norm layers of the backbone keep theirs.
        sync_norms: Whether the norm layers take their statistics over the images of all processes, as the published
            training did. It has no effect in a training of one process.
        proposals: Largest number of proposals of the RPN, for each level and for each image.
        rois: Number of proposals of an image from which the box head learns; at most a quarter of them are positive.
        checkpoint_every: Epochs between two checkpoints.
        evaluate_every: Epochs between two evaluations.
        patience: Number of epochs without a higher PQ after which the training ends early; 0 never ends it early.
        keep_checkpoints: Number of latest `epoch_N.pth` that are kept, besides that of the best epoch; 0 keeps all.
    """

    section = "schedule"

    epochs: int = entry(160, FROM_1)
    batch_size: int = entry(1, FROM_1)
    optimizer: str = entry("SGD", one_of("SGD", "AdamW"))
    learning_rate: float = entry(0.07, ABOVE_0)
    backbone_rate: float = entry(1.0, ABOVE_0)
    momentum: float = entry(0.9, SHARE_BELOW_1)
    weight_decay: float = entry(1e-4, FROM_0)
    warmup_iterations: int = entry(500, FROM_0)
    warmup_start: float = entry(1 / 3, _FRACTION)
    decay_rule: str = entry("step", one_of("step", "cosine", "poly"))
    decay_epochs: tuple[int, ...] = entry((120, 144), _EPOCHS)
    decay: float = entry(0.1, ABOVE_0)
    max_gradient_norm: float = entry(35.0, FROM_0)
    accumulate: int = entry(1, FROM_1)
    precision: str = entry("float32", one_of("float32", "float16", "bfloat16"))
    ema_momentum: float = entry(0.0, SHARE_BELOW_1)
    freeze_norms: bool = False
    freeze_backbone_norms: bool = False
    sync_norms: bool = entry(False, _SWITCH)
    proposals: int = entry(2000, FROM_1)
    rois: int = entry(256, FROM_1)
    checkpoint_every: int = entry(1, FROM_1)
    evaluate_every: int = entry(1, FROM_1)
    patience: int = entry(0, FROM_0)
    keep_checkpoints: int = entry(3, FROM_0)


@dataclass(frozen=True)
class Config:
    """The whole configuration. It is frozen; `dataclasses.replace` makes a changed copy.

    Attributes:
        name: Name of the configuration.
        model: Shape of the network.
        test: Settings of the inference.
        data: Augmentation of the training images.
        schedule: Settings of the training.
        classes: Classes of the network.

    Raises:
        ConfigError: The numbers of classes in `model` and `classes` differ.
    """

    name: str = "cityscapes"
    model: ModelConfig = field(default_factory=ModelConfig)
    test: TestConfig = field(default_factory=TestConfig)
    data: DataConfig = field(default_factory=DataConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    classes: ClassTable = CITYSCAPES

    def __post_init__(self) -> None:
        model, classes = self.model, self.classes
        if (model.num_stuff, model.num_things) != (classes.num_stuff, classes.num_things):
            raise ConfigError(
                f"model has {model.num_stuff} stuff and {model.num_things} thing classes, classes names "
                f"{classes.num_stuff} and {classes.num_things}; give the same numbers in both, or leave out "
                "model.num_stuff and model.num_things."
            )

    @classmethod
    def for_model(cls, model: ModelConfig) -> Config:
        """Return the default configuration of a model.

        Args:
            model: Shape of the network.

        Returns:
            A configuration with the Cityscapes classes if their numbers fit, else with the classes `stuff 1`, …,
            `thing 1`, ….
        """
        if (model.num_stuff, model.num_things) == (CITYSCAPES.num_stuff, CITYSCAPES.num_things):
            return cls(model=model)
        return cls(name="custom", model=model, classes=ClassTable.unnamed(model.num_stuff, model.num_things))

    @classmethod
    def load(cls, path_or_name: str | Path) -> Config:
        """Read a configuration from a YAML file or a preset.

        Args:
            path_or_name: A YAML file, or one of `PRESETS`.

        Returns:
            The configuration; entries that are left out have their defaults.

        Raises:
            ConfigError: There is no such file or preset, or an entry is unknown or out of its range.
        """
        path = find_yaml(path_or_name, PRESETS, "presets")
        try:
            return cls.from_dict({"name": path.stem, **read_yaml(path)})
        except RecursionError as error:
            raise ConfigError(f"{path} is nested too deeply.") from error

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Config:
        """Make a configuration from a mapping, as `to_dict` returns it.

        Args:
            values: Sections and their entries; entries that are left out have their defaults.

        Returns:
            The configuration.

        Raises:
            ConfigError: An entry is unknown, or a value is of another type or out of its range.
        """
        require(isinstance(values, dict), "the configuration", values, "a mapping of sections to values")
        refuse_unknown(values, {f.name for f in dataclasses.fields(cls)}, "the configuration")
        name = values.get("name", cls.name)
        require(isinstance(name, str), "name", name, "a word, in quotes if it looks like a number")
        named = _mapping(values, "classes")
        classes = ClassTable.from_dict(named) if named else CITYSCAPES
        counts = {"num_stuff": classes.num_stuff, "num_things": classes.num_things}
        return cls(
            name=name,
            model=ModelConfig.from_dict({**counts, **_mapping(values, "model")}),
            test=TestConfig.from_dict(_mapping(values, "test")),
            data=DataConfig.from_dict(_mapping(values, "data")),
            schedule=ScheduleConfig.from_dict(_mapping(values, "schedule")),
            classes=classes,
        )

    def with_changes(self, changes: Sequence[str]) -> Config:
        """Return this configuration with some entries replaced.

        Args:
            changes: Entries of the form `section.name=value`, such as `schedule.epochs=20`. The value is YAML.

        Returns:
            The changed copy.

        Raises:
            ConfigError: An entry does not have this form, is unknown or is out of its range.
        """
        values = self.to_dict()
        for change in changes:
            name, found, text = change.partition("=")
            section, _, key = name.partition(".")
            if not found or not key or not isinstance(values.get(section), dict):
                raise ConfigError(
                    f"--set {plain(change, 100)}: expected section.name=value, such as schedule.epochs=20."
                )
            try:
                values[section][key] = yaml.safe_load(text)
            except yaml.YAMLError as error:
                raise ConfigError(f"--set {plain(change, 100)}: {quoted(text)} is not a YAML value.") from error
        return Config.from_dict(values)

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration as dicts, lists, strings and numbers, for YAML or JSON and for `from_dict`."""
        return {
            "name": self.name,
            **{name: getattr(self, name).to_dict() for name in ("model", "test", "data", "schedule")},
            "classes": self.classes.to_dict(),
        }


def _mapping(values: dict[str, Any], key: str) -> dict[str, Any]:
    section = values.get(key)
    section = {} if section is None else section  # YAML's heading without entries
    require(isinstance(section, dict), key, section, "a mapping of names to values")
    return dict(section)
