"""A model file's protobuf wire format, read without a copy of its weights.

A model's graph is small and its weights are large. :func:`carve` walks the wire format
(https://protobuf.dev/programming-guides/encoding/) of a ``ModelProto`` as far as its large
tensors, takes each large ``raw_data`` field out and leaves a short token in its place. What
remains is parsed by protobuf; the weights stay in the file, mapped when they are read.
:func:`weave` is the inverse: it puts the bytes of weights back where tokens stand.
"""

from __future__ import annotations

import re
import secrets
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["Carved", "Span", "Tokens", "WireError", "carve", "read_varint", "weave"]

MAX_MESSAGE_DEPTH = 100
"""The nesting depth that protobuf implementations refuse to go beyond."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_VARINT = 10

_Schema = Mapping[int, str]
_SCHEMAS: Mapping[str, _Schema] = {
    "Model": {7: "Graph", 25: "Function"},
    "Graph": {1: "Node", 5: "Tensor"},
    "Function": {7: "Node", 11: "Attribute"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph"},
    "Tensor": {},
}
"""Field numbers of onnx.proto that lead to tensors, by message type."""
_RAW_DATA = 9
_TRAINING_INFO = 20


class WireError(Exception):
    """The bytes are not a complete protobuf message, or are nested too deep."""


@dataclass(frozen=True)
class Span:
    """Where the data of one tensor lies in the file, in bytes."""

    offset: int
    length: int


class Tokens:
    """Short byte strings that stand for tensor data; no file can guess them."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(16)
        self._count = 0

    def new(self) -> tuple[int, bytes]:
        """Return a new number and its token."""
        number = self._count
        self._count += 1
        return number, self._secret + number.to_bytes(8, "little")

    def number(self, data: bytes) -> int | None:
        """Return the number that ``data`` is the token of, or None."""
        if len(data) != self.length or not data.startswith(self._secret):
            return None
        return int.from_bytes(data[16:], "little")

    def find(self, data: bytes) -> list[int]:
        """Return the offsets of all tokens in ``data``, ascending."""
        return [match.start() for match in re.finditer(re.escape(self._secret), data)]

    length = 24
    """Bytes of a token."""


@dataclass
class Carved:
    """A message without its large tensors.

    Attributes:
        skeleton: The message, tokens in place of large ``raw_data``.
        spans: Where the data of each token lies in the file.
        tokens: What made the tokens.
        has_training_info: Whether training information was left out.
    """

    skeleton: bytes = b""
    spans: list[Span] = field(default_factory=list)
    tokens: Tokens = field(default_factory=Tokens)
    has_training_info: bool = False


def carve(data: memoryview, threshold: int) -> Carved:
    """Take every ``raw_data`` of at least ``threshold`` bytes out of a ``ModelProto``.

    Time is linear in the number of fields of the messages that are large enough to hold one.

    Raises:
        WireError: If a message is cut off or malformed as far as it was walked.
    """
    carved = Carved()
    carved.skeleton = b"".join(_carve(data, 0, len(data), "Model", threshold, carved, 1))
    return carved


def _carve(
    data: memoryview, start: int, end: int, kind: str, threshold: int, carved: Carved, depth: int
) -> list[bytes]:
    if depth > MAX_MESSAGE_DEPTH:
        raise WireError(f"messages are nested more than {MAX_MESSAGE_DEPTH} deep")
    pieces: list[bytes] = []
    copied = start
    for number, tag_at, value_at, value_end in _fields(data, start, end):
        child = _SCHEMAS[kind].get(number)
        drop = kind == "Model" and number == _TRAINING_INFO
        is_raw = kind == "Tensor" and number == _RAW_DATA
        if not drop and (value_end - value_at < threshold or not (child or is_raw)):
            continue
        pieces.append(bytes(data[copied:tag_at]))
        copied = value_end
        if drop:
            carved.has_training_info = True
            continue
        if child:
            inside = _carve(data, value_at, value_end, child, threshold, carved, depth + 1)
        else:
            carved.spans.append(Span(value_at, value_end - value_at))
            inside = [carved.tokens.new()[1]]
        pieces.append(_header(number, sum(map(len, inside))))
        pieces += inside
    pieces.append(bytes(data[copied:end]))
    return pieces


def _header(number: int, length: int) -> bytes:
    return _varint_bytes(number << 3 | _BYTES) + _varint_bytes(length)


def _varint_bytes(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _fields(data: memoryview, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield number, tag offset, value offset and value end of each length-delimited field."""
    at = start
    while at < end:
        tag_at = at
        tag, at = read_varint(data, at, end)
        kind = tag & 7
        if kind == _BYTES:
            length, at = read_varint(data, at, end)
            if length > end - at:
                raise WireError(
                    f"a field of {length} bytes at offset {tag_at} goes beyond the end of its "
                    f"message at offset {end}"
                )
            yield tag >> 3, tag_at, at, at + length
            at += length
        elif kind == _VARINT:
            _, at = read_varint(data, at, end)
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
            if at > end:
                raise WireError(f"the number at offset {tag_at} is cut off")
        else:
            raise WireError(f"wire type {kind} at offset {tag_at} is none that ONNX uses")


def read_varint(data: memoryview, at: int, end: int) -> tuple[int, int]:
    """Return the number at offset ``at`` and the offset behind it.

    Raises:
        WireError: If it is cut off at ``end`` or has more than 10 bytes.
    """
    value = shift = 0
    for position in range(at, min(at + _MAX_VARINT, end)):
        byte = data[position]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position + 1
        shift += 7
    raise WireError(f"the number at offset {at} is cut off or too long")


def weave(
    skeleton: bytes,
    tokens: Tokens,
    sizes: Mapping[int, int],
    write: Callable[[bytes], object],
    write_tensor: Callable[[int], None],
) -> None:
    """Write a ``ModelProto`` with the data of each token's tensor in the token's place.

    Args:
        skeleton: The serialized message with tokens as ``raw_data``.
        tokens: What made the tokens.
        sizes: Bytes of data that stand for each token number.
        write: Takes the next bytes of the message.
        write_tensor: Writes the data of the token number as the next bytes of the message.
    """
    places = tokens.find(skeleton)
    _, pieces = _weave(memoryview(skeleton), 0, len(skeleton), "Model", tokens, places, sizes)
    for piece in pieces:
        if isinstance(piece, int):
            write_tensor(piece)
        else:
            write(piece)


def _weave(
    data: memoryview,
    start: int,
    end: int,
    kind: str,
    tokens: Tokens,
    places: Sequence[int],
    sizes: Mapping[int, int],
) -> tuple[int, list[bytes | int]]:
    """Return the woven length and the pieces: bytes, or the number of a token."""
    pieces: list[bytes | int] = []
    length = 0
    copied = start
    for field_number, tag_at, value_at, value_end in _fields(data, start, end):
        place = bisect_left(places, value_at)
        if place == len(places) or places[place] >= value_end:
            continue
        child = _SCHEMAS[kind].get(field_number)
        inside: list[bytes | int]
        if child:
            size, inside = _weave(data, value_at, value_end, child, tokens, places, sizes)
        else:
            number = tokens.number(bytes(data[value_at:value_end]))
            if number is None:
                continue
            size, inside = sizes[number], [number]
        header = _header(field_number, size)
        pieces += [bytes(data[copied:tag_at]), header, *inside]
        length += tag_at - copied + len(header) + size
        copied = value_end
    pieces.append(bytes(data[copied:end]))
    return length + end - copied, pieces
