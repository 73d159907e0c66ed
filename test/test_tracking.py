# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""InstanceTracker on maps of one row."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest

from opendr_panoptic_ros.labels import CITYSCAPES
from opendr_panoptic_ros.prediction import PanopticPrediction, Segment
from opendr_panoptic_ros.tracking import InstanceTracker, next_free

CLASSES = {"c": "car", "p": "person", "r": "road", "s": "sky"}


def frame(row: str, classes: Mapping[str, str] | None = None) -> PanopticPrediction:
    """One row of pixels: each letter is a segment, "." is void.

    classes: letter to a key of CLASSES; capital letters are cars, others are looked up in CLASSES. Ids are in the
    order of the letters' first pixels, so a segment that moves past another changes its id.
    """
    letters = list(dict.fromkeys(row.replace(".", "")))
    segment_map = np.array([[0 if letter == "." else letters.index(letter) + 1 for letter in row]], np.int32)
    segments = []
    for i, letter in enumerate(letters, start=1):
        kind = (classes or {}).get(letter, "c" if letter.isupper() else letter)
        class_id = CITYSCAPES.names.index(CLASSES[kind])
        is_thing = CITYSCAPES.is_thing(class_id)
        box = (row.index(letter), 0, row.rindex(letter) + 1, 1)
        score = 0.9 if is_thing else math.nan
        segments.append(Segment(i, class_id, CLASSES[kind], is_thing, score, row.count(letter), box))
    return PanopticPrediction(segment_map, tuple(segments))


def ids(prediction: PanopticPrediction) -> list[int]:
    """The instance ids along the row, each once for each stretch."""
    row = prediction.instance_map[0].tolist()
    return [a for a, b in zip(row, [*row[1:], -1], strict=True) if a and a != b]


def track(*rows: str, **options: float) -> list[list[int]]:
    tracker = InstanceTracker(**options)  # type: ignore[arg-type]
    return [ids(tracker.update(frame(row))) for row in rows]


def test_an_instance_keeps_its_id_when_the_order_changes():
    assert track("AAAA..BBBB", "BBBB..AAAA"[::-1], "CAAAA.BBBB") == [[1, 2], [1, 2], [3, 1, 2]]


def test_all_else_is_kept_and_the_input_is_left_alone():
    first, second = frame("rrAAA.BBss"), frame("BBrAAA.Css")
    before = second.segment_map.copy()
    tracker = InstanceTracker()
    tracker.update(first)
    got = tracker.update(second)
    assert np.array_equal(second.segment_map, before)
    assert [segment.id for segment in second.segments] == [1, 2, 3, 4, 5]
    assert np.array_equal(got.semantic_map, second.semantic_map)
    assert got.segment_map.dtype == np.int32
    assert (got.segment_map == 0).tolist() == (before == 0).tolist()
    for old, new in zip(second.segments, got.segments, strict=True):
        assert (new.label, new.area_px, new.box_xyxy_px) == (old.label, old.area_px, old.box_xyxy_px)
        assert np.array_equal(got.segment_map == new.id, before == old.id)


@pytest.mark.parametrize(
    ("times_s", "found"),
    [
        ((10, 11, 16), [1, 1, 1]),
        ((10, 10, 10), [1, 1, 1]),
        ((10, 16, 17), [1, 2, 2]),
        ((10, 11, 10.5), [1, 1, 2]),
        ((10, 10.1, 10.05, 10.2), [1, 1, 1, 1]),
        ((10, 10.2, 10.05), [1, 1, 2]),
        ((None, 11, None), [1, 1, 1]),
    ],
    ids=["in order", "one stamp", "a gap", "back", "out of order", "too far out of order", "unknown"],
)
def test_frames_that_do_not_follow_end_all_tracks(times_s, found):
    tracker = InstanceTracker()
    assert [ids(tracker.update(frame("AAA"), time_s=time_s)) for time_s in times_s] == [[i] for i in found]


