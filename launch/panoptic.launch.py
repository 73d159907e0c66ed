"""The panoptic segmentation node on one camera.

ros2 launch opendr_panoptic_ros panoptic.launch.py image_topic:=/camera/image_raw
"""

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

PACKAGE = "opendr_panoptic_ros"
OVERRIDES = {
    "checkpoint": "weights, instead of the parameter file's",
    "device": "where the network runs, instead of the parameter file's",
}


def generate_launch_description() -> LaunchDescription:
    """The node under a namespace, with its parameter file, subscribed to one image topic."""
    default_file = PathJoinSubstitution([FindPackageShare(PACKAGE), "config", "panoptic_node.yaml"])
    return LaunchDescription(
        [
            DeclareLaunchArgument("namespace", default_value="opendr", description="namespace of the output topics"),
            DeclareLaunchArgument("image_topic", default_value="/image_raw", description="topic of the camera images"),
            DeclareLaunchArgument("params_file", default_value=default_file, description="the node's parameters"),
            *(DeclareLaunchArgument(name, default_value="", description=text) for name, text in OVERRIDES.items()),
            OpaqueFunction(function=_node),
        ]
    )


def _node(context: LaunchContext) -> list[Node]:
    """The node; an override that was left empty leaves the parameter file's value."""
    given = {name: LaunchConfiguration(name).perform(context) for name in OVERRIDES}
    return [
        Node(
            package=PACKAGE,
            executable="panoptic_node",
            namespace=LaunchConfiguration("namespace"),
            parameters=[LaunchConfiguration("params_file"), {name: value for name, value in given.items() if value}],
            remappings=[("image_raw", LaunchConfiguration("image_topic"))],
            output="screen",
        )
    ]
