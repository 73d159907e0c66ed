# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Drawing predictions: colour maps, overlay, the 2×2 view, contact sheets. All images are RGB."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.annotation import PanopticAnnotation
from opendr_panoptic_ros.labels import VOID
from opendr_panoptic_ros.prediction import PanopticPrediction

OPACITY = 0.5
"""Default opacity of the class colours in an overlay."""

_STUFF_GREY = 56
_BORDER = (255, 255, 255)
_PAPER = (24, 24, 27)
_INK = (244, 244, 245)


def semantic_color(prediction: PanopticPrediction) -> NDArray[np.uint8]:
    """Draw each pixel in the colour of its class.

    Args:
        prediction: The prediction, `H` × `W`; its class table holds the colours.

    Returns:
        `(H, W, 3)` uint8 RGB; void is black.
    """
    return _paint(prediction, {s.id: prediction.classes.palette[s.class_id] for s in prediction.segments})


def instance_color(prediction: PanopticPrediction) -> NDArray[np.uint8]:
    """Draw each instance in a colour of its own.

    The colour depends on the segment id alone, so an id that is tracked over the frames of a video keeps its colour.

    Args:
        prediction: The prediction, `H` × `W`.

    Returns:
        `(H, W, 3)` uint8 RGB; stuff is grey and void is black.
    """
    things = [s.id for s in prediction.segments if s.is_thing]
    colors: dict[int, NDArray[np.uint8]] = dict(zip(things, colors_by_id(np.array(things)), strict=True))
    grey = np.full(3, _STUFF_GREY, np.uint8)
    return _paint(prediction, colors | {s.id: grey for s in prediction.segments if not s.is_thing})


def overlay(
    image_rgb: NDArray[np.uint8], prediction: PanopticPrediction, *, opacity: float = OPACITY, labels: bool = False
) -> NDArray[np.uint8]:
    """Draw the class colours over an image, with instances in different shades and with outlines.

    Args:
        image_rgb: The image, `(H, W, 3)` uint8 RGB.
        prediction: Its prediction, `H` × `W`.
        opacity: Opacity of the colours, 0 to 1. Void pixels keep the colour of the image.
        labels: Whether to write the names of instances that are large enough, and their scores unless it is an
            annotation.

    Returns:
        `(H, W, 3)` uint8 RGB.

    Raises:
        ValueError: If the image is not uint8 RGB of the prediction's size, or the opacity is out of range.
    """
    _check(image_rgb, prediction)
    if not 0 <= opacity <= 1:
        raise ValueError(f"opacity is {opacity}; expected 0 (the image alone) to 1 (the colours alone).")
    colors = _paint(prediction, _shaded_colors(prediction))
    canvas: NDArray[Any] = cv2.addWeighted(image_rgb, 1 - opacity, colors, opacity, 0)
    cv2.copyTo(image_rgb, (prediction.semantic_map == VOID).view(np.uint8), canvas)
    # The gradient over a window is not 0 at the edge of an instance; the line is one pixel narrower than the window.
    window_px = 2 if max(prediction.shape) < 1000 else 3
    edges = cv2.morphologyEx(prediction.instance_map, cv2.MORPH_GRADIENT, np.ones((window_px, window_px), np.uint8))
    canvas[edges > 0] = _BORDER
    if labels:
        _draw_labels(canvas, prediction)
    return canvas


def detailed(image_rgb: NDArray[np.uint8], prediction: PanopticPrediction) -> NDArray[np.uint8]:
    """Draw a 2×2 view: input, semantic, instance and panoptic image, each at half size.

    Args:
        image_rgb: The image, `(H, W, 3)` uint8 RGB.
        prediction: Its prediction, `H` × `W`.

    Returns:
        `(H, W, 3)` uint8 RGB. Titles are left out where they would be too small to read.

    Raises:
        ValueError: If the image is not uint8 RGB of the prediction's size.
    """
    _check(image_rgb, prediction)
    height, width = prediction.shape
    small = _resized(prediction, max(1, math.ceil(height / 2)), max(1, math.ceil(width / 2)))
    small_image: NDArray[Any] = cv2.resize(image_rgb, small.shape[::-1], interpolation=cv2.INTER_AREA)
    panels = (
        ("input", small_image),
        ("semantic", semantic_color(small)),
        ("instance", instance_color(small)),
        ("panoptic", overlay(small_image, small, labels=True)),
    )
    figure = np.empty_like(image_rgb)
    for i, (title, panel) in enumerate(panels):
        top, left = i // 2 * (height // 2), i % 2 * (width // 2)
        cell = figure[top : top + small.shape[0], left : left + small.shape[1]]
        cell[:] = _titled(panel, title)[: cell.shape[0], : cell.shape[1]]
    return figure


