# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Synthetic drives: image sequences whose objects keep their ids."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.points import Box3D, CameraModel, SegmentMaps, boxes_of_things, labelled_cloud
from opendr_panoptic_ros.synthetic.render.drive import draw_drive
from opendr_panoptic_ros.synthetic.render.rng import Purpose, rng_for
from opendr_panoptic_ros.synthetic.samples import Pair, Sample, check_size, checked_seed, make_sample, to_pair


class SyntheticDrive:
    """A drive down one street that waits at a junction: `drive[i]` is the image of frame i and its ground truth.

    Images and ground truth are as in `SyntheticScenes`, but the id of a segment is the id of the object in all frames,
    also after the object was hidden or out of view. The length of the street depends on the duration of the drive:
    another duration gives another street. Drives of 6 s or more contain a red light and cross traffic.

    Args:
        seed: Seed of the drive, 0 or more.
        num_frames: Number of frames, at least 1.
        height: Height of the images in pixels, at least 32.
        width: Width of the images in pixels, at least 32.
        fps: Frames per second, above 0.

    Raises:
        ValueError: An argument is out of its range. `drive[i]` raises IndexError beyond the last frame.
    """

    def __init__(
        self, seed: int, *, num_frames: int = 120, height: int = 256, width: int = 512, fps: float = 10.0
    ) -> None:
        check_size(height, width)
        if num_frames < 1 or not fps > 0:
            raise ValueError(f"num_frames is {num_frames} and fps {fps}; expected at least 1 frame and fps above 0.")
        self.seed, self.num_frames, self.fps = checked_seed(seed), num_frames, fps
        self._size_px = width, height
        self._world, self._camera, self._lens = draw_drive(self.seed, num_frames / fps, height=height, width=width)

    def __len__(self) -> int:
        return self.num_frames

    def __iter__(self) -> Iterator[Pair]:
        return (self[i] for i in range(self.num_frames))

    def __getitem__(self, index: int) -> Pair:
        return to_pair(self.sample(index))

    def sample(self, index: int, /) -> Sample:
        """Draw one frame.

        Args:
            index: Number of the frame; negative numbers count from the end.

        Returns:
            The image, `(height, width, 3)` uint8 RGB, and its ground truth.
        """
        time_s = self._time_s(index)
        return self._sample(index, *self._world.paint(self._camera(time_s), time_s))

    def sample_with_depth(self, index: int, /) -> tuple[Sample, NDArray[np.float32]]:
        """Draw one frame and its depth.

        Args:
            index: Number of the frame; negative numbers count from the end.

        Returns:
            What `sample` and `depth` return, in little more time than `depth` takes.
        """
        time_s = self._time_s(index)
        image, ids, depth_m = self._world.paint_with_depth(self._camera(time_s), time_s)
        depth_m = self._lens.distort_map(depth_m)
        return self._sample(index, image, ids), np.where(depth_m > 0, depth_m, np.float32(np.nan))

    def _time_s(self, index: int) -> float:
        return range(self.num_frames)[index] / self.fps

    def _sample(self, index: int, image: NDArray[np.uint8], ids: NDArray[np.int32]) -> Sample:
        image, ids = self._lens.distort(image, ids)
        image = self._lens.expose(image, rng_for(self.seed, Purpose.SENSOR, range(self.num_frames)[index]))
        return make_sample(image, ids, self._world.class_of)

    @cached_property
    def camera(self) -> CameraModel:
        """The camera with its distortion, in the model plumb_bob. The images and depths are not rectified."""
        width, height = self._size_px
        focal_px, (k1, k2, k3) = self._lens.radial_coefficients(self._camera(0.0).focal_px, height, width)
        k = np.array([[focal_px, 0, (width - 1) / 2], [0, focal_px, (height - 1) / 2], [0, 0, 1]])
        d = np.array([k1, k2, 0, 0, k3])
        return CameraModel(width, height, k, d, "plumb_bob", np.column_stack([k, np.zeros(3)]))

    def depth(self, index: int, /) -> NDArray[np.float32]:
        """Return the depth of each pixel of a frame, along the optical axis.

        Args:
            index: Number of the frame; negative numbers count from the end.

        Returns:
            `(height, width)` float32 in metres, NaN for the sky and the hood of the camera's own car.
        """
        return self.sample_with_depth(index)[1]

    def boxes(self, index: int, /) -> dict[int, Box3D]:
        """Return the boxes of the visible parts of the things in a frame, from exact depths and masks.

        Args:
            index: Number of the frame; negative numbers count from the end.

        Returns:
            The boxes by segment id, in the optical frame of the camera.
        """
        (_, truth), depth_m = self.sample_with_depth(index)
        maps = SegmentMaps.of(truth.segment_map, truth.segments)
        cloud = labelled_cloud(depth_m, self.camera, maps.labels, maps.instances, maps.palette, is_rectified=False)
        return boxes_of_things(cloud)
