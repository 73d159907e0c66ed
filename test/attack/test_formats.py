# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Layer of datasets: prepared folders, downloaded datasets, panoptic PNG and JSON, submissions."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from attack.properties import REFUSED, attack, refused
from attack.strategies import changed, damaged, predictions, texts
from hypothesis import strategies as st
from support.toy_datasets import write_tiny_cityscapes, write_tiny_coco, write_tiny_kitti

from opendr_panoptic_ros.datasets import CityscapesDataset, CocoPanopticDataset, KittiDataset, PanopticDataset
from opendr_panoptic_ros.errors import DatasetError
from opendr_panoptic_ros.formats import panoptic
from opendr_panoptic_ros.formats.panoptic_quality import panoptic_quality_of_files
from opendr_panoptic_ros.formats.results import segments_of
from opendr_panoptic_ros.formats.submission import write_submission
from opendr_panoptic_ros.labels import CITYSCAPES

_KEPT: list[tempfile.TemporaryDirectory[str]] = []
SMALL = {"num_train": 1, "num_val": 1, "height": 32, "width": 48}
_WRITERS: dict[str, tuple[Callable[..., None], Any]] = {
    "cityscapes": (write_tiny_cityscapes, CityscapesDataset),
    "kitti": (write_tiny_kitti, KittiDataset),
    "coco": (write_tiny_coco, CocoPanopticDataset),
}


@cache
def raw(name: str) -> Path:
    """A tiny downloaded dataset."""
    _KEPT.append(tempfile.TemporaryDirectory())
    root = Path(_KEPT[-1].name, name)
    _WRITERS[name][0](root, **SMALL)
    return root


@cache
def prepared() -> Path:
    """A split of the tiny Cityscapes, prepared."""
    root = raw("cityscapes")
    CityscapesDataset.prepare_data(root, root / "out", num_workers=1)
    return root / "out" / "val"


def files_of(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


@attack("datasets", short=40, name=st.deferred(lambda: st.sampled_from(files_of(prepared()))), data=st.data())
def test_prepared_folders(name: str, data: st.DataObject) -> str | None:
    """One file is damaged: its image is a DatasetError, and nothing else is raised."""
    whole = (prepared() / name).read_bytes()
    if name.endswith(".json") and data.draw(st.booleans(), label="is JSON"):
        content = json.dumps(data.draw(changed(json.loads(whole)), label="content")).encode("utf-8", "replace")
    else:
        content = data.draw(damaged(whole), label="content")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(prepared(), Path(folder, "val")))
        (copy / name).write_bytes(content)
        try:
            dataset = PanopticDataset(copy)
            for index in range(len(dataset)):
                pixels, annotation = dataset.sample(index)
                if annotation is not None:
                    assert annotation.segment_map.ndim == 2
                assert pixels.ndim == 3
            dataset.evaluate(prepared() / "panoptic_gt", prepared() / "panoptic_gt.json")
        except DatasetError as error:
            return refused(error, limit=3000)
    return None


@attack("datasets", short=15, kind=st.sampled_from(sorted(_WRITERS)), data=st.data())
def test_downloaded_datasets(kind: str, data: st.DataObject) -> str | None:
    """One file of a download is damaged: `prepare` names it, and prepares the rest."""
    name = data.draw(st.sampled_from([n for n in files_of(raw(kind)) if not n.startswith("out")]), label="name")
    whole = (raw(kind) / name).read_bytes()
    if name.endswith(".json") and data.draw(st.booleans(), label="is JSON"):
        content = json.dumps(data.draw(changed(json.loads(whole)), label="content")).encode("utf-8", "replace")
    else:
        content = data.draw(damaged(whole), label="content")
    with tempfile.TemporaryDirectory() as folder:
        copy, out = Path(folder, "raw"), Path(folder, "out")
        shutil.copytree(raw(kind), copy, ignore=shutil.ignore_patterns("out"))
        (copy / name).write_bytes(content)
        before = set(Path(folder).iterdir())
        try:
            _WRITERS[kind][1].prepare_data(copy, out, num_workers=1)
        except DatasetError as error:
            return refused(error, limit=5000)
        finally:
            assert set(Path(folder).iterdir()) <= before | {out}
    return None


@attack("datasets", short=40, prediction=predictions(), content=st.data())
def test_submissions(prediction: Any, content: st.DataObject) -> str | None:
    """Predictions as files: written and read again they are perfect; changed files are refused typed."""
    with tempfile.TemporaryDirectory() as folder:
        truth = write_submission(Path(folder, "truth"), [("a", prediction)], name="val")
        entries = json.loads(truth.read_text())
        truth.write_text(json.dumps({**entries, "categories": panoptic.categories(CITYSCAPES)}))
        for entry in entries["annotations"]:
            infos = panoptic.segments_info(prediction.panoptic_ids, CITYSCAPES)
            entry["segments_info"] = infos
        truth.write_text(json.dumps({**entries, "categories": panoptic.categories(CITYSCAPES)}))
        predicted = write_submission(Path(folder, "found"), [("a", prediction)], name="val")
        quality = panoptic_quality_of_files(truth, predicted.with_suffix(""), predicted)
        assert quality.all.pq == (1 if quality.all.n else 0)
        if content.draw(st.booleans(), label="is JSON"):
            new = content.draw(changed(json.loads(predicted.read_bytes())), label="content")
            predicted.write_text(json.dumps(new), encoding="utf-8", errors="replace")
        else:
            picture = predicted.with_suffix("") / "a.png"
            picture.write_bytes(content.draw(damaged(picture.read_bytes()), label="picture"))
        try:
            panoptic_quality_of_files(truth, predicted.with_suffix(""), predicted)
        except DatasetError as error:
            return refused(error, limit=3000)
    return None


@attack("datasets", prediction=predictions())
def test_ids_as_colors(prediction: Any) -> None:
    ids = prediction.panoptic_ids
    assert np.array_equal(panoptic.rgb_to_ids(panoptic.ids_to_rgb(ids)), ids)
    assert np.array_equal(panoptic.known_ids(ids, CITYSCAPES), ids)
    assert np.array_equal(panoptic.semantic_map(ids, CITYSCAPES), prediction.semantic_map)
    infos = panoptic.segments_info(ids, CITYSCAPES)
    assert sum(info["area"] for info in infos) == np.count_nonzero(ids)
    for annotation in panoptic.instance_annotations(ids, CITYSCAPES):
        assert panoptic.decode_mask(annotation["segmentation"]).sum() == annotation["area"]
    assert json.loads(json.dumps(segments_of("a", prediction), allow_nan=False))["image_id"] == "a"


@attack(
    "datasets",
    height=st.integers(-5, 40) | st.sampled_from([2**31, 2**32 - 1]),
    width=st.integers(-5, 40),
    counts=st.text("0123456789:;<=>?@PQRST`abcdefghijklmno", max_size=60) | texts,
)
def test_run_lengths(height: int, width: int, counts: str) -> str | None:
    """Run lengths of foreign JSON, which a library in C decodes."""
    try:
        mask = panoptic.decode_mask({"size": [height, width], "counts": counts})
    except (ValueError, TypeError, OverflowError, MemoryError):
        return REFUSED
    assert mask.shape == (height, width)
    return None
