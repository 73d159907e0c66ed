# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The commands prepare, train, evaluate, infer, download: their files, output and exit status."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.commands import run_command, start_command
from support.random_weights import seed_weights_
from support.toy_datasets import write_tiny_cityscapes, write_tiny_kitti

from opendr_panoptic_ros.checkpoint import load_checkpoint, save_checkpoint
from opendr_panoptic_ros.cli.common import with_options
from opendr_panoptic_ros.config import Config
from opendr_panoptic_ros.data import Image
from opendr_panoptic_ros.inference import PanopticSegmenter
from opendr_panoptic_ros.media import read_image
from opendr_panoptic_ros.network import EfficientPS
from opendr_panoptic_ros.rotation import rotated, rotated_prediction

SMALL = """
model: {backbone_width: 0.35, backbone_depth: 0.35, fpn_channels: 32, semantic_channels: 16, box_head_width: 64}
test: {long_side_px: 128, short_side_px: 64, min_stuff_area: 16}
data: {crop_width_px: 128, crop_height_px: 64}
schedule: {epochs: 1, batch_size: 2, warmup_iterations: 0, decay_epochs: []}
"""


@pytest.fixture
def run(monkeypatch, run_main):
    """`run("infer", "x.png")` gives status, stdout, stderr."""
    monkeypatch.setenv("COLUMNS", "160")
    return run_main


