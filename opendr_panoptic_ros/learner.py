# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""EfficientPsLearner: OpenDR's interface to this package, so that scripts written for OpenDR keep working. Thin."""

from __future__ import annotations

import dataclasses
import datetime as dt
import logging
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.annotation import LabelledImages, PanopticAnnotation
from opendr_panoptic_ros.checkpoint import load_checkpoint, save_checkpoint
from opendr_panoptic_ros.config import Config
from opendr_panoptic_ros.data import Heatmap, Image
from opendr_panoptic_ros.download import download_weights
from opendr_panoptic_ros.errors import PanopticError
from opendr_panoptic_ros.files import write_json
from opendr_panoptic_ros.inference import PanopticSegmenter
from opendr_panoptic_ros.labels import CITYSCAPES, VOID, ClassTable
from opendr_panoptic_ros.network import EfficientPS
from opendr_panoptic_ros.opendr_arguments import SCHEDULE_NAMES, config_name, schedule_values
from opendr_panoptic_ros.prediction import PanopticPrediction
from opendr_panoptic_ros.visualize import detailed as detailed_view
from opendr_panoptic_ros.visualize import overlay

_LOG = logging.getLogger(__name__)
_PIXELS_PER_INCH = 100


class RawOutput(NamedTuple):
    """What the network says before the fusion, at the size it saw the image in; all float32 but the labels.

    semantic_logits: `(classes, h, w)`. boxes: `(N, 4)` x1, y1, x2, y2 px. scores: `(N,)` 0-1. labels: `(N,)` int64,
    0-based things. mask_logits: `(N, 28, 28)` of each detection's class.
    """

    semantic_logits: NDArray[np.float32]
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    mask_logits: NDArray[np.float32]


class SemanticHeatmap(Heatmap):
    """The Heatmap of train ids that `infer` returns; `classes` says what they mean, and in which colours."""

    def __init__(self, prediction: PanopticPrediction) -> None:
        super().__init__(prediction.semantic_map, dict(enumerate(prediction.classes.names)))
        self.classes = prediction.classes


def _of_schedule(name: str) -> Any:
    """A property: that value of the learner's schedule."""
    return property(lambda self: getattr(self.config.schedule, name))


