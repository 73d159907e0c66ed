# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Files of torch.save, read without torch.load: equal values, and refusals of what could harm."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from opendr_panoptic_ros.weight_files.pickled import ForeignTypeError, Inert, PickleError, read_pickle
from opendr_panoptic_ros.weight_files.storages import StoredTensor, TorchFileError
from opendr_panoptic_ros.weight_files.torch_file import load_torch_file, open_torch_file

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool)


def nothing(name: str) -> Any:
    raise ForeignTypeError(name)


def read(data: bytes) -> Any:
    return read_pickle(io.BytesIO(data), find_type=nothing, find_persistent=nothing)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("protocol", [2, 4])
def test_tensors_are_those_of_torch_load(tmp_path: Path, zipped: bool, protocol: int) -> None:
    base = torch.arange(24.0).reshape(4, 6)
    saved = OrderedDict(
        **{str(dtype): torch.tensor([[1, 0, 3]]).to(dtype) for dtype in DTYPES},
        view=base[1:3, ::2],
        transposed=base.t(),
        scalar=torch.tensor(2.5),
        empty=torch.empty(0, 3),
        parameter=torch.nn.Parameter(base),
    )
    path = tmp_path / "saved.pth"
    torch.save({"tensors": saved}, path, _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)
    loaded = load_torch_file(path)["tensors"]
    assert list(loaded) == list(saved)
    for name, tensor in saved.items():
        assert loaded[name].dtype == tensor.dtype
        assert torch.equal(loaded[name], tensor), name


def test_an_optimiser_state_is_that_of_torch_load(tmp_path: Path) -> None:
    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 5])
    torch.save({"optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}, tmp_path / "state.pth")
    assert load_torch_file(tmp_path / "state.pth")["schedule"] == schedule.state_dict()
    loaded = load_torch_file(tmp_path / "state.pth")["optimizer"]
    expected = torch.load(tmp_path / "state.pth", weights_only=True)["optimizer"]
    assert loaded["param_groups"] == expected["param_groups"]
    assert torch.equal(loaded["state"][0]["exp_avg"], expected["state"][0]["exp_avg"])


@pytest.mark.parametrize("zipped", [True, False])
def test_foreign_objects_are_placeholders(tmp_path: Path, zipped: bool) -> None:
    values = {"number": np.float64(0.5), "array": np.arange(3), "type": np.dtype("f8"), "words": {"a", "b"}}
    torch.save(values, tmp_path / "meta.pth", _use_new_zipfile_serialization=zipped)
    assert {type(value) for value in load_torch_file(tmp_path / "meta.pth").values()} == {Inert}


def test_plain_values_of_every_protocol() -> None:
    value = {"a": [1, -2, 2**70, 1.5, None, True, "ä", b"\0"], ("x", 1): ((), (1,), (1, 2), (1, 2, 3, 4)), 3: {}}
    shared = [1]
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        if protocol >= 3:  # before, bytes are a call
            assert read(pickle.dumps(value, protocol)) == value
        first, second = read(pickle.dumps([shared, shared], protocol))
        assert first is second


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b".",
        b"\x80\x02",
        b"\x80\x63N.",  # a protocol of the future
        b"\x80\x02]R.",
        b"\x80\x02N)R.",  # calls None
        b"\x80\x02Nb.",
        b"(lp0\nI1\nq",
        b"\x80\x02}]Ns.",  # a list as a key
        b"\x80\x02}" + b")" + b"\x85" * 100_000 + b"Ns.",  # hashing this tuple would overflow the stack
        b"(i__main__\nX\n.",
        b"Ppersistent\n.",
        b"\x82\x01.",
        b"\x80\x04\x8e" + b"\xff" * 8 + b".",  # bytes of 2**64 - 1
        b"\x80\x02K\x01e.",
        b"\x80\x02]" + b"N" * 400_000 + b".",
    ],
)
def test_damaged_pickles(data: bytes) -> None:
    with pytest.raises(PickleError):
        read(data)


def test_deep_values_are_freed(tmp_path: Path) -> None:
    torch.save({}, tmp_path / "deep.pth")
    with zipfile.ZipFile(tmp_path / "deep.pth", "w") as archive:
        archive.writestr("deep/data.pkl", b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".")
    with open_torch_file(tmp_path / "deep.pth") as content:
        assert len(content) == 1
    with pytest.raises(TorchFileError, match="50 deep"):
        load_torch_file(tmp_path / "deep.pth")