def test_crossing():
    """A walks to the right, B to the left; for one frame A hides B."""
    rows = (
        "AAA.........BBB",
        "..AAA.....BBB..",
        "....AAA.BBB....",
        "......AAA......",  # B is hidden
        "....BBB.AAA....",
        "..BBB.....AAA..",
    )
    assert track(*rows) == [[1, 2], [1, 2], [1, 2], [1], [2, 1], [2, 1]]


def test_a_split_instance_keeps_its_id_on_the_larger_part():
    assert track("AAAAAAAAAA", "BBB.AAAAAA") == [[1], [2, 1]]


def test_two_that_merge_keep_the_id_of_the_larger_one():
    assert track("AAAAAABBB.", "AAAAAAAAA.") == [[1, 2], [1]]


def test_a_short_absence_is_bridged_and_a_long_one_is_not():
    there, gone = "..AAAA..", "........"
    assert track(there, gone, gone, there, memory_frames=2) == [[1], [], [], [1]]
    assert track(there, gone, gone, gone, there, memory_frames=2) == [[1], [], [], [], [2]]
    assert track(there, gone, there, memory_frames=0) == [[1], [], [2]]


def test_a_hidden_instance_is_expected_where_it_was_going():
    rows = ("AA........", "..AA......", "..........", "......AA..")
    assert track(*rows) == [[1], [1], [], [1]]


def test_a_fast_instance_that_does_not_overlap_itself():
    assert track("AAAA............", "....AAAA........", "........AAAA....") == [[1], [1], [1]]


def test_what_overlaps_is_preferred_to_what_is_near():
    assert track("....AAAA....", "...B..AAAA..", "....B...AAAA") == [[1], [2, 1], [2, 1]]


def test_an_instance_elsewhere_is_another_one():
    assert track("AA..............", "..............AA") == [[1], [2]]


def test_another_class_is_another_instance_and_the_first_comes_back():
    tracker = InstanceTracker()
    got = [tracker.update(frame("..XXXX..", {"X": kind})) for kind in "cpc"]
    assert [ids(prediction) for prediction in got] == [[1], [2], [1]]


def test_stuff_keeps_its_id_and_never_has_an_instance_s():
    tracker = InstanceTracker()
    got = [tracker.update(frame(row)) for row in ("rrAAss", "ssrAAA", "BBBsss", "rrrrss")]
    by_label = [{s.label: s.id for s in prediction.segments if not s.is_thing} for prediction in got]
    assert by_label == [{"road": 2, "sky": 3}, {"road": 2, "sky": 3}, {"sky": 3}, {"road": 2, "sky": 3}]
    assert [ids(prediction) for prediction in got] == [[1], [1], [4], []]


def test_regions_of_one_stuff_class_stay_apart():
    got = InstanceTracker().update(frame("rrtt", {"t": "r"}))
    assert got.segment_map.tolist() == [[1, 1, 2, 2]]


def test_panoptic_ids_stay():
    """Without instance numbers the second car would become the first one when that leaves."""
    tracker = InstanceTracker()
    got = [tracker.update(frame(row)).panoptic_ids[0].tolist() for row in ("AABB.rr", "..BB.rr", "CCBB.rr", "DDBB.pp")]
    assert got == [
        [26001, 26001, 26002, 26002, 0, 7, 7],
        [0, 0, 26002, 26002, 0, 7, 7],
        [26001, 26001, 26002, 26002, 0, 7, 7],  # within the memory: the same
        [26001, 26001, 26002, 26002, 0, 24001, 24001],
    ]


def cars(count: int) -> PanopticPrediction:
    """Return a row of cars of one pixel each."""
    segments = tuple(Segment(i + 1, 13, "car", True, 0.9, 1, (i, 0, i + 1, 1)) for i in range(count))
    segment_map = np.zeros((1, 1000), np.int32)
    segment_map[0, :count] = np.arange(1, count + 1)
    return PanopticPrediction(segment_map, segments)


