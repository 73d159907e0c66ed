# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""What determines the results of a bag, as values that can be sent to other processes and machines."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from opendr_panoptic_ros.bags.mcap_output import COMPRESSIONS
from opendr_panoptic_ros.bags.results import COLORS, LABELS
from opendr_panoptic_ros.errors import ConfigError, quoted
from opendr_panoptic_ros.files import expand_user
from opendr_panoptic_ros.outputs import VISUALIZATION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opendr_panoptic_ros.inference import PanopticSegmenter
    from opendr_panoptic_ros.pipeline import FramePipeline
    from opendr_panoptic_ros.postprocess import EgoMask

OUTPUTS_BY_DEFAULT = (*LABELS, *COLORS, VISUALIZATION)


@dataclass(frozen=True)
class NetworkOptions:
    """The network, see `PanopticSegmenter`. Names and paths are valid on each machine that labels.

    Attributes:
        checkpoint: A path or a name.
        config: Configuration that replaces the one of the checkpoint: a YAML file or the name of a preset; None for
            the checkpoint's.
        device: Name of the device.
        backend: Name of the back end.
        precision: Number format of the network.
        size: Longer side of the network's input in pixels; None for the configuration's.
        score_threshold: Smallest score of a detection, 0 to 1; None for the configuration's.
        overlap_threshold: Largest share of an instance that others may cover, 0 to 1; None for the configuration's.
        min_stuff_area: Smallest area of a stuff segment in pixels; None for the configuration's.
        changes: Changed entries of the configuration, as `Config.with_changes` takes them.
        scales: Scales at which each image is segmented, see `MultiViewSegmenter`.
        flip: Whether each image is also segmented mirrored.
        threads: Number of threads that the network uses on a CPU; None for those of the process. With the back end
            `torch`, results with different numbers may differ in single pixels.
    """

    checkpoint: str = "demo"
    config: str | None = None
    device: str = "auto"
    backend: str = "auto"
    precision: str = "auto"
    size: int | None = None
    score_threshold: float | None = None
    overlap_threshold: float | None = None
    min_stuff_area: int | None = None
    changes: tuple[str, ...] = ()
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    threads: int | None = None

    def segmenter(self) -> PanopticSegmenter:
        """Return the network. A process keeps the one that it used last.

        Raises:
            CheckpointError: The checkpoint cannot be used.
            ConfigError: Another option is not legal.
        """
        return _segmenter(self, _identity(self.checkpoint), _identity(self.config or ""))


def _identity(path_or_name: str) -> tuple[object, ...]:
    """Return what changes when another file gets this path, so that a network that was kept is not used for it."""
    try:
        path = expand_user(path_or_name).absolute()
        status = path.stat()
    except OSError:
        return (path_or_name,)
    return path, status.st_ino, status.st_size, status.st_mtime_ns


@lru_cache(maxsize=1)
def _segmenter(options: NetworkOptions, *_identities: tuple[object, ...]) -> PanopticSegmenter:
    import torch

    from opendr_panoptic_ros.checkpoint import load_checkpoint
    from opendr_panoptic_ros.config import Config
    from opendr_panoptic_ros.inference import PanopticSegmenter
    from opendr_panoptic_ros.multi_view import MultiViewSegmenter

    if options.threads is not None:
        torch.set_num_threads(options.threads)
    config: Config | str | None = options.config
    if options.changes:
        config = load_checkpoint(options.checkpoint, config=config).config.with_changes(options.changes)
    settings: dict[str, Any] = (
        {} if options.scales == (1.0,) and not options.flip else {"scales": options.scales, "flip": options.flip}
    )
    segmenter_class = MultiViewSegmenter if settings else PanopticSegmenter
    return segmenter_class(
        options.checkpoint,
        config=config,
        device=options.device,
        backend=options.backend,
        precision=options.precision,
        inference_size=options.size,
        score_threshold=options.score_threshold,
        overlap_threshold=options.overlap_threshold,
        min_stuff_area=options.min_stuff_area,
        **settings,
    )


