# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Conversion of the dense part of a network to layers of ncnn.

The network is traced symbolically and each of its few kinds of layers becomes a layer of ncnn. This takes a fraction of
a second, and the layers serve inputs of every size. pnnx, the general converter of ncnn, takes half a minute for the
same network (docs/backends.md).
"""

from __future__ import annotations

import dataclasses
import itertools
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from typing_extensions import override

from opendr_panoptic_ros.errors import ConfigError
from opendr_panoptic_ros.network import DenseOutputs, EfficientPS
from opendr_panoptic_ros.network.layers import SameConv2d

IMAGE_BLOB = "0"
"""Name of the blob of the network's input."""

# Numbers of the parameters of a layer and their values are documented in ncnn's operators.md.
_PAD_AS_TENSORFLOW = -233
_RELU, _LEAKY_RELU = 1, 2
NEAREST, BILINEAR = 1, 2


class OutputBlob(NamedTuple):
    """Where an output of the network is.

    Attributes:
        blob: Name of the blob.
        start: First channel.
        stop: Channel after the last one.
    """

    blob: str
    start: int
    stop: int


@dataclass
class Layer:
    """One layer of ncnn with one output.

    Attributes:
        kind: Name of the layer type.
        inputs: Names of its input blobs.
        output: Name of its output blob.
        channels: Channels of its output.
        stride: Stride of its output in px of the image.
        params: Parameters by number.
        weights: Kernel and bias of a convolution.
    """

    kind: str
    inputs: list[str]
    output: str
    channels: int
    stride: int
    params: dict[int, Any] = field(default_factory=dict)
    weights: tuple[Tensor, Tensor] | None = None


class _Tracer(fx.Tracer):
    """Traces down to the layers that have a counterpart in ncnn."""

    @override
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, nn.Conv2d | nn.ReLU | nn.LeakyReLU | nn.Identity)

    @override
    def iter(self, obj: fx.Proxy) -> Iterator[Any]:
        if obj.node.target == "chunk":
            parts: Any = obj.node.args[1]
            whole: Any = obj
            return (whole[part] for part in range(parts))
        return super().iter(obj)


