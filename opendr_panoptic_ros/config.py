# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Config: everything that decides what the network is and how it is run, read from one YAML file."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import yaml

from opendr_panoptic_ros.errors import ConfigError
from opendr_panoptic_ros.labels import CITYSCAPES, ClassTable

PRESETS = ("cityscapes", "kitti", "demo")
"""Names that `Config.load` and `load_checkpoint` know."""


@dataclass(frozen=True)
class ModelConfig:
    """The network's shape. The defaults are the published network (EfficientNet-B5).

    backbone_width, backbone_depth: EfficientNet's multipliers (B0 1.0, 1.0 … B5 1.6, 2.2 … B7 2.0, 3.1).
    fpn_channels: channels of the neck's outputs, of the RPN and of the mask head. semantic_channels: channels inside
    the semantic head. box_head_width: width of the box head's two fully connected layers.
    num_stuff, num_things: numbers of classes. anchor_scale: anchor size in multiples of a level's stride.
    pixel_mean, pixel_std: normalisation of RGB values 0-255.
    """

    backbone_width: float = 1.6
    backbone_depth: float = 2.2
    fpn_channels: int = 256
    semantic_channels: int = 128
    box_head_width: int = 1024
    num_stuff: int = 11
    num_things: int = 8
    anchor_scale: float = 8.0
    pixel_mean: tuple[float, float, float] = (106.433, 116.617, 119.559)
    pixel_std: tuple[float, float, float] = (65.496, 67.6, 74.123)

    def __post_init__(self) -> None:
        for name in ("backbone_width", "backbone_depth", "fpn_channels", "semantic_channels", "box_head_width",
                     "num_things", "anchor_scale"):  # fmt: skip
            _require(getattr(self, name) > 0, f"model.{name}", getattr(self, name), "a number above 0")
        _require(self.num_stuff >= 1, "model.num_stuff", self.num_stuff, "at least 1")
        for name in ("pixel_mean", "pixel_std"):
            _require(len(getattr(self, name)) == 3, f"model.{name}", getattr(self, name), "three numbers (R, G, B)")
        _require(min(self.pixel_std) > 0, "model.pixel_std", self.pixel_std, "numbers above 0")


@dataclass(frozen=True)
class Thresholds:
    """Replacements for the values of the same names in a TestConfig; None keeps the value of the configuration.

    Attributes:
        score_threshold: Smallest score of a detection that is kept, 0 to 1.
        overlap_threshold: Largest share of an instance's mask that instances of higher scores may cover, 0 to 1.
        min_stuff_area: Smallest area of a stuff segment that is kept, in pixels of the resized image.
        contain_instances: Whether an instance is restricted to the box of its detection.
    """

    score_threshold: float | None = None
    overlap_threshold: float | None = None
    min_stuff_area: int | None = None
    contain_instances: bool | None = None


@dataclass(frozen=True)
class TestConfig:
    """How the network is run. The defaults are the published test settings for Cityscapes.

    long_side_px, short_side_px: the image is resized, keeping its shape, to fit into these.
    score_threshold, box_nms_threshold, max_detections: detections kept by the box head.
    mask_threshold, overlap_threshold, min_stuff_area: the panoptic fusion (paper section 3.5); the area is in pixels
    of the resized image. contain_instances: no pixel of an instance lies outside the box of its detection; false is the
    published rule. rpn_*: proposals per level before and after NMS and in total, and its IoU.
    """

    __test__ = False  # not a test case, whatever pytest thinks of the name

    long_side_px: int = 2048
    short_side_px: int = 1024
    score_threshold: float = 0.5
    box_nms_threshold: float = 0.5
    max_detections: int = 100
    mask_threshold: float = 0.5
    overlap_threshold: float = 0.5
    min_stuff_area: int = 2048
    contain_instances: bool = True
    rpn_max_per_level: int = 1000
    rpn_max_proposals: int = 1000
    rpn_nms_threshold: float = 0.7

    def __post_init__(self) -> None:
        for name in ("score_threshold", "box_nms_threshold", "mask_threshold", "overlap_threshold",
                     "rpn_nms_threshold"):  # fmt: skip
            _require(0 <= getattr(self, name) <= 1, f"test.{name}", getattr(self, name), "0 to 1")
        for name in ("short_side_px", "max_detections", "rpn_max_per_level", "rpn_max_proposals"):
            _require(getattr(self, name) >= 1, f"test.{name}", getattr(self, name), "at least 1")
        _require(self.long_side_px >= self.short_side_px, "test.long_side_px", self.long_side_px,
                 f"at least test.short_side_px ({self.short_side_px})")  # fmt: skip
        _require(self.min_stuff_area >= 0, "test.min_stuff_area", self.min_stuff_area, "0 or more pixels")

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
class DataConfig:
    """What training cuts out of the images. The defaults are the published ones for Cityscapes.

    crop_height_px, crop_width_px: every training image has this size; multiples of 32. min_scale, max_scale: images are
    scaled by a random factor between these, in relation to the size that the network sees in testing.
    flip_probability: how often left and right are exchanged.
    """

    crop_height_px: int = 1024
    crop_width_px: int = 2048
    min_scale: float = 0.5
    max_scale: float = 2.0
    flip_probability: float = 0.5

    def __post_init__(self) -> None:
        for name in ("crop_height_px", "crop_width_px"):
            value = getattr(self, name)
            _require(value > 0 and value % 32 == 0, f"data.{name}", value, "a multiple of 32")
        _require(self.min_scale > 0, "data.min_scale", self.min_scale, "a number above 0")
        _require(self.max_scale >= self.min_scale, "data.max_scale", self.max_scale,
                 f"at least data.min_scale ({self.min_scale})")  # fmt: skip
        _require(0 <= self.flip_probability <= 1, "data.flip_probability", self.flip_probability, "0 to 1")


