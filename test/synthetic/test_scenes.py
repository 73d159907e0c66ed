# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Synthetic scenes and drives are reproducible in any order, process and size; their ground truth is exact."""

from __future__ import annotations

import hashlib
import math
import subprocess
import sys
from itertools import pairwise

import cv2
import numpy as np
import pytest

from opendr_panoptic_ros.labels import CITYSCAPES
from opendr_panoptic_ros.synthetic.drive import SyntheticDrive
from opendr_panoptic_ros.synthetic.render.camera import Camera
from opendr_panoptic_ros.synthetic.render.canvas import Canvas
from opendr_panoptic_ros.synthetic.render.furniture import Signal
from opendr_panoptic_ros.synthetic.render.lens import Lens
from opendr_panoptic_ros.synthetic.render.light import draw_light
from opendr_panoptic_ros.synthetic.render.objects import painting_order
from opendr_panoptic_ros.synthetic.render.pose import stationary
from opendr_panoptic_ros.synthetic.render.rng import rng_for
from opendr_panoptic_ros.synthetic.render.static_objects import StaticObjectFactory
from opendr_panoptic_ros.synthetic.render.things import ThingFactory
from opendr_panoptic_ros.synthetic.render.timetable import Timetable
from opendr_panoptic_ros.synthetic.scenes import SyntheticScenes


def digest(sample):
    image, truth = sample
    return hashlib.sha256(
        image.data.tobytes() + truth.segment_map.tobytes() + repr(truth.segments).encode()
    ).hexdigest()