class Conversion:
    """The layers of ncnn for the dense part of a network.

    Args:
        network: The network with folded norms, float32 on the CPU, in eval mode.

    Raises:
        ConfigError: The network contains a layer that this conversion does not support.
    """

    def __init__(self, network: EfficientPS) -> None:
        self._layers: dict[str, Layer] = {}  # by the name of the output
        self._values: dict[fx.Node, OutputBlob] = {}
        self._parts: dict[fx.Node, list[OutputBlob]] = {}
        self._outputs: dict[str, OutputBlob | list[OutputBlob]] = {}
        modules = dict(network.named_modules())
        for node in _Tracer().trace(network).nodes:
            self._convert(node, modules[str(node.target)] if node.op == "call_module" else None)

    def result(self) -> tuple[list[Layer], dict[str, OutputBlob | list[OutputBlob]]]:
        """Return the layers that are used, in their order, and the places of the outputs."""
        places = [place for each in self._outputs.values() for place in (each if isinstance(each, list) else [each])]
        used = {place.blob for place in places}
        for layer in reversed(self._layers.values()):
            if layer.output in used:
                used.update(layer.inputs)
        return [layer for layer in self._layers.values() if layer.output in used], self._outputs

    def _convert(self, node: fx.Node, module: nn.Module | None) -> None:
        """Add what a node computes. Nodes that only read sizes are used by `_interpolate` alone."""
        kind: Any = type(module) if module is not None else node.target
        if node.op == "placeholder":
            self._add(node, "Input", [], channels=3, stride=1)
        elif isinstance(module, nn.Conv2d):
            self._convolve(node, module)
        elif kind in _ACTIVATIONS:
            self._activate(node, module)
        elif kind in _CONVERTERS:
            _CONVERTERS[kind](self, node)
        elif kind is not getattr and node.op != "output":
            raise _unsupported(node)

    def _add(self, node: fx.Node, kind: str, inputs: Sequence[fx.Node], **options: Any) -> None:
        layer = self._append(kind, [self._blob(each) for each in inputs], **options)
        self._values[node] = OutputBlob(layer.output, 0, layer.channels)

    def _append(self, kind: str, inputs: list[str], *, stride: int | None = None, **options: Any) -> Layer:
        stride = stride or self._layers[inputs[0]].stride
        layer = Layer(kind, inputs, str(len(self._layers)), stride=stride, **options)
        self._layers[layer.output] = layer
        return layer

    def _channels(self, node: fx.Node) -> int:
        value = self._values[node]
        return int(value.stop - value.start)

    def _blob(self, node: fx.Node) -> str:
        """Return the blob of a node. Some channels of a convolution become a convolution, which needs no copy."""
        blob, start, stop = self._values[node]
        whole = self._layers[blob]
        if whole.weights is None or (start, stop) == (0, whole.params[0]):
            return str(blob)
        if whole.kind != "Convolution":
            raise _unsupported(node)
        kernel, bias = (weight[start:stop] for weight in whole.weights)
        params = {**whole.params, 0: stop - start, 6: kernel.numel()}
        part = dataclasses.replace(
            whole, output=str(len(self._layers)), channels=stop - start, params=params, weights=(kernel, bias)
        )
        self._layers[part.output] = part
        self._values[node] = OutputBlob(part.output, 0, stop - start)
        return part.output

    def _convolve(self, node: fx.Node, conv: nn.Conv2d) -> None:
        pads: Any = (_PAD_AS_TENSORFLOW,) * 2 if isinstance(conv, SameConv2d) else conv.padding
        params: dict[int, Any] = {0: conv.out_channels, 5: 1, 6: conv.weight.numel()}
        # The numbers of each parameter for the height and for the width.
        for (of_h, of_w), (h, w) in {
            (11, 1): conv.kernel_size,
            (12, 2): conv.dilation,
            (13, 3): conv.stride,
            (14, 4): pads,
            (16, 15): pads,
        }.items():
            params[of_h], params[of_w] = h, w
        if conv.groups > 1:
            params[7] = conv.groups
        bias = conv.weight.new_zeros(conv.out_channels) if conv.bias is None else conv.bias
        kind = "Convolution" if conv.groups == 1 else "ConvolutionDepthWise"
        weights = (conv.weight, bias)
        (source,) = node.all_input_nodes
        self._add(
            node,
            kind,
            [source],
            channels=conv.out_channels,
            stride=self._layers[self._blob(source)].stride * conv.stride[0],
            params=params,
            weights=weights,
        )

    def _activate(self, node: fx.Node, module: nn.Module | None) -> None:
        """Let the convolution before compute the activation too."""
        (before,) = node.all_input_nodes
        layer = self._layers[self._blob(before)]
        if layer.weights is None or 9 in layer.params or len(before.users) > 1:
            raise _unsupported(node)
        slope = module.negative_slope if isinstance(module, nn.LeakyReLU) else 0.0
        slope = float(node.kwargs["negative_slope"]) if node.target is F.leaky_relu else slope  # type: ignore[arg-type]
        layer.params |= {9: _LEAKY_RELU, -23310: f"1,{slope}"} if slope else {9: _RELU}
        self._values[node] = self._values[before]

    def _add_up(self, node: fx.Node) -> None:
        left, right = node.all_input_nodes
        self._add(node, "BinaryOp", [left, right], channels=self._channels(left), params={0: 0})
        if node.target == "add_":
            self._values[left] = self._values[node]

    def _concatenate(self, node: fx.Node) -> None:
        parts = node.all_input_nodes
        self._add(node, "Concat", parts, channels=sum(map(self._channels, parts)), params={0: 0})

    def _divide(self, node: fx.Node) -> None:
        """Divide the channels into parts, of equal sizes or of given ones."""
        args: Any = node.args
        if node.kwargs != {"dim": 1}:
            raise _unsupported(node)
        blob, start, stop = self._values[args[0]]
        sizes = [(stop - start) // args[1]] * args[1] if node.target == "chunk" else args[1]
        ends = itertools.accumulate(sizes, initial=start)
        self._parts[node] = [OutputBlob(blob, *part) for part in itertools.pairwise(ends)]

    def _choose(self, node: fx.Node) -> None:
        args: Any = node.args
        if args[0] in self._parts:
            self._values[node] = self._parts[args[0]][args[1]]

    def _pass(self, node: fx.Node) -> None:
        self._values[node] = self._values[node.all_input_nodes[0]]

    def _finish(self, node: fx.Node) -> None:
        for name, value in zip(DenseOutputs._fields, node.args, strict=True):
            places: Any = fx.map_arg(value, lambda each: self._values[each])
            self._outputs[name] = places if isinstance(places, OutputBlob) else list(places)

    def _interpolate(self, node: fx.Node) -> None:
        """Add the layer for a resizing by a factor, or to the size of another blob."""
        options: Any = node.kwargs
        kind = {"nearest": NEAREST, "bilinear": BILINEAR}.get(options["mode"])
        if kind is None or options.get("align_corners"):
            raise _unsupported(node)
        (source,) = node.args
        assert isinstance(source, fx.Node)  # noqa: S101 - F.interpolate takes a tensor
        whole = self._layers[self._blob(source)]
        if options.get("size") is None:
            factor = int(options["scale_factor"])
            params = {0: kind, 1: float(factor), 2: float(factor)}
            self._add(node, "Interp", [source], channels=whole.channels, stride=whole.stride // factor, params=params)
            return
        like = options["size"]
        while like not in self._values:  # x.shape[-2:] → x
            like = like.args[0]
        target = self._layers[self._blob(like)]
        params = {0: kind, 5: 1}
        if kind == NEAREST and whole.kind == "Convolution" and whole.params[1] == 1 and target.stride > whole.stride:
            # Of a 1×1 convolution, some rows and columns are chosen. Those of its input give the same and are less.
            (before,) = whole.inputs
            channels = self._layers[before].channels
            chosen = self._append(
                "Interp", [before, target.output], channels=channels, stride=target.stride, params=params
            )
            small = dataclasses.replace(
                whole, inputs=[chosen.output], output=str(len(self._layers)), stride=target.stride
            )
            self._layers[small.output] = small
            self._values[node] = OutputBlob(small.output, 0, small.channels)
            return
        self._add(node, "Interp", [source, like], channels=whole.channels, stride=target.stride, params=params)


_ACTIVATIONS = {nn.ReLU, nn.LeakyReLU, F.relu, F.leaky_relu}
_CONVERTERS: dict[Any, Callable[[Conversion, fx.Node], None]] = {
    nn.Identity: Conversion._pass,
    operator.add: Conversion._add_up,
    "add_": Conversion._add_up,
    torch.cat: Conversion._concatenate,
    F.interpolate: Conversion._interpolate,
    "chunk": Conversion._divide,
    "split": Conversion._divide,
    operator.getitem: Conversion._choose,
    DenseOutputs: Conversion._finish,
}


def _unsupported(node: fx.Node) -> ConfigError:
    return ConfigError(
        f"The network cannot be converted to ncnn: {node.format_node()} has no counterpart. Use the back end torch."
    )
