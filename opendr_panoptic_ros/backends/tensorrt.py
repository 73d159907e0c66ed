# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""TensorRtBackend: the dense part in TensorRT, on NVIDIA GPUs and Jetson modules."""

from __future__ import annotations

import functools
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorrt as trt
import torch
from torch import Tensor
from typing_extensions import Self, override

from opendr_panoptic_ros.backends.base import BuiltBackend, Progress
from opendr_panoptic_ros.backends.onnx_export import INPUT_NAME, OUTPUT_NAMES, dense_outputs, export_onnx
from opendr_panoptic_ros.errors import ConfigError
from opendr_panoptic_ros.files import write_whole
from opendr_panoptic_ros.network import DenseOutputs, EfficientPS

_ENGINE_FILE = "model.engine"
_TIMING_CACHE = ".opendr_panoptic_tensorrt_timing"
_MAX_BATCH = 8
_WORKSPACE_BYTES = 1 << 30


class TensorRtBackend(BuiltBackend):
    """Runs an engine of TensorRT. An engine serves one size, one to eight images, and the GPU it was built on.

    In float32, the reduced precision TF32 is off. In float16, inputs and outputs are float16, too; TensorRT decides for
    each layer whether float16 is faster.

    Args:
        folder: Folder of the build.
        device: Device of the inference.

    Raises:
        ConfigError: TensorRT does not accept the engine.
    """

    distribution = "tensorrt"
    fixed_size = True

    def __init__(self, folder: Path, *, device: torch.device) -> None:
        self._logger = trt.Logger(trt.Logger.ERROR)
        self._lock = threading.Lock()
        with torch.cuda.device(device):
            self._runtime = trt.Runtime(self._logger)
            self._engine = self._runtime.deserialize_cuda_engine((folder / _ENGINE_FILE).read_bytes())
            if self._engine is None:
                raise ConfigError(
                    f"TensorRT {trt.__version__} cannot load the engine in {folder}. Build it again on this machine "
                    "with `opendr-panoptic optimize`."
                )
            self._context = self._engine.create_execution_context()

    @classmethod
    @override
    def version(cls) -> str:
        return str(trt.__version__)  # JetPack's TensorRT is not always a package of pip

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
        assert size is not None  # noqa: S101 - builds serve one size
        model = export_onnx(network).SerializeToString()
        with torch.cuda.device(device):
            engine = build_engine(model, size, precision, folder.parent / _TIMING_CACHE, progress)
        (folder / _ENGINE_FILE).write_bytes(engine)

    @classmethod
    @override
    def open(cls, folder: Path, *, precision: str, device: torch.device) -> Self:
        return cls(folder, device=device)

    @override
    def __call__(self, x: Tensor) -> DenseOutputs:
        if len(x) > _MAX_BATCH:
            parts = [self(part) for part in x.split(_MAX_BATCH)]
            return dense_outputs([torch.cat(maps) for maps in zip(*map(_flat, parts), strict=True)])
        x = x.contiguous()
        with self._lock, torch.cuda.device(x.device):
            context = self._context
            context.set_input_shape(INPUT_NAME, tuple(x.shape))
            context.set_tensor_address(INPUT_NAME, x.data_ptr())
            outputs = [x.new_empty(tuple(context.get_tensor_shape(name))) for name in OUTPUT_NAMES]
            for name, output in zip(OUTPUT_NAMES, outputs, strict=True):
                context.set_tensor_address(name, output.data_ptr())
            # The stream is torch's, so that nothing waits: what torch computes next comes after the engine.
            if not context.execute_async_v3(torch.cuda.current_stream().cuda_stream):
                raise RuntimeError(f"TensorRT could not run the engine for an input of {tuple(x.shape)}.")
        dense = dense_outputs(outputs)
        return dense._replace(fpn=[level.contiguous(memory_format=torch.channels_last) for level in dense.fpn])


def build_engine(model: bytes, size: tuple[int, int], precision: str, timing_cache: Path, progress: Progress) -> Any:
    """Build an engine on the current CUDA device.

    Args:
        model: The exported ONNX model.
        size: Height and width of the input in px.
        precision: float32 or float16.
        timing_cache: File with the measurements of earlier builds, which is used and extended.
        progress: Called with the steps of TensorRT.

    Returns:
        The engine, as a buffer of bytes.

    Raises:
        ConfigError: TensorRT cannot convert the model.
    """
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(model):
        errors = "; ".join(str(parser.get_error(i).desc()) for i in range(parser.num_errors))
        raise ConfigError(f"TensorRT {trt.__version__} cannot read the network: {errors}")

    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, _WORKSPACE_BYTES)
    config.clear_flag(trt.BuilderFlag.TF32)  # it would cost three decimals
    if precision == "float16":
        config.set_flag(trt.BuilderFlag.FP16)
        for i in range(network.num_inputs):
            network.get_input(i).dtype = trt.float16
        for i in range(network.num_outputs):
            network.get_output(i).dtype = trt.float16
    profile = builder.create_optimization_profile()
    height, width = size
    profile.set_shape(INPUT_NAME, *((batch, 3, height, width) for batch in (1, 1, _MAX_BATCH)))
    config.add_optimization_profile(profile)
    measured = config.create_timing_cache(timing_cache.read_bytes() if timing_cache.is_file() else b"")
    # The measurements of another GPU or version are refused, and replaced below.
    if measured is None or not config.set_timing_cache(measured, False):
        config.set_timing_cache(config.create_timing_cache(b""), False)
    monitor = _monitor(progress)
    config.progress_monitor = monitor  # which must outlive the build

    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise ConfigError(
            f"TensorRT {trt.__version__} cannot build an engine for {width}x{height} px; its messages are above. A "
            "smaller size needs less GPU memory."
        )
    measurements = bytes(config.get_timing_cache().serialize())
    write_whole(timing_cache, functools.partial(Path.write_bytes, data=measurements))
    return engine


def _monitor(progress: Progress) -> Any:
    """Return TensorRT's interface to `progress`, which gets the steps of the outermost phase."""

    class Monitor(trt.IProgressMonitor):
        def __init__(self) -> None:
            super().__init__()
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            if not parent_phase:
                self._steps[phase_name] = num_steps

        def step_complete(self, phase_name: str, step: int) -> bool:
            if phase_name in self._steps:
                progress("TensorRT is measuring kernels.", min(1.0, (step + 1) / self._steps[phase_name]))
            return True

        def phase_finish(self, phase_name: str) -> None:
            self._steps.pop(phase_name, None)

    return Monitor()


def _flat(dense: DenseOutputs) -> list[Tensor]:
    return [*dense.fpn, *dense.objectness, *dense.deltas, dense.semantic_logits]
