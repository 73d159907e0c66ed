# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Bags in an object store: an S3 server on this machine, and the file system through the same library."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.bags import drive, write_bag

from opendr_panoptic_ros.bags.reader import BagReader
from opendr_panoptic_ros.errors import PanopticError
from opendr_panoptic_ros.fleet.storage import ObjectStore, StorageError, remote_bags

pytest.importorskip("s3fs")


@pytest.fixture(params=["s3", "file"])
def root(request, s3_bucket, tmp_path) -> str:
    """The address of an empty folder of a store."""
    return s3_bucket if request.param == "s3" else f"file://{tmp_path}/store"


@pytest.fixture
def files(tmp_path) -> dict[str, Path]:
    """A rosbag2 folder, a single MCAP file and a file that is no bag."""
    folder = write_bag(tmp_path / "folder", "mcap", drive(2))
    return {
        "a/one.mcap": Path(shutil.copy(folder / "folder.mcap", tmp_path / "one.mcap")),
        "a/two/metadata.yaml": folder / "metadata.yaml",
        "a/two/folder.mcap": folder / "folder.mcap",
        "a/notes.txt": folder / "metadata.yaml",
    }


def test_bags_are_listed_copied_and_read(root, files, tmp_path):
    store = ObjectStore(root)
    for name, path in files.items():
        store.upload(path, f"{root}/{name}")
    problems: list[str] = []
    bags = remote_bags([f"{root}/a", f"{root}/a/*.mcap", f"{root}/none"], problems)
    assert [bag.url for bag in bags] == [f"{root}/a/one.mcap", f"{root}/a/two"]
    assert len(problems) == 1
    assert "no bag there" in problems[0]
    for bag in bags:
        with store.copy(bag, tmp_path) as place, BagReader(place) as reader:
            assert place.name == bag.url.rpartition("/")[2]
            assert len(list(reader.messages(["/cam/image_raw"]))) == 2
        assert not place.parent.exists()
    assert store.bags(f"{root}/a") == bags, "nothing has changed"
    store.upload(files["a/two/metadata.yaml"], f"{root}/a/one.mcap")
    assert store.bags(f"{root}/a")[0].version != bags[0].version


def test_objects_are_whole_or_absent(root, tmp_path):
    store = ObjectStore(root)
    assert store.read(f"{root}/record.json") is None
    store.write(f"{root}/record.json", b"{}")
    assert store.read(f"{root}/record.json") == b"{}"
    with pytest.raises(StorageError):
        store.upload(tmp_path / "missing", f"{root}/record.json")
    assert store.read(f"{root}/record.json") == b"{}"


def test_no_room_for_a_copy(root, files, monkeypatch, tmp_path):
    store = ObjectStore(root)
    store.upload(files["a/one.mcap"], f"{root}/one.mcap")
    (bag,) = store.bags(f"{root}/one.mcap")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2**28))
    with pytest.raises(StorageError, match="256 MB free"), store.copy(bag, tmp_path):
        pass


def test_unknown_stores_are_refused():
    with pytest.raises(PanopticError, match="gcsfs"):
        ObjectStore("gs://bucket/a")
    with pytest.raises(PanopticError, match="Install it"):
        ObjectStore("nothing://bucket/a")


def test_a_store_that_does_not_answer(s3_bucket):
    with pytest.raises(StorageError, match="no-such-bucket"):
        ObjectStore(s3_bucket).write("s3://no-such-bucket/a", b"")
