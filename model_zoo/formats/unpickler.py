"""An interpreter of pickles that can build a state dict of float tensors and no more.

Python's own unpickler imports and calls what the file asks for. Here nothing is imported and nothing is called: the
opcodes are read with `pickletools`, the few that a state dict needs are carried out on plain data, and every other
opcode or name is refused.
"""

from __future__ import annotations

import io
import pickletools
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .binary import UnreadableError, quoted

MOST_OPCODES = 100_000

DICTIONARY = ("collections", "OrderedDict")
STORAGE = ("torch", "FloatStorage")
REBUILD = (("torch._utils", "_rebuild_tensor_v2"), ("torch._utils", "_rebuild_tensor"))  # the second until torch 0.4
ALLOWED = (DICTIONARY, STORAGE, *REBUILD)


@dataclass(frozen=True)
class _Name:
    """A name that the pickle mentions; it is never looked up."""

    module: str
    name: str


@dataclass(frozen=True)
class Storage:
    """Where numbers lie: the key that the rest of the file knows them by, and how many they are."""

    key: str
    count: int


@dataclass(frozen=True)
class Tensor:
    """A view of a storage; offset, shape and strides in numbers."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


_MARK = object()


@dataclass
class _Machine:
    """The pickle machine: a stack, a memo, and the opcodes in `_OPCODES`."""

    stack: list[Any] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def pop(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise UnreadableError("the pickle takes more from its stack than it put there")
        return self.stack.pop()

    def pop_to_mark(self) -> list[Any]:
        items: list[Any] = []
        while self.stack and self.stack[-1] is not _MARK:
            items.append(self.stack.pop())
        if not self.stack:
            raise UnreadableError("the pickle takes more from its stack than it put there")
        self.stack.pop()
        return items[::-1]

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def put(self, index: int) -> None:
        if not self.stack:
            raise UnreadableError("the pickle remembers what it does not have")
        self.memo[index] = self.stack[-1]

    def get(self, index: int) -> None:
        if index not in self.memo:
            raise UnreadableError("the pickle recalls what it never remembered")
        self.push(self.memo[index])

    def mention(self, module: Any, name: Any) -> None:
        # Only text is ever quoted: tuples within tuples can be made to print without end.
        if not isinstance(module, str) or not isinstance(name, str):
            raise UnreadableError("its pickle names something that is not text")
        if (module, name) not in ALLOWED:
            names = ", ".join(".".join(pair) for pair in ALLOWED)
            raise UnreadableError(
                f"its pickle names {quoted(f'{module}.{name}')}; a plain state dict needs only {names}"
            )
        self.push(_Name(module, name))

    def reduce(self) -> None:
        arguments, function = self.pop(), self.pop()
        if not isinstance(function, _Name) or not isinstance(arguments, tuple):
            raise UnreadableError("its pickle calls something that is not a known name")
        pair = (function.module, function.name)
        if pair == DICTIONARY:
            self.push({})
            self.set_items(_items(arguments))
        elif pair in REBUILD:
            self.push(_rebuild(arguments))
        else:
            raise UnreadableError(f"its pickle calls {function.module}.{function.name} in an unknown way")

    def persistent(self) -> None:
        """A reference to a storage: ("storage", type, key, device, count) and, in the old layout, a view or None."""
        match self.pop():
            case ("storage", _Name(module="torch", name="FloatStorage"), str(key), str(), int(count), *view):
                if count < 0 or view not in ([], [None]):
                    raise UnreadableError("a storage is a view of another, or of negative size")
                self.push(Storage(key, count))
            case _:
                raise UnreadableError("its pickle refers to something that is not a storage of float32")

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1] if self.stack else None
        if not isinstance(target, dict) or len(items) % 2:
            raise UnreadableError("its pickle sets items of something that is not a dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str | int):
                raise UnreadableError("a dictionary's key is neither text nor a number")
            if key in target:
                raise UnreadableError(f"the key {quoted(key)} comes twice")
            target[key] = value

    def append(self, items: list[Any]) -> None:
        target = self.stack[-1] if self.stack else None
        if not isinstance(target, list):
            raise UnreadableError("its pickle appends to something that is not a list")
        target.extend(items)

    def build(self) -> None:
        """Attributes of a dictionary (`_metadata` of a state dict): passed over."""
        self.pop()
        if not self.stack or not isinstance(self.stack[-1], dict):
            raise UnreadableError("its pickle sets the state of something that is not a dictionary")

    def tuple_of(self, count: int) -> None:
        self.push(tuple([self.pop() for _ in range(count)][::-1]))


def _items(arguments: tuple[Any, ...]) -> list[Any]:
    """Keys and values in turn of an OrderedDict: none from Python 3, one list of [key, value] from Python 2."""
    pairs = arguments[0] if arguments else []
    are_pairs = isinstance(pairs, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in pairs)
    if len(arguments) > 1 or not are_pairs:
        raise UnreadableError("its pickle calls collections.OrderedDict in an unknown way")
    items = [part for pair in pairs for part in pair]
    if arguments:
        pairs.clear()  # one list recalled for thousands of dictionaries would make far more of them than the file holds
    return items


def _rebuild(arguments: tuple[Any, ...]) -> Tensor:
    """Of (storage, offset, shape, strides) and, since torch 0.4, (requires_grad, hooks)."""
    match arguments[:4]:
        case (Storage() as storage, int(offset), tuple(shape), tuple(strides)):
            numbers = (offset, *shape, *strides)
            if all(type(n) is int and 0 <= n < 1 << 40 for n in numbers) and len(shape) == len(strides) <= 8:
                return Tensor(storage, offset, shape, strides)
    raise UnreadableError("its pickle rebuilds a tensor from something else than a storage and a shape")


def _nothing(machine: _Machine, argument: Any) -> None:
    """PROTO and FRAME carry no data."""


def _stack_global(machine: _Machine) -> None:
    name, module = machine.pop(), machine.pop()
    machine.mention(module, name)


_OPCODES: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": _nothing,
    "FRAME": _nothing,
    "MARK": lambda m, a: m.push(_MARK),
    "POP": lambda m, a: (m.pop(), None)[1],
    "EMPTY_DICT": lambda m, a: m.push({}),
    "EMPTY_LIST": lambda m, a: m.push([]),
    "EMPTY_TUPLE": lambda m, a: m.push(()),
    "TUPLE": lambda m, a: m.push(tuple(m.pop_to_mark())),
    "TUPLE1": lambda m, a: m.tuple_of(1),
    "TUPLE2": lambda m, a: m.tuple_of(2),
    "TUPLE3": lambda m, a: m.tuple_of(3),
    "NONE": lambda m, a: m.push(None),
    "NEWTRUE": lambda m, a: m.push(True),
    "NEWFALSE": lambda m, a: m.push(False),
    **dict.fromkeys(
        ("BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINFLOAT"),
        lambda m, a: m.push(a),
    ),
    **dict.fromkeys(("SHORT_BINSTRING", "BINSTRING"), lambda m, a: m.push(a)),  # Python 2's text
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), lambda m, a: m.put(a)),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda m, a: m.get(a)),
    "MEMOIZE": lambda m, a: m.put(len(m.memo)),
    "GLOBAL": lambda m, a: m.mention(*str(a).split(" ", 1)),
    "STACK_GLOBAL": lambda m, a: _stack_global(m),
    "REDUCE": lambda m, a: m.reduce(),
    "BINPERSID": lambda m, a: m.persistent(),
    "BUILD": lambda m, a: m.build(),
    "SETITEM": lambda m, a: m.set_items([m.pop(), m.pop()][::-1]),
    "SETITEMS": lambda m, a: m.set_items(m.pop_to_mark()),
    "APPEND": lambda m, a: m.append([m.pop()]),
    "APPENDS": lambda m, a: m.append(m.pop_to_mark()),
}


def unpickle(stream: io.BytesIO) -> Any:
    """The value of the next pickle in `stream`, which is left after it."""
    machine = _Machine()
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if count > MOST_OPCODES:
                raise UnreadableError(f"its pickle has more than {MOST_OPCODES} opcodes: not a plain state dict")
            if opcode.name == "STOP":
                return machine.pop()
            if opcode.name not in _OPCODES:
                raise UnreadableError(f"its pickle uses the opcode {opcode.name}; a plain state dict does not")
            _OPCODES[opcode.name](machine, argument)
    except UnreadableError:
        raise
    except (ValueError, TypeError, IndexError, struct.error, OverflowError) as error:
        raise UnreadableError(f"its pickle is corrupt: {error}") from None
    raise UnreadableError("its pickle has no end")
