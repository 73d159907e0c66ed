# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""A report about a dataset before a training: what the network would see of it, and what it could not learn."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.annotation import (
    LabelledImages,
    PanopticAnnotation,
    image_names,
    labelled_image,
    require_dataset,
)
from opendr_panoptic_ros.config import Config
from opendr_panoptic_ros.inference import fitted_size
from opendr_panoptic_ros.labels import VOID
from opendr_panoptic_ros.network.rpn import STRIDES
from opendr_panoptic_ros.training.data import augment
from opendr_panoptic_ros.visualize import contact_sheet, overlay

_FEW_IMAGES = 10
_NEGATIVE_IOU = 0.3  # the RPN's limit, paper section 3.3: anchors below it are negatives
_MUCH_VOID = 0.3
_ENLARGED = 1.5


@dataclass
class ClassReport:
    """The counts of one class in a dataset.

    Attributes:
        is_thing: Whether the class is a thing.
        images: Number of images with the class.
        segments: Number of instances of a thing, or of images with a stuff class.
        crowds: Number of crowd regions.
        pixels: Number of pixels, crowd regions included.
        too_small: Number of segments that are too small at the size at which the network sees the images: instances
            whose box has less than 0.3 of the area of the smallest anchor, so that only the best of the anchors learns
            them; stuff below `test.min_stuff_area`, which is never predicted.
        median_side_px: Median of the square roots of the areas, in px at the network's size; None without segments.
    """

    is_thing: bool
    images: int = 0
    segments: int = 0
    crowds: int = 0
    pixels: int = 0
    too_small: int = 0
    median_side_px: float | None = None


@dataclass
class DatasetReport:
    """What a dataset holds.

    Attributes:
        images: Number of images.
        sizes: Number of images by size, "WIDTHxHEIGHT".
        network_sizes: The same by the size at which the network sees them.
        pixels: Number of pixels.
        void_share: Share of the pixels without a class, 0-1.
        most_void: The name of the image with the largest share of such pixels, and that share.
        without_things: Number of images without an instance.
        classes: Counts of each class, by name.
        warnings: What is likely to spoil a training, a sentence each.
    """

    images: int = 0
    sizes: dict[str, int] = field(default_factory=dict)
    network_sizes: dict[str, int] = field(default_factory=dict)
    pixels: int = 0
    void_share: float = 0.0
    most_void: tuple[str, float] = ("", 0.0)
    without_things: int = 0
    classes: dict[str, ClassReport] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON can hold it."""
        return dataclasses.asdict(self)


def inspect_dataset(
    dataset: LabelledImages, config: Config, *, on_image: Callable[[], None] = lambda: None
) -> DatasetReport:
    """Read all images of a dataset and report what they hold.

    Args:
        dataset: Images with their ground truth.
        config: The configuration to train with; its classes are replaced by those of the dataset.
        on_image: Called after each image.

    Returns:
        The report.

    Raises:
        DatasetError: The dataset is empty, or an image cannot be read or has no ground truth.
    """
    require_dataset(dataset, "training")
    classes = getattr(dataset, "classes", config.classes)
    names = image_names(dataset)
    report = DatasetReport(classes={n: ClassReport(classes.is_thing(i)) for i, n in enumerate(classes.names)})
    sides: dict[str, list[float]] = {name: [] for name in classes.names}
    sizes: Counter[str] = Counter()
    network_sizes: Counter[str] = Counter()
    void = 0
    enlarged = 0
    for index in range(len(dataset)):
        pixels, truth = labelled_image(dataset, index, classes)
        height, width = pixels.shape[:2]
        fitted = fitted_size(height, width, None, config.test)
        sizes[f"{width}x{height}"] += 1
        network_sizes[f"{fitted[1]}x{fitted[0]}"] += 1
        enlarged += fitted[1] > _ENLARGED * width
        _count(truth, fitted[0] * fitted[1] / (height * width), config, report.classes, sides)
        share = float((truth.semantic_map == VOID).mean())
        void += round(share * height * width)
        report.most_void = max(report.most_void, (names[index], share), key=lambda pair: pair[1])
        report.without_things += not truth.instances
        report.pixels += height * width
        report.images += 1
        on_image()
    report.sizes, report.network_sizes = dict(sizes.most_common()), dict(network_sizes.most_common())
    report.void_share = void / report.pixels
    for name, values in sides.items():
        report.classes[name].median_side_px = round(float(np.median(values)), 1) if values else None
    report.warnings = [*_warnings_of_classes(report), *_warnings_of_images(report, enlarged)]
    return report


def _count(
    truth: PanopticAnnotation,
    scale_of_areas: float,
    config: Config,
    classes: dict[str, ClassReport],
    sides: dict[str, list[float]],
) -> None:
    smallest_anchor = (config.model.anchor_scale * STRIDES[0]) ** 2
    crowds = {s.id for s in truth.crowds}
    for s in truth.segments:
        found = classes[s.label]
        found.pixels += s.area_px
        if s.id in crowds:
            found.crowds += 1
            continue
        found.segments += 1
        area = s.area_px * scale_of_areas
        sides[s.label].append(area**0.5)
        if s.is_thing:
            x1, y1, x2, y2 = s.box_xyxy_px
            found.too_small += (x2 - x1) * (y2 - y1) * scale_of_areas < _NEGATIVE_IOU * smallest_anchor
        else:
            found.too_small += area < config.test.min_stuff_area
    for label in {s.label for s in truth.segments}:
        classes[label].images += 1


def _warnings_of_classes(report: DatasetReport) -> list[str]:
    absent = [name for name, found in report.classes.items() if not found.pixels]
    rare = [f"{name} ({c.images})" for name, c in report.classes.items() if 0 < c.images < _FEW_IMAGES]
    small = [
        f"{name} ({100 * c.too_small / c.segments:.0f} %)"
        for name, c in report.classes.items()
        if c.segments and c.too_small > c.segments / 2
    ]
    only_crowds = [name for name, c in report.classes.items() if c.crowds and not c.segments]
    warnings = []
    if absent:
        warnings.append(f"These classes do not occur and cannot be learnt: {', '.join(absent)}.")
    if rare and report.images >= _FEW_IMAGES:
        warnings.append(f"These classes occur in fewer than {_FEW_IMAGES} images: {', '.join(rare)}.")
    if only_crowds:
        warnings.append(f"These things occur in crowd regions only and cannot be learnt: {', '.join(only_crowds)}.")
    if small:
        warnings.append(
            f"More than half of the segments of these classes are too small for the network: {', '.join(small)}. Raise "
            "test.long_side_px and test.short_side_px, lower model.anchor_scale, or lower test.min_stuff_area."
        )
    return warnings


def _warnings_of_images(report: DatasetReport, enlarged: int) -> list[str]:
    warnings = []
    if report.void_share > _MUCH_VOID:
        warnings.append(
            f"{100 * report.void_share:.0f} % of the pixels have no class, up to {100 * report.most_void[1]:.0f} % in "
            f"{report.most_void[0]}. The network learns nothing there and will guess."
        )
    if report.without_things == report.images:
        warnings.append("No image has an instance: boxes and masks cannot be learnt.")
    if enlarged:
        warnings.append(
            f"{enlarged} images are enlarged by more than {_ENLARGED} to fit test.long_side_px and "
            "test.short_side_px; smaller values make training and inference faster."
        )
    return warnings


def picture_of_truth(
    dataset: LabelledImages, config: Config, *, count: int = 12, seed: int = 0, columns: int = 3
) -> NDArray[np.uint8]:
    """Draw the truth of some images as the training sees it: scaled, cropped, flipped, in changed colours.

    Args:
        dataset: Images with their ground truth.
        config: The configuration to train with.
        count: Number of images, evenly spread over the dataset.
        seed: Seed of the random changes.
        columns: Number of images in a row.

    Returns:
        `(H, W, 3)` uint8 RGB.
    """
    classes = getattr(dataset, "classes", config.classes)
    names = image_names(dataset)
    drawn, titles = [], []
    for index in sorted(set(np.linspace(0, len(dataset) - 1, min(count, len(dataset))).astype(int).tolist())):
        pixels, truth = labelled_image(dataset, index, classes)
        pixels, truth = augment(pixels, truth, config, np.random.default_rng((seed, index)))
        drawn.append(overlay(pixels, truth, labels=True))
        titles.append(names[index])
    return contact_sheet(drawn, columns=columns, titles=titles)
