# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Real nodes on real DDS: a node under test and a client beside it, each with an executor thread of its own."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import rclpy
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from opendr_panoptic_ros.inference import PanopticSegmenter
from opendr_panoptic_ros.ros.messages import image_message
from opendr_panoptic_ros.ros.node import PanopticNode
from support.waiting import PATIENCE_S, wait_for


class Bench:
    """A ROS context with nodes that spin, each in a thread of its own, until the bench is closed."""

    def __init__(self) -> None:
        self.context = Context()
        rclpy.init(context=self.context)
        self._stack = contextlib.ExitStack()
        self._stack.callback(rclpy.try_shutdown, context=self.context)
        self.client = Node("client", context=self.context)
        self.spin(self.client)

    def close(self) -> None:
        self._stack.close()

    def spin(self, node: Node) -> None:
        executor = SingleThreadedExecutor(context=self.context)
        executor.add_node(node)

        def run() -> None:
            with contextlib.suppress(ExternalShutdownException):
                executor.spin()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()

        def stop() -> None:
            executor.shutdown()
            thread.join()
            node.destroy_node()

        self._stack.callback(stop)

    def node(self, *, cli_args: list[str] | None = None, **parameters: Any) -> PanopticNode:
        """Return a node that does not spin yet.

        Args:
            cli_args: Arguments as on a command line, such as `["--ros-args", "-r", "image_raw:=/camera"]`.
            parameters: Values by name, with `__` for a dot in the name.
        """
        overrides = [Parameter(name.replace("__", "."), value=value) for name, value in parameters.items()]
        return PanopticNode(context=self.context, parameter_overrides=overrides, cli_args=cli_args)

    def active_node(self, *, cli_args: list[str] | None = None, **parameters: Any) -> PanopticNode:
        """Return an active node that spins; the arguments are those of `node`."""
        node = self.node(cli_args=cli_args, **parameters)
        self.spin_after_start(node)
        return node

    def spin_after_start(self, node: PanopticNode) -> None:
        started = node.start()
        self.spin(node)
        assert started, node.last_error

    def subscribe(self, topic: str, message_type: Any = None, qos: Any = 10) -> list[Any]:
        """Subscribe to a topic, of type Image by default, and return the list to which its messages are appended."""
        messages: list[Any] = []
        self.client.create_subscription(message_type or Image, topic, messages.append, qos)
        return messages

    def camera(self, topic: str = "image_raw", qos: Any = 10) -> Any:
        return self.client.create_publisher(Image, topic, qos)

    def send(self, camera: Any, pixels: np.ndarray, *, stamp_ns: int, encoding: str = "rgb8") -> None:
        """Publish an image once the camera has a subscription."""
        self.wait_for(camera.get_subscription_count, "a subscription to the camera")
        header = Header(frame_id="optical")
        header.stamp.sec, header.stamp.nanosec = divmod(stamp_ns, 10**9)
        message = image_message(pixels, "rgb8", header)
        message.encoding = encoding
        camera.publish(message)

    def send_until(
        self, condition: Callable[[], Any], camera: Any, pixels: np.ndarray, *, stamp_ns: int, encoding: str = "rgb8"
    ) -> None:
        """Publish an image again and again until the condition holds.

        A node in another process needs this: it may discover the camera, or the subscription to its outputs, after
        this process has discovered the node, and what is sent until then is lost.
        """

        def sent_and_shown() -> Any:
            self.send(camera, pixels, stamp_ns=stamp_ns, encoding=encoding)
            time.sleep(0.2)
            return condition()

        self.wait_for(sent_and_shown, "an answer")

    wait_for = staticmethod(wait_for)

    @staticmethod
    def stamp_ns(message: Any) -> int:
        return int(message.header.stamp.sec * 10**9 + message.header.stamp.nanosec)


class Gate:
    """A segmenter that waits before each batch for a permit.

    Attributes:
        batches: For each batch, the number, height and width of its images.
        seen: The first value of each image.
        permits: One is taken for each batch.
        largest_batch: Larger batches fail.
    """

    largest_batch = 64

    def __init__(self, segmenter: PanopticSegmenter) -> None:
        self.batches: list[tuple[int, ...]] = []
        self.seen: list[int] = []
        self.permits = threading.Semaphore(0)
        self._segmenter = segmenter

    def __getattr__(self, name: str) -> Any:
        return getattr(self._segmenter, name)

    def __call__(self, images: list[np.ndarray], **options: Any) -> Any:
        self.seen.extend(int(image[0, 0, 0]) for image in images)
        self.batches.append((len(images), *images[0].shape[:2]))
        assert self.permits.acquire(timeout=PATIENCE_S)
        if len(images) > self.largest_batch:
            raise RuntimeError("CUDA out of memory")
        return self._segmenter(images, **options)
