# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The results of the demo: figures, an overlay video, and pictures of some moments."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from opendr_panoptic_ros.bags.reader import BagReader
from opendr_panoptic_ros.bags.results import read_frame, stamp_ns
from opendr_panoptic_ros.bags.types import typestore
from opendr_panoptic_ros.demo.cloud_view import draw_cloud
from opendr_panoptic_ros.errors import PanopticError
from opendr_panoptic_ros.files import write_png
from opendr_panoptic_ros.media import VideoWriter
from opendr_panoptic_ros.points import CLOUD_DTYPE
from opendr_panoptic_ros.visualize import contact_sheet

if TYPE_CHECKING:
    from opendr_panoptic_ros.formats.panoptic_quality import PanopticQuality

_MAX_VIDEO_SIDE_PX = 1280
_MOMENTS = 4


@dataclass(frozen=True)
class DemoResult:
    """The figures of one run of the demo.

    Attributes:
        published: Number of frames published by the camera.
        received: Number of frames received by the node.
        answered: Number of those with a result.
        dropped: Number of those that were replaced by a newer frame.
        failed: Number of those that ended in an error.
        result_stamps_ns: Stamp of the frame of each segmentation message.
        result_times_ns: Time at which each segmentation message was published, by the clock of its publisher.
        first_result_s: Time from the start of the demo to the first segmentation message.
        image_size_px: Width and height of the first frame.
        checkpoint: The weights.
        device: The device of the network.
        quality: Panoptic quality of the results, or None where there is no ground truth.
    """

    published: int
    received: int
    answered: int
    dropped: int
    failed: int
    result_stamps_ns: tuple[int, ...]
    result_times_ns: tuple[int, ...]
    first_result_s: float
    image_size_px: tuple[int, int]
    checkpoint: str
    device: str
    quality: PanopticQuality | None

    @property
    def latencies_ms(self) -> NDArray[np.float64]:
        """Time from the stamp of each answered frame to the arrival of its segmentation message."""
        return np.subtract(self.result_times_ns, self.result_stamps_ns) / 1e6

    @property
    def results_per_s(self) -> float:
        """Rate of the results; 1 if there was one only."""
        duration_s = (self.result_times_ns[-1] - self.result_times_ns[0]) / 1e9
        return (len(self.result_times_ns) - 1) / duration_s if duration_s > 0 else 1.0

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as they are written to result.json. Qualities are fractions, 0 to 1."""
        p50_ms, p95_ms = np.percentile(self.latencies_ms, (50, 95)).tolist()
        return {
            "published": self.published,
            "received": self.received,
            "answered": self.answered,
            "dropped": self.dropped,
            "failed": self.failed,
            "first_result_s": self.first_result_s,
            "latency_ms": {"p50": p50_ms, "p95": p95_ms},
            "results_per_s": self.results_per_s,
            "image_size_px": list(self.image_size_px),
            "checkpoint": self.checkpoint,
            "device": self.device,
            "quality": None if self.quality is None else self.quality.to_dict(),
        }


class Moment(NamedTuple):
    """A frame with its results as pictures.

    Attributes:
        seconds: Time since the first frame with results.
        pictures: `(H, W, 3)` uint8 RGB by title.
    """

    seconds: float
    pictures: dict[str, NDArray[np.uint8]]


def result_rows(result: DemoResult) -> list[list[tuple[str, str]]]:
    """Format the figures of a run.

    Args:
        result: The figures.

    Returns:
        Sections, each a list of names and values.
    """
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
            ("start to first panoptic message", f"{result.first_result_s:.1f} s"),
            ("latency p50 / p95, frame to message", f"{p50_ms:.0f} / {p95_ms:.0f} ms"),
            ("results per second", f"{result.results_per_s:.1f}"),
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
    """Format the figures of a run for the terminal.

    Args:
        result: The figures.

    Returns:
        The table.
    """
    table = Table(title="opendr-panoptic demo", title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    for section in result_rows(result):
        for row in section:
            table.add_row(*row)
        table.add_section()
    return table


def write_overlay_video(bag: Path, topic: str, path: Path, rate_hz: float) -> Path:
    """Write the images of a topic as a video in real time: each is shown until the stamp of the next one.

    Args:
        bag: The bag.
        topic: Topic of the images; there is at least one.
        path: Path of the video without its suffix.
        rate_hz: Frames per second of the video.

    Returns:
        The path with the suffix of the format. The video is at most 1280 pixels wide and high.
    """
    pictures = _pictures(bag, (topic,))
    _, first_stamp_ns, picture = next(pictures)
    size_px = _video_size(picture.shape[1], picture.shape[0])
    frame = _resized(picture, size_px)
    path, writer = _video_writer(path, rate_hz, size_px)
    written = 0
    with writer:
        for _, picture_stamp_ns, picture in pictures:
            due = round((picture_stamp_ns - first_stamp_ns) / 1e9 * rate_hz)
            while written < due:
                writer.write(frame)
                written += 1
            frame = _resized(picture, size_px)
        writer.write(frame)
    return path


def moments_of(bag: Path, topics: dict[str, str], stamps_ns: Sequence[int], *, cloud_topic: str = "") -> list[Moment]:
    """Read some moments of a bag, evenly distributed.

    Args:
        bag: The bag.
        topics: Topic of each picture by its title.
        stamps_ns: Stamps of the frames of which all topics have an image, ascending; at least one.
        cloud_topic: Topic of labelled clouds, of which a picture is added if it is not empty; these frames have one.

    Returns:
        At most four moments.
    """
    chosen = [stamps_ns[i] for i in np.unique(np.linspace(0, len(stamps_ns) - 1, _MOMENTS).round().astype(int))]
    pictures = {(topic, stamp): picture for topic, stamp, picture in _pictures(bag, topics.values()) if stamp in chosen}
    clouds = _cloud_pictures(bag, cloud_topic, chosen) if cloud_topic else {}
    return [
        Moment(
            (stamp - stamps_ns[0]) / 1e9,
            {title: pictures[topic, stamp] for title, topic in topics.items()} | clouds.get(stamp, {}),
        )
        for stamp in chosen
    ]


def write_contact_sheet(path: Path, moments: Sequence[Moment]) -> None:
    """Write moments as one picture: a row for each moment, a column for each title.

    Args:
        path: Path of the PNG.
        moments: At least one moment, all with the same titles.
    """
    cells = [
        (f"{title}, {moment.seconds:.1f} s", picture)
        for moment in moments
        for title, picture in moment.pictures.items()
    ]
    sheet = contact_sheet(
        [picture for _, picture in cells],
        columns=len(moments[0].pictures),
        tile_width_px=400,
        titles=[title for title, _ in cells],
    )
    write_png(path, sheet)


def _pictures(bag: Path, topics: Collection[str]) -> Iterator[tuple[str, int, NDArray[np.uint8]]]:
    """Yield topic, stamp in ns and RGB picture of each image message on these topics."""
    with BagReader(bag) as reader:
        for message in reader.messages(topics):
            frame = read_frame(message)
            yield message.topic, stamp_ns(frame.header), frame.image_rgb


def _cloud_pictures(bag: Path, topic: str, stamps_ns: Collection[int]) -> dict[int, dict[str, NDArray[np.uint8]]]:
    """Return a picture of the cloud of each of these frames, by stamp and title."""
    pictures = {}
    with BagReader(bag) as reader:
        for message in reader.messages((topic,)):
            cloud: Any = typestore().deserialize_cdr(message.data, message.type_name)
            if stamp_ns(cloud.header) in stamps_ns:
                points = np.frombuffer(cloud.data, CLOUD_DTYPE).reshape(cloud.height, cloud.width)
                picture = draw_cloud(points, width=cloud.width, height=cloud.height)
                pictures[stamp_ns(cloud.header)] = {"points and boxes in 3D": picture}
    return pictures


def _video_size(width: int, height: int) -> tuple[int, int]:
    """Return even numbers of pixels, which codecs need, within the limit and as close to the shape as possible."""
    scale = min(1.0, _MAX_VIDEO_SIDE_PX / max(width, height))
    even_width, even_height = (max(16, round(side * scale / 2) * 2) for side in (width, height))
    return even_width, even_height


def _resized(picture: NDArray[np.uint8], size_px: tuple[int, int]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(picture, size_px, interpolation=cv2.INTER_AREA), np.uint8)


def _video_writer(path: Path, rate_hz: float, size_px: tuple[int, int]) -> tuple[Path, VideoWriter]:
    """Open a WebM, which browsers play; where this build of OpenCV has no FFmpeg, as on a Jetson, an AVI."""
    try:
        return path.with_suffix(".webm"), VideoWriter(path.with_suffix(".webm"), rate_hz=rate_hz, size_px=size_px)
    except PanopticError:
        return path.with_suffix(".avi"), VideoWriter(path.with_suffix(".avi"), rate_hz=rate_hz, size_px=size_px)
