# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""PanopticSegmenter: images of any size in, panoptic predictions at the same size out."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import overload

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from opendr_panoptic_ros.backends import BACKENDS, resolve_backend
from opendr_panoptic_ros.backends.base import BuiltBackend, Progress
from opendr_panoptic_ros.backends.cache import read_build
from opendr_panoptic_ros.backends.opening import free_dense_part_, log_progress, open_backend, return_free_memory
from opendr_panoptic_ros.checkpoint import build_folder, load_checkpoint, weights_directory
from opendr_panoptic_ros.config import MAX_SIDE_PX, Config, TestConfig, Thresholds
from opendr_panoptic_ros.errors import ConfigError, quoted
from opendr_panoptic_ros.network import SIZE_DIVISOR, EfficientPS
from opendr_panoptic_ros.network.roi_heads import Detections
from opendr_panoptic_ros.prediction import PanopticPrediction

PRECISIONS = ("auto", "float32", "float16", "bfloat16", "int8")
"""Number formats of the dense part of the network; `auto` is float16 on CUDA and float32 on the CPU."""


class PanopticSegmenter:
    """A network ready for inference: norms folded, on its device, in its precision.

    Predictions do not change the segmenter, so several threads may call it. `config` is the configuration with the
    thresholds given here; `device`, `precision` and `backend` are what was chosen for `auto`.

    Args:
        checkpoint: A path or a name as `load_checkpoint` takes it, or an EfficientPS, which is copied. A folder that
            `opendr-panoptic optimize` wrote brings its back end and precision; `backend` and `precision` must be the
            same or have their default value or `auto`.
        config: Configuration that replaces the one of the checkpoint: a Config, a YAML file or the name of a preset.
        device: Any device name of torch; `auto` is the first CUDA device if there is one, else the CPU.
        precision: Number format of the dense part of the network, one of `PRECISIONS`; with the back end `torch` also
            of the heads. Boxes and the fusion are always computed in float32.
        backend: Runtime of the dense part of the network: a name of `backends.BACKENDS`, or `auto` for the fastest
            one that is installed. Most back ends convert the network first; the result is cached.
        inference_size: Size at which the network sees an image. None fits it into the configuration's test size, as
            published; "native" keeps the size of the image; an integer is the longer side in px.
        score_threshold: Smallest score of a detection, 0 to 1; None stands for the configuration's value, here and
            below.
        overlap_threshold: Largest share of an instance that instances of higher scores may cover, 0 to 1.
        min_stuff_area: Smallest area of a stuff segment in px of the resized image.
        contain_instances: Whether an instance is restricted to the box of its detection.
        progress: Called with the steps of a conversion, which may take from a second to minutes: a sentence, and the
            fraction that is done or None. By default they are logged.

    Raises:
        CheckpointError: The checkpoint is missing, unreadable, or does not fit the configuration; or a build is
            damaged, or made for another device or version of the runtime.
        ConfigError: The configuration cannot be read, a threshold is outside its range, the device, precision,
            back end or inference size is unknown, or the runtime of the back end is not installed.
    """

    def __init__(
        self,
        checkpoint: str | Path | EfficientPS,
        *,
        config: Config | str | Path | None = None,
        device: str | torch.device = "auto",
        precision: str = "auto",
        backend: str = "torch",
        inference_size: int | str | None = None,
        score_threshold: float | None = None,
        overlap_threshold: float | None = None,
        min_stuff_area: int | None = None,
        contain_instances: bool | None = None,
        progress: Progress = log_progress,
    ) -> None:
        self.device = resolve_device(device)
        folder = None if isinstance(checkpoint, EfficientPS) else build_folder(checkpoint)
        if folder is not None:
            backend, precision = _of_build(folder, backend, precision)
        self.precision = resolve_precision(precision, self.device)
        self.backend = resolve_backend(backend, device=self.device.type, precision=self.precision)
        self.inference_size = _inference_size(inference_size)

        if isinstance(checkpoint, EfficientPS):
            network = checkpoint
            config = network.config if config is None else config
        else:
            network = load_checkpoint(checkpoint, config=config)
            config = network.config
        config = config if isinstance(config, Config) else Config.load(config)

        thresholds = Thresholds(score_threshold, overlap_threshold, min_stuff_area, contain_instances)
        self.config = dataclasses.replace(config, test=config.test.with_thresholds(thresholds))
        self._network = network.fold_norms().to("cpu", torch.float32)
        self._dense_part = open_backend(
            self._network,
            self.backend,
            precision=self.precision,
            device=self.device,
            cache=weights_directory() / "builds",
            folder=folder,
            progress=progress,
        )
        backend_class = BACKENDS[self.backend].load()
        self._dtype = backend_class.tensor_dtype(self.precision, self.device)
        self._network.to(self.device, self._dtype).to(memory_format=torch.channels_last)
        if issubclass(backend_class, BuiltBackend):  # it has weights of its own
            free_dense_part_(self._network)
        self._mean, self._std = (values.to(self.device) for values in mean_and_std(config))
        del network
        return_free_memory()

    @overload
    def __call__(
        self, images: NDArray[np.uint8], *, thresholds: Thresholds | None = None, with_confidence: bool = False
    ) -> PanopticPrediction: ...

    @overload
    def __call__(
        self,
        images: Sequence[NDArray[np.uint8]],
        *,
        thresholds: Thresholds | None = None,
        with_confidence: bool = False,
    ) -> list[PanopticPrediction]: ...

    def __call__(
        self,
        images: NDArray[np.uint8] | Sequence[NDArray[np.uint8]],
        *,
        thresholds: Thresholds | None = None,
        with_confidence: bool = False,
    ) -> PanopticPrediction | list[PanopticPrediction]:
        """Segment one image, or each image of a list, at the image's own resolution.

        Args:
            images: uint8 RGB `(H, W, 3)`, or a list of them; images of equal size run as one batch.
            thresholds: Replacements for the thresholds of `config`, for this call only.
            with_confidence: Whether the predictions get the probability of each pixel's class, from which
                `PanopticPrediction.confidence_map` is made.

        Returns:
            One prediction, or a list of predictions in the order of the images.

        Raises:
            TypeError: An image is not a uint8 array.
            ValueError: An image has another shape.
            ConfigError: A threshold is outside its range.
        """
        test = self.config.test if thresholds is None else self.config.test.with_thresholds(thresholds)
        if isinstance(images, np.ndarray):
            return self._predict([_checked(images)], test, with_confidence)[0]
        if not isinstance(images, Sequence) or isinstance(images, (str, bytes)):
            raise TypeError(f"images is {type(images).__name__}; expected a uint8 array (H, W, 3) or a list of them.")
        batch = [_checked(image) for image in images]
        predictions: dict[int, PanopticPrediction] = {}
        for shape in dict.fromkeys(image.shape for image in batch):
            places = [place for place, image in enumerate(batch) if image.shape == shape]
            predicted = self._predict([batch[place] for place in places], test, with_confidence)
            predictions.update(zip(places, predicted, strict=True))
        return [predictions[place] for place in range(len(batch))]

    def warm_up(self, height: int = 480, width: int = 640) -> None:
        """Segment a grey image, so that the first real image does not wait for the choice of kernels.

        A back end that needs a build for each size is not warmed up, because the size of the images is not known.

        Args:
            height: Height of the image in px.
            width: Width of the image in px.
        """
        serves = self._dense_part.serves
        if isinstance(serves, tuple):
            height, width = serves
            x = torch.zeros(1, 3, height, width, dtype=self._dtype, device=self.device)
            with torch.inference_mode():
                self._dense_part(x.contiguous(memory_format=torch.channels_last))
        elif serves == "every size":
            self(np.full((height, width, 3), 128, np.uint8))

    @torch.inference_mode()
    def head_outputs(self, image: NDArray[np.uint8]) -> tuple[Tensor, Detections]:
        """Compute the outputs of the heads for one image, before the fusion, at the size that the network sees.

        Args:
            image: uint8 RGB `(H, W, 3)`.

        Returns:
            Semantic logits `(classes, height, width)` float32 and the detections, both on the device.

        Raises:
            TypeError: The image is not a uint8 array.
            ValueError: The image has another shape.
        """
        x, fitted = self._input([_checked(image)])
        with self._exactness():
            return self._network.head_outputs(self._dense_part(x), fitted, self.config.test)[0]

    @torch.inference_mode()
    def _predict(
        self, images: list[NDArray[np.uint8]], test: TestConfig, with_confidence: bool
    ) -> list[PanopticPrediction]:
        x, fitted = self._input(images)
        height, width = images[0].shape[:2]
        with self._exactness():
            dense = self._dense_part(x)
            return self._network.fuse(
                dense,
                fitted,
                test,
                classes=self.config.classes,
                output_size=(height, width),
                with_confidence=with_confidence,
            )

    def _input(self, images: list[NDArray[np.uint8]]) -> tuple[Tensor, tuple[int, int]]:
        """Return the network's input, and height and width of the images inside its padding."""
        height, width = images[0].shape[:2]
        fitted = fitted_size(height, width, self.inference_size, self.config.test)
        return self._input_of(images, fitted), fitted

    def _input_of(self, images: list[NDArray[np.uint8]], size: tuple[int, int]) -> Tensor:
        """Return the network's input for images of one size, resized to another one."""
        pixels = torch.from_numpy(images[0])[None] if len(images) == 1 else torch.from_numpy(np.stack(images))
        if self.device.type == "cuda":
            pixels = pixels.pin_memory()  # from other memory, the copy would wait for the device
        x = normalised(pixels.to(self.device, non_blocking=True), size, self._mean, self._std)
        return x.to(self._dtype, memory_format=torch.channels_last)

    def _exactness(self) -> contextlib.AbstractContextManager[None]:
        """Switch TF32 off for convolutions in float32: it would cost three decimals. Matrix products do not use it."""
        if self._dtype != torch.float32:
            return contextlib.nullcontext()
        return torch.backends.cudnn.flags(enabled=torch.backends.cudnn.enabled, allow_tf32=False)


