# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Checkpoints: all three formats, shapes read off the weights, refusals that say what is wrong."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import random
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from safetensors import safe_open
from support.random_weights import seed_weights_
from torch import Tensor

from opendr_panoptic_ros.checkpoint import load_checkpoint, save_checkpoint
from opendr_panoptic_ros.config import Config, ModelConfig
from opendr_panoptic_ros.errors import CheckpointError
from opendr_panoptic_ros.labels import CITYSCAPES, ClassTable
from opendr_panoptic_ros.network import EfficientPS

TINY = ModelConfig(backbone_width=0.35, backbone_depth=1.0, fpn_channels=16, semantic_channels=8, box_head_width=16)


@pytest.fixture
def network() -> EfficientPS:
    network = EfficientPS(TINY).eval()
    seed_weights_(network, 1)
    return network


def original_names(network: EfficientPS, prefix: str = "") -> dict[str, Tensor]:
    """The state dict as the original program would have written it."""
    names = (("rpn.", "rpn_head."), ("roi_heads.box.", "bbox_head."), ("roi_heads.mask.", "mask_head."))
    renamed = {}
    for key, value in network.state_dict().items():
        for ours, theirs in names:
            if key.startswith(ours):
                key = theirs + key.removeprefix(ours)
        renamed[prefix + key] = value
    return renamed


def assert_equal_weights(a: EfficientPS, b: EfficientPS) -> None:
    theirs = b.state_dict()
    assert a.state_dict().keys() == theirs.keys()
    assert all(torch.equal(value, theirs[key]) for key, value in a.state_dict().items())


@pytest.mark.golden
def test_manifest_names_and_shapes() -> None:
    """The published network has exactly the entries of the released files, under the original names."""
    manifest = json.loads((Path(__file__).parent / "data" / "manifest.json").read_text())
    with torch.device("meta"):
        ours = original_names(EfficientPS(ModelConfig()))
    assert {key: list(value.shape) for key, value in ours.items()} == {k: v["shape"] for k, v in manifest.items()}


@pytest.mark.golden
def test_original_file(golden_checkpoint: Path, golden_state_dict: dict[str, Tensor]) -> None:
    network = load_checkpoint(golden_checkpoint)
    assert network.config == Config.load("cityscapes")
    assert not network.training
    norm = "backbone.blocks.1.0.bn1.weight"
    assert (golden_state_dict[norm] < 0).any()  # both signs are kept
    assert torch.equal(network.state_dict()[norm], golden_state_dict[norm])


@pytest.mark.parametrize("prefix", ["", "module."])
def test_original_format_gives_its_shape(network: EfficientPS, tmp_path: Path, prefix: str) -> None:
    path = tmp_path / "latest.pth"
    torch.save({"meta": {"CLASSES": ("person",)}, "state_dict": original_names(network, prefix)}, path)
    loaded = load_checkpoint(path)
    assert loaded.config.model == TINY
    assert_equal_weights(loaded, network)


@pytest.mark.parametrize("variant", [(1.0, 1.1), (1.2, 1.4), (2.0, 3.1)])
def test_backbone_variant_is_read_off_the_weights(tmp_path: Path, variant: tuple[float, float]) -> None:
    width, depth = variant
    network = EfficientPS(dataclasses.replace(TINY, backbone_width=width, backbone_depth=depth))
    torch.save(original_names(network), tmp_path / "bare.pth")
    assert load_checkpoint(tmp_path / "bare.pth").config.model == network.config.model


def test_classes_of_a_foreign_network(tmp_path: Path) -> None:
    network = EfficientPS(dataclasses.replace(TINY, num_stuff=3, num_things=2))
    path = tmp_path / "own_classes.pth"
    torch.save({"meta": {"CLASSES": ("cow", "cat")}, "state_dict": original_names(network)}, path)
    assert load_checkpoint(path).config.classes.names == ("stuff 1", "stuff 2", "stuff 3", "cow", "cat")


