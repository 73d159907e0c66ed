"""Start the panoptic segmentation node: `ros2 launch opendr_panoptic_ros panoptic.launch.py image_topic:=/camera/image_raw`."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

PACKAGE = "opendr_panoptic_ros"


def generate_launch_description() -> LaunchDescription:
    """The node with its parameter file, under a namespace, fed by one image topic."""
    default_parameters = PathJoinSubstitution([FindPackageShare(PACKAGE), "config", "panoptic_node.yaml"])
    return LaunchDescription(
        [
            DeclareLaunchArgument("namespace", default_value="opendr", description="Namespace of the output topics."),
            DeclareLaunchArgument("image_topic", default_value="/image_raw", description="Topic of the camera images."),
            DeclareLaunchArgument("params_file", default_value=default_parameters, description="Parameter file."),
            Node(
                package=PACKAGE,
                executable="panoptic_node",
                name="panoptic_segmentation",
                namespace=LaunchConfiguration("namespace"),
                parameters=[LaunchConfiguration("params_file")],
                remappings=[("image_raw", LaunchConfiguration("image_topic"))],
                output="screen",
            ),
        ]
    )
