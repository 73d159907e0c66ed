# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""PanopticNode: the managed ROS 2 node that answers camera images with panoptic segmentations."""

from __future__ import annotations

import contextlib
import gc
import math
import threading
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import TransitionCallbackReturn
from std_msgs.msg import Header

from opendr_panoptic_ros.errors import ConfigError, PanopticError
from opendr_panoptic_ros.inference import PanopticSegmenter
from opendr_panoptic_ros.outputs import LABEL_INFO, SEGMENTATION
from opendr_panoptic_ros.postprocess import EgoMask, read_ego_mask
from opendr_panoptic_ros.ros import camera, parameters, qos
from opendr_panoptic_ros.ros.camera import CameraStream, FrameCounts
from opendr_panoptic_ros.ros.diagnostics import CameraDiagnosis, diagnostics, memory_mb
from opendr_panoptic_ros.ros.lifecycle import ManagedNode
from opendr_panoptic_ros.ros.messages import label_info, message_types
from opendr_panoptic_ros.ros.serving import Server
from opendr_panoptic_ros.ros.worker import Worker

if TYPE_CHECKING:
    from rclpy.lifecycle import LifecycleState
    from rclpy.parameter import Parameter
    from rclpy.publisher import Publisher
    from rclpy.timer import Timer

_POLL_S = 0.1
_DIAGNOSTICS_S = 1.0
_SAME_ERROR_S = 5.0