@pytest.mark.parametrize("as_list", [False, True])
def test_opendr_directory(network: EfficientPS, tmp_path: Path, as_list: bool) -> None:
    directory = tmp_path / "my_model"
    directory.mkdir()
    torch.save({"state_dict": original_names(network)}, directory / "my_model.pth")
    paths: Any = ["my_model.pth"] if as_list else "my_model.pth"
    (directory / "my_model.json").write_text(json.dumps({"model_paths": paths, "framework": "pytorch"}))
    assert_equal_weights(load_checkpoint(directory), network)


@pytest.mark.parametrize("content", [None, "{}", '{"model_paths": []}', '{"model_paths": "gone.pth"}', "not json"])
def test_broken_opendr_directory(tmp_path: Path, content: str | None) -> None:
    directory = tmp_path / "my_model"
    directory.mkdir()
    if content is not None:
        (directory / "my_model.json").write_text(content)
    with pytest.raises(CheckpointError, match="my_model"):
        load_checkpoint(directory)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_our_own_file_is_enough_to_run(tmp_path: Path, suffix: str) -> None:
    classes = ClassTable.from_dict({"names": ["sky", "cow"], "num_stuff": 1})
    model = dataclasses.replace(TINY, num_stuff=1, num_things=1, anchor_scale=3.5)
    network = EfficientPS.from_config(Config(name="farm", model=model, classes=classes))
    path = tmp_path / f"farm{suffix}"
    save_checkpoint(network, path)
    loaded = load_checkpoint(path)
    assert loaded.config == network.config
    assert_equal_weights(loaded, network)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]  # nothing temporary is left


def test_save_refuses_what_load_could_not_read(network: EfficientPS, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"\.safetensors or \.pth"):
        save_checkpoint(network, tmp_path / "weights.bin")
    with pytest.raises(CheckpointError, match="folded"):
        save_checkpoint(network.fold_norms(), tmp_path / "weights.pth")
    assert not list(tmp_path.iterdir())


def test_failed_save_leaves_the_old_file(network: EfficientPS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.pth"
    save_checkpoint(network, path)
    before = path.read_bytes()

    def disk_full(*args: object, **kwargs: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", disk_full)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(network, path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_keys_that_do_not_fit_are_named(network: EfficientPS, tmp_path: Path) -> None:
    state_dict = original_names(network)
    missing = [key for key in state_dict if key.endswith("running_mean")][:12]
    for key in missing:
        del state_dict[key]
    state_dict["bbox_head.fc_ghost.weight"] = torch.zeros(1)
    state_dict["neck.fpn_convs.1.conv.weight"] = torch.zeros(3, 3)
    torch.save({"state_dict": state_dict}, tmp_path / "odd.pth")
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(tmp_path / "odd.pth")
    message = str(caught.value)
    assert "12 missing" in message
    assert missing[9] in message
    assert missing[10] not in message  # the first ten, and how many
    assert "1 unknown: roi_heads.box.fc_ghost.weight" in message
    assert "neck.fpn_convs.1.conv.weight (3, 3) instead of (16, 16, 3, 3)" in message


def test_counters_may_be_missing(network: EfficientPS, tmp_path: Path) -> None:
    state_dict = {k: v for k, v in original_names(network).items() if not k.endswith("num_batches_tracked")}
    torch.save(state_dict, tmp_path / "old.pth")
    assert load_checkpoint(tmp_path / "old.pth").config.model == TINY


class Foreign:
    """A type that is on no list."""


def test_foreign_types_only_on_trust(network: EfficientPS, tmp_path: Path) -> None:
    path = tmp_path / "foreign.pth"
    torch.save({"meta": {"config": Foreign()}, "state_dict": original_names(network)}, path)
    with pytest.raises(CheckpointError, match=r"Foreign.*trust=True"):
        load_checkpoint(path)
    assert_equal_weights(load_checkpoint(path, trust=True), network)


def test_code_in_a_pickle_does_not_run(tmp_path: Path) -> None:
    victim = tmp_path / "touched"

    class Attack:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (victim,)

    for name, write in (("zip.pth", torch.save), ("old.pth", lambda x, p: p.write_bytes(pickle.dumps(x)))):
        write({"state_dict": Attack()}, tmp_path / name)
        with pytest.raises(CheckpointError):
            load_checkpoint(tmp_path / name)
    assert not victim.exists()


def test_harmless_meta_is_read(network: EfficientPS, tmp_path: Path) -> None:
    """Files of mmcv hold its version, times and NumPy numbers beside the weights."""
    meta = {"epoch": 160, "best": np.float64(0.64), "history": np.arange(3), "CLASSES": CITYSCAPES.names[11:]}
    torch.save({"meta": meta, "state_dict": original_names(network)}, tmp_path / "epoch_160.pth")
    assert load_checkpoint(tmp_path / "epoch_160.pth").config.classes == CITYSCAPES


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.pth", b""),
        ("text.pth", b"<html>404 Not Found</html>"),
        ("cut.safetensors", b"\x10\x00\x00\x00\x00\x00\x00\x00{}"),
    ],
)
def test_unreadable_files(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=name):
        load_checkpoint(tmp_path / name)


