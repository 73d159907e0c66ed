# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Predictions as files: COCO's panoptic result format, which Cityscapes' benchmark takes as a submission."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from opendr_panoptic_ros.errors import DatasetError
from opendr_panoptic_ros.files import write_json, write_png
from opendr_panoptic_ros.formats.panoptic import ids_to_rgb, segments_info
from opendr_panoptic_ros.prediction import PanopticPrediction


def write_prediction(folder: Path, image_id: str, prediction: PanopticPrediction) -> dict[str, Any]:
    """The image's entry for the JSON file; `folder` holds its PNG, `IMAGE_ID.png`, with the ids RGB-encoded.

    The category ids are the dataset's own (Cityscapes: 7 to 33), as the benchmark wants them.
    """
    ids = prediction.panoptic_ids
    write_png(folder / f"{image_id}.png", ids_to_rgb(ids))
    segments = [{key: s[key] for key in ("id", "category_id")} for s in segments_info(ids, prediction.classes)]
    return {"image_id": image_id, "file_name": f"{image_id}.png", "segments_info": segments}


def write_submission(
    folder: Path,
    predictions: Iterable[tuple[str, PanopticPrediction]],
    *,
    name: str = "cityscapes_panoptic_val",
    overwrite: bool = False,
) -> Path:
    """The JSON file `folder/name.json`, beside it the folder `name` with the PNGs; written last, so it is complete.

    predictions: image id (Cityscapes: `CITY_SEQUENCE_FRAME`) and prediction, taken one by one.
    Raises DatasetError when the JSON file exists and `overwrite` is false.
    """
    json_path = folder / f"{name}.json"
    if json_path.exists() and not overwrite:
        raise DatasetError(f"{json_path} exists. Choose another folder or name, or pass overwrite=True.")
    entries = [write_prediction(folder / name, image_id, prediction) for image_id, prediction in predictions]
    write_json(json_path, {"annotations": entries})
    return json_path
