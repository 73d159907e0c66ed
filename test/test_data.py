# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Image and Heatmap behave as OpenDR's."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from opendr_panoptic_ros.data import Heatmap, Image

BGR = np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8)  # one row, two pixels: blue, green, red


def test_opencv_image_becomes_channels_first_rgb() -> None:
    image = Image(BGR)
    assert image.data.tolist() == [[[3, 6]], [[2, 5]], [[1, 4]]]
    np.testing.assert_array_equal(image.opencv(), BGR)
    np.testing.assert_array_equal(image.convert("channels_last", "rgb"), BGR[:, :, ::-1])
    assert image.convert("channels_first", "bgr").tolist() == [[[1, 4]], [[2, 5]], [[3, 6]]]


def test_other_layouts() -> None:
    grey = np.zeros((4, 5, 1), np.uint8)
    assert Image(grey).data.shape == (1, 4, 5)
    chw = np.zeros((3, 4, 5), np.uint8)
    assert Image(chw).data.shape == (3, 4, 5)
    np.testing.assert_array_equal(Image(BGR, guess_format=False).data, BGR)


def test_arrays_are_not_shared() -> None:
    image = Image(BGR)
    image.numpy()[:] = 0
    image.convert()[:] = 0
    assert image.data.sum() == 21


@pytest.mark.parametrize("data", [None, np.zeros(3), np.zeros((2, 2))])
def test_wrong_images(data: object) -> None:
    with pytest.raises(ValueError, match=r"3-dimensional|three dimensions"):
        Image(data)  # type: ignore[arg-type]


def test_wrong_words() -> None:
    with pytest.raises(ValueError, match="channels_first"):
        Image(BGR).convert("hwc")
    with pytest.raises(ValueError, match="'rgb' or 'bgr'"):
        Image(BGR).convert(channel_order="rbg")


def test_open(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), BGR)
    np.testing.assert_array_equal(Image.open(tmp_path / "a.png").opencv(), BGR)
    (tmp_path / "b.png").write_text("not an image")
    with pytest.raises(ValueError, match=r"b\.png"):
        Image.open(tmp_path / "b.png")
    with pytest.raises(FileNotFoundError, match=r"c\.png"):
        Image.open(tmp_path / "c.png")


def test_heatmap() -> None:
    heatmap = Heatmap(np.array([[0, 300]], np.int32), {0: "void"})
    assert heatmap.data.dtype == np.int32
    assert heatmap.shape() == (1, 2)
    assert heatmap.class_names == {0: "void"}
    with pytest.raises(TypeError, match="numpy array"):
        Heatmap([[0]])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="strings"):
        Heatmap(np.zeros((1, 1)), {0: 1})  # type: ignore[dict-item]
