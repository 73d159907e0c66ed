# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from cityscapesscripts.evaluation.evalPanopticSemanticLabeling import pq_compute_single_core
from PIL import Image as PilImage
from support.toy_datasets import write_tiny_coco

from opendr_panoptic_ros.datasets import CocoPanopticDataset, PanopticAnnotation
from opendr_panoptic_ros.errors import DatasetError
from opendr_panoptic_ros.evaluation import write_submission
from opendr_panoptic_ros.files import write_png
from opendr_panoptic_ros.formats.panoptic import decode_mask, ids_to_rgb
from opendr_panoptic_ros.formats.panoptic_quality import PanopticQualityCounter

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


FAULTS = {
    "isthing is missing": (
        1,
        {"isthing": ...},
        r"category 'person' \(id 1\): isthing is missing; add 1 for a thing or 0",
    ),
    "isthing is a word": (
        1,
        {"isthing": "1"},
        r"'person' \(id 1\): isthing is '1'; expected 1 for a thing or 0 for stuff",
    ),
    "isthing is null": (2, {"isthing": None}, r"'floor' \(id 100\): isthing is None; expected 1"),
    "isthing is a list": (2, {"isthing": []}, r"'floor' \(id 100\): isthing is \[\]; expected 1"),
    "isthing is 2": (2, {"isthing": 2}, r"'floor' \(id 100\): isthing is 2; expected 1"),
    "id 0": (0, {"id": 0}, r"'rug' \(id 0\): id is 0; expected an integer from 1 to 999: 0 is void, and"),
    "id -1": (0, {"id": -1}, r"'rug' \(id -1\): id is -1; expected"),
    "id 1000": (0, {"id": 1000}, r"'rug' \(id 1000\): id is 1000; expected"),
    "id is a word": (0, {"id": "3"}, r"'rug' \(id '3'\): id is '3'; expected"),
    "id is a fraction": (0, {"id": 3.5}, r"'rug' \(id 3.5\): id is 3.5; expected"),
    "no id": (0, {"id": ...}, r"'rug' \(id None\): id is None; expected"),
    "no name": (3, {"name": ...}, r"category None \(id 77\): name is None; expected a word"),
    "name is a number": (3, {"name": 5}, r"category 5 \(id 77\): name is 5; expected a word"),
    "two of one id": (3, {"id": 1}, r"'phone' \(id 1\): its id or name is that of another category"),
    "two of one name": (3, {"name": "person"}, r"'person' \(id 77\): its id or name is that of another category"),
}


@pytest.mark.parametrize(("place", "change", "message"), FAULTS.values(), ids=FAULTS)
def test_an_unusable_category_is_named_with_its_id(tmp_path, place, change, message):
    categories = [dict(category) for category in CATEGORIES]
    for key, value in change.items():
        if value is ...:
            del categories[place][key]
        else:
            categories[place][key] = value
    for split in ("train", "val"):
        _write(tmp_path / "raw", split, IDS, SEGMENTS, categories=categories)
    with pytest.raises(DatasetError, match=message):
        CocoPanopticDataset.prepare_data(tmp_path / "raw", tmp_path / "out", num_workers=1)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("categories", [{}, [], [5], "person", None, [CATEGORIES]])
def test_categories_that_are_none(tmp_path, categories):
    for split in ("train", "val"):
        _write(tmp_path / "raw", split, IDS, SEGMENTS, categories=categories)
    with pytest.raises(DatasetError, match=r"panoptic_train\.json"):
        CocoPanopticDataset.prepare_data(tmp_path / "raw", tmp_path / "out", num_workers=1)


@pytest.mark.parametrize("isthing", [0, 1])
def test_only_things_or_only_stuff_is_refused_at_once(tmp_path, isthing):
    """The network has both heads. Before, training failed with the sizes of its layers."""
    categories = [{**category, "isthing": isthing} for category in CATEGORIES]
    for split in ("train", "val"):
        _write(tmp_path / "raw", split, IDS, SEGMENTS, categories=categories)
    kind = ("stuff", "thing")[isthing]
    with pytest.raises(DatasetError, match=rf"every category is {kind}: 'rug' \(id 200\), 'person' \(id 1\), 'floor'"):
        CocoPanopticDataset.prepare_data(tmp_path / "raw", tmp_path / "out", num_workers=1)


@pytest.mark.parametrize("isthing", [(False, True), (0.0, 1.0)])
def test_isthing_as_a_truth_value(tmp_path, isthing):
    categories = [{**category, "isthing": isthing[category["isthing"] == 1]} for category in CATEGORIES]
    for split in ("train", "val"):
        _write(tmp_path / "raw", split, IDS, SEGMENTS, categories=categories)
    CocoPanopticDataset.prepare_data(tmp_path / "raw", tmp_path / "out", num_workers=1)
    assert CocoPanopticDataset(tmp_path / "out" / "val").classes.num_stuff == 2


