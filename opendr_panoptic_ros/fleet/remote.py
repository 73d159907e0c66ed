# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Labelling bags of object stores: each is copied, labelled and uploaded as a whole."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from opendr_panoptic_ros.bags.fleet import label_bags
from opendr_panoptic_ros.bags.inputs import BagTask, result_names
from opendr_panoptic_ros.bags.labeller import StopRequest
from opendr_panoptic_ros.bags.options import LabelOptions
from opendr_panoptic_ros.bags.outcomes import BagOutcome, Records, Status
from opendr_panoptic_ros.bags.writer import RECORD
from opendr_panoptic_ros.errors import PanopticError, reason
from opendr_panoptic_ros.fleet.ray_workers import RayWorkers, WorkerLostError
from opendr_panoptic_ros.fleet.storage import ObjectStore, RemoteBag, StorageError

_POLL_S = 0.5  # between two looks at whether a stop is requested


@dataclass(frozen=True)
class RemoteTask:
    """A bag of an object store to label.

    Attributes:
        bag: The bag.
        out: Address of the folder of its result.
    """

    bag: RemoteBag
    out: str


@dataclass(frozen=True)
class RemoteJob:
    """What is done with each bag; it can be sent to other machines.

    Attributes:
        options: The options.
        checkpoint_sha256: Hash of the checkpoint.
        overwrite: Whether results that were made otherwise are replaced.
    """

    options: LabelOptions
    checkpoint_sha256: str
    overwrite: bool = False

    def label(self, task: RemoteTask, stop: StopRequest | None = None) -> BagOutcome:
        """Label a bag, unless a record beside its result states that this was done.

        The files of the result are uploaded one after another, the record last: a result with a record is complete.

        Args:
            task: The bag.
            stop: A request to stop early; None for none.

        Returns:
            What became of it.

        Raises:
            CheckpointError: The checkpoint cannot be used.
        """
        try:
            outcome = self._label(task, stop)
        except (StorageError, OSError) as error:
            outcome = BagOutcome(task.bag.url, Status.RETRY, reason(error))
        except PanopticError as error:
            outcome = BagOutcome(task.bag.url, Status.FAILED, reason(error))
        return dataclasses.replace(outcome, source=task.bag.url)

    def _label(self, task: RemoteTask, stop: StopRequest | None) -> BagOutcome:
        source, result = ObjectStore(task.bag.url), ObjectStore(task.out)
        version = [(PurePosixPath(task.bag.url).name, task.bag.size_bytes, task.bag.version)]
        records = Records(self.options, self.checkpoint_sha256, overwrite=self.overwrite, files=lambda _source: version)
        failure = f"{task.out}{Records.FAILURE}"
        with tempfile.TemporaryDirectory(prefix="opendr-panoptic-") as folder:
            local = BagTask(Path(folder) / "bag", Path(folder) / PurePosixPath(task.out).name)
            local_failure = local.out.with_name(f"{local.out.name}{Records.FAILURE}")
            for url, path in ((f"{task.out}/{RECORD}", local.out / RECORD), (failure, local_failure)):
                content = result.read(url)
                if content is not None:
                    path.parent.mkdir(exist_ok=True)
                    path.write_bytes(content)
            known = _known(records, local, task)  # with `overwrite`, it removes a result that was made otherwise
            if known is not None:
                return known
            with source.copy(task.bag) as place:
                local = dataclasses.replace(local, source=place)
                (outcome,) = label_bags([local], self.options, records=records, stop=stop)
            if local.out.exists():
                result.remove(f"{task.out}/{RECORD}")  # an older result is not complete any more
                for path in sorted(local.out.iterdir(), key=lambda path: (path.name == RECORD, path.name)):
                    result.upload(path, f"{task.out}/{path.name}")
            if local_failure.exists():
                result.upload(local_failure, failure)
            else:
                result.remove(failure)
            return outcome


def _known(records: Records, local: BagTask, task: RemoteTask) -> BagOutcome | None:
    try:
        return records.known(local)
    except PanopticError as error:
        raise PanopticError(str(error).replace(str(local.out), task.out)) from error


def remote_tasks(bags: Sequence[RemoteBag], out_dir: str) -> list[RemoteTask]:
    """Return the tasks of bags whose results go into one folder. Bags in this folder are results and left out.

    Args:
        bags: The bags.
        out_dir: Address of the folder.
    """
    bags = [bag for bag in bags if not bag.url.startswith(f"{out_dir.rstrip('/')}/")]
    names = result_names([Path(bag.url) for bag in bags])
    return [RemoteTask(bag, f"{out_dir.rstrip('/')}/{names[Path(bag.url)]}") for bag in bags]


def label_remote(
    tasks: Sequence[RemoteTask],
    job: RemoteJob,
    *,
    workers: RayWorkers | None,
    stop: StopRequest,
    on_outcome: Callable[[BagOutcome], None],
) -> list[BagOutcome]:
    """Label bags of object stores, one after another in this process or side by side on workers.

    Args:
        tasks: The bags.
        job: What is done with them.
        workers: The workers, each of which copies and uploads its bags itself; None for this process.
        stop: A request to stop early. In this process, it ends the bag in work.
        on_outcome: Called when a bag is done.

    Returns:
        The outcome of each bag, in the order of the tasks.

    Raises:
        CheckpointError: The checkpoint cannot be used.
    """
    outcomes = []
    futures = [] if workers is None else [workers.submit(job.label, task) for task in tasks]
    for place, task in enumerate(tasks):
        if stop.came:
            outcome = BagOutcome(task.bag.url, Status.STOPPED)
            if workers is not None:
                workers.abandon()
        elif workers is None:
            outcome = job.label(task, stop)
        else:
            outcome = _result(futures[place], task, workers, stop)
        outcomes.append(outcome)
        on_outcome(outcome)
    return outcomes


def _result(future: Future[BagOutcome], task: RemoteTask, workers: RayWorkers, stop: StopRequest) -> BagOutcome:
    """Return the outcome of a bag on a worker; a request to stop ends the workers."""
    while not future.done():
        wait([future], timeout=_POLL_S)
        if stop.came:
            workers.abandon()
            return BagOutcome(task.bag.url, Status.STOPPED)
    try:
        return future.result()
    except WorkerLostError as error:
        return BagOutcome(task.bag.url, Status.RETRY, reason(error))
