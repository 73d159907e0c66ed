# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""OpenVinoBackend: the dense part in OpenVINO, the fastest runtime for int8 and bfloat16 on x86 CPUs."""

from __future__ import annotations

import functools
import io
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openvino
import torch
from openvino import opset8 as operators
from torch import Tensor
from typing_extensions import Self, override

from opendr_panoptic_ros.backends.base import BuiltBackend, Progress
from opendr_panoptic_ros.backends.onnx_export import INPUT_NAME, dense_outputs, export_onnx
from opendr_panoptic_ros.errors import ConfigError
from opendr_panoptic_ros.network import DenseOutputs, EfficientPS

_FILE = "model.xml"
_NUM_FPN_MAPS = 4
_NCHW_TO_NHWC, _NHWC_TO_NCHW = (0, 2, 3, 1), (0, 3, 1, 2)
_ELEMENT_TYPES = {torch.float32: openvino.Type.f32, torch.bfloat16: openvino.Type.bf16}


class OpenVinoBackend(BuiltBackend):
    """Runs a model of OpenVINO on the CPU. The model serves every size; it is compiled for each size when it occurs.

    In bfloat16 and int8, the maps of the neck and the heads are bfloat16 on CPUs that compute in it, and float32 on
    others. The number of threads is that of torch when a size first occurs.

    Args:
        folder: Folder of the build.
        precision: float32, bfloat16 or int8.
    """

    distribution = "openvino"

    _KEPT_SIZES = 4

    def __init__(self, folder: Path, *, precision: str) -> None:
        if precision == "bfloat16" and not computes_bfloat16():
            raise ConfigError("This CPU does not compute in bfloat16; choose the precision float32 or int8.")
        try:
            self._model = _core().read_model(folder / _FILE)
        except RuntimeError as error:
            raise ConfigError(
                f"OpenVINO {openvino.get_version()} cannot read the model in {folder}; use another version of it."
            ) from error
        self._dtype = self.tensor_dtype(precision, torch.device("cpu"))
        self._requests: dict[tuple[int, ...], Any] = {}
        self._lock = threading.Lock()

    @classmethod
    @override
    def version(cls) -> str:
        return "IR 11"  # the format of models, which every OpenVINO since 2022 reads

    @classmethod
    @override
    def tensor_dtype(cls, precision: str, device: torch.device) -> torch.dtype:
        return torch.bfloat16 if precision in {"bfloat16", "int8"} and computes_bfloat16() else torch.float32

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
        model = _core().read_model(io.BytesIO(export_onnx(network).SerializeToString()))
        if precision == "int8":
            from opendr_panoptic_ros.backends.openvino_int8 import quantize

            model = quantize(model, calibration, progress)
        openvino.save_model(model, folder / _FILE, compress_to_fp16=False)

    @classmethod
    @override
    def open(cls, folder: Path, *, precision: str, device: torch.device) -> Self:
        return cls(folder, precision=precision)

    @override
    def __call__(self, x: Tensor) -> DenseOutputs:
        batch, channels, height, width = x.shape
        shape = (batch, height, width, channels)
        with self._lock:
            request = self._requests.pop(shape, None) or self._compile(shape).create_infer_request()
            self._requests[shape] = request  # the last of them is the most recently used
            if len(self._requests) > self._KEPT_SIZES:
                del self._requests[next(iter(self._requests))]
            pixels = x.permute(_NCHW_TO_NHWC).contiguous()
            request.set_input_tensor(_shared(pixels))
            outputs = [torch.empty(tuple(port.shape), dtype=self._dtype) for port in request.model_outputs]
            for index, output in enumerate(outputs):
                request.set_output_tensor(index, _shared(output))
            request.infer()
        return dense_outputs([output.permute(_NHWC_TO_NCHW) for output in outputs])

    def _compile(self, shape: tuple[int, ...]) -> openvino.CompiledModel:
        """Compile the model for one shape of the input, `(B, H, W, 3)`, with channels last at both ends."""
        element_type = _ELEMENT_TYPES[self._dtype]
        model = self._model.clone()
        batch, height, width, channels = shape
        model.reshape([batch, channels, height, width])
        pixels = operators.parameter(shape, element_type, name=INPUT_NAME)
        planes = operators.convert(operators.transpose(pixels, _NHWC_TO_NCHW), openvino.Type.f32)
        (old_input,) = model.inputs
        for target in old_input.get_target_inputs():
            target.replace_source_output(planes.output(0))
        # The transposition comes first: a convolution has its result in this order, and nothing is copied for it.
        results = []
        for port in model.outputs:
            channels_last = operators.transpose(port.node.input_value(0), _NCHW_TO_NHWC)
            results.append(operators.result(operators.convert(channels_last, element_type)))
        return _core().compile_model(
            openvino.Model(results, [pixels], "dense part"),
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": element_type,
                "INFERENCE_NUM_THREADS": torch.get_num_threads(),
                "NUM_STREAMS": 1,
                "ENABLE_CPU_PINNING": False,  # threads of other processes use the same cores
            },
        )


@functools.cache
def _core() -> openvino.Core:
    return openvino.Core()


@functools.cache
def computes_bfloat16() -> bool:
    """Return whether this CPU has instructions for bfloat16."""
    return "BF16" in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _shared(tensor: Tensor) -> openvino.Tensor:
    """Return a tensor of OpenVINO over the memory of a contiguous tensor, which must outlive it."""
    # NumPy has no bfloat16: the bytes are passed under another type.
    array = tensor.view(torch.int16).numpy() if tensor.dtype == torch.bfloat16 else tensor.numpy()
    return openvino.Tensor(array, tensor.shape, _ELEMENT_TYPES[tensor.dtype])
