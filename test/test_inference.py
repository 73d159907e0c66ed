# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Tests of PanopticSegmenter: sizes, alignment, batches, thresholds, containment and invalid input."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support.random_weights import seed_weights_

from opendr_panoptic_ros.codec.image import decode, encode
from opendr_panoptic_ros.config import Config, ModelConfig, TestConfig, Thresholds
from opendr_panoptic_ros.errors import ConfigError
from opendr_panoptic_ros.inference import PanopticSegmenter, fitted_size
from opendr_panoptic_ros.network import EfficientPS
from opendr_panoptic_ros.prediction import PanopticPrediction
from opendr_panoptic_ros.rotation import rotated
from opendr_panoptic_ros.synthetic.scenes import EVALUATION_SEEDS_FROM, SyntheticScenes


@pytest.fixture(scope="module")
def demo() -> PanopticSegmenter:
    return PanopticSegmenter("demo", device="cpu")


def noise(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Return an image of random blocks of 16×16 pixels."""
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 16 + 2, width // 16 + 2, 3), dtype=np.uint8)
    return np.ascontiguousarray(coarse.repeat(16, 0).repeat(16, 1)[:height, :width])


def scene() -> NDArray[np.uint8]:
    """Return an image with things and stuff, `(256, 512, 3)`."""
    image, _ = SyntheticScenes([EVALUATION_SEEDS_FROM])[0]
    return image.convert("channels_last")


def assert_whole(prediction: PanopticPrediction, size: tuple[int, int]) -> None:
    """Assert that the map has the size of the image and that the segments describe it exactly."""
    segment_map = prediction.segment_map
    assert segment_map.shape == size
    assert segment_map.dtype == np.int32
    assert set(np.unique(segment_map)) - {0} == {segment.id for segment in prediction.segments}
    for segment in prediction.segments:
        y, x = np.nonzero(segment_map == segment.id)
        assert segment.area_px == len(y)
        assert segment.box_xyxy_px == (x.min(), y.min(), x.max() + 1, y.max() + 1)
        assert segment.is_thing == (segment.class_id >= 11)
        assert np.isnan(segment.score) != segment.is_thing


@pytest.mark.parametrize("size", [(1, 1), (17, 3), (375, 1242), (576, 768)])
def test_sizes(demo: PanopticSegmenter, size: tuple[int, int]) -> None:
    assert_whole(demo(noise(*size)), size)


@pytest.mark.slow
def test_a_huge_image_fits_into_memory() -> None:
    """An image of 8192×8192 pixels needs less than 8 GB, measured in a process of its own."""
    code = (
        "import numpy as np, resource;"
        "from opendr_panoptic_ros.inference import PanopticSegmenter;"
        "p = PanopticSegmenter('demo', device='cpu')(np.zeros((8192, 8192, 3), np.uint8));"
        "assert p.segment_map.shape == (8192, 8192);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert int(out) * 1024 < 8e9  # ru_maxrss is in KiB


def test_native_size_moves_with_the_image() -> None:
    """At native resolution a shift by 32 px, a whole cell of the coarsest level, shifts the semantic map."""
    segmenter = PanopticSegmenter("demo", device="cpu", inference_size="native", min_stuff_area=0, score_threshold=1.0)
    image, _ = SyntheticScenes([EVALUATION_SEEDS_FROM + 5], height=512, width=1024 + 32)[0]
    scene = image.convert("channels_last")
    left, right = segmenter(scene[:, :1024]).semantic_map, segmenter(scene[:, 32:]).semantic_map
    assert len(np.unique(left)) > 2  # so that there is something to compare
    inner = np.s_[64:-64, 64:-64]
    assert (left[:, 32:][inner] == right[:, :-32][inner]).mean() >= 0.98


def test_things_and_stuff_stay_aligned_at_odd_sizes() -> None:
    """Padding must not shift semantics against the image, a known fault of the published program.

    The image is black on the left and white on the right; whatever the network calls them, the border between the two
    classes has to lie at the same share of the width with padding (width 500 → 512) as without (512).
    """
    network = EfficientPS.from_config(Config.load("demo")).eval()
    seed_weights_(network, 7)
    segmenter = PanopticSegmenter(network, device="cpu", inference_size="native", min_stuff_area=0, score_threshold=1.0)

    def step(width: int) -> NDArray[np.uint8]:
        image = np.zeros((128, width, 3), np.uint8)
        image[:, 256:] = 255
        return segmenter(image).semantic_map

    assert (step(500)[:, 64:436] == step(512)[:, 64:436]).mean() > 0.97


def test_batch_equals_single_images(demo: PanopticSegmenter) -> None:
    images = [noise(120, 200, seed) for seed in range(3)]
    for image, prediction in zip(images, demo(images), strict=True):
        assert_whole(prediction, (120, 200))
        assert (prediction.semantic_map == demo(image).semantic_map).mean() > 0.999  # rounding may differ
    assert demo([]) == []


def test_a_list_may_have_several_sizes(demo: PanopticSegmenter) -> None:
    sizes = [(64, 96), (48, 200), (64, 96), (17, 3)]
    images = [noise(*size, seed) for seed, size in enumerate(sizes)]
    for image, size, prediction in zip(images, sizes, demo(images), strict=True):
        assert_whole(prediction, size)
        assert (prediction.semantic_map == demo(image).semantic_map).mean() > 0.999  # rounding may differ


def test_views_are_read_as_they_look(demo: PanopticSegmenter) -> None:
    """Arrays with negative strides (BGR to RGB) and read-only arrays (message buffers) are accepted."""
    image = noise(64, 96)
    expected = demo(image).segment_map
    mirrored = np.ascontiguousarray(image[:, :, ::-1])[:, :, ::-1]
    image.flags.writeable = False
    np.testing.assert_array_equal(demo(mirrored).segment_map, expected)
    np.testing.assert_array_equal(demo(image).segment_map, expected)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1)])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_views_of_one_row_or_column(demo: PanopticSegmenter, shape: tuple[int, int], degrees: int) -> None:
    """NumPy regards them as contiguous although their strides are negative."""
    image = np.arange(27, dtype=np.uint8).repeat(3)[: 3 * shape[0] * shape[1]].reshape(*shape, 3)
    turned = rotated(image[::-1, ::-1], degrees)
    prediction = demo(turned)
    assert prediction.shape == turned.shape[:2]
    fields = encode(turned, "rgb8")
    assert fields.step == 3 * turned.shape[1]
    assert np.array_equal(decode(fields), turned)


@pytest.mark.parametrize(
    ("image", "error"),
    [
        ("file.png", TypeError),
        (None, TypeError),
        (np.zeros((4, 4, 3), np.float32), TypeError),
        ([np.zeros((4, 4, 3), np.uint8), "file.png"], TypeError),
        (np.zeros((4, 4), np.uint8), ValueError),
        (np.zeros((4, 4, 4), np.uint8), ValueError),
        (np.zeros((0, 4, 3), np.uint8), ValueError),
    ],
)
def test_wrong_images(demo: PanopticSegmenter, image: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="expected"):
        demo(image)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    "arguments",
    [
        {"device": "tpu9"},
        {"precision": "float8"},
        {"backend": "caffe"},
        {"inference_size": "huge"},
        {"inference_size": 0},
        {"inference_size": True},
        {"score_threshold": 1.5},
        {"min_stuff_area": -1},
    ],
)
def test_wrong_arguments(arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        PanopticSegmenter("demo", **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("size", "inference_size", "expected"),
    [
        ((1024, 2048), None, (1024, 2048)),
        ((375, 1242), None, (618, 2048)),  # 2048 / 1242 = 1.649; 375 · 1.649 = 618.4
        ((576, 768), None, (1024, 1365)),  # the shorter side decides: 1024 / 576 · 768 = 1365.3
        ((768, 576), None, (1365, 1024)),  # a portrait image fits the other way round
        ((1, 1), None, (1024, 1024)),
        ((1, 4096), None, (1, 2048)),
        ((480, 640), "native", (480, 640)),
        ((480, 640), 320, (240, 320)),
    ],
)
def test_fitted_size(size: tuple[int, int], inference_size: int | str | None, expected: tuple[int, int]) -> None:
    assert fitted_size(*size, inference_size, TestConfig()) == expected


def test_thresholds_replace_the_config() -> None:
    strict = PanopticSegmenter("demo", device="cpu", score_threshold=1.0, min_stuff_area=10**9)
    prediction = strict(noise(64, 128))
    assert prediction.segments == ()
    assert (prediction.semantic_map == 255).all()
    assert strict.config.test.score_threshold == 1.0


def test_thresholds_of_one_call(demo: PanopticSegmenter) -> None:
    """The thresholds of a call do not affect later calls or the configuration."""
    image, config = scene(), demo.config
    usual = demo(image)
    assert usual.segments
    assert demo(image, thresholds=Thresholds(score_threshold=1.0, min_stuff_area=10**9)).segments == ()
    (strict,) = demo([image], thresholds=Thresholds(min_stuff_area=10**9))
    assert not any(not segment.is_thing for segment in strict.segments)
    assert demo(image).segments == usual.segments
    assert demo.config is config
    with pytest.raises(ConfigError, match="score_threshold"):
        demo(image, thresholds=Thresholds(score_threshold=2.0))
    with pytest.raises(ConfigError, match="contain_instances"):
        demo(image, thresholds=Thresholds(contain_instances="no"))  # type: ignore[arg-type]


def test_thresholds_from_several_threads(demo: PanopticSegmenter) -> None:
    image = scene()
    usual, strict = Thresholds(), Thresholds(score_threshold=1.0, min_stuff_area=10**9)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda i: demo(image, thresholds=(usual, strict)[i % 2]).segments, range(12)))
    assert all(found[0::2])
    assert not any(found[1::2])


def test_no_instance_of_a_real_photograph_covers_half_of_it(
    demo: PanopticSegmenter, shared_data: Callable[[str], Path]
) -> None:
    """By the published rule such an instance gets all pixels with negative stuff logits, in each of these 40 frames."""
    video = cv2.VideoCapture(str(shared_data("pedestrians.avi")))
    published_too_large = 0
    for index in range(40):
        frame = cv2.cvtColor(video.read()[1], cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
        assert largest_box_share(demo(frame)) <= 0.5
        if index % 10 == 0:
            published = demo(frame, thresholds=Thresholds(contain_instances=False))
            published_too_large += largest_box_share(published) > 0.5
    assert published_too_large == 4


def largest_box_share(prediction: PanopticPrediction) -> float:
    """Return the share of the image that the largest box of a thing covers."""
    boxes = [segment.box_xyxy_px for segment in prediction.segments if segment.is_thing]
    return max(((x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in boxes), default=0) / prediction.segment_map.size


@pytest.mark.parametrize("inference_size", [None, "native"])
def test_things_lie_in_the_boxes_of_their_detections(demo: PanopticSegmenter, inference_size: str | None) -> None:
    segmenter = PanopticSegmenter("demo", device="cpu", inference_size=inference_size)
    image = np.ascontiguousarray(scene().repeat(2, 0).repeat(2, 1)[:400, :900])
    logits, detections = segmenter.head_outputs(image)
    factors = np.tile([image.shape[1] / logits.shape[2], image.shape[0] / logits.shape[1]], 2)
    boxes = dict(zip(detections.scores.tolist(), detections.boxes.numpy(), strict=True))
    things = [segment for segment in segmenter(image).segments if segment.is_thing]
    assert things
    last_px = (logits.shape[2] - 1, logits.shape[1] - 1)
    for thing in things:
        x1, y1, x2, y2 = boxes[thing.score]
        # A box that was clipped at the last pixel ends where that pixel ends.
        x2, y2 = (v + 1 if v == last else math.ceil(v) for v, last in zip((x2, y2), last_px, strict=True))
        low_x, low_y, high_x, high_y = np.array([math.floor(x1), math.floor(y1), x2, y2]) * factors
        assert math.floor(low_x) <= thing.box_xyxy_px[0]
        assert math.floor(low_y) <= thing.box_xyxy_px[1]
        assert thing.box_xyxy_px[2] <= math.ceil(high_x)
        assert thing.box_xyxy_px[3] <= math.ceil(high_y)


def test_given_network_is_left_alone() -> None:
    network = EfficientPS(ModelConfig(backbone_width=0.35, backbone_depth=1.0, fpn_channels=16, semantic_channels=8))
    network.eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    kitti = dataclasses.replace(Config.load("kitti"), model=network.config.model)
    segmenter = PanopticSegmenter(network, config=kitti, device="cpu", precision="bfloat16", inference_size=64)
    segmenter(noise(32, 64))
    assert segmenter.config.test.long_side_px == 1280
    assert network.config.test.long_side_px == 2048
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_config_must_fit_the_network() -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        PanopticSegmenter("demo", config="nowhere.yaml")


@pytest.mark.gpu
def test_cuda_gives_what_the_cpu_gives(demo: PanopticSegmenter) -> None:
    image = noise(256, 512)
    on_cpu = demo(image).semantic_map
    for precision, share in (("float32", 0.999), ("float16", 0.98), ("bfloat16", 0.9)):
        on_gpu = PanopticSegmenter("demo", device="cuda", precision=precision)(image).semantic_map
        assert (on_cpu == on_gpu).mean() >= share