class EfficientPsLearner:
    """Trains, evaluates and runs EfficientPS.

    config_file: a YAML file, a preset (cityscapes, kitti, demo), or OpenDR's name of a configuration
        (`singlegpu_cityscapes.py`). None: `~/.config/opendr_panoptic_ros/default.yaml` where there is one, else
        cityscapes. A configuration given here keeps its sections test and data when a checkpoint is loaded; otherwise
        the checkpoint's hold. Model and classes are always the checkpoint's, the schedule always the learner's.
    lr, iters (epochs), batch_size, optimizer (SGD or AdamW), momentum, weight_decay, checkpoint_after_iter (epochs):
        replace the configuration's values, which are the published ones: 0.07, 160, 1, SGD, 0.9, 0.0001, 1.
    lr_schedule: as OpenDR's: warmup_iters, warmup_ratio, step (epochs), gamma; policy "step" and warmup "linear".
    optimizer_config: as OpenDR's: `{"grad_clip": {"max_norm": 35, "norm_type": 2}}`.
    temp_path: where `fit` puts its folders unless told otherwise. device: "auto", "cpu", "cuda", "cuda:1".
    num_workers: processes that load training images. seed: of training; drawn when None.

    The arguments lr to checkpoint_after_iter are also attributes, to be read: what holds now.
    Raises ConfigError for an unusable configuration.
    """

    lr = _of_schedule("learning_rate")
    iters = _of_schedule("epochs")
    batch_size = _of_schedule("batch_size")
    optimizer = _of_schedule("optimizer")
    momentum = _of_schedule("momentum")
    weight_decay = _of_schedule("weight_decay")
    checkpoint_after_iter = _of_schedule("checkpoint_every")

    def __init__(
        self,
        config_file: str | Path | Config | None = None,
        *,
        lr: float | None = None,
        iters: int | None = None,
        batch_size: int | None = None,
        optimizer: str | None = None,
        lr_schedule: Mapping[str, Any] | None = None,
        momentum: float | None = None,
        weight_decay: float | None = None,
        optimizer_config: Mapping[str, Any] | None = None,
        checkpoint_after_iter: int | None = None,
        temp_path: str | Path = "eps_tmp",
        device: str = "auto",
        num_workers: int = 1,
        seed: int | None = None,
    ) -> None:
        config = config_file if isinstance(config_file, Config) else Config.load(config_name(config_file))
        given = {
            "learning_rate": lr,
            "epochs": iters,
            "batch_size": batch_size,
            "optimizer": optimizer,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "checkpoint_every": checkpoint_after_iter,
            **schedule_values(lr_schedule or {}, optimizer_config or {}),
        }
        values = config.to_dict()
        values["schedule"].update({key: value for key, value in given.items() if value is not None})
        self.config = Config.from_dict(values)
        self._config_was_given = config_file is not None
        self.model: EfficientPS | None = None
        self.device = device
        self.temp_path = Path(temp_path).expanduser()
        self.num_workers = num_workers
        self.seed = secrets.randbits(31) if seed is None else seed
        self._segmenter: PanopticSegmenter | None = None

    @property
    def lr_schedule(self) -> dict[str, Any]:
        """The schedule as the argument of the same name takes it."""
        schedule = self.config.schedule
        return {
            "policy": "step",
            "warmup": "linear",
            "step": list(schedule.decay_epochs),
            **{theirs: getattr(schedule, ours) for theirs, ours in SCHEDULE_NAMES.items()},
        }

    @property
    def optimizer_config(self) -> dict[str, Any]:
        """The limit of the gradients as the argument of the same name takes it."""
        limit = self.config.schedule.max_gradient_norm
        return {"grad_clip": {"max_norm": limit, "norm_type": 2} if limit else None}

    def fit(
        self,
        dataset: LabelledImages,
        val_dataset: LabelledImages | None = None,
        logging_path: str | Path | None = None,
        silent: bool = True,
        *,
        resume_from: str | Path | None = None,
    ) -> dict[str, list[dict[str, Any]]]:
        """The figures of each epoch, `{"train": [...], "val": [...]}`; then the learner holds the trained network.

        Training starts from the weights that were loaded, or from random ones. A dataset with other classes is learnt
        too: all loaded weights but those of the class layers are kept then.
        logging_path: the folder of the training (checkpoints, TensorBoard); a new one in `temp_path` when None.
        resume_from: an `epoch_N.pth` in such a folder. silent: no progress on the terminal.
        Raises ConfigError, DatasetError, CheckpointError as `training.runner.train` does.
        """
        from opendr_panoptic_ros.training.initialisation import network_for
        from opendr_panoptic_ros.training.runner import train

        classes = getattr(dataset, "classes", self.config.classes)
        network = network_for(self.config, classes, start=self.model, seed=self.seed)
        new_folder = self.temp_path / f"{dt.datetime.now().astimezone():%Y%m%d_%H%M%S}"
        history = train(
            network, dataset, val_dataset, work_dir=logging_path or new_folder, seed=self.seed, device=self.device,
            num_workers=self.num_workers, resume_from=resume_from, silent=silent,
        )  # fmt: skip
        self._hold(network)
        return history

    def eval(self, dataset: LabelledImages, print_results: bool = False) -> dict[str, Any]:
        """Panoptic quality, mIoU and AP on a dataset, as `EvaluationResult.to_dict` gives them: values 0-1.

        print_results: also print them as a table.
        Raises DatasetError when the dataset has no truth or other classes than the network.
        """
        from opendr_panoptic_ros.evaluation import print_result
        from opendr_panoptic_ros.evaluation.run import evaluate

        result = evaluate(self._ready(), dataset)
        if print_results:
            print_result(result)
        return result.to_dict()

    def infer(self, batch: Image | Sequence[Image], return_raw_logits: bool = False) -> Any:
        """`(instance Heatmap, semantic Heatmap)` of an image, or a list of such pairs for a list of images.

        The instance Heatmap is uint16, the segment id of each thing and 0 elsewhere; the semantic one uint8, the train
        id, 255 where nothing was recognised. Both have the image's size.
        return_raw_logits: a RawOutput instead of each pair.
        Raises TypeError for anything else than an Image or a sequence of them.
        """
        segmenter = self._ready()
        if not isinstance(batch, Image):
            if not isinstance(batch, Sequence) or not all(isinstance(image, Image) for image in batch):
                raise TypeError(f"batch is {type(batch).__name__}; expected an Image or a list of them: Image(array).")
            return [self.infer(image, return_raw_logits) for image in batch]
        pixels = batch.convert("channels_last")
        if return_raw_logits:
            logits, detections = segmenter.head_outputs(pixels)
            return RawOutput(*(tensor.cpu().numpy() for tensor in (logits, *detections)))
        prediction = segmenter(pixels)
        things = {s.id: s.label for s in prediction.segments if s.is_thing}
        return Heatmap(prediction.instance_map, things), SemanticHeatmap(prediction)

    def save(self, path: str | Path) -> bool:
        """Whether the network was written; the reason is logged when it was not.

        path: a file `.pth` or `.safetensors`; a name without an ending becomes an OpenDR model directory.
        """
        if self.model is None:
            _LOG.error("There is no network to save; call fit or load first.")
            return False
        try:
            path = Path(path).expanduser()
            if path.suffix:
                save_checkpoint(self.model, path)
            else:
                _save_opendr_directory(self.model, path)
        except (PanopticError, OSError, TypeError) as error:
            _LOG.error("Could not save to %s: %s", path, error)
            return False
        return True

    def load(self, path: str | Path) -> bool:
        """Whether the network in a file, an OpenDR directory or of a name was loaded; if not, the reason is logged."""
        try:
            network = load_checkpoint(path)
        except (PanopticError, OSError, TypeError) as error:  # TypeError: None and the like for a path
            _LOG.error("Could not load %s: %s", path, error)
            return False
        self._hold(network)
        return True

    def optimize(self, target_device: str = "auto") -> bool:
        """Make the loaded network ready for inference on a device now, not at the first image; True."""
        if self.model is None:
            raise PanopticError("There is no network yet; call load or fit first.")
        self._segmenter = PanopticSegmenter(self.model, device=target_device)
        self.device = target_device
        return True

    def reset(self) -> None:
        """Forget the network; the configuration stays."""
        self.model = self._segmenter = None

    @staticmethod
    def download(path: str | Path, mode: str = "model", trained_on: str = "cityscapes") -> str:
        """The path of the released weights in the folder `path`; fetched from OpenDR's server if they are not there.

        mode: "model". trained_on: cityscapes or kitti. Raises DownloadError when they cannot be had.
        """
        if mode != "model":
            raise ValueError(f"mode is {mode!r}; expected 'model'.")
        return str(download_weights(trained_on, path))

    @staticmethod
    def visualize(
        image: Image,
        prediction: tuple[Heatmap, Heatmap],
        show_figure: bool = True,
        save_figure: bool = False,
        figure_filename: str | Path | None = None,
        figure_size: tuple[float, float] = (15, 10),
        detailed: bool = False,
    ) -> Image:
        """The picture of a prediction that `infer` returned for an image.

        show_figure: in a window, until a key is pressed; without a display there is none. save_figure: into
        figure_filename. figure_size: largest width and height in inches of 100 pixels. detailed: four views in one.
        Raises ValueError when a figure is to be saved and has no name.
        """
        if save_figure and figure_filename is None:
            raise ValueError("save_figure is True, but there is no figure_filename.")
        draw = detailed_view if detailed else overlay
        rgb = draw(image.convert("channels_last"), _prediction_of(*prediction))
        scale = min(1.0, *(s * _PIXELS_PER_INCH / side for s, side in zip(figure_size, rgb.shape[1::-1], strict=True)))
        figure = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else rgb
        if save_figure:
            path = Path(str(figure_filename)).expanduser()
            path.parent.mkdir(parents=True, exist_ok=True)
            if not cv2.imwrite(str(path), np.ascontiguousarray(figure[:, :, ::-1])):
                raise OSError(f"{path} could not be written.")
        if show_figure and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            cv2.imshow("EfficientPS", np.ascontiguousarray(figure[:, :, ::-1]))
            cv2.waitKey()
            cv2.destroyAllWindows()
        return Image(figure[:, :, ::-1])

    def _hold(self, network: EfficientPS) -> None:
        kept = ("schedule", "test", "data") if self._config_was_given else ("schedule",)
        self.config = dataclasses.replace(network.config, **{name: getattr(self.config, name) for name in kept})
        network.config = self.config
        self.model, self._segmenter = network, None

    def _ready(self) -> PanopticSegmenter:
        if self.model is None:
            raise PanopticError("There is no network yet; call load or fit first.")
        if self._segmenter is None:
            self._segmenter = PanopticSegmenter(self.model, device=self.device)
        return self._segmenter