def test_a_number_is_not_given_again_while_its_track_lives():
    """Of 998 cars only the first one stays; then others come, of which the third gets a number of the beginning."""
    tracker = InstanceTracker(memory_frames=0)
    assert [segment.instance_number for segment in tracker.update(cars(998)).segments] == list(range(1, 999))
    tracker.update(cars(1))
    got = tracker.update(cars(3))
    assert [segment.instance_number for segment in got.segments] == [1, 999, 2]
    assert [segment.id for segment in got.segments] == [1, 999, 1000]


def test_numbers_begin_again_after_the_last_one():
    assert next_free(0, set(), 3, "ids") == 1
    assert next_free(2, {1}, 3, "ids") == 3
    assert next_free(3, {1}, 3, "ids") == 2
    assert next_free(2**16 - 1, {1, 2}, 2**16 - 1, "ids") == 3
    with pytest.raises(ValueError, match="more than 3 ids at once"):
        next_free(3, {1, 2, 3}, 3, "ids")


def test_a_thousand_instances_of_one_class_are_refused():
    tracker = InstanceTracker()
    with pytest.raises(ValueError, match="more than 999 instances of one class"):
        tracker.update(cars(1000))


def test_reset_and_another_size_begin_anew():
    tracker = InstanceTracker()
    tracker.update(frame("AA"))
    assert ids(tracker.update(frame("AA."))) == [2]
    tracker.reset()
    assert ids(tracker.update(frame("AA."))) == [1]


def test_an_instance_in_every_second_row_is_tracked():
    """Of large instances every second row is sampled; here that counts the pixels twice."""
    stripes = np.zeros((256, 256), np.int32)
    stripes[::2] = 1
    car = Segment(1, 13, "car", True, 0.9, int(stripes.sum()), (0, 0, 256, 255))
    tracker = InstanceTracker()
    assert [tracker.update(PanopticPrediction(stripes, (car,))).segments[0].id for _ in range(3)] == [1, 1, 1]


def test_nothing_to_track():
    tracker = InstanceTracker()
    for row in ("....", "AA..", "....", "rr.."):
        got = tracker.update(frame(row))
        assert len(got.segments) == len(set(row) - {"."})


@pytest.mark.parametrize("options", [{"memory_frames": -1}, {"min_overlap": 0.0}, {"min_overlap": 1.5}])
def test_wrong_options(options):
    (name,) = options
    with pytest.raises(ValueError, match=name):
        InstanceTracker(**options)


def test_on_a_generated_drive_objects_keep_their_ids():
    """Objects that cross, leave and return; shuffled ids in every frame. benchmarks/tracking.py has the figures."""
    from opendr_panoptic_ros.synthetic.drive import SyntheticDrive

    rng = np.random.default_rng(0)
    tracker = InstanceTracker()
    right = links = 0
    last: dict[int, int] = {}
    for _, truth in SyntheticDrive(900_000_001, num_frames=30, height=128, width=256):
        shuffled = np.concatenate([[0], rng.permutation(len(truth.segments)) + 1]).astype(np.int32)
        order = {segment.id: int(shuffled[i + 1]) for i, segment in enumerate(truth.segments)}
        table = np.zeros(max(order) + 1, np.int32)
        table[list(order)] = list(order.values())
        segments = [Segment(order[s.id], *list(vars(s).values())[1:]) for s in truth.segments]
        got = tracker.update(PanopticPrediction(table[truth.segment_map], tuple(segments)))
        now = {
            old.id: new.id
            for old, new in zip(truth.segments, got.segments, strict=True)
            if old.is_thing and old.area_px >= 10
        }
        links += len(now.keys() & last.keys())
        right += sum(now[thing] == last[thing] for thing in now.keys() & last.keys())
        last = now
    assert links > 100
    assert right / links > 0.95