@pytest.mark.parametrize("key", ["color", "supercategory"])
def test_colours_and_supercategories_may_differ_between_splits(tmp_path, key):
    for split, value in (("train", [1, 2, 3]), ("val", [4, 5, 6])):
        categories = [{**category, key: value if key == "color" else split} for category in CATEGORIES]
        _write(tmp_path / "raw", split, IDS, SEGMENTS, categories=categories[:: 1 if split == "train" else -1])
    CocoPanopticDataset.prepare_data(tmp_path / "raw", tmp_path / "out", num_workers=1)
    train, val = (CocoPanopticDataset(tmp_path / "out" / split) for split in ("train", "val"))
    assert train.classes == val.classes
    if key == "color":
        assert set(val.classes.colors) == {(1, 2, 3)}


def test_categories_that_differ_between_splits_are_named(tmp_path):
    _write(tmp_path / "raw", "train", IDS, SEGMENTS)
    renamed = [{**category, "name": "cell"} if category["id"] == 77 else category for category in CATEGORIES]
    _write(tmp_path / "raw", "val", IDS, SEGMENTS, categories=renamed)
    with pytest.raises(DatasetError, match=r"differ: 'cell' \(id 77, isthing 1\), 'phone' \(id 77, isthing 1\); give"):
        CocoPanopticDataset.prepare_data(tmp_path / "raw", tmp_path / "out", num_workers=1)


def test_integer_image_ids_stay_integers(tmp_path):
    """COCO's result files name images by integers, and so does our ground truth: they score, and ours match COCO's."""
    write_tiny_coco(tmp_path / "raw")
    CocoPanopticDataset.prepare_data(tmp_path / "raw", tmp_path / "out", num_workers=1)
    val = CocoPanopticDataset(tmp_path / "out" / "val")
    assert val.truth_ids == [1, 2, 3, 4]
    assert val.image_ids[0] == "000000000001"

    raw = tmp_path / "raw" / "annotations" / "panoptic_val2017"
    content = json.loads(raw.with_suffix(".json").read_text())
    (tmp_path / "result.json").write_text(json.dumps({"annotations": content["annotations"]}))
    # The regions of a stuff class are one segment here and several there, so stuff scores less than 1.
    assert val.evaluate(raw, tmp_path / "result.json")["Things"]["pq"] == 1.0

    truths = [(image_id, val.annotation(i)) for i, image_id in enumerate(val.truth_ids)]
    submission = json.loads(write_submission(tmp_path / "ours", truths, name="val").read_text())
    assert [entry["image_id"] for entry in submission["annotations"]] == [a["image_id"] for a in content["annotations"]]
    assert val.evaluate(tmp_path / "ours" / "val", tmp_path / "ours" / "val.json")["All"]["pq"] == 1.0


def test_image_ids_of_other_kinds(tmp_path):
    for split in ("train", "val"):
        changes = {
            "images": [{"id": "a", "file_name": "room.png", "width": 4, "height": 3}],
            "annotations": [{"image_id": "a", "file_name": "room.png", "segments_info": SEGMENTS}],
        }
        _write(tmp_path / "raw", split, IDS, SEGMENTS, **changes)
    CocoPanopticDataset.prepare_data(tmp_path / "raw", tmp_path / "out", num_workers=1)
    assert CocoPanopticDataset(tmp_path / "out" / "val").truth_ids == ["a"]


@pytest.mark.parametrize("name", ["../../secret.png", "/etc/secret.png", "sub/../../secret.png", "..", "a\0b.png"])
@pytest.mark.parametrize("place", ["images", "annotations"])
def test_a_file_name_that_leaves_its_folder_is_refused(raw, tmp_path, name, place):
    write_png(tmp_path / "secret.png", np.full((*IDS.shape, 3), 77, np.uint8))
    file = raw / "annotations" / "panoptic_val.json"
    content = json.loads(file.read_text())
    content[place][0]["file_name"] = name
    file.write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=r"panoptic_val.json: file_name .* leads out of the folder of the images"):
        CocoPanopticDataset.prepare_data(raw, tmp_path / "out", num_workers=1)
    assert not (tmp_path / "out" / "val").exists()
    assert (tmp_path / "out" / "train" / "annotations.json").exists()


def test_images_in_subfolders(raw, tmp_path):
    (raw / "val" / "sub").mkdir()
    (raw / "val" / "room.png").rename(raw / "val" / "sub" / "room.png")
    file = raw / "annotations" / "panoptic_val.json"
    content = json.loads(file.read_text())
    content["images"][0]["file_name"] = "sub/room.png"
    file.write_text(json.dumps(content))
    CocoPanopticDataset.prepare_data(raw, tmp_path / "out", num_workers=1)
    assert CocoPanopticDataset(tmp_path / "out" / "val").image_ids == ["room"]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["val/room.png", "annotations/panoptic_val/room.png", "annotations/panoptic_val.json"])
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_pipe_or_a_device_among_the_files_is_named(raw, tmp_path, name, kind):
    (raw / name).unlink()
    if kind == "pipe":
        os.mkfifo(raw / name)
    else:
        (raw / name).symlink_to("/dev/zero")
    with pytest.raises(DatasetError, match=f"{name}: cannot be read.*Not a regular file"):
        CocoPanopticDataset.prepare_data(raw, tmp_path / "out", num_workers=1)


