# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""OpenDR's interface to this package, for scripts written for OpenDR; a thin layer."""

from __future__ import annotations

import dataclasses
import datetime as dt
import logging
import os
import secrets
from collections.abc import Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from opendr_panoptic_ros.annotation import LabelledImages
from opendr_panoptic_ros.checkpoint import load_checkpoint, save_checkpoint
from opendr_panoptic_ros.config import Config
from opendr_panoptic_ros.data import Heatmap, Image
from opendr_panoptic_ros.download import download_weights
from opendr_panoptic_ros.errors import ConfigError, PanopticError
from opendr_panoptic_ros.files import write_json
from opendr_panoptic_ros.inference import PanopticSegmenter, resolve_device
from opendr_panoptic_ros.network import EfficientPS
from opendr_panoptic_ros.opendr_arguments import SCHEDULE_NAMES, config_name, schedule_values
from opendr_panoptic_ros.opendr_results import RawOutput, heatmaps_of, prediction_of
from opendr_panoptic_ros.optimization import optimize
from opendr_panoptic_ros.visualize import detailed as detailed_view
from opendr_panoptic_ros.visualize import overlay

_LOG = logging.getLogger(__name__)
_PIXELS_PER_INCH = 100


def _of_schedule(name: str) -> Any:
    """Make a property that reads a value of the learner's schedule."""
    return property(lambda self: getattr(self.config.schedule, name))


