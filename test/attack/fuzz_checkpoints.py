# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Damaged and made-up checkpoints, in child processes: each is read, or refused with a CheckpointError.

`python test/attack/fuzz_checkpoints.py --count 20000` runs the long version and prints what happened.
"""

from __future__ import annotations

import argparse
import collections
import io
import json
import os
import pickle
import random
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "test")]

from attack.bounds import Cost  # noqa: E402

BATCH = 500
"""Files for each child process."""

# Types that unpicklers know, harmless and not: what a made-up pickle calls.
NAMES = (
    "numpy dtype", "numpy ndarray", "numpy.core.multiarray _reconstruct", "numpy._core.multiarray scalar",
    "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_tensor_v3", "torch._utils _rebuild_parameter",
    "torch._utils _rebuild_sparse_tensor", "torch._utils _rebuild_qtensor", "torch._tensor _rebuild_from_type_v2",
    "torch FloatStorage", "torch.storage UntypedStorage", "torch float32", "torch Size", "torch device",
    "torch.nn.parameter Parameter", "collections OrderedDict", "collections Counter", "builtins getattr",
    "builtins set", "os system", "_codecs encode", "copyreg _reconstructor", "datetime datetime",
)  # fmt: skip


class Generator:
    """Makes hostile files from valid ones; the same seed gives the same files.

    valid: bytes and suffixes of valid files.
    """

    def __init__(self, valid: list[tuple[bytes, str]]) -> None:
        self._valid = valid

    def make(self, seed: int) -> tuple[bytes, str]:
        """Return the bytes of a file and its suffix."""
        rng = random.Random(seed)
        kind = rng.choice(("bytes", "pickle", "pickle", "program", "program", "header"))
        content, suffix = rng.choice(self._valid)
        is_zip = content.startswith(b"PK")
        if kind == "header" or suffix == ".safetensors":
            return _damaged(content, rng, limit=2000), suffix
        if kind == "pickle" and is_zip:
            return _with_pickle(content, lambda data: _damaged(data, rng)), suffix
        if kind == "program":
            program = _program(rng)
            return (_with_pickle(content, lambda _: program) if is_zip else content[:200] + program), suffix
        return _damaged(content, rng), suffix


def _damaged(content: bytes, rng: random.Random, limit: int | None = None) -> bytes:
    damaged = bytearray(content)
    for _ in range(rng.randint(0, 8)):  # 0: the harness is seen to load what is valid
        place = rng.randrange(min(len(damaged), limit or len(damaged)))
        action = rng.randrange(5)
        if action == 0:
            damaged[place] ^= 1 << rng.randrange(8)
        elif action == 1:
            damaged[place] = rng.randrange(256)
        elif action == 2:
            del damaged[place : place + rng.randint(1, 20)]
        elif action == 3:
            damaged[place:place] = _operation(rng)
        else:
            start = rng.randrange(len(damaged))
            damaged[place:place] = damaged[start : start + rng.randint(1, 60)]
    if rng.random() < 0.1:
        del damaged[rng.randrange(len(damaged)) :]
    return bytes(damaged or b"x")


def _operation(rng: random.Random) -> bytes:
    """One operation of a pickle with an argument that is mostly valid."""
    number = rng.choice((0, 1, 2, 3, 7, 255, 65535, 2**31 - 1, -1, 2**40, -(2**63), rng.randrange(1000)))
    text = rng.choice(("storage", "cpu", "0", "float64", "|O", "state_dict", "b1", "x" * 50)).encode()
    simple = [bytes([code]) for code in b"(0.12NQRabdehilot)}]su\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x92\x93\x94"]
    return rng.choice(
        (
            rng.choice(simple),
            rng.choice(simple),
            b"c" + rng.choice(NAMES).replace(" ", "\n").encode() + b"\n",
            b"X" + len(text).to_bytes(4, "little") + text,
            b"\x8a\x09" + (number % 2**64).to_bytes(9, "little"),
            b"K" + bytes([abs(number) % 256]),
            b"q" + bytes([rng.randrange(6)]),
            b"h" + bytes([rng.randrange(6)]),
            b"G" + rng.randbytes(8),
            b"B" + (abs(number) % 2**32).to_bytes(4, "little") + b"abc",
        )
    )


def _program(rng: random.Random) -> bytes:
    """A pickle of random operations, or of typical calls with random arguments."""
    parts = [b"\x80", bytes([rng.choice((2, 2, 3, 4))])]
    if rng.random() < 0.5:
        parts.append(b"}X\x0a\x00\x00\x00state_dict}X\x01\x00\x00\x00a")
        parts.append(b"c" + rng.choice(NAMES).replace(" ", "\n").encode() + b"\n")
        parts.append(b"((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x02tQ")
        parts += [_operation(rng) for _ in range(rng.randint(0, 8))]
        parts.append(rng.choice((b"tRss.", b"tRbss.", b"t\x81ss.", b"tR}bss.")))
    else:
        parts += [_operation(rng) for _ in range(rng.randint(1, 80))]
        parts.append(b".")
    return b"".join(parts)


def _with_pickle(content: bytes, change: object) -> bytes:
    """The same zip archive with another pickle, so that its checksums hold."""
    assert callable(change)
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(made, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, change(data) if name.endswith("data.pkl") else data)
    return made.getvalue()


def valid_files() -> Iterator[tuple[bytes, str]]:
    """Yield small files of every kind that is read."""
    import numpy as np
    import torch
    from support.tiny_network import tiny_network

    from opendr_panoptic_ros.checkpoint import save_checkpoint

    tensors = {"a": torch.ones(2, 3), "b": torch.arange(4), "c": torch.nn.Parameter(torch.ones(2, dtype=torch.half))}
    meta = {"best": np.float64(0.5), "history": np.arange(3), "CLASSES": ("person", "car"), "tags": {"x"}}
    for zipped in (True, False):
        for content in ({"meta": meta, "state_dict": OrderedDict(tensors)}, tensors):
            file = io.BytesIO()
            torch.save(content, file, _use_new_zipfile_serialization=zipped)
            yield file.getvalue(), ".pth"
    yield pickle.dumps({"state_dict": meta}), ".pth"
    with tempfile.TemporaryDirectory() as folder:
        for suffix in (".pth", ".safetensors"):
            path = Path(folder, f"tiny{suffix}")
            save_checkpoint(tiny_network(), path)
            yield path.read_bytes(), suffix


def child(first: int, count: int) -> None:
    """Read `count` files of the seeds from `first`; print each seed before, and what happened after."""
    from opendr_panoptic_ros.checkpoint import load_checkpoint
    from opendr_panoptic_ros.errors import CheckpointError

    generator = Generator(list(valid_files()))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "warm.safetensors")
        path.write_bytes(next(content for content, suffix in valid_files() if suffix == path.suffix))
        load_checkpoint(path)
        idle_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for seed in range(first, first + count):
            content, suffix = generator.make(seed)
            path = Path(folder, f"hostile{suffix}")
            path.write_bytes(content)
            os.write(1, json.dumps({"seed": seed}).encode() + b"\n")
            start = time.process_time()
            try:
                load_checkpoint(path)
                result = "loaded"
            except CheckpointError as error:
                result = "refused"
                if "weights_only" in str(error) or "safe_globals" in str(error) or len(str(error)) > 2000:
                    result = f"bad message: {str(error)[:200]}"
            except BaseException as error:  # noqa: BLE001 - what the fuzzer looks for
                result = f"{type(error).__name__}: {str(error)[:200]}"
            seconds = time.process_time() - start
            grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - idle_kb
            try:
                Cost(seconds, grown_kb / 1024).check()
            except AssertionError as error:
                result = str(error)
            line = {"seed": seed, "result": result, "seconds": seconds, "grown_kb": grown_kb}
            os.write(1, json.dumps(line).encode() + b"\n")


class Outcome:
    """The outcome of a run. counts: number of files by result. faults: seeds and results of errors in the reader."""

    def __init__(self) -> None:
        self.counts: collections.Counter[str] = collections.Counter()
        self.faults: list[tuple[int, str]] = []
        self.max_seconds = 0.0
        self.max_grown_mb = 0.0

    def add(self, line: dict[str, object]) -> None:
        """Count one finished file."""
        result = str(line["result"])
        self.counts[result if result in {"loaded", "refused"} else "fault"] += 1
        if result not in {"loaded", "refused"}:
            self.faults.append((int(str(line["seed"])), result))
        self.max_seconds = max(self.max_seconds, float(str(line["seconds"])))
        self.max_grown_mb = max(self.max_grown_mb, float(str(line["grown_kb"])) / 1024)


def attack(count: int, first: int = 0) -> Outcome:
    """Try `count` files, starting with the seed `first`; a child that dies is replaced."""
    outcome = Outcome()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "test")]), "OMP_NUM_THREADS": "1"}
    seed, end = first, first + count
    while seed < end:
        command = [sys.executable, __file__, "--child", str(seed), str(min(BATCH, end - seed))]
        ran = subprocess.run(command, stdout=subprocess.PIPE, env=environment, timeout=3600, check=False)
        lines = [json.loads(line) for line in ran.stdout.splitlines()]
        for line in lines:
            if "result" in line:
                outcome.add(line)
        if not lines:
            raise RuntimeError(f"The child process failed with {ran.returncode} before the first file.")
        if ran.returncode != 0:
            outcome.counts["fault"] += 1
            outcome.faults.append((lines[-1]["seed"], f"the process ended with {ran.returncode}"))
        seed = lines[-1]["seed"] + 1
    return outcome


def main() -> None:
    """Run the long version or one child process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0, help="The first seed.")
    parser.add_argument("--child", type=int, nargs=2, metavar=("FIRST", "COUNT"))
    arguments = parser.parse_args()
    if arguments.child:
        child(*arguments.child)
        return
    outcome = attack(arguments.count, arguments.first)
    print(
        dict(outcome.counts),
        f"slowest {outcome.max_seconds:.2f} s of processor time, memory grew by {outcome.max_grown_mb:.0f} MB",
    )
    for seed, result in outcome.faults[:20]:
        print(f"seed {seed}: {result}")
    sys.exit(bool(outcome.faults))


if __name__ == "__main__":
    main()
