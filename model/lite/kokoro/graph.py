"""Cut a network in ONNX's format into smaller ones.

The format is Protocol Buffers: a message is a row of fields, each with a number and a content. A
part is made of whole fields of the file, copied once. The packages protobuf and onnx copy the
weights three times, which would take 0.4 s and 300 MB at every start.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

_GRAPH = 7
"""Field of the file."""
_NODE, _NAME, _WEIGHT, _INPUT, _OUTPUT, _VALUE = 1, 2, 5, 11, 12, 13
"""Fields of a graph; a value has a name, a type and a shape."""
_NODE_INPUT, _NODE_OUTPUT = 1, 2
_WEIGHT_NAME, _VALUE_NAME = 8, 1

_VARINT, _DELIMITED = 0, 2
_FIXED = {1: 8, 5: 4}
"""Bytes of a content by its kind, where they are not written."""


@dataclass(frozen=True, slots=True)
class _Node:
    """An operation: its ``field`` in the file, and the names of what goes in and comes out."""

    field: memoryview
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class NetworkGraph:
    """The graph in ``content``, a file that must stay open while the graph is used.

    Raises: ValueError if it is no network.
    """

    def __init__(self, content: memoryview) -> None:
        self._header: list[memoryview] = []
        self._name: list[memoryview] = []
        self._nodes: list[_Node] = []
        self._weights: dict[str, memoryview] = {}
        self._values: dict[str, memoryview] = {}
        for number, field, inner in _fields(content):
            if number == _GRAPH:
                self._read(inner)
            else:
                self._header.append(field)
        if not self._nodes:
            raise ValueError("it has no operations")

    def made(self, ending: str) -> tuple[str, ...]:
        """Return the values that operations make and whose names have this ``ending``, in order."""
        names = (name for node in self._nodes for name in node.outputs)
        return tuple(name for name in names if name.endswith(ending))

    def part(self, inputs: Collection[str], outputs: Collection[str]) -> bytes:
        """Return a network that computes the values ``outputs`` from the values ``inputs``.

        Raises: ValueError if there are no such values, or the inputs do not suffice.
        """
        made_by = {name: node for node in self._nodes for name in node.outputs}
        given = set(inputs)
        needed, waiting = set(given), list(outputs)
        while waiting:
            name = waiting.pop()
            if not name or name in needed:
                continue
            needed.add(name)
            if name in made_by:
                waiting += made_by[name].inputs
            elif name not in self._weights:
                raise ValueError(f"nothing makes the value {name!r}")
        made = needed - given
        graph = [
            *self._name,
            *(node.field for node in self._nodes if not made.isdisjoint(node.outputs)),
            *(field for name, field in self._weights.items() if name in made),
            *(piece for name in inputs for piece in self._declared(_INPUT, name)),
            *(piece for name in outputs for piece in self._declared(_OUTPUT, name)),
        ]
        return b"".join((*self._header, _head(_GRAPH, sum(map(len, graph))), *graph))

    def _declared(self, number: int, name: str) -> tuple[bytes, memoryview]:
        if name not in self._values:
            raise ValueError(f"it has no value {name!r}")
        value = self._values[name]
        return _head(number, len(value)), value

    def _read(self, graph: memoryview) -> None:
        for number, field, content in _fields(graph):
            if number == _NODE:
                inputs, outputs = _names(content, _NODE_INPUT), _names(content, _NODE_OUTPUT)
                self._nodes.append(_Node(field, inputs, outputs))
            elif number == _WEIGHT:
                self._weights[_names(content, _WEIGHT_NAME)[0]] = field
            elif number in {_VALUE, _INPUT, _OUTPUT}:
                self._values[_names(content, _VALUE_NAME)[0]] = content
            elif number == _NAME:
                self._name.append(field)


def _names(message: memoryview, number: int) -> tuple[str, ...]:
    return tuple(str(inner, "utf-8") for found, _, inner in _fields(message) if found == number)


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview, memoryview]]:
    """Yield the number, the bytes and the content of each field. Raises: ValueError."""
    at = 0
    while at < len(message):
        start = at
        key, at = _number(message, at)
        kind = key & 7
        if kind == _VARINT:
            end = _number(message, at)[1]
        elif kind == _DELIMITED:
            size, at = _number(message, at)
            end = at + size
        elif kind in _FIXED:
            end = at + _FIXED[kind]
        else:
            raise ValueError("it is not in ONNX's format")
        if end > len(message):
            raise ValueError("it is cut off")
        yield key >> 3, message[start:end], message[at:end]
        at = end


def _number(message: memoryview, at: int) -> tuple[int, int]:
    """Return the number written at ``at``, 7 bits a byte, and where it ends. Raises: ValueError."""
    number = shift = 0
    while at < len(message):
        byte = message[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at
    raise ValueError("it is cut off")


def _head(number: int, size: int) -> bytes:
    """Return what stands before the ``size`` bytes of the field ``number``."""
    head = bytearray([number << 3 | _DELIMITED])
    while size >= 0x80:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    head.append(size)
    return bytes(head)
