# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

from __future__ import annotations

import json
import os
import pickle
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PilImage
from support.toy_datasets import write_tiny_cityscapes

import opendr_panoptic_ros
from opendr_panoptic_ros.data import Image
from opendr_panoptic_ros.datasets import CityscapesDataset, PanopticAnnotation
from opendr_panoptic_ros.errors import DatasetError
from opendr_panoptic_ros.evaluation import write_submission
from opendr_panoptic_ros.files import write_png
from opendr_panoptic_ros.labels import CITYSCAPES


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cityscapes")
    write_tiny_cityscapes(folder / "raw", num_train=12, num_val=4)
    CityscapesDataset.prepare_data(folder / "raw", folder / "out", True, num_workers=2)
    return folder


def test_items(root):
    dataset = CityscapesDataset(path=f"{root}/out/val")
    assert len(dataset) == 4
    assert dataset.classes == CITYSCAPES
    assert dataset.image_ids == [f"lindau_{i:06d}_000019" for i in range(4)]
    image, annotation = dataset[1]
    raw = PilImage.open(root / "raw/leftImg8bit/val/lindau/lindau_000001_000019_leftImg8bit.png")
    assert isinstance(image, Image)
    np.testing.assert_array_equal(image.convert("channels_last", "rgb"), np.asarray(raw))
    assert isinstance(annotation, PanopticAnnotation)
    assert len(list(dataset)) == 4


def test_annotation_is_the_raw_truth(root):
    """The same partition as the raw ids: one segment for each id, and the dataset's ids but for the number."""
    dataset = CityscapesDataset(root / "out" / "train")
    crowds = 0
    for i, name in enumerate(dataset.image_ids):
        path = root / "raw/gtFine/train" / name.split("_")[0] / f"{name}_gtFine_instanceIds.png"
        raw = np.asarray(PilImage.open(path)).astype(int)
        class_ids = np.where(raw >= 1000, raw // 1000, raw)
        known = np.isin(class_ids, CITYSCAPES.dataset_ids)
        annotation = dataset.annotation(i)
        np.testing.assert_array_equal(annotation.segment_map > 0, known)
        pairs = np.unique(np.stack([annotation.segment_map[known], raw[known]]), axis=1)
        assert len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1] == len(annotation.segments)
        by_id = dict(pairs.T.tolist())
        for segment in annotation.segments:
            raw_id = by_id[segment.id]
            assert CITYSCAPES.dataset_ids[segment.class_id] == (raw_id // 1000 if raw_id >= 1000 else raw_id)
            assert (segment.id in annotation.crowd_ids) == (segment.is_thing and raw_id < 1000)
        crowds += len(annotation.crowds)
    assert crowds == 12


@pytest.mark.parametrize("split", ["train", "val"])
def test_ground_truth_against_itself(root, split, tmp_path):
    """PQ is 100 for every class that occurs; in the train split all 19 do. The truth as we write it, and as it is."""
    dataset = CityscapesDataset(root / "out" / split)
    truths = [(image_id, dataset.annotation(i)) for i, image_id in enumerate(dataset.image_ids)]
    path = write_submission(tmp_path, truths)
    for predictions, json_path in (
        (tmp_path / "cityscapes_panoptic_val", path),
        (dataset.path / "panoptic_gt", dataset.path / "panoptic_gt.json"),
    ):
        result = dataset.evaluate(predictions, json_path)
        present = {s.label for _, t in truths for s in t.segments if s not in t.crowds}
        assert split == "val" or present == set(CITYSCAPES.names)
        for name in CITYSCAPES.names:
            assert result["per_class"][name]["pq"] == (1.0 if name in present else 0.0)
        assert result["All"] == {"pq": 1.0, "sq": 1.0, "rq": 1.0, "n": len(present)}


def test_training_finds_train(root):
    assert CityscapesDataset(root / "out" / "training").path == root / "out" / "train"
    assert CityscapesDataset(root / "out" / "validation").path == root / "out" / "val"


def test_images_alone(root, tmp_path):
    shutil.copytree(root / "out" / "val" / "images", tmp_path / "test" / "images")
    dataset = CityscapesDataset(tmp_path / "test")
    image, annotation = dataset[0]
    assert len(dataset) == 4
    assert image.data.shape == (3, 64, 128)
    assert annotation is None
    with pytest.raises(DatasetError, match="only images"):
        dataset.annotation(0)


def test_goes_to_other_processes(root):
    dataset = pickle.loads(pickle.dumps(CityscapesDataset(root / "out" / "val")))
    assert len(dataset[0][1].segments) > 3


def test_wrong_folders(root, tmp_path):
    with pytest.raises(DatasetError, match=f"did you mean {root}/out/train"):
        CityscapesDataset(root / "out")
    with pytest.raises(DatasetError, match="make it with prepare_data"):
        CityscapesDataset(tmp_path / "nothing")


def test_broken_files(root, tmp_path):
    shutil.copytree(root / "out" / "val", tmp_path / "val")
    write_png(tmp_path / "val" / "stuffthingmaps" / "lindau_000000_000019.png", np.zeros((5, 5), np.uint8))
    with pytest.raises(DatasetError, match="is not a grey image of 128x64 pixels"):
        CityscapesDataset(tmp_path / "val").annotation(0)
    (tmp_path / "val" / "annotations.json").write_text("{")
    with pytest.raises(DatasetError, match="is not JSON"):
        CityscapesDataset(tmp_path / "val")
    (tmp_path / "val" / "annotations.json").write_text("{}")
    with pytest.raises(DatasetError, match="lacks images, annotations or categories"):
        CityscapesDataset(tmp_path / "val")


def _changed(content: object, rng: random.Random) -> object:
    """The content with one value anywhere replaced, removed or repeated."""
    values: list[object] = [None, -1, 0, 1, 10**30, 0.5, True, "", "../x.png", "/etc/passwd", "\0", [], {}, [[]]]
    copy = json.loads(json.dumps(content))
    place = copy
    while True:
        key = rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
        if isinstance(place[key], dict | list) and place[key] and rng.random() < 0.9:
            place = place[key]
            continue
        kind = rng.randrange(4)
        if kind == 0:
            del place[key]
        elif kind == 1 and isinstance(place, list):
            place.append(place[key])
        else:
            place[key] = rng.choice(values)
        return copy


@pytest.mark.parametrize("name", ["annotations.json", "panoptic_gt.json"])
def test_damaged_json_is_a_dataset_error_wherever_it_is(root, tmp_path, name):
    """Changed values and changed bytes: what cannot be used is named, and nothing outside of the folder is read."""
    folder, rng = tmp_path / "val", random.Random(7)
    shutil.copytree(root / "out" / "val", folder)
    whole = (folder / name).read_bytes()
    refused = 0
    for number in range(600):
        if number % 2:
            data = json.dumps(_changed(json.loads(whole), rng)).encode()
        else:
            changed = bytearray(whole)
            for _ in range(rng.choice((1, 1, 5))):
                changed[rng.randrange(len(whole))] = rng.randrange(256)
            data = bytes(changed[: rng.randrange(len(whole))] if number % 10 == 0 else changed)
        (folder / name).write_bytes(data)
        try:
            dataset = CityscapesDataset(folder)
            for i in range(len(dataset)):
                assert (folder / "images").resolve() == dataset.image_path(i).parent.resolve()
                if name == "annotations.json":
                    dataset.annotation(i)
            if name == "panoptic_gt.json" and number % 4 < 2:
                dataset.evaluate(root / "out" / "val" / "panoptic_gt", root / "out" / "val" / "panoptic_gt.json")
        except DatasetError:
            refused += 1
    assert refused > 100


@pytest.mark.timeout(60)
def test_a_pipe_in_a_prepared_folder_is_refused(root, tmp_path):
    for name in ("annotations.json", "images/lindau_000000_000019.png", "stuffthingmaps/lindau_000000_000019.png"):
        folder = tmp_path / name.replace("/", "_")
        shutil.copytree(root / "out" / "val", folder)
        (folder / name).unlink()
        os.mkfifo(folder / name)
        with pytest.raises(DatasetError, match=Path(name).name):
            CityscapesDataset(folder).sample(0)


def test_importing_the_package_loads_none_of_its_libraries():
    """A robot that shows the synthetic scenes has neither cityscapesscripts nor pycocotools."""
    code = (
        "import sys, opendr_panoptic_ros.datasets as d; "
        "assert not {'cityscapesscripts', 'pycocotools', 'tqdm'} & sys.modules.keys(); "
        "assert d.CityscapesDataset.__name__ in d.__all__; assert 'cityscapesscripts' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(opendr_panoptic_ros.__file__).parents[1])