@pytest.mark.parametrize("split", ["train", "val"])
def test_one_split_alone(tmp_path, split):
    _write(tmp_path / "raw", split, IDS, SEGMENTS)
    with pytest.raises(DatasetError, match=rf"If there is only a {split} split, pass splits=\['{split}'\]"):
        CocoPanopticDataset.prepare_data(tmp_path / "raw", tmp_path / "both", num_workers=1)
    CocoPanopticDataset.prepare_data(tmp_path / "raw", tmp_path / "out", num_workers=1, splits=[split])
    assert [path.name for path in (tmp_path / "out").iterdir()] == [split]
    assert len(CocoPanopticDataset(tmp_path / "out" / split)) == 1


@pytest.mark.parametrize("splits", [[], ["test"], ["train", "test"]])
def test_other_splits_are_refused(tmp_path, splits):
    with pytest.raises(DatasetError, match="expected train or val, or both"):
        CocoPanopticDataset.prepare_data(tmp_path, tmp_path / "out", splits=splits)


def test_two_crowds_of_one_class_score_as_in_panopticapi(tmp_path):
    """The script excuses detections in the last crowd region of each class, by the order of the JSON, and in no other.

    The expected values are those of the script on COCO's own files.
    """
    ids = np.zeros((12, 24), np.int32)
    ids[:4] = 9
    ids[4:8, :8], ids[4:8, 8:16], ids[4:8, 16:] = 50, 40, 30  # two crowds of persons, an instance
    ids[8:, :12] = 20
    segments = [
        {"id": 9, "category_id": 100, "iscrowd": 0},
        {"id": 50, "category_id": 1, "iscrowd": 1},
        {"id": 40, "category_id": 1, "iscrowd": 1},
        {"id": 30, "category_id": 1, "iscrowd": 0},
        {"id": 20, "category_id": 77, "iscrowd": 0},
    ]
    for split in ("train", "val"):
        _write(tmp_path / "raw", split, ids, segments)
    CocoPanopticDataset.prepare_data(tmp_path / "raw", tmp_path / "out", num_workers=1)
    val = CocoPanopticDataset(tmp_path / "out" / "val")
    annotation = val.annotation(0)
    assert len(annotation.crowds) == 2
    assert sorted(set(annotation.panoptic_ids.ravel().tolist())) == [0, 1, 100, 1002, 77001, 1_000_001]

    predicted = PanopticAnnotation.from_map(
        np.select([ids == 9, ids == 50, ids == 40, ids == 30, ids == 20], [1, 2, 3, 4, 5]).astype(np.int32),
        {1: 0, 2: 2, 3: 2, 4: 2, 5: 3},
        val.classes,
    )
    write_submission(tmp_path / "results", [(5, predicted)], name="val")
    gt = json.loads((tmp_path / "raw" / "annotations" / "panoptic_val.json").read_text())["annotations"][0]
    for segment in gt["segments_info"]:
        segment["area"] = int((ids == segment["id"]).sum())
    entry = json.loads((tmp_path / "results" / "val.json").read_text())["annotations"][0]
    by_id = {c["id"]: c for c in CATEGORIES}
    folders = str(tmp_path / "raw" / "annotations" / "panoptic_val"), str(tmp_path / "results" / "val")
    official = pq_compute_single_core(0, [(gt, entry)], *folders, by_id)
    assert (official[1].tp, official[1].fp, official[1].fn) == (1, 1, 0)

    counter = PanopticQualityCounter(val.classes)
    counter.add(annotation, predicted)
    person = counter.result().per_class["person"]
    assert (person.tp, person.fp, person.fn) == (official[1].tp, official[1].fp, official[1].fn)
    from_files = val.evaluate(tmp_path / "results" / "val", tmp_path / "results" / "val.json")
    assert from_files["per_class"]["person"]["rq"] == person.rq


def test_many_crowds_of_one_class(tmp_path):
    """Ids have 24 bits: from the sixteenth on, the crowd regions of a class in an image are one."""
    ids = np.arange(40, dtype=np.int32)[None].repeat(2, axis=0)
    segments = [{"id": i, "category_id": 1, "iscrowd": 1} for i in range(1, 39)]
    segments.append({"id": 39, "category_id": 100, "iscrowd": 0})
    for split in ("train", "val"):
        _write(tmp_path / "raw", split, ids, segments)
    CocoPanopticDataset.prepare_data(tmp_path / "raw", tmp_path / "out", num_workers=1)
    annotation = CocoPanopticDataset(tmp_path / "out" / "val").annotation(0)
    assert [crowd.area_px for crowd in annotation.crowds] == [2] * 15 + [2 * 23]
    assert annotation.panoptic_ids.max() == 15_000_001
