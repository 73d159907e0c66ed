# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from opendr_panoptic_ros.errors import DatasetError
from opendr_panoptic_ros.evaluation import write_submission


def test_official_format(paper_case, tmp_path):
    """Ids of Cityscapes, R + 256 · G: road is 7; car 1 is 26001 = 145 + 256 · 101."""
    path = write_submission(tmp_path, [("lindau_000000_000019", paper_case.prediction)])
    assert path == tmp_path / "cityscapes_panoptic_val.json"
    assert json.loads(path.read_text()) == {
        "annotations": [
            {
                "image_id": "lindau_000000_000019",
                "file_name": "lindau_000000_000019.png",
                "segments_info": [
                    {"id": 7, "category_id": 7},
                    {"id": 26001, "category_id": 26},
                    {"id": 26002, "category_id": 26},
                    {"id": 26003, "category_id": 26},
                ],
            }
        ]
    }
    pixels = np.asarray(Image.open(tmp_path / "cityscapes_panoptic_val" / "lindau_000000_000019.png"))
    assert pixels[0].tolist() == [[7, 0, 0]] * 6
    assert pixels[1].tolist() == [[145, 101, 0], [145, 101, 0], [146, 101, 0], [7, 0, 0], [147, 101, 0], [147, 101, 0]]


def test_does_not_overwrite_unless_asked(paper_case, tmp_path):
    write_submission(tmp_path, [("a", paper_case.prediction)])
    with pytest.raises(DatasetError, match="overwrite=True"):
        write_submission(tmp_path, [("b", paper_case.prediction)])
    path = write_submission(tmp_path, [("b", paper_case.prediction)], overwrite=True)
    assert json.loads(path.read_text())["annotations"][0]["image_id"] == "b"
