# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""PanopticNode: the managed ROS 2 node that publishes panoptic segmentations of camera images."""

from __future__ import annotations

import contextlib
import gc
import threading
from typing import TYPE_CHECKING, Any

import torch
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from std_msgs.msg import Header
from typing_extensions import override

from opendr_panoptic_ros.errors import ConfigError
from opendr_panoptic_ros.inference import PanopticSegmenter
from opendr_panoptic_ros.label_map import LabelMap
from opendr_panoptic_ros.lists import label_info
from opendr_panoptic_ros.outputs import LABEL_INFO, SEGMENTATION
from opendr_panoptic_ros.pipeline import FramePipeline
from opendr_panoptic_ros.postprocess import EgoMask, check_class_names, read_ego_mask
from opendr_panoptic_ros.ros import camera as camera_module
from opendr_panoptic_ros.ros.allowed_paths import AllowedPaths
from opendr_panoptic_ros.ros.camera import Camera
from opendr_panoptic_ros.ros.diagnostics import CameraDiagnostics, memory_mb, memory_warnings, node_status
from opendr_panoptic_ros.ros.errors import shorten
from opendr_panoptic_ros.ros.lifecycle import ManagedNode
from opendr_panoptic_ros.ros.mailbox import FrameCounts
from opendr_panoptic_ros.ros.memory import return_freed_memory
from opendr_panoptic_ros.ros.messages import message_types, ros_type
from opendr_panoptic_ros.ros.parameters import NodeParameters
from opendr_panoptic_ros.ros.processing import FrameProcessor
from opendr_panoptic_ros.ros.publishing import ResultPublisher
from opendr_panoptic_ros.ros.settings import declare_parameters, refusal
from opendr_panoptic_ros.ros.worker import Worker
from opendr_panoptic_ros.rotation import rotations_of

if TYPE_CHECKING:
    from rclpy.parameter import Parameter
    from rclpy.timer import Timer

_POLL_S = 0.1
_DIAGNOSTICS_S = 1.0


