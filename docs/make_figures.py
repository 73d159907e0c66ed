"""Draws the picture of the README: what the outputs look like, on the exact truth of a synthetic scene.

python docs/make_figures.py
"""

from __future__ import annotations

from pathlib import Path

import cv2

from opendr_panoptic_ros import visualize
from opendr_panoptic_ros.datasets.synthetic import SyntheticScenes

SEED = 900_000_005
IMAGES = Path(__file__).parent / "images"


def main() -> None:
    """Write docs/images/outputs.png."""
    image, truth = SyntheticScenes([SEED], height=512, width=1024)[0]
    view = visualize.detailed(image.convert("channels_last"), truth)
    IMAGES.mkdir(exist_ok=True)
    cv2.imwrite(str(IMAGES / "outputs.png"), view[:, :, ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])


if __name__ == "__main__":
    main()
