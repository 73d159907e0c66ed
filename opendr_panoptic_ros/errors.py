# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Errors caused by wrong input. Each message states what was given, what was expected and what to do."""


class PanopticError(Exception):
    """Base class of the package's errors."""


class CheckpointError(PanopticError, ValueError):
    """A checkpoint is missing, unreadable, unsafe, or does not fit the network."""


class ConfigError(PanopticError, ValueError):
    """A configuration file or value is missing, unknown, or out of its range."""


class DatasetError(PanopticError, ValueError):
    """A dataset folder or file is missing, unreadable, or inconsistent."""


class ImageEncodingError(PanopticError, ValueError):
    """An image message has an unknown encoding, or its data does not fit its header."""


class DownloadError(PanopticError, OSError):
    """A download failed: no network, no such file, or unexpected content."""