class PanopticNode(ManagedNode[NodeParameters]):
    """The node `panoptic_segmentation`.

    Configure loads the network and warms it up, activate starts processing, deactivate stops it and keeps the network,
    cleanup frees the network. Transitions, callbacks and timers run in the executor's thread, the network in a worker
    thread, and the outputs are made and published in a third one.

    Args:
        options: Keyword arguments of `rclpy.lifecycle.LifecycleNode`, such as `context` and `parameter_overrides`.

    Attributes:
        pipeline: The pipeline with the network, from configure to cleanup, else None.

    Raises:
        rclpy.exceptions.ParameterException: The value of a parameter is not legal.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__("panoptic_segmentation", NodeParameters, **options)
        self.pipeline: FramePipeline | None = None
        self._conversion = ""
        self._cameras: list[Camera] = []
        self._camera_diagnostics: list[CameraDiagnostics] = []
        self._frame_waits = threading.Condition()
        self._worker: Worker | None = None
        self._publisher: ResultPublisher | None = None
        self._polling: Timer | None = None
        self._allowed_paths: AllowedPaths | None = None
        self.add_on_set_parameters_callback(self._on_set_parameters)
        declare_parameters(self, NodeParameters)
        start_values = self.settings()
        self._allowed_paths = AllowedPaths(start_values.allowed_paths, start_values)
        self._message_types = message_types()
        for topic, error in self._message_types.unavailable.items():
            self._warn_unavailable(topic, error)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # The steady clock also advances while simulated time stands still.
        self._steady_clock = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(_DIAGNOSTICS_S, self._publish_diagnostics, clock=self._steady_clock)

    @property
    def cameras(self) -> tuple[Camera, ...]:
        """The cameras, in the order of the parameter `cameras`; empty unless the node is configured."""
        return tuple(self._cameras)

    @property
    def counts(self) -> dict[str, FrameCounts]:
        """Counts of each camera's frames since the node was configured, by the camera's name."""
        return {camera.name: camera.mailbox.counts for camera in self._cameras}

    @property
    def segmenter(self) -> PanopticSegmenter | None:
        """The network, from configure to cleanup, else None."""
        return None if self.pipeline is None else self.pipeline.segmenter

    @override
    def set_parameters_atomically(self, parameter_list: list[Parameter[Any]]) -> SetParametersResult:
        result = super().set_parameters_atomically(parameter_list)
        if result.successful and self._cameras and {"score_threshold", "classes"} & {p.name for p in parameter_list}:
            self._publish_label_info()
        return result

    @override
    def _configure(self, settings: NodeParameters) -> None:
        ego_masks = _read_ego_masks(settings)
        rotations = rotations_of(settings.image_rotation, settings.cameras, "image_rotation")
        resolved = [
            self.resolve_topic_name(f"{camera_module.topic_prefix(name)}image_raw") for name in settings.cameras
        ]
        if len(set(resolved)) < len(resolved):
            raise ConfigError(
                f"Several names in cameras have the same topic: {', '.join(resolved)}; expected different topics."
            )
        self.get_logger().info(f"Loading {shorten(settings.checkpoint)}.")
        segmenter = PanopticSegmenter(
            settings.checkpoint, **settings.segmenter_options(), progress=self._report_conversion
        )
        label_map = LabelMap.load(settings.label_map, segmenter.config.classes) if settings.label_map else None
        pipeline = FramePipeline(
            segmenter,
            ego_masks=ego_masks,
            track_ids=settings.track_ids,
            max_batch=settings.max_batch,
            label_map=label_map,
            rotations=rotations,
        )
        check_class_names(settings.class_filter, pipeline.classes.names)
        check_class_names(settings.masked, pipeline.classes.names, "mask_classes")
        segmenter.warm_up()
        return_freed_memory()  # that of reading the checkpoint
        self.pipeline = pipeline
        for name in settings.cameras:
            output_types, transport = self._message_types.outputs, settings.image_transport
            self._cameras.append(Camera(self, name, output_types, self._frame_waits, transport=transport))
        self._camera_diagnostics = [CameraDiagnostics(camera) for camera in self._cameras]
        self._publish_label_info()
        self.get_logger().info(f"Ready on {segmenter.device}, {segmenter.precision}, {segmenter.backend}.")

    def _report_conversion(self, message: str, fraction: float | None) -> None:
        """Log a step of the conversion of the network, and show it in the diagnostics until the conversion is done.

        The conversion runs in the executor's thread, which cannot publish the diagnostics meanwhile, or, for the first
        image of a size, in the thread of the network.
        """
        self.get_logger().info(message if fraction is None else f"{message} {fraction:.0%}")
        self._conversion = "" if fraction == 1 else message
        if self.pipeline is None:
            self._publish_diagnostics()

    def _warn_unavailable(self, topic: str, error: Exception) -> None:
        """Log that an output cannot be published, and why."""
        reason = f"There is no panoptic/{topic}: {type(error).__name__}: {error}."
        if topic == SEGMENTATION:
            self.get_logger().warning(
                f"{reason} The messages of opendr_panoptic_ros are not built or not sourced; the image topics work. "
                "Run 'colcon build', then source install/setup.bash."
            )
        elif isinstance(error, ModuleNotFoundError):  # optional
            self.get_logger().info(f"{reason} Install it for this topic.")
        else:
            self.get_logger().warning(f"{reason} The package is installed but cannot be used.")

    @override
    def _inputs(self) -> str:
        return ", ".join(camera.topic for camera in self._cameras)

    def _publish_label_info(self) -> None:
        """Publish the meaning of the values of each camera's label images, where vision_msgs is installed."""
        if LABEL_INFO in self._message_types.unavailable:
            return
        assert self.pipeline is not None  # noqa: S101 - there are cameras
        settings = self.settings()
        test = self.pipeline.segmenter.config.test.with_thresholds(settings.thresholds())
        message = label_info(
            self.pipeline.classes,
            Header(stamp=self.get_clock().now().to_msg()),
            ros_type,
            score_threshold=test.score_threshold,
            keep_classes=settings.class_filter,
        )
        for camera in self._cameras:
            camera.publish_label_info(message)

    @override
    def _activate(self, settings: NodeParameters) -> None:
        assert self.pipeline is not None  # noqa: S101 - the node is configured
        self._publisher = publisher = ResultPublisher(self, self._frame_waits)
        processor = FrameProcessor(self, self.pipeline, publisher)
        self._worker = Worker(self._cameras, self._frame_waits, processor, publisher, max_batch=settings.max_batch)
        for camera in self._cameras:
            camera.start()
        if not camera_module.HAS_MATCHED_EVENTS:
            self._polling = self.create_timer(_POLL_S, self._update_subscriptions, clock=self._steady_clock)

    @override
    def _stop(self) -> None:
        """Undo activate, as far as it was completed."""
        if self._polling is not None:
            self.destroy_timer(self._polling)
            self._polling = None
        for camera in self._cameras:
            camera.stop()
        if self._worker is not None:
            self._worker.stop()
            self._worker = None
        if self._publisher is not None:
            self._publisher.close()
            self._publisher = None
            for name, counts in self.counts.items():
                self.get_logger().info(f"Frames{' of ' + name if name else ''}: {counts}.")

    @override
    def _unwind(self) -> None:
        """Undo activate and configure, as far as they were completed."""
        self._stop()
        for camera in self._cameras:
            camera.destroy()
        self._cameras, self._camera_diagnostics = [], []
        self.pipeline = None
        gc.collect()  # a network on the GPU is large; its memory should be free for the next one or another process
        with contextlib.suppress(RuntimeError):  # a GPU that failed permanently must not keep the node from ending
            torch.cuda.empty_cache()  # has no effect where CUDA was not used
        return_freed_memory()

    def _update_subscriptions(self) -> None:
        for camera in self._cameras:
            camera.update_subscriptions()

    def _on_set_parameters(self, changed: list[Parameter[Any]]) -> SetParametersResult:
        pipeline = self.pipeline
        reason = refusal(
            changed,
            NodeParameters,
            present=None if pipeline is None else self.settings(),
            class_names=() if pipeline is None else pipeline.classes.names,
            allowed_paths=self._allowed_paths,
        )
        return SetParametersResult(successful=not reason, reason=reason)

    def _publish_diagnostics(self) -> None:
        settings, segmenter = self.settings(), self.segmenter
        values: dict[str, Any] = {"checkpoint": settings.checkpoint, "callback_errors": self.callback_errors}
        warnings: list[str] = []
        if self.pipeline is not None:
            limit = self.pipeline.batch_limit
            warnings = memory_warnings(limit)
            values |= {"batch_limit": limit.current, "out_of_memory": limit.out_of_memory}
        if segmenter is not None:
            values |= {"device": segmenter.device, "precision": segmenter.precision, "backend": segmenter.backend}
        if self._conversion:
            values["conversion"] = self._conversion
        values |= memory_mb(None if segmenter is None else segmenter.device)
        name = self.get_fully_qualified_name().lstrip("/")
        array = DiagnosticArray()
        array.header.stamp = self.get_clock().now().to_msg()
        array.status = [node_status(name, self.state, self.last_error, values, warnings)]
        array.status += [diagnostics.status(name, settings) for diagnostics in self._camera_diagnostics]
        self._diagnostics.publish(array)


def _read_ego_masks(settings: NodeParameters) -> dict[str, EgoMask]:
    """Return the ego masks by camera name.

    Raises:
        ConfigError: A file cannot be read, or there are neither as many paths as cameras nor one.
    """
    paths, number = settings.ego_mask or ("",), len(settings.cameras)
    if len(paths) not in {1, number}:
        raise ConfigError(f"ego_mask has {len(paths)} paths for {number} cameras; expected one, or one for each.")
    masks = {path: read_ego_mask(path) for path in paths if path}
    by_camera = dict(zip(settings.cameras, paths if len(paths) == number else paths * number, strict=True))
    return {name: masks[path] for name, path in by_camera.items() if path}
