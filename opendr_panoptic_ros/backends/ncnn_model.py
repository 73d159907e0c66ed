# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The files of a model of ncnn: the layers in parts, of which those with the largest maps can run by stripes of rows.

A whole image of 1024×2048 px needs 2 GB for maps at stride 4 and more memory traffic than arithmetic. The parts are:
every block of the backbone at stride 4 and finer; everything at coarser strides; the finest level of the neck; what is
computed from it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from opendr_panoptic_ros.backends.ncnn_graph import BILINEAR, Conversion, Layer, OutputBlob
from opendr_panoptic_ros.files import read_json, write_json
from opendr_panoptic_ros.network import EfficientPS

_DESCRIPTION = "model.json"
_GRAPH_MAGIC = "7767517"
_FLOAT32_TAG = bytes(4)  # before the kernel of a convolution: not compressed
_FINE_STRIDE = 4  # maps of this stride and of finer ones are computed by stripes


class Port(NamedTuple):
    """An input or output of a part.

    Attributes:
        blob: Name of the blob in the whole model.
        stride: Stride of the blob in px.
        name: Name of the blob in the part.
    """

    blob: str
    stride: int
    name: str


@dataclass(frozen=True)
class Part:
    """A part of a model: a graph of its own, with weights of its own.

    Attributes:
        graph: Name of the file of the graph.
        weights: Name of the file of the weights.
        inputs: The inputs.
        outputs: The outputs.
        halo_px: Rows of the image above and below a stripe from which its results are computed too; a multiple of
            every stride. None for a part that needs all rows at once.
    """

    graph: str
    weights: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    halo_px: int | None


class Model(NamedTuple):
    """What `write_model` wrote.

    Attributes:
        parts: The parts, in the order in which they are run.
        outputs: For each field of `DenseOutputs` its place, or the list of its places.
    """

    parts: list[Part]
    outputs: dict[str, OutputBlob | list[OutputBlob]]


def write_model(network: EfficientPS, folder: Path) -> None:
    """Write the model: the graph and the weights of each part, and a description.

    Args:
        network: The network with folded norms, float32 on the CPU, in eval mode.
        folder: Folder for the files.

    Raises:
        ConfigError: The network contains a layer that the conversion does not support.
    """
    layers, outputs = Conversion(network).result()
    places = [place for each in outputs.values() for place in (each if isinstance(each, list) else [each])]
    results = {place.blob for place in places}
    by_output = {layer.output: layer for layer in layers}
    parts = []
    for number, (group, is_fine) in enumerate(_groups(layers, results)):
        inside = {layer.output for layer in group}
        outside = [layer for layer in layers if layer.output not in inside]
        inputs = list(dict.fromkeys(name for layer in group for name in layer.inputs if name not in inside))
        needed = results.union(*(layer.inputs for layer in outside))
        outgoing = [layer.output for layer in group if layer.output in needed]
        graph, weights = f"part{number}.param", f"part{number}.bin"
        names = _write_part(group, inputs, outgoing, folder / graph, folder / weights)
        strides = {name: by_output[name].stride for name in (*inputs, *outgoing)}
        parts.append(
            Part(
                graph,
                weights,
                tuple(Port(name, strides[name], name) for name in inputs),
                tuple(Port(name, strides[name], names[name]) for name in outgoing),
                _halo_px(group, outgoing, strides) if is_fine else None,
            )
        )
    write_json(folder / _DESCRIPTION, {"parts": [vars(part) for part in parts], "outputs": outputs})


def read_model(folder: Path) -> Model:
    """Read the description of a model.

    Args:
        folder: Folder of the model.

    Returns:
        The parts and the places of the outputs.
    """
    values: Any = read_json(folder / _DESCRIPTION)
    parts = [
        Part(**{**part, **{side: tuple(Port(*port) for port in part[side]) for side in ("inputs", "outputs")}})
        for part in values["parts"]
    ]
    outputs = {
        name: OutputBlob(*places) if isinstance(places[0], str) else [OutputBlob(*place) for place in places]
        for name, places in values["outputs"].items()
    }
    return Model(parts, outputs)


