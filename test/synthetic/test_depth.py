# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Depth, camera and boxes of the synthetic drive."""

from __future__ import annotations

import numpy as np
import pytest

from opendr_panoptic_ros.labels import CITYSCAPES, VOID
from opendr_panoptic_ros.points import SegmentMaps, labelled_cloud
from opendr_panoptic_ros.synthetic.drive import SyntheticDrive
from opendr_panoptic_ros.synthetic.render.street import KERB_HEIGHT_M

SKY, ROAD = CITYSCAPES.names.index("sky"), CITYSCAPES.names.index("road")


@pytest.fixture(scope="module", params=[0, 7, 13])
def drive(request) -> SyntheticDrive:
    return SyntheticDrive(request.param, num_frames=80)


def test_all_but_sky_and_void_has_depth(drive) -> None:
    depth_m = drive.depth(40)
    labels = drive.sample(40)[1].semantic_map
    assert depth_m.dtype == np.float32
    assert np.array_equal(np.isnan(depth_m), (labels == SKY) | (labels == VOID))
    assert np.nanmin(depth_m) > 0.3
    assert np.array_equal(depth_m, drive.depth(40 - 80), equal_nan=True)


def test_the_road_is_flat(drive) -> None:
    """With the lens undone and the pitch of the camera known, the points of the road lie on the ground."""
    _, truth = drive.sample(40)
    maps = SegmentMaps.of(truth.segment_map, truth.segments)
    cloud = labelled_cloud(drive.depth(40), drive.camera, maps.labels, maps.instances, maps.palette, is_rectified=False)
    road = cloud[(cloud["label"] == ROAD) & (cloud["z"] < 40)]
    assert len(road) > 1000
    seen = drive._camera(40 / drive.fps)
    in_world = np.stack([road["x"], -road["y"], road["z"]], axis=1) @ seen.rotation
    height = in_world[:, 1] + seen.position_m[1]
    # The lens takes the nearest pixel, which is up to half a pixel away. Side streets lie on top of the sidewalks.
    pixel_m = road["z"] / drive.camera.k[0, 0]
    assert np.median(np.abs(height) / pixel_m) < 0.6
    assert np.mean((height > -pixel_m) & (height < KERB_HEIGHT_M + 0.03 + pixel_m)) > 0.99


def test_boxes_are_those_of_things_in_sight(drive) -> None:
    boxes = drive.boxes(40)
    things = {segment.id for segment in drive.sample(40)[1].segments if segment.is_thing}
    assert boxes
    assert set(boxes) <= things
    for box in boxes.values():
        assert 0.5 < box.center_m[2] < 170
        assert max(box.size_m) < 20