@dataclass(frozen=True)
class ScheduleConfig:
    """How the network is trained. The defaults are the published ones for Cityscapes.

    epochs, batch_size: the latter for each process. optimizer: SGD or AdamW; momentum is SGD's. learning_rate rises
    over `warmup_iterations` from the fraction `warmup_start`, and is multiplied by `decay` after each of the epochs
    `decay_epochs`. max_gradient_norm: gradients are scaled down to it; 0 leaves them. accumulate: batches per step.
    precision: float32, or float16 or bfloat16 where that is safe (mixed precision). ema_momentum: the weights that are
    evaluated and kept are a running mean with this share of the newest; 0 takes the newest alone.
    freeze_norms: norm layers keep their statistics. proposals: boxes of the RPN, on each level and of an image; rois:
    those of them that the box head learns from, a quarter of which the mask head may get. checkpoint_every,
    evaluate_every: in epochs.
    """

    epochs: int = 160
    batch_size: int = 1
    optimizer: str = "SGD"
    learning_rate: float = 0.07
    momentum: float = 0.9
    weight_decay: float = 1e-4
    warmup_iterations: int = 500
    warmup_start: float = 1 / 3
    decay_epochs: tuple[int, ...] = (120, 144)
    decay: float = 0.1
    max_gradient_norm: float = 35.0
    accumulate: int = 1
    precision: str = "float32"
    ema_momentum: float = 0.0
    freeze_norms: bool = False
    proposals: int = 2000
    rois: int = 256
    checkpoint_every: int = 1
    evaluate_every: int = 1

    def __post_init__(self) -> None:
        for name, choices in (("optimizer", ("SGD", "AdamW")), ("precision", ("float32", "float16", "bfloat16"))):
            _require(getattr(self, name) in choices, f"schedule.{name}", getattr(self, name), " or ".join(choices))
        for name in ("epochs", "batch_size", "accumulate", "proposals", "rois", "checkpoint_every", "evaluate_every"):
            _require(getattr(self, name) >= 1, f"schedule.{name}", getattr(self, name), "at least 1")
        for name in ("learning_rate", "warmup_start", "decay"):
            _require(getattr(self, name) > 0, f"schedule.{name}", getattr(self, name), "a number above 0")
        for name in ("weight_decay", "warmup_iterations", "max_gradient_norm"):
            _require(getattr(self, name) >= 0, f"schedule.{name}", getattr(self, name), "0 or more")
        for name in ("momentum", "ema_momentum"):
            _require(0 <= getattr(self, name) < 1, f"schedule.{name}", getattr(self, name), "0 up to, not including, 1")