@pytest.mark.parametrize("content", [{"state_dict": {"weight": "text"}}, {"epoch": 3}, [1, 2]])
def test_files_without_weights(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "odd.pth")
    with pytest.raises(CheckpointError, match=r"odd\.pth"):
        load_checkpoint(tmp_path / "odd.pth")


def test_other_networks_are_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": torch.nn.Linear(2, 2).state_dict()}, tmp_path / "linear.pth")
    with pytest.raises(CheckpointError, match="does not hold weights of EfficientPS"):
        load_checkpoint(tmp_path / "linear.pth")


def test_newer_file_is_refused(network: EfficientPS, tmp_path: Path) -> None:
    content = {"format": "opendr_panoptic_ros", "format_version": 99, "config": {}, "state_dict": network.state_dict()}
    torch.save(content, tmp_path / "future.pth")
    with pytest.raises(CheckpointError, match="newer"):
        load_checkpoint(tmp_path / "future.pth")


def test_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is downloaded by name; the error of a missing file names where it is looked for."""
    monkeypatch.setenv("OPENDR_PANOPTIC_HOME", str(tmp_path))
    with pytest.raises(CheckpointError, match=r"model_cityscapes\.pth.*opendr-panoptic download cityscapes"):
        load_checkpoint("cityscapes")
    with pytest.raises(CheckpointError, match="no checkpoint nowhere"):
        load_checkpoint("nowhere")
    with pytest.raises(CheckpointError, match="does not fit"):
        load_checkpoint("demo", config="cityscapes")


def test_config_replaces_the_stored_one(network: EfficientPS, tmp_path: Path) -> None:
    save_checkpoint(network, tmp_path / "tiny.safetensors")
    kitti = dataclasses.replace(Config.load("kitti"), model=TINY)
    assert load_checkpoint(tmp_path / "tiny.safetensors", config=kitti).config == kitti
    with pytest.raises(CheckpointError, match="does not fit"):
        load_checkpoint(tmp_path / "tiny.safetensors", config="kitti")


@pytest.mark.parametrize(("name", "long_side_px"), [("cityscapes", 2048), ("kitti", 1280)])
def test_released_weights_by_name(
    network: EfficientPS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, long_side_px: int
) -> None:
    """The files are alike; only their names tell that KITTI's images are fitted into 1280 x 384."""
    monkeypatch.setenv("OPENDR_PANOPTIC_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()  # a dataset of that name does not hide the weights
    torch.save({"state_dict": original_names(network)}, tmp_path / f"model_{name}.pth")
    for given in (name, tmp_path / f"model_{name}.pth"):
        config = load_checkpoint(given).config
        assert (config.name, config.model, config.test.long_side_px) == (name, TINY, long_side_px)


@pytest.mark.parametrize(
    "change",
    [
        {"meta": {"CLASSES": 5}},
        {"format": "opendr_panoptic_ros", "format_version": "new"},
        {"format": "opendr_panoptic_ros", "config": 3},
    ],
)
def test_odd_parts_are_typed_errors(network: EfficientPS, tmp_path: Path, change: dict[str, Any]) -> None:
    torch.save({"state_dict": original_names(network), **change}, tmp_path / "odd.pth")
    with pytest.raises(CheckpointError, match=r"odd\.pth"):
        load_checkpoint(tmp_path / "odd.pth")


@pytest.mark.parametrize("key", ["bbox_head.fc_cls.bias", 7])
def test_odd_tensors_are_typed_errors(network: EfficientPS, tmp_path: Path, key: object) -> None:
    torch.save({"state_dict": {**original_names(network), key: torch.tensor(1.0)}}, tmp_path / "odd.pth")
    with pytest.raises(CheckpointError, match=r"odd\.pth"):
        load_checkpoint(tmp_path / "odd.pth")


# --- hostile files ---------------------------------------------------------------------------------------------------

REFUSE = """
import sys, time
from pathlib import Path
from opendr_panoptic_ros.checkpoint import load_checkpoint
from opendr_panoptic_ros.errors import CheckpointError
def memory_kb(name):
    return int(next(line for line in Path("/proc/self/status").open() if line.startswith(name)).split()[1])
load_checkpoint("demo")
for path in sys.stdin:
    Path("/proc/self/clear_refs").write_text("5")  # the peak is measured from here
    idle_kb, start = memory_kb("VmRSS"), time.process_time()
    try:
        load_checkpoint(path.strip())
        message = "loaded"
    except CheckpointError as error:
        message = error
    print(time.process_time() - start, (memory_kb("VmHWM") - idle_kb) / 1024, message, flush=True)
"""


@pytest.fixture(scope="module")
def refusal() -> Iterator[Callable[[Path], str]]:
    """A function of a path: the message when a child process refuses the file, without much time and memory."""
    with subprocess.Popen(
        [sys.executable, "-c", REFUSE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        questions, answers = child.stdin, child.stdout
        assert questions is not None
        assert answers is not None

        def refuse(path: Path) -> str:
            print(path, file=questions, flush=True)
            answer = answers.readline()
            assert answer, f"the process ended with {child.wait(10)}"
            seconds, grown_mb, message = answer.strip().split(" ", 2)
            assert message != "loaded"
            assert float(seconds) < 3  # 1 s on an idle machine
            assert float(grown_mb) < 200
            assert "weights_only" not in message
            assert "safe_globals" not in message
            return message

        yield refuse
        questions.close()


class Pickled:
    """Pickles as a call of `function` with a state: `b` in the pickle."""

    def __init__(self, function: Any, arguments: tuple[Any, ...], state: Any) -> None:
        self._reduced = function, arguments, state

    def __reduce__(self) -> tuple[Any, ...]:
        return self._reduced


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    "state",
    [
        (3, "|", None, None, -1, -1, 0),  # the names of a structure are missing
        (3, "|", ("O", (8,)), None, None, 64, 8, 27),  # a number of 64 bytes that are objects
    ],
)
def test_a_crafted_numpy_type_is_never_built(
    refusal: Callable[[Path], str], tmp_path: Path, zipped: bool, state: tuple[Any, ...]
) -> None:
    """NumPy takes bytes of the file for addresses of objects when a type has such a state."""
    crafted = Pickled(np.dtype, ("f8", False, True), state)
    scalar = np.float64(0).__reduce__()[0]
    meta = {"CLASSES": crafted, "best": Pickled(scalar, (crafted, b"\x41" * 8), None)}
    torch.save({"state_dict": {"a": torch.zeros(2)}, "meta": meta}, tmp_path / "crafted.pth",
               _use_new_zipfile_serialization=zipped)  # fmt: skip
    assert "does not hold weights of EfficientPS" in refusal(tmp_path / "crafted.pth")


def deflated(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data.pkl", b"\x80\x02}.")
        with archive.open("bomb/data/0", "w") as part:
            for _ in range(600):
                part.write(bytes(1 << 20))


def large_configuration(path: Path, **model: float) -> None:
    config = Config.for_model(TINY).to_dict()
    config["model"].update(model)
    state_dict = EfficientPS(TINY).state_dict()
    torch.save({"format": "opendr_panoptic_ros", "format_version": 1, "config": config, "state_dict": state_dict}, path)


def large_header(path: Path) -> None:
    path.write_bytes((90 << 20).to_bytes(8, "little") + b"{" + b" " * (90 << 20))


def many_members(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(60_000):
            archive.writestr(f"x/{number:060}", b"")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (deflated, "compressed"),
        (lambda path: large_configuration(path, fpn_channels=5000), "does not fit"),
        (lambda path: large_configuration(path, fpn_channels=10**12), "does not fit|cannot be read|not usable"),
        (lambda path: large_configuration(path, box_head_width=10**6), "does not fit"),
        (lambda path: large_configuration(path, backbone_depth=1e5), "backbone blocks|not usable"),
        (lambda path: large_configuration(path, backbone_width=1e5), "does not fit|not usable"),
        (large_header, "not a checkpoint"),
        (many_members, "too large a directory"),
        (lambda path: path.write_bytes(b"\x80\x02]" + b"]" * (20 << 20)), "operations"),
        (lambda path: path.write_bytes(b"\x80\x02" + b"(" * (20 << 20)), "operations"),
        (lambda path: torch.save({"state_dict": {"a": torch.zeros(1).expand(10**10)}}, path), "beyond its data"),
    ],
)
def test_sizes_are_not_taken_on_trust(
    refusal: Callable[[Path], str], tmp_path: Path, write: Callable[[Path], None], message: str
) -> None:
    path = tmp_path / ("large.safetensors" if write is large_header else "large.pth")
    write(path)
    assert re.search(message, refusal(path))


@pytest.mark.parametrize("path", ["~nosuchuser/x.pth", "x" * 300, "a\0b", "/dev/zero", "/proc/self/mem", "", "."])
def test_odd_paths(path: str) -> None:
    with pytest.raises(CheckpointError):
        load_checkpoint(path)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pth")
    with pytest.raises(CheckpointError, match="no checkpoint"):
        load_checkpoint(tmp_path / "pipe.pth")
    (tmp_path / "model").mkdir()
    os.mkfifo(tmp_path / "model" / "model.json")
    with pytest.raises(CheckpointError, match="names no weights"):
        load_checkpoint(tmp_path / "model")


def test_no_home(network: EfficientPS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(network, tmp_path / "a.safetensors")

    def unknown(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", unknown)
    with pytest.raises(CheckpointError, match="home folder"):
        load_checkpoint("~/a.safetensors")


def test_a_training_state_names_the_right_file(network: EfficientPS, tmp_path: Path) -> None:
    content = {
        "epoch": 1,
        "batches_done": 0,
        "state_dict": network.state_dict(),
        "optimizer": {},
        "param_schedulers": [],
    }
    torch.save(content, tmp_path / "epoch_1.pth")
    with pytest.raises(CheckpointError, match=r"epoch_1\.pth.*--resume.*best\.safetensors"):
        load_checkpoint(tmp_path / "epoch_1.pth")
    save_checkpoint(network, tmp_path / "last.safetensors")
    with pytest.raises(CheckpointError, match=r"has no \S+\.json\. Give \S+/last\.safetensors, which a training has"):
        load_checkpoint(tmp_path)


def test_names_in_a_file_cannot_fill_the_terminal(network: EfficientPS, tmp_path: Path) -> None:
    state_dict = {**original_names(network), "\x1b[2J" + "x" * 10_000: torch.zeros(1), "\ud800": torch.zeros(1)}
    torch.save(state_dict, tmp_path / "odd.pth")
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(tmp_path / "odd.pth")
    assert len(str(caught.value)) < 500
    assert str(caught.value).isascii()
    assert str(caught.value).isprintable()


# --- weights that cannot work ----------------------------------------------------------------------------------------

NORM = "backbone.bn1.running_var"


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize(
    ("name", "change", "problem"),
    [
        (
            "neck.fpn_convs.0.conv.weight",
            lambda w: w * float("nan"),
            "conv.weight holds NaN or infinite",
        ),
        (NORM, lambda w: w * float("inf"), f"{NORM} holds NaN or infinite"),
        ("backbone.bn1.weight", lambda w: w.double() * 1e300, "backbone.bn1.weight holds NaN or infinite"),
        (NORM, lambda w: -w, f"{NORM} holds negative variances"),
        (NORM, torch.zeros_like, f"{NORM} holds negative variances or only zeros"),
        (NORM, lambda w: w > 0, rf"not usable: {NORM} torch\.bool"),
        (NORM, torch.Tensor.int, rf"not usable: {NORM} torch\.int32"),
        ("backbone.bn1.num_batches_tracked", torch.Tensor.float, r"not usable: backbone\.bn1\.num_batches"),
    ],
)
def test_weights_that_cannot_work(
    network: EfficientPS, tmp_path: Path, suffix: str, name: str, change: Callable[[Tensor], Tensor], problem: str
) -> None:
    state_dict = {key: change(value) if key == name else value for key, value in network.state_dict().items()}
    path = tmp_path / f"broken{suffix}"
    if suffix == ".pth":
        torch.save({"state_dict": state_dict}, path)
    else:
        safetensors.torch.save_file(state_dict, path)
    with pytest.raises(CheckpointError, match=problem):
        load_checkpoint(path)


def test_complex_weights_are_refused(network: EfficientPS, tmp_path: Path) -> None:
    state_dict = {**network.state_dict(), NORM: network.state_dict()[NORM].to(torch.complex64)}
    torch.save(state_dict, tmp_path / "complex.pth")
    with pytest.raises(CheckpointError, match="complex64"):
        load_checkpoint(tmp_path / "complex.pth")


def test_a_constant_channel_has_no_variance(network: EfficientPS, tmp_path: Path) -> None:
    network.state_dict()[NORM][0] = 0
    save_checkpoint(network, tmp_path / "constant.safetensors")
    assert load_checkpoint(tmp_path / "constant.safetensors").state_dict()[NORM][0] == 0


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_every_flipped_bit_is_found(network: EfficientPS, tmp_path: Path, suffix: str) -> None:
    """In the weights and in the configuration: nothing else would tell, as most values stay plausible."""
    path = tmp_path / f"tiny{suffix}"
    save_checkpoint(network, path)
    content = path.read_bytes()
    rng = random.Random(5)
    for place in [content.index(b"anchor_scale") + 15, *(rng.randrange(len(content)) for _ in range(20))]:
        flipped = bytearray(content)
        flipped[place] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        try:
            loaded = load_checkpoint(path)
        except CheckpointError:
            continue
        assert_equal_weights(loaded, network)  # a bit that means nothing, such as a date in the zip archive
        assert loaded.config == network.config


def test_files_without_a_checksum_are_read(network: EfficientPS, tmp_path: Path) -> None:
    save_checkpoint(network, tmp_path / "new.safetensors")
    with safe_open(tmp_path / "new.safetensors", framework="pt") as file:
        metadata = file.metadata()
    assert len(metadata.pop("sha256")) == 64
    safetensors.torch.save_file(network.state_dict(), tmp_path / "old.safetensors", metadata)
    assert_equal_weights(load_checkpoint(tmp_path / "old.safetensors"), network)


def test_the_package_weights_carry_a_checksum() -> None:
    with safe_open(Path(__file__).parents[1] / "opendr_panoptic_ros/presets/demo.safetensors", framework="pt") as file:
        assert len(file.metadata()["sha256"]) == 64


def test_no_advice_to_load_unsafely(tmp_path: Path) -> None:
    (tmp_path / "text.pth").write_text("<html>404 Not Found</html>")
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(tmp_path / "text.pth")
    assert "weights_only" not in str(caught.value)
