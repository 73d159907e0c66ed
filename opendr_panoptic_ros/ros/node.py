"""PanopticNode: the managed ROS 2 node that answers camera images with panoptic segmentations."""

from __future__ import annotations

import gc
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.time import Time

from opendr_panoptic_ros.errors import PanopticError
from opendr_panoptic_ros.inference import PanopticSegmenter
from opendr_panoptic_ros.ros import camera, parameters
from opendr_panoptic_ros.ros.camera import CameraStream, FrameCounts, Timing
from opendr_panoptic_ros.ros.diagnostics import diagnostics
from opendr_panoptic_ros.ros.image_codec import decode
from opendr_panoptic_ros.ros.messages import MAKE_MESSAGE, Answer, message_types
from opendr_panoptic_ros.ros.worker import Worker

if TYPE_CHECKING:
    from rclpy.lifecycle import LifecycleState
    from rclpy.parameter import Parameter
    from rclpy.timer import Timer
    from sensor_msgs.msg import Image

_POLL_S = 0.1
_DIAGNOSTICS_S = 1.0
_SAME_ERROR_S = 5.0


class PanopticNode(LifecycleNode):
    """The node `panoptic_segmentation`.

    Configure loads the network and warms it up, activate starts answering, deactivate stops and keeps the network,
    cleanup frees it. Transitions, callbacks and timers belong to the executor's thread; the network runs in a worker's.

    segmenter: the network, from configure to cleanup, else None.
    options: of `rclpy.lifecycle.LifecycleNode`, such as `context` and `parameter_overrides`.
    Raises rclpy's ParameterException when a parameter's value is not legal.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__("panoptic_segmentation", **options)
        self.segmenter: PanopticSegmenter | None = None
        self.last_error = ""
        self._cameras: list[CameraStream] = []
        self._frame_waits = threading.Condition()
        self._worker: Worker | None = None
        self._polling: Timer | None = None
        self.add_on_set_parameters_callback(self._on_set_parameters)
        parameters.declare(self)
        self._output_types = message_types()
        if "segmentation" not in self._output_types:
            self.get_logger().warning(
                "The messages of opendr_panoptic_ros are not built or not sourced: there is no panoptic/segmentation, "
                "the image topics work. Run 'colcon build', then source install/setup.bash."
            )
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

    def start(self) -> bool:
        """Configure and activate. Whether that went well; if not, `last_error` says why."""
        return all(
            transition() == TransitionCallbackReturn.SUCCESS
            for transition in (self.trigger_configure, self.trigger_activate)
        )

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the network, warm it up and offer the outputs. After a failure the node is as it was before."""
        settings = parameters.read(self)
        try:
            self.get_logger().info(f"Loading {settings.checkpoint}.")
            self.segmenter = PanopticSegmenter(settings.checkpoint, **settings.segmenter_options())
            self.segmenter.warm_up()
            for name in settings.cameras:
                self._cameras.append(CameraStream(self, name, self._output_types, self._frame_waits))
        except Exception as error:  # noqa: BLE001 - whatever it was, the node must stay usable
            self._unwind()
            return self._failure(state, error)
        self.get_logger().info(f"Ready on {self.segmenter.device}, {self.segmenter.precision}.")
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Answer the cameras, as long as somebody listens to an output."""
        try:
            self._worker = Worker(self._cameras, self._frame_waits, self._serve)
            for stream in self._cameras:
                stream.start()
            if not camera.HAS_MATCHED_EVENTS:
                self._polling = self.create_timer(_POLL_S, self._update_subscriptions, clock=self._steady_clock)
        except Exception as error:  # noqa: BLE001 - as above
            self._stop()
            return self._failure(state, error)
        self.last_error = ""
        self.get_logger().info("Active: " + ", ".join(stream.topic for stream in self._cameras))
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop; the frame in work is still answered. The network and the counts are kept."""
        self._stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the network and withdraw the outputs."""
        self._unwind()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop, free the network and withdraw the outputs, from any state."""
        self._unwind()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:  # noqa: ARG002 - rclpy's signature
        """Free everything: an error in a transition leaves the node unconfigured."""
        self._unwind()
        return TransitionCallbackReturn.SUCCESS

    def destroy_node(self) -> None:
        """Stop, free everything, and leave ROS."""
        self._unwind()
        super().destroy_node()

    def _failure(self, state: LifecycleState, error: Exception) -> TransitionCallbackReturn:
        self.last_error = f"{type(error).__name__}: {error}"
        foreseen = isinstance(error, PanopticError | ValueError | OSError)
        trace = "" if foreseen else "\n" + "".join(traceback.format_exception(error))
        self.get_logger().error(f"The node stays {state.label}. {self.last_error}{trace}")
        return TransitionCallbackReturn.FAILURE

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
        self._cameras = []
        self.segmenter = None
        gc.collect()  # a network on the GPU is large; the next one should find its memory free

    def _serve(self, stream: CameraStream, message: Image) -> None:
        """Answer one frame. In the worker's thread."""
        try:
            wanted = stream.wanted_outputs()
            if wanted:
                self._answer(stream, message, wanted)
            else:
                stream.count_dropped()
        except Exception as error:  # noqa: BLE001 - the next frame shall be served
            stream.count_failed(error)
            self.get_logger().error(
                f"A frame of {stream.topic} failed: {stream.last_error}", throttle_duration_sec=_SAME_ERROR_S
            )

    def _answer(self, stream: CameraStream, message: Image, wanted: list[str]) -> None:
        assert self.segmenter is not None  # noqa: S101 - the worker lives from activate to deactivate
        start_ns = time.monotonic_ns()
        settings = parameters.read(self)
        image_rgb = decode(message)
        answer = Answer(
            image_rgb, self.segmenter(image_rgb), message.header, settings.visualization, settings.visualization_opacity
        )
        stream.publish({topic: MAKE_MESSAGE[topic](answer) for topic in wanted if topic in MAKE_MESSAGE})
        latency_ns = self.get_clock().now().nanoseconds - Time.from_msg(message.header.stamp).nanoseconds
        stream.count_answered(Timing((time.monotonic_ns() - start_ns) / 1e6, latency_ns / 1e6))

    def _update_subscriptions(self) -> None:
        for stream in self._cameras:
            stream.update_subscription()

    def _on_set_parameters(self, changed: list[Parameter[Any]]) -> SetParametersResult:
        reason = parameters.refusal(changed, configured=self.segmenter is not None)
        return SetParametersResult(successful=not reason, reason=reason)

    def _publish_diagnostics(self) -> None:
        values = {"checkpoint": self.get_parameter("checkpoint").value}
        if self.segmenter is not None:
            values |= {"device": self.segmenter.device, "precision": self.segmenter.precision}
        self._diagnostics.publish(
            diagnostics(
                self.get_clock().now().to_msg(), self.get_name(), self.state, self.last_error, values, self._cameras
            )
        )
