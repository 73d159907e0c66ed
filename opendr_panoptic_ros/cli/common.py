# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Functions that several commands share: errors in one line, changes of configurations, datasets by their folder."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import typer

from opendr_panoptic_ros.errors import DatasetError, PanopticError

if TYPE_CHECKING:
    from typing_extensions import Self

    from opendr_panoptic_ros.datasets import PanopticDataset

INTERRUPTED = 130
"""The exit status after Ctrl-C."""
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # SIGHUP: the terminal or the ssh session has ended


@contextmanager
def user_errors() -> Iterator[None]:
    """Turn the caller's mistakes into PanopticError, which `main` prints in one line, and Ctrl-C into status 130."""
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("Stopped.", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except PanopticError as error:
        reason = with_options(str(error))
        if reason == str(error):
            raise
        raise type(error)(reason) from error
    except ImportError as error:
        reason = str(error)
        if "extra" not in reason:
            reason += (
                ". Install the missing package; `pip install 'opendr_panoptic_ros[train]'` installs all for training."
            )
        raise PanopticError(reason) from error
    except (OSError, ValueError) as error:
        raise PanopticError(with_options(str(error))) from error
    finally:
        signal.signal(signal.SIGTERM, before)


# Words of messages that advise users of the Python interface, and what they are on the command line.
_OPTIONS = {
    r"pass resume=True": "repeat with --resume",
    r"Pass resume=True": "Repeat with --resume",
    r"resume=True": "--resume",
    r"generate_train_evaluation=True": "--train-truth",
    r"output_path": "OUT",
    r"pass splits=\['(\w+)'\]": r"use --split \1",
    r"splits is \[(.*?)\];": r"--split is \1;",
    r"call prepare_data again": "repeat `opendr-panoptic prepare`",
    r"make it with prepare_data": "make it with `opendr-panoptic prepare`",
    r"pass overwrite=True": "use --overwrite",
    r"Resume it, remove it": "Resume it with --resume, remove it",
}


def with_options(message: str) -> str:
    """Replace arguments of the Python interface in a message by the options of the commands.

    Args:
        message: A message of the library, such as "pass resume=True".

    Returns:
        The message for the command line, such as "repeat with --resume".
    """
    for argument, option in _OPTIONS.items():
        message = re.sub(rf"(?<![\w/]){argument}(?!\w)", option, message)
    return message


class Interruption:
    """A context in which Ctrl-C, SIGTERM and SIGHUP are noted, so that the work can end in an orderly way.

    The first signal sets `came`. A second one raises KeyboardInterrupt, except while held. SIGHUP stays ignored where
    it was, as under nohup.

    Args:
        held: Never raise KeyboardInterrupt, for processes that get every signal more than once, as under torchrun.

    Attributes:
        came: Whether a signal has arrived.
    """

    def __init__(self, *, held: bool = False) -> None:
        self.came = False
        self._holds = int(held)

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._note) for number in _STOP_SIGNALS}
        if self._before[signal.SIGHUP] is signal.SIG_IGN:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        return self

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Do not raise KeyboardInterrupt inside this context, for steps that must not be left half done."""
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - a signal handler's arguments
        if self.came and not self._holds:
            raise KeyboardInterrupt
        self.came = True

    def __exit__(self, *_details: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - a signal handler's arguments
    raise KeyboardInterrupt


def dataset_at(path: Path) -> PanopticDataset:
    """Open a split of a prepared dataset, whatever data it was made from.

    Args:
        path: Folder of the split.

    Returns:
        The dataset.

    Raises:
        DatasetError: The folder is not a prepared split.
    """
    from opendr_panoptic_ros.datasets import PanopticDataset

    return PanopticDataset(path)


def splits_at(path: Path) -> tuple[PanopticDataset, PanopticDataset | None]:
    """Open the images to train and to validate on.

    Args:
        path: Folder of a prepared dataset, or of one split of it.

    Returns:
        The train split and the val split, or the one split and None.

    Raises:
        DatasetError: The folder is neither.
    """
    path = path.expanduser()
    if not path.is_dir():
        raise DatasetError(f"There is no folder {path}; make a dataset with `opendr-panoptic prepare`.")
    if (path / "train").is_dir():
        return dataset_at(path / "train"), dataset_at(path / "val") if (path / "val").is_dir() else None
    return dataset_at(path), None