def mean_and_std(config: Config) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of the RGB values, each `(3, 1, 1)`.

    Args:
        config: The configuration that contains them.
    """
    mean, std = (torch.tensor(values)[:, None, None] for values in (config.model.pixel_mean, config.model.pixel_std))
    return mean, std


def normalised(pixels: Tensor, size: tuple[int, int], mean: Tensor, std: Tensor) -> Tensor:
    """Resize and normalise images, and pad them with zeros at the bottom and right.

    Deviation: the published program rounds the resized values to whole numbers.

    Args:
        pixels: `(B, H, W, 3)` uint8 RGB.
        size: Height and width in px to which the images are resized.
        mean: `(3, 1, 1)`, subtracted from the resized values, on the device of `pixels`.
        std: `(3, 1, 1)`, by which the differences are divided.

    Returns:
        `(B, 3, height, width)` float32 in channels_last memory format, the size rounded up to multiples of 32.
    """
    height, width = size
    x = pixels.permute(0, 3, 1, 2).float()  # channels_last already, by the order of the bytes
    if x.shape[2:] != size:
        x = F.interpolate(x, size=size, mode="bilinear", align_corners=False)
    x = (x - mean) / std
    return F.pad(x, (0, -width % SIZE_DIVISOR, 0, -height % SIZE_DIVISOR))


def fitted_size(height: int, width: int, inference_size: int | str | None, test: TestConfig) -> tuple[int, int]:
    """Compute the size at which the network sees an image, without padding.

    Published: the longer side fits into `test.long_side_px` and the shorter into `test.short_side_px`, whichever of
    them is the width; smaller images are enlarged too.

    Args:
        height: Height of the image in px.
        width: Width of the image in px.
        inference_size: None for the published size, "native" for that of the image, or the longer side in px.
        test: Settings with the published size.

    Returns:
        Height and width in px, at least 1.
    """
    if inference_size == "native":
        return height, width
    if inference_size is None:
        scale = min(test.long_side_px / max(height, width), test.short_side_px / min(height, width))
    else:
        scale = int(inference_size) / max(height, width)
    return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))


def _checked(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        got = image.dtype if isinstance(image, np.ndarray) else type(image).__name__
        raise TypeError(f"The image is {got}; expected a uint8 array of shape (H, W, 3), RGB.")
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"The image has shape {image.shape}; expected (H, W, 3), RGB, with at least one pixel.")
    # torch takes neither negative strides nor read-only arrays without a warning. NumPy regards an array of one row or
    # column as contiguous whatever its stride there is.
    return np.require(image if min(image.strides) > 0 else image.copy(), requirements=["C", "W"])


def resolve_device(device: str | torch.device) -> torch.device:
    """Return the device of a name, after checking that this machine has it.

    Args:
        device: "auto" (the first CUDA device where there is one, else the CPU), "cpu", "cuda", "cuda:N", or a device.

    Returns:
        The device.

    Raises:
        ConfigError: The name is unknown, or the machine has no such device.
    """
    if str(device) == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError):
        found = None
    if found is None or found.type not in {"cpu", "cuda"} or (found.type == "cpu" and found.index):
        raise ConfigError(f"device is {str(device)!r}; expected 'auto', 'cpu', 'cuda' or 'cuda:N'.")
    if found.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device is {str(device)!r}, but this torch finds no CUDA device; use 'auto' or 'cpu'.")
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"device is {str(device)!r}, but there are {torch.cuda.device_count()} CUDA devices, from 0.")
    return found


def _of_build(folder: Path, backend: str, precision: str) -> tuple[str, str]:
    """Return back end and precision of a build, which must not be given otherwise."""
    key = read_build(folder)
    if backend not in {"auto", "torch", key.backend}:
        raise ConfigError(f"backend is {backend!r}, but {folder} is built for {key.backend}; use 'auto'.")
    if precision not in {"auto", key.precision}:
        raise ConfigError(f"precision is {precision!r}, but {folder} is built for {key.precision}; use 'auto'.")
    return key.backend, key.precision


def resolve_precision(precision: str, device: torch.device) -> str:
    """Return the precision of a name.

    Args:
        precision: One of `PRECISIONS`.
        device: Device of the inference, which decides about `auto`.

    Returns:
        One of `PRECISIONS` other than `auto`.

    Raises:
        ConfigError: The name is unknown.
    """
    if precision not in PRECISIONS:
        raise ConfigError(f"precision is {precision!r}; expected one of {', '.join(PRECISIONS)}.")
    if precision == "auto":
        return "float16" if device.type == "cuda" else "float32"
    return precision


def _inference_size(inference_size: int | str | None) -> int | str | None:
    if inference_size is None or inference_size == "native":
        return inference_size
    is_number = isinstance(inference_size, int) and not isinstance(inference_size, bool)
    if not is_number or not 1 <= int(inference_size) <= MAX_SIDE_PX:
        raise ConfigError(
            f"inference_size is {quoted(inference_size)}; expected None, 'native' or the longer side in pixels, at "
            f"most {MAX_SIDE_PX}."
        )
    return inference_size