@pytest.fixture
def network_file(tmp_path) -> Path:
    (tmp_path / "small.yaml").write_text(SMALL)
    network = EfficientPS.from_config(Config.load(tmp_path / "small.yaml"))
    seed_weights_(network, 7)
    save_checkpoint(network, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


@pytest.fixture
def picture(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path / "pictures" / "street.png"
    path.parent.mkdir()
    cv2.imwrite(str(path), cv2.resize(rng.integers(0, 255, (4, 8, 3), np.uint8), (100, 60)))
    return path


def test_prepare(run, tmp_path):
    write_tiny_kitti(tmp_path / "raw")
    code, out, _ = run("prepare", "kitti", "raw", "prepared", "--workers", "1", "--train-truth")
    assert code == 0
    assert out.splitlines() == ["train: 2 images in prepared/train", "val: 2 images in prepared/val"]
    assert (tmp_path / "prepared" / "train" / "panoptic_gt.json").exists()
    code, _, err = run("prepare", "kitti", "raw", "prepared")
    assert code == 1
    assert "exists and is not empty" in err
    assert run("prepare", "kitti", "raw", "prepared", "--resume")[0] == 0
    assert run("prepare", "mapillary", "raw", "other")[0] == 2, "the usage's status"


@pytest.mark.train
def test_train_resume_evaluate(run, tmp_path):
    pytest.importorskip("mmdet")
    (tmp_path / "small.yaml").write_text(SMALL)
    write_tiny_cityscapes(tmp_path / "raw", num_train=2, num_val=2)
    run("prepare", "cityscapes", "raw", "prepared", "--workers", "1")
    code, out, _ = run("inspect", "prepared/train", "--config", "small.yaml", "--images", "2", "--out", "inspection")
    assert code == 0
    assert "2 images of " in out
    assert json.loads((tmp_path / "inspection" / "report.json").read_text())["images"] == 2
    assert cv2.imread(str(tmp_path / "inspection" / "truth.png")) is not None

    train = ("train", "prepared", "--config", "small.yaml", "--out", "run", "--device", "cpu", "--quiet")
    code, out, _ = run(*train, "--set", "schedule.learning_rate=0.001")
    assert code == 0
    assert "run/best.safetensors" in out
    saved = load_checkpoint(tmp_path / "run" / "last.safetensors")
    assert saved.config.schedule.learning_rate == 0.001

    code, _, err = run(*train)
    assert code == 1
    assert "holds a training. Resume it with --resume, remove it, or" in err
    # The run's own configuration counts, whatever --config is: the learning rate is that of the first start.
    resume = ("train", "prepared", "--out", "run", "--device", "cpu", "--quiet", "--resume", "--config", "demo")
    assert run(*resume, "--set", "schedule.epochs=2")[0] == 0
    assert (tmp_path / "run" / "epoch_2.pth").exists()
    assert load_checkpoint(tmp_path / "run" / "last.safetensors").config.schedule.learning_rate == 0.001

    code, out, _ = run(
        "train",
        "prepared/train",
        "--config",
        "small.yaml",
        "--out",
        "again",
        "--start",
        "run/last.safetensors",
        "--quiet",
    )
    assert code == 0
    assert "Taken from run/last.safetensors: all " in out
    assert "again/last.safetensors" in out

    code, out, _ = run("evaluate", "run/last.safetensors", "prepared/val", "--json", "figures.json", "--device", "cpu")
    assert code == 0
    assert "Panoptic segmentation, 2 images" in out
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["num_images"] == 2

    # The same predictions as files, and a report of them. Of the network, no detection remains at a threshold of 1.
    small = ("--checkpoint", "run/last.safetensors", "--device", "cpu", "--backend", "torch")
    infer = run("infer", "prepared/val/images", *small, "--format", "labels", "--format", "json")
    assert infer[0] == 0, infer
    code, _, err = run("evaluate", "--predictions", "results", "prepared/val", "--report", "report", "--worst", "1")
    assert code == 0, err
    stored = json.loads((tmp_path / "report" / "figures.json").read_text())
    assert stored["All"] == figures["All"]
    assert len(list((tmp_path / "report").glob("worst_01_*.jpg"))) == 1
    command = ("evaluate", "run/last.safetensors", "prepared/val", "--device", "cpu", "--json", "strict.json")
    assert run(*command, "--set", "test.max_detections=5", "--score-threshold", "1")[0] == 0
    assert json.loads((tmp_path / "strict.json").read_text())["Things"]["pq"] == 0
    code, _, err = run("evaluate", "demo", "prepared/val", "--predictions", "results")
    assert code == 1
    assert "Give either the checkpoint demo or --predictions, not both." in err


@pytest.mark.train
def test_train_and_evaluate_on_synthetic_scenes(run, tmp_path):
    pytest.importorskip("mmdet")
    (tmp_path / "small.yaml").write_text(SMALL)
    code, _, _ = run("train", "--synthetic", "2", "--config", "small.yaml", "--out", "run", "--quiet")
    assert code == 0
    assert len(json.loads((tmp_path / "run" / "history.json").read_text())["val"]) == 1
    code, out, _ = run("evaluate", "run/last.safetensors", "--synthetic", "2")
    assert code == 0
    assert "2 images" in out


def test_infer_writes_what_was_asked_for(run, tmp_path, network_file, picture):
    formats = [word for name in ("overlay", "labels", "json", "cityscapes") for word in ("--format", name)]
    code, out, _ = run("infer", "pictures", "--checkpoint", str(network_file), *formats)
    assert (code, out) == (0, "1 images segmented, results in results\n")
    results = tmp_path / "results"
    semantic = cv2.imread(str(results / "street_semantic.png"), cv2.IMREAD_UNCHANGED)
    instance = cv2.imread(str(results / "street_instance.png"), cv2.IMREAD_UNCHANGED)
    assert semantic is not None
    assert instance is not None
    assert semantic.shape == instance.shape == (60, 100)
    assert (str(semantic.dtype), str(instance.dtype)) == ("uint8", "uint16")
    assert Image.open(results / "street_overlay.png").data.shape == (3, 60, 100)
    segments = json.loads((results / "street.json").read_text())["segments"]
    assert sum(s["area_px"] for s in segments) == np.count_nonzero(semantic != 255)
    entry = json.loads((results / "cityscapes_panoptic.json").read_text())["annotations"][0]
    assert len(entry["segments_info"]) == len(segments)
    assert (results / "cityscapes_panoptic" / entry["file_name"]).exists()

    code, _, err = run("infer", "pictures", "--checkpoint", str(network_file))
    assert code == 1
    assert "street_overlay.png exists; choose another folder with --out, or pass --overwrite." in err
    assert run("infer", "pictures", "--checkpoint", str(network_file), "--overwrite")[0] == 0


@pytest.mark.usefixtures("picture")
def test_infer_with_a_label_map(run, tmp_path, network_file):
    (tmp_path / "map.yaml").write_text("classes: [{name: ground, id: 77, of: [road, sidewalk]}]\nothers: keep\n")
    options = "--checkpoint", str(network_file), "--label-map", "map.yaml", "--format", "labels", "--format", "json"
    assert run("infer", "pictures", *options)[0] == 0
    semantic = cv2.imread(str(tmp_path / "results" / "street_semantic.png"), cv2.IMREAD_UNCHANGED)
    segments = json.loads((tmp_path / "results" / "street.json").read_text())["segments"]
    assert semantic is not None
    assert {s["class_id"] for s in segments} == set(np.unique(semantic).tolist()) - {255}
    assert not {s["label"] for s in segments} & {"road", "sidewalk"}
    code, _, err = run("infer", "pictures", "--label-map", "navigation", "--format", "cityscapes")
    assert code == 1
    assert "leave out --label-map" in err


def test_infer_of_a_camera_that_is_mounted_sideways(run, tmp_path, network_file, picture):
    pixels = read_image(picture)
    options = "--checkpoint", str(network_file), "--format", "labels", "--image-rotation", "270"
    assert run("infer", "pictures", *options)[0] == 0
    got = cv2.imread(str(tmp_path / "results" / "street_semantic.png"), cv2.IMREAD_UNCHANGED)
    upright = PanopticSegmenter(network_file)(rotated(pixels, 270))
    assert np.array_equal(np.asarray(got), rotated_prediction(upright, 90).semantic_map)


def test_infer_takes_videos_and_globs(run, tmp_path, network_file, picture):
    writer = cv2.VideoWriter(str(tmp_path / "drive.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 5, (100, 60))
    for _ in range(3):
        writer.write(Image.open(picture).opencv())
    writer.release()
    code, out, _ = run(
        "infer",
        "drive.avi",
        "pict*/*.png",
        "--checkpoint",
        str(network_file),
        "--format",
        "overlay",
        "--format",
        "json",
    )
    assert (code, out) == (0, "4 images segmented, results in results\n")
    names = sorted(path.name for path in (tmp_path / "results").iterdir())
    assert names == [
        *(f"drive_{i:06d}.json" for i in range(3)), "drive_overlay.mp4", "street.json", "street_overlay.png"
    ]  # fmt: skip
    video = cv2.VideoCapture(str(tmp_path / "results" / "drive_overlay.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 3
    assert video.get(cv2.CAP_PROP_FPS) == 5


def test_infer_names_what_it_could_not_read(run, tmp_path, network_file, picture):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    code, out, err = run("infer", "broken.png", "gone.png", str(picture), "--checkpoint", str(network_file))
    assert code == 1
    assert out.startswith("1 images segmented")
    assert "gone.png: no image or video there" in err
    assert "broken.png is not an image that OpenCV can read" in err


def test_infer_keeps_classes_masks_and_tracks(run, tmp_path, network_file, picture):
    """The pipeline's options, as `bag` and the node have them."""
    cv2.imwrite(str(tmp_path / "ego.png"), np.r_[np.zeros((50, 100), np.uint8), np.ones((10, 100), np.uint8)])
    pixels = read_image(picture)
    segmenter = PanopticSegmenter(network_file)
    expected = segmenter(pixels).semantic_map
    names = segmenter.config.classes.names
    chosen = int(np.bincount(expected[expected != 255]).argmax())
    options = ("--checkpoint", network_file, "--format", "labels", "--device", "cpu")
    code, _, err = run("infer", picture, *options, "--classes", names[chosen], "--ego-mask", "ego.png", "--track-ids")
    assert code == 0, err
    semantic = cv2.imread(str(tmp_path / "results" / "street_semantic.png"), cv2.IMREAD_UNCHANGED)
    kept = expected == chosen
    kept[50:] = False
    assert semantic is not None
    assert kept.any()
    assert np.array_equal(semantic, np.where(kept, chosen, 255))
    code, out, err = run("infer", picture, *options, "--classes", "unicorn", "--overwrite")
    assert (code, out) == (1, "")
    assert "--classes has 'unicorn'; expected some of road, " in err
    cv2.imwrite(str(tmp_path / "small.png"), np.ones((5, 5), np.uint8))
    code, out, err = run("infer", picture, *options, "--ego-mask", "small.png", "--overwrite")
    assert (code, out) == (1, "0 images segmented, results in results\n")
    assert "not segmented: street: The image is 100x60 pixels, its ego_mask small.png is 5x5." in err


def test_infer_checks_its_folder_before_the_work(run, tmp_path, network_file, picture):
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    (tmp_path / "file").touch()
    for out, why in (
        ("dangling", "a link whose target is missing"),
        ("file", "not a folder"),
        ("file/x", "not a folder"),
    ):
        code, printed, err = run("infer", picture, "--checkpoint", network_file, "--out", out)
        assert (code, printed) == (1, "")
        assert f"{out} cannot be used for results" in err
        assert why in err
        assert "Segmenting" not in err
    assert not (tmp_path / "gone").exists()


def test_infer_reads_what_is_whole_and_names_the_rest(run, tmp_path, network_file, picture):
    """A JPEG of which a third is present, and a picture whose name is not UTF-8."""
    bgr = read_image(picture)[:, :, ::-1].copy()
    data = cv2.imencode(".jpg", bgr)[1].tobytes()
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 3])
    latin = tmp_path / os.fsdecode(b"stra\xdfe.png")
    latin.write_bytes(cv2.imencode(".png", bgr)[1].tobytes())
    code, out, err = run("infer", "cut.jpg", latin, "--checkpoint", network_file, "--format", "labels")
    assert (code, out) == (1, "1 images segmented, results in results\n")
    assert "not segmented: cut.jpg is not an image that OpenCV can read, or is truncated" in err
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == [
        "stra\ufffde_instance.png",
        "stra\ufffde_semantic.png",
    ]


def test_files_of_one_name_have_different_results(run, tmp_path, network_file, picture):
    folders = ("a", "b")
    for folder in folders:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "street.png").write_bytes(picture.read_bytes())
    (tmp_path / "street-2.png").write_bytes(picture.read_bytes())
    code, _, err = run("infer", "street-2.png", "a", "b", "--checkpoint", network_file, "--format", "json")
    assert code == 0, err
    names = sorted(path.name for path in (tmp_path / "results").iterdir())
    assert names == ["street-2.json", "street-3.json", "street.json"]


def test_download_without_a_server(run):
    code, _, err = run("download", "kitti", "--url", "http://127.0.0.1:1", "--out", "weights")
    assert code == 1
    assert "http://127.0.0.1:1/model_kitti.pth cannot be fetched" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("evaluate", "nothing.pth", "val"), "There is no checkpoint nothing.pth"),
        (("evaluate", "demo"), "Give either a split of a prepared dataset or --synthetic N."),
        (("infer", "x.png", "--device", "abacus"), "x.png: no image or video there"),
        (("download", "coco"), "trained_on is 'coco'"),
    ],
)
def test_mistakes_are_one_line(run, arguments, message):
    code, _, err = run(*arguments)
    assert code == 1
    assert err.startswith("opendr-panoptic: ")
    assert message in err
    assert "Traceback" not in err


