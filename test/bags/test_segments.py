# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Segments of a bag: labelled apart and joined, they give the bytes of the bag that is labelled at once."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path

import pytest
from support.bags import ORIGIN_NS, STEP_NS, drive, frames_in, pictures, read_bag

from opendr_panoptic_ros.bags import plan
from opendr_panoptic_ros.bags.options import CloudOptions, LabelOptions, NetworkOptions
from opendr_panoptic_ros.bags.segments import join, label_bag, label_segment, plan_segments
from opendr_panoptic_ros.errors import PanopticError

FRAMES = 36  # in batches of one and with eight batches for a segment, four segments


@pytest.fixture(autouse=True)
def _short_segments(monkeypatch):
    monkeypatch.setattr(plan, "_BATCHES", 8)


def recording(make_bag, kind):
    sent = [*drive(FRAMES, height=24, width=32), *(("/chatter", i * STEP_NS + 1, f"word {i}") for i in range(FRAMES))]
    sent[20] = ("/cam/image_raw", 20 * STEP_NS, pictures(1, 20, 20)[0])  # of another size
    return make_bag(sorted(sent, key=lambda message: message[1]), kind)


def content_of(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


def options_of(checkpoint, **changes):
    return LabelOptions(NetworkOptions(str(checkpoint), backend="torch"), batch=1, **changes)


def label_apart(source, options, out: Path):
    planned = plan_segments(source, options)
    planned, options = pickle.loads(pickle.dumps((planned, options)))  # as they reach other machines
    assert len(planned.segments) > 1
    pieces = [out.with_name(f"{out.name}.piece{segment.number}") for segment in planned.segments]
    reports = [
        label_segment(planned, segment, options, piece)
        for segment, piece in reversed(list(zip(planned.segments, pieces, strict=True)))
    ]
    return join(planned, options, zip(reversed(reports), pieces, strict=True), out)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("mcap", {}),
        ("sqlite3", {"track_ids": True, "outputs": ("panoptic", "confidence", "label_info")}),
        ("ros1", {"every": 2, "start_s": 0.25, "end_s": 3.45, "compression": "none"}),
        ("mcap", {"copied": "frames"}),
        ("mcap", {"copied": "none", "outputs": ("semantic",), "track_ids": True}),
    ],
)
def test_joined_segments_have_the_bytes_of_the_whole(make_bag, tmp_path, tiny_checkpoint, kind, changes):
    source = recording(make_bag, kind)
    options = options_of(tiny_checkpoint, **changes)
    (tmp_path / "apart").mkdir()
    apart = label_apart(source, options, tmp_path / "apart" / "out")
    whole = label_bag(plan_segments(source, options), options, tmp_path / "out")
    assert whole.is_complete
    assert whole.frames > 15
    assert dataclasses.replace(apart, path=whole.path) == whole
    assert content_of(tmp_path / "out") == content_of(tmp_path / "apart" / "out")
    messages = read_bag(tmp_path / "out")
    assert ("/chatter" in messages) == (options.copied == "all")
    assert len(messages.get("/cam/panoptic/label_info", "x")) == 1


def test_cuts_depend_on_the_bag_alone(make_bag, tiny_checkpoint):
    source = recording(make_bag, "mcap")
    planned = plan_segments(source, options_of(tiny_checkpoint))
    assert [segment.number for segment in planned.segments] == [0, 1, 2, 3]
    starts, ends = zip(*((segment.start_ns, segment.end_ns) for segment in planned.segments), strict=True)
    assert ends[:-1] == starts[1:]
    assert (starts[0], ends[-1]) == (None, None)
    assert planned.start_ns == ORIGIN_NS
    thinned = plan_segments(source, dataclasses.replace(options_of(tiny_checkpoint), every=2))
    assert [segment.skipped for segment in thinned.segments] == [(0,), (18,)]


def test_a_segment_that_is_not_complete_ends_the_bag(make_bag, tmp_path, tiny_checkpoint):
    source = recording(make_bag, "mcap")
    options = options_of(tiny_checkpoint, outputs=("semantic",))
    planned = plan_segments(source, options)

    class Stop:
        asked = 0

        @property
        def came(self):
            self.asked += 1
            return self.asked > 3

        def hold(self):
            raise NotImplementedError

    pieces = [tmp_path / f"{number}.piece" for number in range(3)]
    reports = [
        label_segment(planned, segment, options, piece, stop=Stop() if segment.number == 1 else None)
        for segment, piece in zip(planned.segments, pieces, strict=False)
    ]
    assert [report.is_complete for report in reports] == [True, False, True]
    report = join(planned, options, zip(reports, pieces, strict=True), tmp_path / "out")
    assert not report.is_complete
    assert report.frames == reports[0].frames + 3
    assert frames_in(read_bag(tmp_path / "out"), "/cam/panoptic/semantic") == list(range(report.frames))
    assert report.images == report.frames
    assert report.stopped_at_ns == ORIGIN_NS + (report.frames - 1) * STEP_NS + 1, "the word after the last frame"
    missing = join(planned, options, zip(reports[:1], pieces[:1], strict=True), tmp_path / "missing")
    assert (missing.frames, missing.stopped_at_ns) == (reports[0].frames, planned.segments[1].start_ns)


def test_a_missing_piece_is_an_error_that_keeps_what_was_done(make_bag, tmp_path, tiny_checkpoint):
    source = recording(make_bag, "mcap")
    options = options_of(tiny_checkpoint, outputs=("semantic",))
    planned = plan_segments(source, options)
    piece = tmp_path / "0.piece"
    report = label_segment(planned, planned.segments[0], options, piece)
    second = dataclasses.replace(report, number=1)
    done = join(planned, options, [(report, piece), (second, tmp_path / "none")], tmp_path / "out")
    assert (done.frames, done.stopped_at_ns) == (report.frames, planned.segments[1].start_ns)
    assert "No such file" in done.error


def test_options_that_do_not_fit_the_bag(make_bag, tiny_checkpoint):
    source = recording(make_bag, "mcap")
    with pytest.raises(PanopticError, match="The bag has no sensor_msgs/msg/Image on /depth/image_rect"):
        plan_segments(source, options_of(tiny_checkpoint, clouds=CloudOptions()))
    with pytest.raises(PanopticError, match="--compression is 'lz4'"):
        options_of(tiny_checkpoint, compression="lz4")
