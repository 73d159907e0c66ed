# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""`opendr-panoptic demo`: run the node on a video, from one command."""

from __future__ import annotations

import signal
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from opendr_panoptic_ros.cli import options
from opendr_panoptic_ros.cli.common import INTERRUPTED
from opendr_panoptic_ros.errors import PanopticError


def demo(
    video: Annotated[
        Path | None,
        typer.Argument(metavar="VIDEO", help="Video file or folder of images.", show_default="a synthetic drive"),
    ] = None,
    frames: Annotated[int, typer.Option(min=1, help="Maximum number of frames to publish.")] = 100,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("demo_out"),
    checkpoint: Annotated[str, typer.Option(help="Weights of the node: a file or a name.")] = "demo",
    device: options.Device = "auto",
) -> None:
    """Run the node on a video over real ROS 2 topics.

    Writes a page with the results, the figures as JSON, a bag, an overlay video, a contact sheet and the node's log.
    """
    for module in ("rclpy", "opendr_panoptic_ros.msg"):
        if find_spec(module) is None:
            raise PanopticError(
                f"The demo needs ROS 2 and the messages of this package, but {module} is missing. Run `make setup`, "
                "then `. .venv/bin/activate && . install/setup.bash`."
            )
    console = Console()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        from opendr_panoptic_ros.demo.report import result_table
        from opendr_panoptic_ros.demo.session import DemoOptions, run_demo

        result, files = run_demo(DemoOptions(video, frames, checkpoint, device), out, console)
    except KeyboardInterrupt:
        console.print("Stopped. All processes of the demo have ended; nothing was written.")
        raise typer.Exit(INTERRUPTED) from None
    console.print()
    console.print(result_table(result))
    for file, description in files.items():
        console.print(f"  [bold]{file}[/]  {description}", soft_wrap=True, highlight=False)
    if checkpoint == "demo":
        console.print(
            "The weights of the demo were trained on synthetic streets only. For real ones, use the released weights:\n"
            "  [bold]opendr-panoptic download cityscapes[/]  in a shell that is set up as `make` describes\n"
            "  [bold]make demo VIDEO=drive.mp4 CHECKPOINT=cityscapes[/]",
            soft_wrap=True,
            highlight=False,
        )


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - a signal handler's arguments
    # The clean-up follows; a second Ctrl-C must not interrupt it.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt
