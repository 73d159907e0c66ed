# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""`opendr-panoptic export`: labelled bags as datasets, and their summaries."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.bags import STEP_NS, drive, pictures

from opendr_panoptic_ros.datasets import DATASETS, PanopticDataset
from opendr_panoptic_ros.datasets.preparation import prepare_dataset
from opendr_panoptic_ros.formats.panoptic import decode_mask
from opendr_panoptic_ros.inference import PanopticSegmenter
from opendr_panoptic_ros.labels import CITYSCAPES


def read_png(path: Path) -> np.ndarray:
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert pixels is not None, path
    return pixels[:, :, ::-1] if pixels.ndim == 3 else pixels


@pytest.fixture
def labelled(run_bag, make_bag, tmp_path):
    """A labelled bag of 5 frames, of which 0, 2 and 4 are exported with --every 2."""
    code, _, err = run_bag(make_bag(drive(5)), "labelled", "--no-colors", "--no-overlay")
    assert code == 0, err
    return tmp_path / "labelled"


@pytest.mark.parametrize(("name", "kind"), [("coco-panoptic", "coco"), ("cityscapes", "cityscapes")])
def test_training_reads_the_dataset(run_main, labelled, tmp_path, tiny_checkpoint, name, kind):
    code, out, err = run_main("export", labelled, "--out-dir", "out", "--format", name, "--every", 2)
    assert (code, out) == (0, "3 frames in out/dataset\n"), err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["dataset"]
    row = DATASETS[kind]
    prepare_dataset(row.load(row.reader), tmp_path / "out" / "dataset", tmp_path / "prepared", splits=["train"])
    dataset = PanopticDataset(tmp_path / "prepared" / "train")
    segmenter = PanopticSegmenter(tiny_checkpoint)
    expected = pictures(5)[::2]
    assert len(dataset) == 3
    for index, picture in enumerate(expected):
        pixels, annotation = dataset.sample(index)
        prediction = segmenter(picture)
        assert np.array_equal(pixels, picture)
        assert annotation is not None
        assert np.array_equal(annotation.semantic_map, prediction.semantic_map)
        things = [s.area_px for s in prediction.segments if s.is_thing]
        assert things, "a test without instances shows little"
        assert sorted(s.area_px for s in annotation.instances) == sorted(things)


def test_coco_instances_name_the_things(run_main, labelled, tmp_path, tiny_checkpoint):
    assert run_main("export", labelled, "--out-dir", "out", "--format", "coco-panoptic", "--split", "val")[0] == 0
    content = json.loads((tmp_path / "out/dataset/annotations/instances_val.json").read_text())
    assert {c["name"] for c in content["categories"]} == set(CITYSCAPES.names[CITYSCAPES.num_stuff :])
    prediction = PanopticSegmenter(tiny_checkpoint)(pictures(5)[0])
    of_first = [a for a in content["annotations"] if a["image_id"] == content["images"][0]["id"]]
    for segment in (s for s in prediction.segments if s.is_thing):
        (found,) = [
            a for a in of_first if np.array_equal(decode_mask(a["segmentation"]), prediction.segment_map == segment.id)
        ]
        assert found["category_id"] == CITYSCAPES.dataset_ids[segment.class_id]
        assert found["area"] == segment.area_px


def test_images_and_masks(run_main, labelled, tmp_path, tiny_checkpoint):
    assert run_main("export", labelled, "--out-dir", "out", "--format", "images", "--every", 4)[0] == 0
    folder = tmp_path / "out" / "dataset"
    names = ["labelled_cam_image_raw_000000.png", "labelled_cam_image_raw_000004.png"]
    for part in ("data", "labels", "instances", "overlays"):
        assert sorted(path.name for path in (folder / part).iterdir()) == names
    prediction = PanopticSegmenter(tiny_checkpoint)(pictures(5)[4])
    assert np.array_equal(read_png(folder / "data" / names[1]), pictures(5)[4])
    assert np.array_equal(read_png(folder / "labels" / names[1]), prediction.semantic_map)
    assert np.array_equal(read_png(folder / "instances" / names[1]), prediction.instance_map)
    assert [row["name"] for row in json.loads((folder / "classes.json").read_text())] == list(CITYSCAPES.names)