@pytest.mark.train
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train",), "Give either a prepared dataset or --synthetic N."),
        (("train", "nowhere"), "There is no folder nowhere; make a dataset with"),
        (("train", "--synthetic", "2", "--set", "epochs=3"), "--set epochs=3: expected section.name=value"),
        (("train", "--synthetic", "2", "--config", "demo", "--resume"), "holds no training to resume"),
        (("train", "--synthetic", "2", "--device", "gpu"), "device is 'gpu'; expected 'auto', 'cpu', 'cuda'"),
        (("train", "--synthetic", "2", "--set", "schedule.warmup_start=2"), "schedule.warmup_start is 2.0; expected"),
        (("train", "--synthetic", "2", "--set", "schedule.decay_epochs=[0]"), "schedule.decay_epochs is (0,)"),
        (("train", "--synthetic", "2", "--set", "schedule.keep_checkpoints=-1"), "schedule.keep_checkpoints is -1"),
    ],
)
def test_mistakes_in_training_are_one_line(run, arguments, message):
    pytest.importorskip("mmdet")
    code, _, err = run(*arguments)
    assert (code, message in err, "Traceback" in err) == (1, True, False), err


@pytest.mark.slow
@pytest.mark.train
def test_a_training_is_stopped_and_goes_on(tmp_path):
    """Ctrl-C while it trains."""
    pytest.importorskip("mmdet")
    (tmp_path / "small.yaml").write_text(SMALL)
    options = ("--set", "schedule.batch_size=1")
    command = ("train", "--synthetic", 20, "--config", tmp_path / "small.yaml", "--out", tmp_path / "run", *options)
    process = start_command(*command)
    assert process.stdout is not None
    for line in process.stdout:
        if "Epoch(train) [1][10/20]" in line:
            process.send_signal(signal.SIGINT)
            break
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, out + err
    assert re.search(
        r"Stopped in epoch 1 after 1\d of 20 steps\. Continue with the same command and --resume", out + err
    )
    assert (tmp_path / "run" / "stopped.pth").exists()
    code, out, err = run_command(*command, "--resume")
    assert code == 0, out + err
    history = json.loads((tmp_path / "run" / "history.json").read_text())
    assert [row["epoch"] for row in history["train"]] == [1]


