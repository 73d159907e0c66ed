# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""RerunRecording: frames and results over time, for the viewer Rerun. Needs the extra `view`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros import visualize
from opendr_panoptic_ros.labels import CITYSCAPES, VOID, ClassTable
from opendr_panoptic_ros.prediction import Segment

if TYPE_CHECKING:
    from rerun import blueprint
try:
    import rerun
except ImportError as error:
    raise ImportError(
        "The viewer needs the extra `view`: pip install 'opendr_panoptic_ros[view]', or pip install rerun-sdk."
    ) from error

APPLICATION = "opendr_panoptic"
TIMELINE = "stamp"
"""The timeline of all data: stamps in time since the epoch."""
_JPEG_QUALITY = 90
_OPACITY = 0.5


class RerunRecording:
    """A recording with one timeline, the stamps.

    The entities of a camera are below its name: `image` with `image/boxes`; `semantic` and `instance`, maps with names
    and colours; `space/points` and `space/boxes_3d` in its optical frame. Durations are below `/time`.

    Args:
        name: Name of the recording that the viewer shows, such as the name of a file.
        classes: Classes of the labels; None for those of the segments, with the colours of Cityscapes where it has a
            class of that name.
    """

    def __init__(self, name: str, classes: ClassTable | None = None) -> None:
        self._stream = rerun.RecordingStream(APPLICATION)
        self._stream.set_log_time_enabled(False)
        self._stream.set_log_tick_enabled(False)
        self._stream.send_recording_name(name)
        self._classes: dict[int, tuple[str, tuple[int, int, int]]] = {VOID: ("void", (0, 0, 0))}
        if classes is not None:
            rows = zip(classes.ids, classes.names, classes.colors, strict=True)
            self._classes |= {class_id: (name, color) for class_id, name, color in rows}
        self._with_classes: set[str] = set()
        self._instances: dict[str, dict[tuple[str, int], int]] = {}
        self._with_instances: set[str] = set()
        self._cameras: dict[str, str] = {}
        self._with_space: set[str] = set()
        self._with_times = False
        self._is_live = False

    def save(self, path: Path) -> None:
        """Write everything that is logged from now on to a file.

        Args:
            path: The file, which is replaced.
        """
        self._stream.save(path)

    def spawn(self) -> None:
        """Open the viewer, which shows everything that is logged from now on."""
        self._is_live = True
        self._stream.spawn()

    def close(self) -> None:
        """Send the names, the arrangement of the views, and what is not sent yet."""
        for camera in self._with_classes:
            self._log_classes(camera)
        for camera in self._with_instances:
            self._log_instances(camera)
        self._stream.send_blueprint(self._blueprint())
        self._stream.flush()
        self._stream.disconnect()

    def log_frame(self, camera: str, time_ns: int, image_rgb: NDArray[np.uint8]) -> None:
        """Log an image.

        Args:
            camera: Name of the camera.
            time_ns: Stamp in ns.
            image_rgb: `(H, W, 3)` uint8 RGB.
        """
        self._set_time(time_ns)
        image = rerun.Image(np.ascontiguousarray(image_rgb)).compress(jpeg_quality=_JPEG_QUALITY)
        self._stream.log(f"{self._entity(camera)}/image", image)

    def log_segments(
        self, camera: str, time_ns: int, segment_map: NDArray[np.int32], segments: Sequence[Segment]
    ) -> None:
        """Log a segmentation: both maps and the boxes of the things.

        Args:
            camera: Name of the camera.
            time_ns: Stamp in ns.
            segment_map: `(H, W)` int32, the id of each pixel's segment, 0 for void.
            segments: The segments.
        """
        self._set_time(time_ns)
        entity, things = self._entity(camera), [segment for segment in segments if segment.is_thing]
        self._add_classes(entity, segments)
        semantic = _by_segment(segment_map, {s.id: s.class_id for s in segments}, VOID)
        self._stream.log(f"{entity}/semantic", rerun.SegmentationImage(semantic.astype(np.uint8), opacity=_OPACITY))
        numbers = self._numbers_of(entity, things)
        self._stream.log(f"{entity}/instance", rerun.SegmentationImage(_by_segment(segment_map, numbers, 0)))
        boxes = np.array([s.box_xyxy_px for s in things], np.float32).reshape(-1, 4)
        boxes_2d = rerun.Boxes2D(
            mins=boxes[:, :2],
            sizes=boxes[:, 2:] - boxes[:, :2],
            labels=[_name(s) for s in things],
            class_ids=[s.class_id for s in things],
        )
        self._stream.log(f"{entity}/image/boxes", boxes_2d)

    def log_points(
        self,
        camera: str,
        time_ns: int,
        points: NDArray[np.float32],
        colors: NDArray[np.uint8],
        labels: NDArray[np.uint16],
    ) -> None:
        """Log a labelled cloud.

        Args:
            camera: Name of the camera.
            time_ns: Stamp in ns.
            points: `(N, 3)` in metres.
            colors: `(N, 3)` uint8 RGB.
            labels: `(N,)`, class ids.
        """
        self._stream.log(
            f"{self._space(camera, time_ns)}/points", rerun.Points3D(points, colors=colors, class_ids=labels)
        )

    def log_boxes_3d(
        self,
        camera: str,
        time_ns: int,
        centers_m: NDArray[np.float64],
        sizes_m: NDArray[np.float64],
        labels: Sequence[str],
    ) -> None:
        """Log boxes of things.

        Args:
            camera: Name of the camera.
            time_ns: Stamp in ns.
            centers_m: `(N, 3)`.
            sizes_m: `(N, 3)`.
            labels: Name of each box.
        """
        boxes = rerun.Boxes3D(centers=centers_m, half_sizes=sizes_m / 2, labels=list(labels))
        self._stream.log(f"{self._space(camera, time_ns)}/boxes_3d", boxes)

    def log_duration(self, camera: str, time_ns: int, name: str, value_ms: float) -> None:
        """Log a duration, which is shown over time.

        Args:
            camera: Name of the camera.
            time_ns: Time in ns.
            name: What the duration is of, such as `processing_time_ms`.
            value_ms: The duration.
        """
        self._set_time(time_ns)
        self._with_times = True
        self._stream.log(f"time{self._entity(camera)}/{name}", rerun.Scalars(value_ms))

    def _set_time(self, time_ns: int) -> None:
        self._stream.set_time(TIMELINE, timestamp=np.datetime64(time_ns, "ns"))

    def _entity(self, camera: str) -> str:
        """Return the path of a camera."""
        words = [re.sub(r"[^\w.-]", "_", word) for word in camera.split("/") if word]
        return self._cameras.setdefault(camera, "/" + "/".join(words or ["camera"]))

    def _space(self, camera: str, time_ns: int) -> str:
        """Return the path of a camera's three-dimensional space."""
        space = f"{self._entity(camera)}/space"
        if camera not in self._with_space:
            self._with_space.add(camera)
            self._stream.log(space, rerun.ViewCoordinates.RDF, static=True)  # an optical frame
        self._set_time(time_ns)
        return space

    def _add_classes(self, camera: str, segments: Sequence[Segment]) -> None:
        """Log the classes below the path of a camera, and again when segments have new ones."""
        known = dict(zip(CITYSCAPES.names, CITYSCAPES.colors, strict=True))
        new = {s.class_id: s.label for s in segments if s.class_id not in self._classes}
        for class_id, label in new.items():
            red, green, blue = visualize.colors_by_id(np.array([class_id + 1]))[0].tolist()
            self._classes[class_id] = label, known.get(label, (red, green, blue))
        if new or camera not in self._with_classes:
            self._with_classes.add(camera)
            if self._is_live:
                self._log_classes(camera)

    # The viewer uses one list of names for all times, so a saved recording has each list once, complete.
    def _log_classes(self, camera: str) -> None:
        rows = [rerun.AnnotationInfo(i, name, color) for i, (name, color) in sorted(self._classes.items())]
        for entity in ("semantic", "image", "space"):  # not above instance, whose numbers are no classes
            self._stream.log(f"{camera}/{entity}", rerun.AnnotationContext(rows), static=True)

    def _log_instances(self, camera: str) -> None:
        known = self._instances[camera]
        colors = visualize.colors_by_id(np.array([segment_id for _, segment_id in known], np.int64)).tolist()
        rows = [
            rerun.AnnotationInfo(number, f"{label} {segment_id}", (red, green, blue))
            for ((label, segment_id), number), (red, green, blue) in zip(known.items(), colors, strict=True)
        ]
        context = rerun.AnnotationContext([rerun.AnnotationInfo(0, "no instance", (0, 0, 0)), *rows])
        self._stream.log(f"{camera}/instance", context, static=True)

    def _numbers_of(self, camera: str, things: Sequence[Segment]) -> dict[int, int]:
        """Return the value of each thing in the instance map, by its id, and name new values.

        The ids themselves cannot be named: the viewer uses one list of names for all times, and without tracking an id
        belongs to another thing in the next frame.
        """
        known = self._instances.setdefault(camera, {})
        count = len(known)
        for segment in things:
            known.setdefault((segment.label, segment.id), min(len(known) + 1, np.iinfo(np.uint16).max))
        if len(known) > count or camera not in self._with_instances:
            self._with_instances.add(camera)
            if self._is_live:
                self._log_instances(camera)
        return {segment.id: known[segment.label, segment.id] for segment in things}

    def _blueprint(self) -> blueprint.Blueprint:
        """Return the arrangement: a row of views for each camera, and the durations below."""
        from rerun import blueprint

        rows: list[Any] = []
        for camera, entity in self._cameras.items():
            views: list[Any] = [
                blueprint.Spatial2DView(origin=entity, name="image", contents=["$origin/image/**"]),
                blueprint.Spatial2DView(origin=entity, name="semantic", contents=["$origin/image", "$origin/semantic"]),
                blueprint.Spatial2DView(origin=entity, name="instance", contents=["$origin/instance"]),
            ]
            if camera in self._with_space:
                views.append(blueprint.Spatial3DView(origin=f"{entity}/space", name="space"))
            rows.append(blueprint.Grid(*views, grid_columns=2, name=camera or "camera"))
        content: Any = blueprint.Tabs(*rows) if len(rows) > 1 else rows[0] if rows else blueprint.Tabs()
        if self._with_times:
            times = blueprint.TimeSeriesView(origin="/time", name="time in ms")
            content = blueprint.Vertical(content, times, row_shares=[4, 1])
        return blueprint.Blueprint(content)


def _name(segment: Segment) -> str:
    return f"{segment.label} {segment.id} ({segment.score:.2f})"


def _by_segment(segment_map: NDArray[np.int32], values: dict[int, int], default: int) -> NDArray[np.uint16]:
    """Map each pixel's segment id to a value; `default` where `values` has none."""
    table = np.full(max([0, *values, int(segment_map.max(initial=0))]) + 1, default, np.uint16)
    table[list(values)] = list(values.values())
    return table[segment_map]