def _save_opendr_directory(network: EfficientPS, directory: Path) -> None:
    """`NAME/NAME.json` and the weights it names, as OpenDR keeps models."""
    name = directory.resolve().name
    save_checkpoint(network, directory / f"{name}.pth")
    description = {
        "model_paths": [f"{name}.pth"],
        "framework": "pytorch",
        "format": "pth",
        "has_data": False,
        "inference_params": {},
        "optimized": False,
        "optimizer_info": {},
    }
    write_json(directory / f"{name}.json", description)


def _prediction_of(instances: Heatmap, semantic: Heatmap) -> PanopticPrediction:
    """The prediction that two Heatmaps show."""
    classes: ClassTable = getattr(semantic, "classes", CITYSCAPES)
    instance_map, semantic_map = instances.numpy().astype(np.int32), semantic.numpy()
    stuff = int(instance_map.max(initial=0)) + 1
    stuff_map = np.where(semantic_map == VOID, 0, stuff + semantic_map.astype(np.int32))
    segment_map = np.where(instance_map > 0, instance_map, stuff_map)
    ids, first = np.unique(segment_map, return_index=True)
    class_ids = {int(i): int(semantic_map.flat[place]) for i, place in zip(ids, first, strict=True) if i > 0}
    return PanopticAnnotation.from_map(segment_map, class_ids, classes)
