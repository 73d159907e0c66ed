# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Layer of network and runtime: images and thresholds of the segmenter, tracking, filters, codec, outputs, points."""

from __future__ import annotations

import dataclasses
from functools import cache
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
from attack.properties import REFUSED, attack, refused
from attack.strategies import check_prediction, damaged, mostly, numbers, predictions, scalars, texts
from hypothesis import strategies as st
from support.tiny_network import tiny_network

from opendr_panoptic_ros.codec import cloud, compressed, image
from opendr_panoptic_ros.codec.values import decode_values
from opendr_panoptic_ros.config import Thresholds
from opendr_panoptic_ros.errors import ConfigError, ImageEncodingError, PanopticError
from opendr_panoptic_ros.inference import PanopticSegmenter
from opendr_panoptic_ros.labels import CITYSCAPES
from opendr_panoptic_ros.outputs import OUTPUTS, RenderContext
from opendr_panoptic_ros.pipeline import Frame, FramePipeline
from opendr_panoptic_ros.points import CameraModel, boxes_of_things, depth_in_metres, label_points, labelled_cloud
from opendr_panoptic_ros.postprocess import keep_classes, mask_out
from opendr_panoptic_ros.rotation import rotated_prediction
from opendr_panoptic_ros.tracking import InstanceTracker

ENCODINGS = st.sampled_from([*sorted(image.ENCODINGS), "16UC1", "32FC1", "8UC2", "32SC1"])
CLASS_NAMES = st.sets(st.sampled_from(CITYSCAPES.names), max_size=6)


@cache
def segmenter() -> PanopticSegmenter:
    return PanopticSegmenter(tiny_network(), device="cpu")