class PanopticNode(ManagedNode):
    """The node `panoptic_segmentation`.

    Configure loads the network and warms it up, activate starts answering, deactivate stops and keeps the network,
    cleanup frees it. Transitions, callbacks and timers belong to the executor's thread; the network runs in a worker's.

    segmenter: the network, from configure to cleanup, else None.
    options: of `rclpy.lifecycle.LifecycleNode`, such as `context` and `parameter_overrides`.
    Raises rclpy's ParameterException when a parameter's value is not legal.
    """

    def __init__(self, **options: Any) -> None:
        self._settings_lock = threading.RLock()
        super().__init__("panoptic_segmentation", **options)
        self.segmenter: PanopticSegmenter | None = None
        self.last_error = ""
        self._cameras: list[CameraStream] = []
        self._diagnoses: list[CameraDiagnosis] = []
        self._label_infos: list[Publisher[Any]] = []
        self._reported_s: dict[str, float] = {}
        self._server = Server(lambda: self.get_clock().now().nanoseconds, self._report)
        self._frame_waits = threading.Condition()
        self._worker: Worker | None = None
        self._polling: Timer | None = None
        self.add_on_set_parameters_callback(self._on_set_parameters)
        parameters.declare(self)
        self._message_types = message_types()
        for topic, error in self._message_types.unavailable.items():
            self._warn_unavailable(topic, error)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # The steady clock goes on while simulated time stands still.
        self._steady_clock = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(_DIAGNOSTICS_S, self._publish_diagnostics, clock=self._steady_clock)

    @property
    def state(self) -> str:
        """The state of the life cycle: unconfigured, inactive, active, finalized, or the name of a transition."""
        return str(self._state_machine.current_state[1])

    @property
    def counts(self) -> dict[str, FrameCounts]:
        """What became of each camera's frames since the node was configured, by the camera's name."""
        return {stream.name: stream.counts for stream in self._cameras}

    def settings(self) -> parameters.NodeParameters:
        """The present parameters; of those that are set together all or none. From any thread."""
        with self._settings_lock:
            return parameters.read(self)

    def set_parameters_atomically(self, parameter_list: list[Parameter[Any]]) -> SetParametersResult:
        """As rclpy's, and the worker does not read in between."""
        with self._settings_lock:
            result = super().set_parameters_atomically(parameter_list)
        if result.successful and self._label_infos and any(p.name == "score_threshold" for p in parameter_list):
            self._publish_label_info()
        return result

    def start(self) -> bool:
        """Configure and activate. Whether that went well; if not, `last_error` says why."""
        return all(
            transition() == TransitionCallbackReturn.SUCCESS
            for transition in (self.trigger_configure, self.trigger_activate)
        )

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the network, warm it up and offer the outputs. After a failure the node is as it was before."""
        try:
            self._configure(self.settings())
        except Exception as error:  # noqa: BLE001 - whatever it was, the node must stay usable
            failed = self._failure(state, error)
        else:
            self.last_error = ""
            return super().on_configure(state)
        self._unwind()  # not above: there the error's traceback may still hold the network
        return failed

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Answer the cameras, as long as somebody listens to an output."""
        try:
            self._activate(self.settings())
        except Exception as error:  # noqa: BLE001 - as above
            self._stop()
            return self._failure(state, error)
        self.last_error = ""
        self.get_logger().info("Active: " + ", ".join(stream.topic for stream in self._cameras))
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop; the frame in work is still answered. The network and the counts are kept."""
        return self._undo(self._stop) or super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the network and withdraw the outputs."""
        return self._undo(self._unwind) or super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop, free the network and withdraw the outputs, from any state."""
        return self._undo(self._unwind) or super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:  # noqa: ARG002 - rclpy's signature
        """Free everything: an error in a transition leaves the node unconfigured, or finalized if this fails too."""
        return self._undo(self._unwind) or TransitionCallbackReturn.SUCCESS

    def destroy_node(self) -> None:
        """Stop, free everything, and leave ROS."""
        self._unwind()
        super().destroy_node()

    def _configure(self, settings: parameters.NodeParameters) -> None:
        ego_masks = _ego_masks(settings)
        resolved = [self.resolve_topic_name(f"{camera.topic_prefix(name)}image_raw") for name in settings.cameras]
        if len(set(resolved)) < len(resolved):
            raise ConfigError(f"cameras has names for one topic: {', '.join(resolved)}; expected one name for each.")
        self.get_logger().info(f"Loading {settings.checkpoint}.")
        self.segmenter = PanopticSegmenter(settings.checkpoint, **settings.segmenter_options())
        unknown = parameters.unknown_classes(settings.classes, self.segmenter.config.classes.names)
        if unknown:
            raise ConfigError(unknown)
        self.segmenter.warm_up()
        for name, ego_mask in zip(settings.cameras, ego_masks, strict=True):
            stream = CameraStream(
                self,
                name,
                self._message_types.outputs,
                self._frame_waits,
                transport=settings.image_transport,
                ego_mask=ego_mask,
            )
            self._cameras.append(stream)
            self._diagnoses.append(CameraDiagnosis(stream))
        self._publish_label_info()
        self.get_logger().info(f"Ready on {self.segmenter.device}, {self.segmenter.precision}.")

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

    def _publish_label_info(self) -> None:
        """Say what the values of each camera's label images mean, where vision_msgs is installed."""
        if LABEL_INFO in self._message_types.unavailable:
            return
        assert self.segmenter is not None  # noqa: S101 - there are cameras
        test = self.segmenter.config.test.with_thresholds(self.settings().thresholds())
        message = label_info(
            self.segmenter.config.classes,
            score_threshold=test.score_threshold,
            header=Header(stamp=self.get_clock().now().to_msg()),
        )
        for stream in self._cameras[len(self._label_infos) :]:
            topic = f"{camera.topic_prefix(stream.name)}panoptic/{LABEL_INFO}"
            self._label_infos.append(self.create_publisher(type(message), topic, qos.latched_qos()))
        for publisher in self._label_infos:
            publisher.publish(message)

    def _activate(self, settings: parameters.NodeParameters) -> None:
        for stream in self._cameras:
            stream.track_ids = settings.track_ids
        self._worker = Worker(self._cameras, self._frame_waits, self._serve, max_batch=settings.max_batch)
        for stream in self._cameras:
            stream.start()
        if not camera.HAS_MATCHED_EVENTS:
            self._polling = self.create_timer(_POLL_S, self._update_subscriptions, clock=self._steady_clock)

    def _failure(self, state: LifecycleState, error: Exception) -> TransitionCallbackReturn:
        foreseen = isinstance(error, PanopticError | ValueError | OSError)
        self._log_failure(f"The node stays {state.label}.", error, trace=not foreseen)
        return TransitionCallbackReturn.FAILURE

    def _undo(self, work: Callable[[], None]) -> TransitionCallbackReturn | None:
        """Do the work of a transition; ERROR when it raises, which rclpy alone would not tell anybody of."""
        try:
            work()
        except Exception as error:  # noqa: BLE001 - the life cycle has a way for errors
            self._log_failure(f"An error while {self.state}.", error, trace=True)
            return TransitionCallbackReturn.ERROR
        return None

    def _log_failure(self, what: str, error: Exception, *, trace: bool) -> None:
        self.last_error = f"{type(error).__name__}: {error}"
        lines = "\n" + "".join(traceback.format_exception(error)) if trace else ""
        self.get_logger().error(f"{what} {self.last_error}{lines}")

    def _stop(self) -> None:
        """Undo activate, or as much of it as happened."""
        if self._polling is not None:
            self.destroy_timer(self._polling)
            self._polling = None
        for stream in self._cameras:
            stream.stop()
        if self._worker is not None:
            self._worker.stop()
            self._worker = None
            for name, counts in self.counts.items():
                self.get_logger().info(f"Frames{' of ' + name if name else ''}: {counts}.")

    def _unwind(self) -> None:
        """Undo activate and configure, or as much of them as happened."""
        self._stop()
        for stream in self._cameras:
            stream.destroy()
        for publisher in self._label_infos:
            self.destroy_publisher(publisher)
        self._cameras, self._diagnoses, self._label_infos = [], [], []
        self.segmenter = None
        gc.collect()  # a network on the GPU is large; the next one, or another process, should find its memory free
        with contextlib.suppress(RuntimeError):  # a GPU that failed for good must not keep the node from ending
            torch.cuda.empty_cache()  # does nothing where CUDA was not used

    def _serve(self, taken: list[tuple[CameraStream, Any]]) -> None:
        """Answer frames. In the worker's thread."""
        assert self.segmenter is not None  # noqa: S101 - the worker lives from activate to deactivate
        self._server.serve(taken, self.segmenter, self.settings())

    def _report(self, source: str, failure: str) -> None:
        """Log that frames failed; of one source now and then if many do. In the worker's thread."""
        now_s = time.monotonic()
        if now_s - self._reported_s.get(source, -math.inf) >= _SAME_ERROR_S:  # rclpy's throttle would be one for all
            self._reported_s[source] = now_s
            self.get_logger().error(failure)

    def _update_subscriptions(self) -> None:
        for stream in self._cameras:
            stream.update_subscriptions()

    def _on_set_parameters(self, changed: list[Parameter[Any]]) -> SetParametersResult:
        if self.segmenter is None:
            reason = parameters.refusal(changed, present=None)
        else:
            class_names = self.segmenter.config.classes.names
            reason = parameters.refusal(changed, present=self.settings(), class_names=class_names)
        return SetParametersResult(successful=not reason, reason=reason)

    def _publish_diagnostics(self) -> None:
        settings = self.settings()
        values: dict[str, Any] = {"checkpoint": settings.checkpoint}
        if self.segmenter is not None:
            values |= {"device": self.segmenter.device, "precision": self.segmenter.precision}
        values |= memory_mb(None if self.segmenter is None else self.segmenter.device)
        now, name = self.get_clock().now().to_msg(), self.get_fully_qualified_name().lstrip("/")
        self._diagnostics.publish(
            diagnostics(now, name, self.state, self.last_error, values, settings, self._diagnoses)
        )


def _ego_masks(settings: parameters.NodeParameters) -> list[EgoMask | None]:
    """One for each camera. Raises ConfigError when there are neither as many as cameras nor one."""
    paths, number = settings.ego_mask or ("",), len(settings.cameras)
    if len(paths) not in {1, number}:
        raise ConfigError(f"ego_mask has {len(paths)} paths for {number} cameras; expected one, or one for each.")
    masks = [read_ego_mask(path) if path else None for path in paths]
    return masks if len(masks) == number else masks * number
