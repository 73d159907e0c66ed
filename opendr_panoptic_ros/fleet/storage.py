# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Bags in object stores: listing, copies in a bounded temporary folder, and uploads that are complete or absent."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from opendr_panoptic_ros.errors import PanopticError, plain

_BAG_SUFFIXES = (".bag", ".mcap", ".db3")
_RESERVE_BYTES = 256 * 2**20  # of the temporary folder, for what other processes write


class StorageError(PanopticError):
    """An object store does not answer, or the temporary folder has no room. Another attempt may succeed."""


class RemoteBag(NamedTuple):
    """A bag in an object store: a file, or a folder of a rosbag2.

    Attributes:
        url: Its address, such as `s3://bucket/drives/a.mcap`.
        size_bytes: Size of its files.
        version: Changes whenever the content changes: a checksum, or size and time.
        files: Addresses of its files.
    """

    url: str
    size_bytes: int
    version: str
    files: tuple[str, ...]


def is_url(name: str) -> bool:
    """Return whether a name is the address of an object store, such as `s3://bucket/a.mcap`.

    Args:
        name: A path or an address.
    """
    return "://" in name


def url_of(name: str) -> str:
    """Return the address of a path; an address stays as it is.

    Args:
        name: A path or an address.
    """
    return name if is_url(name) else f"file://{Path(name).expanduser().absolute()}"


class ObjectStore:
    """The store that an address belongs to: S3, Google Cloud Storage, or any other that fsspec knows.

    Credentials and endpoints are those of the environment, such as `AWS_PROFILE` and `AWS_ENDPOINT_URL`.

    Args:
        url: An address in the store.

    Raises:
        PanopticError: The extra of this store is not installed.
        StorageError: The store does not answer.
    """

    def __init__(self, url: str) -> None:
        self._protocol = url.partition("://")[0]
        try:
            import fsspec

            self._files: Any = fsspec.filesystem(self._protocol)
        except (ImportError, ValueError) as error:
            package = {"gs": "gcsfs", "gcs": "gcsfs"}.get(self._protocol, "'opendr_panoptic_ros[fleet]'")
            raise PanopticError(f"{url} cannot be used: {error}. Install it: pip install {package}.") from error

    def bags(self, pattern: str) -> list[RemoteBag]:
        """Return the bags that an address stands for.

        Args:
            pattern: A bag, a folder of bags, or a pattern with `*`.

        Returns:
            The bags by address: files of bags, and folders that hold `metadata.yaml`.

        Raises:
            StorageError: The store does not answer.
        """
        with _store_errors(pattern):
            self._files.invalidate_cache()
            path = self._files._strip_protocol(pattern)
            roots = self._files.glob(path) if "*" in path else [path]
            found: dict[str, dict[str, Any]] = {}
            for root in roots:
                found |= self._files.find(root, detail=True)
        recordings = {str(PurePosixPath(n).parent) for n in found if PurePosixPath(n).name == "metadata.yaml"}
        groups: dict[str, list[str]] = {}
        for name in sorted(found):
            folder = str(PurePosixPath(name).parent)
            if folder in recordings:
                groups.setdefault(folder, []).append(name)
            elif name.endswith(_BAG_SUFFIXES):
                groups[name] = [name]
        return [
            RemoteBag(
                f"{self._protocol}://{bag}",
                sum(int(found[name]["size"]) for name in names),
                " ".join(_version(found[name]) for name in names),
                tuple(names),
            )
            for bag, names in groups.items()
        ]

    @contextmanager
    def copy(self, bag: RemoteBag, folder: Path | None = None) -> Iterator[Path]:
        """Copy a bag to a temporary folder for the time of the context.

        Args:
            bag: The bag.
            folder: Where temporary folders are made; None for the system's.

        Yields:
            The copy, under the bag's name, in a folder of its own, which is removed afterwards with all it holds.

        Raises:
            StorageError: The store does not answer, or there is no room for the bag.
        """
        with tempfile.TemporaryDirectory(prefix="opendr-panoptic-", dir=folder) as temporary:
            # The result is about as large as the bag and lies beside the copy until it is uploaded.
            _require_room(Path(temporary), 2 * bag.size_bytes)
            place = Path(temporary) / PurePosixPath(bag.url).name
            is_file = len(bag.files) == 1 and bag.url.endswith(bag.files[0])
            with _store_errors(bag.url):
                for name in bag.files:
                    target = place if is_file else place / PurePosixPath(name).name
                    target.parent.mkdir(exist_ok=True)
                    self._files.get_file(name, str(target))
            yield place

    def upload(self, path: Path, url: str) -> None:
        """Upload a file. The address has the old content, or none, until the new one is complete.

        Args:
            path: The file.
            url: Its address.

        Raises:
            StorageError: The store does not answer.
        """
        with _store_errors(url):
            target = self._files._strip_protocol(url)
            if self._protocol in {"file", "local"}:  # a file grows while it is written, an object does not
                partial = f"{PurePosixPath(target).parent}/.{PurePosixPath(target).name}.{uuid.uuid4().hex}"
                self._files.makedirs(str(PurePosixPath(target).parent), exist_ok=True)
                self._files.put_file(str(path), partial)
                os.replace(partial, target)  # noqa: PTH105 - names of fsspec are text
            else:
                self._files.put_file(str(path), target)

    def read(self, url: str) -> bytes | None:
        """Return the content of a small object, or None when there is none.

        Args:
            url: Its address.

        Raises:
            StorageError: The store does not answer.
        """
        with _store_errors(url):
            try:
                self._files.invalidate_cache()
                content: bytes = self._files.cat_file(self._files._strip_protocol(url))
            except FileNotFoundError:
                return None
        return content

    def remove(self, url: str) -> None:
        """Remove an object, if there is one.

        Args:
            url: Its address.

        Raises:
            StorageError: The store does not answer.
        """
        with _store_errors(url), suppress(FileNotFoundError):
            self._files.rm_file(self._files._strip_protocol(url))

    def write(self, url: str, content: bytes) -> None:
        """Write a small object.

        Args:
            url: Its address.
            content: Its new content.

        Raises:
            StorageError: The store does not answer.
        """
        with tempfile.TemporaryDirectory(prefix="opendr-panoptic-") as folder:
            path = Path(folder) / "object"
            path.write_bytes(content)
            self.upload(path, url)


