# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The two forms of `opendr-panoptic bag`: one bag into a new one, and many bags into a folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from opendr_panoptic_ros.bags.executors import ProcessExecutor, SegmentExecutor
from opendr_panoptic_ros.bags.fleet import label_bags
from opendr_panoptic_ros.bags.inputs import BagTask, find_bags, size_of
from opendr_panoptic_ros.bags.options import LabelOptions
from opendr_panoptic_ros.bags.outcomes import BagOutcome, Records, exit_status
from opendr_panoptic_ros.bags.plan import plan_segments
from opendr_panoptic_ros.bags.segments import LabelReport, label_bag
from opendr_panoptic_ros.bags.writer import BagWriter
from opendr_panoptic_ros.checkpoint import checkpoint_sha256
from opendr_panoptic_ros.cli.common import INTERRUPTED, Interruption
from opendr_panoptic_ros.cli.engines import EngineOptions
from opendr_panoptic_ros.errors import PanopticError
from opendr_panoptic_ros.files import check_writable_folder, write_json
from opendr_panoptic_ros.fleet.paths import with_absolute_paths
from opendr_panoptic_ros.fleet.ray_segments import RaySegments
from opendr_panoptic_ros.fleet.remote import RemoteJob, label_remote, remote_tasks
from opendr_panoptic_ros.fleet.shards import Shard
from opendr_panoptic_ros.fleet.storage import is_url, remote_bags, url_of

if TYPE_CHECKING:
    from typing_extensions import Self

_DAMAGE_LINES = 10  # damaged places of a bag that are printed


def label_one(source: Path, out: Path, options: LabelOptions, *, jobs: int) -> None:
    """Label one bag and print what was done.

    Args:
        source: The bag.
        out: The new bag, see `BagWriter`.
        options: The options.
        jobs: Number of processes.

    Raises:
        PanopticError: The bag cannot be labelled, or some of its frames could not be.
        typer.Exit: The work was interrupted.
    """
    BagWriter.check_free(out)
    if source.resolve() in out.resolve().parents:
        raise PanopticError(f"{out} is inside the input, which is not to be changed; choose another place.")
    plan = plan_segments(source, options)
    for warning in plan.warnings:
        typer.echo(warning, err=True)
    if jobs > 1:
        checkpoint_sha256(options.network.checkpoint)  # before processes are started
    with Interruption() as interruption, _progress("Segmenting") as progress:
        task = progress.add_task("", total=plan.end_ns - plan.start_ns, text="0 frames")

        def show(time_ns: int, frames: int) -> None:
            progress.update(task, completed=time_ns - plan.start_ns, text=f"{frames} frames")

        if jobs == 1:
            report = label_bag(plan, options, out, stop=interruption, on_progress=show)
        else:
            with ProcessExecutor(jobs) as executor:
                (outcome,) = label_bags(
                    [BagTask(source, out)],
                    options,
                    executor=executor,
                    stop=interruption,
                    on_progress=lambda _task, fraction, frames: show(
                        plan.start_ns + round(fraction * (plan.end_ns - plan.start_ns)), frames
                    ),
                )
            if outcome.report is None:
                raise PanopticError(outcome.reason)
            report = outcome.report
        if report.is_complete:
            progress.update(task, completed=plan.end_ns - plan.start_ns)
    if report.missing_clouds and options.clouds is not None:
        topic = options.clouds.depth_topic
        typer.echo(f"{report.missing_clouds} frames have no depth image with their stamp on {topic}", err=True)
    _print_report(report, plan.bag_start_ns)


