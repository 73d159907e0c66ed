# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""What several commands share: errors as one line, configurations with changed entries, datasets by their folder."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import typer
import yaml

from opendr_panoptic_ros.config import Config
from opendr_panoptic_ros.errors import ConfigError, DatasetError, PanopticError

if TYPE_CHECKING:
    from typing_extensions import Self

    from opendr_panoptic_ros.evaluation.run import LabelledImages

INTERRUPTED = 130
"""The exit status after Ctrl-C."""
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # the last: the terminal or the ssh session has gone


@contextmanager
def user_errors() -> Iterator[None]:
    """Mistakes of the caller become a PanopticError, which `main` prints in one line; Ctrl-C ends with status 130."""
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("Stopped.", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except PanopticError:
        raise
    except ImportError as error:
        said = str(error)
        if "extra" not in said:
            said += ". Install what is missing; `pip install 'opendr_panoptic_ros[train]'` brings what training needs."
        raise PanopticError(said) from error
    except (OSError, ValueError) as error:
        raise PanopticError(str(error)) from error
    finally:
        signal.signal(signal.SIGTERM, before)


class Interruption:
    """Whether Ctrl-C, SIGTERM or SIGHUP has come, while this context is open. A second one interrupts, but not while
    held. SIGHUP stays ignored where it was, as under nohup.
    """

    def __enter__(self) -> Self:
        self.came = False
        self.held = False
        self._before = {number: signal.signal(number, self._note) for number in _STOP_SIGNALS}
        if self._before[signal.SIGHUP] is signal.SIG_IGN:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - a signal handler's arguments
        if self.came and not self.held:
            raise KeyboardInterrupt
        self.came = True

    def __exit__(self, *_details: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - a signal handler's arguments
    raise KeyboardInterrupt


def changed(config: Config, changes: list[str]) -> Config:
    """The configuration with entries `section.name=value` replaced, such as `schedule.epochs=20`.

    Raises ConfigError for an entry that is not of this form, unknown, or out of its range.
    """
    values: dict[str, Any] = config.to_dict()
    for change in changes:
        name, found, text = change.partition("=")
        section, _, key = name.partition(".")
        if not found or not key or not isinstance(values.get(section), dict):
            raise ConfigError(f"--set {change}: expected section.name=value, such as schedule.epochs=20.")
        try:
            values[section][key] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {change}: {text!r} is no YAML value.") from error
    return Config.from_dict(values)


def dataset_at(path: Path) -> LabelledImages:
    """The split of a prepared dataset in a folder, of whichever kind: prepared datasets are all alike."""
    from opendr_panoptic_ros.datasets import CityscapesDataset

    return CityscapesDataset(path)


def splits_at(path: Path) -> tuple[LabelledImages, LabelledImages | None]:
    """The images to train and to evaluate on: both splits of a prepared dataset, or the one split that `path` is."""
    path = path.expanduser()
    if not path.is_dir():
        raise DatasetError(f"There is no folder {path}; make a dataset with `opendr-panoptic prepare`.")
    if (path / "train").is_dir():
        return dataset_at(path / "train"), dataset_at(path / "val") if (path / "val").is_dir() else None
    return dataset_at(path), None
