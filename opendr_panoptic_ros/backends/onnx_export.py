# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The dense part of the network as an ONNX model, from which ONNX Runtime, OpenVINO and TensorRT build theirs.

The model has one input, `image`, `(batch, 3, height, width)` float32, normalised, and thirteen outputs, named and
ordered as in `OUTPUT_NAMES`. Batch, height and width are dynamic; height and width must be multiples of 32.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from opendr_panoptic_ros.errors import ConfigError
from opendr_panoptic_ros.network import SIZE_DIVISOR, DenseOutputs, EfficientPS

if TYPE_CHECKING:
    import onnx

INPUT_NAME = "image"
_STRIDES = (4, 8, 16, 32)
OUTPUT_NAMES = (
    *(f"fpn_{stride}" for stride in _STRIDES),
    *(f"objectness_{stride}" for stride in _STRIDES),
    *(f"deltas_{stride}" for stride in _STRIDES),
    "semantic_logits",
)
"""Names of the outputs, in the order of `DenseOutputs`: the neck's maps and the RPN's outputs by stride, then the
semantic logits at stride 4."""

OUTPUT_STRIDES = (*_STRIDES * 3, _STRIDES[0])
"""Strides of the outputs in the order of `OUTPUT_NAMES`."""

ONNX_FILE = "model.onnx"
"""Name of the model in the folder of a build."""

OPSET = 18
"""Version of ONNX's operators: the one in which torch's exporter is written, and which all runtimes know."""

_OPERATORS = {"Conv", "LeakyRelu", "Relu", "Add", "Concat", "Split", "Resize"}
_EXAMPLE_PX = 2 * SIZE_DIVISOR


def dense_outputs(flat: Sequence[Tensor]) -> DenseOutputs:
    """Group the outputs of the ONNX model.

    Args:
        flat: The tensors in the order of `OUTPUT_NAMES`.

    Returns:
        The same tensors as the back ends return them.
    """
    return DenseOutputs(list(flat[:4]), list(flat[4:8]), list(flat[8:12]), flat[12])


def export_onnx(network: EfficientPS) -> onnx.ModelProto:
    """Export the dense part of a network.

    torch's exporter takes minutes to prove that every size works, but seconds for one size. So it exports one size, and
    the few places where that size is recorded are made general afterwards: `_make_sizes_dynamic`.

    Args:
        network: A network with folded norms, in eval mode, in float32 on the CPU. Its weights are copied.

    Returns:
        The model, checked by `onnx.checker`.

    Raises:
        ConfigError: The packages onnx and onnxscript are missing.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401 - torch's exporter imports it and would report its absence later
    except ImportError as error:
        raise ConfigError(
            f"Exporting to ONNX needs the package {error.name}. Install it with: "
            "pip install 'opendr_panoptic_ros[onnx]'."
        ) from error
    example = torch.zeros(1, 3, _EXAMPLE_PX, _EXAMPLE_PX)
    with _quiet_exporter(), torch.no_grad():
        program = torch.onnx.export(
            _FlatOutputs(network),
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT_NAME],
            output_names=OUTPUT_NAMES,
            verbose=False,
        )
    assert program is not None  # noqa: S101 - with dynamo=True a program is returned
    model: onnx.ModelProto = program.model_proto
    _make_sizes_dynamic(model)
    _remove_traces(model)
    onnx.checker.check_model(model, full_check=True)
    return model


class _FlatOutputs(nn.Module):
    """The dense part with its outputs in one tuple, in the order of `OUTPUT_NAMES`."""

    def __init__(self, network: EfficientPS) -> None:
        super().__init__()
        self.network = network

    @override
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        dense = self.network(x)
        return (*dense.fpn, *dense.objectness, *dense.deltas, dense.semantic_logits)


def _make_sizes_dynamic(model: onnx.ModelProto) -> None:
    """Make batch, height and width of a model that was exported at one size dynamic, in place.

    The model consists of convolutions, whose padding is the same for all multiples of 32, of element-wise operators,
    concatenations and splits of channels, and Resize. Only Resize can contain the size: its target sizes become scales.
    """
    from onnx import helper, numpy_helper

    graph = model.graph
    unexpected = {node.op_type for node in graph.node} - _OPERATORS
    assert not unexpected, f"the export contains {unexpected}, which may depend on the size"  # noqa: S101 - tested
    shapes = {info.name: [d.dim_value for d in info.type.tensor_type.shape.dim] for info in graph.value_info}
    constants = {constant.name: numpy_helper.to_array(constant) for constant in graph.initializer}
    for node in graph.node:
        if node.op_type == "Resize" and len(node.input) == 4 and node.input[3]:
            before, after = shapes[node.input[0]], constants[node.input[3]].tolist()
            scales = helper.make_tensor(
                f"{node.output[0]}_scales", 1, [4], [a / b for a, b in zip(after, before, strict=True)]
            )
            graph.initializer.append(scales)
            del node.input[2:]
            node.input.append(scales.name)

    used = {name for node in graph.node for name in node.input}
    kept = [constant for constant in graph.initializer if constant.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    del graph.value_info[:]
    for value, stride in zip((*graph.input, *graph.output), (1, *OUTPUT_STRIDES), strict=True):
        batch, _, height, width = value.type.tensor_type.shape.dim
        batch.dim_param = "batch"
        height.dim_param = "height" if stride == 1 else f"height/{stride}"
        width.dim_param = "width" if stride == 1 else f"width/{stride}"


def _remove_traces(model: onnx.ModelProto) -> None:
    """Remove what the exporter records about its own run: stack traces with the paths of this machine."""
    graph = model.graph
    for described in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        del described.metadata_props[:]
        described.doc_string = ""


@contextlib.contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Keep the exporter's progress, and its advice on models in general, away from the user."""
    loggers: list[Any] = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
