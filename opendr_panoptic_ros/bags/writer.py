# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Writing MCAP bags, which get their name only when they are complete."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml
from rosbags.interfaces import Qos
from rosbags.rosbag2.metadata import dump_qos_v8

from opendr_panoptic_ros.bags.channels import BagChannel
from opendr_panoptic_ros.bags.mcap_output import McapOutput
from opendr_panoptic_ros.bags.reader import Message
from opendr_panoptic_ros.errors import PanopticError
from opendr_panoptic_ros.files import WorkFolder

RECORD = "labelled.json"
"""File in a labelled bag of `bag --out-dir` that states from what and how it was made."""


class MessageWriter:
    """Appends messages to an MCAP file by their topics.

    Args:
        output: The file.
    """

    def __init__(self, output: McapOutput) -> None:
        self._output = output
        self._channels: list[BagChannel] = []
        self._ids: dict[tuple[str, str, str, bytes], int] = {}
        self._by_topic: dict[str, int] = {}

    @property
    def count(self) -> int:
        """Number of messages written."""
        return self._output.counts.total()

    def add_topic(self, name: str, type_name: str, qos: Collection[Qos] = ()) -> None:
        """Add a topic; to be called before its first message.

        Args:
            name: Name of the topic.
            type_name: Its type, one of `typestore()`.
            qos: Profiles that its publishers offer.
        """
        self.add_channel(BagChannel.of_type(name, type_name, qos))

    def add_channel(self, channel: BagChannel) -> None:
        """Add a channel; to be called before its first message.

        Args:
            channel: The channel.
        """
        self._ids[channel.key] = self._by_topic[channel.topic] = self._output.add_channel(channel)
        self._channels.append(channel)

    def write(self, time_ns: int, messages: Mapping[str, bytes | memoryview | Message]) -> None:
        """Append messages of topics that were added before.

        Args:
            time_ns: Their record time.
            messages: Serialized messages by topic. Messages of a bag are appended as they were recorded.

        Raises:
            PanopticError: The disk is so full that the bag might not be completed after them. Nothing was appended.
        """
        self._output.check_space(
            sum(len(entry.data if isinstance(entry, Message) else entry) for entry in messages.values())
        )
        for topic, entry in messages.items():
            if not isinstance(entry, Message):
                self._output.write(self._by_topic[topic], time_ns, entry)
            else:
                channel_id = self._by_topic[topic] if entry.channel is None else self._ids[entry.channel.key]
                publish_ns, sequence = entry.publish_ns, entry.sequence
                self._output.write(channel_id, time_ns, entry.data, publish_ns=publish_ns, sequence=sequence)

    def write_apart(self, time_ns: int, messages: Mapping[str, bytes | memoryview]) -> None:
        """Append messages in a chunk of their own, which `append` can leave out.

        Args:
            time_ns: Their record time.
            messages: Serialized messages by topic; when empty, the present chunk ends nevertheless.
        """
        self._output.end_chunk()
        for topic, data in messages.items():
            self._output.write(self._by_topic[topic], time_ns, data)
        self._output.end_chunk()

    def end_chunk(self) -> None:
        """End the present chunk, as at the end of a piece."""
        self._output.end_chunk()

    def append(self, piece: Path, *, without: Collection[str] = ()) -> None:
        """Append the messages of a file to which the same channels were added.

        Args:
            piece: The file.
            without: Topics whose messages are left out; they were written with `write_apart`.

        Raises:
            PanopticError: The disk is so full that the bag might not be completed after them.
        """
        self._output.append(piece, without=[self._by_topic[topic] for topic in without])

    def written(self, topic: str) -> int:
        """Return the number of messages of a topic.

        Args:
            topic: Name of the topic.
        """
        return sum(self._output.counts[self._ids[c.key]] for c in self._channels if c.topic == topic)


class PieceWriter(MessageWriter):
    """A piece of a bag: an MCAP file, which gets its name only when it is complete.

    Args:
        path: The file; one that exists is replaced.
        compression: Compression of the chunks, of `mcap_output.COMPRESSIONS`.
    """

    def __init__(self, path: Path, *, compression: str = "zstd") -> None:
        self._path, self._partial = path, path.with_name(f"{path.name}.partial")
        self._partial.unlink(missing_ok=True)
        super().__init__(McapOutput(self._partial, compression=compression))

    def close(self) -> None:
        """Complete the file and give it its name."""
        self._output.finish({})
        self._partial.replace(self._path)


