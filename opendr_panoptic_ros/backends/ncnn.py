# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""NcnnBackend: the dense part in ncnn, the fastest runtime for float32 on CPUs (x86 and ARM)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import ncnn
import numpy as np
import torch
from torch import Tensor
from typing_extensions import Self, override

from opendr_panoptic_ros.backends.base import BuiltBackend, Progress
from opendr_panoptic_ros.backends.ncnn_graph import IMAGE_BLOB
from opendr_panoptic_ros.backends.ncnn_model import Part, read_model, write_model
from opendr_panoptic_ros.errors import ConfigError
from opendr_panoptic_ros.network import SIZE_DIVISOR, DenseOutputs, EfficientPS

_AS_COMPUTED = 1  # the layout in which ncnn has a blob, without conversion
_WHOLE_PX = 512 * 1024  # up to this size, an image is computed without stripes
_STRIPE_PX = 256 * 1024  # of a larger image; the maps of a stripe take about 200 MB
_ALIGNMENT_BYTES = 64  # ncnn loads whole vectors


class NcnnBackend(BuiltBackend):
    """Runs a model of ncnn, with Winograd convolutions. The model serves every size and every CPU.

    The number of threads is that of torch when the model is opened.

    Args:
        folder: Folder of the build.
        is_bfloat16: Whether weights and feature maps are stored as bfloat16.
    """

    distribution = "ncnn"
    revision = 2

    def __init__(self, folder: Path, *, is_bfloat16: bool) -> None:
        # Keeping the memory between calls saves a quarter of the time that large images take.
        self._memory = _Memory(ncnn.PoolAllocator(), ncnn.PoolAllocator())
        model = read_model(folder)
        self._parts = [_OpenPart(folder, part, self._memory, is_bfloat16=is_bfloat16) for part in model.parts]
        self._outputs = model.outputs
        places = [place for each in model.outputs.values() for place in (each if isinstance(each, list) else [each])]
        self._result_blobs = list(dict.fromkeys(place.blob for place in places))
        last_use = {port.blob: number for number, part in enumerate(model.parts) for port in part.inputs}
        self._unused_after: list[list[str]] = [[] for _ in model.parts]
        for name, number in last_use.items():
            if name not in self._result_blobs:
                self._unused_after[number].append(name)

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
            blobs = {IMAGE_BLOB: image.contiguous()[..., None]}
            try:
                for number, part in enumerate(self._parts):
                    blobs.update(part.run(blobs, image.shape[1:]))
                    for name in self._unused_after[number]:
                        del blobs[name]
                for name in self._result_blobs:
                    rows = blobs[name].permute(1, 2, 0, 3)
                    if index == 0:
                        batches[name] = _empty((len(x), *rows.shape), torch.float32)
                    batches[name][index].copy_(rows.view(torch.bfloat16) if rows.dtype == torch.int16 else rows)
            finally:
                blobs.clear()  # before the memory that they are in
        maps = {name: batch.flatten(3).permute(0, 3, 1, 2) for name, batch in batches.items()}
        outputs: dict[str, Any] = {
            name: [maps[place.blob][:, place.start : place.stop] for place in places]
            if isinstance(places, list)
            else maps[places.blob][:, places.start : places.stop]
            for name, places in self._outputs.items()
        }
        return DenseOutputs(**outputs)


class _Memory(NamedTuple):
    """Memory that is kept between calls.

    Attributes:
        blobs: For feature maps.
        workspace: For what a layer needs while it is computed.
    """

    blobs: ncnn.PoolAllocator
    workspace: ncnn.PoolAllocator


