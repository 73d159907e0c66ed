# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Conversion of the dense part of a network to a model of ncnn.

The network is traced symbolically and each of its few kinds of layers is written as a layer of ncnn. This takes a
fraction of a second, and the model serves inputs of every size. pnnx, the general converter of ncnn, takes half a
minute for the same network (docs/backends.md).
"""

from __future__ import annotations

import itertools
import operator
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from typing_extensions import override

from opendr_panoptic_ros.errors import ConfigError
from opendr_panoptic_ros.files import read_json, write_json
from opendr_panoptic_ros.network import DenseOutputs, EfficientPS
from opendr_panoptic_ros.network.layers import SameConv2d

GRAPH_FILE = "dense.param"
WEIGHTS_FILE = "dense.bin"
OUTPUTS_FILE = "outputs.json"
INPUT_BLOB = "0"

# Numbers of the parameters of a layer and their values are documented in ncnn's operators.md.
_GRAPH_MAGIC = "7767517"
_FLOAT32_TAG = bytes(4)  # before the kernel of a convolution: not compressed
_PAD_AS_TENSORFLOW = -233
_RELU, _LEAKY_RELU = 1, 2
_NEAREST, _BILINEAR = 1, 2


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
class _Layer:
    """One layer of ncnn with one output.

    Attributes:
        kind: Name of the layer type.
        inputs: Names of its input blobs.
        output: Name of its output blob.
        params: Parameters by number.
        weights: Kernel and bias of a convolution.
    """

    kind: str
    inputs: list[str]
    output: str
    params: dict[int, Any] = field(default_factory=dict)
    weights: tuple[Tensor, Tensor] | None = None


def write_model(network: EfficientPS, folder: Path) -> None:
    """Write the model: its graph, its weights and the places of its outputs.

    Args:
        network: The network with folded norms, float32 on the CPU, in eval mode.
        folder: Folder for the three files.

    Raises:
        ConfigError: The network contains a layer that this conversion does not support.
    """
    layers, outputs = _Conversion(network).result()
    flat = [place for places in outputs.values() for place in (places if isinstance(places, list) else [places])]
    names = list(dict.fromkeys(place.blob for place in flat))
    uses = Counter([*names, *(name for layer in layers for name in layer.inputs)])
    taken: Counter[str] = Counter()

    def take(name: str) -> str:
        """Return the blob to read: in ncnn each is read once, so one with several readers is split."""
        if uses[name] == 1:
            return name
        taken[name] += 1
        return f"{name}_{taken[name]}"

    lines, blobs = [], 0
    for number, layer in enumerate(layers):
        inputs = [take(name) for name in layer.inputs]
        params = " ".join(f"{key}={value}" for key, value in layer.params.items())
        lines.append(f"{layer.kind} {number} {len(inputs)} 1 {' '.join([*inputs, layer.output])} {params}")
        blobs += 1
        readers = uses[layer.output]
        if readers > 1:
            parts = [f"{layer.output}_{part}" for part in range(1, readers + 1)]
            lines.append(f"Split split_{number} 1 {readers} {' '.join([layer.output, *parts])}")
            blobs += readers
    graph = "\n".join([_GRAPH_MAGIC, f"{len(lines)} {blobs}", *lines]) + "\n"
    (folder / GRAPH_FILE).write_text(graph, encoding="ascii")
    with (folder / WEIGHTS_FILE).open("wb") as file:
        for kernel, bias in filter(None, (layer.weights for layer in layers)):
            file.write(_FLOAT32_TAG)
            file.write(kernel.detach().contiguous().numpy().data)
            file.write(bias.detach().contiguous().numpy().data)
    read = {name: take(name) for name in names}
    write_json(
        folder / OUTPUTS_FILE,
        {
            name: [place._replace(blob=read[place.blob]) for place in places]
            if isinstance(places, list)
            else places._replace(blob=read[places.blob])
            for name, places in outputs.items()
        },
    )


def read_outputs(folder: Path) -> dict[str, OutputBlob | list[OutputBlob]]:
    """Read the places of the outputs.

    Args:
        folder: Folder of the model.

    Returns:
        For each field of `DenseOutputs` its place, or the list of its places.
    """
    return {
        name: OutputBlob(*places) if isinstance(places[0], str) else [OutputBlob(*place) for place in places]
        for name, places in read_json(folder / OUTPUTS_FILE).items()
    }


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


class _Conversion:
    """The layers of ncnn for the nodes of a traced network.

    Args:
        network: The network.
    """

    def __init__(self, network: EfficientPS) -> None:
        self._layers: dict[str, _Layer] = {}  # by the name of the output
        self._values: dict[fx.Node, OutputBlob] = {}
        self._parts: dict[fx.Node, list[OutputBlob]] = {}
        self._outputs: dict[str, OutputBlob | list[OutputBlob]] = {}
        modules = dict(network.named_modules())
        for node in _Tracer().trace(network).nodes:
            self._convert(node, modules[str(node.target)] if node.op == "call_module" else None)

    def result(self) -> tuple[list[_Layer], dict[str, OutputBlob | list[OutputBlob]]]:
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
            self._add(node, "Input", [], channels=3)
        elif isinstance(module, nn.Conv2d):
            self._convolve(node, module)
        elif kind in _ACTIVATIONS:
            self._activate(node, module)
        elif kind in _CONVERTERS:
            _CONVERTERS[kind](self, node)
        elif kind is not getattr and node.op != "output":
            raise _unsupported(node)

    def _add(self, node: fx.Node, kind: str, inputs: Sequence[fx.Node], *, channels: int, **options: Any) -> None:
        layer = _Layer(kind, [self._blob(each) for each in inputs], str(len(self._layers)), **options)
        self._layers[layer.output] = layer
        self._values[node] = OutputBlob(layer.output, 0, channels)

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
        part = _Layer(whole.kind, whole.inputs, str(len(self._layers)), params, (kernel, bias))
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
        self._add(node, kind, node.all_input_nodes, channels=conv.out_channels, params=params, weights=weights)

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
        kind = {"nearest": _NEAREST, "bilinear": _BILINEAR}.get(options["mode"])
        if kind is None or options.get("align_corners"):
            raise _unsupported(node)
        (source,) = node.args
        assert isinstance(source, fx.Node)  # noqa: S101 - F.interpolate takes a tensor
        if options.get("size") is None:
            factor = float(options["scale_factor"])
            inputs, params = [source], {0: kind, 1: factor, 2: factor}
        else:
            like = options["size"]
            while like not in self._values:  # x.shape[-2:] → x
                like = like.args[0]
            inputs, params = [source, like], {0: kind, 5: 1}
        self._add(node, "Interp", inputs, channels=self._channels(source), params=params)


_ACTIVATIONS = {nn.ReLU, nn.LeakyReLU, F.relu, F.leaky_relu}
_CONVERTERS: dict[Any, Callable[[_Conversion, fx.Node], None]] = {
    nn.Identity: _Conversion._pass,
    operator.add: _Conversion._add_up,
    "add_": _Conversion._add_up,
    torch.cat: _Conversion._concatenate,
    F.interpolate: _Conversion._interpolate,
    "chunk": _Conversion._divide,
    "split": _Conversion._divide,
    operator.getitem: _Conversion._choose,
    DenseOutputs: _Conversion._finish,
}


def _unsupported(node: fx.Node) -> ConfigError:
    return ConfigError(
        f"The network cannot be converted to ncnn: {node.format_node()} has no counterpart. Use the back end torch."
    )
