# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""`opendr-panoptic demo`: the node at work on a video, from one command."""

from __future__ import annotations

import signal
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from opendr_panoptic_ros.cli.common import INTERRUPTED
from opendr_panoptic_ros.errors import PanopticError


def demo(
    video: Annotated[
        Path | None, typer.Argument(help="Video file or folder of images; a synthetic drive if left out.")
    ] = None,
    frames: Annotated[int, typer.Option(min=1, help="Publish at most so many frames.")] = 100,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("demo_out"),
    checkpoint: Annotated[str, typer.Option(help="The node's weights: a file or a name.")] = "demo",
    device: Annotated[str, typer.Option(help="Where the network runs: auto, cpu, cuda, cuda:1.")] = "auto",
) -> None:
    """Run the node on a video over real ROS 2 topics; leave a page, a bag, an overlay video and a contact sheet."""
    for module in ("rclpy", "opendr_panoptic_ros.msg"):
        if find_spec(module) is None:
            raise PanopticError(
                f"The demo needs ROS 2 and this package's messages; there is no {module}. Run `make setup`, then "
                "`. .venv/bin/activate && . install/setup.bash`."
            )
    console = Console()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        from opendr_panoptic_ros.demo.report import result_table
        from opendr_panoptic_ros.demo.session import run_demo

        result = run_demo(video, frames=frames, out=out, checkpoint=checkpoint, device=device, console=console)
    except KeyboardInterrupt:
        console.print("Stopped. Every process of the demo has ended; nothing was written.")
        raise typer.Exit(INTERRUPTED) from None
    console.print()
    console.print(result_table(result))
    contents = (
        "all of it on one page",
        "what the node drew over the frames it answered",
        "some moments: input, overlay, semantic, instances",
        "every input and output, for Foxglove or `ros2 bag play`",
        "what the node said",
    )
    for file, content in zip(result.files, contents, strict=True):
        console.print(f"  [bold]{file}[/]  {content}", soft_wrap=True, highlight=False)
    if checkpoint == "demo":
        console.print(
            "The demo's network has seen synthetic streets only. For real ones, the released weights:\n"
            "  [bold]opendr-panoptic download cityscapes[/]  in a shell with everything: `make` says how\n"
            "  [bold]make demo VIDEO=drive.mp4 CHECKPOINT=cityscapes[/]",
            soft_wrap=True,
            highlight=False,
        )


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - a signal handler's arguments
    # What follows is the clean-up; a second Ctrl-C must not interrupt it.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt
