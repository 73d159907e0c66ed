# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PilImage
from support.toy_datasets import write_tiny_coco

from opendr_panoptic_ros.datasets import CocoPanopticDataset
from opendr_panoptic_ros.errors import DatasetError
from opendr_panoptic_ros.evaluation import write_submission
from opendr_panoptic_ros.files import write_png
from opendr_panoptic_ros.formats.panoptic import decode_mask, ids_to_rgb

CATEGORIES = [
    {"id": 200, "name": "rug", "isthing": 0},
    {"id": 1, "name": "person", "isthing": 1},
    {"id": 100, "name": "floor", "isthing": 0},
    {"id": 77, "name": "phone", "isthing": 1},
]


def _write(root: Path, split: str, ids: np.ndarray, segments: list[dict[str, int]], **changes: object) -> None:
    content = {
        "images": [{"id": 5, "file_name": "room.png", "width": ids.shape[1], "height": ids.shape[0]}],
        "annotations": [{"image_id": 5, "file_name": "room.png", "segments_info": segments}],
        "categories": CATEGORIES,
        **changes,
    }
    write_png(root / split / "room.png", np.zeros((*ids.shape, 3), np.uint8))
    write_png(root / "annotations" / f"panoptic_{split}" / "room.png", ids_to_rgb(ids))
    (root / "annotations" / f"panoptic_{split}.json").write_text(json.dumps(content))


IDS = np.array([[9, 9, 70000, 70000], [9, 3, 0, 4], [5, 3, 0, 4]])
SEGMENTS = [
    {"id": 9, "category_id": 100},
    {"id": 5, "category_id": 100},  # a second piece of floor: the same stuff
    {"id": 70000, "category_id": 1, "iscrowd": 0},
    {"id": 3, "category_id": 1, "iscrowd": 0},
    {"id": 4, "category_id": 1, "iscrowd": 1},
]


@pytest.fixture
def raw(tmp_path):
    for split in ("train", "val"):
        _write(tmp_path / "raw", split, IDS, SEGMENTS)
    return tmp_path / "raw"


def test_own_classes(raw, tmp_path):
    """Stuff first, then things, each by id: floor 100, rug 200, person 1, phone 77."""
    CocoPanopticDataset.prepare_data(raw, tmp_path / "out", num_workers=1)
    val = CocoPanopticDataset(tmp_path / "out" / "val")
    assert val.classes.names == ("floor", "rug", "person", "phone")
    assert val.classes.dataset_ids == (100, 200, 1, 77)
    assert val.classes.num_stuff == 2
    assert len(set(val.classes.colors)) == 4

    annotations = json.loads((tmp_path / "out" / "val" / "annotations.json").read_text())["annotations"]
    assert [(a["category_id"], a["iscrowd"]) for a in annotations] == [(2, 1), (2, 0), (2, 0)]
    for annotation, raw_id in zip(annotations, (4, 70000, 3), strict=True):
        np.testing.assert_array_equal(decode_mask(annotation["segmentation"]), raw_id == IDS)
    semantic = np.asarray(PilImage.open(tmp_path / "out" / "val" / "stuffthingmaps" / "room.png"))
    assert semantic.tolist() == [[0, 0, 2, 2], [0, 2, 255, 2], [0, 2, 255, 2]]

    truth = json.loads((tmp_path / "out" / "val" / "panoptic_gt.json").read_text())
    segments = truth["annotations"][0]["segments_info"]
    assert [(s["category_id"], s["area"], s["iscrowd"]) for s in segments] == [
        (1, 2, 1),
        (100, 4, 0),
        (1, 2, 0),
        (1, 2, 0),
    ]


def test_generated_data_against_itself(tmp_path):
    write_tiny_coco(tmp_path / "raw")
    CocoPanopticDataset.prepare_data(tmp_path / "raw", tmp_path / "out", True, num_workers=2)
    for split in ("train", "val"):
        dataset = CocoPanopticDataset(tmp_path / "out" / split)
        assert dataset.classes.colors[0] == (128, 64, 128)
        assert dataset.image_path(0).name == "000000000001.jpg"
        truths = [(image_id, dataset.annotation(i)) for i, image_id in enumerate(dataset.image_ids)]
        write_submission(tmp_path / "results", truths, name=split, overwrite=True)
        result = dataset.evaluate(tmp_path / "results" / split, tmp_path / "results" / f"{split}.json")
        assert result["All"] == {"pq": 1.0, "sq": 1.0, "rq": 1.0, "n": 7}


def test_images_in_a_folder_of_their_own(raw, tmp_path):
    (raw / "images").mkdir()
    (raw / "val").rename(raw / "images" / "val")
    CocoPanopticDataset.prepare_data(raw, tmp_path / "out", num_workers=1)
    assert len(CocoPanopticDataset(tmp_path / "out" / "val")) == 1


@pytest.mark.parametrize(
    ("ids", "segments", "changes", "message"),
    [
        (IDS, SEGMENTS[1:], {}, r"room.png: holds segments that its JSON does not name: \[9\]"),
        (IDS, [*SEGMENTS, {"id": 8, "category_id": 12}], {}, "segment 8 has the unknown category 12"),
        (IDS, SEGMENTS, {"categories": CATEGORIES[:3]}, "the categories of train and val differ"),
        (IDS, SEGMENTS, {"images": []}, "image_id 5 is not among the images"),
        (
            IDS,
            SEGMENTS,
            {"annotations": [{"image_id": [5], "file_name": "room.png", "segments_info": []}]},
            "panoptic_val.json: is not COCO's panoptic JSON: TypeError",
        ),
        (IDS, SEGMENTS, {"annotations": [{}]}, "panoptic_val.json: is not COCO's panoptic JSON: KeyError"),
    ],
)
def test_wrong_data_is_named(tmp_path, ids, segments, changes, message):
    _write(tmp_path / "raw", "train", IDS, SEGMENTS)
    _write(tmp_path / "raw", "val", ids, segments, **changes)
    with pytest.raises(DatasetError, match=message):
        CocoPanopticDataset.prepare_data(tmp_path / "raw", tmp_path / "out", num_workers=1)
    assert len(CocoPanopticDataset(tmp_path / "out" / "train")) == 1


def test_category_ids_that_no_panoptic_id_can_carry(tmp_path):
    for split in ("train", "val"):
        _write(tmp_path, split, IDS, SEGMENTS, categories=[*CATEGORIES, {"id": 1000, "name": "hat", "isthing": 1}])
    with pytest.raises(DatasetError, match="1 to 999"):
        CocoPanopticDataset.prepare_data(tmp_path, tmp_path / "out", num_workers=1)


def test_no_such_folder(tmp_path):
    with pytest.raises(DatasetError, match=r"expected one file panoptic_train\*.json, got none"):
        CocoPanopticDataset.prepare_data(tmp_path, tmp_path / "out", num_workers=1)


@pytest.mark.parametrize("segments", [[{"id": 9}], [{"category_id": 100}], ["x"], [{"id": "nine", "category_id": 100}]])
def test_a_malformed_entry_is_in_the_list(tmp_path, segments):
    for split in ("train", "val"):
        _write(tmp_path / "raw", split, IDS, segments)
    with pytest.raises(DatasetError, match=r"2 problems(.|\n)*room\.png"):
        CocoPanopticDataset.prepare_data(tmp_path / "raw", tmp_path / "out")
