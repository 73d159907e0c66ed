# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Properties that hold for every input: Hypothesis makes the inputs, each of which has a limit of time and memory.

`make test` tries a few inputs of each property, always the same ones. ATTACK_EXAMPLES=N tries about N new ones, and
ATTACK_RECORDS=FOLDER writes what was tried and what it cost.
"""

from __future__ import annotations

import functools
import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attack.bounds import Meter
from hypothesis import HealthCheck, Phase, given, settings

READ, REFUSED = "read", "refused"
EXAMPLES = int(os.environ.get("ATTACK_EXAMPLES", "0"))


@dataclass
class Record:
    """The inputs of one property.

    Attributes:
        layer: Layer of the package.
        outcomes: Number of inputs by outcome; "error" for those that break the property.
        seconds: Most processor time of an input.
        memory_mb: Most memory of an input.
    """

    layer: str
    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    memory_mb: float = 0.0


RECORDS: dict[str, Record] = {}
"""By name of the property, in this process."""


def attack(layer: str, *, short: int = 20, **inputs: Any) -> Callable[[Callable[..., str | None]], Callable[..., None]]:
    """Make a test of a property.

    Args:
        layer: Layer of the package, for the table.
        short: Number of inputs in `make test`; 20 where they are cheap. The long version has so many times more.
        inputs: Strategy of each argument.

    Returns:
        A decorator of the property: a function that raises an error for an input that breaks it, and returns
        `REFUSED` for an input that was refused with a typed error, otherwise `READ` or None.
    """

    def decorate(holds: Callable[..., str | None]) -> Callable[..., None]:
        record = RECORDS.setdefault(holds.__name__, Record(layer))

        @functools.wraps(holds)
        def tried(*arguments: Any, **named: Any) -> None:
            record.outcomes["error"] += 1
            try:
                with Meter() as meter:
                    outcome = holds(*arguments, **named) or READ
            except BaseException as stop:
                if type(stop).__module__.startswith("hypothesis"):  # it has abandoned an input while it was made
                    record.outcomes["error"] -= 1
                raise
            record.seconds = max(record.seconds, meter.cost.seconds)
            record.memory_mb = max(record.memory_mb, meter.cost.memory_mb)
            meter.cost.check()
            record.outcomes["error"] -= 1
            record.outcomes[outcome] += 1

        checks = [
            HealthCheck.too_slow,
            HealthCheck.data_too_large,
            HealthCheck.filter_too_much,
            HealthCheck.large_base_example,
        ]
        chosen = settings(
            max_examples=max(short, EXAMPLES * short // 20) if EXAMPLES else short,
            derandomize=not EXAMPLES,
            deadline=None,  # time is measured here: processor time, which other processes do not change much
            database=None,
            print_blob=True,
            phases=[Phase.explicit, Phase.generate, Phase.shrink],
            suppress_health_check=checks,
        )
        return chosen(given(**inputs)(tried))

    return decorate


def refused(error: Exception, *, limit: int = 1000, naming: object = "") -> str:
    """Check the text of a typed error.

    Args:
        error: The error.
        limit: Largest length of its text.
        naming: A part that the text must contain.

    Returns:
        `REFUSED`.
    """
    text = str(error)
    assert len(text) <= limit, f"an error of {len(text)} characters: {text[:500]}"
    assert text.replace("\n", "").isprintable(), f"an error with control characters: {text!r}"
    assert str(naming) in text
    return REFUSED


def write_records(folder: Path) -> None:
    """Write the records of this process that have inputs, one file for each property."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, record in RECORDS.items():
        if record.outcomes.total():
            content = {
                "layer": record.layer,
                "outcomes": {key: count for key, count in record.outcomes.items() if count},
                "seconds": round(record.seconds, 3),
                "memory_mb": round(record.memory_mb, 1),
            }
            (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
