# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Read files of `torch.save` without `torch.load`: what a file holds first, the bytes of its tensors when asked for.

Both formats are read: the zip archives of PyTorch 1.6 and later, and the plain files before, which EfficientPS's
authors released. Sizes are compared with the size of the file before memory is taken.
"""

from __future__ import annotations

import math
import operator
import os
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch
from torch import Tensor

from opendr_panoptic_ros.files import open_regular
from opendr_panoptic_ros.weight_files.pickled import (
    COUNTER,
    ORDERED_DICT,
    Builder,
    ForeignTypeError,
    Inert,
    PickleError,
    read_pickle,
)

_MAX_PICKLE_BYTES = 16 << 20
_MAX_DIRECTORY_BYTES = 4 << 20  # of the zip: 40,000 tensors
_MAX_DIMENSIONS = 8
_MAX_ELEMENTS = 1 << 48
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_INT64 = struct.Struct("<q")

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

# Types of values beside the weights, such as times, versions and metrics. Nothing of them is needed.
_INERT_MODULES = ("numpy", "mmcv", "mmengine", "mmdet", "addict", "datetime")
_INERT_NAMES = {
    "_codecs.encode",  # how NumPy's bytes are written
    "collections.deque",
    "torch.device",
    "torch.serialization._get_layout",
    *(f"{module}.{name}" for module in ("builtins", "__builtin__")
      for name in ("set", "frozenset", "slice", "range", "complex", "bytearray")),
}  # fmt: skip


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


@contextmanager
def open_torch_file(path: Path) -> Iterator[Any]:
    """Open a file of `torch.save` and read everything but the elements of its tensors.

    Args:
        path: A regular file.

    Yields:
        What was saved: numbers, text, lists, tuples and dicts, a `StoredTensor` for each tensor, an `Inert` for an
        object of a harmless type. The tensors can be read until the context ends.

    Raises:
        ForeignTypeError: The file holds an object of another type.
        TorchFileError: The file is damaged, or is not a file of `torch.save`.
        OSError: The file cannot be opened.
    """
    with open_regular(path) as file:
        try:
            archive = file.read(4) == b"PK\x03\x04"
            file.seek(0)
            content = _read_archive(file) if archive else _read_legacy(file)
        except ForeignTypeError:
            raise
        except PickleError as error:
            raise TorchFileError(str(error)) from error
        yield content


def load_torch_file(path: Path) -> Any:
    """Read a file of `torch.save` as a whole.

    Args:
        path: A regular file.

    Returns:
        What was saved, as `open_torch_file` yields it, but with tensors.

    Raises:
        ForeignTypeError: The file holds an object of a type that is not harmless.
        TorchFileError: The file is damaged, or is not a file of `torch.save`.
        OSError: The file cannot be opened.
    """
    with open_torch_file(path) as content:
        return _with_tensors(content, {})


def _with_tensors(value: Any, read: dict[int, Tensor], depth: int = 0) -> Any:
    """Return a copy of nested lists, tuples and dicts with every stored tensor read once."""
    if depth > 50:
        raise TorchFileError("its values are nested more than 50 deep")
    if isinstance(value, StoredTensor):
        if id(value) not in read:
            read[id(value)] = value.read()
        return read[id(value)]
    if isinstance(value, dict):
        return type(value)({key: _with_tensors(entry, read, depth + 1) for key, entry in value.items()})
    if isinstance(value, list | tuple):
        return type(value)(_with_tensors(entry, read, depth + 1) for entry in value)
    return value


@dataclass
class _Storage:
    """The elements of one or several tensors. dtype: None for bytes whose tensors name their type."""

    key: str
    dtype: torch.dtype | None
    elements: int

    @property
    def size_bytes(self) -> int:
        return self.elements * (self.dtype.itemsize if self.dtype else 1)


class _StorageType:
    """What a name such as `torch.FloatStorage` stands for."""

    def __init__(self, dtype: torch.dtype | None) -> None:
        self.dtype = dtype


class _Source:
    """Where storages come from. fetch: returns the bytes of a storage.

    What is fetched together is limited to four times the size of the file, so that a few bytes that many tensors
    share do not become many.
    """

    def __init__(self, file: BufferedReader) -> None:
        self.storages: dict[str, _Storage] = {}
        self.fetch: Callable[[_Storage], bytearray]
        self._left_bytes = 4 * os.fstat(file.fileno()).st_size
        self._newest: tuple[_Storage, bytearray] | None = None

    def find(self, pid: Any) -> _Storage:
        """Return the storage of a persistent id `("storage", type, key, location, elements)`."""
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage" or any(pid[5:]):
            raise PickleError("it refers to data in an unknown way")
        kind, key, elements = pid[1], pid[2], operator.index(pid[4])
        if not isinstance(kind, _StorageType) or not isinstance(key, str) or not 0 <= elements < _MAX_ELEMENTS:
            raise PickleError("it refers to data in an unknown way")
        storage = self.storages.setdefault(key, _Storage(key, kind.dtype, elements))
        if (storage.dtype, storage.elements) != (kind.dtype, elements):
            raise PickleError("two tensors give their common data different sizes")
        return storage

    def tensor(self, storage: Any, offset: int, shape: Any, stride: Any, *more: Any) -> StoredTensor:
        """Return the description of a tensor, which lies inside its storage. more: may hold a type, at index 2."""
        if not isinstance(storage, _Storage):
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

    def _bytes(self, storage: _Storage) -> bytearray:
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


def _read(stream: BinaryIO, source: _Source) -> Any:
    types = source.types()

    def find_type(name: str) -> Any:
        if name in types:
            return types[name]
        if name in _INERT_NAMES or any(name.startswith(f"{module}.") for module in _INERT_MODULES):
            return Inert(name[:100])
        raise ForeignTypeError(name)

    return read_pickle(stream, find_type=find_type, find_persistent=source.find)


# --- the archives of PyTorch 1.6 and later ---------------------------------------------------------------------------


_ZIP_ERRORS = (
    zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError, LookupError, struct.error
)  # fmt: skip


class _LimitedReads:
    """A file for `zipfile`, which reads a zip's directory as a whole, however large it is claimed to be."""

    def __init__(self, file: BufferedReader) -> None:
        self._file = file
        self.limit_bytes = _MAX_DIRECTORY_BYTES

    def read(self, size: int = -1) -> bytes:
        content = self._file.read(self.limit_bytes + 1 if size < 0 else min(size, self.limit_bytes + 1))
        if len(content) > self.limit_bytes:
            raise TorchFileError("its zip archive has too large a directory")
        return content

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class _Archive:
    """The members of a zip archive of `torch.save` by their names below its only folder."""

    def __init__(self, file: BufferedReader) -> None:
        size_bytes = os.fstat(file.fileno()).st_size
        limited = _LimitedReads(file)
        try:
            self._zip = zipfile.ZipFile(cast(BinaryIO, limited))
        except TorchFileError:
            raise
        except _ZIP_ERRORS as error:
            raise TorchFileError("its zip archive is damaged or incomplete") from error
        limited.limit_bytes = size_bytes
        self._members = {member.filename.partition("/")[2]: member for member in self._zip.infolist()}
        if "data.pkl" not in self._members:
            raise TorchFileError("it is a zip archive, but not one of torch.save")
        if "constants.pkl" in self._members:
            raise TorchFileError("it is a TorchScript archive; expected a state dict of torch.save")
        for member in self._members.values():
            if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
                raise TorchFileError("its zip archive is compressed or encrypted; torch.save writes neither")
            if member.file_size > size_bytes:
                raise TorchFileError("its zip archive claims to hold more than the file")

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def read(self, name: str, *, limit_bytes: int) -> bytearray:
        member = self._members.get(name)
        if member is None or member.file_size > limit_bytes:
            raise TorchFileError("a part of it is missing or larger than it should be")
        content = bytearray(member.file_size)
        try:
            with self._zip.open(member) as part:
                found = cast(BufferedReader, part).readinto(content)
        except _ZIP_ERRORS as error:
            raise TorchFileError("its zip archive is damaged") from error
        if found != len(content):
            raise TorchFileError("its zip archive is incomplete")
        return content


