# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Evaluation: panoptic quality, mean IoU and instance AP of predictions; predictions as files."""

from opendr_panoptic_ros.evaluation.evaluator import EvaluationResult, Evaluator
from opendr_panoptic_ros.evaluation.report import print_result
from opendr_panoptic_ros.formats.panoptic_quality import PanopticQuality
from opendr_panoptic_ros.formats.submission import write_prediction, write_submission

__all__ = [
    "EvaluationResult",
    "Evaluator",
    "PanopticQuality",
    "print_result",
    "write_prediction",
    "write_submission",
]