@st.composite
def images(draw: st.DrawFn, max_side_px: int = 70) -> np.ndarray:
    shape = draw(st.integers(1, max_side_px)), draw(st.integers(1, max_side_px)), 3
    kind = draw(st.sampled_from(["noise", "constant", "stripes", "view"]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if kind == "constant":
        return np.full(shape, draw(st.integers(0, 255)), np.uint8)
    noise = rng.integers(0, 256, shape).astype(np.uint8)
    if kind == "stripes":
        noise[:] = noise[:1]
    return noise[::-1, ::-1] if kind == "view" else noise


@attack("runtime", short=15, frame=images(), with_confidence=st.booleans())
def test_images_of_any_size(frame: np.ndarray, with_confidence: bool) -> None:
    before = frame.copy()
    prediction = segmenter()(frame, with_confidence=with_confidence)
    assert prediction.shape == frame.shape[:2]
    check_prediction(prediction)
    assert np.array_equal(frame, before)


@attack(
    "runtime",
    shape=st.lists(st.integers(0, 5), max_size=4),
    dtype=st.sampled_from(["u1", "i1", "u2", "f2", "f4", "f8", "?", "c8", "O", "S3", "M8[s]"]),
)
def test_arrays_that_are_no_images(shape: list[int], dtype: str) -> str | None:
    array = np.zeros(shape, dtype)
    is_image = dtype == "u1" and len(shape) == 3 and shape[2] == 3 and min(shape) > 0
    try:
        segmenter()(array)
    except (TypeError, ValueError):
        assert not is_image
        return REFUSED
    assert is_image
    return None


@attack(
    "runtime",
    frame=images(),
    thresholds=st.builds(
        Thresholds,
        score_threshold=st.none() | numbers,
        overlap_threshold=st.none() | numbers,
        min_stuff_area=st.none() | numbers,
        contain_instances=st.none() | st.booleans(),
    ),
)
def test_thresholds_of_one_call(frame: np.ndarray, thresholds: Thresholds) -> str | None:
    try:
        prediction = segmenter()(frame, thresholds=thresholds)
    except ConfigError:
        return REFUSED
    check_prediction(prediction)
    return None


@attack(
    "runtime",
    settings=st.fixed_dictionaries(
        {},
        optional={
            "device": texts | st.sampled_from(["cpu", "cuda:99", "meta"]),
            "precision": texts | st.sampled_from(["float32", "int8"]),
            "backend": texts | st.sampled_from(["torch"]),
            "inference_size": scalars,
            "score_threshold": numbers,
            "config": texts,
        },
    ),
)
def test_settings_of_the_segmenter(settings: dict[str, Any]) -> str | None:
    try:
        PanopticSegmenter(tiny_network(), **{"device": "cpu", **settings})
    except PanopticError:
        return REFUSED
    return None


@attack(
    "runtime",
    short=10,
    scale=st.sampled_from([0.0, 1e-30, -1.0, 1e3, 1e10, 1e30, 3e38]),
    part=st.integers(0, 50),
    frame=images(),
)
def test_weights_of_any_size(scale: float, part: int, frame: np.ndarray) -> None:
    """Weights that are finite and absurd: the scores overflow, and the answer still fits together."""
    network = tiny_network()
    weights = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    weights[part % len(weights)].data.mul_(scale)
    check_prediction(PanopticSegmenter(network, device="cpu")(frame))


@attack(
    "runtime",
    frames=st.lists(
        st.tuples(predictions(max_side_px=12), st.none() | st.floats(-1e10, 1e10) | st.floats(0, 1)), max_size=8
    ),
    memory_frames=st.integers(0, 3),
)
def test_tracking(frames: list[tuple[Any, float | None]], memory_frames: int) -> None:
    tracker = InstanceTracker(memory_frames=memory_frames)
    for prediction, time_s in frames:
        tracked = tracker.update(prediction, time_s=time_s)
        check_prediction(tracked)
        assert np.array_equal(tracked.semantic_map, prediction.semantic_map)
        assert len(tracked.segments) == len(prediction.segments)
        assert all(1 <= segment.id <= 65535 for segment in tracked.segments)
        numbered = [(s.class_id, s.instance_number) for s in tracked.segments if s.is_thing]
        assert len(set(numbered)) == len(numbered)


@attack("runtime", prediction=predictions(), names=CLASS_NAMES, seed=st.integers(0, 2**32 - 1), share=st.floats(0, 1))
def test_filters(prediction: Any, names: set[str], seed: int, share: float) -> None:
    kept = keep_classes(prediction, names)
    check_prediction(kept)
    assert {segment.label for segment in kept.segments} <= names
    assert keep_classes(kept, names).segments == kept.segments
    is_void = np.random.default_rng(seed).random(prediction.shape) < share
    masked = mask_out(prediction, is_void)
    check_prediction(masked)
    assert not masked.segment_map[is_void].any()
    assert np.array_equal(masked.segment_map[~is_void], prediction.segment_map[~is_void])


@attack("runtime", prediction=predictions(), degrees=st.sampled_from([90, 180, 270]))
def test_rotations(prediction: Any, degrees: int) -> None:
    turned = rotated_prediction(prediction, degrees)
    check_prediction(turned)
    back = rotated_prediction(turned, 360 - degrees)
    assert np.array_equal(back.segment_map, prediction.segment_map)
    assert back.segments == prediction.segments


@attack(
    "runtime", prediction=predictions(), visualization=st.sampled_from(["overlay", "detailed"]), opacity=st.floats(0, 1)
)
def test_outputs(prediction: Any, visualization: str, opacity: float) -> None:
    frame = np.zeros((*prediction.shape, 3), np.uint8)
    context = RenderContext(frame, prediction, visualization=visualization, opacity=opacity)
    for output in OUTPUTS.values():
        pixels = output.pixels(context)
        if output.encoding != "rgb8" or visualization == "overlay":
            assert pixels.shape[:2] == prediction.shape
        assert image.encode(pixels, output.encoding).height == pixels.shape[0]


@attack(
    "runtime",
    short=40,
    height=mostly(st.integers(1, 20), st.integers(0, 2**32 - 1)),
    width=mostly(st.integers(1, 20), st.integers(0, 2**32 - 1)),
    step=mostly(st.integers(40, 200), st.integers(0, 2**32 - 1)),
    encoding=mostly(ENCODINGS, texts),
    is_bigendian=st.integers(0, 255),
    data=mostly(st.integers(2000, 40000).map(bytes), st.binary(max_size=4000)),
)
def test_raw_images(height: int, width: int, step: int, encoding: str, is_bigendian: int, data: bytes) -> str | None:
    pixels = np.frombuffer(data, np.uint8)
    fields = image.ImageFields(height, width, encoding, is_bigendian, step, pixels)
    try:
        rgb = image.decode(fields, max_pixels=10_000)
        assert rgb.shape == (height, width, 3)
        assert rgb.dtype == np.uint8
    except ImageEncodingError as error:
        refused(error)
        try:
            values = decode_values(fields, "16UC1", "32FC1", "32SC1", "mono16")
            assert values.shape == (height, width)
        except ImageEncodingError:
            return REFUSED
    assert pixels.tobytes() == data
    return None


@attack("runtime", frame=images(), encoding=st.sampled_from(sorted(image.ENCODINGS)), padding=st.integers(0, 9))
def test_raw_images_that_are_whole(frame: np.ndarray, encoding: str, padding: int) -> None:
    """Every encoding at every size: enough bytes are always read, and rgb8 comes back as it was."""
    height, width = frame.shape[:2]
    step = 8 * (width + 1) + padding
    data = np.resize(frame.reshape(-1), 3 * height * step)
    rgb = image.decode(image.ImageFields(height, width, encoding, padding & 1, step, data))
    assert rgb.shape == frame.shape
    assert np.array_equal(image.decode(image.encode(np.ascontiguousarray(frame), "rgb8")), frame)


def _stored(suffix: str, *options: int, dtype: Any = np.uint8, channels: int = 3) -> bytes:
    pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (12, 9, channels)).astype(dtype)
    return bytes(cv2.imencode(suffix, pixels, options)[1].tobytes())


STORED = [
    _stored(".png"), _stored(".png", dtype=np.uint16), _stored(".png", channels=1), _stored(".png", channels=4),
    _stored(".jpg"), _stored(".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1), _stored(".jpg", channels=1),
    _stored(".tiff"), _stored(".tiff", dtype=np.uint16), _stored(".webp"),
]  # fmt: skip
FORMATS = st.sampled_from(
    ["jpeg", "png", "rgb8; jpeg compressed bgr8", "bayer_rggb8; png compressed", "mono16; tiff compressed "]
)


@attack("runtime", short=60, data=st.sampled_from(STORED).flatmap(damaged), image_format=FORMATS | texts)
def test_compressed_images(data: bytes, image_format: str) -> str | None:
    fields = compressed.CompressedImageFields(image_format, np.frombuffer(data, np.uint8))
    try:
        rgb = compressed.decode_compressed(fields, max_pixels=1_000_000)
    except ImageEncodingError as error:
        return refused(error)
    assert rgb.ndim == 3
    assert rgb.shape[2] == 3
    return None


@attack("runtime", frame=images(), quality=st.integers(1, 100))
def test_compressed_images_that_are_whole(frame: np.ndarray, quality: int) -> None:
    assert compressed.decode_compressed(compressed.encode_jpeg(frame, quality=quality)).shape == frame.shape


@attack(
    "runtime",
    short=40,
    sizes=st.tuples(
        *[mostly(st.integers(0, 4), st.integers(0, 2**32 - 1))] * 2,
        mostly(st.integers(12, 24), st.integers(0, 2**32 - 1)),
        mostly(st.integers(96, 120), st.integers(0, 2**32 - 1)),
    ),
    offsets=st.tuples(*[mostly(st.integers(0, 8), st.integers(0, 2**32 - 1))] * 3),
    kinds=st.tuples(*[mostly(st.sampled_from([7, 7, 7, 8]), st.sampled_from([6, 0, 99]))] * 3),
    is_bigendian=st.booleans(),
    data=mostly(st.binary(min_size=480, max_size=480), st.binary(max_size=480)),
)
def test_clouds(
    sizes: tuple[int, ...], offsets: tuple[int, ...], kinds: tuple[int, ...], is_bigendian: bool, data: bytes
) -> str | None:
    height, width, step, row_step = sizes
    described = tuple(cloud.CloudField(*row, 1) for row in zip("xyz", offsets, kinds, strict=True))
    fields = cloud.CloudFields(
        height, width, described, is_bigendian, step, row_step, np.frombuffer(data, np.uint8), True
    )
    try:
        points = cloud.decode_xyz(fields)
    except PanopticError:
        return REFUSED
    assert points.shape == (height * width, 3)
    added = cloud.append_fields(fields, {"label": np.arange(height * width, dtype=np.uint32)})
    assert np.array_equal(cloud.decode_uint32(added, "label"), np.arange(height * width))
    assert np.array_equal(cloud.decode_xyz(added), points, equal_nan=True)
    return None


@attack(
    "runtime",
    depth=st.lists(st.floats(width=32) | st.sampled_from([0.0, 1e-30, -1.0, 3e38]), min_size=6, max_size=6),
    short=40,
    k=mostly(st.lists(st.floats(1e-3, 1e6), min_size=9, max_size=9), st.lists(st.floats(), min_size=9, max_size=9)),
    d=mostly(st.lists(st.floats(-2, 2), max_size=5), st.lists(st.floats(), max_size=15)),
    model=mostly(st.sampled_from(["plumb_bob", "rational_polynomial", "equidistant"]), texts),
    size=mostly(st.just((3, 2)), st.tuples(*[st.integers(0, 4) | st.integers(0, 2**32 - 1)] * 2)),
    is_rectified=st.booleans(),
)
def test_points(
    depth: list[float], k: list[float], d: list[float], model: str, size: tuple[int, int], is_rectified: bool
) -> str | None:
    info = SimpleNamespace(width=size[0], height=size[1], k=k, d=d, distortion_model=model, p=[*k, 0.0, 0.0, 0.0])
    labels, instances = np.zeros((2, 3), np.uint8), np.ones((2, 3), np.uint16)
    depth_m = depth_in_metres(np.array(depth, np.float32).reshape(2, 3))
    assert not (depth_m <= 0).any()
    try:
        camera = CameraModel.from_message(info)
        points = labelled_cloud(depth_m, camera, labels, instances, CITYSCAPES.palette, is_rectified=is_rectified)
        xyz = np.stack([points[axis].reshape(-1) for axis in "xyz"], axis=1)
        found, _ = label_points(xyz, camera, labels, instances)
    except PanopticError:
        return REFUSED
    assert found.shape == (6,)
    boxes = boxes_of_things(points, min_points=1)
    assert boxes.keys() <= {1}
    assert all(np.isfinite([*box.center_m, *box.size_m]).all() for box in boxes.values())
    return None


@attack(
    "runtime",
    short=10,
    frames=st.lists(images(40), max_size=5),
    cameras=st.lists(st.sampled_from(["", "a", "b"]), min_size=5, max_size=5),
    names=CLASS_NAMES,
)
def test_frames_of_several_cameras(frames: list[np.ndarray], cameras: list[str], names: set[str]) -> None:
    """Every frame has an answer of its own size, whatever the mixture."""
    pipeline = FramePipeline(segmenter(), track_ids=True, max_batch=2, rotations={"a": 90})
    given = [
        Frame(frame, camera, time_s=0.1 * i) for i, (frame, camera) in enumerate(zip(frames, cameras, strict=False))
    ]
    results = pipeline.process(given, keep_classes=names, with_confidence=True)
    assert len(results) == len(given)
    for frame, result in zip(given, results, strict=True):
        assert result.error is None
        assert result.prediction is not None
        assert result.prediction.shape == frame.image_rgb.shape[:2]
        check_prediction(dataclasses.replace(result.prediction))
