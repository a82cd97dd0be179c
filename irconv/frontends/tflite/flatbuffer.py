"""Reading a FlatBuffer by a schema, and no byte outside of it.

Everything that the schema knows is read at once, so what was read was also verified: every
table, vtable, vector and string lies within the file, aligned as its writer had to. Tables and
strings that are shared are counted each time, so that a small file cannot unfold without end.

Source: FlatBuffers internals, https://flatbuffers.dev/internals/.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from irconv.errors import InputError
from irconv.frontends.tflite.schema import TABLES, UNIONS, Field

if TYPE_CHECKING:
    import mmap

    from irconv.runtime.base import Array

__all__ = ["Bytes", "Table", "read_root"]

_SCALARS: Mapping[str, struct.Struct] = {
    "bool": struct.Struct("<B"),
    "i8": struct.Struct("<b"),
    "u8": struct.Struct("<B"),
    "i16": struct.Struct("<h"),
    "u16": struct.Struct("<H"),
    "i32": struct.Struct("<i"),
    "u32": struct.Struct("<I"),
    "i64": struct.Struct("<q"),
    "u64": struct.Struct("<Q"),
    "f32": struct.Struct("<f"),
}
_DTYPES: Mapping[str, str] = {
    "bool": "u1", "i8": "i1", "u8": "u1", "i16": "<i2", "u16": "<u2", "i32": "<i4",
    "u32": "<u4", "i64": "<i8", "u64": "<u8", "f32": "<f4",
}  # fmt: skip
_WORD = 4
_SMALLEST_TABLE = 4


class Bytes:
    """A vector of bytes that is left in the file.

    Attributes:
        offset: First byte of it in the file.
        size: How many there are.
    """

    def __init__(self, offset: int, size: int) -> None:
        self.offset = offset
        self.size = size


class Table:
    """A table of the file; its fields are attributes named as in the schema.

    Absent vectors are empty, absent strings and tables None, absent scalars their default.
    Vectors of numbers are arrays, vectors of bytes :class:`Bytes`.

    Args:
        kind: The table's name in the schema.
        fields: What each field holds.
    """

    def __init__(self, kind: str, fields: Mapping[str, Any]) -> None:
        self.kind = kind
        self._fields = fields

    def __getattr__(self, name: str) -> Any:
        try:
            return self._fields[name]
        except KeyError:
            raise AttributeError(name) from None


def read_root(data: mmap.mmap | bytes, size: int, kind: str) -> Table:
    """Read the root table and all below it.

    Args:
        data: The file.
        size: Bytes of the file that may be read.
        kind: The root's name in the schema.

    Raises:
        InputError: If an offset, a length or a count leaves the file.
    """
    reader = _Reader(data, size)
    return reader.table(reader.follow(0), kind)


class _Reader:
    def __init__(self, data: mmap.mmap | bytes, size: int) -> None:
        self._data = data
        self._size = size
        self._left = size // _SMALLEST_TABLE
        self._text_left = 4 * size

    def table(self, position: int, kind: str) -> Table:
        """Read the table at ``position``."""
        self._left -= 1
        if self._left < 0:
            raise _broken("it holds more tables than it has room for")
        back = self._scalar(position, "i32", f"table {kind}")
        vtable = position - back
        length = self._scalar(vtable, "u16", f"vtable of {kind}")
        extent = self._scalar(vtable + 2, "u16", f"vtable of {kind}")
        self._check(vtable, length, f"vtable of {kind}")
        self._check(position, extent, f"table {kind}")
        if length < _WORD or length % 2 or extent < _WORD:
            raise _broken(f"the vtable of {kind} at byte {vtable} has an impossible length")
        fields: dict[str, Any] = {}
        for slot, field in enumerate(TABLES[kind]):
            entry = _WORD + 2 * slot
            distance = self._scalar(vtable + entry, "u16", kind) if entry < length - 1 else 0
            if distance >= extent:
                raise _broken(f"field {field.name!r} of {kind} at byte {position} is outside of it")
            if field.name != "-":
                where = position + distance if distance else None
                fields[field.name] = self._field(where, field, fields, kind)
        return Table(kind, fields)

    def _field(
        self, position: int | None, field: Field, before: Mapping[str, Any], kind: str
    ) -> Any:
        what = f"field {field.name!r} of {kind}"
        if field.vector:
            return self._vector(position, field, what)
        if field.kind in _SCALARS:
            return field.default if position is None else self._scalar(position, field.kind, what)
        if position is None:
            return None
        target = self.follow(position)
        if field.kind == "string":
            return self._string(target, what)
        if field.kind == "union":
            number = before[f"{field.name}_type"]
            members = UNIONS[field.name]
            if not 0 < number < len(members):
                raise _broken(f"{what} is of the unknown type {number}")
            return self.table(target, members[number])
        return self.table(target, field.kind)

    def _vector(self, position: int | None, field: Field, what: str) -> Any:
        if field.kind == "u8":
            if position is None:
                return None
            start, count = self._extent(position, 1, what)
            return Bytes(start, count)
        if field.kind in _SCALARS:
            if position is None:
                return np.empty(0, _DTYPES[field.kind])
            start, count = self._extent(position, _SCALARS[field.kind].size, what)
            return self._numbers(start, count, field.kind, what)
        if position is None:
            return ()
        start, count = self._extent(position, _WORD, what)
        targets = [self.follow(start + _WORD * number) for number in range(count)]
        if field.kind == "string":
            return tuple(self._string(target, what) for target in targets)
        return tuple(self.table(target, field.kind) for target in targets)

    def _numbers(self, start: int, count: int, kind: str, what: str) -> Array:
        self._text_left -= count * _SCALARS[kind].size
        if self._text_left < 0:
            raise _broken(f"its vectors overlap, at last {what}")
        size = count * _SCALARS[kind].size
        return np.frombuffer(self._data[start : start + size], _DTYPES[kind])

    def _extent(self, position: int, item: int, what: str) -> tuple[int, int]:
        """Return where the items of a vector start and how many they are."""
        start = self.follow(position)
        count = self._scalar(start, "u32", what)
        self._check(start + _WORD, count * item, what)
        if (start + _WORD) % item:
            raise _broken(f"{what} at byte {start} is not aligned")
        return start + _WORD, count

    def _string(self, start: int, what: str) -> str:
        count = self._scalar(start, "u32", what)
        self._check(start + _WORD, count + 1, what)
        self._text_left -= count
        if self._text_left < 0:
            raise _broken(f"its strings overlap, at last {what}")
        text = bytes(self._data[start + _WORD : start + _WORD + count])
        if self._data[start + _WORD + count]:
            raise _broken(f"{what} at byte {start} has no end")
        return text.decode("utf-8", "backslashreplace")

    def follow(self, position: int) -> int:
        """Return where the offset at ``position`` leads."""
        distance: int = self._scalar(position, "u32", "an offset")
        self._check(position + distance, _WORD, "an offset")
        if not distance:
            raise _broken(f"the offset at byte {position} leads to itself")
        return position + distance

    def _scalar(self, position: int, kind: str, what: str) -> Any:
        form = _SCALARS[kind]
        self._check(position, form.size, what)
        if position % form.size:
            raise _broken(f"{what} at byte {position} is not aligned")
        return form.unpack_from(self._data, position)[0]

    def _check(self, position: int, size: int, what: str) -> None:
        if position < 0 or position + size > self._size:
            raise _broken(
                f"{what} reaches from byte {position} to {position + size}, and the file has "
                f"{self._size}"
            )


def _broken(problem: str) -> InputError:
    return InputError(
        f"the file is no TFLite model: {problem}",
        where="reading the FlatBuffer",
        hint="the file is damaged or was made to mislead; get it again from where it was made",
    )
