# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Training targets of the boxes: assignment to instances and sampling, by mmdet; and of the masks."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from typing_extensions import override

from opendr_panoptic_ros.network.boxes import from_mask_cells
from opendr_panoptic_ros.training import mmcv_ops
from opendr_panoptic_ros.training.data import Truth

mmcv_ops.install()  # before mmdet, which imports mmcv's operators
from mmdet.models.task_modules.assigners import AssignResult, BboxOverlaps2D, MaxIoUAssigner  # noqa: E402
from mmdet.models.task_modules.coders import LegacyDeltaXYWHBBoxCoder  # noqa: E402
from mmdet.models.task_modules.samplers import RandomSampler  # noqa: E402
from mmengine.structures import InstanceData  # noqa: E402
from torchvision.ops import box_area  # noqa: E402

_CROWD_OVERLAP = 0.5
_POINTS = 2  # sampled points along each side of a cell of a mask target


class Sampled(NamedTuple):
    """The sampled boxes of one image: N boxes, the first P of which are positive.

    Attributes:
        indices: `(N,)` int64 into the candidates; where ground truth is added, into the concatenation of ground truth
            and candidates.
        boxes: `(N, 4)` float32, x1, y1, x2, y2 in px; x2 and y2 are the last pixel inside.
        instances: `(P,)` int64, the instance of each positive.
    """

    indices: Tensor
    boxes: Tensor
    instances: Tensor


class SeededSampler(RandomSampler):
    """mmdet's RandomSampler with its own random numbers, independent of others drawn in the process.

    Args:
        num: Boxes to sample.
        pos_fraction: Largest share of positives, 0-1.
        add_gt_as_proposals: Whether the boxes of the ground truth are candidates too.
        seed: Seed of the random numbers.
    """

    def __init__(self, num: int, pos_fraction: float, *, add_gt_as_proposals: bool, seed: int) -> None:
        super().__init__(num, pos_fraction, add_gt_as_proposals=add_gt_as_proposals)
        self._generator = torch.Generator().manual_seed(seed)

    @override
    def random_choice(self, gallery: Tensor, num: int) -> Tensor:
        """Return `num` of the indices `gallery` `(N,)`, each at most once."""
        return gallery[torch.randperm(len(gallery), generator=self._generator)[:num].to(gallery.device)]


class BoxTargets:
    """Samples boxes and encodes their targets; there is one for the RPN and one for the box head.

    Args:
        positive_iou: A candidate with at least this IoU with an instance is positive.
        negative_iou: A candidate below this IoU with every instance is negative; between the two it is ignored.
        keep_best: Whether an instance without a positive candidate gets its best ones above `negative_iou`.
        num: Candidates sampled in each image.
        positive_fraction: Largest share of positives among them, 0-1.
        add_truth: Whether the boxes of the instances are candidates too.
        stds: Standard deviations by which the four deltas are divided.
    """

    def __init__(
        self,
        *,
        positive_iou: float,
        negative_iou: float,
        keep_best: bool,
        num: int,
        positive_fraction: float,
        add_truth: bool,
        stds: tuple[float, float, float, float],
    ) -> None:
        self._assigner = MaxIoUAssigner(
            positive_iou,
            negative_iou,
            min_pos_iou=negative_iou,
            match_low_quality=keep_best,
            # The class, not its name: mmengine looks names up in another registry once a Runner exists.
            iou_calculator={"type": BboxOverlaps2D},
        )
        self._num, self._positive_fraction, self._add_truth = num, positive_fraction, add_truth
        self._coder = LegacyDeltaXYWHBBoxCoder(target_stds=stds)

    @torch.no_grad()
    def sample(self, candidates: Tensor, truth: Truth, *, stream: int) -> Sampled:
        """Sample the boxes to learn from. Candidates that lie in a crowd region by more than half are left out.

        Args:
            candidates: `(M, 4)` float32, x1, y1, x2, y2 in px; x2 and y2 are the last pixel inside.
            truth: Ground truth of the image.
            stream: Number that separates the random choices of several samplers for one image.

        Returns:
            The sampled boxes.
        """
        # Half-open boxes give mmdet the areas of the old convention, in which a width is x2 - x1 + 1.
        candidates = half_open(candidates)
        instances = InstanceData(bboxes=truth.boxes, labels=truth.labels)
        assigned = self._assigner.assign(InstanceData(priors=candidates), instances)
        _ignore_crowds(assigned, candidates, truth.crowd_boxes)
        sampler = SeededSampler(
            self._num, self._positive_fraction, add_gt_as_proposals=self._add_truth, seed=truth.seed ^ stream
        )
        result = sampler.sample(assigned, InstanceData(priors=candidates), instances)
        return Sampled(
            indices=torch.cat((result.pos_inds, result.neg_inds)),
            boxes=last_pixel(torch.cat((result.pos_priors, result.neg_priors))),
            instances=result.pos_assigned_gt_inds,
        )

    def deltas(self, boxes: Tensor, truth_boxes: Tensor) -> Tensor:
        """Encode the deltas from boxes to ground truth, the inverse of `decode_boxes`.

        Deviation from the original: the network learns boxes that end at the first pixel outside, because the fusion
        draws masks between x1 and x2 without the + 1 of the old convention. On small images this gains 3 points of PQ
        (docs/decisions/0002-box-targets.md).

        Args:
            boxes: `(N, 4)` float32 px, x2 and y2 the last pixel inside.
            truth_boxes: `(N, 4)` float32 px, half-open.

        Returns:
            `(N, 4)` float32.
        """
        return self._coder.encode(boxes, truth_boxes)


