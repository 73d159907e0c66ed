# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""What the boxes should have said: which of them belongs to which instance, by mmdet's assigner and sampler."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from opendr_panoptic_ros.training import mmcv_ops
from opendr_panoptic_ros.training.data import Truth

mmcv_ops.install()  # before mmdet, which imports mmcv's operators
from mmdet.models.task_modules.assigners import AssignResult, BboxOverlaps2D, MaxIoUAssigner  # noqa: E402
from mmdet.models.task_modules.coders import LegacyDeltaXYWHBBoxCoder  # noqa: E402
from mmdet.models.task_modules.samplers import RandomSampler  # noqa: E402
from mmengine.structures import InstanceData  # noqa: E402
from torchvision.ops import box_area  # noqa: E402

_CROWD_OVERLAP = 0.5
_POINTS = 2  # a side of each cell of a mask target


class Sampled(NamedTuple):
    """The chosen boxes of one image, positives first: P positives, N in all.

    indices: `(N,)` int64 into the candidates; with added truth, into truth and candidates one behind the other.
    boxes: `(N, 4)` float32 px, x2 and y2 the last pixel inside. instances: `(P,)` int64, the instance of each positive.
    """

    indices: Tensor
    boxes: Tensor
    instances: Tensor


class SeededSampler(RandomSampler):
    """mmdet's RandomSampler with random numbers of its own, so that they do not depend on what else a process does."""

    def __init__(self, num: int, pos_fraction: float, *, add_gt_as_proposals: bool, seed: int) -> None:
        super().__init__(num, pos_fraction, add_gt_as_proposals=add_gt_as_proposals)
        self._generator = torch.Generator().manual_seed(seed)

    def random_choice(self, gallery: Tensor, num: int) -> Tensor:
        """`num` of the indices `gallery` `(N,)`, each at most once."""
        return gallery[torch.randperm(len(gallery), generator=self._generator)[:num].to(gallery.device)]


class BoxTargets:
    """Chooses boxes and encodes their targets; one for the RPN, one for the box head.

    positive_iou, negative_iou: a candidate is positive from the one on, negative below the other, ignored between.
    keep_best: an instance whose best candidates are below positive_iou (but not below negative_iou) gets those.
    num, positive_fraction: candidates chosen in each image. add_truth: the instances' own boxes are candidates too.
    stds: the unit of the deltas.
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
            # The class, not its name: where names are looked up changes as soon as an mmengine Runner was made.
            iou_calculator={"type": BboxOverlaps2D},
        )
        self._num, self._positive_fraction, self._add_truth = num, positive_fraction, add_truth
        self._coder = LegacyDeltaXYWHBBoxCoder(target_stds=stds)

    @torch.no_grad()
    def sample(self, candidates: Tensor, truth: Truth, *, stream: int) -> Sampled:
        """The boxes to learn from. candidates: `(M, 4)` px, x2 and y2 the last pixel inside.

        Candidates that lie in a crowd region by more than half are left out. stream: tells apart the draws for one
        image.
        """
        # With x2 and y2 one further, mmdet's areas are the old convention's.
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
        """`(N, 4)` what turns `boxes` into `truth_boxes`, which are half-open: the inverse of decode_boxes.

        A box is to end at the first pixel outside, because the fusion draws masks between x1 and x2 without the + 1 of
        the old convention: on small images that is worth 3 points of PQ (docs/decisions/0002-box-targets.md).
        """
        return self._coder.encode(boxes, truth_boxes)


def half_open(boxes: Tensor) -> Tensor:
    """`(N, 4)`: x2, y2 from the last pixel inside to the first outside."""
    return boxes + boxes.new_tensor((0, 0, 1, 1))


def last_pixel(boxes: Tensor) -> Tensor:
    """`(N, 4)`: x2, y2 from the first pixel outside to the last inside."""
    return boxes - boxes.new_tensor((0, 0, 1, 1))


def mask_targets(instance_map: Tensor, instances: Tensor, boxes: Tensor, size: int) -> Tensor:
    """`(N, size, size)` float32, 1 where a cell of the box belongs by half or more to the box's instance.

    instance_map: `(H, W)`, i + 1 where instance i is. instances: `(N,)` int64. boxes: `(N, 4)` px. The cells divide x1
    to x2 and y1 to y2 equally: the places where the fusion samples the mask's logits (NETWORK.md, Fusion 1).
    """
    height, width = instance_map.shape
    steps = (torch.arange(size * _POINTS, device=boxes.device) + 0.5) / (size * _POINTS)
    x = boxes[:, 0:1] + (boxes[:, 2:3] - boxes[:, 0:1]) * steps
    y = boxes[:, 1:2] + (boxes[:, 3:4] - boxes[:, 1:2]) * steps
    column, row = x.long().clamp(0, width - 1), y.long().clamp(0, height - 1)
    inside = instance_map[row[:, :, None], column[:, None, :]] == (instances + 1)[:, None, None]
    share = inside.float().view(-1, size, _POINTS, size, _POINTS).mean(dim=(2, 4))
    return (share >= 0.5).float()


def _ignore_crowds(assigned: AssignResult, candidates: Tensor, crowd_boxes: Tensor) -> None:
    """Negatives that lie in a crowd region by more than half become neither, in place.

    mmdet's own `ignore_iof_thr` also takes positives away, and does nothing in an image without instances.
    """
    if len(crowd_boxes) == 0:
        return
    low = torch.maximum(candidates[:, None, :2], crowd_boxes[:, :2])
    high = torch.minimum(candidates[:, None, 2:], crowd_boxes[:, 2:])
    inside = (high - low).clamp(min=0).prod(dim=2).amax(dim=1)
    ignored = (inside > _CROWD_OVERLAP * box_area(candidates)) & (assigned.gt_inds == 0)
    assigned.gt_inds[ignored] = -1
