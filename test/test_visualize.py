# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Pictures of predictions small enough to colour on paper."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from opendr_panoptic_ros import visualize
from opendr_panoptic_ros.labels import CITYSCAPES, ClassTable
from opendr_panoptic_ros.prediction import PanopticPrediction, Segment

ROAD, SKY, PERSON, CAR = 0, 10, 11, 13


def prediction_of(segment_map, class_by_id, classes=CITYSCAPES):
    segment_map = np.asarray(segment_map, np.int32)
    segments = []
    for segment_id, class_id in class_by_id.items():
        ys, xs = np.nonzero(segment_map == segment_id)
        box = (int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1)
        is_thing = classes.is_thing(class_id)
        score = 0.9 if is_thing else float("nan")
        segments.append(Segment(segment_id, class_id, classes.names[class_id], is_thing, score, len(xs), box))
    return PanopticPrediction(segment_map, tuple(segments), classes)


@pytest.fixture
def street():
    """A sky over a road with two cars side by side; a void strip between sky and road."""
    segment_map = np.zeros((40, 60), np.int32)
    segment_map[:15] = 1
    segment_map[18:] = 2
    segment_map[22:36, 10:30] = 3
    segment_map[22:36, 30:50] = 4
    return prediction_of(segment_map, {1: SKY, 2: ROAD, 3: CAR, 4: CAR})


def test_semantic_color_is_the_color_of_the_class_and_black_for_void():
    picture = visualize.semantic_color(prediction_of([[0, 1], [2, 9]], {1: ROAD, 2: PERSON, 9: PERSON}))
    assert picture.dtype == np.uint8
    assert picture.tolist() == [[[0, 0, 0], [128, 64, 128]], [[220, 20, 60], [220, 20, 60]]]


def test_colors_are_those_of_the_predictions_own_class_table():
    table = ClassTable(names=("floor", "box"), num_stuff=1, colors=((1, 2, 3), (4, 5, 6)), dataset_ids=(1, 2))
    picture = visualize.semantic_color(prediction_of([[1, 2]], {1: 0, 2: 1}, table))
    assert picture.tolist() == [[[1, 2, 3], [4, 5, 6]]]


def test_instance_color_is_distinct_for_things_grey_for_stuff_black_for_void():
    (void, stuff, first, second) = visualize.instance_color(prediction_of([[0, 1, 2, 3]], {1: ROAD, 2: CAR, 3: CAR}))[
        0
    ].tolist()
    assert void == [0, 0, 0]
    assert len(set(stuff)) == 1
    assert stuff[0] > 0
    assert first != second
    assert all(max(color) - min(color) > 60 for color in (first, second)), "things must not look grey"


def test_instance_colors_of_many_ids_differ_and_depend_on_the_id_alone():
    ids = np.arange(1, 1001, dtype=np.int32)[None]
    colors = visualize.instance_color(prediction_of(ids, dict.fromkeys(range(1, 1001), CAR)))[0]
    assert len(np.unique(colors, axis=0)) == 1000
    alone = visualize.instance_color(prediction_of([[700]], {700: PERSON}))[0, 0]
    assert alone.tolist() == colors[699].tolist()


def test_overlay_mixes_image_and_color_and_leaves_void_alone(street):
    image = np.full((40, 60, 3), 100, np.uint8)
    picture = visualize.overlay(image, street, opacity=0.5)
    assert picture[16, 30].tolist() == [100, 100, 100]
    assert np.abs(picture[5, 30].astype(int) - (100 + np.array(CITYSCAPES.colors[SKY])) / 2).max() <= 1
    left, right = picture[30, 20].tolist(), picture[30, 40].tolist()
    assert left != right, "two cars have two shades"


def test_overlay_outlines_instances_and_nothing_else(street):
    edge = [255, 255, 255]
    picture = visualize.overlay(np.full((40, 60, 3), 100, np.uint8), street)
    for y, x in ((22, 20), (36, 20), (30, 10), (30, 30), (30, 50)):
        assert picture[y, x].tolist() == edge
    is_edge = (picture == edge).all(2)
    assert not is_edge[:20].any(), "no line between sky, void and road"
    assert not is_edge[23:36, 11:30].any(), "the line is one pixel wide"


def test_overlay_at_opacity_0_and_1(street):
    image = np.random.default_rng(0).integers(0, 200, (40, 60, 3), np.uint8)
    stuff = street.instance_map == 0
    away_from_edges = stuff & (np.indices((40, 60))[0] < 20)
    assert (visualize.overlay(image, street, opacity=0.0)[away_from_edges] == image[away_from_edges]).all()
    full = visualize.overlay(image, street, opacity=1.0)
    assert (full[:15] == CITYSCAPES.colors[SKY]).all()
    with pytest.raises(ValueError, match=r"opacity is 1\.5"):
        visualize.overlay(image, street, opacity=1.5)


def test_labels_are_written_only_where_they_fit(street):
    image = np.full((40, 60, 3), 100, np.uint8)
    assert (visualize.overlay(image, street, labels=True) == visualize.overlay(image, street)).all()
    large = prediction_of(street.segment_map.repeat(10, 0).repeat(10, 1), {1: SKY, 2: ROAD, 3: CAR, 4: CAR})
    image = np.full((400, 600, 3), 100, np.uint8)
    differs = (visualize.overlay(image, large, labels=True) != visualize.overlay(image, large)).any(2)
    assert differs[220:360, 100:300].any()
    assert differs[220:360, 300:500].any()
    assert not differs[large.instance_map == 0].any()