def half_open(boxes: Tensor) -> Tensor:
    """Move x2 and y2 from the last pixel inside to the first pixel outside.

    Args:
        boxes: `(N, 4)` px.

    Returns:
        `(N, 4)` px.
    """
    return boxes + boxes.new_tensor((0, 0, 1, 1))


def last_pixel(boxes: Tensor) -> Tensor:
    """Move x2 and y2 from the first pixel outside to the last pixel inside.

    Args:
        boxes: `(N, 4)` px.

    Returns:
        `(N, 4)` px.
    """
    return boxes - boxes.new_tensor((0, 0, 1, 1))


def mask_targets(instance_map: Tensor, instances: Tensor, boxes: Tensor, size: int) -> Tensor:
    """Make the targets of the mask head.

    The cells lie where the fusion samples the mask's logits: both use the functions of `network.boxes`.

    Args:
        instance_map: `(H, W)` integers, i + 1 in the pixels of instance i.
        instances: `(N,)` int64, the instance of each box.
        boxes: `(N, 4)` float32 px.
        size: Cells along each side of a mask.

    Returns:
        `(N, size, size)` float32, 1 where at least half of a cell belongs to the box's instance, else 0.
    """
    height, width = instance_map.shape
    points = (torch.arange(size * _POINTS, device=boxes.device) + 0.5) / _POINTS
    x = from_mask_cells(points, boxes[:, 0:1], boxes[:, 2:3], size)
    y = from_mask_cells(points, boxes[:, 1:2], boxes[:, 3:4], size)
    column, row = x.long().clamp(0, width - 1), y.long().clamp(0, height - 1)
    inside = instance_map[row[:, :, None], column[:, None, :]] == (instances + 1)[:, None, None]
    share = inside.float().view(-1, size, _POINTS, size, _POINTS).mean(dim=(2, 4))
    return (share >= 0.5).float()


def _ignore_crowds(assigned: AssignResult, candidates: Tensor, crowd_boxes: Tensor) -> None:
    """Ignore negatives that lie in a crowd region by more than half, in place.

    mmdet's own `ignore_iof_thr` also removes positives, and has no effect in an image without instances.
    """
    if len(crowd_boxes) == 0:
        return
    low = torch.maximum(candidates[:, None, :2], crowd_boxes[:, :2])
    high = torch.minimum(candidates[:, None, 2:], crowd_boxes[:, 2:])
    inside = (high - low).clamp(min=0).prod(dim=2).amax(dim=1)
    ignored = (inside > _CROWD_OVERLAP * box_area(candidates)) & (assigned.gt_inds == 0)
    assigned.gt_inds[ignored] = -1
