# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Norms over the images of two processes equal the norm over all images in one process."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.norm_processes import PROCESSES, drawn, process, step
from torch.multiprocessing.spawn import start_processes

from opendr_panoptic_ros.network.layers import Norm
from opendr_panoptic_ros.training.norms import SyncNorm, separate_norms_, synchronise_norms_

pytestmark = pytest.mark.train


def test_two_processes_equal_one(tmp_path: Path) -> None:
    start_processes(process, (str(tmp_path),), nprocs=PROCESSES)
    whole = step(Norm(5), *drawn())
    halves = [torch.load(tmp_path / f"{rank}.pt") for rank in range(PROCESSES)]
    together = {name: torch.cat([half[name] for half in halves]) for name in ("result", "images")}
    # Each process has the mean loss of its half; the trainer averages gradients over the processes.
    torch.testing.assert_close(together["result"], whole["result"], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(together["images"] / PROCESSES, whole["images"], rtol=1e-5, atol=1e-7)
    for name in ("weight", "bias"):
        mean = (halves[0][name] + halves[1][name]) / PROCESSES
        torch.testing.assert_close(mean, whole[name], rtol=1e-5, atol=1e-6)
    for half in halves:
        torch.testing.assert_close(half["mean"], whole["mean"])
        torch.testing.assert_close(half["variance"], whole["variance"], rtol=1e-5, atol=1e-6)


def test_exchanging_keeps_parameters_and_statistics() -> None:
    model = torch.nn.Sequential(Norm(3), Norm(4, activation=False, eps=1e-3))
    model.get_buffer("0.running_mean").fill_(7)
    before = {name: value.data_ptr() for name, value in model.state_dict(keep_vars=True).items()}
    synchronise_norms_(model)
    assert [type(module) for module in model.modules() if isinstance(module, Norm)] == [SyncNorm, SyncNorm]
    assert {name: value.data_ptr() for name, value in model.state_dict(keep_vars=True).items()} == before
    model.eval()
    x = torch.randn(1, 3, 2, 2)
    expected = model[0](x)
    separate_norms_(model)
    assert [type(module) for module in model.modules() if isinstance(module, Norm)] == [Norm, Norm]
    second = model[1]
    assert isinstance(second, Norm)
    assert (second.activation, second.eps, second.training) == (False, 1e-3, False)
    assert torch.equal(model[0](x), expected)