def remote_bags(patterns: Sequence[str], problems: list[str]) -> list[RemoteBag]:
    """Return the bags that some addresses stand for, each once.

    Args:
        patterns: Addresses of bags, of folders of bags, or patterns with `*`.
        problems: One line is added for each address that stands for no bag.

    Returns:
        The bags.

    Raises:
        PanopticError: The extra of a store is not installed.
        StorageError: A store does not answer.
    """
    bags: dict[str, RemoteBag] = {}
    for pattern in patterns:
        found = ObjectStore(pattern).bags(pattern)
        if not found:
            problems.append(f"{plain(pattern)}: no bag there; expected files .mcap, .db3, .bag, or rosbag2 folders")
        bags |= {bag.url: bag for bag in found}
    return list(bags.values())


def _version(entry: dict[str, Any]) -> str:
    tag = entry.get("ETag") or entry.get("etag") or entry.get("md5Hash")
    return str(tag).strip('"') if tag else f"{entry['size']}-{entry.get('mtime', entry.get('LastModified', ''))}"


def _require_room(folder: Path, size_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < size_bytes + _RESERVE_BYTES:
        raise StorageError(
            f"{folder.parent} has {free // 2**20} MB free; the bag and its result take {size_bytes // 2**20} MB. "
            "Give another temporary folder in TMPDIR."
        )


@contextmanager
def _store_errors(url: str) -> Iterator[None]:
    try:
        yield
    except PanopticError:
        raise
    except Exception as error:  # the libraries of stores raise errors of many kinds
        reason = str(error).split("\n")[0] or type(error).__name__
        raise StorageError(f"{plain(url)}: {reason}") from error
