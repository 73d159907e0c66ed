# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The public interface: import paths, signatures and fields that every version keeps."""

from __future__ import annotations

import dataclasses
import importlib
import inspect

import pytest

NAMES = {
    "checkpoint": ["load_checkpoint", "save_checkpoint"],
    "config": ["Config"],
    "data": ["Heatmap", "Image"],
    "datasets": ["CityscapesDataset", "KittiDataset"],
    "datasets.synthetic": ["SyntheticScenes"],
    "inference": ["PanopticSegmenter"],
    "learner": ["EfficientPsLearner"],
    "network": ["EfficientPS"],
}


def member(path: str):
    module, _, name = path.rpartition(":")
    found = importlib.import_module(f"opendr_panoptic_ros.{module}")
    for part in name.split("."):
        found = getattr(found, part)
    return found


@pytest.mark.parametrize("module", NAMES)
def test_import_paths(module: str) -> None:
    found = importlib.import_module(f"opendr_panoptic_ros.{module}")
    assert [name for name in NAMES[module] if not hasattr(found, name)] == []


PARAMETERS = {
    "checkpoint:load_checkpoint": "path_or_name * config device trust",
    "checkpoint:save_checkpoint": "network path *",
    "config:Config.load": "path_or_name *",
    "datasets:CityscapesDataset.prepare_data": "input_path output_path generate_train_evaluation num_workers *",
    "datasets:CityscapesDataset.evaluate": "prediction_path prediction_json_folder *",
    "datasets:KittiDataset.prepare_data": "input_path output_path generate_train_evaluation num_workers *",
    "datasets:KittiDataset.evaluate": "prediction_path prediction_json_folder *",
    "datasets.synthetic:SyntheticScenes": "seeds * height width",
    "inference:PanopticSegmenter": "checkpoint * config device precision backend inference_size score_threshold "
    "overlap_threshold min_stuff_area contain_instances",
    "network:EfficientPS": "model *",
    "network:EfficientPS.fold_norms": "self *",
    "network:EfficientPS.predict": "self x * score_threshold overlap_threshold min_stuff_area contain_instances",
    "learner:EfficientPsLearner.fit": "dataset val_dataset logging_path silent *",
    "learner:EfficientPsLearner.eval": "dataset print_results *",
    "learner:EfficientPsLearner.infer": "batch return_raw_logits *",
    "learner:EfficientPsLearner.save": "path *",
    "learner:EfficientPsLearner.load": "path *",
    "learner:EfficientPsLearner.optimize": "target_device *",
    "learner:EfficientPsLearner.reset": "*",
    "learner:EfficientPsLearner.download": "path mode trained_on *",
    "learner:EfficientPsLearner.visualize": "image prediction show_figure save_figure figure_filename figure_size "
    "detailed *",
}
"""Names before `*` may be given by position, in this order; those behind it by keyword. There may be more of them."""


@pytest.mark.parametrize("path", PARAMETERS)
def test_parameters(path: str) -> None:
    positional, _, keywords = PARAMETERS[path].partition("*")
    found = inspect.signature(member(path)).parameters
    by_position = [n for n, p in found.items() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    wanted = positional.split()
    assert [name for name in by_position if name != "self"][: len(wanted)] == [n for n in wanted if n != "self"]
    assert set(keywords.split()) <= set(found)


def test_learner_arguments() -> None:
    names = (
        "config_file lr iters batch_size optimizer lr_schedule momentum weight_decay optimizer_config "
        "checkpoint_after_iter temp_path device num_workers seed"
    )
    assert set(names.split()) <= set(inspect.signature(member("learner:EfficientPsLearner")).parameters)


def test_fields_of_a_prediction() -> None:
    from opendr_panoptic_ros.prediction import PanopticPrediction, Segment

    segment = ["id", "class_id", "label", "is_thing", "score", "area_px", "box_xyxy_px"]
    assert [field.name for field in dataclasses.fields(Segment)][: len(segment)] == segment
    prediction = {"segment_map", "segments", "semantic_map", "instance_map", "panoptic_ids"}
    assert prediction <= {*dir(PanopticPrediction), *(field.name for field in dataclasses.fields(PanopticPrediction))}


def test_parts_of_the_network() -> None:
    from support.tiny_network import tiny_network

    network = tiny_network()
    for name in ("backbone", "neck", "semantic_head", "rpn", "roi_heads", "fusion"):
        assert hasattr(network, name), name