@pytest.mark.parametrize("command", ["prepare", "train", "evaluate", "infer", "download"])
def test_help_explains(run, command):
    code, out, _ = run(command, "--help")
    assert code == 0
    assert "Usage" in out
    assert all(len(line) <= 160 for line in out.splitlines())


def test_prepare_one_split_and_messages_name_the_options(run, tmp_path):
    write_tiny_kitti(tmp_path / "raw")
    shutil.rmtree(tmp_path / "raw" / "training")
    code, _, err = run("prepare", "kitti", "raw", "both", "--workers", "1")
    assert code == 1
    assert "repeat with --resume: finished images are kept. If there is only a val split, use --split val." in err
    code, out, _ = run("prepare", "kitti", "raw", "prepared", "--workers", "1", "--split", "val")
    assert (code, out.splitlines()) == (0, ["val: 2 images in prepared/val"])
    code, _, err = run("prepare", "kitti", "raw", "prepared")
    assert code == 1
    assert "Repeat with --resume to continue an earlier preparation, or choose another OUT." in err
    code, _, err = run("prepare", "kitti", "raw", "other", "--split", "test")
    assert code == 1
    assert "--split is 'test'; expected train or val, or both." in err
    (tmp_path / "prepared" / "val" / ".unfinished").mkdir()
    code, _, err = run("evaluate", "demo", "prepared/val")
    assert code == 1
    assert "was not finished; repeat `opendr-panoptic prepare` with --resume." in err


@pytest.mark.parametrize("message", [
    "Pass resume=True to go on", "call prepare_data again with resume=True.", "make it with prepare_data.",
    "Prepare again with generate_train_evaluation=True and resume=True", "choose another output_path.",
    "pass splits=['train']", "splits is ['x']; expected",
])  # fmt: skip
def test_messages_for_commands_hold_no_argument_of_python(message):
    assert not re.search(r"=True|prepare_data|output_path|splits", with_options(message))
    assert with_options("/data/output_paths/resume=Truely") == "/data/output_paths/resume=Truely"


def test_view_without_its_extra(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "rerun", None)
    monkeypatch.delitem(sys.modules, "opendr_panoptic_ros.formats.rerun_recording", raising=False)
    code, _, err = run("view", "drive.mp4", "--save", "drive.rrd")
    assert code == 1
    assert "The viewer needs the extra `view`: pip install 'opendr_panoptic_ros[view]'" in err
    assert len(err.splitlines()) == 1
