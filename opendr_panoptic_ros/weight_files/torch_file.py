# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Reader of `torch.save` files without `torch.load`: the structure is read first, the bytes of the tensors on request.

Both formats are supported: the zip archives of PyTorch 1.6 and later, and the plain files of earlier versions, in which
the authors of EfficientPS released their weights. Sizes are compared with the size of the file before memory is
allocated.
"""

from __future__ import annotations

import os
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Any, BinaryIO, cast

from torch import Tensor

from opendr_panoptic_ros.files import open_regular
from opendr_panoptic_ros.weight_files.pickled import ForeignTypeError, PickleError
from opendr_panoptic_ros.weight_files.storages import Storage, Storages, StoredTensor, TorchFileError, read_values

_MAX_PICKLE_BYTES = 16 << 20
_MAX_DIRECTORY_BYTES = 4 << 20  # of the zip: 40,000 tensors
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_INT64 = struct.Struct("<q")


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


_ZIP_ERRORS = (
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    LookupError,
    struct.error,
)


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
    """Read a zip archive of PyTorch 1.6 or later."""
    archive = _Archive(file)
    if "byteorder" in archive and archive.read("byteorder", limit_bytes=10) != b"little":
        raise TorchFileError("its numbers are not in little-endian order; save it on the machine it is used on")

    def fetch(storage: Storage) -> bytearray:
        content = archive.read(f"data/{storage.key}", limit_bytes=storage.size_bytes)
        if len(content) != storage.size_bytes:
            raise TorchFileError("a tensor in it has less data than it should have")
        return content

    storages = Storages(file)
    storages.fetch = fetch
    return read_values(BytesIO(archive.read("data.pkl", limit_bytes=_MAX_PICKLE_BYTES)), storages)


def _read_legacy(file: BufferedReader) -> Any:
    """Read a file of PyTorch before 1.6: several pickles, then the bytes of all storages."""
    size_bytes = os.fstat(file.fileno()).st_size
    storages = Storages(file)
    stream = BytesIO(file.read(_MAX_PICKLE_BYTES))
    if read_values(stream, storages) != _LEGACY_MAGIC or read_values(stream, storages) != _LEGACY_PROTOCOL:
        raise TorchFileError("it is not a file of torch.save")
    system = read_values(stream, storages)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise TorchFileError("its numbers are not in little-endian order; save it on the machine it is used on")
    content = read_values(stream, storages)
    keys = read_values(stream, storages)
    places: dict[str, int] = {}
    position = stream.tell()
    for key in keys if isinstance(keys, list) else ():
        storage = storages.by_key.get(key) if isinstance(key, str) else None
        if storage is None or storage.dtype is None or storage.key in places:
            raise TorchFileError("its list of data is damaged")
        file.seek(position)
        if file.read(_INT64.size) != _INT64.pack(storage.elements):
            raise TorchFileError("a tensor in it has another size than its data, or the file is incomplete")
        places[storage.key] = position + _INT64.size
        position += _INT64.size + storage.size_bytes
    if position > size_bytes or places.keys() != storages.by_key.keys():
        raise TorchFileError("it is incomplete")

    def fetch(storage: Storage) -> bytearray:
        file.seek(places[storage.key])
        content = bytearray(storage.size_bytes)
        if file.readinto(content) != len(content):
            raise TorchFileError("it is incomplete")
        return content

    storages.fetch = fetch
    return content
