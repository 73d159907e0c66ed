# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The page of the demo: one HTML file that contains all results, for a browser."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.demo.report import DemoResult, Moment, result_rows
from opendr_panoptic_ros.files import write_whole
from opendr_panoptic_ros.labels import CITYSCAPES

if TYPE_CHECKING:
    from opendr_panoptic_ros.formats.panoptic_quality import PanopticQuality

_PAGE = Template(
    """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>opendr_panoptic_ros: demo</title>
<style>
  :root { color-scheme: light dark; --line: light-dark(#d4d4d8, #3f3f46); --soft: light-dark(#52525b, #a1a1aa) }
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem }
  h1, h2 { line-height: 1.2; margin: 2rem 0 .8rem }
  p, figcaption { color: var(--soft) }
  img, video { width: 100%; display: block; border-radius: 4px } video { max-width: 64rem }
  .moment { display: grid; grid-template-columns: repeat(auto-fit, minmax(12rem, 1fr)); gap: .6rem; margin: 0 0 1.2rem }
  figure { margin: 0 } figcaption { font-size: .85rem }
  .tables { display: flex; flex-wrap: wrap; gap: 1rem 4rem; align-items: flex-start }
  table { border-collapse: collapse } td, th { padding: .15rem .8rem .15rem 0; border-bottom: 1px solid var(--line) }
  td + td, th + th { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums }
  th { text-align: left; font-weight: 600 }
  .swatch { display: inline-block; width: .9em; height: .9em; border-radius: 2px; margin-right: .5em }
  pre { padding: .8rem 1rem; border: 1px solid var(--line); border-radius: 4px; overflow-x: auto }
</style>
<h1>Panoptic segmentation: demo</h1>
<p>$summary</p>
$video
<h2>Frames</h2>
$moments
<h2>Figures</h2>
<div class="tables"><table>$figures</table>$classes</div>
<h2>On your own camera</h2>
<pre>ros2 launch opendr_panoptic_ros panoptic.launch.py image_topic:=/camera/image_raw rviz:=true</pre>
<p>The results are published below <code>/opendr/panoptic/</code>. The weights of the demo were trained on synthetic
streets only; for real ones use the released Cityscapes weights:</p>
<pre>opendr-panoptic download cityscapes
ros2 launch opendr_panoptic_ros panoptic.launch.py checkpoint:=cityscapes image_topic:=/camera/image_raw</pre>
<p>After <code>make demo</code>, <code>. .venv/bin/activate &amp;&amp; . install/setup.bash</code> sets up a shell with
these commands, except <code>ros2</code>, which is part of a ROS installation.</p>
<p>To run the demo on a video: <code>make demo VIDEO=drive.mp4</code>. The bag beside this page contains every input and
output, for Foxglove or <code>ros2 bag play</code>.</p>
</html>
"""
)


def write_page(
    path: Path,
    result: DemoResult,
    video: Path,
    moments: Sequence[Moment],
) -> None:
    """Write the page of a run. It refers to no other file.

    Args:
        path: Path of the page.
        result: The figures.
        video: The overlay video; it is embedded if browsers play its format, WebM.
        moments: Pictures to show.
    """
    summary = (
        f"{result.answered} of {result.published} frames answered by the node over ROS 2 topics on "
        f"{html.escape(result.device)}, weights: {html.escape(result.checkpoint)}."
    )
    figures = "".join(_row(*row) for section in result_rows(result) for row in section)
    content = _PAGE.substitute(
        summary=summary,
        video=_video(video),
        moments="\n".join(_moment(moment) for moment in moments),
        figures=figures,
        classes=_classes(result.quality) if result.quality is not None else "",
    )
    write_whole(path, lambda partial: partial.write_text(content, "utf-8"))


def _video(path: Path) -> str:
    if path.suffix != ".webm":  # browsers do not play AVI; it is a file beside the page
        return ""
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<video src="data:video/webm;base64,{data}" controls loop muted autoplay playsinline></video>'


def _moment(moment: Moment) -> str:
    figures = (
        f'<figure><img alt="{html.escape(title)}" src="{_data_url(picture)}">'
        f"<figcaption>{html.escape(title)}, {moment.seconds:.1f} s</figcaption></figure>"
        for title, picture in moment.pictures.items()
    )
    return f'<div class="moment">{"".join(figures)}</div>'


def _data_url(picture: NDArray[np.uint8]) -> str:
    _, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), (cv2.IMWRITE_JPEG_QUALITY, 90))
    return f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}"


def _classes(quality: PanopticQuality) -> str:
    """Return a table of the classes that occur: colour, name, quality in percent."""
    rows = []
    for name, color in zip(CITYSCAPES.names, CITYSCAPES.palette[: len(CITYSCAPES)].tolist(), strict=True):
        found = quality.per_class[name]
        if found.occurs:
            swatch = f'<span class="swatch" style="background: rgb{tuple(color)}"></span>{html.escape(name)}'
            figures = (f"{100 * value:.1f}" for value in (found.pq, found.sq, found.rq))
            rows.append(f"<tr><td>{swatch}</td>{_cells(figures)}</tr>")
    return f"<table><tr><th>class</th><th>PQ</th><th>SQ</th><th>RQ</th></tr>{''.join(rows)}</table>"


def _row(name: str, value: str) -> str:
    return f"<tr><td>{html.escape(name)}</td>{_cells([html.escape(value)])}</tr>"


def _cells(values: Iterable[str]) -> str:
    return "".join(f"<td>{value}</td>" for value in values)
