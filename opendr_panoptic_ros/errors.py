# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The errors a caller can cause. Each message says what was got, what was expected and what to do."""


class PanopticError(Exception):
    """Base of every error this package raises on purpose."""


class CheckpointError(PanopticError, ValueError):
    """A checkpoint is missing, unreadable, unsafe, or does not fit the network."""


class ConfigError(PanopticError, ValueError):
    """A configuration file or value is missing, unknown, or out of its range."""


class DatasetError(PanopticError, ValueError):
    """A dataset folder or file is missing, unreadable, or inconsistent."""


class ImageEncodingError(PanopticError, ValueError):
    """An image message has an unknown encoding, or its data does not fit its header."""


class DownloadError(PanopticError, OSError):
    """A file could not be fetched: no network, no such file, or what came is not what was expected."""
