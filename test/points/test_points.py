# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Geometry on paper: clouds of a 4×3 depth image, points of a LiDAR on known pixels, boxes of things."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from opendr_panoptic_ros.errors import ConfigError, ImageEncodingError
from opendr_panoptic_ros.labels import VOID
from opendr_panoptic_ros.points import (
    CLOUD_DTYPE,
    CameraModel,
    boxes_of_things,
    depth_in_metres,
    label_points,
    labelled_cloud,
)

NAN = float("nan")
PALETTE = np.zeros((256, 3), np.uint8)
PALETTE[:3] = [(1, 2, 3), (255, 0, 0), (0, 0, 255)]


def camera_of(width, height, *, f=2.0, cx=None, cy=None, d=(), model="plumb_bob", p=None) -> CameraModel:
    cx = (width - 1) / 2 if cx is None else cx
    cy = (height - 1) / 2 if cy is None else cy
    k = [f, 0, cx, 0, f, cy, 0, 0, 1]
    p = [*k[:3], 0, *k[3:6], 0, *k[6:], 0] if p is None else p
    return CameraModel.from_message(
        SimpleNamespace(width=width, height=height, k=k, d=list(d), distortion_model=model, p=p)
    )


def test_a_cloud_on_paper() -> None:
    """F = 2, centre at (1, 1): x = (u − 1)·z / 2, y = (v − 1)·z / 2."""
    depth_m = np.array([[2, 2, 2, 2], [4, NAN, 4, 4], [6, 6, 6, NAN]], np.float32)
    labels = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, VOID, VOID]], np.uint8)
    instances = np.array([[0, 0, 7, 7], [0, 0, 7, 7], [0, 0, 0, 0]], np.uint16)
    cloud = labelled_cloud(depth_m, camera_of(4, 3, cx=1, cy=1), labels, instances, PALETTE)
    assert (cloud.shape, cloud.dtype.itemsize) == ((3, 4), 24)
    x = np.array([[-1, 0, 1, 2], [-2, NAN, 2, 4], [-3, 0, 3, NAN]])
    y = np.array([[-1, -1, -1, -1], [0, NAN, 0, 0], [3, 3, 3, NAN]])
    assert np.array_equal(cloud["x"], x, equal_nan=True)
    assert np.array_equal(cloud["y"], y, equal_nan=True)
    assert np.array_equal(cloud["z"], depth_m, equal_nan=True)
    assert np.array_equal(cloud["label"], labels)
    assert np.array_equal(cloud["instance"], instances)
    assert [hex(color) for color in cloud["rgba"][:, 2]] == ["0xffff0000", "0xffff0000", "0xff000000"]
    assert hex(cloud["rgba"][0, 0]) == "0xff010203"


def test_depth_of_another_size() -> None:
    """A depth image of half the size: every pixel of the segmentation gets the depth pixel that covers it."""
    depth_m = np.array([[1, 2]], np.float32)
    labels = np.zeros((2, 4), np.uint8)
    cloud = labelled_cloud(depth_m, camera_of(2, 1, f=1), labels, labels.astype(np.uint16), PALETTE)
    assert cloud["z"].tolist() == [[1, 1, 2, 2]] * 2
    # The camera's centre, u = 0.5 of the depth image, lies between the second and the third column.
    assert cloud["x"].tolist() == [[-0.75, -0.25, 0.5, 1.5]] * 2
    assert cloud["y"].tolist() == [[-0.25, -0.25, -0.5, -0.5], [0.25, 0.25, 0.5, 0.5]]


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (np.array([[0, 1500, 65535]], np.uint16), [NAN, 1.5, 65.535]),
        (np.array([[0, 1500, 65535]], ">u2"), [NAN, 1.5, 65.535]),
        (np.array([[0, 1.5, -1, NAN, np.inf]], np.float32), [NAN, 1.5, NAN, NAN, NAN]),
    ],
)
def test_depth_in_metres(pixels, expected) -> None:
    found = depth_in_metres(pixels)
    assert found.dtype == np.float32
    assert found[0] == pytest.approx(expected, nan_ok=True)


def test_what_is_no_depth_is_refused() -> None:
    labels = np.zeros((3, 4), np.uint8)
    for pixels in (labels, np.zeros((3, 4, 3), np.float32), np.zeros((3, 4))):
        with pytest.raises(ImageEncodingError, match="expected 16UC1 in millimetres or 32FC1 in metres"):
            depth_in_metres(pixels)
    depth_m = np.ones((3, 4), np.float32)
    with pytest.raises(ImageEncodingError, match="is 4x3 pixels, its camera_info is for 8x6"):
        labelled_cloud(depth_m, camera_of(8, 6), labels, labels.astype(np.uint16), PALETTE)
    with pytest.raises(ImageEncodingError, match="4x3 pixels, the segmentation 16x4: they cannot show the same view"):
        labelled_cloud(depth_m, camera_of(4, 3), np.zeros((4, 16), np.uint8), np.zeros((4, 16), np.uint16), PALETTE)