def check_truth(image, truth, height, width):
    """Check that the attributes of each segment agree with the map."""
    assert image.data.shape == (3, height, width)
    assert image.data.dtype == np.uint8
    assert truth.shape == (height, width)
    assert set(np.unique(truth.segment_map)) - {0} == {segment.id for segment in truth.segments}
    stuff = [segment.class_id for segment in truth.segments if not segment.is_thing]
    assert len(stuff) == len(set(stuff))
    for segment in truth.segments:
        mask = truth.segment_map == segment.id
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        assert segment.area_px == mask.sum() > 0
        assert segment.box_xyxy_px == (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
        assert segment.label == CITYSCAPES.names[segment.class_id]
        assert segment.is_thing == CITYSCAPES.is_thing(segment.class_id)
        assert segment.score == 1.0 if segment.is_thing else math.isnan(segment.score)


def test_a_scene_depends_only_on_its_seed():
    forwards, backwards = (
        SyntheticScenes([3, 8, 15], height=96, width=192),
        SyntheticScenes([15, 3], height=96, width=192),
    )
    last = digest(backwards[0])
    assert digest(forwards[0]) == digest(backwards[1])
    assert digest(forwards[2]) == last == digest(forwards[-1])
    assert digest(forwards[0]) != digest(forwards[1])


def test_another_process_draws_the_same():
    code = (
        "import runpy, sys\n"
        "test = runpy.run_path(sys.argv[1])\n"
        "print(test['digest'](test['SyntheticScenes']([900000001], height=128, width=256)[0]))"
    )
    printed = subprocess.run([sys.executable, "-c", code, __file__], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == digest(SyntheticScenes([900000001], height=128, width=256)[0])


@pytest.mark.parametrize(("height", "width"), [(64, 96), (101, 203), (96, 320), (512, 1024)])
def test_any_size(height, width):
    image, truth = SyntheticScenes([21], height=height, width=width)[0]
    check_truth(image, truth, height, width)
    assert [segment.id for segment in truth.segments] == list(range(1, len(truth.segments) + 1))


def test_another_size_shows_the_same_place():
    small = SyntheticScenes([12], height=128, width=256)[0][1].semantic_map
    large = SyntheticScenes([12], height=384, width=768)[0][1].semantic_map
    assert (small == large[1::3, 1::3]).mean() > 0.93


def test_all_classes_occur_and_every_truth_is_well_formed():
    scenes = SyntheticScenes(range(100, 140), height=128, width=256)
    scenes_with = dict.fromkeys(CITYSCAPES.names, 0)
    things = []
    for image, truth in (scenes[i] for i in range(len(scenes))):
        check_truth(image, truth, 128, 256)
        for name in {segment.label for segment in truth.segments if segment.area_px >= 25}:
            scenes_with[name] += 1
        things.append(sum(segment.is_thing for segment in truth.segments))
    assert min(scenes_with.values()) >= 0.15 * len(scenes), scenes_with
    assert 4 <= np.mean(things) <= 11
    assert max(things) <= 20


@pytest.fixture
def camera():
    return Camera(width_px=256, height_px=192, focal_px=260.0, position_m=(0.0, 1.5, 0.0), pitch_rad=-0.05)


def coverage(obj, camera):
    """Return how much of each pixel an object covers, 0 to 1, from a black and a white background, and its mask."""
    light, _ = draw_light(rng_for(1))
    pictures = []
    for background in (0, 255):
        canvas = Canvas(camera, light)
        canvas.image[:] = background
        obj.paint(canvas, 0.0)
        pictures.append(canvas.image.astype(float))
    return 1 - (pictures[1] - pictures[0]).mean(axis=2) / 255, canvas.ids > 0


def check_exact(covered_and_truth, least):
    """Check that the covered pixels are those of the mask, except for an anti-aliased border of one pixel."""
    covered, truth = covered_and_truth
    kernel, mask = np.ones((3, 3), np.uint8), truth.astype(np.uint8)
    assert truth.sum() > 100
    assert covered[cv2.dilate(mask, kernel) == 0].max() < 0.25
    assert covered[cv2.dilate(mask, kernel, iterations=2) == 0].max() == 0
    assert covered[cv2.erode(mask, kernel) == 1].min() >= least


@pytest.mark.parametrize("yaw", [0.0, 0.7, 1.6, 3.0])
@pytest.mark.parametrize("name", ["car", "truck", "bus", "train"])
def test_the_mask_of_a_vehicle_is_exact(camera, name, yaw):
    factory = ThingFactory(rng_for(5), is_night=False)
    part, size = factory.draw_vehicle(name)
    obj = factory.vehicle(name, part, size, stationary(1.0, 22.0, yaw))
    check_exact(coverage(obj, camera), 0.8)


def test_the_masks_of_a_person_and_a_rider_are_exact(camera):
    factory = ThingFactory(rng_for(6), is_night=False)
    check_exact(coverage(factory.person(stationary(0.3, 6.0, 0.4), walking=True), camera), 0.8)
    rider = factory.cycle(motor=False, ridden=True, trajectory=stationary(0.0, 6.0, 1.4))
    check_exact(coverage(rider, camera), 0.4)
    assert [CITYSCAPES.names[factory.class_of[i]] for i in rider.ids] == ["bicycle", "rider"]


@pytest.mark.parametrize("kind", ["house", "wall", "hedge"])
def test_the_mask_of_a_panel_is_exact(camera, kind):
    factory = StaticObjectFactory(rng_for(7), is_night=False)
    if kind == "house":
        factory.add_house(1, 4.0, 8.0, 18.0)
    else:
        factory.add_boundary(3.0, 6.0, 16.0, kind)
    check_exact(coverage(factory.objects[0], camera), 0.8)


def test_the_mask_of_a_tree_is_where_it_covers_at_least_half_of_a_pixel(camera):
    factory = StaticObjectFactory(rng_for(8), is_night=False)
    factory.add_tree(0.0, 12.0)
    covered, truth = coverage(factory.objects[0], camera)
    border = covered[(covered > 0) & (covered < 1)].size
    assert ((covered >= 0.5) != truth).sum() <= 0.25 * border


def test_the_nearest_object_is_painted_last(camera):
    """A bus from z = 10 to 22 at x = 3 hides a person behind it at z = 12, although its centre is farther away."""
    bus, beyond, before = (2.0, 4.0, 10.0, 22.0), (5.0, 5.4, 12.0, 12.4), (0.0, 0.4, 18.0, 18.4)
    for boxes in ([bus, beyond, before], [before, beyond, bus], [beyond, bus, before]):
        order = painting_order(np.array(boxes), camera)
        painted = [boxes[i] for i in order]
        assert painted.index(beyond) < painted.index(bus) < painted.index(before)


def test_the_lens_distorts_image_and_ids_equally():
    rng = rng_for(9)
    ids = cv2.resize(rng.integers(1, 5, (8, 16)).astype(np.uint8), (160, 80), interpolation=cv2.INTER_NEAREST).astype(
        np.int32
    )
    image = np.repeat((ids * 50).astype(np.uint8)[..., None], 3, axis=2)
    for k in range(30):
        lens = Lens.random(rng_for(k), "", is_night=False)
        bent_image, bent_ids = lens.distort(image, ids)
        if abs(lens.distortion) > 0.05:
            break
    assert (bent_ids != ids).any()
    same = np.abs(bent_image[..., 0].astype(int) - bent_ids * 50) <= 25  # half of the step between two regions
    assert same.mean() > 0.97


@pytest.mark.parametrize("wrong", [{"height": 16}, {"width": 31}, {"seeds": [4, -1]}])
def test_wrong_arguments_are_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        SyntheticScenes(**{"seeds": [1], **wrong})


def test_there_is_no_scene_beyond_the_last():
    scenes = SyntheticScenes(range(3))
    assert len(scenes) == 3
    with pytest.raises(IndexError):
        scenes[3]


@pytest.fixture(scope="module")
def frames():
    drive = SyntheticDrive(3, num_frames=96, height=96, width=192, fps=8)
    assert len(drive) == 96
    return [truth for _, truth in drive]


def test_an_id_keeps_class_and_position_between_frames(frames):
    class_of: dict[int, int] = {}
    overlaps = []
    for before, after in pairwise(frames):
        for segment in after.segments:
            assert class_of.setdefault(segment.id, segment.class_id) == segment.class_id
            a, b = before.segment_map == segment.id, after.segment_map == segment.id
            if segment.is_thing and min(a.sum(), b.sum()) > 150:
                overlaps.append((a & b).sum() / (a | b).sum())
    assert np.median(overlaps) > 0.7


def test_an_object_keeps_its_id_while_out_of_view(frames):
    seen: dict[int, list[int]] = {}
    for number, truth in enumerate(frames):
        for segment in truth.segments:
            if segment.is_thing and segment.area_px >= 60:
                seen.setdefault(segment.id, []).append(number)
    longest_absence = max(max(np.diff(numbers), default=0) for numbers in seen.values())
    assert longest_absence >= 16  # two seconds
    assert any(numbers[0] > 20 for numbers in seen.values())  # some enter
    assert any(numbers[-1] < 60 for numbers in seen.values())  # some leave for good


def test_a_frame_does_not_depend_on_earlier_ones():
    drive, again = (SyntheticDrive(7, num_frames=70, height=64, width=128) for _ in range(2))
    later = digest(drive[41])
    check_truth(*drive[5], 64, 128)
    assert digest(again[5]) == digest(drive[5])
    assert digest(again[41]) == later
    assert digest(drive[-1]) == digest(drive[69])
    with pytest.raises(IndexError):
        drive[70]


def test_the_main_street_waits_while_the_light_is_red():
    plan = Timetable.plan(12.0, 8.0)
    start, end = plan.red_s
    assert plan.waits
    assert plan.travelled_m(start) == pytest.approx(plan.travelled_m(end), abs=0.02)
    assert plan.travelled_m(start) > 10
    assert plan.total_m > plan.travelled_m(end) + 10
    assert [plan.signal(time_s) for time_s in (0.0, start - 2, (start + end) / 2, end + 0.1)] == [
        Signal.GREEN,
        Signal.YELLOW,
        Signal.RED,
        Signal.GREEN,
    ]
    assert not Timetable.plan(3.0, 8.0).waits


@pytest.mark.parametrize("wrong", [{"num_frames": 0}, {"fps": 0}, {"height": 8}, {"seed": -5}])
def test_wrong_arguments_of_a_drive_are_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        SyntheticDrive(**{"seed": 1, **wrong})
