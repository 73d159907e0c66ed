# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Writes the figures of the README and of docs/demo_model.md to docs/images, with the weights in the package.

python docs/make_figures.py [--page demo_out/index.html] [--video vtest.avi]

`--video` also writes the comparison of the fusion rules; the video is a sample of OpenCV (Debian package opencv-doc,
licence Apache-2.0). `--page` also takes a screenshot of the page that `make demo` writes; it requires Chromium. The
training curves show docs/demo_training.json, the concatenated `history.json` of both parts of the training.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from itertools import islice
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from numpy.typing import NDArray
from PIL import Image as PilImage
from PIL import ImageDraw

from opendr_panoptic_ros import visualize
from opendr_panoptic_ros.annotation import PanopticAnnotation
from opendr_panoptic_ros.demo.source import synthetic_drive
from opendr_panoptic_ros.formats.panoptic_quality import PanopticQualityCounter
from opendr_panoptic_ros.inference import PanopticSegmenter
from opendr_panoptic_ros.media import open_video
from opendr_panoptic_ros.synthetic.scenes import EVALUATION_SEEDS_FROM, SyntheticScenes
from opendr_panoptic_ros.tracking import InstanceTracker

IMAGES = Path(__file__).parent / "images"
HISTORY = Path(__file__).parent / "demo_training.json"
STREET_SEED = EVALUATION_SEEDS_FROM + 5
EVALUATED = range(EVALUATION_SEEDS_FROM, EVALUATION_SEEDS_FROM + 200)
NUM_FAILURES = 6
DRIVE_LENGTH = 100  # as in `make demo`: another length gives another street
DRIVE_FRAMES = range(0, 80, 2)
FRAME_MS = 200
VIDEO_FRAME = 20
PAGE_SIZE_PX = (1100, 1330)
CHROMIUM = (
    "--headless --no-sandbox --disable-gpu --hide-scrollbars --no-first-run --disable-sync --disable-quic "
    "--disable-background-networking --disable-component-update --virtual-time-budget=3000"
)