def _groups(layers: Sequence[Layer], results: set[str]) -> list[tuple[list[Layer], bool]]:
    """Divide the layers into parts; the second value tells whether a part can run by stripes."""
    consumers: dict[str, list[Layer]] = {layer.output: [] for layer in layers}
    for layer in layers:
        for name in layer.inputs:
            consumers[name].append(layer)
    feeds_coarse: dict[str, bool] = {}
    for layer in reversed(layers):
        feeds_coarse[layer.output] = any(
            each.stride > _FINE_STRIDE or feeds_coarse[each.output] for each in consumers[layer.output]
        )
    computed = [layer for layer in layers if layer.kind != "Input"]
    early = [layer for layer in computed if layer.stride <= _FINE_STRIDE and feeds_coarse[layer.output]]
    # A wide map goes on to the narrow one that is made of it: fewer bytes between the parts.
    last = early[-1]
    while len(users := consumers[last.output]) == 1 and users[0].inputs == [last.output]:
        early.append(users[0])
        last = users[0]
        if last.channels < early[-2].channels:
            break
    taken = {layer.output for layer in early}
    # Logits are small: their enlargement needs no stripes, whose rows would have to begin at rows of the coarsest map.
    late = [
        layer
        for layer in computed
        if layer.stride <= _FINE_STRIDE
        and layer.output not in taken
        and not (layer.kind == "Interp" and layer.params[0] == BILINEAR)
    ]
    taken.update(layer.output for layer in late)
    middle = [layer for layer in computed if layer.output not in taken]
    fine = [
        [(group, True) for group in _cut(part, is_end)]
        for part, is_end in (
            (early, lambda before, after: after.kind == "Convolution" and after.channels > before.channels),
            (late, lambda before, _: before.output in results),
        )
    ]
    return [*fine[0], (middle, False), *fine[1]]


def _cut(layers: Sequence[Layer], is_end: Callable[[Layer, Layer], bool]) -> list[list[Layer]]:
    """Cut a sequence of layers between two layers where the second and all later ones need only the first's output.

    Args:
        layers: The layers in their order.
        is_end: Whether to cut between two neighbours where it is possible.
    """
    last_use = {name: number for number, layer in enumerate(layers) for name in layer.inputs}
    groups: list[list[Layer]] = [[]]
    alive = -1  # the last layer that needs an output of the group other than the newest one
    for number, layer in enumerate(layers):
        if groups[-1] and alive < number and is_end(groups[-1][-1], layer):
            groups.append([])
        elif groups[-1]:
            alive = max(alive, last_use.get(groups[-1][-1].output, -1))
        groups[-1].append(layer)
    return groups


def _halo_px(group: Sequence[Layer], outgoing: Iterable[str], strides: dict[str, int]) -> int:
    """Return how many rows of the image above and below a stripe the layers of a part reach, rounded up."""
    reach = dict.fromkeys(outgoing, 0)  # of each blob, the rows of its own that are needed beside the stripe
    stride = {**strides, **{layer.output: layer.stride for layer in group}}
    for layer in reversed(group):
        rows = reach.get(layer.output, 0)
        for name in layer.inputs:
            needed = rows
            if "Convolution" in layer.kind:
                needed = rows * layer.params[13] + layer.params[12] * (layer.params[11] // 2)
            elif layer.kind == "Interp":
                needed = -(-rows * layer.stride // stride[name]) + (layer.params[0] == BILINEAR)
            reach[name] = max(reach.get(name, 0), needed)
    step = max(strides.values())
    return max(-(-rows * stride[name] // step) * step for name, rows in reach.items())


def _write_part(
    group: Sequence[Layer], inputs: Sequence[str], outgoing: Sequence[str], graph: Path, weights: Path
) -> dict[str, str]:
    """Write graph and weights of a part.

    Returns:
        The names of the outputs in the graph.
    """
    uses = Counter([*outgoing, *(name for layer in group for name in layer.inputs)])
    taken: Counter[str] = Counter()

    def take(name: str) -> str:
        """Return the blob to read: in ncnn each is read once, so one with several readers is split."""
        if uses[name] == 1:
            return name
        taken[name] += 1
        return f"{name}_{taken[name]}"

    lines, blobs = [], 0
    for layer in [*(Layer("Input", [], name, 0, 0) for name in inputs), *group]:
        params = " ".join(f"{key}={value}" for key, value in layer.params.items())
        reads = [take(name) for name in layer.inputs]
        lines.append(f"{layer.kind} {layer.output} {len(reads)} 1 {' '.join([*reads, layer.output])} {params}")
        blobs += 1
        readers = uses[layer.output]
        if readers > 1:
            copies = [f"{layer.output}_{copy}" for copy in range(1, readers + 1)]
            lines.append(f"Split split_{layer.output} 1 {readers} {' '.join([layer.output, *copies])}")
            blobs += readers
    text = "\n".join([_GRAPH_MAGIC, f"{len(lines)} {blobs}", *lines]) + "\n"
    graph.write_text(text, encoding="ascii")
    with weights.open("wb") as file:
        for kernel, bias in filter(None, (layer.weights for layer in group)):
            file.write(_FLOAT32_TAG)
            file.write(kernel.detach().contiguous().numpy().data)
            file.write(bias.detach().contiguous().numpy().data)
    return {name: take(name) for name in outgoing}
