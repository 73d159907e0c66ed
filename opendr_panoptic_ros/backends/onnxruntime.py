# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""OnnxRuntimeBackend: the dense part in ONNX Runtime, on the CPU and on NVIDIA GPUs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor
from typing_extensions import Self, override

from opendr_panoptic_ros.backends.base import BuiltBackend, Progress
from opendr_panoptic_ros.backends.onnx_export import (
    INPUT_NAME,
    ONNX_FILE,
    OPSET,
    OUTPUT_NAMES,
    OUTPUT_STRIDES,
    dense_outputs,
    export_onnx,
)
from opendr_panoptic_ros.errors import ConfigError
from opendr_panoptic_ros.network import DenseOutputs, EfficientPS

_PROVIDERS = {
    ("cpu", "float32"): "CPUExecutionProvider",
    ("cuda", "float32"): "CUDAExecutionProvider",
    ("cuda", "float16"): "TensorrtExecutionProvider",
}


class OnnxRuntimeBackend(BuiltBackend):
    """Runs the exported ONNX model, which serves every size and device. All tensors are float32.

    The number of threads is that of torch when the model is opened. On GPUs, float32 runs in ONNX Runtime's CUDA
    provider and float16 in its TensorRT provider, where the installed package has them.

    Args:
        folder: Folder of the build.
        precision: Number format of the dense part.
        device: Device of the inference.

    Raises:
        ConfigError: The installed ONNX Runtime has no provider for the device, or does not accept the model.
    """

    distribution = "onnxruntime"

    def __init__(self, folder: Path, *, precision: str, device: torch.device) -> None:
        self._device = device
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = torch.get_num_threads()
        options.inter_op_num_threads = 1
        # Threads that wait for work would keep cores busy that the rest of the robot needs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        provider = _PROVIDERS[device.type, precision]
        if provider not in onnxruntime.get_available_providers():
            raise ConfigError(
                f"onnxruntime {onnxruntime.__version__} has no {provider}, which {precision} on {device.type} needs; "
                "it has " + ", ".join(onnxruntime.get_available_providers()) + ". Install onnxruntime-gpu, or choose "
                "another back end."
            )
        try:
            self._session = onnxruntime.InferenceSession(
                str(folder / ONNX_FILE), options, providers=[(provider, _provider_options(provider, device))]
            )
        except Exception as error:  # each provider has its own errors
            raise ConfigError(
                f"onnxruntime {onnxruntime.__version__} cannot run the model in {folder}: {error}"
            ) from error
        if self._session.get_providers()[0] != provider:  # it falls back to the CPU without an error
            raise ConfigError(
                f"onnxruntime {onnxruntime.__version__} cannot start {provider}: its CUDA libraries are missing or of "
                "another version. Choose another back end."
            )
        self._channels = [output.shape[1] for output in self._session.get_outputs()]

    @classmethod
    @override
    def version(cls) -> str:
        return f"opset {OPSET}"

    @classmethod
    @override
    def device_name(cls, device: torch.device) -> str:
        return "any"

    @classmethod
    @override
    def tensor_dtype(cls, precision: str, device: torch.device) -> torch.dtype:
        return torch.float32

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
        (folder / ONNX_FILE).write_bytes(export_onnx(network).SerializeToString())

    @classmethod
    @override
    def open(cls, folder: Path, *, precision: str, device: torch.device) -> Self:
        return cls(folder, precision=precision, device=device)

    @override
    def __call__(self, x: Tensor) -> DenseOutputs:
        x = x.contiguous()
        batch, _, height, width = x.shape
        outputs = [
            x.new_empty(batch, channels, height // stride, width // stride)
            for channels, stride in zip(self._channels, OUTPUT_STRIDES, strict=True)
        ]
        binding = self._session.io_binding()
        place: dict[str, Any] = {
            "device_type": x.device.type,
            "device_id": x.device.index or 0,
            "element_type": np.float32,
        }
        binding.bind_input(INPUT_NAME, shape=x.shape, buffer_ptr=x.data_ptr(), **place)
        for name, output in zip(OUTPUT_NAMES, outputs, strict=True):
            binding.bind_output(name, shape=output.shape, buffer_ptr=output.data_ptr(), **place)
        if x.device.type == "cuda":
            torch.cuda.current_stream(x.device).synchronize()  # ONNX Runtime has a stream of its own
        self._session.run_with_iobinding(binding)
        binding.synchronize_outputs()
        dense = dense_outputs(outputs)
        return dense._replace(fpn=[level.contiguous(memory_format=torch.channels_last) for level in dense.fpn])


def _provider_options(provider: str, device: torch.device) -> dict[str, Any]:
    if provider == "CPUExecutionProvider":
        return {}
    options: dict[str, Any] = {"device_id": device.index or 0}
    if provider == "CUDAExecutionProvider":
        return {**options, "use_tf32": 0}  # it would cost three decimals
    return {**options, "trt_fp16_enable": True, "trt_timing_cache_enable": True}
