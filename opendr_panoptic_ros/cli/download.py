# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""`opendr-panoptic download`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from opendr_panoptic_ros.cli.common import user_errors


def download(
    trained_on: Annotated[str, typer.Argument(help="cityscapes or kitti.")] = "cityscapes",
    out: Annotated[Path | None, typer.Option(help="Folder; left out, where the name is looked for.")] = None,
    url: Annotated[
        str | None, typer.Option(help="Folder on a server, if not OpenDR's.", envvar="OPENDR_PANOPTIC_WEIGHTS_URL")
    ] = None,
    sha256: Annotated[str | None, typer.Option(help="Checksum the file must have.")] = None,
) -> None:
    """Fetch the released weights, once; a broken transfer is resumed by calling again. Prints the file's path."""
    with user_errors():
        from opendr_panoptic_ros.download import download_weights

        typer.echo(download_weights(trained_on, out, url=url, sha256=sha256))
