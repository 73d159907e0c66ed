# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""write_cityscapes: names and encoding are those of Cityscapes, the content is that of the scenes."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from opendr_panoptic_ros.errors import DatasetError
from opendr_panoptic_ros.labels import CITYSCAPES
from opendr_panoptic_ros.synthetic.drive import SyntheticDrive
from opendr_panoptic_ros.synthetic.scenes import SyntheticScenes
from opendr_panoptic_ros.synthetic.writer import write_cityscapes

SEEDS = {"train": [1, 2], "val": [900_000_003]}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    path = tmp_path_factory.mktemp("raw")
    write_cityscapes(path, SEEDS, height=96, width=192)
    return path


def read(path):
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert pixels is not None, path
    return pixels


def test_files_are_named_as_in_cityscapes(root):
    names = sorted(str(path.relative_to(root)) for path in root.rglob("*.*"))
    ends = ["color.png", "instanceIds.png", "labelIds.png", "polygons.json"]
    stems = [("train", "synthetictrain_000000_000019"), ("train", "synthetictrain_000001_000019"),
             ("val", "syntheticval_000000_000019")]  # fmt: skip
    fine = [f"gtFine/{split}/{stem[:-14]}/{stem}_gtFine_{end}" for split, stem in stems for end in ends]
    left = [f"leftImg8bit/{split}/{stem[:-14]}/{stem}_leftImg8bit.png" for split, stem in stems]
    assert names == sorted(fine + left)


@pytest.mark.parametrize(("split", "number"), [("train", 0), ("train", 1), ("val", 0)])
def test_pictures_and_ids_read_back(root, split, number):
    image, truth = SyntheticScenes(SEEDS[split], height=96, width=192)[number]
    stem = f"{split}/synthetic{split}/synthetic{split}_{number:06d}_000019"
    np.testing.assert_array_equal(read(root / "leftImg8bit" / f"{stem}_leftImg8bit.png"), image.opencv())
    labels, instances = (read(root / "gtFine" / f"{stem}_gtFine_{kind}Ids.png") for kind in ("label", "instance"))
    assert labels.dtype == np.uint8
    assert instances.dtype == np.uint16
    np.testing.assert_array_equal(np.where(instances < 1000, instances, instances // 1000), labels)
    dataset_ids = np.zeros(256, np.uint8)
    dataset_ids[: len(CITYSCAPES)] = CITYSCAPES.dataset_ids
    np.testing.assert_array_equal(dataset_ids[truth.semantic_map], labels)
    for segment in truth.segments:  # one value for each segment
        values = np.unique(instances[truth.segment_map == segment.id])
        assert values.size == 1
        assert (instances == values[0]).sum() == segment.area_px
        assert (values[0] >= 24000) == segment.is_thing


def test_polygons_paint_the_label_map(root):
    """Paint with cityscapesscripts; a polygon includes its outline, so single pixels may differ."""
    annotation = pytest.importorskip("cityscapesscripts.helpers.annotation")
    painter = pytest.importorskip("cityscapesscripts.preparation.json2labelImg")
    fine = root / "gtFine/train/synthetictrain/synthetictrain_000000_000019_gtFine"
    description = json.loads((fine.parent / f"{fine.name}_polygons.json").read_text())
    assert (description["imgHeight"], description["imgWidth"]) == (96, 192)
    polygons = annotation.Annotation()
    polygons.fromJsonFile(f"{fine}_polygons.json")
    painted = np.array(painter.createLabelImage(polygons, "ids"))
    assert (painted == read(f"{fine}_labelIds.png")).mean() > 0.97


def test_a_folder_with_files_is_refused(root):
    before = sorted(root.rglob("*"))
    with pytest.raises(DatasetError, match="not an empty folder"):
        write_cityscapes(root, {"train": [5]})
    assert sorted(root.rglob("*")) == before


def test_workers_write_the_same_files(root, tmp_path):
    write_cityscapes(tmp_path / "raw", SEEDS, height=96, width=192, num_workers=2)
    for path in (p for p in root.rglob("*") if p.is_file()):
        assert (tmp_path / "raw" / path.relative_to(root)).read_bytes() == path.read_bytes()


def test_frames_of_drives(tmp_path):
    """Frames 0 and 60 of 120 are written to a city of their own."""
    write_cityscapes(tmp_path, {"train": [1]}, drives={"train": [7]}, frames_per_drive=2, height=64, width=128)
    cities = sorted(path.name for path in (tmp_path / "leftImg8bit" / "train").iterdir())
    assert cities == ["syntheticdrivetrain", "synthetictrain"]
    drive = SyntheticDrive(7, height=64, width=128)
    for frame in (0, 60):
        image, truth = drive[frame]
        stem = f"train/syntheticdrivetrain/syntheticdrivetrain_000000_{frame:06d}"
        np.testing.assert_array_equal(read(tmp_path / "leftImg8bit" / f"{stem}_leftImg8bit.png"), image.opencv())
        labels = read(tmp_path / "gtFine" / f"{stem}_gtFine_labelIds.png")
        np.testing.assert_array_equal(np.array([*CITYSCAPES.dataset_ids, 0])[truth.semantic_map.clip(max=19)], labels)
    assert len(list((tmp_path / "leftImg8bit").rglob("*.png"))) == 3