@dataclass(frozen=True)
class CloudOptions:
    """The depth images from which labelled clouds are made.

    Attributes:
        depth_topic: Topic of depth images of the same view, 16UC1 in mm or 32FC1 in m.
        info_topic: Topic of their CameraInfo.
        is_rectified: Whether they are rectified. If not, the distortion in the CameraInfo is undone.
    """

    depth_topic: str = "/depth/image_rect"
    info_topic: str = "/depth/camera_info"
    is_rectified: bool = True


@dataclass(frozen=True)
class LabelOptions:
    """Everything that determines the content of a labelled bag, besides the bag itself.

    Attributes:
        network: The network.
        topics: Names of the image topics; when empty, the only topic that has images.
        outputs: Names of the results to write, keys of `results.TYPE_NAMES`.
        copied: Which messages of the bag are in the result: those of all topics, only the frames that are segmented,
            or none.
        start_s: Time after the bag's start at which to begin, in seconds.
        end_s: Time after the bag's start at which to end, in seconds; None for the bag's end.
        every: Every n-th image of a topic is segmented. The others are not copied.
        batch: Number of frames of one size that are segmented together.
        track_ids: Whether instances keep their ids over the frames of a topic.
        label_map: A YAML file or the name of a label map; None for the classes of the network.
        classes: Names of the classes to keep; all when empty.
        ego_masks: Image files with the ego mask: none, one for all topics, or one for each.
        rotations: Degrees clockwise that make the images upright: none, one for all topics, or one for each.
        clouds: How labelled clouds are made; None for none.
        compression: Compression of the result, of `mcap_output.COMPRESSIONS`.

    Raises:
        ConfigError: There is no such compression.
    """

    network: NetworkOptions = NetworkOptions()
    topics: tuple[str, ...] = ()
    outputs: tuple[str, ...] = OUTPUTS_BY_DEFAULT
    copied: Literal["all", "frames", "none"] = "all"
    start_s: float = 0.0
    end_s: float | None = None
    every: int = 1
    batch: int = 4
    track_ids: bool = False
    label_map: str | None = None
    classes: tuple[str, ...] = ()
    ego_masks: tuple[str, ...] = ()
    rotations: tuple[int, ...] = ()
    clouds: CloudOptions | None = None
    compression: str = "zstd"

    def __post_init__(self) -> None:
        if self.compression not in COMPRESSIONS:
            raise ConfigError(
                f"--compression is {quoted(self.compression)}; expected one of {', '.join(COMPRESSIONS)}."
            )

    def pipeline(self, topics: Sequence[str], *, track_ids: bool) -> FramePipeline:
        """Make the pipeline for the frames of a bag.

        Args:
            topics: Names of the image topics, which are the cameras.
            track_ids: Whether the pipeline tracks, which requires that it gets all frames of the bag in their order.

        Raises:
            PanopticError: An option is not legal, or a file cannot be read.
        """
        from opendr_panoptic_ros.label_map import LabelMap
        from opendr_panoptic_ros.pipeline import FramePipeline
        from opendr_panoptic_ros.postprocess import check_class_names
        from opendr_panoptic_ros.rotation import rotations_of

        masks = self._masks(topics)
        rotations = rotations_of(self.rotations, topics, "--image-rotation")
        segmenter = self.network.segmenter()
        label_map = LabelMap.load(self.label_map, segmenter.config.classes) if self.label_map else None
        pipeline = FramePipeline(
            segmenter,
            ego_masks=masks,
            track_ids=track_ids,
            max_batch=self.batch,
            label_map=label_map,
            rotations=rotations,
        )
        check_class_names(self.classes, pipeline.classes.names, "--classes")
        return pipeline

    def _masks(self, topics: Sequence[str]) -> dict[str, EgoMask]:
        from opendr_panoptic_ros.postprocess import read_ego_mask

        if not self.ego_masks:
            return {}
        if len(self.ego_masks) not in {1, len(topics)}:
            raise ConfigError(
                f"--ego-mask is given {len(self.ego_masks)} times for {len(topics)} topics; expected one, or one for "
                "each topic."
            )
        masks = [read_ego_mask(path) for path in self.ego_masks]
        return dict(zip(topics, masks if len(masks) == len(topics) else masks * len(topics), strict=True))