def test_points_of_a_lidar_on_known_pixels() -> None:
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    instances = labels.astype(np.uint16) * 10
    points = np.array(
        [
            [0, 0, 2],  # the centre, u = 1.5, belongs to pixel (1, 2)
            [-1.5, -1, 2],  # pixel (0, 0)
            [1.4, 1, 2],  # pixel (2, 3)
            [0, 0, -2],  # behind
            [9, 0, 2],  # outside
            [NAN, 0, 2],
            [0, 0, 0],
        ]
    )
    found, found_instances = label_points(points, camera_of(4, 3), labels, instances, occlusion_cell_px=0)
    assert found.tolist() == [6, 0, 11, VOID, VOID, VOID, VOID]
    assert found_instances.tolist() == [60, 0, 110, 0, 0, 0, 0]


def test_no_points() -> None:
    labels = np.zeros((3, 4), np.uint8)
    found, instances = label_points(np.zeros((0, 3)), camera_of(4, 3), labels, labels.astype(np.uint16))
    assert (len(found), len(instances)) == (0, 0)
    assert boxes_of_things(np.zeros((0,), CLOUD_DTYPE)) == {}


def test_points_behind_others_are_hidden() -> None:
    """Two points in one cell: the farther one is hidden, unless the difference is within the tolerance."""
    labels = np.full((3, 4), 1, np.uint8)
    instances = np.full((3, 4), 5, np.uint16)
    points = np.array([[0, 0, 2.0], [0, 0, 2.09], [0, 0, 3.0], [-3.0, 0, 4.0]])
    seen, _ = label_points(points, camera_of(4, 3), labels, instances, occlusion_cell_px=2, occlusion_tolerance=0.05)
    assert seen.tolist() == [1, 1, VOID, 1]
    seen, _ = label_points(points, camera_of(4, 3), labels, instances, occlusion_cell_px=0)
    assert seen.tolist() == [1, 1, 1, 1]


MODELS = {
    "none": ("", ()),
    "plumb_bob": ("plumb_bob", (-0.3, 0.12, 0.001, -0.002, -0.02)),
    "plumb_bob of 4": ("plumb_bob", (-0.3, 0.12, 0.001, -0.002)),
    "rational_polynomial": ("rational_polynomial", (0.4, 0.2, 0.001, -0.002, 0.03, 0.7, 0.3, 0.05)),
    "equidistant": ("equidistant", (-0.02, 0.003, -0.001, 0.0002)),
}


@pytest.mark.parametrize(("model", "d"), MODELS.values(), ids=MODELS)
def test_distortion_models_against_opencv(model, d) -> None:
    rng = np.random.default_rng(0)
    camera = camera_of(640, 480, f=400, d=d, model=model)
    points = rng.uniform((-1, -0.8, 1), (1, 0.8, 3), (500, 3))
    pixels, is_seen = camera.project(points)
    if model == "equidistant":
        expected = cv2.fisheye.projectPoints(points[:, None], np.zeros(3), np.zeros(3), camera.k, np.array(d))[0]
    else:
        expected = cv2.projectPoints(points, np.zeros(3), np.zeros(3), camera.k, np.array(d, float))[0]
    expected = expected.reshape(-1, 2)
    inside = ((expected >= -0.5) & (expected < (639.5, 479.5))).all(axis=1)
    assert inside.sum() > 300
    assert np.array_equal(is_seen, inside)
    assert np.allclose(pixels[is_seen], expected[is_seen])
    assert np.isnan(pixels[~is_seen]).all()


@pytest.mark.parametrize(("model", "d"), MODELS.values(), ids=MODELS)
def test_a_raw_depth_image_projects_back_onto_its_pixels(model, d) -> None:
    camera = camera_of(64, 48, f=40, d=d, model=model)
    depth_m = np.random.default_rng(0).uniform(1, 9, (24, 32)).astype(np.float32)
    labels, raw = np.zeros((48, 64), np.uint8), dataclasses.replace(camera, width=32, height=24)
    for size, used in (((48, 64), camera), ((24, 32), raw)):
        depth = np.resize(depth_m, size)
        cloud = labelled_cloud(
            depth, used, labels[: size[0], : size[1]], labels[: size[0], : size[1]], PALETTE, is_rectified=False
        )
        xyz = np.stack([cloud[axis].ravel() for axis in "xyz"], axis=1)
        pixels, is_seen = used.project(xyz)
        v, u = np.divmod(np.arange(depth.size), size[1])
        assert is_seen.mean() > 0.9
        assert pixels[is_seen] == pytest.approx(np.stack([u, v], axis=1)[is_seen], abs=0.02)