class BagWriter(MessageWriter):
    """A new MCAP bag. Until `close` it lies in the folder `partial`, which replaces that of a killed process.

    Args:
        path: A rosbag2 folder to make, or a single file if it ends in .mcap.
        compression: Compression of the chunks, of `mcap_output.COMPRESSIONS`.

    Attributes:
        path: As given.
        partial: The folder of the unfinished bag. Files put into it are removed when the bag is closed.

    Raises:
        PanopticError: `path` exists, another process writes it, or it cannot be written.
    """

    def __init__(self, path: Path, *, compression: str = "zstd") -> None:
        self.path = path
        self.partial = path.with_name(f"{path.name}.partial")
        self.check_free(path)
        try:
            self._folder = WorkFolder(self.partial)
        except OSError as error:
            raise PanopticError(f"{self.partial} cannot be made: {error.strerror}.") from error
        # The bag is a folder in this one, under its final name, which the names of its files are made of.
        self._bag = self.partial / path.name.removesuffix(".mcap")
        self._bag.mkdir()
        super().__init__(McapOutput(self._bag / f"{self._bag.name}.mcap", compression=compression))

    @staticmethod
    def check_free(path: Path) -> None:
        """Check that a bag can be written.

        Args:
            path: Where the bag is to be.

        Raises:
            PanopticError: The path exists already, another process writes the bag, or the folder is not writable.
        """
        if path.suffix == ".bag":
            raise PanopticError(f"{path} has the ending of ROS 1 bags; the result is MCAP: a folder, or a file .mcap.")
        if path.is_symlink() and not path.exists():
            raise PanopticError(f"{path} is a link to {path.readlink()}, which is missing; choose another name.")
        if path.exists():
            raise PanopticError(f"{path} exists; choose another name, or remove it.")
        partial = path.with_name(f"{path.name}.partial")
        try:
            WorkFolder.check(partial)
        except OSError as error:
            raise PanopticError(f"{partial} cannot be replaced: {error.strerror}. Choose another name.") from error
        parent = next(folder for folder in path.absolute().parents if folder.exists())
        if not parent.is_dir() or not os.access(parent, os.W_OK):
            raise PanopticError(f"{path} cannot be written: {parent} is not a writable folder.")

    def close(self, *, is_kept: bool = True, record: str = "") -> None:
        """Complete the bag and give it its name. A bag without messages is removed.

        Args:
            is_kept: Whether the bag is kept.
            record: Content of the file `RECORD` of the bag, which must be a folder; empty for none.
        """
        information = self._information()
        text = yaml.safe_dump(information, sort_keys=False)
        self._output.finish({"rosbag2": {"serialized_metadata": text}})
        if self.count and is_kept:
            self._add_metadata(information)
            if record:
                (self._bag / RECORD).write_text(record, "utf-8")
            whole = self._output.path if self.path.suffix == ".mcap" else self._bag
            whole.rename(self.path)
        self._folder.remove()

    def _add_metadata(self, information: dict[str, Any]) -> None:
        text = yaml.safe_dump({"rosbag2_bagfile_information": information}, sort_keys=False)
        (self._bag / "metadata.yaml").write_text(text, "utf-8")

    def _information(self) -> dict[str, Any]:
        """Return the metadata of rosbag2.

        They are of version 8: Humble refuses a bag whose metadata are of version 9; Jazzy and Kilted read both.
        """
        output = self._output
        starting_time = {"nanoseconds_since_epoch": output.start_ns}
        duration = {"nanoseconds": max(0, output.end_ns - output.start_ns)}
        topics = [
            {
                "topic_metadata": {
                    "name": channel.topic,
                    "type": channel.type_name,
                    "serialization_format": channel.encoding,
                    "offered_qos_profiles": dump_qos_v8(channel.qos),
                    "type_description_hash": channel.type_hash,
                },
                "message_count": output.counts[self._ids[channel.key]],
            }
            for channel in self._channels
        ]
        return {
            "version": 8,
            "storage_identifier": "mcap",
            "relative_file_paths": [output.path.name],
            "duration": duration,
            "starting_time": starting_time,
            "message_count": self.count,
            "topics_with_message_count": topics,
            "compression_format": "",
            "compression_mode": "",
            "files": [
                {
                    "path": output.path.name,
                    "starting_time": starting_time.copy(),
                    "duration": duration.copy(),
                    "message_count": self.count,
                }
            ],
            "custom_data": None,
            "ros_distro": "rosbags",
        }
