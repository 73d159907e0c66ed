# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Labelling a bag: at once, or segment by segment on any machines, with the same result.

See docs/decisions/0005-segments-of-bags.md.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from opendr_panoptic_ros.bags.groups import MessageGroup, grouped, latched_before, thinned
from opendr_panoptic_ros.bags.labeller import Labeller, NoStop, StopRequest
from opendr_panoptic_ros.bags.options import LabelOptions
from opendr_panoptic_ros.bags.plan import BagPlan, Segment, plan_segments
from opendr_panoptic_ros.bags.points import BagClouds
from opendr_panoptic_ros.bags.predictors import (
    ClassInfo,
    NetworkPredictor,
    PredictionWriter,
    Predictor,
    StoredPredictor,
)
from opendr_panoptic_ros.bags.reader import BagReader, Message
from opendr_panoptic_ros.bags.result_writer import ResultWriter, info_topics
from opendr_panoptic_ros.bags.writer import BagWriter, MessageWriter, PieceWriter
from opendr_panoptic_ros.errors import PanopticError, reason
from opendr_panoptic_ros.outputs import need_confidence
from opendr_panoptic_ros.prediction import PanopticPrediction

if TYPE_CHECKING:
    from opendr_panoptic_ros.tracking import InstanceTracker

__all__ = ["BagPlan", "LabelReport", "Segment", "SegmentReport", "join", "label_bag", "label_segment", "plan_segments"]

Progress = Callable[[int, int], None]
"""Called with a record time in ns up to which a bag is done, and with the number of frames segmented so far."""


@dataclass(frozen=True)
class SegmentReport:
    """What was done of a segment.

    Attributes:
        number: Number of the segment.
        frames: Number of frames that were segmented.
        images: Number of frames that were read, those that could not be segmented included.
        info: The classes of the results.
        problems: One line for each image that could not be read or segmented. It was written without results.
        damage: One line for each damaged place of the bag that was left out.
        missing_clouds: Number of frames without a depth image.
        stopped_at_ns: Record time of the first message that was not written; None if all were, or none could be read.
        error: The error that ended the work early, or empty.
    """

    number: int
    frames: int
    images: int
    info: ClassInfo
    problems: tuple[str, ...]
    damage: tuple[str, ...]
    missing_clouds: int
    stopped_at_ns: int | None
    error: str

    @property
    def is_complete(self) -> bool:
        """Whether all messages of the segment were written."""
        return self.stopped_at_ns is None and not self.error


