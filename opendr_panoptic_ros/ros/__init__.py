"""The ROS 2 side: image messages in, label images and `PanopticSegmentation` out. `main()` runs the node.

Only `image_codec.decode` works without ROS; the other modules need rclpy and the message packages.
"""
