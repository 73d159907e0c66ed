# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""NcnnBackend: the dense part in ncnn, the fastest runtime for float32 on CPUs (x86 and ARM)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ncnn
import numpy as np
import torch
from torch import Tensor
from typing_extensions import Self, override

from opendr_panoptic_ros.backends.base import BuiltBackend, Progress
from opendr_panoptic_ros.backends.ncnn_model import GRAPH_FILE, INPUT_BLOB, WEIGHTS_FILE, read_outputs, write_model
from opendr_panoptic_ros.errors import ConfigError
from opendr_panoptic_ros.network import DenseOutputs, EfficientPS

_AS_COMPUTED = 1  # the layout in which ncnn has a blob: channels in packs of 1, 4, 8 or 16


class NcnnBackend(BuiltBackend):
    """Runs a model of ncnn, with Winograd convolutions. The model serves every size and every CPU.

    The number of threads is that of torch when the model is opened.

    Args:
        folder: Folder of the build.
        is_bfloat16: Whether weights and feature maps are stored as bfloat16.
    """

    distribution = "ncnn"

    def __init__(self, folder: Path, *, is_bfloat16: bool) -> None:
        self._net = ncnn.Net()
        options = self._net.opt
        options.num_threads = torch.get_num_threads()
        for name in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic"):
            setattr(options, name, False)
        options.use_bf16_storage = options.use_bf16_packed = is_bfloat16
        # Keeping the memory between calls saves a quarter of the time that large images take.
        self._memory = ncnn.PoolAllocator()
        self._workspace = ncnn.PoolAllocator()
        if self._net.load_param(str(folder / GRAPH_FILE)) or self._net.load_model(str(folder / WEIGHTS_FILE)):
            raise ConfigError(f"ncnn {ncnn.__version__} cannot load the model in {folder}; use another version of it.")
        self._outputs = read_outputs(folder)
        places = [place for each in self._outputs.values() for place in (each if isinstance(each, list) else [each])]
        self._blobs = list(dict.fromkeys(place.blob for place in places))

    @classmethod
    @override
    def version(cls) -> str:
        return "7767517"  # of the format of models, which has been the same since 2017

    @classmethod
    @override
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
        write_model(network, folder)

    @classmethod
    @override
    def open(cls, folder: Path, *, precision: str, device: torch.device) -> Self:
        return cls(folder, is_bfloat16=precision == "bfloat16")

    @override
    def __call__(self, x: Tensor) -> DenseOutputs:
        batches: dict[str, Tensor] = {}
        for index, image in enumerate(x):
            planes = image.contiguous().numpy()
            extractor = self._net.create_extractor()
            extractor.set_blob_allocator(self._memory)
            extractor.set_workspace_allocator(self._workspace)
            extractor.input(INPUT_BLOB, ncnn.Mat(planes))
            for blob in self._blobs:
                status, packed = extractor.extract(blob, _AS_COMPUTED)
                if status:
                    raise MemoryError(f"ncnn cannot compute the network for an input of {tuple(x.shape)}.")
                view = _packed_view(packed)
                if index == 0:
                    batches[blob] = torch.empty(len(x), *view.shape)
                batches[blob][index].copy_(view)
        maps = {blob: batch.flatten(3).permute(0, 3, 1, 2) for blob, batch in batches.items()}
        outputs: dict[str, Any] = {
            name: [maps[place.blob][:, place.start : place.stop] for place in places]
            if isinstance(places, list)
            else maps[places.blob][:, places.start : places.stop]
            for name, places in self._outputs.items()
        }
        return DenseOutputs(**outputs)


def _packed_view(packed: ncnn.Mat) -> Tensor:
    """Return the content of a blob as `(H, W, packs, lanes)`, without a copy; the blob must outlive the view."""
    lanes, height, width, packs = packed.elempack, packed.h, packed.w, packed.c
    is_bfloat16 = packed.elemsize == 2 * lanes
    # The buffer interface of Python does not support packs: they become a part of the rows.
    packed.w, packed.cstep = width * lanes, packed.cstep * lanes
    packed.elempack, packed.elemsize = 1, packed.elemsize // lanes
    pixels = torch.from_numpy(np.array(packed, copy=False)) if not is_bfloat16 else _bfloat16(packed)
    return pixels.view(packs, height, width, lanes).permute(1, 2, 0, 3)


def _bfloat16(blob: ncnn.Mat) -> Tensor:
    """Return the content of a blob whose elements are bfloat16, which NumPy does not have."""
    return torch.from_numpy(np.array(blob, copy=False).view(np.int16)).view(torch.bfloat16)