def rebuild(storage: bytes, arguments: bytes) -> bytes:
    """A pickle of one tensor. storage: operations of its persistent id; arguments: offset, shape and stride."""
    return (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storage" + storage + b"tQ" + arguments
        + b"\x89)tR."
    )  # fmt: skip


def storage(elements: int) -> bytes:
    return b"ctorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuJ" + struct.pack("<i", elements)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (rebuild(storage(2), b"K\x00K\x03\x85K\x01\x85"), "beyond its data"),
        (rebuild(storage(2), b"K\x01K\x02\x85K\x01\x85"), "beyond its data"),
        (rebuild(storage(2), b"J\xff\xff\xff\xffK\x02\x85K\x01\x85"), "impossible shape"),
        (rebuild(storage(2), b"K\x00K\x02\x85J\xff\xff\xff\xff\x85"), "impossible shape"),
        (rebuild(storage(2), b"K\x00J\xff\xff\xff\x7f\x85K\x00\x85"), "beyond its data"),  # a stride of 0
        (rebuild(storage(2), b"K\x00K\x02\x85K\x01K\x01\x86"), "impossible shape"),
        (rebuild(storage(-2), b"K\x00K\x02\x85K\x01\x85"), "unknown way"),
        (rebuild(storage(3), b"K\x00K\x02\x85K\x01\x85"), "larger|less"),  # the archive has two
        (rebuild(b"NNNN", b"K\x00K\x02\x85K\x01\x85"), "unknown way|damaged"),
        (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(NNNNNNtR.", "no data"),
        (b"\x80\x02cnumpy\ndtype\nNQ.", "unknown way"),
    ],
)
def test_impossible_tensors(tmp_path: Path, data: bytes, problem: str) -> None:
    path = tmp_path / "odd.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("odd/data.pkl", data)
        archive.writestr("odd/data/0", bytes(8))
    with pytest.raises(TorchFileError, match=problem):
        load_torch_file(path)


@pytest.mark.parametrize("name", ["os system", "builtins getattr", "torch.nn.parameter Buffer", "posix system"])
def test_types_that_could_act_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "foreign.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("foreign/data.pkl", b"\x80\x02c" + name.replace(" ", "\n").encode() + b"\n.")
    with pytest.raises(ForeignTypeError, match=name.replace(" ", r"\.")):
        load_torch_file(path)


def test_archives_that_are_not_of_torch(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    for members, compression, problem in (
        ({"readme.txt": b""}, zipfile.ZIP_STORED, "not one of torch.save"),
        ({"x/data.pkl": b"N.", "x/constants.pkl": b""}, zipfile.ZIP_STORED, "TorchScript"),
        ({"x/data.pkl": b"N."}, zipfile.ZIP_DEFLATED, "compressed"),
        ({"x/data.pkl": b"N.", "x/byteorder": b"big"}, zipfile.ZIP_STORED, "little-endian"),
        ({"x/data.pkl": bytes(17 << 20)}, zipfile.ZIP_STORED, "larger"),
    ):
        with zipfile.ZipFile(path, "w", compression) as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        with pytest.raises(TorchFileError, match=problem):
            load_torch_file(path)


def test_shared_data_does_not_multiply(tmp_path: Path) -> None:
    """Two large storages that many tensors use by turns would be read many times."""
    first, second = torch.zeros(100_000), torch.ones(100_000)
    torch.save([(first[i:], second[i:]) for i in range(50)], tmp_path / "shared.pth")
    with pytest.raises(TorchFileError, match="larger than the file"):
        load_torch_file(tmp_path / "shared.pth")


@pytest.mark.parametrize("zipped", [True, False])
def test_cut_files(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "cut.pth"
    torch.save({"a": torch.ones(1000)}, path, _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    for size in range(0, len(content), 97):
        path.write_bytes(content[:size])
        with pytest.raises((TorchFileError, ForeignTypeError)):
            load_torch_file(path)


def test_the_elements_are_read_when_asked_for(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2, 3)}, tmp_path / "a.pth")
    with open_torch_file(tmp_path / "a.pth") as content:
        stored = content["a"]
        assert isinstance(stored, StoredTensor)
        assert (stored.dtype, stored.shape) == (torch.float32, (2, 3))
        assert torch.equal(stored.read(), torch.ones(2, 3))
