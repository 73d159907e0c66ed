# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""OpenVINO: reduced precisions, and int8 from images, videos and bags. test_backends.py compares float32."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support.bags import write_bag
from support.tiny_network import tiny_network, write_tiny_checkpoint
from torch import Tensor

from opendr_panoptic_ros.backends import openvino as module
from opendr_panoptic_ros.backends.cache import read_build
from opendr_panoptic_ros.backends.onnx_export import export_onnx
from opendr_panoptic_ros.backends.opening import open_backend
from opendr_panoptic_ros.backends.openvino import OpenVinoBackend
from opendr_panoptic_ros.backends.openvino_int8 import quantize
from opendr_panoptic_ros.checkpoint import load_checkpoint
from opendr_panoptic_ros.cli.optimize import optimize as optimize_command
from opendr_panoptic_ros.errors import ConfigError, PanopticError
from opendr_panoptic_ros.evaluation.run import evaluate
from opendr_panoptic_ros.inference import PanopticSegmenter
from opendr_panoptic_ros.media import VideoWriter
from opendr_panoptic_ros.network import DenseOutputs, EfficientPS
from opendr_panoptic_ros.optimization import optimize
from opendr_panoptic_ros.synthetic.scenes import EVALUATION_SEEDS_FROM, VALIDATION_SEEDS_FROM, SyntheticScenes

CPU = torch.device("cpu")
SIZES = [(64, 128), (96, 32), (32, 160)]


def image(seed: int, height: int = 64, width: int = 128) -> NDArray[np.uint8]:
    """Return a picture with large and small structures."""
    small = np.random.default_rng(seed).integers(0, 256, (8, 16, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC))


IMAGES = [image(seed) for seed in range(4)]


@pytest.fixture(scope="module", autouse=True)
def one_export() -> Iterator[None]:
    """Export the tiny network once for all tests: it takes seconds each time."""
    with pytest.MonkeyPatch.context() as patch:
        tiny = export_onnx(tiny_network().fold_norms())
        patch.setattr(module, "export_onnx", lambda network: export_onnx(network) if is_large(network) else tiny)
        yield


def is_large(network: EfficientPS) -> bool:
    return sum(parameter.numel() for parameter in network.parameters()) > 1_000_000


@pytest.fixture(scope="module")
def int8_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("int8") / "folder"
    optimize(tiny_network(), folder, device="cpu", backend="openvino", precision="int8", calibration=IMAGES)
    return folder


