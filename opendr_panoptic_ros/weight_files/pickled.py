# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Read a pickle without running it: its operations build plain values here, and no name in it is ever imported.

Python's own unpickler imports what a file names and calls it; PyTorch's `weights_only` reader has a list of names, some
of which were found to corrupt memory (CVE-2025-32434, CVE-2026-24747). This reader has no such names: a type is either
one of the caller's `Builder`s or an `Inert` placeholder on which every operation does nothing.
"""

from __future__ import annotations

import pickle
import pickletools
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from opendr_panoptic_ros.errors import plain

MAX_OPERATIONS = 300_000
"""Operations of one pickle. A training state of the published network (AdamW, running mean) has about 120,000."""

_VALUES = {
    "INT",
    "BININT",
    "BININT1",
    "BININT2",
    "LONG",
    "LONG1",
    "LONG4",
    "FLOAT",
    "BINFLOAT",
    "STRING",
    "BINSTRING",
    "SHORT_BINSTRING",
    "BINBYTES",
    "SHORT_BINBYTES",
    "BINBYTES8",
    "BYTEARRAY8",
    "UNICODE",
    "SHORT_BINUNICODE",
    "BINUNICODE",
    "BINUNICODE8",
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}


class PickleError(ValueError):
    """The bytes are not a pickle that can be read."""


class ForeignTypeError(PickleError):
    """The pickle holds an object of a type that is neither known nor harmless.

    Args:
        name: Full name of the type, as the file writes it.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"it holds the type {plain(name, 80)}")
        self.name = name


@dataclass(frozen=True)
class Inert:
    """Placeholder for an object whose type is not needed: nothing in it is kept and nothing of it runs.

    Attributes:
        name: Full name of the type.
    """

    name: str


@dataclass(frozen=True)
class Builder:
    """A type or function that a pickle may use: our own function, which makes a plain value of the arguments.

    Attributes:
        build: Called with the arguments in the file; raises ValueError, TypeError or IndexError for unusable ones.
    """

    build: Callable[..., Any]


def read_pickle(
    stream: BinaryIO,
    *,
    find_type: Callable[[str], Any],
    find_persistent: Callable[[Any], Any],
) -> Any:
    """Read one pickle and leave the stream behind its end.

    Args:
        stream: The bytes, at the start of the pickle. All of it may be taken into memory.
        find_type: Maps a full name such as "torch._utils._rebuild_tensor_v2" to a `Builder`, an `Inert` or a plain
            value. Raises `ForeignTypeError` for a name that must not be there.
        find_persistent: Maps a persistent id, a plain value, to the object it stands for.

    Returns:
        The value: numbers, text, bytes, lists, tuples, dicts, `Inert`s, and what the builders return.

    Raises:
        PickleError: The bytes are damaged, are not a pickle, or use an operation that is not supported.
    """
    machine = _Machine(find_type, find_persistent)
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if count >= MAX_OPERATIONS:
                raise PickleError(f"it has more than {MAX_OPERATIONS} operations")
            if opcode.name in _VALUES:
                machine.push(argument)
            elif opcode.name in _CONSTANTS:
                machine.push(_CONSTANTS[opcode.name])
            elif opcode.name == "STOP":
                return machine.pop()
            else:
                _OPERATIONS[opcode.name](machine, argument)
    except PickleError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, struct.error) as error:
        raise PickleError("its pickle is damaged") from error
    raise PickleError("its pickle has no end")