@dataclass(frozen=True)
class LabelReport:
    """What was done of a bag.

    Attributes:
        path: The bag that was written. It exists only if `messages` is above 0.
        messages: Number of messages written, those that were copied included.
        frames: Number of images that were segmented.
        images: Number of images that were read. If it is 0, nothing was written.
        problems: One line for each image that could not be read or segmented. It was written without results.
        stopped_at_ns: Record time of the first message that was not written; None if all were, or none could be read.
        error: The error that ended the work early, or empty.
        damage: One line for each damaged place of the bag that was left out.
        missing_clouds: Number of frames without a depth image.
    """

    path: Path
    messages: int = 0
    frames: int = 0
    images: int = 0
    problems: tuple[str, ...] = ()
    stopped_at_ns: int | None = None
    error: str = ""
    damage: tuple[str, ...] = ()
    missing_clouds: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether the work came to the end of the bag."""
        return self.stopped_at_ns is None and not self.error


class _Predictions:
    """Writes the predictions of frames instead of their results, which are made when the segments are joined.

    Args:
        writer: The file of predictions.

    Attributes:
        frames: Number of frames that were segmented.
        images: Number of frames of which that was tried.
        problems: Empty: these are found again when the segments are joined.
        next_ns: Record time after the last message of which the predictions were written.
    """

    def __init__(self, writer: PredictionWriter) -> None:
        self._writer = writer
        self.frames = self.images = 0
        self.problems: list[str] = []
        self.next_ns: int | None = None

    def write_group(self, group: MessageGroup, predictions: Sequence[PanopticPrediction | Exception]) -> None:
        """Write the predictions of a group.

        Args:
            group: The messages.
            predictions: The prediction of each frame of the group, or the reason why it has none.
        """
        for frame, prediction in zip(group.frames.values(), predictions, strict=True):
            self.next_ns = frame.message.time_ns
            self._writer.write(frame.message.time_ns, prediction)
            self.frames += not isinstance(prediction, Exception)
        self.images += group.images
        if group.messages:
            self.next_ns = group.messages[-1].time_ns + 1


def label_bag(
    plan: BagPlan,
    options: LabelOptions,
    out: Path,
    *,
    stop: StopRequest | None = None,
    on_progress: Progress = lambda _time_ns, _frames: None,
    record: Callable[[LabelReport], str] | None = None,
) -> LabelReport:
    """Label a bag in this process.

    Args:
        plan: The plan of the bag.
        options: The options with which the plan was made.
        out: The new bag, see `BagWriter`.
        stop: A request to stop early; None for none.
        on_progress: Called after groups of frames.
        record: See `Joiner.close`.

    Returns:
        What was done. Errors of reading, segmenting and writing are reported there, so that completed work is kept.

    Raises:
        PanopticError: The new bag cannot be made there or could not be completed, or an option is not legal.
    """
    stop = stop or NoStop()
    predictor = network_predictor(plan, options, track_ids=options.track_ids)
    joiner = Joiner(plan, options, out)
    joiner.label(plan.segments, predictor, stop, on_progress)
    with stop.hold():
        return joiner.close(record)


def label_segment(
    plan: BagPlan,
    segment: Segment,
    options: LabelOptions,
    piece: Path,
    *,
    stop: StopRequest | None = None,
    on_progress: Progress = lambda _time_ns, _frames: None,
) -> SegmentReport:
    """Label a segment of a bag. It may run in any process on any machine that can read the bag.

    Args:
        plan: The plan of the bag.
        segment: The segment.
        options: The options with which the plan was made.
        piece: The file to write for `join`; one that exists is replaced. It gets its name when it is complete.
        stop: A request to stop early; None for none.
        on_progress: Called after groups of frames.

    Returns:
        What was done. Errors of reading, segmenting and writing are reported there.

    Raises:
        PanopticError: The bag cannot be read, the file cannot be written, or an option is not legal.
    """
    predictor = network_predictor(plan, options, track_ids=False)
    with ExitStack() as stack:
        reader = stack.enter_context(BagReader(plan.source))
        clouds: BagClouds | None = None
        writer: ResultWriter | _Predictions
        file: PieceWriter | PredictionWriter
        if options.track_ids:
            file = PredictionWriter(piece)
            writer = _Predictions(file)
        else:
            file = PieceWriter(piece, compression=options.compression)
            for channel in plan.channels:
                file.add_channel(channel)
            clouds = _clouds(plan, options, stack)
            writer = _result_writer(file, plan, options, predictor.info, clouds)
        groups = _groups(reader, plan, options, [segment])
        labeller = Labeller(predictor, writer)
        labeller.run(groups, stop or NoStop(), on_progress=on_progress)
        file.close()
        return _report(segment, writer, predictor, reader, clouds, labeller)


def join(
    plan: BagPlan,
    options: LabelOptions,
    pieces: Iterable[tuple[SegmentReport, Path]],
    out: Path,
    *,
    record: Callable[[LabelReport], str] | None = None,
) -> LabelReport:
    """Join the pieces of a bag.

    Args:
        plan: The plan of the bag.
        options: The options with which the plan was made.
        pieces: Report and file of each segment, in the order of the segments. They are taken one after another, so that
            they may be made meanwhile; those behind one that is not complete are not taken.
        out: The new bag, see `BagWriter`.
        record: See `Joiner.close`.

    Returns:
        What was done.

    Raises:
        PanopticError: The new bag cannot be made there or could not be completed.
    """
    joiner = Joiner(plan, options, out)
    for report, piece in pieces:
        if not joiner.add(report, piece):
            break
    return joiner.close(record)


class Joiner:
    """A bag that is made of the pieces of its segments, or of segments that are labelled in this process.

    Args:
        plan: The plan of the bag.
        options: The options with which the plan was made.
        out: The new bag, see `BagWriter`.

    Attributes:
        partial: The folder of the unfinished bag, in which pieces may be put.

    Raises:
        PanopticError: The new bag cannot be made there.
    """

    def __init__(self, plan: BagPlan, options: LabelOptions, out: Path) -> None:
        self._plan, self._options = plan, options
        self._writer = BagWriter(out, compression=options.compression)
        self.partial = self._writer.partial
        for channel in plan.channels:
            self._writer.add_channel(channel)
        self._trackers: dict[str, InstanceTracker] = {}
        self._total = LabelReport(out)
        self._next = 0  # number of the next segment

    def label(
        self,
        segments: Sequence[Segment],
        predictor: Predictor,
        stop: StopRequest | None = None,
        on_progress: Progress = lambda _time_ns, _frames: None,
    ) -> None:
        """Label segments with their results going directly into the bag.

        Args:
            segments: The segments.
            predictor: Segments the frames.
            stop: A request to stop early; None for none.
            on_progress: Called after groups of frames.
        """
        with ExitStack() as stack:
            reader = stack.enter_context(BagReader(self._plan.source))
            clouds = _clouds(self._plan, self._options, stack)
            writer = _result_writer(self._writer, self._plan, self._options, predictor.info, clouds)
            groups = _groups(reader, self._plan, self._options, segments)
            labeller = Labeller(predictor, writer)
            labeller.run(groups, stop or NoStop(), on_progress=on_progress)
            self._count(_report(segments[-1], writer, predictor, reader, clouds, labeller))

    def add(self, report: SegmentReport, piece: Path) -> bool:
        """Append the piece of the next segment.

        Args:
            report: What was done of the segment.
            piece: The file that `label_segment` has written.

        Returns:
            Whether the next segment is to follow: False if an error occurred, or the segment is not complete.
        """
        segment = self._plan.segments[report.number]
        try:
            if self._options.track_ids:
                predictor = StoredPredictor(piece, report.info, self._trackers)
                with closing(predictor):
                    self.label([replace(segment, end_ns=report.stopped_at_ns or segment.end_ns)], predictor)
                report = replace(
                    report,
                    frames=0,  # counted just now
                    images=0,
                    stopped_at_ns=self._total.stopped_at_ns or report.stopped_at_ns,
                    error=self._total.error or report.error,
                )
            else:
                known = [topic for topic in info_topics(self._plan.topics) if self._writer.written(topic)]
                self._writer.append(piece, without=known)
        except (OSError, PanopticError) as error:
            start_ns = self._plan.bag_start_ns if segment.start_ns is None else segment.start_ns
            report = replace(
                report, frames=0, images=0, problems=(), error=_reason(error), stopped_at_ns=start_ns
            )  # fmt: skip
        self._count(report)
        return self._total.is_complete

    def close(self, record: Callable[[LabelReport], str] | None = None, *, error: str = "") -> LabelReport:
        """Complete the bag. It is removed if no image was read.

        Args:
            record: Returns the content of the file `writer.RECORD` of the new bag, which must be a folder. With it, a
                bag that is not complete is removed; None for no record.
            error: The reason why the next segment is missing, if it is an error.

        Returns:
            What was done.

        Raises:
            PanopticError: The bag could not be completed.
        """
        if self._next < len(self._plan.segments) and self._total.is_complete:
            missing_ns = self._plan.segments[self._next].start_ns
            missing_ns = self._plan.bag_start_ns if missing_ns is None else missing_ns
            self._total = replace(self._total, stopped_at_ns=missing_ns, error=error)
        is_kept = self._total.images > 0 and (record is None or self._total.is_complete)
        total = replace(self._total, messages=self._writer.count if is_kept else 0)
        try:
            self._writer.close(is_kept=is_kept, record="" if record is None else record(total))
        except OSError as caught:
            raise PanopticError(
                f"{self.partial} could not be completed and cannot be read; remove it: {caught}"
            ) from caught
        return total

    def _count(self, report: SegmentReport) -> None:
        total = self._total
        self._next = report.number + 1
        self._total = replace(
            total,
            frames=total.frames + report.frames,
            images=total.images + report.images,
            problems=total.problems + report.problems,
            damage=tuple(dict.fromkeys(total.damage + report.damage)),
            missing_clouds=total.missing_clouds + report.missing_clouds,
            stopped_at_ns=report.stopped_at_ns,
            error=report.error,
        )


def network_predictor(plan: BagPlan, options: LabelOptions, *, track_ids: bool) -> NetworkPredictor:
    """Return a predictor for the frames of a bag.

    Args:
        plan: The plan of the bag.
        options: The options with which the plan was made.
        track_ids: Whether it tracks, which requires that it gets all frames of the bag in their order.

    Raises:
        PanopticError: An option is not legal.
    """
    pipeline = options.pipeline(plan.topics, track_ids=track_ids)
    return NetworkPredictor(pipeline, options.classes, with_confidence=need_confidence(options.outputs))


def _groups(
    reader: BagReader, plan: BagPlan, options: LabelOptions, segments: Iterable[Segment]
) -> Generator[MessageGroup, None, None]:
    """Yield the groups of segments, decoded."""
    for segment in segments:
        messages: Iterable[Message] = thinned(
            reader,
            plan.topics,
            with_others=options.copied == "all",
            left_out=plan.left_out,
            start_ns=segment.start_ns,
            end_ns=segment.end_ns,
            every=options.every,
            skipped=segment.skipped,
        )
        if segment.number == 0 and segment.start_ns is not None and options.copied == "all":
            messages = chain(latched_before(reader, {*plan.topics, *plan.left_out}, segment.start_ns), messages)
        for group in grouped(messages, options.batch * len(plan.topics), plan.topics):
            yield MessageGroup.decoded(group, plan.topics)
        yield MessageGroup(is_last=True)


def _result_writer(
    writer: MessageWriter, plan: BagPlan, options: LabelOptions, info: ClassInfo, clouds: BagClouds | None
) -> ResultWriter:
    are_frames_copied = options.copied != "none"
    return ResultWriter(
        writer, plan.topics, options.outputs, info, clouds=clouds, are_frames_copied=are_frames_copied
    )  # fmt: skip


def _report(
    segment: Segment,
    writer: ResultWriter | _Predictions,
    predictor: Predictor,
    reader: BagReader,
    clouds: BagClouds | None,
    labeller: Labeller,
) -> SegmentReport:
    """Return what was done up to the end of a segment."""
    return SegmentReport(
        number=segment.number,
        frames=writer.frames,
        images=writer.images,
        info=predictor.info,
        problems=tuple(writer.problems),
        damage=tuple(reader.damage),
        missing_clouds=clouds.missing if clouds is not None else 0,
        stopped_at_ns=labeller.stopped_at_ns,
        error=_reason(labeller.error),
    )


def _clouds(plan: BagPlan, options: LabelOptions, stack: ExitStack) -> BagClouds | None:
    """Return what makes labelled clouds, with a reader of its own: it reads in the thread that writes."""
    if plan.depth is None or options.clouds is None:
        return None
    return BagClouds(stack.enter_context(BagReader(plan.source)), plan.depth, options.clouds)


def _reason(error: Exception | None) -> str:
    return "" if error is None else reason(error)