def contact_sheet(
    images: Sequence[NDArray[np.uint8]],
    *,
    columns: int = 3,
    tile_width_px: int = 480,
    titles: Sequence[str] | None = None,
) -> NDArray[np.uint8]:
    """Arrange images in rows, with titles below them.

    Args:
        images: At least one image, each `(H, W, 3)` uint8 RGB of any size.
        columns: Number of images in a row.
        tile_width_px: Width of every image in the sheet; the aspect ratio is kept.
        titles: A title for each image, or None for no titles.

    Returns:
        `(H, W, 3)` uint8 RGB.

    Raises:
        ValueError: If there is no image, or the number of titles differs from the number of images.
    """
    if not images:
        raise ValueError("contact_sheet got no images; pass at least one (H, W, 3) uint8 array.")
    if titles is not None and len(titles) != len(images):
        raise ValueError(f"contact_sheet got {len(images)} images and {len(titles)} titles; pass as many of each.")
    columns = min(columns, len(images))
    gap, caption = 12, 30 if titles else 0
    heights = [max(1, round(image.shape[0] * tile_width_px / image.shape[1])) for image in images]
    rows = [max(heights[i : i + columns]) + caption + gap for i in range(0, len(images), columns)]
    sheet = np.full((sum(rows) + gap, columns * (tile_width_px + gap) + gap, 3), _PAPER, np.uint8)
    for i, image in enumerate(images):
        top, left = gap + sum(rows[: i // columns]), gap + i % columns * (tile_width_px + gap)
        interpolation = cv2.INTER_AREA if image.shape[1] > tile_width_px else cv2.INTER_CUBIC
        tile = cv2.resize(image, (tile_width_px, heights[i]), interpolation=interpolation)
        sheet[top : top + heights[i], left : left + tile_width_px] = tile
        if titles is not None:
            _write(sheet, titles[i], (left + 2, top + heights[i] + 20), 0.5)
    return sheet


def text_picture(
    text: str, *, ink: int = 0, paper: int | NDArray[np.uint8] = 255, scale: float = 0.4
) -> NDArray[np.uint8]:
    """Write a line of text on an image of its size.

    Args:
        text: The text, ASCII.
        ink: Grey value of the text, 0 to 255.
        paper: Grey value or RGB colour of the background.
        scale: Size of the font; 0.4 is 9 px high.

    Returns:
        `(H, W, 3)` uint8 RGB.
    """
    (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    picture = np.empty((height + below, width, 3), np.uint8)
    picture[:] = paper
    cv2.putText(picture, text, (0, height), cv2.FONT_HERSHEY_SIMPLEX, scale, (ink, ink, ink), 1, cv2.LINE_AA)
    return picture


def _check(image_rgb: NDArray[np.uint8], prediction: PanopticPrediction) -> None:
    expected = (*prediction.shape, 3)
    if not isinstance(image_rgb, np.ndarray) or image_rgb.dtype != np.uint8 or image_rgb.shape != expected:
        is_array = isinstance(image_rgb, np.ndarray)
        got = f"{image_rgb.dtype} of shape {image_rgb.shape}" if is_array else type(image_rgb).__name__
        raise ValueError(f"The image is {got}; expected uint8 RGB of shape {expected}, the prediction's size.")


def _paint(prediction: PanopticPrediction, colors: dict[int, NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Return each pixel in the colour of its segment id, black where the id has none."""
    table = np.zeros((max(colors, default=0) + 1, 4), np.uint8)
    for segment_id, color in colors.items():
        table[segment_id, :3] = color
    # One 32-bit look-up a pixel is several times faster than three of 8 bits.
    packed = np.take(table.view(np.uint32)[:, 0], prediction.segment_map)
    rgb: NDArray[Any] = cv2.cvtColor(packed.view(np.uint8).reshape(*prediction.shape, 4), cv2.COLOR_RGBA2RGB)
    return rgb


def colors_by_id(ids: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return bright colours that differ for nearby ids: their hues are a golden angle apart.

    Args:
        ids: `(N,)` integers, such as ids of instances.

    Returns:
        `(N, 3)` uint8 RGB.
    """
    hsv = np.empty((1, len(ids), 3), np.float32)
    hsv[0, :, 0] = ids * 137.50776 % 360
    hsv[0, :, 1] = 0.55 + 0.4 * (ids * 0.7548777 % 1)
    hsv[0, :, 2] = 1 - 0.3 * (ids * 0.5698403 % 1)
    if not len(ids):  # OpenCV refuses empty arrays
        return np.zeros((0, 3), np.uint8)
    return np.rint(255 * cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0]).astype(np.uint8)


def _shaded_colors(prediction: PanopticPrediction) -> dict[int, NDArray[np.uint8]]:
    """Return the class colour of each segment id, for things mixed with an amount of white that depends on the id."""
    colors = {}
    for s in prediction.segments:
        color = prediction.classes.palette[s.class_id]
        white = 0.5 * (s.id * 0.618034 % 1) if s.is_thing else 0.0
        colors[s.id] = np.rint(color + white * (255.0 - color)).astype(np.uint8)
    return colors


def _resized(prediction: PanopticPrediction, height: int, width: int) -> PanopticPrediction:
    """Return the prediction at another size; the areas of its segments are not changed."""
    factors = np.tile([width / prediction.shape[1], height / prediction.shape[0]], 2)
    segments = []
    for s in prediction.segments:
        x1, y1, x2, y2 = (round(float(v)) for v in np.multiply(s.box_xyxy_px, factors))
        segments.append(dataclasses.replace(s, box_xyxy_px=(x1, y1, x2, y2)))
    segment_map: NDArray[Any] = cv2.resize(prediction.segment_map, (width, height), interpolation=cv2.INTER_NEAREST)
    return dataclasses.replace(prediction, segment_map=segment_map, segments=tuple(segments), stuff_probability=None)


def _draw_labels(canvas: NDArray[np.uint8], prediction: PanopticPrediction) -> None:
    """Write the names of the instances onto their pixels, the largest first; no name leaves its box or covers another.

    A name is left out where its plate does not fit into the box, or would lie on other pixels for the most part.
    """
    scale = _text_scale(canvas)
    written = np.zeros(canvas.shape[:2], np.bool_)
    for s in sorted((s for s in prediction.segments if s.is_thing), key=lambda s: -s.area_px):
        x1, y1, x2, y2 = s.box_xyxy_px
        has_score = not (math.isnan(s.score) or isinstance(prediction, PanopticAnnotation))
        text = f"{s.label} {s.score:.2f}" if has_score else s.label
        (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
        plate_width, plate_height = width + 2 * height, 3 * height
        if plate_width > x2 - x1 or plate_height > y2 - y1:
            continue
        left, top = _best_place(prediction.segment_map[y1:y2, x1:x2] == s.id, plate_width, plate_height)
        if left < 0:
            continue
        place = written[y1 + top : y1 + top + plate_height, x1 + left : x1 + left + plate_width]
        if not place.any():
            place[:] = True
            _plate(canvas, text, (x1 + left + height, y1 + top + 2 * height), scale)


def _best_place(mask: NDArray[np.bool_], width: int, height: int) -> tuple[int, int]:
    """Return left and top of the rectangle, at most as large as the mask, that holds most of its pixels.

    Of equal places the most central one is taken; (-1, -1) when no rectangle holds more than half of its area.
    """
    share = cv2.boxFilter(mask.astype(np.float32), -1, (width, height), anchor=(0, 0), borderType=cv2.BORDER_CONSTANT)
    share = share[: mask.shape[0] - height + 1, : mask.shape[1] - width + 1]
    rows, columns = (np.abs(np.arange(n) - (n - 1) / 2) / n for n in share.shape)
    best = int((share - 0.01 * (rows[:, None] + columns)).argmax())
    top, left = divmod(best, share.shape[1])
    return (left, top) if share[top, left] > 0.5 else (-1, -1)


def _titled(panel: NDArray[np.uint8], title: str) -> NDArray[np.uint8]:
    """Return the panel with its title in the upper left corner, if it is large enough for one."""
    panel = np.array(panel)
    scale = _text_scale(panel)
    (width, height), _ = cv2.getTextSize(title, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    if width + 16 <= panel.shape[1] // 2 and height + 16 <= panel.shape[0] // 3:
        _plate(panel, title, (8, height + 8), scale)
    return panel


def _text_scale(canvas: NDArray[np.uint8]) -> float:
    return min(max(canvas.shape[1] / 1600, 0.4), 1.2)


def _plate(canvas: NDArray[np.uint8], text: str, left_baseline: tuple[int, int], scale: float) -> None:
    """Write text on a dark plate, so that it is readable on any picture."""
    left, baseline = left_baseline
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    pad = max(3, height // 3)
    top, bottom = max(0, baseline - height - pad), baseline + pad
    plate = canvas[top:bottom, max(0, left - pad) : left + width + pad]
    np.copyto(plate, plate // 4 + np.array(_PAPER, np.uint8) // 2)
    _write(canvas, text, left_baseline, scale)


def _write(canvas: NDArray[np.uint8], text: str, left_baseline: tuple[int, int], scale: float) -> None:
    cv2.putText(canvas, text, left_baseline, cv2.FONT_HERSHEY_SIMPLEX, scale, _INK, max(1, round(scale)), cv2.LINE_AA)
