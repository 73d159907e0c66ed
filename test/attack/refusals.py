# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Time and memory of every refusal: `python test/attack/refusals.py` prints the table of test/attack/README.md.

All inputs are tried in one process, after the libraries have been imported. `--write` writes the table.
"""

# ruff: noqa: E402 - the package and the helpers of the tests are found only after the path is set

from __future__ import annotations

import argparse
import contextlib
import http.server
import io
import json
import os
import pickle
import sqlite3
import struct
import sys
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
sys.path.insert(0, str(HERE.parents[1]))

import numpy as np
import torch
import zstandard
from attack.bounds import Cost, Meter
from attack.run import replace_table
from mcap.writer import CompressionType, IndexType, Writer
from support.tiny_network import tiny_network
from support.toy_datasets import write_tiny_cityscapes, write_tiny_coco

from opendr_panoptic_ros.bags.reader import BagReader
from opendr_panoptic_ros.bags.writer import BagWriter
from opendr_panoptic_ros.checkpoint import load_checkpoint, save_checkpoint
from opendr_panoptic_ros.codec.compressed import decode_compressed
from opendr_panoptic_ros.codec.image import decode
from opendr_panoptic_ros.config import Config
from opendr_panoptic_ros.datasets import CityscapesDataset, CocoPanopticDataset, PanopticDataset
from opendr_panoptic_ros.download import download_weights
from opendr_panoptic_ros.errors import PanopticError
from opendr_panoptic_ros.formats.panoptic_quality import panoptic_quality_of_files
from opendr_panoptic_ros.formats.result_format import ResultFormat
from opendr_panoptic_ros.formats.results import ResultFolder
from opendr_panoptic_ros.inference import PanopticSegmenter
from opendr_panoptic_ros.media import read_image
from opendr_panoptic_ros.postprocess import read_ego_mask

BEGIN, END = "<!-- table of refusals.py -->", "<!-- end of the refusals -->"
Attack = Callable[[Path], Callable[[], object]]
"""Prepares an input in a folder, and returns what uses it, which must raise a PanopticError."""


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", bytes(40)) + chunk(b"IEND", b"")


def jpeg(width: int, height: int) -> bytes:
    import cv2

    data = bytes(cv2.imencode(".jpg", np.zeros((9, 9, 3), np.uint8))[1].tobytes())
    place = data.index(b"\xff\xc0") + 5
    return data[:place] + struct.pack(">HH", height, width) + data[place + 4 :] + bytes(12_000)


TINY_BOMB = png(64, 64)[:33] + b"\xff\xff\xff\xf0IDAT"


def picture(data: bytes) -> Attack:
    """The same picture as a message, as a file for `infer`, and as an ego mask."""

    def prepare(folder: Path) -> Callable[[], object]:
        path = folder / "picture.png"
        path.write_bytes(data)
        readers: list[Callable[[], object]] = [
            lambda: read_image(path),
            lambda: read_ego_mask(path),
            lambda: decode_compressed(SimpleNamespace(format="png", data=data)),
        ]

        def read_all() -> None:
            for read in readers[:-1]:
                with contextlib.suppress(PanopticError):
                    read()
                    raise AssertionError("the picture was read")
            readers[-1]()

        return read_all

    return prepare


def checkpoint(write: Callable[[Path], object], suffix: str = ".pth") -> Attack:
    def prepare(folder: Path) -> Callable[[], object]:
        path = folder / f"weights{suffix}"
        write(path)
        return lambda: load_checkpoint(path)

    return prepare


class Pickled:
    """Pickles as a call of `function` with a state."""

    def __init__(self, function: Any, arguments: tuple[Any, ...], state: Any) -> None:
        self._reduced = function, arguments, state

    def __reduce__(self) -> tuple[Any, ...]:
        return self._reduced


def crafted(path: Path) -> None:
    dtype = Pickled(np.dtype, ("f8", False, True), (3, "|", ("O", (8,)), None, None, 64, 8, 27))
    scalar = Pickled(np.float64(0).__reduce__()[0], (dtype, b"\x41" * 8), None)
    torch.save({"state_dict": {"a": torch.zeros(2)}, "meta": {"best": scalar}}, path)


def deflated(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=4) as archive:
        archive.writestr("bomb/data.pkl", b"\x80\x02}.")
        with archive.open("bomb/data/0", "w") as part:
            block = bytes(1 << 20)
            for _ in range(600):
                part.write(block)


def with_model(**model: float) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        network = tiny_network()
        config = network.config.to_dict()
        config["model"].update(model)
        content = {"format": "opendr_panoptic_ros", "format_version": 1, "config": config}
        torch.save({**content, "state_dict": network.state_dict()}, path)

    return write


def with_weight(value: float) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        network = tiny_network()
        next(network.parameters()).data.view(-1)[0] = value
        save_checkpoint(network, path)

    return write


def with_flipped_bit(path: Path) -> None:
    save_checkpoint(tiny_network(), path)
    data = bytearray(path.read_bytes())
    data[-1000] ^= 4
    path.write_bytes(data)


def yaml_bomb(folder: Path) -> Callable[[], object]:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    (folder / "bomb.yaml").write_text("\n".join(lines), encoding="utf-8")
    return lambda: Config.load(folder / "bomb.yaml")


def secret(folder: Path) -> Callable[[], object]:
    (folder / "key").write_text("-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\n", encoding="utf-8")
    return lambda: Config.load(folder / "key")


def mcap(compress: Callable[[], bytes], compression: str, claims: int) -> Attack:
    """A bag whose only chunk is replaced by compressed data that claim a size."""

    def prepare(folder: Path) -> Callable[[], object]:
        file, compressed = io.BytesIO(), compress()
        writer = Writer(file, compression=CompressionType.NONE, index_types=IndexType.NONE, use_statistics=False)
        writer.start(profile="ros2", library="test")
        writer.finish()
        name = compression.encode()
        content = struct.pack("<QQQII", 0, 1, claims, 0, len(name)) + name + struct.pack("<Q", len(compressed))
        whole = file.getvalue()
        header_end = 8 + 9 + struct.unpack_from("<Q", whole, 9)[0]
        record = b"\x06" + struct.pack("<Q", len(content) + len(compressed)) + content + compressed
        (folder / "in.mcap").write_bytes(whole[:header_end] + record)
        return lambda: read_bag(folder / "in.mcap")

    return prepare


def read_bag(path: Path) -> None:
    """Read a bag; PanopticError with what is lost, if something is."""
    with BagReader(path) as reader:
        for _ in reader.messages(list(reader.topics)):
            pass
        if reader.damage:
            raise PanopticError("; ".join(reader.damage))


def zstd_bomb() -> bytes:
    compressor = zstandard.ZstdCompressor().compressobj()
    block = bytes(2**26)
    return b"".join(compressor.compress(block) for _ in range(32)) + compressor.flush()


def lz4_bomb() -> bytes:
    import lz4.frame

    return bytes(lz4.frame.compress(bytes(2**22), compression_level=9, store_size=False) * 512)


def database(folder: Path) -> Callable[[], object]:
    path = folder / "in.db3"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE topics(id INTEGER, name TEXT, type TEXT, serialization_format TEXT)")
        connection.execute(
            "CREATE VIEW messages AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
            "SELECT i AS id, 1 AS topic_id, i AS timestamp, zeroblob(1000000000) AS data FROM n"
        )
        connection.commit()
    return lambda: read_bag(path)


def pipe(use: Callable[[Path], object], name: str) -> Attack:
    def prepare(folder: Path) -> Callable[[], object]:
        os.mkfifo(folder / name)
        return lambda: use(folder / name)

    return prepare


def leaving(folder: Path) -> Callable[[], object]:
    write_tiny_coco(folder / "raw", num_train=1, num_val=1)
    path = folder / "raw" / "annotations" / "panoptic_val2017.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["images"][0]["file_name"] = "../../x.png"
    path.write_text(json.dumps(content), encoding="utf-8")
    return lambda: CocoPanopticDataset.prepare_data(folder / "raw", folder / "out", num_workers=1, splits=["val"])


def damaged_annotations(folder: Path) -> Callable[[], object]:
    write_tiny_cityscapes(folder / "raw", num_train=1, num_val=1)
    CityscapesDataset.prepare_data(folder / "raw", folder / "out", num_workers=1)
    path = folder / "out" / "val" / "annotations.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["annotations"][0]["segmentation"]["counts"] = "o" * 100_000
    path.write_text(json.dumps(content), encoding="utf-8")
    return lambda: PanopticDataset(folder / "out" / "val").sample(0)


def large_prediction(folder: Path) -> Callable[[], object]:
    entry = {"image_id": "a", "file_name": "a.png", "segments_info": []}
    for name in ("truth", "found"):
        (folder / name).mkdir()
        (folder / name / "a.png").write_bytes(png(12_000, 12_000))
        content = {"annotations": [entry], "categories": []}
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return lambda: panoptic_quality_of_files(folder / "truth.json", folder / "found", folder / "found.json")


def dangling(folder: Path) -> Callable[[], object]:
    (folder / "out").symlink_to(folder / "gone")

    def use() -> None:
        with contextlib.suppress(PanopticError):
            ResultFolder(folder / "out", [ResultFormat.LABELS])
            raise AssertionError("the link was accepted")
        BagWriter.check_free(folder / "out")

    return use


def long_encoding(_folder: Path) -> Callable[[], object]:
    message = SimpleNamespace(height=1, width=1, encoding="x" * 20_000_000, is_bigendian=0, step=3, data=bytes(3))
    return lambda: decode(message)


class _Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"<html>not found</html>" * 1000
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def page(folder: Path) -> Callable[[], object]:
    server = http.server.HTTPServer(("127.0.0.1", 0), _Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    return lambda: download_weights("kitti", folder, url=url, show_progress=False)


def network(**arguments: Any) -> Attack:
    return lambda _folder: lambda: PanopticSegmenter(tiny_network(), device="cpu", **arguments)


ATTACKS: dict[str, Attack] = {
    "`.pth` with a NumPy type of a made-up state": checkpoint(crafted),
    "`.pth`: zip that inflates to 600 MB": checkpoint(deflated),
    "`.pth`: zip of 60,000 members": checkpoint(
        lambda path: path.write_bytes(_zip([f"x/{number:060}" for number in range(60_000)]))
    ),
    "`.pth`: configuration with `fpn_channels` 5000": checkpoint(with_model(fpn_channels=5000)),
    "`.pth`: configuration with `backbone_depth` 100,000": checkpoint(with_model(backbone_depth=1e5)),
    "`.pth`: pickle of 20 million lists": checkpoint(lambda path: path.write_bytes(b"\x80\x02]" + b"]" * (20 << 20))),
    "`.pth`: pickle that calls `os.system`": checkpoint(
        lambda path: path.write_bytes(pickle.dumps({"state_dict": Pickled(os.system, ("true",), None)}))
    ),
    "`.safetensors` with a header of 90 MB": checkpoint(
        lambda path: path.write_bytes((90 << 20).to_bytes(8, "little") + b"{" + b" " * (90 << 20)), ".safetensors"
    ),
    "`.safetensors` with a name that is not UTF-8": checkpoint(
        lambda path: path.write_bytes(_safetensors(b'{"\xff":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}')),
        ".safetensors",
    ),
    "weights that are NaN": checkpoint(with_weight(float("nan")), ".safetensors"),
    "weights that are infinite": checkpoint(with_weight(float("inf")), ".safetensors"),
    "weights with one flipped bit": checkpoint(with_flipped_bit, ".safetensors"),
    "checkpoint named with 300 characters": lambda _: lambda: load_checkpoint("x" * 300),
    "checkpoint of `~nosuchuser`": lambda _: lambda: load_checkpoint("~nosuchuser/x.pth"),
    "`inference_size` 1,000,000,000": network(inference_size=10**9),
    "PNG of 41 bytes whose chunk claims 4 GB": picture(TINY_BOMB),
    "PNG of 30,000 x 30,000": picture(png(30_000, 30_000)),
    "JPEG of 14 KB that claims 65,500 x 2,000": picture(jpeg(65_500, 2_000)),
    "raw image with an encoding of 20 MB": long_encoding,
    "YAML of 700 bytes with nested aliases": yaml_bomb,
    "private key as configuration": secret,
    "MCAP chunk that claims a terabyte": mcap(lambda: b"x", "zstd", 2**40),
    "MCAP: 32 KB of zstd that hold 1 GiB, as they claim": mcap(lambda: zstandard.compress(bytes(2**30)), "zstd", 2**30),
    "MCAP: zstd of 2 GiB without its size": mcap(zstd_bomb, "zstd", 1000),
    "MCAP: lz4 of 2 GiB": mcap(lz4_bomb, "lz4", 1000),
    "database whose messages are computed without end": database,
    "bag: a pipe": pipe(read_bag, "in.mcap"),
    "checkpoint: a pipe": pipe(load_checkpoint, "x.pth"),
    "`prepare`: COCO `file_name` `../../x.png`": leaving,
    "prepared folder: run lengths that are damaged": damaged_annotations,
    "`evaluate`: a prediction of 12,000 x 12,000": large_prediction,
    "OUT is a link whose target is missing": dangling,
    "`download` of a page of HTML": page,
}


def _zip(names: list[str]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, b"")
    return file.getvalue()


def _safetensors(header: bytes) -> bytes:
    return len(header).to_bytes(8, "little") + header + bytes(4)


def refusals() -> list[dict[str, Any]]:
    """Try every input; return its name, the text of the error, and its cost."""
    network()(Path())()  # import what is imported late
    load_checkpoint("demo")
    results = []
    for name, prepare in ATTACKS.items():
        with tempfile.TemporaryDirectory() as folder:
            use = prepare(Path(folder))
            text = ""
            with Meter() as meter:
                try:
                    use()
                except PanopticError as error:
                    text = str(error)
            results.append({"name": name, "text": text, "seconds": meter.cost.seconds, "mb": meter.cost.memory_mb})
    return results


def main() -> None:
    """Print the table; exit status 1 if an input was not refused, AssertionError if a refusal is above the limits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="Write the table into test/attack/README.md.")
    parser.add_argument("--json", action="store_true", help="Print JSON.")
    arguments = parser.parse_args()
    results = refusals()
    if arguments.json:
        print(json.dumps(results))
        return
    lines = ["| input | time | memory |", "|---|---|---|"]
    lines += [f"| {row['name']} | {row['seconds']:.2f} s | {row['mb']:.0f} MB |" for row in results]
    print("\n".join(lines))
    if arguments.write:
        replace_table(HERE / "README.md", BEGIN, END, "\n".join(lines))
    for row in results:
        Cost(row["seconds"], row["mb"]).check()
    sys.exit(not all(row["text"] for row in results))


if __name__ == "__main__":
    main()
