# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""`panoptic/label_info`: the class names, latched, where vision_msgs is installed."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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
    heard = {name: bench.listen(f"{name}/panoptic/label_info", LabelInfo, latched_qos()) for name in ("front", "rear")}
    bench.wait_for(lambda: all(heard.values()), "the labels of both cameras")
    for messages in heard.values():
        classes = {entry.class_id: entry.class_name for entry in messages[0].class_map}
        assert classes == dict(enumerate(CITYSCAPES.names))
        assert messages[0].threshold == 0.25
    node.set_parameters_atomically([Parameter("score_threshold", value=-1)])
    bench.wait_for(lambda: heard["rear"][-1].threshold == 0.5, "the labels with the configuration's threshold")
    node.set_parameters_atomically([Parameter("classes", value=["road", "car"])])
    bench.wait_for(lambda: len(heard["rear"][-1].class_map) == 2, "the labels without the classes filtered out")
    assert {entry.class_id: entry.class_name for entry in heard["rear"][-1].class_map} == {0: "road", 13: "car"}
    assert camera.get_subscription_count() == 0
    node.trigger_deactivate()
    node.trigger_cleanup()
    bench.wait_for(lambda: not bench.client.count_publishers("/rear/panoptic/label_info"), "the topics to go")


VISION_MSGS = {
    "package.xml": """<package format="3"><name>vision_msgs</name><version>4.1.1</version>
<description>The two messages that the node uses, as the package vision_msgs defines them.</description>
<maintainer email="nobody@example.com">nobody</maintainer><license>Apache-2.0</license>
<buildtool_depend>ament_cmake</buildtool_depend><build_depend>rosidl_default_generators</build_depend>
<depend>std_msgs</depend><exec_depend>rosidl_default_runtime</exec_depend>
<member_of_group>rosidl_interface_packages</member_of_group><export><build_type>ament_cmake</build_type></export>
</package>""",
    "CMakeLists.txt": """cmake_minimum_required(VERSION 3.10)
project(vision_msgs)
find_package(ament_cmake REQUIRED)
find_package(rosidl_default_generators REQUIRED)
find_package(std_msgs REQUIRED)
rosidl_generate_interfaces(vision_msgs msg/LabelInfo.msg msg/VisionClass.msg DEPENDENCIES std_msgs)
ament_package()
""",
    "msg/LabelInfo.msg": "std_msgs/Header header\nVisionClass[] class_map\nfloat32 threshold\n",
    "msg/VisionClass.msg": "uint16 class_id\nstring class_name\n",
}


@pytest.mark.slow
def test_label_info_where_vision_msgs_is_installed(tmp_path):
    """Run the test above with vision_msgs, which is built here because no package index has it."""
    if importlib.util.find_spec("vision_msgs") is not None:
        pytest.skip("vision_msgs is installed: test_label_info has shown it")
    if shutil.which("colcon") is None:
        pytest.skip("needs colcon to build vision_msgs")
    for name, text in VISION_MSGS.items():
        path = tmp_path / "src" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    prefix = os.pathsep.join([sys.prefix, os.environ.get("AMENT_PREFIX_PATH", "")])
    environment = {**os.environ, "CMAKE_GENERATOR": "Ninja", "AMENT_PREFIX_PATH": prefix, "CMAKE_PREFIX_PATH": prefix}
    environment.pop("_ROS_WHEELS_BOOTSTRAP_COMPLETE", None)  # the libraries' path changes below
    build = f"colcon build --cmake-args -DBUILD_TESTING=OFF -DPython3_EXECUTABLE={sys.executable}"
    test = f"{sys.executable} -m pytest -q {__file__}::test_label_info"
    script = f"{build} && . install/local_setup.bash && cd {Path(__file__).parents[2]} && {test}"
    done = subprocess.run(
        ["bash", "-c", script], check=False, cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