def _read_archive(file: BufferedReader) -> Any:
    archive = _Archive(file)
    if "byteorder" in archive and archive.read("byteorder", limit_bytes=10) != b"little":
        raise TorchFileError("its numbers are not in little-endian order; save it on the machine it is used on")

    def fetch(storage: _Storage) -> bytearray:
        content = archive.read(f"data/{storage.key}", limit_bytes=storage.size_bytes)
        if len(content) != storage.size_bytes:
            raise TorchFileError("a tensor in it has less data than it should have")
        return content

    source = _Source(file)
    source.fetch = fetch
    return _read(BytesIO(archive.read("data.pkl", limit_bytes=_MAX_PICKLE_BYTES)), source)


# --- the files before PyTorch 1.6 ------------------------------------------------------------------------------------


def _read_legacy(file: BufferedReader) -> Any:
    size_bytes = os.fstat(file.fileno()).st_size
    source = _Source(file)
    stream = BytesIO(file.read(_MAX_PICKLE_BYTES))
    if _read(stream, source) != _LEGACY_MAGIC or _read(stream, source) != _LEGACY_PROTOCOL:
        raise TorchFileError("it is not a file of torch.save")
    system = _read(stream, source)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise TorchFileError("its numbers are not in little-endian order; save it on the machine it is used on")
    content = _read(stream, source)
    keys = _read(stream, source)
    places: dict[str, int] = {}
    position = stream.tell()
    for key in keys if isinstance(keys, list) else ():
        storage = source.storages.get(key) if isinstance(key, str) else None
        if storage is None or storage.dtype is None or storage.key in places:
            raise TorchFileError("its list of data is damaged")
        file.seek(position)
        if file.read(_INT64.size) != _INT64.pack(storage.elements):
            raise TorchFileError("a tensor in it has another size than its data, or the file is incomplete")
        places[storage.key] = position + _INT64.size
        position += _INT64.size + storage.size_bytes
    if position > size_bytes or places.keys() != source.storages.keys():
        raise TorchFileError("it is incomplete")

    def fetch(storage: _Storage) -> bytearray:
        file.seek(places[storage.key])
        content = bytearray(storage.size_bytes)
        if file.readinto(content) != len(content):
            raise TorchFileError("it is incomplete")
        return content

    source.fetch = fetch
    return content
