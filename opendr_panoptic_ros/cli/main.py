# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The command `opendr-panoptic` and its list of subcommands."""

from __future__ import annotations

import atexit
import signal
import sys

import typer

from opendr_panoptic_ros import __version__
from opendr_panoptic_ros.cli.bag import bag
from opendr_panoptic_ros.cli.demo import demo
from opendr_panoptic_ros.cli.download import download
from opendr_panoptic_ros.cli.evaluate import evaluate
from opendr_panoptic_ros.cli.export import export
from opendr_panoptic_ros.cli.infer import infer
from opendr_panoptic_ros.cli.inspect import inspect
from opendr_panoptic_ros.cli.optimize import optimize
from opendr_panoptic_ros.cli.parameters import parameters
from opendr_panoptic_ros.cli.play import play
from opendr_panoptic_ros.cli.prepare import prepare
from opendr_panoptic_ros.cli.train import train
from opendr_panoptic_ros.cli.view import view
from opendr_panoptic_ros.errors import PanopticError

# A subcommand is a function in a file of its own in this folder; its name and docstring are what the user sees.
# Its file imports heavy libraries (torch, rclpy) inside the function, so that `--help` answers at once.
COMMANDS = (demo, infer, bag, export, view, play, prepare, inspect, train, evaluate, optimize, download, parameters)

app = typer.Typer(
    name="opendr-panoptic",
    help="EfficientPS panoptic segmentation for ROS 2.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in COMMANDS:
    app.command()(command)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"opendr-panoptic {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Print the version."),
) -> None:
    """EfficientPS panoptic segmentation for ROS 2."""


def _ignore_signals() -> None:
    """Ignore Ctrl-C and SIGTERM while the interpreter ends: the work is done, and its status is decided."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def main() -> None:
    """Run the command line; exit status 1 and one line on stderr where the user's input is at fault."""
    atexit.register(_ignore_signals)
    try:
        app()
    except PanopticError as error:
        typer.echo(f"opendr-panoptic: {error}", err=True)
        sys.exit(1)