@pytest.fixture(scope="module", params=["bfloat16", "int8"])
def reduced(
    request: pytest.FixtureRequest, int8_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> OpenVinoBackend:
    """The back end in a reduced precision."""
    if request.param == "bfloat16" and not module.computes_bfloat16():
        pytest.skip("this CPU does not compute in bfloat16")
    folder = int8_folder if request.param == "int8" else None
    opened = open_backend(
        tiny_network().fold_norms(),
        "openvino",
        precision=request.param,
        device=CPU,
        cache=tmp_path_factory.mktemp("builds"),
        folder=folder,
    )
    assert isinstance(opened, OpenVinoBackend)
    return opened


def network_input(batch: int, size: tuple[int, int]) -> Tensor:
    pixels = torch.stack([torch.from_numpy(image(10 + i, *size)) for i in range(batch)])
    return ((pixels.float() - 110) / 68).permute(0, 3, 1, 2)


def flat(dense: DenseOutputs) -> list[Tensor]:
    return [*dense.fpn, *dense.objectness, *dense.deltas, dense.semantic_logits]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("batch", [1, 2, 4])
def test_reduced_precisions_stay_close(reduced: OpenVinoBackend, batch: int, size: tuple[int, int]) -> None:
    dtype = OpenVinoBackend.tensor_dtype("int8", CPU)
    x = network_input(batch, size)
    with torch.inference_mode():
        expected = tiny_network().eval()(x)
        found = reduced(x.to(dtype))
    assert all(level.is_contiguous(memory_format=torch.channels_last) for level in found.fpn)
    for ours, theirs in zip(flat(found), flat(expected), strict=True):
        assert ours.shape == theirs.shape
        assert ours.dtype == dtype
        correlation = torch.corrcoef(torch.stack((ours.float().flatten(), theirs.flatten())))[0, 1]
        assert correlation > 0.9


def test_batches_equal_single_images(reduced: OpenVinoBackend) -> None:
    x = network_input(2, (64, 128)).to(OpenVinoBackend.tensor_dtype("int8", CPU))
    for both, single in zip(flat(reduced(x)), flat(reduced(x[1:])), strict=True):
        torch.testing.assert_close(both[1:], single, rtol=0, atol=0.02 * float(single.float().std()))


def test_threads_share_a_back_end(reduced: OpenVinoBackend) -> None:
    inputs = [network_input(1, size).to(OpenVinoBackend.tensor_dtype("int8", CPU)) for size in (SIZES * 3)[:8]]
    expected = [flat(reduced(x)) for x in inputs]
    found: dict[int, list[Tensor]] = {}

    def run(first: int) -> None:
        for place in range(first, len(inputs), 2):
            found[place] = flat(reduced(inputs[place]))

    threads = [threading.Thread(target=run, args=(first,)) for first in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    for place, outputs in enumerate(expected):
        assert all(torch.equal(a, b) for a, b in zip(found[place], outputs, strict=True))


def test_zero_detections_and_odd_sizes(int8_folder: Path) -> None:
    segmenter = PanopticSegmenter(int8_folder, device="cpu", inference_size="native", score_threshold=1.0)
    for height, width in ((51, 77), (33, 129), (1, 1)):
        prediction = segmenter(image(0, height, width))
        assert prediction.segment_map.shape == (height, width)
        assert not any(segment.is_thing for segment in prediction.segments)


def test_quantisation_is_deterministic(int8_folder: Path, tmp_path: Path) -> None:
    optimize(tiny_network(), tmp_path / "again", device="cpu", backend="openvino", precision="int8", calibration=IMAGES)
    assert (tmp_path / "again" / "model.bin").read_bytes() == (int8_folder / "model.bin").read_bytes()
    assert read_build(tmp_path / "again") == read_build(int8_folder)


def test_the_quantised_model_is_smaller(int8_folder: Path, tmp_path: Path) -> None:
    optimize(tiny_network(), tmp_path / "float32", device="cpu", backend="openvino")
    assert (int8_folder / "model.bin").stat().st_size < 0.6 * (tmp_path / "float32" / "model.bin").stat().st_size


def calibration_source(kind: str, folder: Path) -> Path:
    frames = [image(seed) for seed in range(6)]
    if kind == "images":
        path = folder / "images"
        path.mkdir()
        for number, frame in enumerate(frames):
            cv2.imwrite(str(path / f"{number}.png"), frame)
        return path
    if kind == "video":
        path = folder / "video.avi"
        with VideoWriter(path, rate_hz=10, size_px=(128, 64)) as video:
            for frame in frames:
                video.write(frame)
        return path
    return write_bag(folder / "bag", "mcap", [("/image_raw", i * 10**8, frame) for i, frame in enumerate(frames)])


@pytest.mark.parametrize("kind", ["images", "video", "bag"])
def test_the_command_calibrates(
    kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    out = tmp_path / "out"
    optimize_command(
        str(write_tiny_checkpoint(tmp_path)),
        backend="openvino",
        precision="int8",
        calibration=str(calibration_source(kind, tmp_path)),
        calibration_images=3,
        out=out,
        device="cpu",
    )
    printed = capfd.readouterr()
    assert printed.out == f"{out} is ready; give it as the checkpoint\n"
    assert "3 images for calibration" in printed.err
    assert "nncf" not in printed.err.lower()
    key = read_build(out)
    assert (key.backend, key.precision, key.size) == ("openvino", "int8", None)
    assert PanopticSegmenter(out, device="cpu")(IMAGES[0]).segment_map.shape == (64, 128)


@pytest.mark.parametrize("content", ["nothing", "text"])
def test_without_images_nothing_is_written(content: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "images"
    source.mkdir()
    if content == "text":
        (source / "notes.png").write_text("no picture")
    with pytest.raises(PanopticError, match=rf"no images in {source}"):
        optimize_command(
            "demo", backend="openvino", precision="int8", calibration=str(source), out=tmp_path / "out", device="cpu"
        )
    assert str(source) in capfd.readouterr().err.replace("\n", "")
    assert not (tmp_path / "out").exists()


def test_uniform_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has one colour only"):
        optimize(
            tiny_network(),
            tmp_path / "out",
            device="cpu",
            backend="openvino",
            precision="int8",
            calibration=[np.full((64, 128, 3), grey, np.uint8) for grey in (0, 128)],
        )
    assert list(tmp_path.iterdir()) == []


def test_a_missing_nncf_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(ConfigError, match=r"needs the package nncf.*pip install 'opendr_panoptic_ros\[openvino\]'"):
        quantize(None, [network_input(1, (32, 32))], lambda *_: None)


def test_bfloat16_is_refused_where_the_cpu_lacks_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "computes_bfloat16", lambda: False)
    assert OpenVinoBackend.tensor_dtype("int8", CPU) == torch.float32
    with pytest.raises(ConfigError, match="does not compute in bfloat16; choose the precision float32 or int8"):
        OpenVinoBackend.open(tmp_path, precision="bfloat16", device=CPU)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.xml").write_text("<net/>")
    with pytest.raises(ConfigError, match=r"cannot read the model in .*use another version"):
        OpenVinoBackend.open(tmp_path, precision="float32", device=CPU)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_demo_quality(precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PQ, SQ and RQ on scenes that were not used for calibration: at most 0.5 points below float32."""
    pytest.importorskip("cityscapesscripts")
    if precision == "bfloat16" and not module.computes_bfloat16():
        pytest.skip("this CPU does not compute in bfloat16")
    monkeypatch.setenv("OPENDR_PANOPTIC_HOME", str(tmp_path / "home"))
    checkpoint = "demo"
    if precision == "int8":
        scenes = SyntheticScenes(range(VALIDATION_SEEDS_FROM, VALIDATION_SEEDS_FROM + 32))
        images = [scenes[i][0].convert("channels_last", "rgb") for i in range(len(scenes))]
        checkpoint = str(tmp_path / "int8")
        optimize(
            load_checkpoint("demo"), tmp_path / "int8", device="cpu", backend="openvino", precision="int8",
            calibration=images,
        )  # fmt: skip
    segmenter = PanopticSegmenter(checkpoint, device="cpu", backend="openvino", precision=precision)
    quality = evaluate(segmenter, SyntheticScenes(range(EVALUATION_SEEDS_FROM, EVALUATION_SEEDS_FROM + 50))).panoptic
    values = (quality.all.pq, quality.all.sq, quality.all.rq, quality.things.pq, quality.stuff.pq)
    # Of float32, as in test_demo_model.py.
    lost = [recorded - 100 * value for value, recorded in zip(values, (66.35, 79.65, 81.99, 69.01, 64.42), strict=True)]
    assert max(lost) < 0.5, values
