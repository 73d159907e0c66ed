# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""What the demo leaves behind: figures, an overlay video, pictures of some moments."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.table import Table
from rosbags.highlevel import AnyReader

from opendr_panoptic_ros.codec.image import decode
from opendr_panoptic_ros.visualize import contact_sheet

if TYPE_CHECKING:
    from opendr_panoptic_ros.formats.panoptic_quality import PanopticQuality

_MAX_VIDEO_SIDE_PX = 1280
# WebM plays in browsers too. Every OpenCV can write the other, also one without FFmpeg, as on a Jetson.
_VIDEO_FORMATS = ((".webm", "VP80"), (".avi", "MJPG"))
_MOMENTS = 4


@dataclass(frozen=True)
class DemoResult:
    """What happened in one run of the demo.

    published: by the camera; received, answered, dropped, failed: by the node, of those.
    answer_stamps_ns, answer_times_ns: of each segmentation message, its frame's stamp and the time of its arrival.
    first_answer_s: from the start of the demo to the first of them. image_size_px: width, height. quality: of the
    answers, where the truth is known. files: what it wrote.
    """

    published: int
    received: int
    answered: int
    dropped: int
    failed: int
    answer_stamps_ns: tuple[int, ...]
    answer_times_ns: tuple[int, ...]
    first_answer_s: float
    image_size_px: tuple[int, int]
    checkpoint: str
    device: str
    quality: PanopticQuality | None
    files: tuple[Path, ...]

    @property
    def latencies_ms(self) -> NDArray[np.float64]:
        """From each answered frame's stamp to the arrival of its segmentation message."""
        return np.subtract(self.answer_times_ns, self.answer_stamps_ns) / 1e6

    @property
    def answers_per_s(self) -> float:
        """How fast answers followed each other; 1 where there was but one."""
        duration_s = (self.answer_times_ns[-1] - self.answer_times_ns[0]) / 1e9
        return (len(self.answer_times_ns) - 1) / duration_s if duration_s > 0 else 1.0


def result_rows(result: DemoResult) -> list[list[tuple[str, str]]]:
    """The figures of a run in words, by section."""
    p50_ms, p95_ms = np.percentile(result.latencies_ms, (50, 95))
    width_px, height_px = result.image_size_px
    sections = [
        [
            ("frames published", f"{result.published}"),
            ("received by the node", f"{result.received}"),
            ("answered", f"{result.answered}"),
            ("dropped for a newer frame", f"{result.dropped}"),
            ("failed", f"{result.failed}"),
        ],
        [
            ("start to first panoptic message", f"{result.first_answer_s:.1f} s"),
            ("latency p50 / p95, frame to message", f"{p50_ms:.0f} / {p95_ms:.0f} ms"),
            ("answers per second", f"{result.answers_per_s:.1f}"),
        ],
        [
            ("image size", f"{width_px} × {height_px} px"),
            ("weights", result.checkpoint),
            ("device", result.device),
        ],
    ]
    if result.quality is not None:
        groups = {"all classes": result.quality.all, "things": result.quality.things, "stuff": result.quality.stuff}
        rows = [
            (f"PQ / SQ / RQ, {name} ({group.n})", " / ".join(f"{100 * x:.1f}" for x in (group.pq, group.sq, group.rq)))
            for name, group in groups.items()
        ]
        sections.insert(2, rows)
    return sections


def result_table(result: DemoResult) -> Table:
    """The figures of a run, for the terminal."""
    table = Table(title="opendr-panoptic demo", title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    for section in result_rows(result):
        for row in section:
            table.add_row(*row)
        table.add_section()
    return table


def write_overlay_video(bag: Path, topic: str, path: Path, rate_hz: float) -> Path:
    """Write the pictures of one topic of a bag as a video in real time: each stays until the next one's stamp.

    At most 1280 pixels wide or high, at `rate_hz` frames per second. Returns `path` with the suffix of its format.
    """
    writer: cv2.VideoWriter | None = None
    size, first_stamp_ns, written = (0, 0), 0, 0
    frame: NDArray[Any] = np.empty(0)
    for _, stamp_ns, picture in _pictures(bag, (topic,)):
        if writer is None:
            size, first_stamp_ns = _video_size(picture.shape[1], picture.shape[0]), stamp_ns
            writer, path = _open_video(path, rate_hz, size)
        due = round((stamp_ns - first_stamp_ns) / 1e9 * rate_hz)
        while written < due:
            writer.write(frame)
            written += 1
        frame = cv2.cvtColor(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2BGR)
    if writer is not None:
        writer.write(frame)
        writer.release()
    return path


def moments_of(
    bag: Path, topics: dict[str, str], stamps_ns: Sequence[int]
) -> list[tuple[float, dict[str, NDArray[np.uint8]]]]:
    """Some moments of a bag, evenly spread: seconds from the first of them, and a picture of each topic.

    topics: title of the picture to topic. stamps_ns: of the frames for which there are pictures on all of them.
    """
    chosen = [stamps_ns[i] for i in np.unique(np.linspace(0, len(stamps_ns) - 1, _MOMENTS).round().astype(int))]
    pictures = {
        (topic, stamp_ns): picture for topic, stamp_ns, picture in _pictures(bag, topics.values()) if stamp_ns in chosen
    }
    return [
        ((stamp_ns - stamps_ns[0]) / 1e9, {title: pictures[topic, stamp_ns] for title, topic in topics.items()})
        for stamp_ns in chosen
    ]


def write_contact_sheet(path: Path, moments: Sequence[tuple[float, dict[str, NDArray[np.uint8]]]]) -> None:
    """Write the pictures of these moments as one: a row for each moment, a column for each title."""
    cells = [
        (f"{title}, {seconds:.1f} s", picture) for seconds, pictures in moments for title, picture in pictures.items()
    ]
    sheet = contact_sheet(
        [picture for _, picture in cells],
        columns=len(moments[0][1]),
        tile_width_px=400,
        titles=[title for title, _ in cells],
    )
    cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))


def _pictures(bag: Path, topics: Any) -> Iterator[tuple[str, int, NDArray[np.uint8]]]:
    """Topic, stamp in ns and RGB picture of each image message on these topics."""
    with AnyReader([bag]) as reader:
        connections = [connection for connection in reader.connections if connection.topic in set(topics)]
        for connection, _, data in reader.messages(connections):
            message: Any = reader.deserialize(data, connection.msgtype)
            stamp = message.header.stamp
            yield connection.topic, stamp.sec * 10**9 + stamp.nanosec, decode(message)


def _video_size(width: int, height: int) -> tuple[int, int]:
    """Even numbers of pixels, as codecs want them, not above the limit and of the same shape as far as can be."""
    scale = min(1.0, _MAX_VIDEO_SIDE_PX / max(width, height))
    even_width, even_height = (max(16, round(side * scale / 2) * 2) for side in (width, height))
    return even_width, even_height


def _open_video(path: Path, rate_hz: float, size: tuple[int, int]) -> tuple[cv2.VideoWriter, Path]:
    for suffix, codec in _VIDEO_FORMATS:
        path = path.with_suffix(suffix)
        with _silent_stderr():  # OpenCV prints that it does not know VP8's tag in WebM; the file is as it should be
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), rate_hz, size)
        if writer.isOpened():
            break
    return writer, path


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Keeps what C code prints to standard error from the terminal."""
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as null:
            os.dup2(null.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