class EfficientPsLearner:
    """Trains, evaluates and runs EfficientPS.

    The arguments lr to checkpoint_after_iter are also attributes, which can only be read.

    Args:
        config_file: A YAML file, a preset (cityscapes, kitti, coco, demo), or OpenDR's name of a configuration
            (`singlegpu_cityscapes.py`). None = `~/.config/opendr_panoptic_ros/default.yaml` where there is one, else
            cityscapes. When a checkpoint is loaded, its model and classes replace those of the configuration, and so
            do its sections test and data unless a configuration was given here.
        lr: Learning rate. This and the following arguments replace the configuration's values when they are not None;
            the published values are 0.07, 160, 1, SGD, 0.9, 0.0001 and 1.
        iters: Epochs (OpenDR's name).
        batch_size: Images in a batch.
        optimizer: SGD or AdamW.
        lr_schedule: OpenDR's dictionary: warmup_iters, warmup_ratio, step (epochs), gamma; policy "step", warmup
            "linear".
        momentum: Momentum of SGD.
        weight_decay: Weight decay.
        optimizer_config: OpenDR's dictionary: `{"grad_clip": {"max_norm": 35, "norm_type": 2}}`.
        checkpoint_after_iter: Epochs between two checkpoints (OpenDR's name).
        temp_path: Where `fit` makes its folders when it gets no `logging_path`.
        device: "auto", "cpu", "cuda", "cuda:1".
        num_workers: Processes that load training images.
        seed: Seed of training; None = drawn.

    Raises:
        ConfigError: An argument or the configuration cannot be used.
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
        resolve_device(device)
        self.device = device
        self.temp_path = Path(temp_path).expanduser()
        self.num_workers = _natural_number("num_workers", num_workers)
        self.seed = secrets.randbits(31) if seed is None else _natural_number("seed", seed)
        self._segmenter: PanopticSegmenter | None = None

    @property
    def lr_schedule(self) -> dict[str, Any]:
        """The schedule, in the form of the argument of the same name."""
        schedule = self.config.schedule
        return {
            "policy": "step",
            "warmup": "linear",
            "step": list(schedule.decay_epochs),
            **{theirs: getattr(schedule, ours) for theirs, ours in SCHEDULE_NAMES.items()},
        }

    @property
    def optimizer_config(self) -> dict[str, Any]:
        """The limit of the gradients, in the form of the argument of the same name."""
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
        """Train from the loaded weights, or from random ones; the learner then has the trained network.

        For a dataset with other classes, all loaded weights but those of the class layers are kept.

        Args:
            dataset: Training images with their ground truth.
            val_dataset: Validation images, or None.
            logging_path: Folder for checkpoints and TensorBoard; None = a new one in `temp_path`.
            silent: Whether to log warnings only.
            resume_from: An `epoch_N.pth` or `stopped.pth` of such a folder, or None.

        Returns:
            The figures of each epoch, `{"train": [...], "val": [...]}`; see `training.runner.train`.

        Raises:
            ConfigError: The configuration cannot be used, or `logging_path` holds another training.
            DatasetError: The images cannot be used.
            CheckpointError: `resume_from` cannot be resumed.
        """
        from opendr_panoptic_ros.training.initialisation import network_for
        from opendr_panoptic_ros.training.runner import train

        classes = getattr(dataset, "classes", self.config.classes)
        network = network_for(self.config, classes, start=self.model, seed=self.seed)
        new_folder = self.temp_path / f"{dt.datetime.now().astimezone():%Y%m%d_%H%M%S}"
        history = train(
            network,
            dataset,
            val_dataset,
            work_dir=logging_path or new_folder,
            seed=self.seed,
            device=self.device,
            num_workers=self.num_workers,
            resume_from=resume_from,
            silent=silent,
        )
        self._hold(network)
        return history

    def eval(self, dataset: LabelledImages, print_results: bool = False) -> dict[str, Any]:
        """Evaluate the network on a dataset.

        Args:
            dataset: Images with their ground truth.
            print_results: Whether to print the figures as a table.

        Returns:
            Panoptic quality, mIoU and AP, 0-1, as in `EvaluationResult.to_dict`.

        Raises:
            DatasetError: The dataset has no ground truth, or other classes than the network.
            PanopticError: There is no network yet.
        """
        from opendr_panoptic_ros.evaluation import print_result
        from opendr_panoptic_ros.evaluation.run import evaluate

        result = evaluate(self._ready(), dataset)
        if print_results:
            print_result(result)
        return result.to_dict()

    def infer(self, batch: Image | Sequence[Image], return_raw_logits: bool = False) -> Any:
        """Segment an image or several images.

        Args:
            batch: An Image, or a sequence of them.
            return_raw_logits: Whether to return a RawOutput instead of each pair.

        Returns:
            `(instance Heatmap, semantic Heatmap)` of the image's size, or a list of such pairs for a sequence. The
            instance Heatmap is uint16: the segment id of each thing, else 0. The semantic Heatmap is uint8: the train
            id, 255 in pixels without a class.

        Raises:
            TypeError: `batch` is neither.
            PanopticError: There is no network yet.
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
        return heatmaps_of(prediction)

    def save(self, path: str | Path) -> bool:
        """Save the network. The reason of a failure is logged.

        Args:
            path: A file, `.pth` or `.safetensors`; a name without suffix becomes an OpenDR model directory.

        Returns:
            Whether the network was saved.
        """
        if self.model is None:
            _LOG.error("There is no network to save; call fit or load first.")
            return False
        try:
            if not str(path):
                raise PanopticError("the path is empty; name a file or a folder.")
            path = Path(path).expanduser()
            if path.suffix:
                save_checkpoint(self.model, path)
            else:
                _save_opendr_directory(self.model, path)
        # RuntimeError: torch's for files that cannot be opened. TypeError, ValueError: None, NUL and the like.
        except (PanopticError, OSError, RuntimeError, TypeError, ValueError) as error:
            _LOG.error("Could not save to %s: %s", path, error)
            return False
        return True

    def load(self, path: str | Path) -> bool:
        """Load a network. The reason of a failure is logged.

        Args:
            path: A file, an OpenDR model directory, or a name such as demo.

        Returns:
            Whether the network was loaded.
        """
        try:
            network = load_checkpoint(path)
        except (PanopticError, OSError, RuntimeError, TypeError, ValueError) as error:  # the last three: invalid paths
            _LOG.error("Could not load %s: %s", path, error)
            return False
        self._hold(network)
        return True

    def optimize(
        self,
        target_device: str = "auto",
        *,
        backend: str = "auto",
        precision: str = "auto",
        size: tuple[int, int] | None = None,
        calibration: Sequence[Image] = (),
        out: str | Path | None = None,
    ) -> bool:
        """Prepare the loaded network for inference on a device now, instead of at the first image.

        Afterwards `infer` and `eval` use the back end. By default the float network is converted into the cache.

        Args:
            target_device: "auto", "cpu", "cuda", "cuda:1".
            backend: Runtime of the network: a name of `backends.BACKENDS`; "auto" is the fastest one that is installed.
            precision: One of `inference.PRECISIONS`; int8 needs `calibration` and `out`.
            size: Height and width of the network's input in px, for back ends that serve one size; None stands for
                the test size of the configuration.
            calibration: Images of the camera, from which int8 takes the ranges of values.
            out: Folder to write the converted network to, which must not exist. It can be loaded like a checkpoint.

        Returns:
            True.

        Raises:
            PanopticError: There is no network yet.
            ConfigError: The machine has no such device, or the back end or the precision is not available.
            OSError: `out` exists or cannot be written.
        """
        if self.model is None:
            raise PanopticError("There is no network yet; call load or fit first.")
        options: dict[str, Any] = {"device": target_device, "backend": backend, "precision": precision}
        if out is None:
            self._segmenter = PanopticSegmenter(self.model, **options)
        else:
            folder = Path(out).expanduser()
            images = [image.convert("channels_last") for image in calibration]
            optimize(self.model, folder, size=size, calibration=images, **options)
            self._segmenter = PanopticSegmenter(folder, device=target_device, config=self.model.config)
        self.device = target_device
        return True

    def reset(self) -> None:
        """Discard the network; the configuration stays."""
        self.model = self._segmenter = None

    @staticmethod
    def download(path: str | Path, mode: str = "model", trained_on: str = "cityscapes") -> str:
        """Download the released weights from OpenDR's server, if they are not in the folder yet.

        Args:
            path: Folder for the file.
            mode: "model"; OpenDR's other modes are not supported.
            trained_on: cityscapes or kitti.

        Returns:
            The path of the file.

        Raises:
            ValueError: `mode` is another word.
            DownloadError: The file cannot be downloaded.
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
        """Draw a prediction over its image.

        Args:
            image: The image.
            prediction: The pair that `infer` returned for it.
            show_figure: Whether to show the figure in a window until a key is pressed; ignored without a display.
            save_figure: Whether to write the figure to `figure_filename`.
            figure_filename: File to write to.
            figure_size: Largest width and height in inches of 100 pixels.
            detailed: Whether to draw four views instead of the overlay.

        Returns:
            The figure.

        Raises:
            ValueError: The figure is to be saved and has no file name.
            OSError: The file cannot be written.
        """
        if save_figure and figure_filename is None:
            raise ValueError("save_figure is True, but there is no figure_filename.")
        draw = detailed_view if detailed else overlay
        rgb = draw(image.convert("channels_last"), prediction_of(*prediction))
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
        self.model, self._segmenter = network.with_config(self.config), None

    def _ready(self) -> PanopticSegmenter:
        if self.model is None:
            raise PanopticError("There is no network yet; call load or fit first.")
        if self._segmenter is None:
            self._segmenter = PanopticSegmenter(self.model, device=self.device, backend="auto")
        return self._segmenter


def _natural_number(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 0:
        raise ConfigError(f"{name} is {value!r}; expected an integer, 0 or more.")
    return int(value)


def _save_opendr_directory(network: EfficientPS, directory: Path) -> None:
    """Write `NAME/NAME.json` and the weights that it names, OpenDR's layout of models."""
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
