# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""`panoptic/label_info`, `detections` and `annotations`, where vision_msgs and foxglove_msgs are installed."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.bags import pixels

from opendr_panoptic_ros.bags.types import DEFINITIONS
from opendr_panoptic_ros.labels import CITYSCAPES

pytestmark = pytest.mark.ros
pytest.importorskip("rclpy")
from rclpy.parameter import Parameter  # noqa: E402

from opendr_panoptic_ros.ros.qos import latched_qos  # noqa: E402


def test_label_info(bench, tiny_checkpoint):
    """The topic is latched and needs no subscriber. It exists only where vision_msgs is installed."""
    node = bench.active_node(checkpoint=str(tiny_checkpoint), cameras=["front", "rear"], score_threshold=0.25)
    assert not node.cameras[0].is_subscribed

    if importlib.util.find_spec("vision_msgs") is None:
        assert not node.count_publishers("/front/panoptic/label_info")
        assert node.count_publishers("/front/panoptic/semantic")
        return
    from vision_msgs.msg import LabelInfo

    camera = bench.camera("front/image_raw")
    received = {
        name: bench.subscribe(f"{name}/panoptic/label_info", LabelInfo, latched_qos()) for name in ("front", "rear")
    }
    bench.wait_for(lambda: all(received.values()), "the labels of both cameras")
    for messages in received.values():
        classes = {entry.class_id: entry.class_name for entry in messages[0].class_map}
        assert classes == dict(enumerate(CITYSCAPES.names))
        assert messages[0].threshold == 0.25
    node.set_parameters_atomically([Parameter("score_threshold", value=-1)])
    bench.wait_for(lambda: received["rear"][-1].threshold == 0.5, "the labels with the configuration's threshold")
    node.set_parameters_atomically([Parameter("classes", value=["road", "car"])])
    bench.wait_for(lambda: len(received["rear"][-1].class_map) == 2, "the labels without the classes filtered out")
    assert {entry.class_id: entry.class_name for entry in received["rear"][-1].class_map} == {0: "road", 13: "car"}
    assert camera.get_subscription_count() == 0
    node.trigger_deactivate()
    node.trigger_cleanup()
    bench.wait_for(lambda: not bench.client.count_publishers("/rear/panoptic/label_info"), "the topics to go")


def test_detections_and_annotations(bench, tiny_checkpoint, picture):
    """The lists of a frame where the packages are installed; else the node has no such topics."""
    node = bench.active_node(checkpoint=str(tiny_checkpoint), track_ids=True)
    if importlib.util.find_spec("vision_msgs") is None or importlib.util.find_spec("foxglove_msgs") is None:
        assert not node.count_publishers("/panoptic/detections") * node.count_publishers("/panoptic/annotations")
        assert node.count_publishers("/panoptic/semantic")
        return
    from foxglove_msgs.msg import ImageAnnotations
    from vision_msgs.msg import Detection2DArray

    detections = bench.subscribe("panoptic/detections", Detection2DArray)
    annotations = bench.subscribe("panoptic/annotations", ImageAnnotations)
    instances = bench.subscribe("panoptic/instance")
    camera = bench.camera()
    for stamp_ns in (7, 10**8):
        bench.send(camera, picture, stamp_ns=stamp_ns)
        bench.wait_for(lambda: detections and annotations and instances, "the lists")
        (found,), (drawn,), (image,) = detections, annotations, instances
        assert bench.stamp_ns(found) == stamp_ns
        assert found.header == image.header
        assert (drawn.timestamp.sec, drawn.timestamp.nanosec) == (0, stamp_ns)
        assert found.detections
        assert {int(detection.id) for detection in found.detections} == set(np.unique(pixels(image)).tolist()) - {0}
        for detection, outline, text in zip(found.detections, drawn.points, drawn.texts, strict=True):
            rows, columns = np.nonzero(pixels(image) == int(detection.id))
            assert detection.bbox.size_x == columns.max() + 1 - columns.min()
            assert detection.bbox.center.position.y == (rows.max() + 1 + rows.min()) / 2
            assert (outline.points[0].x, outline.points[0].y) == (columns.min(), rows.min())
            hypothesis = detection.results[0].hypothesis
            assert hypothesis.class_id in CITYSCAPES.names[11:]
            assert text.text == f"{hypothesis.class_id} {hypothesis.score:.2f} #{detection.id}"
        for messages in (detections, annotations, instances):
            messages.clear()


