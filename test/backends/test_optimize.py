# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Folders of `optimize`: a checkpoint with a build, which is used wherever a checkpoint is."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import numpy as np
import pytest
import torch
from support.commands import run_command
from support.tiny_network import tiny_network, write_tiny_checkpoint
from torch import Tensor

from opendr_panoptic_ros import backends
from opendr_panoptic_ros.backends import BACKENDS, BackendRow, resolve_backend
from opendr_panoptic_ros.backends.base import BuiltBackend, Progress
from opendr_panoptic_ros.backends.cache import read_build
from opendr_panoptic_ros.checkpoint import load_checkpoint
from opendr_panoptic_ros.data import Image
from opendr_panoptic_ros.errors import CheckpointError, ConfigError
from opendr_panoptic_ros.inference import PanopticSegmenter
from opendr_panoptic_ros.learner import EfficientPsLearner
from opendr_panoptic_ros.network import DenseOutputs, EfficientPS
from opendr_panoptic_ros.optimization import optimize

IMAGE = np.random.default_rng(0).integers(0, 256, (50, 90, 3), dtype=np.uint8)


class Stored(BuiltBackend):
    """Stores the network as torch does; its builds serve one size and need images for int8."""

    distribution = "torch"
    fixed_size = True
    builds: ClassVar[list[tuple[object, ...]]] = []
    installed: ClassVar[str] = "1.0"

    def __init__(self, network: EfficientPS) -> None:
        self._network = network

    @classmethod
    def version(cls) -> str:
        return cls.installed

    @classmethod
    def build(
        cls,
        network: EfficientPS,
        folder: Path,
        *,
        precision: str,
        device: torch.device,
        size: tuple[int, int] | None,
        calibration: Sequence[Tensor],
        progress: Progress,
    ) -> None:
        cls.builds.append((precision, size, [tuple(x.shape) for x in calibration]))
        progress("Storing.", 0.5)
        torch.save(network, folder / "network.pt")

    @classmethod
    def open(cls, folder: Path, *, precision: str, device: torch.device) -> Stored:
        return cls(torch.load(folder / "network.pt", weights_only=False))

    def __call__(self, x: Tensor) -> DenseOutputs:
        dense: DenseOutputs = self._network(x)
        return dense


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[Stored]:
    """The back end `stored` in the table, and an empty cache."""
    module = ModuleType(f"{backends.__name__}.stored")
    vars(module)["Stored"] = Stored
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(BACKENDS, "stored", BackendRow("stored", "Stored", {"cpu": ("float32", "int8")}))
    monkeypatch.setattr(Stored, "builds", [])
    monkeypatch.setattr(Stored, "installed", "1.0")
    monkeypatch.setenv("OPENDR_PANOPTIC_HOME", str(tmp_path / "home"))
    return Stored


def test_a_folder_is_a_checkpoint(tmp_path: Path) -> None:
    optimize(tiny_network(), tmp_path / "folder", device="cpu", backend="ncnn")
    segmenter = PanopticSegmenter(tmp_path / "folder", device="cpu")
    assert (segmenter.backend, segmenter.precision) == ("ncnn", "float32")
    expected = PanopticSegmenter(tiny_network(), device="cpu", backend="ncnn")(IMAGE)
    assert segmenter(IMAGE).segments == expected.segments
    loaded = load_checkpoint(tmp_path / "folder")
    assert loaded.config == tiny_network().config
    assert loaded.state_dict().keys() == tiny_network().state_dict().keys()


def test_a_folder_needs_no_cache(stored: type[Stored], tmp_path: Path) -> None:
    optimize(tiny_network(), tmp_path / "folder", device="cpu", backend="stored", size=(60, 128))
    assert stored.builds == [("float32", (64, 128), [])]
    PanopticSegmenter(tmp_path / "folder", device="cpu", backend="auto").warm_up()
    assert len(stored.builds) == 1
    assert not (tmp_path / "home").exists()


def test_each_size_is_built_at_its_first_image(stored: type[Stored]) -> None:
    steps: list[tuple[str, float | None]] = []
    segmenter = PanopticSegmenter(
        tiny_network(), device="cpu", backend="stored", progress=lambda *step: steps.append(step)
    )
    segmenter.warm_up()
    assert stored.builds == []
    for image in (IMAGE, IMAGE, IMAGE.transpose(1, 0, 2), IMAGE):
        segmenter(image)
    assert stored.builds == [("float32", (64, 128), []), ("float32", (128, 64), [])]
    assert [fraction for _, fraction in steps] == [None, 0.5, 1.0] * 2
    assert "128x64 px" in steps[0][0]
    PanopticSegmenter(tiny_network(), device="cpu", backend="stored")(IMAGE)
    assert len(stored.builds) == 2


def test_another_size_is_refused_with_the_command(stored: type[Stored], tmp_path: Path) -> None:
    optimize(tiny_network(), tmp_path / "folder", device="cpu", backend="stored", size=(64, 128))
    segmenter = PanopticSegmenter(tmp_path / "folder", device="cpu")
    segmenter(IMAGE)
    with pytest.raises(ConfigError, match=r"serves inputs of 64x128 px.*--size 128x64"):
        segmenter(IMAGE.transpose(1, 0, 2))


def test_another_version_is_refused(stored: type[Stored], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    optimize(tiny_network(), tmp_path / "folder", device="cpu", backend="stored", size=(64, 128))
    monkeypatch.setattr(stored, "installed", "2.0")
    with pytest.raises(CheckpointError, match=r"is for version 1.0 revision 1; expected 2.0 revision 1.*optimize"):
        PanopticSegmenter(tmp_path / "folder", device="cpu")
    PanopticSegmenter(tiny_network(), device="cpu", backend="stored")(IMAGE)
    assert len(stored.builds) == 2


def test_a_damaged_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    optimize(tiny_network(), folder, device="cpu", backend="ncnn")
    content = bytearray((folder / "part0.bin").read_bytes())
    content[100] ^= 1
    (folder / "part0.bin").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"part0.bin differs from its checksum"):
        PanopticSegmenter(folder, device="cpu")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"backend": "stored"}, "backend is 'stored', but .* is built for ncnn"),
        ({"precision": "bfloat16"}, "precision is 'bfloat16', but .* is built for float32"),
    ],
)
def test_a_folder_determines_back_end_and_precision(
    options: dict[str, str],
    reason: str,
    stored: type[Stored],
    tmp_path: Path,
) -> None:
    optimize(tiny_network(), tmp_path / "folder", device="cpu", backend="ncnn")
    with pytest.raises(ConfigError, match=reason):
        PanopticSegmenter(tmp_path / "folder", device="cpu", **options)  # type: ignore[arg-type]


def test_int8_needs_calibration_images(stored: type[Stored], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"int8 needs calibration images.*--calibration"):
        PanopticSegmenter(tiny_network(), device="cpu", backend="stored", precision="int8")(IMAGE)
    with pytest.raises(ConfigError, match="int8 needs calibration images"):
        optimize(tiny_network(), tmp_path / "none", device="cpu", backend="stored", precision="int8")
    assert list(tmp_path.glob("*none*")) == []
    optimize(
        tiny_network(), tmp_path / "some", device="cpu", backend="stored", precision="int8", calibration=[IMAGE] * 3
    )
    assert stored.builds == [("int8", (64, 128), [(1, 3, 64, 128)] * 3)]
    assert read_build(tmp_path / "some").calibration
    assert PanopticSegmenter(tmp_path / "some", device="cpu").precision == "int8"


def test_what_cannot_be_optimized(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="torch needs no build"):
        optimize(tiny_network(), tmp_path / "folder", device="cpu", backend="torch")
    with pytest.raises(ConfigError, match="does not support float16 on cpu"):
        optimize(tiny_network(), tmp_path / "folder", device="cpu", backend="ncnn", precision="float16")
    with pytest.raises(FileExistsError, match="choose another folder"):
        optimize(tiny_network(), tmp_path, device="cpu", backend="ncnn")
    with pytest.raises(ConfigError, match="0x64 px"):
        optimize(tiny_network(), tmp_path / "folder", device="cpu", backend="ncnn", size=(0, 64))
    assert list(tmp_path.iterdir()) == []


def test_a_missing_runtime_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKENDS, "ncnn", BACKENDS["ncnn"]._replace(runtime="no_such_runtime"))
    with pytest.raises(ConfigError, match=r"ncnn needs no_such_runtime.*pip install 'opendr_panoptic_ros\[cpu\]'"):
        resolve_backend("ncnn")
    assert resolve_backend("auto") != "ncnn"


def test_the_learner_optimizes(tmp_path: Path) -> None:
    learner = EfficientPsLearner(device="cpu")
    assert learner.load(write_tiny_checkpoint(tmp_path))
    before = learner.infer(Image(IMAGE))
    assert learner.optimize("cpu", backend="ncnn", out=tmp_path / "folder")
    after = learner.infer(Image(IMAGE))
    for ours, theirs in zip(after, before, strict=True):
        np.testing.assert_array_equal(ours.data, theirs.data)
    again = EfficientPsLearner(device="cpu")
    assert again.load(tmp_path / "folder")
    np.testing.assert_array_equal(again.infer(Image(IMAGE))[0].data, before[0].data)


def test_the_command(tmp_path: Path) -> None:
    checkpoint, out = write_tiny_checkpoint(tmp_path), tmp_path / "out"
    status, printed, problems = run_command("optimize", checkpoint, "--backend", "ncnn", "--out", out)
    assert (status, printed) == (0, f"{out} is ready; give it as the checkpoint\n"), problems
    assert read_build(out).size is None
    status, _, problems = run_command("optimize", checkpoint, "--size", "64", "--out", tmp_path / "other")
    assert status == 1
    assert "--size is '64'; expected HEIGHTxWIDTH" in problems
    assert not (tmp_path / "other").exists()