def label_many(
    inputs: Sequence[str],
    out_dir: str,
    options: LabelOptions,
    *,
    jobs: int,
    engine: EngineOptions,
    shard: Shard | None = None,
    overwrite: bool = False,
    report: Path | None = None,
) -> None:
    """Label many bags into a folder, and print a table of what became of them.

    Args:
        inputs: Bags, folders and glob patterns; paths or addresses of object stores.
        out_dir: The folder of the results, which is made if it is missing, or its address in an object store.
        options: The options.
        jobs: Number of processes.
        engine: Where the work is done.
        shard: The part of the bags to label; None for all.
        overwrite: Whether results that were made otherwise are replaced.
        report: A JSON file to write; None for none.

    Raises:
        PanopticError: An input or option is not legal.
        typer.Exit: Not all bags are done; its status is `outcomes.exit_status`.
    """
    sha256 = checkpoint_sha256(options.network.checkpoint)
    if report is not None:
        _check_writable(report.absolute().parent)
    if any(map(is_url, (*inputs, out_dir))):
        outcomes = _label_remote(inputs, out_dir, RemoteJob(options, sha256, overwrite), engine, shard)
    else:
        folder = Path(out_dir).expanduser()
        tasks = find_bags(inputs, folder)
        if shard is not None:
            tasks = shard.select(tasks, name=lambda task: str(task.source), size=lambda task: size_of(task.source))
        records = Records(options, sha256, overwrite=overwrite)
        _check_writable(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with Interruption() as interruption, _FleetBar(tasks) as bar, _executor(jobs, engine) as executor:
            outcomes = label_bags(
                tasks,
                options,
                records=records,
                executor=executor,
                stop=interruption,
                on_progress=bar.show_part,
                on_warning=bar.print,
                on_outcome=bar.show_outcome,
            )
    status = exit_status(outcomes)
    _print_table(outcomes)
    if report is not None:
        write_json(report, {"bags": [outcome.to_dict() for outcome in outcomes], "exit_status": status})
    if status:
        raise typer.Exit(status)


def _label_remote(
    inputs: Sequence[str], out_dir: str, job: RemoteJob, engine: EngineOptions, shard: Shard | None
) -> list[BagOutcome]:
    """Label bags of object stores."""
    problems: list[str] = []
    tasks = remote_tasks(remote_bags([url_of(text) for text in inputs], problems), url_of(out_dir))
    if problems:
        raise PanopticError("; ".join(problems))
    if not tasks:
        raise PanopticError(f"All bags that were found lie in --out-dir, {out_dir}; choose another folder.")
    if shard is not None:
        tasks = shard.select(tasks, name=lambda task: task.bag.url, size=lambda task: task.bag.size_bytes)
    with Interruption() as interruption, _progress("Labelling") as progress, engine.open() or nullcontext() as workers:
        bar = progress.add_task("", total=len(tasks), text=f"{len(tasks)} bags")
        return label_remote(
            tasks,
            dataclasses.replace(job, options=with_absolute_paths(job.options)),
            workers=workers,
            stop=interruption,
            on_outcome=lambda _outcome: progress.advance(bar),
        )


class _FleetBar:
    """A progress bar over the bytes of all bags, as a context.

    Args:
        tasks: The bags.
    """

    def __init__(self, tasks: Sequence[BagTask]) -> None:
        self._sizes = {task: max(1, size_of(task.source)) for task in tasks}
        self._by_source: dict[Path | str, BagTask] = {task.source: task for task in tasks}
        self._done_bytes: dict[BagTask, float] = {}
        self._frames: dict[BagTask, int] = {}
        self._finished = 0
        self._progress = _progress("Labelling")
        self._bar = self._progress.add_task("", total=None, text="")

    def __enter__(self) -> Self:
        self._progress.__enter__()
        self._show()
        return self

    def __exit__(self, *details: object) -> None:
        self._progress.stop()

    def print(self, line: str) -> None:
        """Print a line above the bar."""
        self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def show_part(self, task: BagTask, fraction: float, frames: int) -> None:
        """Show that a part of a bag is done."""
        self._done_bytes[task], self._frames[task] = fraction * self._sizes[task], frames
        self._show()

    def show_outcome(self, outcome: BagOutcome) -> None:
        """Show that a bag is done. One that was done before takes no time and does not count."""
        task = self._by_source[outcome.source]
        self._finished += 1
        if outcome.is_skipped:
            self._sizes[task] = 0
        self._done_bytes[task] = self._sizes[task]
        self._show()

    def _show(self) -> None:
        text = f"{self._finished}/{len(self._sizes)} bags {sum(self._frames.values())} frames"
        total = max(1, sum(self._sizes.values()))
        done = total if self._finished == len(self._sizes) else sum(self._done_bytes.values())
        self._progress.update(self._bar, total=total, completed=done, text=text)


def _check_writable(folder: Path) -> None:
    try:
        check_writable_folder(folder)
    except OSError as error:
        raise PanopticError(f"{folder} cannot be written: {error.strerror}.") from error


@contextmanager
def _executor(jobs: int, engine: EngineOptions) -> Iterator[SegmentExecutor | None]:
    workers = engine.open()
    if workers is not None:
        with RaySegments(workers) as segments:
            yield segments
    elif jobs == 1:
        yield None
    else:
        with ProcessExecutor(jobs) as executor:
            yield executor


def _progress(name: str) -> Progress:
    columns = name, BarColumn(), "{task.percentage:>3.0f} %", "{task.fields[text]}", "time left"
    shown = [TextColumn(column) if isinstance(column, str) else column for column in columns]
    return Progress(*shown, TimeRemainingColumn(), console=Console(stderr=True))


def _print_table(outcomes: Sequence[BagOutcome]) -> None:
    table = Table("bag", "status")
    for name in ("frames", "segmented", "unreadable", "seconds"):
        table.add_column(name, justify="right")
    table.add_column("reason")
    for outcome in outcomes:
        status = outcome.status.value + (" (before)" if outcome.is_skipped else "")
        counts = map(str, (outcome.frames, outcome.segmented, outcome.unreadable))
        cells = (str(outcome.source), status, *counts, f"{outcome.seconds:.1f}", outcome.reason)
        table.add_row(*(escape(cell) for cell in cells))
    Console().print(table)
    counts_by_status: dict[str, int] = {}
    for outcome in outcomes:
        counts_by_status[outcome.status.value] = counts_by_status.get(outcome.status.value, 0) + 1
    skipped = sum(outcome.is_skipped for outcome in outcomes)
    summary = ", ".join(f"{count} {status}" for status, count in counts_by_status.items())
    typer.echo(f"{len(outcomes)} bags: {summary}; {skipped} of them before")


def _print_report(report: LabelReport, bag_start_ns: int) -> None:
    """Print what was done.

    Raises PanopticError when a frame could not be read or segmented, an error ended the work or nothing was written,
    and `typer.Exit` after an interruption.
    """
    place = f"results in {report.path}" if report.messages else "nothing was written"
    typer.echo(f"{report.frames} frames segmented, {place}")
    go_on = ""
    if report.stopped_at_ns is not None:
        go_on = f"Continue into another bag with --start {(report.stopped_at_ns - bag_start_ns) / 1e9:.9f}"
    lines = []
    if report.problems:
        more = f" ({len(report.problems)} such frames)" if len(report.problems) > 1 else ""
        lines.append(f"not segmented: {report.problems[0]}{more}")
    lines += report.damage[:_DAMAGE_LINES]
    if len(report.damage) > _DAMAGE_LINES:
        lines.append(f"{len(report.damage)} such places")
    unread = "\n".join(lines)
    if report.error:
        raise PanopticError(f"{report.error}\n{go_on}\n{unread}".rstrip())
    if go_on:
        typer.echo(f"Stopped. {go_on}")
        typer.echo(unread, err=True, nl=bool(unread))
        raise typer.Exit(INTERRUPTED)
    if unread:
        raise PanopticError(unread)
    if not report.messages:
        raise PanopticError("There are no frames in this time range.")
