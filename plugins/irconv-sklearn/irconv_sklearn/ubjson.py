"""Reading Universal Binary JSON (draft 12) as XGBoost writes it, within the bounds of the file.

A container of one type and a counted length is read as a NumPy array; no length is believed
before the bytes that it needs were counted.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["read_ubjson"]

_NUMBERS = {
    ord("i"): ">i1", ord("U"): ">u1", ord("I"): ">i2", ord("l"): ">i4", ord("L"): ">i8",
    ord("d"): ">f4", ord("D"): ">f8",
}  # fmt: skip
_LENGTHS = frozenset(b"iUIlL")
_CONSTANTS = {ord("Z"): None, ord("T"): True, ord("F"): False}
_DEEPEST = 64


def read_ubjson(data: bytes) -> Any:
    """Return the document that ``data`` holds.

    Raises:
        ValueError: If it is none, ends early, or bytes follow it.
    """
    reader = _Reader(data)
    document = reader.value(reader.byte(), 0)
    if reader.at != len(data):
        raise ValueError(f"{len(data) - reader.at} bytes follow the document")
    return document


class _Reader:
    """A cursor over the bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        """Return the next ``count`` bytes."""
        if not 0 <= count <= len(self.data) - self.at:
            raise ValueError(
                f"byte {self.at}: {count} bytes are announced, {len(self.data) - self.at} are left"
            )
        self.at += count
        return self.data[self.at - count : self.at]

    def byte(self) -> int:
        """Return the next byte."""
        return self.take(1)[0]

    def peek(self) -> int:
        """Return the next byte without taking it."""
        if self.at >= len(self.data):
            raise ValueError(f"the document ends early, at byte {self.at}")
        return self.data[self.at]

    def number(self, marker: int) -> Any:
        """Return the number that follows its marker."""
        dtype = np.dtype(_NUMBERS[marker])
        return np.frombuffer(self.take(dtype.itemsize), dtype)[0].item()

    def length(self) -> int:
        """Return a length with its marker."""
        marker = self.byte()
        if marker not in _LENGTHS:
            raise ValueError(f"byte {self.at - 1}: a length is expected, not {chr(marker)!r}")
        return int(self.number(marker))

    def text(self) -> str:
        """Return a text without its marker."""
        return self.take(self.length()).decode()

    def value(self, marker: int, depth: int) -> Any:
        """Return the value that follows its marker."""
        if depth > _DEEPEST:
            raise ValueError(f"containers are nested more than {_DEEPEST} deep")
        if marker in _NUMBERS:
            return self.number(marker)
        if marker in _CONSTANTS:
            return _CONSTANTS[marker]
        if marker == ord("S"):
            return self.text()
        if marker == ord("C"):
            return chr(self.byte())
        if marker == ord("["):
            return self.array(depth)
        if marker == ord("{"):
            return self.object(depth)
        raise ValueError(f"byte {self.at - 1}: no value begins with {bytes([marker])!r}")

    def header(self) -> tuple[int | None, int | None]:
        """Return the type and the length of a container, where it states them."""
        kind = length = None
        if self.peek() == ord("$"):
            self.byte()
            kind = self.byte()
        if self.peek() == ord("#"):
            self.byte()
            length = self.length()
        if kind is not None and (length is None or kind not in _NUMBERS):
            raise ValueError(f"byte {self.at}: a typed container of an unknown form")
        if length is not None and not 0 <= length <= len(self.data) - self.at:
            raise ValueError(
                f"byte {self.at}: {length} elements are announced, which are not there"
            )
        return kind, length

    def array(self, depth: int) -> Any:
        """Return an array: of NumPy where its type is stated, else a list."""
        kind, length = self.header()
        if kind is not None and length is not None:
            dtype = np.dtype(_NUMBERS[kind])
            return np.frombuffer(self.take(length * dtype.itemsize), dtype)
        items: list[Any] = []
        while len(items) != length:
            marker = self.byte()
            if length is None and marker == ord("]"):
                break
            items.append(self.value(marker, depth + 1))
        return items

    def object(self, depth: int) -> dict[str, Any]:
        """Return an object."""
        kind, length = self.header()
        items: dict[str, Any] = {}
        count = 0
        while count != length:
            if length is None and self.peek() == ord("}"):
                self.byte()
                break
            name = self.text()
            items[name] = self.value(self.byte() if kind is None else kind, depth + 1)
            count += 1
        return items
