"""Checking one ``TensorProto``: its dtype, dimensions and the amount of data that it holds.

ONNX specification, "Serializing large data" and the comments of ``TensorProto`` in onnx.proto.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from irconv.errors import InputError
from irconv.graph.preflight.messages import damaged, shown
from irconv.graph.preflight.text import check_text
from irconv.graph.reading.wire import Span

if TYPE_CHECKING:
    import onnx

__all__ = ["ELEMENT_TYPES", "MAX_RANK", "ExternalData", "TensorChecker", "external_data"]

MAX_RANK = 64
_EXTERNAL_KEYS = frozenset({"location", "offset", "length", "checksum", "basepath"})
_MAX_FILE_OFFSET = (1 << 63) - 1


@dataclass(frozen=True)
class ExternalData:
    """Where a tensor says that its data lies.

    Attributes:
        location: Path as the model states it.
        offset: Bytes from the start of the file.
        length: Bytes of data.
    """

    location: str
    offset: int
    length: int


_BITS = {
    1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64,
    14: 64, 15: 128, 16: 16, 17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4, 24: 8,
    25: 2, 26: 2, 27: 6, 28: 6,
}  # fmt: skip
"""Bits of one element by ``TensorProto.DataType``."""
_STRING = 8
ELEMENT_TYPES = frozenset({*_BITS, _STRING})
"""Every element type that ONNX defines."""

_TYPED_FIELD = {
    1: "float_data", 14: "float_data", 11: "double_data", 15: "double_data",
    7: "int64_data", 12: "uint64_data", 13: "uint64_data", _STRING: "string_data",
}  # fmt: skip
_TYPED_FIELDS = (
    "float_data", "double_data", "int32_data", "int64_data", "uint64_data", "string_data",
)  # fmt: skip
_COMPLEX = frozenset({14, 15})
_UNPACKED_IN_INT32 = frozenset({27, 28})


class TensorChecker:
    """Checks tensors and remembers where the data of those outside the message lies.

    Args:
        carved: Returns the span of a token that stands for data in the model file, or None.
        max_tensors: The most tensors that a model may have.
    """

    def __init__(self, carved: Callable[[bytes], Span | None], max_tensors: int) -> None:
        self._carved = carved
        self._max_tensors = max_tensors
        self._count = 0

    def check(self, tensor: onnx.TensorProto, where: str) -> None:
        """Check one tensor.

        Args:
            tensor: The tensor.
            where: What it belongs to, for messages.

        Raises:
            InputError: If anything about it does not hold.
        """
        self._count += 1
        if self._count > self._max_tensors:
            raise _bad(where, f"the model has more than {self._max_tensors:,} tensors")
        check_text(tensor, where)
        if tensor.name:
            where = f"tensor {shown(tensor.name)} of {where}"
        dtype = tensor.data_type
        if dtype not in ELEMENT_TYPES:
            raise _bad(where, f"its data type is {dtype}, which ONNX does not define")
        if tensor.HasField("segment"):
            raise _bad(where, "it is split into segments, which no runtime reads")
        elements = self._elements(tensor, where)
        if tensor.data_location == tensor.EXTERNAL:
            external_data(tensor, where)
        elif tensor.HasField("raw_data"):
            self._check_raw(tensor, elements, where)
        else:
            _check_typed(tensor, elements, where)

    @staticmethod
    def _elements(tensor: onnx.TensorProto, where: str) -> int:
        if len(tensor.dims) > MAX_RANK:
            raise _bad(where, f"its rank is {len(tensor.dims)}, more than {MAX_RANK}")
        if any(dim < 0 for dim in tensor.dims):
            raise _bad(where, f"its shape {list(tensor.dims)} has a negative dimension")
        return math.prod(tensor.dims)

    def _check_raw(self, tensor: onnx.TensorProto, elements: int, where: str) -> None:
        if tensor.data_type == _STRING:
            raise _bad(where, "strings cannot be stored as raw data")
        if any(len(getattr(tensor, name)) for name in _TYPED_FIELDS):
            raise _bad(where, "it holds its data twice, raw and typed")
        raw = tensor.raw_data
        span = self._carved(raw)
        found = len(raw) if span is None else span.length
        _check_bytes(tensor, elements, found, where)


def _check_bytes(tensor: onnx.TensorProto, elements: int, found: int, where: str) -> None:
    expected = _byte_count(tensor.data_type, elements)
    if found != expected:
        raise _bad(
            where,
            f"its shape {list(tensor.dims)} takes {expected:,} bytes, and it has {found:,}",
        )


def _byte_count(dtype: int, elements: int) -> int:
    return -(-elements * _BITS[dtype] // 8)


def _check_typed(tensor: onnx.TensorProto, elements: int, where: str) -> None:
    field = _TYPED_FIELD.get(tensor.data_type, "int32_data")
    for name in _TYPED_FIELDS:
        if name != field and len(getattr(tensor, name)):
            raise _bad(where, f"its data type is stored in {field}, and it has {name}")
    expected = elements
    if tensor.data_type in _COMPLEX:
        expected = 2 * elements
    elif field == "int32_data" and tensor.data_type not in _UNPACKED_IN_INT32:
        expected = -(-elements * min(_BITS[tensor.data_type], 8) // 8)
    found = len(getattr(tensor, field))
    if found != expected:
        raise _bad(
            where,
            f"its shape {list(tensor.dims)} takes {expected:,} entries of {field}, and it has "
            f"{found:,}",
        )


def external_data(tensor: onnx.TensorProto, where: str) -> ExternalData:
    """Read the external data entries of a tensor.

    Raises:
        InputError: If an entry is unknown, missing, given twice or not a number in range, or
            the length does not fit the shape.
    """
    entries: dict[str, str] = {}
    for entry in tensor.external_data:
        if entry.key not in _EXTERNAL_KEYS:
            raise _bad(where, f"its external data has the unknown entry {shown(entry.key)}")
        if entry.key in entries:
            raise _bad(where, f"its external data gives {entry.key!r} twice")
        entries[entry.key] = entry.value
    location = entries.get("location", "")
    if not location:
        raise _bad(where, "its data is external, but no location is given")
    if tensor.data_type == _STRING:
        raise _bad(where, "strings cannot be stored as external data")
    expected = _byte_count(tensor.data_type, math.prod(tensor.dims))
    offset = _number(entries, "offset", 0, where)
    length = _number(entries, "length", expected, where)
    if "length" in entries:
        _check_bytes(tensor, math.prod(tensor.dims), length, where)
    if offset + length > _MAX_FILE_OFFSET:
        raise _bad(where, f"its external data ends at byte {offset + length}, beyond any file")
    return ExternalData(location, offset, length)


def _number(entries: dict[str, str], key: str, default: int, where: str) -> int:
    text = entries.get(key)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(_MAX_FILE_OFFSET))):
        raise _bad(where, f"the {key} of its external data is {shown(text)}, not a size in bytes")
    return int(text)


def _bad(where: str, problem: str) -> InputError:
    return damaged(f"{where}: {problem}")