class _OpenPart:
    """A part of the model, ready to run.

    A blob is a tensor `(packs, H, W, lanes)`: ncnn stores channels in packs of 1, 4, 8 or 16 that are neighbours in
    memory. Its elements are float32, or bfloat16 as int16, which NumPy has.

    Args:
        folder: Folder of the model.
        part: The part.
        memory: Memory for all parts.
        is_bfloat16: Whether weights and feature maps are stored as bfloat16.

    Raises:
        ConfigError: ncnn does not accept the files.
    """

    def __init__(self, folder: Path, part: Part, memory: _Memory, *, is_bfloat16: bool) -> None:
        self._part, self._memory = part, memory
        self._net = ncnn.Net()
        options = self._net.opt
        options.num_threads = torch.get_num_threads()
        for name in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic"):
            setattr(options, name, False)
        options.use_bf16_storage = options.use_bf16_packed = is_bfloat16
        if self._net.load_param(str(folder / part.graph)) or self._net.load_model(str(folder / part.weights)):
            raise ConfigError(f"ncnn {ncnn.__version__} cannot load the model in {folder}; use another version of it.")

    def run(self, blobs: Mapping[str, Tensor], size: Sequence[int]) -> dict[str, Tensor]:
        """Compute the outputs of the part.

        Args:
            blobs: Blobs by name, at least the inputs.
            size: Height and width of the image in px.

        Returns:
            The outputs by name.
        """
        height, width = size
        stripes = _stripes(height, width) if self._part.halo_px is not None else [(0, height)]
        if len(stripes) == 1:
            return self._compute(blobs, 0, height)
        halo_px = self._part.halo_px or 0
        outputs: dict[str, Tensor] = {}
        for start, stop in stripes:
            first, last = max(0, start - halo_px), min(height, stop + halo_px)
            computed = self._compute(blobs, first, last)
            for port in self._part.outputs:
                rows = computed[port.blob]
                if port.blob not in outputs:
                    whole = (rows.shape[0], height // port.stride, *rows.shape[2:])
                    outputs[port.blob] = _empty(whole, rows.dtype)
                kept = rows[:, (start - first) // port.stride : (stop - first) // port.stride]
                outputs[port.blob][:, start // port.stride : stop // port.stride] = kept
        return outputs

    def _compute(self, blobs: Mapping[str, Tensor], first: int, last: int) -> dict[str, Tensor]:
        """Compute the outputs for the rows of the image from `first` to before `last`, in px."""
        extractor = self._net.create_extractor()
        extractor.set_blob_allocator(self._memory.blobs)
        extractor.set_workspace_allocator(self._memory.workspace)
        for port in self._part.inputs:
            extractor.input(port.name, _as_mat(blobs[port.blob][:, first // port.stride : last // port.stride]))
        outputs = {}
        for port in self._part.outputs:
            status, mat = extractor.extract(port.name, _AS_COMPUTED)
            if status:
                raise MemoryError(f"ncnn cannot compute {last - first} rows of the image.")
            outputs[port.blob] = _as_blob(mat)
        return outputs


def _stripes(height: int, width: int) -> list[tuple[int, int]]:
    """Return the first row and the row after the last one of each stripe, in px; they are multiples of 32."""
    if height * width <= _WHOLE_PX:
        return [(0, height)]
    rows = max(1, _STRIPE_PX // (width * SIZE_DIVISOR))
    count = -(-height // (rows * SIZE_DIVISOR))
    ends = [height * number // (count * SIZE_DIVISOR) * SIZE_DIVISOR for number in range(count + 1)]
    return list(itertools.pairwise(ends))


def _empty(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Return a new tensor in memory of NumPy, which asks for huge pages: the first use of small ones takes long."""
    count = math.prod(shape)
    size = 2 if dtype == torch.int16 else 4
    memory = torch.from_numpy(np.empty(count * size + _ALIGNMENT_BYTES, np.uint8))
    start = -memory.data_ptr() % _ALIGNMENT_BYTES
    return memory[start : start + count * size].view(dtype).view(*shape)


def _as_blob(mat: ncnn.Mat) -> Tensor:
    """Return the content of a Mat without a copy. The tensor keeps the Mat, which must not be used otherwise."""
    lanes, height, width, packs = mat.elempack, mat.h, mat.w, mat.c
    # The buffer interface of Python does not support packs: they become a part of the rows.
    mat.w, mat.cstep, mat.elemsize, mat.elempack = width * lanes, mat.cstep * lanes, mat.elemsize // lanes, 1
    array = np.array(mat, copy=False)
    return torch.from_numpy(array.view(np.int16) if array.itemsize == 2 else array).view(packs, height, width, lanes)


def _as_mat(blob: Tensor) -> ncnn.Mat:
    """Return a Mat with the content of a blob without a copy. The blob must outlive the Mat."""
    packs, height, width, lanes = blob.shape
    start = blob.as_strided((height * width * lanes,), (1,))
    mat = ncnn.Mat(start.numpy())
    mat.dims, mat.w, mat.h, mat.c = 3, width, height, packs
    mat.elempack, mat.elemsize, mat.cstep = lanes, blob.element_size() * lanes, blob.stride(0) // lanes
    return mat
