# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Compares operators and the fusion with golden_ops.npz: small inputs and outputs of the published program."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from opendr_panoptic_ros.config import TestConfig
from opendr_panoptic_ros.network.boxes import decode_boxes, multiclass_nms, nms
from opendr_panoptic_ros.network.fusion import PanopticFusion, sample_mask_logits
from opendr_panoptic_ros.network.layers import Norm, SameConv2d
from opendr_panoptic_ros.network.roi_align import align_rois
from opendr_panoptic_ros.network.roi_heads import BOX_STDS, Detections, roi_levels
from opendr_panoptic_ros.network.rpn import base_anchors, grid_anchors
from opendr_panoptic_ros.network.windows import Window

pytestmark = pytest.mark.golden

OPS = np.load(Path(__file__).parents[1] / "data" / "golden_ops.npz")
LIMIT = 1e-5
NUM_STUFF = 11


def tensor(name: str) -> torch.Tensor:
    return torch.from_numpy(OPS[name])


def assert_close(got: torch.Tensor, name: str, limit: float = LIMIT) -> None:
    np.testing.assert_allclose(got.detach().numpy(), OPS[name], rtol=0, atol=limit)


@pytest.mark.parametrize("eps", [1e-3, 1e-5])
@pytest.mark.parametrize("activation", ["leaky_relu", "identity"])
def test_norm(eps: float, activation: str) -> None:
    norm = Norm(6, eps=eps, activation=activation == "leaky_relu").eval()
    norm.load_state_dict(
        {
            "weight": tensor("norm_weight"),
            "bias": tensor("norm_bias"),
            "running_mean": tensor("norm_mean"),
            "running_var": tensor("norm_var"),
            "num_batches_tracked": torch.tensor(0),
        }
    )
    assert_close(norm(tensor("norm_x")), f"norm_y_eps{eps:g}_{activation}")


@pytest.mark.parametrize("case", [name[:-2] for name in OPS.files if name.startswith("conv_") and name.endswith("_x")])
def test_same_convolution(case: str) -> None:
    _, kernel, stride, _ = case.split("_")
    conv = SameConv2d(3, 3, int(kernel[1:]), int(stride[1:]), groups=3, bias=False)
    conv.weight.data = tensor(f"{case}_w")
    assert_close(conv(tensor(f"{case}_x")), f"{case}_y")


@pytest.mark.parametrize("stride", [4, 8, 16, 32])
def test_anchors(stride: int) -> None:
    assert_close(base_anchors(stride, 8.0), f"base_anchors_stride{stride}", 0)
    assert_close(grid_anchors((2, 3), stride, 8.0, torch.device("cpu")), f"grid_anchors_stride{stride}_2x3", 0)


def test_decode_boxes() -> None:
    height, width = OPS["decode_shape"].tolist()
    rois = tensor("decode_rois")
    assert_close(decode_boxes(rois, tensor("decode_deltas_rpn"), (1, 1, 1, 1), (height, width)), "decode_rpn", 1e-4)
    per_class = decode_boxes(
        rois.repeat_interleave(9, dim=0), tensor("decode_deltas_rcnn").reshape(-1, 4), BOX_STDS, (height, width)
    )
    assert_close(per_class.reshape(-1, 36), "decode_rcnn", 1e-4)


def test_roi_levels() -> None:
    np.testing.assert_array_equal(roi_levels(tensor("level_rois")), OPS["level_index"])


@pytest.mark.parametrize("size", [7, 14])
def test_align_rois(size: int) -> None:
    """Also boxes narrower than a cell, inverted ones, and ones outside the map."""
    assert_close(
        align_rois(tensor("align_feat"), tensor("align_rois"), float(OPS["align_scale"]), size), f"align_out{size}"
    )


@pytest.mark.parametrize("case", ["nms", "nms2"])
def test_nms(case: str) -> None:
    detections = tensor(f"{case}_dets")
    np.testing.assert_array_equal(nms(detections[:, :4], detections[:, 4], 0.5), OPS[f"{case}_keep"])


@pytest.mark.parametrize("case", ["a", "b", "c"])
def test_multiclass_nms(case: str) -> None:
    boxes, scores, labels = multiclass_nms(
        tensor("mcnms_boxes"),
        tensor("mcnms_scores"),
        score_threshold=float(OPS[f"mcnms_{case}_thr"]),
        iou_threshold=0.5,
        max_detections=int(OPS[f"mcnms_{case}_max"]),
    )
    assert_close(torch.cat((boxes, scores[:, None]), dim=1), f"mcnms_{case}_dets")
    np.testing.assert_array_equal(labels, OPS[f"mcnms_{case}_labels"])


def test_mask_sampling() -> None:
    height, width = OPS["paste_size"].tolist()
    for mask, box, expected in zip(tensor("paste_masks"), OPS["paste_boxes"].tolist(), OPS["paste_out"], strict=True):
        got = sample_mask_logits(mask, box, Window(0, height, 0, width))
        np.testing.assert_allclose(got, expected, rtol=0, atol=5e-4)


def fuse(case: str) -> tuple[np.ndarray, list[int]]:
    """Fuse one recorded case and return the map and the category of each id, with 255 for id 0."""
    detections = tensor(f"fusion_{case}_dets").reshape(-1, 5)
    fused = PanopticFusion(NUM_STUFF)(
        tensor(f"fusion_{case}_semantic"),
        Detections(
            detections[:, :4], detections[:, 4], tensor(f"fusion_{case}_labels"), tensor(f"fusion_{case}_mask_logits")
        ),
        TestConfig(min_stuff_area=int(OPS[f"fusion_{case}_min_stuff_area"]), contain_instances=False),
    )
    return fused.segment_map.numpy(), [255, *fused.class_ids]


@pytest.mark.parametrize("case", ["typical", "nodet", "empty_and_overlap", "stuff_only"])
def test_fusion(case: str) -> None:
    panoptic, categories = fuse(case)
    np.testing.assert_array_equal(panoptic, OPS[f"fusion_{case}_panoptic"])
    assert categories == OPS[f"fusion_{case}_categories"].tolist()


@pytest.mark.parametrize("case", ["negative_stuff", "no_stuff_pixel", "two_no_stuff_pixel"])
def test_fusion_where_stuff_wins_nothing(case: str) -> None:
    """The published program gives the first instance id 0 there; ours gives it an id of its own (NETWORK.md)."""
    panoptic, categories = fuse(case)
    np.testing.assert_array_equal(panoptic, OPS[f"fusion_{case}_panoptic"] + 1)
    assert categories == [255, *OPS[f"fusion_{case}_categories"].tolist()]


def test_fusion_drops_only_the_box_without_width() -> None:
    """The published program loses every instance to one division by zero (NETWORK.md); ours loses that box."""
    panoptic, categories = fuse("zero_width")
    boxes = OPS["fusion_zero_width_dets"]
    (sound,) = np.flatnonzero(boxes[:, 2] > boxes[:, 0])
    thing_classes = [c for c in categories[1:] if c >= NUM_STUFF]
    assert thing_classes == [NUM_STUFF + OPS["fusion_zero_width_labels"][sound]]
    x1, y1, x2, y2 = boxes[sound, :4].astype(int)
    assert (panoptic[y1:y2, x1:x2] == 1).any()
