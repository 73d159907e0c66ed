"""Makes the pictures of the README and of docs/demo_model.md from the weights in the package: into docs/images.

python docs/make_figures.py [--page demo_out/index.html]    the page is what `make demo` leaves; needs Chromium
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage

from opendr_panoptic_ros import visualize
from opendr_panoptic_ros.cli.demo_source import synthetic_drive
from opendr_panoptic_ros.datasets.synthetic import EVALUATION_SEEDS_FROM, SyntheticScenes
from opendr_panoptic_ros.inference import PanopticSegmenter
from opendr_panoptic_ros.tracking import InstanceTracker

IMAGES = Path(__file__).parent / "images"
STREET_SEED = EVALUATION_SEEDS_FROM + 5
DRIVE_FRAMES = range(0, 80, 2)
FRAME_MS = 200
PAGE_SIZE_PX = (1100, 1330)
CHROMIUM = (
    "--headless --no-sandbox --disable-gpu --hide-scrollbars --no-first-run --disable-sync --disable-quic "
    "--disable-background-networking --disable-component-update --virtual-time-budget=3000"
)


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", type=Path, help="also make a picture of this page of the demo")
    options = parser.parse_args()
    IMAGES.mkdir(exist_ok=True)
    segmenter = PanopticSegmenter("demo", device="cpu")
    write_street(segmenter)
    write_drive(segmenter)
    if options.page is not None:
        write_page(options.page)
    for file in sorted(IMAGES.iterdir()):
        print(f"{file.stat().st_size / 1000:8.0f} kB  {file}")


def write_street(segmenter: PanopticSegmenter) -> None:
    """One street: input, semantic, instance, panoptic and detailed view."""
    image, _ = SyntheticScenes([STREET_SEED], height=512, width=1024)[0]
    pixels = image.convert("channels_last")
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
    """The demo's drive as an animation: the picture above, what is seen below, with ids that stay."""
    drive = synthetic_drive(DRIVE_FRAMES.stop)
    tracker = InstanceTracker()
    frames = []
    for index in DRIVE_FRAMES:
        pixels = drive[index][0].convert("channels_last")
        prediction = tracker.update(segmenter(pixels))
        frames.append(np.vstack([pixels, visualize.overlay(pixels, prediction, labels=True)]))
    _save_animation(frames, IMAGES / "drive.webp")


def _save_animation(frames: list[NDArray[np.uint8]], path: Path) -> None:
    first, *others = (PilImage.fromarray(frame) for frame in frames)
    first.save(path, save_all=True, append_images=others, duration=FRAME_MS, loop=0, quality=60, method=6)


def write_page(page: Path) -> None:
    """The demo's page as a browser shows it."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("There is no Chromium to show the page with: apt install chromium")
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "page.png"
        size = ",".join(map(str, PAGE_SIZE_PX))
        command = [chromium, *CHROMIUM.split(), f"--user-data-dir={folder}", f"--window-size={size}"]
        subprocess.run([*command, f"--screenshot={picture}", page.resolve().as_uri()], check=True, capture_output=True)
        PilImage.open(picture).convert("RGB").save(IMAGES / "page.jpg", quality=85, optimize=True)


if __name__ == "__main__":
    main()
