# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""What became of a bag, and records of it, by which a later run finds out what is done."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opendr_panoptic_ros.bags.inputs import BagTask, files_of
from opendr_panoptic_ros.bags.options import LabelOptions
from opendr_panoptic_ros.bags.writer import RECORD
from opendr_panoptic_ros.errors import ConfigError, PanopticError
from opendr_panoptic_ros.files import is_file, read_json, sha256_of, write_json

if TYPE_CHECKING:
    from opendr_panoptic_ros.bags.segments import LabelReport

_FORMAT = 1  # of the records


class Status(Enum):
    """What became of a bag."""

    DONE = "done"
    DAMAGED = "damaged"
    NO_IMAGES = "no images"
    FAILED = "failed"
    RETRY = "retry"
    STOPPED = "stopped"


@dataclass(frozen=True)
class BagOutcome:
    """What became of a bag.

    Attributes:
        source: The bag: a path, or the address in an object store.
        status: DONE; DAMAGED: the result is complete, but frames could not be read or segmented, or parts of the bag
            are lost; NO_IMAGES; FAILED: there is no result, and trying again does not help; RETRY: there is none, for a
            reason that may pass; STOPPED: there is none, as the run was stopped.
        reason: The reason, if the status is not DONE.
        frames: Number of images that were read.
        segmented: Number of images that were segmented.
        seconds: Duration of the work in seconds; 0 if it was done before.
        is_skipped: Whether this was found in a record of an earlier run.
        report: Details; None if there is no result or it was skipped.
    """

    source: Path | str
    status: Status
    reason: str = ""
    frames: int = 0
    segmented: int = 0
    seconds: float = 0.0
    is_skipped: bool = False
    report: LabelReport | None = None

    @classmethod
    def of(cls, source: Path, report: LabelReport, *, seconds: float, is_stopped: bool) -> BagOutcome:
        """Return the outcome that a report states.

        Args:
            source: The bag.
            report: The report.
            seconds: Duration of the work in seconds.
            is_stopped: Whether the run was stopped.
        """
        notes = [*report.problems, *report.damage]
        if report.error:
            status, why = Status.RETRY, report.error
        elif not report.is_complete and is_stopped:
            status, why = Status.STOPPED, ""
        elif not report.images:
            status, why = Status.NO_IMAGES, "There are no frames in this time range."
        else:
            status, why = (Status.DAMAGED, _first_of(notes)) if notes else (Status.DONE, "")
        return cls(source, status, why, report.images, report.frames, seconds, report=report)

    @property
    def unreadable(self) -> int:
        """Number of images that could not be read or segmented."""
        return self.frames - self.segmented

    def to_dict(self) -> dict[str, Any]:
        """Return the entry of the bag in a report."""
        return {
            "bag": str(self.source),
            "status": self.status.value,
            "reason": self.reason,
            "frames": self.frames,
            "segmented": self.segmented,
            "unreadable": self.unreadable,
            "seconds": round(self.seconds, 3),
            "skipped": self.is_skipped,
        }


class Records:
    """Records of what was done: in each result, and for bags without one in a file beside the results.

    A bag is done if a record has its names, sizes and times of change, the hash of the checkpoint and the options.

    Args:
        options: The options of this run.
        checkpoint_sha256: Hash of the checkpoint.
        overwrite: Whether results that were made otherwise are replaced.
        files: Returns name, size and version of the files of a bag.

    Raises:
        ConfigError: A file that an option names cannot be read.
    """

    FAILURE = ".failed.json"
    """Ending of the file of a bag without result, behind the name of the folder that the result would have."""

    def __init__(
        self,
        options: LabelOptions,
        checkpoint_sha256: str,
        *,
        overwrite: bool = False,
        files: Callable[[Path], Sequence[tuple[str, int, int | str]]] = files_of,
    ) -> None:
        values = dataclasses.asdict(options)
        values["network"]["checkpoint"] = checkpoint_sha256
        values["network"]["config"] = _content(options.network.config)
        values["label_map"] = _content(options.label_map)
        values["ego_masks"] = [_content(path) for path in options.ego_masks]
        self._options = json.loads(json.dumps(values))
        self._overwrite, self._files = overwrite, files

    def known(self, task: BagTask) -> BagOutcome | None:
        """Return the outcome of a bag if it is recorded.

        Args:
            task: The bag.

        Raises:
            PanopticError: There is a result that was made from another recording or with other options.
        """
        known = self._read(task, task.out / RECORD) or self._read(task, self._failure(task))
        if known is not None:
            return known
        if task.out.exists():
            if not self._overwrite or not is_file(task.out / RECORD):
                raise PanopticError(
                    f"{task.out} exists and was made from another recording or with other options; remove it, or "
                    "use --overwrite."
                )
            shutil.rmtree(task.out)
        return None

    def text(self, task: BagTask, report: LabelReport) -> str:
        """Return the content of the record in a result.

        Args:
            task: The bag.
            report: What was done.
        """
        outcome = BagOutcome.of(task.source, report, seconds=0, is_stopped=False)
        return json.dumps(self._record(task, outcome), sort_keys=True, indent=1) + "\n"

    def note_failure(self, task: BagTask, outcome: BagOutcome) -> None:
        """Write a record of a bag without result.

        Args:
            task: The bag.
            outcome: What became of it.
        """
        write_json(self._failure(task), self._record(task, outcome))

    def forget_failure(self, task: BagTask) -> None:
        """Remove such a record.

        Args:
            task: The bag.
        """
        self._failure(task).unlink(missing_ok=True)

    def _read(self, task: BagTask, file: Path) -> BagOutcome | None:
        """Return the outcome in a record; None if it is missing, of other work or not legal."""
        try:
            values = read_json(file)
            if values["made_from"] != self._made_from(task):
                return None
            entry = values["outcome"]
            status, frames, segmented = Status(entry["status"]), int(entry["frames"]), int(entry["segmented"])
            return BagOutcome(task.source, status, entry["reason"], frames, segmented, is_skipped=True)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @staticmethod
    def _failure(task: BagTask) -> Path:
        return task.out.with_name(f"{task.out.name}{Records.FAILURE}")

    def _made_from(self, task: BagTask) -> dict[str, Any]:
        files = [list(entry) for entry in self._files(task.source)]
        return {"format": _FORMAT, "files": files, "options": self._options}

    def _record(self, task: BagTask, outcome: BagOutcome) -> dict[str, Any]:
        entry = {
            name: value for name, value in outcome.to_dict().items() if name not in {"bag", "seconds", "skipped"}
        }  # equal work gives equal records
        return {"made_from": self._made_from(task), "outcome": entry}


def exit_status(outcomes: Collection[BagOutcome]) -> int:
    """Return the exit status of a run.

    It is 0 if all bags are done, 130 if the run was stopped, 75 (EX_TEMPFAIL) if another run may help, else 1.

    Args:
        outcomes: The outcome of each bag.
    """
    statuses = {outcome.status for outcome in outcomes}
    if Status.STOPPED in statuses:
        return 130
    if Status.RETRY in statuses:
        return 75
    return 0 if statuses <= {Status.DONE} else 1


def _first_of(lines: list[str]) -> str:
    return lines[0] + (f" ({len(lines)} in all)" if len(lines) > 1 else "")


def _content(path_or_name: str | None) -> str | None:
    """Return the hash of a file that an option names; a name stays as it is."""
    if path_or_name is None:
        return None
    path = Path(path_or_name).expanduser()
    try:
        return sha256_of(path) if is_file(path) else path_or_name
    except OSError as error:
        raise ConfigError(f"{path_or_name} cannot be read: {error.strerror}.") from error