def test_labels_are_written_onto_pixels_of_their_instance():
    """The centre of the box of a frame-shaped instance belongs to the road."""
    segment_map = np.ones((400, 600), np.int32)
    segment_map[50:350, 100:500] = 2
    segment_map[50:270, 160:440] = 1  # an upright on both sides, and a beam below
    prediction = prediction_of(segment_map, {1: ROAD, 2: CAR})
    image = np.full((400, 600, 3), 100, np.uint8)
    differs = (visualize.overlay(image, prediction, labels=True) != visualize.overlay(image, prediction)).any(2)
    assert differs[270:350, 100:500].any()
    assert not differs[segment_map == 1].any()


def test_no_label_between_the_parts_of_an_instance():
    segment_map = np.ones((400, 600), np.int32)
    segment_map[50:60, 100:110] = 2
    segment_map[340:350, 490:500] = 2
    prediction = prediction_of(segment_map, {1: ROAD, 2: CAR})
    image = np.full((400, 600, 3), 100, np.uint8)
    assert (visualize.overlay(image, prediction, labels=True) == visualize.overlay(image, prediction)).all()


def test_detailed_holds_four_views_at_half_size():
    segment_map = np.zeros((200, 400), np.int32)
    segment_map[100:] = 1
    segment_map[120:180, 100:300] = 2
    prediction = prediction_of(segment_map, {1: ROAD, 2: CAR})
    picture = visualize.detailed(np.full((200, 400, 3), 90, np.uint8), prediction)
    assert picture.shape == (200, 400, 3)
    y, x = 85, 30  # road, in each of the four views of 100x200 pixels
    assert picture[y, x].tolist() == [90, 90, 90]
    assert picture[y, 200 + x].tolist() == list(CITYSCAPES.colors[ROAD])
    assert len(set(picture[100 + y, x].tolist())) == 1
    assert np.abs(picture[100 + y, 200 + x] - (90 + np.array(CITYSCAPES.colors[ROAD])) / 2).max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (17, 3), (33, 65)])
def test_every_picture_has_the_size_of_the_image(size):
    prediction = prediction_of(np.ones(size, np.int32), {1: CAR})
    image = np.full((*size, 3), 50, np.uint8)
    pictures = [
        visualize.semantic_color(prediction),
        visualize.instance_color(prediction),
        visualize.overlay(image, prediction, labels=True),
        visualize.detailed(image, prediction),
    ]
    assert [(p.shape, p.dtype) for p in pictures] == [((*size, 3), np.dtype(np.uint8))] * 4


def test_a_prediction_without_segments_is_black_or_the_image_itself():
    prediction = prediction_of(np.zeros((4, 6), np.int32), {})
    image = np.full((4, 6, 3), 7, np.uint8)
    assert not visualize.semantic_color(prediction).any()
    assert not visualize.instance_color(prediction).any()
    assert (visualize.overlay(image, prediction) == image).all()


def test_inputs_stay_as_they_are_and_may_be_read_only(street):
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    before, map_before, palette = image.copy(), street.segment_map.copy(), CITYSCAPES.palette.copy()
    image.flags.writeable = False
    street.segment_map.flags.writeable = False
    for picture in (visualize.overlay(image, street, labels=True), visualize.detailed(image, street)):
        picture[:] = 0
    visualize.semantic_color(street)[:] = 0
    visualize.instance_color(street)[:] = 0
    assert (image == before).all()
    assert (street.segment_map == map_before).all()
    assert (CITYSCAPES.palette == palette).all()


@pytest.mark.parametrize(
    "image",
    [np.zeros((40, 61, 3), np.uint8), np.zeros((40, 60, 3), np.float32), np.zeros((40, 60), np.uint8), None],
)
def test_an_image_that_does_not_fit_is_refused(street, image):
    with pytest.raises(ValueError, match=r"expected uint8 RGB of shape \(40, 60, 3\)"):
        visualize.overlay(image, street)
    with pytest.raises(ValueError, match=r"expected uint8 RGB of shape \(40, 60, 3\)"):
        visualize.detailed(image, street)


def test_large_ids_keep_their_colors():
    ids = {70000: CAR, 5: ROAD}
    segment_map = np.array([[70000, 5]], np.int32)
    prediction = prediction_of(segment_map, ids)
    assert visualize.semantic_color(prediction)[0].tolist() == [[0, 0, 142], [128, 64, 128]]
    moved = dataclasses.replace(prediction, segment_map=np.array([[5, 70000]], np.int32))
    assert (visualize.instance_color(moved) == visualize.instance_color(prediction)[:, ::-1]).all()


def test_contact_sheet_places_images_row_by_row():
    red, green, blue = (np.full((10, 20, 3), color, np.uint8) for color in ((255, 0, 0), (0, 255, 0), (0, 0, 255)))
    sheet = visualize.contact_sheet([red, green, blue], columns=2, tile_width_px=20)
    gap = 12
    assert sheet.shape == (3 * gap + 2 * 10, 3 * gap + 2 * 20, 3)
    assert sheet[gap, gap].tolist() == [255, 0, 0]
    assert sheet[gap, gap + 20 + gap].tolist() == [0, 255, 0]
    assert sheet[gap + 10 + gap, gap].tolist() == [0, 0, 255]


def test_contact_sheet_of_other_sizes_and_with_titles():
    images = [np.full((h, w, 3), 200, np.uint8) for h, w in ((1, 1), (300, 20), (20, 300))]
    plain = visualize.contact_sheet(images, tile_width_px=40)
    titled = visualize.contact_sheet(images, tile_width_px=40, titles=["a", "b", "c"])
    assert titled.shape[0] > plain.shape[0]
    with pytest.raises(ValueError, match="no images"):
        visualize.contact_sheet([])
    with pytest.raises(ValueError, match="3 images and 1 titles"):
        visualize.contact_sheet(images, titles=["a"])
