# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Other networks for panoptic and instance segmentation beside this package, on one machine in one run.

    pip install -r benchmarks/requirements-peers.txt      # into an environment of its own
    python benchmarks/peers.py --sizes 512x1024

Every network has random weights, because time does not depend on them, and gets one image; nothing is downloaded. The
time is that of the whole call from a normalised tensor to the library's result in PyTorch, each in a process of its
own. Transformers' networks are measured without their post-processing, which is another function of that library. EoMT
works at 640×640 px only, which are fewer pixels than 512×1024. Rows of this package begin with an image of uint8 and
end with a panoptic map; `seed19` has 48 detections at 512×1024 px.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import harness
from harness import Row

EOMT_SIDE = 640
OURS = "this package"


def _mask_rcnn(size: tuple[int, int]) -> Callable[[], Any]:
    import torch
    from torchvision.models.detection import maskrcnn_resnet50_fpn

    network = maskrcnn_resnet50_fpn(
        weights=None, weights_backbone=None, num_classes=9, min_size=min(size), max_size=max(size)
    ).eval()
    images = [torch.rand(3, *size)]
    return lambda: network(images)


def _mask2former(size: tuple[int, int]) -> Callable[[], Any]:
    import torch
    from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation, SwinConfig

    backbone = SwinConfig(
        embed_dim=96,
        depths=[2, 2, 6, 2],
        num_heads=[3, 6, 12, 24],
        window_size=7,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    config = Mask2FormerConfig(backbone_config=backbone, num_queries=100, num_labels=19)
    network = Mask2FormerForUniversalSegmentation(config).eval()
    x = torch.rand(1, 3, *size)
    return lambda: network(pixel_values=x)


def _eomt(hidden: int, layers: int, heads: int) -> Callable[[tuple[int, int]], Callable[[], Any]]:
    def make(size: tuple[int, int]) -> Callable[[], Any]:
        del size
        import torch
        from transformers import EomtConfig, EomtForUniversalSegmentation

        config = EomtConfig(
            hidden_size=hidden,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            image_size=EOMT_SIDE,
            patch_size=16,
            num_queries=100,
            num_labels=19,
            num_blocks=min(4, layers),
        )
        network = EomtForUniversalSegmentation(config).eval()
        x = torch.rand(1, 3, EOMT_SIDE, EOMT_SIDE)
        return lambda: network(pixel_values=x)

    return make


def _panoptic_fpn(size: tuple[int, int]) -> Callable[[], Any]:
    from importlib.util import find_spec
    from pathlib import Path

    from opendr_panoptic_ros.training import mmcv_ops

    mmcv_ops.install()
    import torch
    from mmdet.registry import MODELS
    from mmdet.structures import DetDataSample
    from mmdet.utils import register_all_modules
    from mmengine.config import Config

    register_all_modules()
    package = find_spec("mmdet")
    assert package is not None
    assert package.origin is not None
    folder = Path(package.origin).parent / ".mim" / "configs" / "panoptic_fpn"
    config = Config.fromfile(folder / "panoptic-fpn_r50_fpn_1x_coco.py").model
    config.backbone.init_cfg = None
    network = MODELS.build(config).eval()
    sample = DetDataSample(
        metainfo={
            "img_shape": size,
            "ori_shape": size,
            "pad_shape": size,
            "batch_input_shape": size,
            "scale_factor": (1, 1),
        }
    )
    x = torch.rand(1, 3, *size)
    return lambda: network.predict(x, [sample])


PEERS: dict[str, tuple[str, Callable[[tuple[int, int]], Callable[[], Any]]]] = {
    "Mask R-CNN R50 (instances only)": ("torchvision", _mask_rcnn),
    "Panoptic FPN R50": ("mmdet", _panoptic_fpn),
    "Mask2Former Swin-T, without post-processing": ("transformers", _mask2former),
    "EoMT-S, 640x640": ("transformers", _eomt(384, 12, 6)),
    "EoMT-B, 640x640": ("transformers", _eomt(768, 12, 12)),
    "EoMT-L, 640x640": ("transformers", _eomt(1024, 24, 16)),
}
"""The library of each network, and a function that returns its call for a height and width in px."""


def measure(*, peer: str, size: str, device: str, repeat: int, limit_s: float) -> Row:
    """Measure one network. Runs in a process of its own.

    Args:
        peer: A key of `PEERS`.
        size: Height x width of the image in px.
        device: "cpu" or "cuda".
        repeat: Largest number of measured calls.
        limit_s: Time for all calls.
    """
    import torch

    torch.manual_seed(0)
    height, width = map(int, size.split("x"))
    with torch.device(device), torch.inference_mode():
        call = PEERS[peer][1]((height, width))
        peaks = harness.Peaks(device)
        peaks.sample()
        call()
        harness.reset_peak_rss()
        spent = harness.measure(call, warm_up=0, repeat=repeat, limit_s=limit_s)
        row = {**spent, "peak_rss_mb": harness.peak_rss_mb(), "gpu_mb": harness.gpu_peak_mb()}
        peaks.sample()
    return {**row, "peaks": peaks.result()}


def run(options: argparse.Namespace) -> list[Row]:
    """Measure everything that the command line names.

    Args:
        options: The command line.
    """
    import network

    ours = network.parser().parse_args(
        ["--checkpoints", "seed19", "--no-stages", "--sizes", *options.sizes, "--device", options.device]
        + ["--repeat", str(options.repeat), "--limit-s", str(options.limit_s)]
        + ["--threads", *map(str, options.threads)]
        + (["--backends", *options.backends] if options.backends else [])
        + (["--precisions", *options.precisions] if options.precisions else [])
    )
    rows = [] if options.skip == "ours" else [{"network": OURS, **row} for row in network.run(ours)]
    for size in options.sizes if options.skip != "peers" else []:
        for peer, (library, _) in PEERS.items():
            for threads in options.threads:
                harness.progress(f"{peer} {size}, {threads} thread(s)")
                task = {"peer": peer, "size": size, "device": options.device}
                task |= {"repeat": options.repeat, "limit_s": options.limit_s}
                found = harness.run_child(__file__, task, threads=threads)
                rows.append({"network": peer, "library": library, "size": size, "threads": threads, **found})
    return rows


COLUMNS: dict[str, Callable[[Row], Any]] = {
    "network": lambda row: row["network"],
    "library": lambda row: row.get("library") or f"{row['backend']}, {row['precision']}",
    "size": lambda row: row["size"],
    "threads": lambda row: row["threads"],
    "CPU s": lambda row: row["cpu_s"]["median"],
    "p5–p95": lambda row: f"{row['cpu_s']['p5']:.3g}–{row['cpu_s']['p95']:.3g}",
    "wall s": lambda row: row["wall_s"]["median"],
    "RSS MB": lambda row: row["peak_rss_mb"],
    "GPU MB": lambda row: row["gpu_mb"],
    "GFLOP per CPU s": lambda row: row["peaks"]["conv_gflops_per_cpu_s"],
}


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    options = harness.arguments(__doc__ or "")
    options.add_argument("--sizes", nargs="+", default=["512x1024"], help="height x width in px")
    options.add_argument("--backends", nargs="+", default=[], help="back ends of this package; default: all")
    options.add_argument("--precisions", nargs="+", default=[], help="precisions of this package; default: all")
    options.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    options.add_argument("--skip", choices=("ours", "peers"), help="leave out this package, or the others")
    options.add_argument("--threads", nargs="+", type=int, default=[1], help="numbers of threads")
    options.add_argument("--repeat", type=int, default=3, help="largest number of measured calls")
    options.add_argument("--limit-s", type=float, default=40.0, help="time for the calls of one row in seconds")
    return options


def main() -> None:
    """Run the benchmark from the command line."""
    options = parser().parse_args()
    if options.task:
        harness.child_main(measure, options.task)
        return
    harness.report("peers", "Peers: one image, random weights", run(options), COLUMNS, options)


if __name__ == "__main__":
    main()
