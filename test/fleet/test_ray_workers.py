# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Workers on Ray: order, errors, lost processes; evaluation, inference and preparation on them."""

from __future__ import annotations

import filecmp
import importlib.util
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from support.bags import drive, pictures, write_bag
from support.toy_datasets import write_tiny_cityscapes

from opendr_panoptic_ros.bags import LabelFrames
from opendr_panoptic_ros.bags.options import NetworkOptions
from opendr_panoptic_ros.errors import DatasetError, PanopticError
from opendr_panoptic_ros.files import write_png
from opendr_panoptic_ros.fleet.ray_segments import RaySegments
from opendr_panoptic_ros.fleet.ray_workers import RayWorkers, WorkerLostError
from opendr_panoptic_ros.inference import PanopticSegmenter

# Ray is not imported here: it reads its variables once, and the fixture sets them.
pytestmark = [pytest.mark.slow, pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs ray")]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """As many threads as a worker has: torch adds in another order with more of them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[None]:
    """A cluster of this machine with two workers' cores, which `RayWorkers` finds in this process."""
    with pytest.MonkeyPatch.context() as patch:
        # Otherwise Ray writes a token into the home folder.
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        yield from _cluster()


def _cluster() -> Iterator[None]:
    import ray

    ray.init(
        "local",
        num_cpus=2,
        object_store_memory=10**8,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=40,
    )
    yield
    ray.shutdown()


@pytest.mark.usefixtures("cluster")
def test_results_are_in_order_and_lost_workers_are_replaced(tmp_path):
    def work(number: int) -> tuple[int, int]:
        time.sleep(0.05 * (number % 3))
        mark = tmp_path / f"lost-{number}"
        if number in (3, 8) and not mark.exists():
            mark.touch()
            os._exit(1)  # as the kernel does to a process when memory runs out
        return number, os.getpid()

    def fail(number: int) -> None:
        if number == 9:
            os._exit(1)
        raise DatasetError(f"wrong {number}")

    with RayWorkers(retries=2) as workers:
        assert workers.workers == 2
        results = list(workers.map_in_order(work, range(20)))
        assert [number for number, _ in results] == list(range(20))
        assert 2 <= len({process for _, process in results}) <= 4
        with pytest.raises(DatasetError, match="wrong 1"):
            workers.submit(fail, 1).result()
        with pytest.raises(WorkerLostError, match="lost 3 times"):
            workers.submit(fail, 9).result()
        assert workers.submit(work, 1).result()[0] == 1
    with pytest.raises(RuntimeError):
        workers.submit(work, 1)
    with pytest.raises(PanopticError, match="2 cores and 0 GPUs; a worker takes 3 cores"):
        RayWorkers(cores=3)


@pytest.mark.usefixtures("cluster")
def test_evaluation_and_inference_give_the_same_files(run_main, tmp_path, tiny_checkpoint):
    for index, picture in enumerate(pictures(18)):
        write_png(tmp_path / "images" / f"{index:02d}.png", picture)
    for engine in ("local", "ray"):
        common = ("--engine", engine, "--checkpoint", tiny_checkpoint, "--backend", "torch")
        formats = ("--format", "labels", "--format", "json", "--format", "cityscapes")
        code, out, err = run_main("infer", "images", "--out", engine, *formats, *common)
        assert (code, out) == (0, f"18 images segmented, results in {engine}\n"), err
        scenes = ("--synthetic", 9, "--json", f"{engine}.json")
        code, _, err = run_main("evaluate", tiny_checkpoint, *scenes, "--engine", engine, "--backend", "torch")
        assert code == 0, err
    assert_equal_folders(tmp_path / "local", tmp_path / "ray")
    assert (tmp_path / "local.json").read_bytes() == (tmp_path / "ray.json").read_bytes()
    code, _, err = run_main("infer", "images", "--out", "ray", *common)
    assert code == 1
    assert "ray is not empty" in err


@pytest.mark.usefixtures("cluster")
def test_preparation_gives_the_same_files(run_main, tmp_path):
    write_tiny_cityscapes(tmp_path / "raw")
    for engine in ("local", "ray"):
        code, _, err = run_main("prepare", "cityscapes", "raw", engine, "--engine", engine)
        assert code == 0, err
    assert_equal_folders(tmp_path / "local", tmp_path / "ray")


@pytest.mark.usefixtures("cluster")
def test_bags_are_labelled_to_the_same_bytes(run_bag, tmp_path, monkeypatch):
    write_bag(tmp_path / "in" / "long", "mcap", drive(70))
    write_bag(tmp_path / "in" / "short", "sqlite3", drive(3))
    common = ("in", "--batch", 1, "--threads", 1, "--backend", "torch", "--no-overlay", "--no-colors")
    assert run_bag(*common, "--out-dir", "local")[0] == 0
    code, out, err = run_bag(*common, "--out-dir", "ray", "--engine", "ray")
    assert (code, out.splitlines()[-1]) == (0, "2 bags: 2 done; 0 of them before"), err
    assert_equal_folders(tmp_path / "local", tmp_path / "ray")
    # Workers that do not see the folder of the pieces return them.
    monkeypatch.setattr(RaySegments, "_token", lambda self, folder: "another machine's")
    assert run_bag(*common, "--out-dir", "returned", "--engine", "ray")[0] == 0
    assert_equal_folders(tmp_path / "local", tmp_path / "returned")


@pytest.mark.usefixtures("cluster")
def test_a_lost_connection_is_to_be_tried_again(run_bag, tmp_path, monkeypatch):
    for name in ("a", "b", "c"):
        write_bag(tmp_path / "in" / name, "mcap", drive(2))

    def fail(_self: RayWorkers) -> None:
        raise ConnectionError("closed")

    monkeypatch.setattr(RayWorkers, "_collect", fail)
    with RayWorkers() as workers:
        first = workers.submit(time.sleep, 0).exception(120)
        assert isinstance(first, WorkerLostError)
        assert "closed" in str(first)
        assert workers.submit(time.sleep, 0).exception(120) is first
    code, out, err = run_bag("in", "--out-dir", "out", "--engine", "ray")
    assert (code, out.splitlines()[-1]) == (75, "3 bags: 3 retry; 0 of them before"), err
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.usefixtures("cluster")
def test_ray_data_labels_the_rows_of_mcap_files(tmp_path, tiny_checkpoint):
    pytest.importorskip("pandas")
    import ray.data

    ray.data.DataContext.get_current().enable_progress_bars = False
    bag = write_bag(tmp_path / "bag", "mcap", [*drive(3), ("/chatter", 10**9, "hello")])
    rows = ray.data.read_mcap(str(bag / "bag.mcap")).map_batches(
        LabelFrames,
        fn_constructor_kwargs={"network": NetworkOptions(str(tiny_checkpoint), backend="torch")},
        batch_size=2,
        compute=ray.data.ActorPoolStrategy(size=1),
    )
    found = sorted(rows.take_all(), key=lambda row: row["log_time"])
    assert [row["topic"] for row in found] == ["/cam/image_raw"] * 3
    segmenter = PanopticSegmenter(tiny_checkpoint, backend="torch")
    for row, picture in zip(found, pictures(3), strict=True):
        semantic = np.asarray(cv2.imdecode(np.frombuffer(row["semantic_png"], np.uint8), cv2.IMREAD_UNCHANGED))
        assert semantic.shape == (row["height"], row["width"])
        assert (semantic != segmenter(picture).semantic_map).mean() < 0.01  # a batch may round differently


def assert_equal_folders(one: Path, other: Path) -> None:
    names = sorted(str(path.relative_to(one)) for path in one.rglob("*") if path.is_file())
    assert names == sorted(str(path.relative_to(other)) for path in other.rglob("*") if path.is_file())
    assert names
    assert [name for name in names if not filecmp.cmp(one / name, other / name, shallow=False)] == []
