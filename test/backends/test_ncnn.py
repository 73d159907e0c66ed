# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The back end ncnn: its conversion, its stripes, bfloat16, and calls from several threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from support.open_backend import DensePart, flat, open_float32
from support.tiny_network import tiny_network
from torch import Tensor, nn

from opendr_panoptic_ros.backends import ncnn as ncnn_backend
from opendr_panoptic_ros.backends.ncnn_model import read_model, write_model
from opendr_panoptic_ros.errors import ConfigError
from opendr_panoptic_ros.network import EfficientPS


@pytest.fixture(scope="module")
def network() -> EfficientPS:
    return tiny_network().fold_norms()


@pytest.fixture(scope="module")
def dense_part(network: EfficientPS, tmp_path_factory: pytest.TempPathFactory) -> DensePart:
    return open_float32(network, "ncnn", tmp_path_factory.mktemp("builds"))


def images(*size: int) -> Tensor:
    x = torch.randn(*size, generator=torch.Generator().manual_seed(0))
    return x.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("stripe_rows", [32, 64, 128])
@pytest.mark.parametrize("size", [(160, 64), (256, 96), (32, 64)])
def test_stripes_give_the_same(
    dense_part: DensePart, size: tuple[int, int], stripe_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = images(2, 3, *size)
    whole = flat(dense_part(x))
    monkeypatch.setattr(ncnn_backend, "_WHOLE_PX", 0)
    monkeypatch.setattr(ncnn_backend, "_STRIPE_PX", stripe_rows * size[1])
    for ours, theirs in zip(flat(dense_part(x)), whole, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4 * float(theirs.std()))


def test_the_largest_maps_can_run_by_stripes(network: EfficientPS, tmp_path: Path) -> None:
    write_model(network, tmp_path)
    striped = [part for part in read_model(tmp_path).parts if part.halo_px is not None]
    strides = {port.stride for part in striped for port in part.inputs}
    assert {1, 2, 4} <= strides
    assert max(part.halo_px or 0 for part in striped) <= 32
    (coarse,) = [part for part in read_model(tmp_path).parts if part.halo_px is None]
    assert min(port.stride for port in coarse.inputs) == 4


def test_equal_networks_give_equal_files(network: EfficientPS, tmp_path: Path) -> None:
    contents = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_model(network, tmp_path / name)
        contents.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert contents[0] == contents[1]


def test_several_threads(dense_part: DensePart) -> None:
    """Of different sizes at once, in one memory."""
    inputs = [images(1, 3, 64 + 32 * (number % 3), 96) for number in range(12)]
    alone = [flat(dense_part(x)) for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda x: flat(dense_part(x)), inputs))
    for ours, theirs in zip(together, alone, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_results_outlive_later_calls(dense_part: DensePart) -> None:
    x = images(1, 3, 64, 64)
    first = flat(dense_part(x))
    kept = [each.clone() for each in first]
    dense_part(-x)
    assert all(torch.equal(a, b) for a, b in zip(first, kept, strict=True))


def test_bfloat16(network: EfficientPS, tmp_path: Path) -> None:
    """Half the digits; the tensors outside are float32."""
    x = images(1, 3, 64, 96)
    with torch.inference_mode():
        expected = flat(network(x))
    found = flat(open_float32(network, "ncnn", tmp_path, precision="bfloat16")(x))
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == torch.float32
        difference = (ours - theirs).abs().max() / theirs.std()
        assert 1e-4 < difference < 0.3


def test_a_network_with_other_layers_is_refused(network: EfficientPS, tmp_path: Path) -> None:
    other = tiny_network().fold_norms()
    other.neck.fpn_convs[0].bn = nn.Sequential(nn.Tanh())
    with pytest.raises(ConfigError, match=r"cannot be converted to ncnn: .*Tanh|tanh.* has no counterpart"):
        write_model(other, tmp_path)