def test_points_far_outside_are_not_folded_back_into_the_image() -> None:
    """With k1 = −0.3, r·(1 − 0.3·r²) grows up to r = 1.05; at r = 1.8 it is 0.05, in the middle of the image."""
    camera = camera_of(640, 480, f=400, d=(-0.3, 0, 0, 0, 0))
    _, is_seen = camera.project(np.array([[0.5, 0, 1], [1.8, 0, 1]]))
    assert is_seen.tolist() == [True, False]
    folded, _ = cv2.projectPoints(np.array([[1.8, 0, 1.0]]), np.zeros(3), np.zeros(3), camera.k, camera.d)
    assert 0 < folded[0, 0, 0] < 640, "OpenCV alone would see it"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"f": 0.0}, "focal lengths 0 and 0; expected numbers above 0. Calibrate the camera"),
        ({"f": NAN}, "focal lengths nan"),
        ({"model": "thin_prism", "d": (1,)}, "distortion model 'thin_prism'; expected one of plumb_bob, "),
        ({"d": (0.1, 0.2, 0.3)}, "3 distortion coefficients for 'plumb_bob'; expected 0 or 4 or 5 finite numbers"),
        ({"d": (NAN, 0, 0, 0, 0)}, "5 distortion coefficients"),
    ],
)
def test_cameras_that_cannot_be_used(changes, reason) -> None:
    with pytest.raises(ConfigError, match=reason):
        camera_of(4, 3, **changes)


def test_the_rectified_image_uses_p() -> None:
    p = [3.0, 0, 7, 0, 0, 4, 8, 0, 0, 0, 1, 0]
    assert camera_of(4, 3, p=p).rectified == (3, 4, 7, 8)
    assert camera_of(4, 3, p=[0.0] * 12).rectified == (2, 2, 1.5, 1)


def test_boxes_leave_out_the_background() -> None:
    """A plate of 1 m × 2 m at 5 m, with a tenth of its points on the wall at 20 m behind."""
    plate = np.zeros((20, 40), CLOUD_DTYPE)
    plate["x"], plate["y"] = np.meshgrid(np.linspace(-0.5, 0.5, 40), np.linspace(0, 2, 20))
    plate["z"], plate["instance"] = 5, 3
    plate["z"][:2], plate["x"][:2] = 20, 4
    few = np.zeros(9, CLOUD_DTYPE)
    few["z"], few["instance"] = 1, 4
    nowhere = np.zeros(50, CLOUD_DTYPE)
    nowhere["z"], nowhere["instance"] = NAN, 5
    stuff = np.ones(50, CLOUD_DTYPE)
    stuff["instance"] = 0
    boxes = boxes_of_things(np.concatenate([plate.ravel(), few, nowhere, stuff]))
    assert list(boxes) == [3]
    box = boxes[3]
    assert box.num_points == 720
    assert box.center_m == pytest.approx((0, 1.1, 5), abs=0.03)
    assert box.size_m == pytest.approx((1, 1.8, 0), abs=0.1)


@pytest.mark.parametrize("number", range(15))
def test_coefficients_that_are_all_0(number: int) -> None:
    """Cameras without distortion publish any number of zeros; OpenCV accepts only some numbers."""
    k = np.array([[10.0, 0, 1], [0, 10, 1], [0, 0, 1]])
    camera = CameraModel(3, 2, k, np.zeros(number), "plumb_bob", np.zeros((3, 4)))
    x, y = camera.slopes(np.arange(3.0), np.arange(2.0))
    np.testing.assert_allclose(x, np.array([[-0.1, 0, 0.1]] * 2), atol=1e-6)
    np.testing.assert_allclose(y, np.array([[-0.1] * 3, [0.0] * 3]), atol=1e-6)
    pixels, is_seen = camera.project(np.array([[0.1, 0, 1.0]]))
    assert is_seen.all()
    np.testing.assert_allclose(pixels, np.array([[2.0, 1.0]]), atol=1e-6)


def test_points_at_infinity_have_no_box() -> None:
    cloud = np.zeros(40, CLOUD_DTYPE)
    cloud["instance"] = np.repeat([1, 2], 20)
    cloud["z"], cloud["x"] = 2, np.arange(40) * 0.01
    cloud["x"][20:] = np.inf
    assert boxes_of_things(cloud).keys() == {1}
