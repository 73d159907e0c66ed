# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Label maps on paper, the shipped ones, and the errors of wrong files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from support.tiny_network import tiny_network

from opendr_panoptic_ros.errors import ConfigError
from opendr_panoptic_ros.inference import PanopticSegmenter
from opendr_panoptic_ros.label_map import LABEL_MAPS, LabelMap
from opendr_panoptic_ros.labels import CITYSCAPES, VOID, ClassTable
from opendr_panoptic_ros.outputs import OUTPUTS, RenderContext
from opendr_panoptic_ros.pipeline import Frame, FramePipeline
from opendr_panoptic_ros.prediction import PanopticPrediction, Segment

CLASSES = ClassTable.from_dict({"names": ["road", "grass", "sky", "car", "bus", "person"], "num_stuff": 3})
NAN = math.nan


@pytest.fixture
def prediction() -> PanopticPrediction:
    """Return road 1, grass 2, sky 3, a car 4, a bus 5 and a person 6, one column each, and a column of void."""
    segment_map = np.tile(np.array([1, 2, 3, 4, 5, 6, 0], np.int32), (2, 1))
    segments = tuple(
        Segment(i + 1, i, CLASSES.names[i], i >= 3, i / 8 if i >= 3 else NAN, 2, (i, 0, i + 1, 2)) for i in range(6)
    )
    probability = np.full((2, 7), 100, np.uint8)
    return PanopticPrediction(segment_map, segments, CLASSES, stuff_probability=probability)


VALUES: dict[str, Any] = {
    "classes": [
        {"name": "ground", "id": 9, "of": ["road", "grass"], "color": [1, 2, 3]},
        {"name": "vehicle", "id": 4, "of": ["car", "bus"]},
        {"name": "crowd", "id": 200, "of": ["person"], "thing": False},
    ],
    "drop": ["sky"],
}


def test_groups_on_paper(prediction: PanopticPrediction) -> None:
    label_map = LabelMap.from_dict(VALUES, CLASSES)
    mapped = label_map.apply(prediction)
    assert mapped.classes.names == ("ground", "crowd", "vehicle")
    assert mapped.classes.ids == (9, 200, 4)
    assert [mapped.classes.is_thing(i) for i in (9, 200, 4, 0)] == [False, False, True, False]
    assert mapped.segment_map[0].tolist() == [1, 1, 0, 4, 5, 6, 0]
    assert mapped.semantic_map[0].tolist() == [9, 9, VOID, 4, 4, 200, VOID]
    assert mapped.instance_map[0].tolist() == [0, 0, 0, 4, 5, 0, 0]
    assert mapped.packed_map[0].tolist() == [9 << 16, 9 << 16, -1, (4 << 16) + 4, (4 << 16) + 5, 200 << 16, -1]
    assert mapped.confidence_map[0].tolist() == [100, 100, 0, 96, 128, 100, 0]  # 255 · 3/8 = 95.625, 255 / 2 = 127.5
    assert mapped.panoptic_ids[0].tolist() == [1, 1, 0, 4001, 4002, 6, 0], "the dataset's id of the first class"
    ground, car, bus, crowd = mapped.segments
    assert (ground.label, ground.class_id, ground.area_px, ground.box_xyxy_px) == ("ground", 9, 4, (0, 0, 2, 2))
    assert (car.label, car.score, bus.label, bus.score) == ("vehicle", 0.375, "vehicle", 0.5)
    assert not crowd.is_thing
    assert math.isnan(crowd.score)
    assert label_map.moving_classes == ("crowd", "vehicle")
    colors = OUTPUTS["semantic_color"].pixels(RenderContext(np.zeros((2, 7, 3), np.uint8), mapped))
    assert colors[0, :3].tolist() == [[1, 2, 3], [1, 2, 3], [0, 0, 0]]
    assert tuple(colors[0, 3]) == CLASSES.colors[3]


def test_identity_changes_nothing(prediction: PanopticPrediction) -> None:
    label_map = LabelMap.load("identity", CLASSES)
    assert label_map.is_identity
    assert label_map.apply(prediction) is prediction
    assert label_map.moving_classes == ("car", "bus", "person")


def test_the_shipped_maps_cover_the_19_classes() -> None:
    for name in LABEL_MAPS:
        label_map = LabelMap.load(name, CITYSCAPES)
        assert set(label_map.new_ids) == set(CITYSCAPES.ids), name
        assert {CITYSCAPES.names[i] for i in CITYSCAPES.ids[11:]} == {
            CITYSCAPES.names[i] for i, new in label_map.new_ids.items() if label_map.classes.is_thing(new)
        }
    ids = LabelMap.load("cityscapes_ids", CITYSCAPES).classes
    assert (ids.ids, ids.names, ids.colors) == (CITYSCAPES.dataset_ids, CITYSCAPES.names, CITYSCAPES.colors)
    navigation = LabelMap.load("navigation", CITYSCAPES)
    assert navigation.moving_classes == ("person", "vehicle", "two-wheeler")


