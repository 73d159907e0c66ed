# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The ready files for nav2 and Hydra: they fit the classes, and have the entries that the consumers read."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from support.paths import ROOT

from opendr_panoptic_ros.labels import CITYSCAPES

# What SemanticSegmentationLayer declares for each class type, with the types of its defaults.
NAV2_CLASS_TYPE = {
    "classes": list,
    "base_cost": int,
    "max_cost": int,
    "mark_confidence": int,
    "samples_to_max_cost": int,
    "dominant_priority": bool,
}
NAV2_SOURCE = {
    "segmentation_topic": str,
    "confidence_topic": str,
    "labels_topic": str,
    "pointcloud_topic": str,
    "max_obstacle_distance": float,
    "min_obstacle_distance": float,
    "tile_map_decay_time": float,
    "use_cost_selection": bool,
    "class_types": list,
}


def read(name: str) -> Any:
    return yaml.safe_load((ROOT / "config" / name).read_text(encoding="utf-8"))


def types(values: dict[str, Any]) -> dict[str, type]:
    return {name: type(value) for name, value in values.items() if not isinstance(value, dict)}


def test_nav2_layer_lists_every_class_once() -> None:
    parameters = read("nav2_semantic_layer.yaml")["local_costmap"]["local_costmap"]["ros__parameters"]
    layer = parameters["semantic_layer"]
    assert "semantic_layer" in parameters["plugins"]
    (source,) = layer["observation_sources"].split()
    camera = layer[source]
    assert types(camera) == NAV2_SOURCE
    listed = []
    for class_type in camera["class_types"]:
        assert types(camera[class_type]) == NAV2_CLASS_TYPE
        assert 0 <= camera[class_type]["base_cost"] <= camera[class_type]["max_cost"] <= 254
        assert 0 <= camera[class_type]["mark_confidence"] <= 255
        listed += camera[class_type]["classes"]
    assert sorted(listed) == sorted(CITYSCAPES.names)


def test_hydra_label_space() -> None:
    space, remap = read("hydra_label_space.yaml"), read("hydra_label_remap.yaml")
    assert space["total_semantic_labels"] == len(CITYSCAPES)
    names = {entry["label"]: entry["name"].replace("_", " ") for entry in space["label_names"]}
    assert names == dict(enumerate(CITYSCAPES.names))
    assert space["dynamic_labels"] == [i for i in CITYSCAPES.ids if CITYSCAPES.is_thing(i)]
    assert [names[i] for i in space["invalid_labels"]] == ["sky"]
    assert [names[i] for i in space["surface_places_labels"]] == ["road", "sidewalk", "terrain"]
    assert set(space["object_labels"]) <= set(names)
    assert remap == [{"sub_id": i, "super_id": i} for i in CITYSCAPES.ids]


@pytest.mark.ros
def test_the_parser_of_ros_reads_the_nav2_file(ros_domain: int) -> None:
    rclpy = pytest.importorskip("rclpy")
    from rclpy.context import Context
    from rclpy.node import Node

    context = Context()
    rclpy.init(context=context)
    try:
        node = Node(
            "local_costmap",
            namespace="local_costmap",
            context=context,
            cli_args=["--ros-args", "--params-file", str(ROOT / "config" / "nav2_semantic_layer.yaml")],
            automatically_declare_parameters_from_overrides=True,
        )
        prefix = "semantic_layer.camera"
        for name, value_type in NAV2_SOURCE.items():
            assert isinstance(node.get_parameter(f"{prefix}.{name}").value, value_type)
        for class_type in node.get_parameter(f"{prefix}.class_types").value:
            for name, value_type in NAV2_CLASS_TYPE.items():
                assert isinstance(node.get_parameter(f"{prefix}.{class_type}.{name}").value, value_type)
        node.destroy_node()
    finally:
        rclpy.shutdown(context=context)