class _Machine:
    """The stack and the memo of a pickle that is being read. A MARK starts a new stack, as in Python's unpickler."""

    def __init__(self, find_type: Callable[[str], Any], find_persistent: Callable[[Any], Any]) -> None:
        self._find_type = find_type
        self._find_persistent = find_persistent
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def pop(self) -> Any:
        return self._stack.pop()

    def discard(self) -> None:
        if self._stack or not self._below:
            self._stack.pop()
        else:
            self.pop_to_mark()

    def duplicate(self) -> None:
        self.push(self._stack[-1])

    def mark(self) -> None:
        self._below.append(self._stack)
        self._stack = []

    def pop_to_mark(self) -> list[Any]:
        items, self._stack = self._stack, self._below.pop()
        return items

    def put(self, index: Any) -> None:
        self._memo[len(self._memo) if index is None else int(index)] = self._stack[-1]

    def get(self, index: Any) -> None:
        self.push(self._memo[int(index)])

    def push_tuple(self, count: int) -> None:
        items = [self.pop() for _ in range(count)]
        self.push(tuple(reversed(items)))

    def append(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if isinstance(target, list):
            target.extend(items)
        elif not isinstance(target, Inert):
            raise PickleError("it appends to a value that is not a list")

    def set_item(self) -> None:
        value, key = self.pop(), self.pop()
        self.set_items([key, value])

    def set_items(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if isinstance(target, dict):
            target.update(_dict_of(_in_pairs(items)))
        elif not isinstance(target, Inert):
            raise PickleError("it sets entries of a value that is not a dict")

    def push_frozenset(self) -> None:
        self.pop_to_mark()
        self.push(Inert("frozenset"))

    def push_type(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise PickleError("it names a type by something that is not text")
        self.push(self._find_type(f"{module}.{name}"))

    def push_type_on_stack(self) -> None:
        name, module = self.pop(), self.pop()
        self.push_type(module, name)

    def call(self) -> None:
        arguments, function = self.pop(), self.pop()
        if isinstance(function, Inert):
            self.push(function)
        elif isinstance(function, Builder) and isinstance(arguments, tuple):
            self.push(function.build(*arguments))
        else:
            raise PickleError("it calls a value that is not a type")

    def call_with_keywords(self) -> None:
        self.pop()
        self.call()

    def push_persistent(self) -> None:
        self.push(self._find_persistent(self.pop()))


def _in_pairs(items: list[Any]) -> Iterable[tuple[Any, Any]]:
    return zip(items[::2], items[1::2], strict=True)


def _dict_of(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    """Return a dict whose keys are text, numbers, or flat tuples of them: hashing a deep tuple ends the process."""
    made = {}
    for key, value in pairs:
        parts = key if isinstance(key, tuple) else (key,)
        if not all(part is None or isinstance(part, str | int | float | bytes) for part in parts):
            raise PickleError("a dict in it has a key that is neither text nor a number")
        made[key] = value
    return made


def _check_protocol(version: int) -> None:
    if version > pickle.HIGHEST_PROTOCOL:
        raise PickleError(f"its pickle has the protocol {version}")


ORDERED_DICT = Builder(lambda pairs=(): _dict_of(pairs))
"""Builds a plain dict of the arguments of `collections.OrderedDict`."""

COUNTER = Builder(lambda entries=(): Counter(_dict_of(dict(entries).items())))
"""Builds a `collections.Counter`, which the states of learning rate schedules hold."""

_OPERATIONS: Mapping[str, Callable[[_Machine, Any], Any]] = {
    "PROTO": lambda _, version: _check_protocol(version),
    "FRAME": lambda _machine, _length: None,
    "MARK": lambda m, _: m.mark(),
    "POP": lambda m, _: m.discard(),
    "POP_MARK": lambda m, _: m.pop_to_mark(),
    "DUP": lambda m, _: m.duplicate(),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), _Machine.put),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _Machine.get),
    "TUPLE": lambda m, _: m.push(tuple(m.pop_to_mark())),
    "TUPLE1": lambda m, _: m.push_tuple(1),
    "TUPLE2": lambda m, _: m.push_tuple(2),
    "TUPLE3": lambda m, _: m.push_tuple(3),
    "EMPTY_LIST": lambda m, _: m.push([]),
    "LIST": lambda m, _: m.push(m.pop_to_mark()),
    "APPEND": lambda m, _: m.append([m.pop()]),
    "APPENDS": lambda m, _: m.append(m.pop_to_mark()),
    "EMPTY_DICT": lambda m, _: m.push({}),
    "DICT": lambda m, _: m.push(_dict_of(_in_pairs(m.pop_to_mark()))),
    "SETITEM": lambda m, _: m.set_item(),
    "SETITEMS": lambda m, _: m.set_items(m.pop_to_mark()),
    "EMPTY_SET": lambda m, _: m.push(Inert("set")),
    "ADDITEMS": lambda m, _: m.append(m.pop_to_mark()),
    "FROZENSET": lambda m, _: m.push_frozenset(),
    "GLOBAL": lambda m, names: m.push_type(*names.split(" ", 1)),
    "STACK_GLOBAL": lambda m, _: m.push_type_on_stack(),
    "REDUCE": lambda m, _: m.call(),
    "NEWOBJ": lambda m, _: m.call(),
    "NEWOBJ_EX": lambda m, _: m.call_with_keywords(),
    "BUILD": lambda m, _: m.pop(),  # an object's attributes: not needed, and setting them is a way to run code
    "BINPERSID": lambda m, _: m.push_persistent(),
}