def main() -> None:
    """Write the figures and print their sizes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", type=Path, help="page of the demo to take a screenshot of")
    parser.add_argument("--video", type=Path, help="OpenCV's sample vtest.avi, to compare the fusion rules on")
    options = parser.parse_args()
    IMAGES.mkdir(exist_ok=True)
    segmenter = PanopticSegmenter("demo", device="cpu")
    write_street(segmenter)
    write_drive(segmenter)
    write_failures(segmenter)
    write_curve()
    if options.page is not None:
        write_page(options.page)
    if options.video is not None:
        write_contained(options.video)
    for file in sorted(IMAGES.iterdir()):
        print(f"{file.stat().st_size / 1000:8.0f} kB  {file}")


def write_street(segmenter: PanopticSegmenter) -> None:
    """Write the views of one street: input, semantic, instance, panoptic and detailed.

    Args:
        segmenter: The segmenter with the weights in the package.
    """
    pixels, _ = SyntheticScenes([STREET_SEED], height=512, width=1024).sample(0)
    prediction = segmenter(pixels)
    pictures = {
        "input.jpg": pixels,
        "semantic.png": visualize.semantic_color(prediction),
        "instance.png": visualize.instance_color(prediction),
        "panoptic.jpg": visualize.overlay(pixels, prediction, labels=True),
        "detailed.jpg": visualize.detailed(pixels, prediction),
    }
    for name, picture in pictures.items():
        PilImage.fromarray(picture).save(IMAGES / name, quality=88, optimize=True)


def write_drive(segmenter: PanopticSegmenter) -> None:
    """Write the drive of the demo as an animation: the image above, its segmentation with tracked ids below.

    Args:
        segmenter: The segmenter with the weights in the package.
    """
    drive = synthetic_drive(DRIVE_LENGTH)
    tracker = InstanceTracker()
    frames = []
    for index in DRIVE_FRAMES:
        pixels, _ = drive.sample(index)
        prediction = tracker.update(segmenter(pixels))
        frames.append(np.vstack([pixels, visualize.overlay(pixels, prediction, labels=True)]))
    _save_animation(frames, IMAGES / "drive.webp")


def _save_animation(frames: list[NDArray[np.uint8]], path: Path) -> None:
    first, *others = (PilImage.fromarray(frame) for frame in frames)
    first.save(path, save_all=True, append_images=others, duration=FRAME_MS, loop=0, quality=60, method=6)


def write_contained(video: Path) -> None:
    """Write a frame with the boxes of its things: by the published rule on the left, contained on the right.

    Args:
        video: Path of vtest.avi.
    """
    pixels = next(islice(open_video(video).frames, VIDEO_FRAME, None))
    pictures = []
    for contained in (False, True):
        prediction = PanopticSegmenter("demo", device="cpu", contain_instances=contained)(pixels)
        picture = PilImage.fromarray(visualize.overlay(pixels, prediction))
        for segment in (segment for segment in prediction.segments if segment.is_thing):
            left, top, right, bottom = segment.box_xyxy_px
            ImageDraw.Draw(picture).rectangle((left, top, right - 1, bottom - 1), outline="yellow", width=3)
        pictures.append(np.asarray(picture.resize((picture.width // 2, picture.height // 2), PilImage.Resampling.BOX)))
    PilImage.fromarray(np.hstack(pictures)).save(IMAGES / "contained.jpg", quality=85, optimize=True)


def write_failures(segmenter: PanopticSegmenter) -> None:
    """Write the evaluation scenes with the lowest panoptic quality: image, ground truth and prediction.

    Args:
        segmenter: The segmenter with the weights in the package.
    """
    scenes = SyntheticScenes(EVALUATED)
    quality = []
    for index in range(len(scenes)):
        pixels, truth = scenes.sample(index)
        prediction = segmenter(pixels)
        counter = PanopticQualityCounter(truth.classes)
        counter.add(truth, PanopticAnnotation.from_prediction(prediction))
        quality.append(counter.result().all.pq)
    pictures, titles = [], []
    for index in np.argsort(quality)[:NUM_FAILURES]:
        pixels, truth = scenes.sample(index)
        pictures += [pixels, *(visualize.overlay(pixels, seen, opacity=0.7) for seen in (truth, segmenter(pixels)))]
        titles += [f"seed {scenes.seeds[index]}", "truth", f"network, PQ {100 * quality[index]:.1f}"]
    sheet = visualize.contact_sheet(pictures, columns=3, tile_width_px=420, titles=titles)
    PilImage.fromarray(sheet).save(IMAGES / "failures.jpg", quality=85, optimize=True)


def write_curve() -> None:
    """Write the curves of loss and panoptic quality over the epochs of the training."""
    history = json.loads(HISTORY.read_text("utf-8"))
    mpl.rcParams["svg.hashsalt"] = "demo"  # equal data give equal files
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    epochs = [row["epoch"] for row in history["train"]]
    for name, label in (("loss", "sum of all"), ("loss_semantic", "semantic"), ("loss_mask", "mask")):
        left.plot(epochs, [row[name] for row in history["train"]], marker="o", label=label)
    left.set(xlabel="epoch", ylabel="loss", xticks=epochs, ylim=(0, None))
    for name, label in (("pq_things", "things"), ("pq", "all"), ("pq_stuff", "stuff")):
        right.plot(epochs, [100 * row[name] for row in history["val"]], marker="o", label=label)
    right.set(xlabel="epoch", ylabel="PQ in percent, 200 scenes", xticks=epochs, ylim=(0, 100))
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(IMAGES / "training.svg", metadata={"Date": None})


def write_page(page: Path) -> None:
    """Write a screenshot of the page of the demo.

    Args:
        page: Path of the page.
    """
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("Chromium was not found. Install it (apt install chromium), or leave out --page.")
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "page.png"
        size = ",".join(map(str, PAGE_SIZE_PX))
        command = [chromium, *CHROMIUM.split(), f"--user-data-dir={folder}", f"--window-size={size}"]
        subprocess.run([*command, f"--screenshot={picture}", page.resolve().as_uri()], check=True, capture_output=True)
        PilImage.open(picture).convert("RGB").save(IMAGES / "page.jpg", quality=85, optimize=True)


if __name__ == "__main__":
    main()