def test_the_rest_is_kept_or_dropped(prediction: PanopticPrediction) -> None:
    group = {"name": "vehicle", "id": 20, "of": ["car", "bus"]}
    kept = LabelMap.from_dict({"classes": [group], "others": "keep"}, CLASSES)
    assert kept.classes.names == ("road", "grass", "sky", "vehicle", "person")
    assert kept.classes.ids == (0, 1, 2, 20, 5)
    dropped = LabelMap.from_dict({"classes": [group], "others": "drop"}, CLASSES)
    assert dropped.apply(prediction).semantic_map[0].tolist() == [VOID] * 3 + [20, 20] + [VOID] * 2


def changed(**entries: Any) -> dict[str, Any]:
    return {**VALUES, **entries}


def with_class(**entries: Any) -> dict[str, Any]:
    first, *rest = VALUES["classes"]
    return changed(classes=[{**first, **entries}, *rest])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (changed(classes=3), "m.yaml: classes is 3; expected a list of classes with name, id and of"),
        (changed(classes=["road"]), "classes[0] is 'road'; expected a mapping with name, id, of, color, thing"),
        (changed(groups=[]), "m.yaml has the unknown entry 'groups'; known are classes, drop, others"),
        (changed(drop=["sea"]), "drop has 'sea'; expected some of road, grass, sky, car, bus, person"),
        (changed(drop=[["sky"]]), "drop has ['sky']; expected some of road"),
        (changed(drop="sky"), "drop is 'sky'; expected a list of class names"),
        (changed(drop=[]), "'sky' is in no class; add it to one or to drop, or set others to keep or drop"),
        (changed(drop=["sky", "car"]), "'car' is named twice; expected each class once"),
        (changed(others=["keep"]), "others is ['keep']; expected keep, drop, or no such entry"),
        ({"others": "drop"}, "every class is dropped; expected at least one in classes"),
        (with_class(id=255), "classes[0].id is 255; expected a whole number from 0 to 254"),
        (with_class(id=True), "classes[0].id is True; expected a whole number from 0 to 254"),
        (with_class(id=4), "the id 4 is used twice; expected a different one for each class"),
        (with_class(name="vehicle"), "the name 'vehicle' is used twice"),
        (with_class(name=12), "classes[0].name is 12; expected a word of at most 100 characters"),
        (with_class(of=[]), "classes[0].of is []; expected some of road, grass, sky, car, bus, person"),
        (with_class(of=["road", "gras"]), "classes[0].of has 'gras'; expected some of road, grass"),
        (with_class(color=[1, 2]), "classes[0].color is [1, 2]; expected three whole numbers from 0 to 255"),
        (with_class(color=[1, 2, 256]), "classes[0].color is [1, 2, 256]; expected three whole numbers from 0 to 255"),
        (with_class(thing=True), "classes[0].thing is true, but one of its classes is stuff"),
        (with_class(thing="no"), "classes[0].thing is 'no'; expected true or false"),
        (with_class(colour=[1, 2, 3]), "classes[0] has the unknown entry 'colour'; known are name, id, of"),
        (with_class(name="\n" * 5000), "classes[0].name is '"),
    ],
)
def test_wrong_files(tmp_path: Path, values: dict[str, Any], message: str) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(ConfigError) as error:
        LabelMap.load(path, CLASSES)
    text = str(error.value)
    assert message.replace("'sky' is in", "sky is in").replace("'car' is named", "car is named") in text
    assert text.startswith("label_map m.yaml")
    assert "\n" not in text
    assert len(text) < 250


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no file nav for the label map; give a YAML file or one of identity, city"):
        LabelMap.load("nav", CLASSES)
    (tmp_path / "list.yaml").write_text("[1, 2]")
    with pytest.raises(ConfigError, match="expected a mapping"):
        LabelMap.load(tmp_path / "list.yaml", CLASSES)
    with pytest.raises(ConfigError, match="There is no file"):
        LabelMap.load(tmp_path, CLASSES)


def test_the_pipeline_applies_the_map_before_the_filter() -> None:
    segmenter = PanopticSegmenter(tiny_network(), device="cpu")
    image = np.random.default_rng(0).integers(0, 256, (64, 128, 3), np.uint8)
    label_map = LabelMap.load("navigation", segmenter.config.classes)
    pipeline = FramePipeline(segmenter, label_map=label_map, track_ids=True)
    expected = label_map.apply(segmenter(image))
    (result,) = pipeline.process([Frame(image)])
    assert result.prediction is not None
    np.testing.assert_array_equal(result.prediction.semantic_map, expected.semantic_map)
    assert {s.class_id for s in result.prediction.segments} <= set(label_map.classes.ids)
    thing = next(s.label for s in expected.segments if s.is_thing)
    (result,) = pipeline.process([Frame(image)], keep_classes=[thing])
    assert result.prediction is not None
    assert {s.label for s in result.prediction.segments} == {thing}
    assert (pipeline.classes, pipeline.moving_classes) == (label_map.classes, label_map.moving_classes)