PACKAGE_XML = """<package format="3"><name>{name}</name><version>0.0.1</version>
<description>The messages that the node uses, as the package {name} defines them.</description>
<maintainer email="maintainer@example.com">maintainer</maintainer><license>Apache-2.0</license>
<buildtool_depend>ament_cmake</buildtool_depend><build_depend>rosidl_default_generators</build_depend>
<depend>std_msgs</depend><depend>geometry_msgs</depend><depend>builtin_interfaces</depend>
<exec_depend>rosidl_default_runtime</exec_depend><member_of_group>rosidl_interface_packages</member_of_group>
<export><build_type>ament_cmake</build_type></export></package>"""
CMAKE_LISTS = """cmake_minimum_required(VERSION 3.10)
project({name})
find_package(ament_cmake REQUIRED)
find_package(rosidl_default_generators REQUIRED)
find_package(std_msgs REQUIRED)
find_package(geometry_msgs REQUIRED)
find_package(builtin_interfaces REQUIRED)
rosidl_generate_interfaces({name} {files} DEPENDENCIES std_msgs geometry_msgs builtin_interfaces)
ament_package()
"""


def write_packages(folder: Path) -> None:
    """Write vision_msgs and foxglove_msgs with the messages that bags contain."""
    for name in ("vision_msgs", "foxglove_msgs"):
        messages = {key.split("/")[2]: text for key, text in DEFINITIONS.items() if key.startswith(f"{name}/")}
        (folder / name / "msg").mkdir(parents=True)
        for message, text in messages.items():
            (folder / name / "msg" / f"{message}.msg").write_text(text)
        files = " ".join(f"msg/{message}.msg" for message in messages)
        (folder / name / "package.xml").write_text(PACKAGE_XML.format(name=name))
        (folder / name / "CMakeLists.txt").write_text(CMAKE_LISTS.format(name=name, files=files))


@pytest.mark.slow
def test_the_lists_where_their_packages_are_installed(tmp_path):
    """Run the test above with vision_msgs, which is built here because no package index has it."""
    if importlib.util.find_spec("vision_msgs") is not None and importlib.util.find_spec("foxglove_msgs") is not None:
        pytest.skip("vision_msgs and foxglove_msgs are installed: the tests above have used them")
    if shutil.which("colcon") is None:
        pytest.skip("needs colcon to build the messages")
    write_packages(tmp_path / "src")
    prefix = os.pathsep.join([sys.prefix, os.environ.get("AMENT_PREFIX_PATH", "")])
    environment = {**os.environ, "CMAKE_GENERATOR": "Ninja", "AMENT_PREFIX_PATH": prefix, "CMAKE_PREFIX_PATH": prefix}
    environment.pop("_ROS_WHEELS_BOOTSTRAP_COMPLETE", None)  # the libraries' path changes below
    build = f"colcon build --cmake-args -DBUILD_TESTING=OFF -DPython3_EXECUTABLE={sys.executable}"
    tests = " ".join(f"{__file__}::{test.__name__}" for test in (test_label_info, test_detections_and_annotations))
    tests += f" {Path(__file__).parent / 'test_points_node.py'}::test_boxes_where_their_messages_are_installed"
    test = f"{sys.executable} -m pytest -q {tests}"
    script = f"{build} && . install/local_setup.bash && cd {Path(__file__).parents[2]} && {test}"
    done = subprocess.run(
        ["bash", "-c", script], check=False, cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout
