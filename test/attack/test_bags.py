# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Layer of bags: damaged MCAP files, databases and ROS 1 bags, metadata, messages, and bags that are written."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from attack.properties import REFUSED, attack, refused
from attack.strategies import changed, damaged, predictions, texts
from attack.targets import CORPUS
from hypothesis import strategies as st
from support.bags import message_of

from opendr_panoptic_ros.bags.reader import BagReader, Message
from opendr_panoptic_ros.bags.recorded import read_results
from opendr_panoptic_ros.bags.results import TYPE_NAMES, read_frame, result_prefixes, serialized, serialized_label_info
from opendr_panoptic_ros.bags.types import COMPRESSED_IMAGE, IMAGE, typestore
from opendr_panoptic_ros.bags.writer import BagWriter
from opendr_panoptic_ros.errors import ImageEncodingError, PanopticError
from opendr_panoptic_ros.labels import CITYSCAPES
from opendr_panoptic_ros.outputs import LABEL_INFO

FILES = {path.name: path.read_bytes()[1:] for path in sorted((CORPUS / "bag").iterdir())}
METADATA = yaml.safe_load(FILES["metadata"])
_SUFFIXES = {"mcap": ".mcap", "db3": ".db3", "bag": ".bag"}


def read_all(path: Path) -> list[Message]:
    """Every message of every topic; what is lost is named with the file."""
    with BagReader(path) as reader:
        messages = [message for topic in reader.topics for message in _messages(reader, topic)]
        assert all(str(path) in line and len(line) < 1000 for line in reader.damage)
        assert reader.start_ns <= reader.end_ns or not messages
    return messages


def _messages(reader: BagReader, topic: str) -> list[Message]:
    try:
        reader.topics[topic].check_type()
    except PanopticError:
        return []
    return list(reader.messages([topic]))


@attack("bags", short=80, name=st.sampled_from([n for n in FILES if n != "metadata"]), data=st.data())
def test_files(name: str, data: st.DataObject) -> str | None:
    suffix = next((suffix for end, suffix in _SUFFIXES.items() if name.endswith(end)), ".bag")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"in{suffix}")
        path.write_bytes(data.draw(damaged(FILES[name]), label="content"))
        try:
            read_all(path)
        except PanopticError as error:
            return refused(error, naming=path)
    return None


@attack("bags", short=40, metadata=changed(METADATA) | st.text(max_size=100))
def test_metadata(metadata: Any) -> str | None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        text = metadata if isinstance(metadata, str) else yaml.safe_dump(metadata)
        (path / "metadata.yaml").write_text(text, encoding="utf-8", errors="replace")
        (path / "in_0.mcap").write_bytes(FILES["whole_mcap"])
        try:
            assert len(read_all(path)) >= 4
        except PanopticError as error:
            return refused(error, limit=2000)
    return None


@cache
def image_message() -> bytes:
    message, name = message_of(typestore(), np.zeros((3, 4, 3), np.uint8), 0, ros1=False, seq=0)
    return bytes(typestore().serialize_cdr(message, name))


@attack(
    "bags",
    short=60,
    type_name=st.sampled_from([IMAGE, COMPRESSED_IMAGE]),
    data=damaged(image_message()) | st.binary(max_size=200),
)
def test_messages(type_name: str, data: bytes) -> str | None:
    try:
        frame = read_frame(Message("/image", type_name, 0, data))
    except ImageEncodingError as error:
        return refused(error)
    assert frame.image_rgb.shape[2] == 3
    return None


@attack("bags", prediction=predictions(), time_ns=st.integers(0, 2**63 - 2), data=st.data())
def test_results_that_are_written_and_read(prediction: Any, time_ns: int, data: st.DataObject) -> str | None:
    """A labelled bag gives back its messages byte by byte, and one that is damaged the results that are whole."""
    picture = np.zeros((*prediction.shape, 3), np.uint8)
    message, name = message_of(typestore(), picture, 0, ros1=False, seq=0)
    frame = read_frame(Message("/cam/image_raw", name, time_ns, bytes(typestore().serialize_cdr(message, name))))
    sent = {"/cam/image_raw": bytes(frame.message.data)}
    for output in TYPE_NAMES:
        if output == LABEL_INFO:
            made = serialized_label_info(frame.header, CITYSCAPES, score_threshold=0.5, keep_classes=())
        else:
            made = serialized(output, frame, prediction, mask_classes=("car",))
        sent[f"/cam/panoptic/{output}"] = bytes(made)
    with tempfile.TemporaryDirectory() as folder:
        writer = BagWriter(Path(folder, "out"))
        writer.add_topic("/cam/image_raw", IMAGE)
        for output, type_name in TYPE_NAMES.items():
            writer.add_topic(f"/cam/panoptic/{output}", type_name)
        writer.write(time_ns, sent)
        writer.close()
        assert {m.topic: bytes(m.data) for m in read_all(Path(folder, "out"))} == sent
        (file,) = Path(folder, "out").glob("*.mcap")
        file.write_bytes(data.draw(damaged(file.read_bytes()), label="content"))
        problems: list[str] = []
        try:
            with BagReader(file) as reader:
                found = list(read_results(reader, problems))
        except PanopticError:
            return REFUSED
        assert all(item.camera for item in found)
    return None


@attack(
    "bags",
    topics=st.lists(
        texts.map(lambda t: "/" + t) | st.sampled_from(["/a/image_raw", "/a/image_raw/compressed", "/a/b", "/"]),
        unique=True,
        max_size=5,
    ),
)
def test_names_of_results(topics: list[str]) -> None:
    prefixes = result_prefixes(topics)
    assert len(set(prefixes.values())) == len(topics)
    assert not set(prefixes.values()) & set(topics)
