# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""A process keeps the network that it used last, as long as the same files have the same paths."""

from __future__ import annotations

import shutil

from opendr_panoptic_ros.bags.options import NetworkOptions


def test_a_network_is_kept_until_its_file_changes(tiny_checkpoint, tmp_path, monkeypatch):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        shutil.copy(tiny_checkpoint, tmp_path / name / "tiny.safetensors")
    options = NetworkOptions(checkpoint="tiny.safetensors", device="cpu", backend="torch")
    monkeypatch.chdir(tmp_path / "first")
    first = options.segmenter()
    assert options.segmenter() is first
    monkeypatch.chdir(tmp_path / "second")
    second = options.segmenter()
    assert second is not first, "another file has this name in another folder"
    (tmp_path / "second" / "tiny.safetensors").unlink()
    shutil.copy(tiny_checkpoint, tmp_path / "second" / "tiny.safetensors")
    assert options.segmenter() is not second, "the file was replaced"
