# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Segments of bags on workers of a Ray cluster: an executor for `bags.fleet.label_bags`."""

from __future__ import annotations

import functools
import tempfile
import uuid
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from opendr_panoptic_ros.bags.options import LabelOptions
from opendr_panoptic_ros.bags.plan import BagPlan, Segment
from opendr_panoptic_ros.bags.segments import SegmentReport, label_segment
from opendr_panoptic_ros.files import write_whole
from opendr_panoptic_ros.fleet.paths import with_absolute_paths
from opendr_panoptic_ros.fleet.ray_workers import RayWorkers, Shared

if TYPE_CHECKING:
    from typing_extensions import Self

_SHARED_PLANS = 16  # that are kept in the cluster's store

_Work: TypeAlias = "tuple[BagPlan, LabelOptions]"


class RaySegments:
    """Labels segments on workers, as a context; an executor as `bags.executors.SegmentExecutor` describes it.

    Workers read the bags, and what options name, by the same paths as this process. Pieces are written directly where
    a worker sees the same folder, as on NFS; else they come through the cluster's store.

    Args:
        workers: The workers, which end with the context.

    Attributes:
        workers: Number of segments that run at once.
    """

    def __init__(self, workers: RayWorkers) -> None:
        self._workers = workers
        self._shared: OrderedDict[int, tuple[BagPlan, Shared[_Work]]] = OrderedDict()
        self._tokens: dict[Path, str] = {}

    @property
    def workers(self) -> int:
        """Return the number of segments that run at once."""
        return self._workers.workers

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_details: object) -> None:
        self._workers.shutdown(cancel_futures=True)

    def submit(self, plan: BagPlan, segment: Segment, options: LabelOptions, piece: Path) -> Future[SegmentReport]:
        """Start a segment. It is repeated when its worker is lost.

        Args:
            plan: The plan of the bag.
            segment: The segment.
            options: The options with which the plan was made.
            piece: Where the piece lies on this machine when the future is done.

        Returns:
            The report.
        """
        piece = piece.absolute()
        sent = self._workers.submit(_label, self._share(plan, options), segment, piece, self._token(piece.parent))
        report: Future[SegmentReport] = Future()
        sent.add_done_callback(functools.partial(_finish, report, piece))
        return report

    def stop(self) -> None:
        """End the segments in work."""
        self._workers.abandon()

    def _share(self, plan: BagPlan, options: LabelOptions) -> Shared[_Work]:
        """Return the plan and the options in the cluster's store: a plan may have a thousand segments."""
        if id(plan) not in self._shared:
            work = replace(plan, source=plan.source.absolute()), with_absolute_paths(options)
            self._shared[id(plan)] = plan, self._workers.share(work)
            if len(self._shared) > _SHARED_PLANS:
                self._shared.popitem(last=False)
        return self._shared[id(plan)][1]

    def _token(self, folder: Path) -> str:
        """Return the name of a file in a folder, by which workers find out whether they see the same folder."""
        if not (folder / self._tokens.get(folder, "")).is_file():
            self._tokens[folder] = f".shared-{uuid.uuid4().hex}"
            (folder / self._tokens[folder]).touch()
        return self._tokens[folder]


def _label(work: Shared[_Work], segment: Segment, piece: Path, token: str) -> tuple[SegmentReport, bytes | None]:
    """Label a segment in a worker. The piece is returned where the worker does not see its folder."""
    plan, options = work.get()
    if (piece.parent / token).is_file():
        return label_segment(plan, segment, options, piece), None
    with tempfile.TemporaryDirectory(prefix="opendr-panoptic-") as folder:
        own = Path(folder) / piece.name
        return label_segment(plan, segment, options, own), own.read_bytes()


def _finish(report: Future[SegmentReport], piece: Path, sent: Future[tuple[SegmentReport, bytes | None]]) -> None:
    if not report.set_running_or_notify_cancel():
        return
    try:
        result, content = sent.result()
        if content is not None:
            write_whole(piece, lambda partial: partial.write_bytes(content))
    except BaseException as error:  # noqa: BLE001 - it belongs to the one who waits for the report
        report.set_exception(error)
    else:
        report.set_result(result)
