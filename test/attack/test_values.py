# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Layer of values: configurations, label maps, predictions, annotations, files, headers of images."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from attack.properties import REFUSED, attack, refused
from attack.strategies import changed, check_prediction, damaged, predictions, scalars, texts, values
from hypothesis import strategies as st
from support.paths import ROOT

from opendr_panoptic_ros.annotation import PanopticAnnotation
from opendr_panoptic_ros.config import Config, Thresholds
from opendr_panoptic_ros.config import TestConfig as InferenceConfig
from opendr_panoptic_ros.errors import ConfigError, plain, quoted
from opendr_panoptic_ros.files import read_json, read_small, stays_inside, write_json
from opendr_panoptic_ros.image_header import refusal
from opendr_panoptic_ros.label_map import LABEL_MAPS, LabelMap
from opendr_panoptic_ros.labels import CITYSCAPES, VOID, ClassTable

PRESETS = ROOT / "opendr_panoptic_ros" / "presets"
CONFIG = Config.load("cityscapes").to_dict()
LABEL_MAP_DICTS = [yaml.safe_load((PRESETS / "label_maps" / f"{name}.yaml").read_text()) for name in LABEL_MAPS]


@attack("values", content=changed(CONFIG))
def test_configurations(content: Any) -> str | None:
    try:
        config = Config.from_dict(content)
    except ConfigError as error:
        return refused(error)
    assert Config.from_dict(config.to_dict()) == config
    assert Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    return None


@attack(
    "values",
    text=damaged(yaml.safe_dump(CONFIG).encode())
    | st.binary(max_size=200)
    | values.map(str).map(lambda t: t.encode("utf-8", "replace")),
)
def test_configuration_files(text: bytes) -> str | None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "config.yaml")
        path.write_bytes(text)
        try:
            Config.load(path)
        except ConfigError as error:
            return refused(error)
    return None


@attack("values", name=texts, load=st.sampled_from([Config.load, lambda given: LabelMap.load(given, CITYSCAPES)]))
def test_names_of_configurations(name: str, load: Any) -> str | None:
    try:
        load(name)
    except ConfigError as error:
        return refused(error)
    return None


@attack("values", content=values)
def test_class_tables(content: Any) -> str | None:
    given = content if isinstance(content, dict) else {"names": content, "num_stuff": 1}
    try:
        table = ClassTable.from_dict(given)
    except ConfigError as error:
        return refused(error)
    assert ClassTable.from_dict(table.to_dict()) == table
    assert table.palette.shape == (256, 3)
    return None


@attack("values", entry=st.sampled_from([f.name for f in dataclasses.fields(Thresholds)]), value=scalars)
def test_thresholds(entry: str, value: Any) -> str | None:
    try:
        InferenceConfig().with_thresholds(Thresholds(**{entry: value}))
    except ConfigError as error:
        return refused(error)
    except TypeError:
        assert not isinstance(value, int | float)
        return REFUSED
    return None


@attack("values", content=st.sampled_from(LABEL_MAP_DICTS).flatmap(changed), prediction=predictions())
def test_label_maps(content: Any, prediction: Any) -> str | None:
    try:
        label_map = LabelMap.from_dict(content, CITYSCAPES)
    except ConfigError as error:
        return refused(error)
    mapped = label_map.apply(prediction)
    check_prediction(mapped)
    old, new = prediction.semantic_map, mapped.semantic_map
    for class_id in np.unique(old):
        expected = label_map.new_ids.get(int(class_id), VOID) if class_id != VOID else VOID
        assert (new[old == class_id] == expected).all()
    return None


@attack("values", prediction=predictions())
def test_maps_of_predictions(prediction: Any) -> None:
    check_prediction(prediction)
    assert ((prediction.semantic_map == VOID) == (prediction.segment_map == 0)).all()
    assert ((prediction.panoptic_ids == 0) == (prediction.segment_map == 0)).all()
    assert ((prediction.packed_map < 0) == (prediction.segment_map == 0)).all()
    is_thing = prediction.instance_map > 0
    assert (prediction.instance_map[is_thing] == prediction.segment_map[is_thing]).all()
    assert (prediction.packed_map[is_thing] >> 16 == prediction.semantic_map[is_thing]).all()
    assert (prediction.confidence_map[prediction.segment_map == 0] == 0).all()
    assert prediction.class_mask(CITYSCAPES.names).any() == bool(prediction.segments)


@attack("values", prediction=predictions(), crop=st.tuples(*[st.integers(1, 24)] * 2))
def test_annotations_after_a_crop(prediction: Any, crop: tuple[int, int]) -> None:
    annotation = PanopticAnnotation.from_prediction(prediction)
    height, width = crop
    cropped = annotation.with_map(annotation.segment_map[-height:, :width])
    check_prediction(cropped)
    assert {s.id for s in cropped.segments} <= {s.id for s in annotation.segments}
    assert len(cropped.masks(cropped.instances)) == len(cropped.instances)


@attack(
    "values",
    content=st.binary(max_size=300)
    | st.integers(1, 10**5).map(lambda n: b"[" * n)
    | values.map(repr).map(lambda t: t.encode("utf-8", "replace")),
)
def test_json_files(content: bytes) -> str | None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file.json")
        path.write_bytes(content)
        assert read_small(path, limit_bytes=len(content)) == content
        try:
            value = read_json(path)
        except ValueError:
            return REFUSED
        try:
            write_json(path, value)
        except ValueError:  # NaN, and texts that are not Unicode
            return REFUSED
        assert read_json(path) == value
    return None


@attack("values", name=texts | st.lists(st.sampled_from(["..", ".", "a", "", "/", "b/c"]), max_size=5).map("/".join))
def test_names_stay_in_their_folder(name: str) -> str | None:
    if not stays_inside(name):
        return REFUSED
    try:
        inside = Path("/some/folder", name).resolve()
    except (ValueError, OSError):
        return REFUSED
    assert inside != Path("/some/folder")
    assert inside.is_relative_to("/some/folder")
    return None


@attack("values", value=values | st.binary(max_size=100), limit=st.integers(4, 60))
def test_quotations(value: Any, limit: int) -> None:
    for shown in (quoted(value, limit), plain(value, limit)):
        assert len(shown) <= limit
        assert shown.isascii()
        assert shown.isprintable()


_STARTS = [
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8",
    b"RIFF....WEBP",
    b"II*\0",
    b"MM\0*",
    b"II+\0",
    b"MM\0+",
    b"BM",
    b"P6\n",
    b"P4 ",
]


@attack(
    "values", start=st.sampled_from(_STARTS), rest=st.binary(max_size=300), repeats=st.sampled_from([1, 1, 1, 2000])
)
def test_headers_of_images(start: bytes, rest: bytes, repeats: int) -> str | None:
    return REFUSED if refusal(np.frombuffer(start + rest * repeats, np.uint8), max_pixels=1000) else None