def test_summary_counts_all_frames(run_main, labelled, tmp_path, tiny_checkpoint):
    code, out, err = run_main("export", labelled, labelled, "--out-dir", "out", "--summary", "--every", 3)
    assert code == 0, err
    assert out.startswith("labelled: 5 frames, 0.4 s; ")
    summary = json.loads((tmp_path / "out/summaries/labelled.json").read_text())
    predictions = [PanopticSegmenter(tiny_checkpoint)(picture) for picture in pictures(5)]
    total_px = sum(prediction.segment_map.size for prediction in predictions)
    assert summary["frames"] == {"/cam/image_raw": 5}
    for class_id, name in enumerate(CITYSCAPES.names):
        masks = [prediction.semantic_map == class_id for prediction in predictions]
        assert summary["classes"][name] == {
            "pixel_share": pytest.approx(sum(mask.sum() for mask in masks) / total_px, abs=1e-6),
            "frames": sum(bool(mask.any()) for mask in masks),
            "segments": sum(s.class_id == class_id for p in predictions for s in p.segments),
        }
    # Five tiles in two rows of three; each tile has 480 x 360 pixels, gaps of 12 and a title of 30.
    assert read_png(tmp_path / "out/summaries/labelled.png").shape == (2 * (360 + 30 + 12) + 12, 3 * (480 + 12) + 12, 3)


def test_several_cameras_and_bags(run_bag, run_main, make_bag, tmp_path):
    left, right = drive(2, "/front/left/image"), drive(3, "/front/right/image")
    two = sorted([*left, *right], key=lambda sent: sent[1])
    source = make_bag(two, name="two")
    assert run_bag(source, "a", "--topic", "/front/right/image")[0] == 0
    assert run_bag(source, "b", "--topic", "/front/left/image", "--topic", "/front/right/image")[0] == 0
    code, out, _ = run_main("export", "a", "b", "--out-dir", "out", "--format", "images")
    assert (code, out) == (0, "8 frames in out/dataset\n")
    names = sorted(path.name for path in (tmp_path / "out/dataset/data").iterdir())
    assert [name for name in names if name.startswith("a_")] == [f"a_front_right_image_{i:06d}.png" for i in range(3)]
    assert sum(name.startswith("b_front_left") for name in names) == 2
    code, out, _ = run_main("export", "b", "--out-dir", "left", "--format", "images", "--topic", "/front/left/image")
    assert (code, out) == (0, "2 frames in left/dataset\n")


def test_a_label_map_gives_the_classes(run_bag, run_main, make_bag, tmp_path):
    assert run_bag(make_bag(drive(1)), "labelled", "--label-map", "navigation")[0] == 0
    code, _, err = run_main("export", "labelled", "--out-dir", "out", "--format", "coco-panoptic")
    assert code == 1
    assert "Give --config and --label-map as for the labelling." in err
    assert not (tmp_path / "out" / "dataset").exists()
    arguments = ("export", "labelled", "--out-dir", "out", "--label-map", "navigation", "--format")
    assert run_main(*arguments, "coco-panoptic")[0] == 0
    code, _, err = run_main(*arguments, "cityscapes")
    assert code == 1
    assert "takes the classes of Cityscapes" in err


def test_what_cannot_be_exported_is_listed(run_main, labelled, make_bag, tmp_path):
    plain = make_bag([("/chatter", STEP_NS, "hello")], name="plain")
    code, out, err = run_main("export", plain, tmp_path / "none", labelled, "--out-dir", "out", "--format", "images")
    assert (code, out) == (1, "5 frames in out/dataset\n")
    assert "plain: The bag has no segmentations of its images" in err
    assert "none: " in err
    code, _, err = run_main("export", labelled, "--out-dir", "out", "--format", "images")
    assert code == 1
    assert "dataset exists; choose another folder" in err
    assert "There is nothing to write" in run_main("export", labelled, "--out-dir", "new")[2]
    code, out, err = run_main("export", plain, "--out-dir", "empty", "--format", "images")
    assert (code, out) == (1, "No frame was exported.\n")
    assert list((tmp_path / "empty").iterdir()) == []
