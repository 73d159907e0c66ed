# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Tensors in files of `torch.save`: where their elements lie, checked against the size of the file, read on request."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BufferedReader
from typing import Any, BinaryIO

import torch
from torch import Tensor

from opendr_panoptic_ros.weight_files.pickled import (
    COUNTER,
    ORDERED_DICT,
    Builder,
    ForeignTypeError,
    Inert,
    PickleError,
    read_pickle,
)

_MAX_DIMENSIONS = 8
_MAX_ELEMENTS = 1 << 48

_STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
}

# Types of values beside the weights, such as times, versions and metrics, which are not needed.
_INERT_MODULES = ("numpy", "mmcv", "mmengine", "mmdet", "addict", "datetime")
_INERT_NAMES = {
    "_codecs.encode",  # how NumPy's bytes are written
    "collections.deque",
    "torch.device",
    "torch.serialization._get_layout",
    *(
        f"{module}.{name}"
        for module in ("builtins", "__builtin__")
        for name in ("set", "frozenset", "slice", "range", "complex", "bytearray")
    ),
}


class TorchFileError(ValueError):
    """The file is not one of `torch.save`, or it is damaged. The text completes the sentence "FILE cannot be read:"."""


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file that is open.

    Attributes:
        dtype: Type of its elements.
        shape: Its size along each dimension.
        read: Returns the tensor, in memory of its own.
    """

    dtype: torch.dtype
    shape: tuple[int, ...]
    read: Callable[[], Tensor]


@dataclass
class Storage:
    """The elements of one or several tensors.

    Attributes:
        key: Name of the storage in the file.
        dtype: Type of the elements; None for bytes whose tensors name their type.
        elements: Number of elements.
    """

    key: str
    dtype: torch.dtype | None
    elements: int

    @property
    def size_bytes(self) -> int:
        """Size of the elements in bytes."""
        return self.elements * (self.dtype.itemsize if self.dtype else 1)


class _StorageType:
    """The type that a name such as `torch.FloatStorage` stands for."""

    def __init__(self, dtype: torch.dtype | None) -> None:
        self.dtype = dtype


class Storages:
    """The storages of an open file.

    The bytes that are read from all of them are limited to four times the size of the file, so that many tensors that
    share a few bytes cannot fill the memory.

    Args:
        file: The file.

    Attributes:
        by_key: The storages that have been found, by their keys.
        fetch: Returns the bytes of a storage; set by the reader of the format.
    """

    def __init__(self, file: BufferedReader) -> None:
        self.by_key: dict[str, Storage] = {}
        self.fetch: Callable[[Storage], bytearray]
        self._left_bytes = 4 * os.fstat(file.fileno()).st_size
        self._newest: tuple[Storage, bytearray] | None = None

    def find(self, pid: Any) -> Storage:
        """Return the storage that a persistent id names.

        Args:
            pid: `("storage", type, key, location, elements)` in a valid file.

        Returns:
            The storage; the same object for the same key.

        Raises:
            PickleError: The id is not valid, or contradicts an earlier one.
        """
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage" or any(pid[5:]):
            raise PickleError("it refers to data in an unknown way")
        kind, key, elements = pid[1], pid[2], operator.index(pid[4])
        if not isinstance(kind, _StorageType) or not isinstance(key, str) or not 0 <= elements < _MAX_ELEMENTS:
            raise PickleError("it refers to data in an unknown way")
        storage = self.by_key.setdefault(key, Storage(key, kind.dtype, elements))
        if (storage.dtype, storage.elements) != (kind.dtype, elements):
            raise PickleError("two tensors give their common data different sizes")
        return storage

    def tensor(self, storage: Any, offset: int, shape: Any, stride: Any, *more: Any) -> StoredTensor:
        """Describe a tensor after checking that it lies inside its storage.

        Args:
            storage: The storage of its elements.
            offset: Index of its first element in the storage.
            shape: Its size along each dimension.
            stride: Distance of its elements along each dimension, in elements.
            more: Further arguments in the file; the third may be the type.

        Returns:
            The description, from which the tensor can be read.

        Raises:
            PickleError: The arguments are not valid.
        """
        if not isinstance(storage, Storage):
            raise PickleError("a tensor in it has no data")
        dtype = storage.dtype or (more[2] if len(more) > 2 else None)
        if not isinstance(dtype, torch.dtype):
            raise PickleError("a tensor in it has no type")
        shape, stride = tuple(map(operator.index, shape)), tuple(map(operator.index, stride))
        numbers = (*shape, *stride, offset)
        if (
            len(shape) != len(stride)
            or len(shape) > _MAX_DIMENSIONS
            or not 0 <= min(numbers) <= max(numbers) < _MAX_ELEMENTS
        ):
            raise PickleError("a tensor in it has an impossible shape")
        elements, count = storage.size_bytes // dtype.itemsize, math.prod(shape)
        last = offset + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
        if count and (last >= elements or count > elements):
            raise PickleError("a tensor in it reaches beyond its data")

        def read() -> Tensor:
            if count == 0:
                return torch.empty(shape, dtype=dtype)
            flat = torch.frombuffer(self._bytes(storage), dtype=dtype, count=elements)
            return flat.as_strided(shape, stride, offset).clone(memory_format=torch.contiguous_format)

        return StoredTensor(dtype, shape, read)

    def _bytes(self, storage: Storage) -> bytearray:
        if self._newest is None or self._newest[0] is not storage:
            self._left_bytes -= storage.size_bytes
            if self._left_bytes < 0:
                raise TorchFileError("its tensors are larger than the file")
            self._newest = storage, self.fetch(storage)
        return self._newest[1]

    def types(self) -> Mapping[str, Any]:
        """Return the types that a file of `torch.save` may name, by their full names."""
        storages = {f"torch.{name}": _StorageType(dtype) for name, dtype in _STORAGES.items()}
        storages |= {f"torch.cuda.{name}": _StorageType(dtype) for name, dtype in _STORAGES.items()}
        dtypes = {str(dtype): dtype for dtype in _STORAGES.values()}
        return {
            **storages,
            **dtypes,
            "torch.storage.UntypedStorage": _StorageType(None),
            "torch.storage._UntypedStorage": _StorageType(None),
            "torch.Size": Builder(tuple),
            "collections.OrderedDict": ORDERED_DICT,
            "collections.Counter": COUNTER,
            "torch._utils._rebuild_tensor": Builder(self.tensor),
            "torch._utils._rebuild_tensor_v2": Builder(self.tensor),
            "torch._utils._rebuild_tensor_v3": Builder(self.tensor),
            "torch._utils._rebuild_parameter": Builder(_parameter),
            "torch._utils._rebuild_parameter_with_state": Builder(_parameter),
        }


def _parameter(data: Any, *_more: Any) -> StoredTensor:
    if not isinstance(data, StoredTensor):
        raise PickleError("a parameter in it has no data")
    return data


def read_values(stream: BinaryIO, storages: Storages) -> Any:
    """Read one pickle of a file of `torch.save`.

    Args:
        stream: The bytes, at the start of the pickle.
        storages: The storages of the file; those that the pickle names are added.

    Returns:
        The values, with a `StoredTensor` for each tensor.

    Raises:
        ForeignTypeError: The pickle names a type that is not harmless.
        PickleError: The bytes are damaged.
    """
    types = storages.types()

    def find_type(name: str) -> Any:
        if name in types:
            return types[name]
        if name in _INERT_NAMES or any(name.startswith(f"{module}.") for module in _INERT_MODULES):
            return Inert(name[:100])
        raise ForeignTypeError(name)

    return read_pickle(stream, find_type=find_type, find_persistent=storages.find)
