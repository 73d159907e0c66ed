# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""`opendr-panoptic download`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from opendr_panoptic_ros.cli.common import user_errors


def download(
    trained_on: Annotated[str, typer.Argument(metavar="NAME", help="cityscapes or kitti.")] = "cityscapes",
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the file.", show_default="where the names of checkpoints are looked up"),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(help="Folder on a server.", envvar="OPENDR_PANOPTIC_WEIGHTS_URL"),
    ] = None,
    sha256: Annotated[
        str | None, typer.Option(help="Checksum of the file. Without it, a transfer by FTP is not authenticated.")
    ] = None,
) -> None:
    """Download the released weights and print the path of the file; call again to resume an interrupted transfer."""
    with user_errors():
        from opendr_panoptic_ros.download import download_weights

        typer.echo(os.fsencode(download_weights(trained_on, out, url=url, sha256=sha256)))
