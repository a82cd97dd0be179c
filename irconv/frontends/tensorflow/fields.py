"""The fields of a protobuf message, read where they lie; needs no TensorFlow.

The wire format (https://protobuf.dev/programming-guides/encoding/) says of every field how long
it is, so that a graph is read without a copy of its weights.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from irconv.graph.reading.wire import WireError, read_varint

__all__ = ["Message"]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_SIGN = 1 << 63


@dataclass(frozen=True, slots=True)
class Message:
    """A message, or any other length-delimited field, in the bytes that it is part of.

    Attributes:
        data: All bytes.
        start: Where the message begins.
        end: Where it ends.
    """

    data: memoryview
    start: int
    end: int

    @classmethod
    def of(cls, data: memoryview) -> Message:
        """Return the message that fills ``data``."""
        return cls(data, 0, len(data))

    def __len__(self) -> int:
        return self.end - self.start

    def fields(self) -> Iterator[tuple[int, Message | int]]:
        """Yield number and value of each field: a message for length-delimited ones.

        Raises:
            WireError: If the message is cut off or malformed.
        """
        at = self.start
        while at < self.end:
            tag, at = read_varint(self.data, at, self.end)
            kind = tag & 7
            value: Message | int
            if kind == _BYTES:
                length, at = read_varint(self.data, at, self.end)
                if length > self.end - at:
                    raise WireError(f"a field of {length} bytes at offset {at} is cut off")
                value = Message(self.data, at, at + length)
                at += length
            elif kind == _VARINT:
                value, at = read_varint(self.data, at, self.end)
            elif kind in (_FIXED64, _FIXED32):
                size, form = (8, "<q") if kind == _FIXED64 else (4, "<i")
                if at + size > self.end:
                    raise WireError(f"the number at offset {at} is cut off")
                (value,) = struct.unpack_from(form, self.data, at)
                at += size
            else:
                raise WireError(f"wire type {kind} at offset {at} is none that TensorFlow uses")
            yield tag >> 3, value

    def messages(self, number: int) -> Iterator[Message]:
        """Yield the length-delimited fields of a number."""
        for field_number, value in self.fields():
            if field_number == number and isinstance(value, Message):
                yield value

    def message(self, number: int) -> Message | None:
        """Return the length-delimited field of a number, or None.

        Raises:
            WireError: If it stands there twice: protobuf would merge the two, which hides what
                a reader of one of them does not see.
        """
        found = None
        for value in self.messages(number):
            if found is not None:
                raise WireError(f"field {number} at offset {value.start} stands there twice")
            found = value
        return found

    def number(self, number: int, default: int = 0) -> int:
        """Return the last numeric field of a number as a signed integer."""
        found = default
        for field_number, value in self.fields():
            if field_number == number and isinstance(value, int):
                found = value - (1 << 64) if value >= _SIGN else value
        return found

    def text(self) -> str:
        """Return the bytes as text.

        Raises:
            WireError: If they are not UTF-8.
        """
        try:
            return bytes(self.data[self.start : self.end]).decode()
        except UnicodeDecodeError as error:
            raise WireError(f"the text at offset {self.start} is not UTF-8") from error

    def line(self, number: int) -> str:
        """Return the text of a field, empty where there is none."""
        found = self.message(number)
        return "" if found is None else found.text()

    def texts(self, number: int) -> list[str]:
        """Return the texts of all fields of a number."""
        return [value.text() for value in self.messages(number)]

    def entries(self, number: int) -> Iterator[tuple[str, Message]]:
        """Yield key and value of the entries of a map from text to message."""
        for entry in self.messages(number):
            yield entry.line(1), entry.message(2) or Message(self.data, entry.end, entry.end)
