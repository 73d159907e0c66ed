# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Shards: which part of the inputs one task of a batch service works on."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from opendr_panoptic_ros.errors import ConfigError, quoted

T = TypeVar("T")

# Variables of batch services: index of the task, smallest index, step, and number of tasks.
_SERVICES = {
    "AWS Batch": ("AWS_BATCH_JOB_ARRAY_INDEX", "", "", "AWS_BATCH_JOB_ARRAY_SIZE"),
    "Slurm": ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_STEP", "SLURM_ARRAY_TASK_COUNT"),
    "Kubernetes": ("JOB_COMPLETION_INDEX", "", "", "JOB_COMPLETIONS"),
}


@dataclass(frozen=True)
class Shard:
    """One of several disjoint parts of a list, which together are the list.

    Attributes:
        index: From 0 to `count - 1`.
        count: Number of parts.
    """

    index: int
    count: int

    @classmethod
    def parse(cls, text: str, environment: Mapping[str, str] | None = None) -> Shard:
        """Read a shard from an option.

        Args:
            text: `I/N`, I from 0 to N - 1; `auto` takes both from the variables that AWS Batch, Slurm or Kubernetes
                set for the tasks of an array, and `auto/N` takes I from there.
            environment: The variables; None for those of the process.

        Returns:
            The shard.

        Raises:
            ConfigError: The text has another form, a variable is missing, or a number is out of range.
        """
        index_text, _, count_text = text.partition("/")
        if index_text == "auto":
            index_text, found_count = _from_environment(os.environ if environment is None else environment)
            count_text = count_text or found_count
            if not count_text:
                raise ConfigError(
                    "--shard auto: the number of tasks is not in the environment; give it as --shard auto/N."
                )
        try:
            shard = cls(int(index_text), int(count_text))
        except ValueError:
            raise ConfigError(f"--shard is {quoted(text)}; expected I/N, such as 0/8, or auto, or auto/N.") from None
        if not 0 <= shard.index < shard.count:
            raise ConfigError(f"--shard: {shard.index} of {shard.count} parts; expected 0 to {shard.count - 1}.")
        return shard

    def select(self, items: Sequence[T], name: Callable[[T], str], size: Callable[[T], int]) -> list[T]:
        """Return the items of this part. Sizes are spread over the parts: the largest items are dealt out first.

        The choice depends on names and sizes alone, so all tasks must see the same items.

        Args:
            items: All items, in any order.
            name: Returns a name that no other item has.
            size: Returns a measure of the work.

        Returns:
            The items of this part, in their given order.
        """
        dealt = sorted(range(len(items)), key=lambda place: (-size(items[place]), name(items[place])))
        return [items[place] for place in sorted(dealt[self.index :: self.count])]


def _from_environment(environment: Mapping[str, str]) -> tuple[str, str]:
    """Return index and number of tasks as text; the number is empty where the service does not give it."""
    for index_name, first_name, step_name, count_name in _SERVICES.values():
        if index_name in environment:
            try:
                index = int(environment[index_name]) - int(environment.get(first_name, 0))
                index, rest = divmod(index, int(environment.get(step_name, 1)))
            except (ValueError, ZeroDivisionError) as error:
                raise ConfigError(f"--shard auto: {index_name} is not a number of an array ({error}).") from error
            if rest:
                raise ConfigError(f"--shard auto: {index_name} is not a multiple of {step_name}; give --shard I/N.")
            return str(index), environment.get(count_name, "")
    names = ", ".join(names[0] for names in _SERVICES.values())
    raise ConfigError(f"--shard auto: none of {names} is set; expected a task of an array, or give --shard I/N.")
