# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""`opendr-panoptic bag`: a bag in, a bag with the results out. No ROS installation is needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from opendr_panoptic_ros.cli.common import INTERRUPTED, Interruption, user_errors
from opendr_panoptic_ros.errors import ImageEncodingError, PanopticError

if TYPE_CHECKING:
    from opendr_panoptic_ros.bags.reader import BagReader, Message
    from opendr_panoptic_ros.bags.results import Frame
    from opendr_panoptic_ros.inference import PanopticSegmenter
    from opendr_panoptic_ros.prediction import PanopticPrediction
    from opendr_panoptic_ros.tracking import InstanceTracker


def bag(
    source: Annotated[Path, typer.Argument(metavar="IN", help="ROS 1 .bag; rosbag2 folder, .mcap or .db3.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="New rosbag2 folder; with the ending .mcap a file.")],
    topic: Annotated[
        list[str] | None, typer.Option(help="Images, raw or compressed; may be repeated. Not needed if there is one.")
    ] = None,
    start: Annotated[float, typer.Option(min=0, max=1e9, help="Seconds from the bag's beginning.")] = 0.0,
    end: Annotated[float | None, typer.Option(min=0, max=1e9, help="Seconds from the bag's beginning.")] = None,
    every: Annotated[int, typer.Option(min=1, help="Take every n-th frame of a topic.")] = 1,
    colors: Annotated[bool, typer.Option(help="Write colour maps of classes and instances.")] = True,
    overlay: Annotated[bool, typer.Option(help="Write the colours drawn over the images.")] = True,
    track_ids: Annotated[bool, typer.Option("--track-ids", help="Instances keep their ids over the frames.")] = False,
    batch: Annotated[int, typer.Option(min=1, help="Frames of one size that run together.")] = 4,
    checkpoint: Annotated[str, typer.Option(help="Network: a file, an OpenDR directory or a name.")] = "demo",
    config: Annotated[str | None, typer.Option(help="Replaces the checkpoint's: a name or a YAML file.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1.")] = "auto",
    size: Annotated[int | None, typer.Option(min=32, help="Longer side the network sees, in pixels.")] = None,
    score_threshold: Annotated[float | None, typer.Option(min=0, max=1, help="Of detections.")] = None,
) -> None:
    """Segment the images of a bag; write them and the results to a new MCAP bag.

    The input stays as it is. Ctrl-C closes the bag where it is and says how to go on; after a kill only OUT.partial is
    left. Status 1: some frames could not be read, the others are done; or nothing was written.
    """
    with user_errors():
        from opendr_panoptic_ros.bags.reader import BagReader
        from opendr_panoptic_ros.bags.results import COLORS, LABELS
        from opendr_panoptic_ros.bags.writer import BagWriter
        from opendr_panoptic_ros.outputs import VISUALIZATION

        source, out = source.expanduser(), out.expanduser()
        BagWriter.check_free(out)
        if source.resolve() in out.resolve().parents:
            raise PanopticError(f"{out} is inside the input, which shall stay as it is; choose another place.")
        with BagReader(source) as reader:
            topics = chosen_topics(reader, topic or [])
            if not any(reader.topics[name].message_count for name in topics):
                raise PanopticError(f"There are no messages on {', '.join(topics)}.")
            start_ns = reader.start_ns + round(start * 1e9)
            end_ns = reader.end_ns if end is None else min(reader.end_ns, reader.start_ns + round(end * 1e9))
            if start_ns >= end_ns:
                length_s = (reader.end_ns - reader.start_ns) / 1e9
                raise PanopticError(
                    f"From {start} s on, before --end, there is nothing: the bag lasts {length_s:.3f} s."
                )

            from opendr_panoptic_ros.inference import PanopticSegmenter

            segmenter = PanopticSegmenter(
                checkpoint, config=config, device=device, inference_size=size, score_threshold=score_threshold
            )
            outputs = [*LABELS, *(COLORS if colors else ()), *([VISUALIZATION] if overlay else [])]
            # The bag's own times may leave out messages that were recorded late: only times that were asked for count.
            messages = selected(reader, topics, start_ns if start else 0, None if end is None else end_ns, every)
            with Interruption() as interruption:
                labeller = Labeller(reader, out, segmenter, topics, outputs, batch=batch, track_ids=track_ids)
                labeller.run(windows(messages, batch * len(topics)), start_ns, end_ns, interruption)
            labeller.report(reader.start_ns)


def chosen_topics(reader: BagReader, names: list[str]) -> list[str]:
    """The topics to segment: those named, else the only one that has images.

    Raises PanopticError when a name is no topic of images, or when it is not clear which topic is meant.
    """
    from opendr_panoptic_ros.bags.reader import count_by_topic
    from opendr_panoptic_ros.bags.types import COMPRESSED_IMAGE, IMAGE

    images = {name: t for name, t in reader.topics.items() if t.type_name in (IMAGE, COMPRESSED_IMAGE)}
    if not images:
        raise PanopticError(f"The bag has no images. Its topics: {count_by_topic(reader.topics)}.")
    wrong = [name for name in names if name not in images]
    if wrong:
        raise PanopticError(f"The bag has no images on {', '.join(wrong)}, but on: {count_by_topic(images)}.")
    if not names and len(images) > 1:
        raise PanopticError(f"The bag has images on several topics; choose with --topic: {count_by_topic(images)}.")
    return list(dict.fromkeys(names or images))


def selected(reader: BagReader, topics: list[str], start_ns: int, end_ns: int | None, every: int) -> Iterator[Message]:
    """Every n-th message of each topic, in this time. They are counted from the bag's beginning, wherever it starts."""
    counts: Counter[str] = Counter()
    for message in reader.messages(topics, start_ns=start_ns if every == 1 else None, end_ns=end_ns):
        if counts[message.topic] % every == 0 and message.time_ns >= start_ns:
            yield message
        counts[message.topic] += 1


def windows(messages: Iterable[Message], size: int) -> Iterator[list[Message]]:
    """Messages in groups of `size`, or more, as messages of the same time stay together: `--start` names a time.

    What comes before damage in the file is a group, before the error.
    """
    window: list[Message] = []
    try:
        for message in messages:
            if len(window) >= size and message.time_ns != window[-1].time_ns:
                yield window
                window = []
            window.append(message)
    except PanopticError:
        if window:
            yield window
        raise
    if window:
        yield window


def prefixes(topics: list[str]) -> dict[str, str]:
    """Topic to what the topics of its results begin with: `/front/image_raw` to `/front/panoptic`, as the node has it.

    Where two would be equal, or one of the topics be a result, the whole name comes before: `/front/left/panoptic`,
    `/front/right/panoptic`.
    """
    parents = {topic: topic.removesuffix("/compressed").rpartition("/")[0] for topic in topics}
    shared = Counter(parents.values())

    def is_taken(parent: str) -> bool:
        return shared[parent] > 1 or parent in parents or any(t.startswith(f"{parent}/panoptic/") for t in topics)

    return {topic: f"{topic if is_taken(parent) else parent}/panoptic" for topic, parent in parents.items()}


class Labeller:
    """Segments messages and writes them with their results.

    frames: how many were segmented. problems: the frames that could not be read. stopped_at_ns: time of the first
    message that was left for another run, if there is one.
    """

    def __init__(
        self,
        reader: BagReader,
        out: Path,
        segmenter: PanopticSegmenter,
        topics: list[str],
        outputs: list[str],
        *,
        batch: int,
        track_ids: bool,
    ) -> None:
        from opendr_panoptic_ros.bags.writer import BagWriter
        from opendr_panoptic_ros.tracking import InstanceTracker

        self.frames = 0
        self.problems: list[str] = []
        self.stopped_at_ns: int | None = None
        self._next_ns = 0  # of the first message that is not written yet
        self._error: Exception | None = None
        self._segmenter, self._outputs, self._batch = segmenter, outputs, batch
        self._prefixes = prefixes(topics)
        self._trackers: dict[str, InstanceTracker] = {t: InstanceTracker() for t in topics} if track_ids else {}
        self._topics = [reader.topics[name] for name in topics]
        self._writer = BagWriter(out)

    def run(self, groups: Iterator[list[Message]], start_ns: int, end_ns: int, interruption: Interruption) -> None:
        """Work until the messages are at an end, an interruption, or an error; then close the bag."""
        columns = "Segmenting", BarColumn(), "{task.percentage:>3.0f} %", "{task.fields[frames]} frames", "time left"
        shown = [TextColumn(c) if isinstance(c, str) else c for c in columns]
        self._next_ns = start_ns
        with Progress(*shown, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
            task = progress.add_task("", total=end_ns - start_ns, frames=0)
            try:
                self._announce_topics()
                for group in groups:
                    self._next_ns = group[0].time_ns
                    if interruption.came:
                        self.stopped_at_ns = self._next_ns
                        break
                    results = self._results(group)
                    interruption.held = True  # half a message would spoil the bag
                    self._write(group, results)
                    interruption.held = False
                    progress.update(task, completed=group[-1].time_ns - start_ns, frames=self.frames)
                else:
                    progress.update(task, completed=end_ns - start_ns)
            except KeyboardInterrupt:  # the second: the frames in work are left
                self.stopped_at_ns = self._next_ns
            except Exception as error:  # noqa: BLE001 - hours of work are kept, whatever ends them
                self._error, self.stopped_at_ns = error, self._next_ns
            interruption.held = True
            try:
                self._writer.close()
            except OSError as error:
                raise PanopticError(
                    f"{self._writer.partial} could not be completed and cannot be read; remove it: {error}"
                ) from error

    def _announce_topics(self) -> None:
        from opendr_panoptic_ros.bags.results import TYPE_NAMES

        for topic in self._topics:
            self._writer.add_topic(topic.name, topic.type_name, topic.qos)
            for output in self._outputs:
                self._writer.add_topic(f"{self._prefixes[topic.name]}/{output}", TYPE_NAMES[output])

    def report(self, origin_ns: int) -> None:
        """Say what was done.

        Raises PanopticError when a frame could not be read or an error ended the work, and `typer.Exit` after an
        interruption.
        """
        place = f"results in {self._writer.path}" if self._writer.count else "nothing was written"
        typer.echo(f"{self.frames} frames segmented, {place}")
        go_on = ""
        if self.stopped_at_ns is not None:
            go_on = f"Go on into another bag with --start {(self.stopped_at_ns - origin_ns) / 1e9:.9f}"
        unread = ""
        if self.problems:
            more = f" ({len(self.problems)} such frames)" if len(self.problems) > 1 else ""
            unread = f"not segmented: {self.problems[0]}{more}"
        if self._error is not None:
            known = isinstance(self._error, PanopticError)
            ended = f"{'' if known else f'{type(self._error).__name__}: '}{self._error}\n{go_on}"
            raise PanopticError(f"{ended}\n{unread}".rstrip()) from self._error
        if go_on:
            typer.echo(f"Stopped. {go_on}")
            typer.echo(unread, err=True, nl=bool(unread))
            raise typer.Exit(INTERRUPTED)
        if unread:
            raise PanopticError(unread)
        if not self._writer.count:
            raise PanopticError("There are no frames in this time.")

    def _read(self, message: Message) -> Frame | None:
        """The frame in a message; None, and a problem noted, where it cannot be read."""
        from opendr_panoptic_ros.bags.results import read_frame

        try:
            return read_frame(message)
        except ImageEncodingError as error:
            self.problems.append(f"{message.topic} at {message.time_ns} ns: {error}")
            return None

    def _results(self, group: Sequence[Message]) -> dict[int, tuple[Frame, PanopticPrediction]]:
        """Position in the group to frame and result, for those that can be read. Those of one size run together."""
        by_size: dict[tuple[int, ...], list[tuple[int, Frame]]] = {}
        for i, message in enumerate(group):
            frame = self._read(message)
            if frame is not None:
                by_size.setdefault(frame.image_rgb.shape, []).append((i, frame))
        results = {}
        for frames in by_size.values():
            for first in range(0, len(frames), self._batch):
                some = frames[first : first + self._batch]
                predictions = self._segmenter([frame.image_rgb for _, frame in some])
                results.update({i: (frame, p) for (i, frame), p in zip(some, predictions, strict=True)})
        return results

    def _write(self, group: Sequence[Message], results: dict[int, tuple[Frame, PanopticPrediction]]) -> None:
        """Each message, and after it its results, all at the time of the message."""
        from opendr_panoptic_ros.bags.results import serialized

        for i, message in enumerate(group):
            self._next_ns = message.time_ns
            sent = {message.topic: message.data}
            if i in results:
                frame, prediction = results[i]
                if self._trackers:
                    stamp = frame.header.stamp
                    time_s = stamp.sec + stamp.nanosec / 1e9
                    prediction = self._trackers[message.topic].update(prediction, time_s=time_s)
                prefix = self._prefixes[message.topic]
                sent |= {f"{prefix}/{output}": serialized(output, frame, prediction) for output in self._outputs}
            self._writer.write(message.time_ns, sent)
            self.frames += i in results
        self._next_ns += 1
