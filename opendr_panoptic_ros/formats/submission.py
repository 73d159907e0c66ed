# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Predictions as files in COCO's panoptic result format, which the Cityscapes benchmark accepts as a submission."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from opendr_panoptic_ros.errors import DatasetError
from opendr_panoptic_ros.files import write_json, write_png
from opendr_panoptic_ros.formats.panoptic import ids_to_rgb, segments_info
from opendr_panoptic_ros.prediction import PanopticPrediction


def write_prediction(folder: Path, image_id: int | str, prediction: PanopticPrediction) -> dict[str, Any]:
    """Write the PNG of one prediction, `folder/IMAGE_ID.png`, with the ids encoded as colours.

    Args:
        folder: Where to write.
        image_id: The image's id in the ground truth.
        prediction: The prediction.

    Returns:
        The image's entry for the JSON file. Its category ids are the dataset's own (Cityscapes: 7 to 33).
    """
    ids = prediction.panoptic_ids
    write_png(folder / f"{image_id}.png", ids_to_rgb(ids))
    segments = [{key: s[key] for key in ("id", "category_id")} for s in segments_info(ids, prediction.classes)]
    return {"image_id": image_id, "file_name": f"{image_id}.png", "segments_info": segments}


def write_submission(
    folder: Path,
    predictions: Iterable[tuple[int | str, PanopticPrediction]],
    *,
    name: str = "cityscapes_panoptic_val",
    overwrite: bool = False,
) -> Path:
    """Write predictions as `folder/name.json` and the folder `name` with the PNGs. The JSON file is written last.

    Args:
        folder: Where to write.
        predictions: Image id and prediction, read one by one. The ids are `PanopticDataset.truth_ids`: integers for
            COCO, `CITY_SEQUENCE_FRAME` for Cityscapes.
        name: Name of the JSON file and of the folder of PNGs.
        overwrite: Whether to replace an existing JSON file.

    Returns:
        The JSON file.

    Raises:
        DatasetError: The JSON file exists and `overwrite` is false.
    """
    json_path = folder / f"{name}.json"
    if json_path.exists() and not overwrite:
        raise DatasetError(f"{json_path} exists. Choose another folder or name, or pass overwrite=True.")
    entries = [write_prediction(folder / name, image_id, prediction) for image_id, prediction in predictions]
    write_json(json_path, {"annotations": entries})
    return json_path
