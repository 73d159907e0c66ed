# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""prepare_data on Cityscapes: what it writes, and what it does when something is wrong. Formats: the other tests."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PilImage
from pycocotools import mask as coco_mask
from support.toy_datasets import write_tiny_cityscapes

import opendr_panoptic_ros
from opendr_panoptic_ros.datasets import CityscapesDataset
from opendr_panoptic_ros.errors import DatasetError
from opendr_panoptic_ros.files import write_png
from opendr_panoptic_ros.labels import CITYSCAPES

THINGS = CITYSCAPES.dataset_ids[11:]


def _files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def _raw_ids(raw: Path, split: str, name: str) -> np.ndarray:
    city = name.partition("_")[0]
    return np.asarray(PilImage.open(raw / "gtFine" / split / city / f"{name}_gtFine_instanceIds.png")).astype(int)


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("raw")
    write_tiny_cityscapes(root, num_train=6, num_val=3)
    return root


@pytest.fixture(scope="module")
def prepared(raw, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("prepared")
    CityscapesDataset.prepare_data(raw, root, True, 2)
    return root


def test_layout(prepared):
    for split, count in (("train", 6), ("val", 3)):
        names = sorted(path.name for path in (prepared / split).iterdir())
        assert names == ["annotations.json", "images", "panoptic_gt", "panoptic_gt.json", "stuffthingmaps"]
        for folder in ("images", "panoptic_gt", "stuffthingmaps"):
            assert len(list((prepared / split / folder).iterdir())) == count
    assert (prepared / "val" / "images" / "lindau_000001_000019.png").exists()  # as in OpenDR's example


def test_splits_do_not_mix(raw, prepared):
    """Every file name and every annotation comes from the split's own raw folder, and none is left out."""
    for split in ("train", "val"):
        expected = sorted(p.name.replace("_leftImg8bit", "") for p in (raw / "leftImg8bit" / split).rglob("*.png"))
        annotations = json.loads((prepared / split / "annotations.json").read_text())
        truth = json.loads((prepared / split / "panoptic_gt.json").read_text())
        assert [image["file_name"] for image in annotations["images"]] == expected
        assert [f"{a['image_id']}.png" for a in truth["annotations"]] == expected
        assert sorted(p.name for p in (prepared / split / "stuffthingmaps").iterdir()) == expected
        ids_by_image = [_raw_ids(raw, split, name.removesuffix(".png")) for name in expected]
        things = [sum(_class_of(i) in THINGS for i in np.unique(ids)) for ids in ids_by_image]
        assert np.bincount([a["image_id"] for a in annotations["annotations"]]).tolist() == [0, *things]
        assert [a["id"] for a in annotations["annotations"]] == list(range(1, sum(things) + 1))


def test_every_instance_has_the_mask_of_its_raw_id(raw, prepared):
    """Masks, boxes, areas, classes and crowds against what the raw 16-bit image says, pixel by pixel."""
    crowds = pieces = cut_by_the_border = 0
    for split in ("train", "val"):
        content = json.loads((prepared / split / "annotations.json").read_text())
        for image in content["images"]:
            ids = _raw_ids(raw, split, image["file_name"].removesuffix(".png"))
            assert (image["height"], image["width"]) == ids.shape
            expected = [i for i in np.unique(ids) if _class_of(i) in THINGS]
            assert max(expected) > 255  # 16 bits are needed
            found = [a for a in content["annotations"] if a["image_id"] == image["id"]]
            for raw_id, annotation in zip(expected, found, strict=True):
                mask = ids == raw_id
                np.testing.assert_array_equal(coco_mask.decode(annotation["segmentation"]), mask)
                rows, columns = np.nonzero(mask)
                x, y = columns.min(), rows.min()
                assert annotation["bbox"] == [x, y, columns.max() - x + 1, rows.max() - y + 1]
                assert annotation["area"] == mask.sum()
                assert CITYSCAPES.dataset_ids[annotation["category_id"]] == _class_of(raw_id)
                assert annotation["iscrowd"] == (raw_id < 1000)
                crowds += raw_id < 1000
                pieces += not mask[:, columns.min() : columns.max() + 1].any(axis=0).all()
                cut_by_the_border += x == 0
    assert min(crowds, pieces, cut_by_the_border) > 0  # the generated data has them all


def test_stuffthingmaps_hold_train_ids(raw, prepared):
    table = dict(zip(CITYSCAPES.dataset_ids, range(19), strict=True))
    for path in (prepared / "val" / "stuffthingmaps").iterdir():
        expected = [[table.get(_class_of(i), 255) for i in row] for row in _raw_ids(raw, "val", path.stem)]
        np.testing.assert_array_equal(np.asarray(PilImage.open(path)), expected)


def test_ground_truth_equals_the_command_of_cityscapesscripts(raw, prepared, tmp_path):
    command = [sys.executable, "-m", "cityscapesscripts.preparation.createPanopticImgs", "--set-names", "val"]
    command += ["--dataset-folder", str(raw / "gtFine"), "--output-folder", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    theirs = json.loads((tmp_path / "cityscapes_panoptic_val.json").read_text())
    ours = json.loads((prepared / "val" / "panoptic_gt.json").read_text())
    for their_image, our_image in zip(theirs["annotations"], ours["annotations"], strict=True):
        assert their_image["image_id"].removesuffix("_gtFine_instanceIds.png") == our_image["image_id"]
        assert their_image["segments_info"] == our_image["segments_info"]
        their_pixels = PilImage.open(tmp_path / "cityscapes_panoptic_val" / their_image["file_name"])
        our_pixels = PilImage.open(prepared / "val" / "panoptic_gt" / our_image["file_name"])
        np.testing.assert_array_equal(np.asarray(their_pixels), np.asarray(our_pixels))
    their_categories = [{key: c[key] for key in ("id", "name", "color", "isthing")} for c in theirs["categories"]]
    assert their_categories == ours["categories"]


def test_train_ground_truth_only_on_request(raw, tmp_path):
    CityscapesDataset.prepare_data(raw, tmp_path / "out", num_workers=1)
    assert not (tmp_path / "out" / "train" / "panoptic_gt.json").exists()
    assert not (tmp_path / "out" / "train" / "panoptic_gt").exists()
    with pytest.raises(DatasetError, match="generate_train_evaluation=True"):
        CityscapesDataset(tmp_path / "out" / "train").evaluate(tmp_path, tmp_path)


def test_train_ground_truth_can_be_added_later(raw, prepared, tmp_path):
    CityscapesDataset.prepare_data(raw, tmp_path / "out", num_workers=1)
    CityscapesDataset.prepare_data(raw, tmp_path / "out", True, num_workers=1, resume=True)
    assert _files(tmp_path / "out") == _files(prepared)


def test_home_folder_links_and_the_default_number_of_workers(raw, prepared, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    shutil.copytree(raw, tmp_path / "data" / "cityscapes_raw")
    CityscapesDataset.prepare_data("~/data/cityscapes_raw", "~/data/cityscapes", link_images=True)
    image = tmp_path / "data" / "cityscapes" / "val" / "images" / "lindau_000001_000019.png"
    assert image.is_symlink()
    assert image.read_bytes() == (prepared / "val" / "images" / image.name).read_bytes()
    assert not (prepared / "val" / "images" / image.name).is_symlink()
    assert len(CityscapesDataset("~/data/cityscapes/training")) == 6


def test_refuses_an_output_that_is_not_empty(raw, tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(DatasetError, match=r"exists and is not empty\. Pass resume=True"):
        CityscapesDataset.prepare_data(raw, tmp_path)
    assert _files(tmp_path) == {"mine.txt": b"precious"}


def test_refuses_a_dangling_link_before_the_work(raw, tmp_path):
    (tmp_path / "out").symlink_to(tmp_path / "missing")
    with pytest.raises(DatasetError, match=f"out is a link to {tmp_path}/missing, which is missing"):
        CityscapesDataset.prepare_data(raw, tmp_path / "out", num_workers=1)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_damaged_record_is_made_again(raw, prepared, tmp_path):
    shutil.copytree(prepared, tmp_path / "out")
    for name in ("annotations.json", "panoptic_gt.json"):
        (tmp_path / "out" / "val" / name).unlink()
    for record in (b"", b"{", b"[]", b"{}", b"[" * 100_000):
        name = next(path.stem for path in (prepared / "val" / "images").iterdir())
        (tmp_path / "out" / "val" / ".unfinished").mkdir()
        (tmp_path / "out" / "val" / ".unfinished" / f"{name}.json").write_bytes(record)
        CityscapesDataset.prepare_data(raw, tmp_path / "out", True, 1, resume=True)
        assert _files(tmp_path / "out") == _files(prepared)
        (tmp_path / "out" / "val" / "annotations.json").unlink()


def test_refuses_no_workers(raw, tmp_path):
    with pytest.raises(ValueError, match="num_workers is 0"):
        CityscapesDataset.prepare_data(raw, tmp_path / "out", num_workers=0)


def test_all_problems_in_one_list(raw, prepared, tmp_path):
    """A truncated image, labels of another size, an unknown id, missing labels, a missing image: all are named."""
    broken = tmp_path / "raw"
    shutil.copytree(raw, broken)
    left, fine = broken / "leftImg8bit" / "train", broken / "gtFine" / "train"
    image = left / "aachen" / "aachen_000000_000019_leftImg8bit.png"
    image.write_bytes(image.read_bytes()[:-3000])
    small = fine / "aachen" / "aachen_000001_000019_gtFine_instanceIds.png"
    write_png(small, np.full((32, 64), 7, np.uint16))
    unknown = fine / "aachen" / "aachen_000002_000019_gtFine_instanceIds.png"
    write_png(unknown, np.full((64, 128), 77, np.uint16))
    (fine / "bochum" / "bochum_000000_000019_gtFine_instanceIds.png").unlink()
    (left / "bochum" / "bochum_000001_000019_leftImg8bit.png").unlink()

    with pytest.raises(DatasetError) as caught:
        CityscapesDataset.prepare_data(broken, tmp_path / "out", True, num_workers=2)
    lines = str(caught.value).splitlines()
    assert lines[0] == "Cityscapes could not be prepared completely, 5 problems:"
    for path, words in (
        (image, "cannot be read"),
        (left / "aachen" / "aachen_000001_000019_leftImg8bit.png", f"is 128x64 pixels, its labels {small} are 64x32"),
        (unknown, "not in Cityscapes' scheme: 77"),
        (left / "bochum" / "bochum_000000_000019_leftImg8bit.png", "has no labels"),
        (fine / "bochum" / "bochum_000001_000019_gtFine_instanceIds.png", "has no image"),
    ):
        assert sum(line.strip().startswith(str(path)) and words in line for line in lines) == 1
    assert len(CityscapesDataset(tmp_path / "out" / "val")) == 3  # val had no problem: it is finished
    with pytest.raises(DatasetError, match="was not finished"):
        CityscapesDataset(tmp_path / "out" / "train")

    shutil.rmtree(broken)
    shutil.copytree(raw, broken)
    CityscapesDataset.prepare_data(broken, tmp_path / "out", True, num_workers=2, resume=True)
    assert _files(tmp_path / "out") == _files(prepared)


def test_a_split_that_lacks_an_image_is_not_finished(raw, prepared, tmp_path):
    shutil.copytree(raw, tmp_path / "raw")
    labels = tmp_path / "raw/gtFine/val/lindau/lindau_000001_000019_gtFine_instanceIds.png"
    content = labels.read_bytes()
    labels.unlink()
    with pytest.raises(DatasetError, match=r"1 problem:\n .*lindau_000001_000019_leftImg8bit.png: has no labels"):
        CityscapesDataset.prepare_data(tmp_path / "raw", tmp_path / "out", True, num_workers=1)
    with pytest.raises(DatasetError, match="was not finished"):
        CityscapesDataset(tmp_path / "out" / "val")
    labels.write_bytes(content)
    CityscapesDataset.prepare_data(tmp_path / "raw", tmp_path / "out", True, num_workers=1, resume=True)
    assert _files(tmp_path / "out") == _files(prepared)


def test_missing_folders_are_named_and_the_rest_is_done(raw, tmp_path):
    shutil.copytree(raw / "leftImg8bit", tmp_path / "raw" / "leftImg8bit")
    shutil.copytree(raw / "gtFine" / "val", tmp_path / "raw" / "gtFine" / "val")
    with pytest.raises(DatasetError) as caught:
        CityscapesDataset.prepare_data(tmp_path / "raw", tmp_path / "out", num_workers=1)
    assert f"{tmp_path}/raw/gtFine/train: there is no such folder" in str(caught.value)
    assert "1 problem:" in str(caught.value)  # not one more for each image
    assert len(CityscapesDataset(tmp_path / "out" / "val")) == 3
    with pytest.raises(DatasetError, match="4 problems"):
        CityscapesDataset.prepare_data(tmp_path / "nothing", tmp_path / "out2")


def test_killed_and_resumed_is_as_if_nothing_had_happened(tmp_path):
    """SIGKILL after some images. The resumed run leaves those alone; all files are equal to an undisturbed run's."""
    raw = tmp_path / "raw"
    write_tiny_cityscapes(raw, num_train=16, num_val=16, height=256, width=512)
    CityscapesDataset.prepare_data(raw, tmp_path / "undisturbed", num_workers=1)

    script = (
        "import sys; from opendr_panoptic_ros.datasets import CityscapesDataset; "
        "CityscapesDataset.prepare_data(sys.argv[1], sys.argv[2], num_workers=1)"
    )
    output = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(raw), str(output)],
        env={**os.environ, "PYTHONPATH": str(Path(opendr_panoptic_ros.__file__).parents[1])},
        stderr=subprocess.PIPE,
    )
    while len(list(output.glob("train/.unfinished/*.json"))) < 5 and process.poll() is None:
        time.sleep(0.002)
    process.kill()
    _, progress = process.communicate()
    assert process.returncode == -signal.SIGKILL, progress
    assert b"Preparing Cityscapes" in progress
    done = [path.stem for path in output.glob("train/.unfinished/*.json") if not path.name.startswith(".")]
    assert 5 <= len(done) < 16
    with pytest.raises(DatasetError, match="was not finished"):
        CityscapesDataset(output / "train")

    # What a kill in the middle of a write leaves, where the moment did not happen to leave it.
    (output / "train" / "stuffthingmaps" / ".bochum_000007_000019.png.partial").write_bytes(b"half")
    (output / "train" / ".unfinished" / ".bochum_000007_000019.json.partial").write_bytes(b"{")
    finished = {p: p.stat().st_mtime_ns for stem in done for p in output.glob(f"train/*/{stem}.png")}
    assert len(finished) == 2 * len(done)
    with pytest.raises(DatasetError, match="resume=True"):
        CityscapesDataset.prepare_data(raw, output)
    CityscapesDataset.prepare_data(raw, output, num_workers=2, resume=True)
    assert finished == {path: path.stat().st_mtime_ns for path in finished}
    assert _files(output) == _files(tmp_path / "undisturbed")


def _class_of(raw_id: int) -> int:
    return int(raw_id) // 1000 if raw_id >= 1000 else int(raw_id)


def test_another_dataset_is_not_taken_for_done(prepared, tmp_path):
    shutil.copytree(prepared, tmp_path / "out")
    write_tiny_cityscapes(tmp_path / "other", num_train=1, num_val=1, height=24, width=40, seed=9)
    with pytest.raises(DatasetError, match="images of another dataset"):
        CityscapesDataset.prepare_data(tmp_path / "other", tmp_path / "out", resume=True)


def test_a_missing_raw_split_is_not_another_dataset(raw, prepared, tmp_path):
    shutil.copytree(prepared, tmp_path / "out")
    shutil.copytree(raw, tmp_path / "raw")
    shutil.rmtree(tmp_path / "raw" / "leftImg8bit" / "train")
    with pytest.raises(DatasetError, match="there is no such folder"):
        CityscapesDataset.prepare_data(tmp_path / "raw", tmp_path / "out", resume=True)


def test_unreadable_annotations_are_named(raw, prepared, tmp_path):
    shutil.copytree(prepared, tmp_path / "out")
    (tmp_path / "out" / "val" / "annotations.json").write_text("{")
    with pytest.raises(DatasetError, match=r"annotations\.json cannot be read"):
        CityscapesDataset.prepare_data(raw, tmp_path / "out", resume=True)


@pytest.mark.parametrize("mode", ["L", "P", "I"])
def test_label_images_of_other_depths(raw, prepared, tmp_path, mode):
    """An editor writes 8 bits where no id is above 255, some tools 32 bits; a palette's indices are the ids."""
    shutil.copytree(raw, tmp_path / "raw")
    path = tmp_path / "raw/gtFine/val/lindau/lindau_000000_000019_gtFine_instanceIds.png"
    ids = np.asarray(PilImage.open(path)).astype(np.int32)
    class_ids = np.where(ids >= 1000, ids // 1000, ids)
    if mode == "I":
        PilImage.fromarray(ids.astype(np.int32)).save(path)
        expected = ids
    else:
        image = PilImage.fromarray(class_ids.astype(np.uint8))
        if mode == "P":
            image.putpalette(np.random.default_rng(0).integers(0, 256, 768, np.uint8).tobytes())
        image.save(path)
        expected = class_ids
    CityscapesDataset.prepare_data(tmp_path / "raw", tmp_path / "out", num_workers=1)
    semantic = PilImage.open(tmp_path / "out/val/stuffthingmaps/lindau_000000_000019.png")
    before = PilImage.open(prepared / "val/stuffthingmaps/lindau_000000_000019.png")
    np.testing.assert_array_equal(np.asarray(semantic), np.asarray(before))
    annotation = CityscapesDataset(tmp_path / "out" / "val").annotation(0)
    things = {int(i) for i in np.unique(expected) if _class_of(i) in THINGS}
    assert len(annotation.instances) + len(annotation.crowds) == len(things)


@pytest.mark.parametrize("split", ["train", "val"])
def test_one_split_alone(raw, prepared, tmp_path, split):
    for kind in ("leftImg8bit", "gtFine"):
        shutil.copytree(raw / kind / split, tmp_path / "raw" / kind / split)
    CityscapesDataset.prepare_data(tmp_path / "raw", tmp_path / "out", True, 1, splits=[split])
    assert _files(tmp_path / "out") == {k: v for k, v in _files(prepared).items() if k.startswith(split)}
    shutil.copytree(raw, tmp_path / "raw", dirs_exist_ok=True)
    CityscapesDataset.prepare_data(tmp_path / "raw", tmp_path / "out", True, 1, resume=True)
    assert _files(tmp_path / "out") == _files(prepared)