@dataclass(frozen=True)
class Config:
    """The network's shape, its classes, how it is run and trained. Frozen; change it with `dataclasses.replace`.

    Raises ConfigError when the numbers of classes in `model` and `classes` differ.
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
        """The defaults around `model`; classes without a name are called `stuff 1`, `thing 1` and so on."""
        if (model.num_stuff, model.num_things) == (CITYSCAPES.num_stuff, CITYSCAPES.num_things):
            return cls(model=model)
        return cls(name="custom", model=model, classes=ClassTable.unnamed(model.num_stuff, model.num_things))

    @classmethod
    def load(cls, path_or_name: str | Path) -> Config:
        """The configuration in a YAML file, or one of the presets `cityscapes`, `kitti`, `demo`.

        Raises ConfigError when there is no such file or preset, or when an entry is unknown or out of its range.
        """
        if str(path_or_name) in PRESETS:
            text = (resources.files("opendr_panoptic_ros") / "presets" / f"{path_or_name}.yaml").read_bytes()
        else:
            path = Path(path_or_name).expanduser()
            if not path.is_file():
                raise ConfigError(f"There is no file {path}; give a YAML file or one of {', '.join(PRESETS)}.")
            text = path.read_bytes()
        try:
            values = yaml.safe_load(text)
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path_or_name} is not YAML: {error}") from error
        return cls.from_dict({"name": Path(path_or_name).stem, **values} if isinstance(values, dict) else values)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Config:
        """The configuration that `to_dict` wrote; what is left out takes its default.

        Raises ConfigError for unknown entries and values out of their range.
        """
        _require(isinstance(values, dict), "the configuration", values, "a mapping of sections to values")
        _refuse_unknown(values, {f.name for f in dataclasses.fields(cls)}, "the configuration")
        name = values.get("name", cls.name)
        _require(isinstance(name, str), "name", name, "a word, in quotes if it looks like a number")
        named = _mapping(values, "classes")
        classes = ClassTable.from_dict(named) if named else CITYSCAPES
        counts = {"num_stuff": classes.num_stuff, "num_things": classes.num_things}
        return cls(
            name=name,
            model=_read(ModelConfig, {**counts, **_mapping(values, "model")}, "model"),
            test=_read(TestConfig, _mapping(values, "test"), "test"),
            data=_read(DataConfig, _mapping(values, "data"), "data"),
            schedule=_read(ScheduleConfig, _mapping(values, "schedule"), "schedule"),
            classes=classes,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and numbers: what YAML and JSON can hold and `from_dict` reads back."""
        return {
            "name": self.name,
            **{name: _plain(getattr(self, name)) for name in ("model", "test", "data", "schedule")},
            "classes": self.classes.to_dict(),
        }


_Section = TypeVar("_Section", ModelConfig, TestConfig, DataConfig, ScheduleConfig)


def _plain(section: Any) -> dict[str, Any]:
    """A section's values, lists for tuples."""
    return {key: list(v) if isinstance(v, tuple) else v for key, v in dataclasses.asdict(section).items()}


def _read(section: type[_Section], values: dict[str, Any], name: str) -> _Section:
    """`section` made of `values`, each cast to the type of its default (YAML writes 8 for 8.0, lists for tuples)."""
    defaults: dict[str, Any] = {f.name: f.default for f in dataclasses.fields(section)}
    _refuse_unknown(values, set(defaults), name)
    cast: dict[str, Any] = {}
    for key, value in values.items():
        default = defaults[key]
        try:
            if isinstance(default, tuple):
                _of_type((list, tuple), value)
                cast[key] = tuple(_number(type(default[0]), v) for v in value)
            elif isinstance(default, str | bool):
                cast[key] = _of_type(type(default), value)
            else:
                cast[key] = _number(type(default), value)
        except (TypeError, ValueError, OverflowError) as error:
            raise ConfigError(f"{name}.{key} is {value!r}; expected something like {default!r}.") from error
    return section(**cast)


def _of_type(wanted: type | tuple[type, ...], value: Any) -> Any:
    """The value itself; TypeError when it is of another type, such as the word "no" for False."""
    if not isinstance(value, wanted):
        raise TypeError(f"not of the type {wanted}")
    return value


def _number(wanted: type, value: Any) -> Any:
    """The value as an int or a float. YAML reads 1e-4 as a word, so words are tried too."""
    number = float(value)
    if isinstance(value, bool) or not math.isfinite(number) or (wanted is int and not number.is_integer()):
        raise ValueError(f"not a finite {wanted.__name__}")
    return wanted(number)


def _mapping(values: dict[str, Any], key: str) -> dict[str, Any]:
    section = values.get(key)
    section = {} if section is None else section  # YAML's heading without entries
    _require(isinstance(section, dict), key, section, "a mapping of names to values")
    return dict(section)


def _refuse_unknown(values: dict[str, Any], known: set[str], where: str) -> None:
    unknown = sorted(str(name) for name in set(values) - known)
    if unknown:
        raise ConfigError(f"{where} has unknown entries {', '.join(unknown)}; known are {', '.join(sorted(known))}.")


def _require(holds: bool, name: str, got: object, expected: str) -> None:
    if not holds:
        raise ConfigError(f"{name} is {got!r}; expected {expected}.")
