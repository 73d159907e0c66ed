# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""`opendr-panoptic bag` with bags and results in an object store, and by shards."""

from __future__ import annotations

import json

import pytest
from support.bags import drive, frames_in, read_bag, write_bag

from opendr_panoptic_ros.fleet.storage import ObjectStore

pytest.importorskip("s3fs")


@pytest.fixture
def store(s3_bucket, tmp_path):
    """A store with two bags, one of them a folder, and one that is damaged."""
    store = ObjectStore(s3_bucket)
    for name, count in (("one", 3), ("two", 2)):
        write_bag(tmp_path / name, "mcap", drive(count))
    store.upload(tmp_path / "one" / "one.mcap", f"{s3_bucket}/in/one.mcap")
    for file in (tmp_path / "two").iterdir():
        store.upload(file, f"{s3_bucket}/in/two/{file.name}")
    (tmp_path / "bad.mcap").write_bytes(b"no bag at all")
    store.upload(tmp_path / "bad.mcap", f"{s3_bucket}/in/bad.mcap")
    return store


def test_bags_of_a_store(run_bag, store, s3_bucket, tmp_path):
    arguments = (f"{s3_bucket}/in", "--out-dir", f"{s3_bucket}/out", "--report", "report.json", "--no-overlay")
    code, out, err = run_bag(*arguments)
    assert code == 1, err
    assert out.endswith("3 bags: 1 failed, 2 done; 0 of them before\n")
    report = json.loads((tmp_path / "report.json").read_text())
    assert [(bag["bag"], bag["status"], bag["segmented"]) for bag in report["bags"]] == [
        (f"{s3_bucket}/in/bad.mcap", "failed", 0),
        (f"{s3_bucket}/in/one.mcap", "done", 3),
        (f"{s3_bucket}/in/two", "done", 2),
    ]
    for name in ("one", "two"):
        (bag,) = store.bags(f"{s3_bucket}/out/{name}")
        with store.copy(bag) as place:
            copied = read_bag(place)
            assert sorted(path.name for path in place.iterdir()) == ["labelled.json", "metadata.yaml", f"{name}.mcap"]
        assert run_bag(tmp_path / name, f"{name}_local", "--no-overlay")[0] == 0
        local = read_bag(tmp_path / f"{name}_local")
        assert {topic: frames_in(copied, topic) for topic in copied} == {
            topic: frames_in(local, topic) for topic in local
        }

    code, out, _ = run_bag(*arguments)
    assert code == 1
    assert out.endswith("3 of them before\n")
    code, out, _ = run_bag(s3_bucket, "--out-dir", f"{s3_bucket}/out", "--no-overlay")
    assert out.endswith("3 bags: 1 failed, 2 done; 3 of them before\n"), "results are no bags to label"
    code, _, err = run_bag(f"{s3_bucket}/out", "--out-dir", f"{s3_bucket}/out", "--no-overlay")
    assert code == 1
    assert "choose another folder" in err
    code, _, err = run_bag(f"{s3_bucket}/in/one.mcap", "--out-dir", f"{s3_bucket}/out", "--every", 2)
    assert code == 1
    code, out, _ = run_bag(f"{s3_bucket}/in/one.mcap", "--out-dir", f"{s3_bucket}/out", "--every", 2, "--overwrite")
    assert (code, out.endswith("1 bags: 1 done; 0 of them before\n")) == (0, True)
    (bag,) = store.bags(f"{s3_bucket}/out/one")
    with store.copy(bag) as place:
        assert frames_in(read_bag(place)) == [0, 2]


def test_a_store_that_fails_is_to_be_tried_again(run_bag, store, s3_bucket):
    code, out, _ = run_bag(f"{s3_bucket}/in/one.mcap", "--out-dir", "s3://no-such-bucket/out")
    assert code == 75
    assert "retry" in out
    code, _, err = run_bag(f"{s3_bucket}/nothing", "--out-dir", f"{s3_bucket}/out")
    assert code == 1
    assert "no bag there" in err


def test_shards_of_local_bags(run_bag, tmp_path, monkeypatch):
    for name in "abc":
        write_bag(tmp_path / "in" / name, "mcap", drive(1))
    lines = [run_bag("in", "--out-dir", "out", "--no-overlay", "--shard", f"{i}/2")[1].splitlines()[-1] for i in (0, 1)]
    assert lines == ["2 bags: 2 done; 0 of them before", "1 bags: 1 done; 0 of them before"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a", "b", "c"]
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "1")
    code, out, _ = run_bag("in", "--out-dir", "out", "--no-overlay", "--shard", "auto/2")
    assert (code, out.splitlines()[-1]) == (0, "1 bags: 1 done; 1 of them before")
    code, _, err = run_bag("in", "out", "--shard", "0/2")
    assert code == 2
    assert "need --out-dir" in err
