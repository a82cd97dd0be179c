"""Judging a TFLite model: every number that stands for something must stand for one.

LiteRT's interpreter trusts much of what a file says. What irconv gives to it, and what it
imports, has passed here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from irconv.errors import InputError
from irconv.frontends.tflite.flatbuffer import Bytes, Table
from irconv.frontends.tflite.model import (
    Model,
    Operator,
    Quantization,
    Signature,
    Subgraph,
    Tensor,
)
from irconv.frontends.tflite.schema import BUILTIN_OPERATORS, CUSTOM, TENSOR_TYPES

__all__ = ["judge"]

_VERSION = 3
_MOST_ITEMS = 1 << 40
_MOST_EXPANDED = 1_000_000
_DEEPEST = 40
_WIDE_CODES_FROM = 127
_BITS = {
    "float32": 32, "float16": 16, "int32": 32, "uint8": 8, "int64": 64, "bool": 8, "int16": 16,
    "complex64": 64, "int8": 8, "float64": 64, "complex128": 128, "uint64": 64, "uint32": 32,
    "uint16": 16, "int4": 4, "bfloat16": 16, "int2": 2, "uint4": 4, "float8_e4m3fn": 8,
    "float8_e5m2": 8,
}  # fmt: skip
_QUANTIZED = ("int8", "uint8", "int16", "int32", "int64", "int4", "uint4", "int2")


def judge(root: Table, size: int) -> Model:
    """Return the model of the root table.

    Args:
        root: The root table.
        size: Bytes of the file.

    Raises:
        InputError: If an index, a shape or an extent does not hold.
    """
    if root.version != _VERSION:
        raise _invalid(f"its schema has version {root.version}, and irconv reads {_VERSION}")
    if root.external_buffers or root.external_buffer_groups:
        raise _invalid("its weights are in other files, which irconv does not read")
    if not root.subgraphs:
        raise _invalid("it has no graph")
    buffers = [_buffer(buffer, number, size) for number, buffer in enumerate(root.buffers)]
    codes = [_code(entry, number) for number, entry in enumerate(root.operator_codes)]
    subgraphs = tuple(
        _Subgraph(table, number, buffers, codes, size).read()
        for number, table in enumerate(root.subgraphs)
    )
    _check_bodies(subgraphs)
    metadata = {
        entry.name or "": extent
        for entry in root.metadata
        if (extent := buffers[_index(entry.buffer, buffers, "metadata")]) is not None
    }
    return Model(
        version=root.version,
        description=root.description or "",
        subgraphs=subgraphs,
        signatures=tuple(_signature(table, subgraphs) for table in root.signature_defs),
        metadata=metadata,
        bytes=size,
    )


def _buffer(table: Table, number: int, size: int) -> Bytes | None:
    """Return where a buffer's bytes lie: in its vector, or behind the tables."""
    if table.offset > 1:
        if table.offset + table.size > size:
            raise _invalid(
                f"buffer {number} reaches to byte {table.offset + table.size}, and the file has "
                f"{size}"
            )
        return Bytes(table.offset, table.size)
    return table.data if number else None


def _code(table: Table, number: int) -> tuple[str, str]:
    """Return the operator's name, and the name of a custom one."""
    narrow, wide = table.deprecated_builtin_code, table.builtin_code
    code = max(narrow, wide) if narrow < _WIDE_CODES_FROM or wide else narrow
    if not 0 <= code < len(BUILTIN_OPERATORS):
        raise _invalid(f"operator code {number} is {code}, which irconv does not know")
    custom = (table.custom_code or "?") if code == CUSTOM else ""
    return BUILTIN_OPERATORS[code], custom


class _Subgraph:
    """One subgraph while it is read."""

    def __init__(
        self,
        table: Table,
        number: int,
        buffers: Sequence[Bytes | None],
        codes: Sequence[tuple[str, str]],
        size: int,
    ) -> None:
        self._table = table
        self._where = f"subgraph {number}"
        self._buffers = buffers
        self._codes = codes
        self._size = size
        self._ranked = any(tensor.has_rank for tensor in table.tensors)

    def read(self) -> Subgraph:
        """Return the subgraph."""
        table = self._table
        tensors = tuple(self._tensor(entry, number) for number, entry in enumerate(table.tensors))
        subgraph = Subgraph(
            name=table.name or "",
            tensors=tensors,
            inputs=self._indices(table.inputs, tensors, "its inputs"),
            outputs=self._indices(table.outputs, tensors, "its outputs"),
            operators=tuple(
                self._operator(entry, number, tensors)
                for number, entry in enumerate(table.operators)
            ),
        )
        self._check_order(subgraph)
        return subgraph

    def _tensor(self, table: Table, number: int) -> Tensor:
        what = f"tensor {number} ({table.name!r}) of {self._where}"
        if not 0 <= table.type < len(TENSOR_TYPES):
            raise _invalid(f"{what} has the unknown type {table.type}")
        if table.external_buffer:
            raise _invalid(f"{what} has its data in another file, which irconv does not read")
        dtype = TENSOR_TYPES[table.type]
        stored = [int(size) for size in table.shape]
        _check_sizes(stored, what)
        data = self._buffers[_index(table.buffer, self._buffers, what)]
        if data is not None and not self._is_constant(data, dtype, stored, table, what):
            data = None
        return Tensor(
            index=number,
            name=table.name or "",
            dtype=dtype,
            shape=self._shape(table, stored, what, constant=data is not None),
            quantization=_quantization(table, dtype, what),
            data=data,
            variable=table.is_variable,
            sparse=table.sparsity is not None,
        )

    def _is_constant(
        self, data: Bytes, dtype: str, shape: Sequence[int], table: Table, what: str
    ) -> bool:
        count = _product(shape)
        if not data.size and (count or dtype not in _BITS):
            return False
        if dtype not in _BITS or table.sparsity is not None:
            return True
        needed = -(-count * _BITS[dtype] // 8)
        if needed != data.size:
            raise _invalid(
                f"{what} is {dtype}{list(shape)}, which takes {needed} bytes, and its buffer has "
                f"{data.size}"
            )
        return True

    def _shape(
        self, table: Table, stored: Sequence[int], what: str, *, constant: bool
    ) -> tuple[int | None, ...] | None:
        signature = [int(size) for size in table.shape_signature]
        if constant:
            return tuple(stored)
        if not stored and not signature and self._ranked and not table.has_rank:
            return None
        if not signature:
            return tuple(stored)
        if len(signature) != len(stored):
            raise _invalid(f"{what} has {len(stored)} sizes, and {len(signature)} in its signature")
        if any(size < -1 for size in signature):
            raise _invalid(f"{what} has the shape signature {signature}")
        return tuple(None if size < 0 else size for size in signature)

    def _operator(self, table: Table, number: int, tensors: Sequence[Tensor]) -> Operator:
        what = f"operator {number} of {self._where}"
        code, custom = self._codes[_index(table.opcode_index, self._codes, what)]
        for entry in (table.large_custom_options_offset, table.large_custom_options_size):
            if entry > self._size:
                raise _invalid(f"{what} has options outside of the file")
        options = table.builtin_options or table.builtin_options2
        return Operator(
            index=number,
            code=code,
            custom=custom,
            inputs=self._indices(table.inputs, tensors, f"the inputs of {what}", optional=True),
            outputs=self._indices(table.outputs, tensors, f"the outputs of {what}"),
            options=options,
        )

    def _indices(
        self,
        numbers: Iterable[int],
        tensors: Sequence[Tensor],
        what: str,
        *,
        optional: bool = False,
    ) -> tuple[int, ...]:
        found = tuple(int(number) for number in numbers)
        for number in found:
            if not (-1 if optional else 0) <= number < len(tensors):
                raise _invalid(
                    f"{what} in {self._where} name tensor {number}, and there are {len(tensors)}"
                )
        return found

    def _check_order(self, subgraph: Subgraph) -> None:
        """Refuse a tensor that is used before it is computed, or computed twice."""
        known = {tensor.index for tensor in subgraph.tensors if tensor.data or tensor.variable}
        known.update(subgraph.inputs)
        computed = set(subgraph.inputs)
        for operator in subgraph.operators:
            what = f"operator {operator.index} of {self._where}"
            for index in operator.inputs:
                if index >= 0 and index not in known:
                    raise _invalid(f"{what} reads tensor {index}, which nothing computes before it")
            for index in operator.outputs:
                if index in computed:
                    raise _invalid(f"{what} computes tensor {index}, which is computed before")
                computed.add(index)
                known.add(index)
        for index in subgraph.outputs:
            if index not in known:
                raise _invalid(f"output tensor {index} of {self._where} is never computed")


def _quantization(table: Table, dtype: str, what: str) -> Quantization | None:
    parameters = table.quantization
    if parameters is None or dtype not in _QUANTIZED:
        return None
    details = "" if parameters.details is None else parameters.details.kind
    scales = tuple(float(scale) for scale in parameters.scale)
    if not scales:
        return Quantization((1.0,), (0,), details=details) if details else None
    if not all(np.isfinite(scale) and scale >= 0 for scale in scales):
        raise _invalid(f"{what} has a quantization step that is negative or not finite")
    points = tuple(int(point) for point in parameters.zero_point) or (0,)
    if len(points) == 1:
        points *= len(scales)
    axis = parameters.quantized_dimension
    if len(points) != len(scales):
        raise _invalid(f"{what} has {len(scales)} quantization steps and {len(points)} zero points")
    if len(scales) > 1 and (
        not 0 <= axis < len(table.shape) or int(table.shape[axis]) != len(scales)
    ):
        raise _invalid(
            f"{what} has {len(scales)} quantization steps along dimension {axis} of "
            f"{[int(size) for size in table.shape]}"
        )
    low, high = _range_of(dtype)
    if not all(low <= point <= high for point in points):
        raise _invalid(f"{what} has a zero point outside of {dtype}")
    if not any(scales):
        return None
    return Quantization(scales, points, axis if len(scales) > 1 else 0, details)


def _range_of(dtype: str) -> tuple[int, int]:
    if dtype in ("int4", "int2"):
        return -8, 7
    if dtype == "uint4":
        return 0, 15
    limits = np.iinfo(dtype)
    return int(limits.min), int(limits.max)


def _signature(table: Table, subgraphs: Sequence[Subgraph]) -> Signature:
    key = table.signature_key or ""
    what = f"signature {key!r}"
    subgraph = _index(table.subgraph_index, subgraphs, what)
    graph = subgraphs[subgraph]
    maps: list[dict[str, int]] = []
    for entries, allowed in ((table.inputs, graph.inputs), (table.outputs, graph.outputs)):
        named = {entry.name or "": int(entry.tensor_index) for entry in entries}
        if len(named) != len(entries) or not set(named.values()) <= set(allowed):
            raise _invalid(f"{what} names a tensor twice, or one that is no input or output")
        maps.append(named)
    return Signature(key, subgraph, *maps)


def _check_bodies(subgraphs: Sequence[Subgraph]) -> None:
    """Refuse bodies that are not there, that run themselves, or that unfold without bound.

    The condition of a loop is written twice, before the loop and at the end of its body.
    """
    sizes: dict[int, int] = {}
    depths: dict[int, int] = {}
    for start in range(len(subgraphs)):
        stack = [(start, False)]
        active: set[int] = set()
        while stack:
            number, done = stack.pop()
            operators = subgraphs[number].operators
            bodies = [_body(body, subgraphs) for op in operators for body in op.bodies]
            if done:
                active.discard(number)
                sizes[number] = len(operators) + sum(
                    sizes[body] * (2 if op.code == "WHILE" and not place else 1)
                    for op in operators
                    for place, body in enumerate(op.bodies)
                )
                depths[number] = 1 + max((depths[body] for body in bodies), default=0)
                if depths[number] > _DEEPEST:
                    raise _invalid(f"its bodies are nested more than {_DEEPEST} deep")
                if sizes[number] > _MOST_EXPANDED:
                    raise _invalid(f"its bodies unfold to more than {_MOST_EXPANDED:,} operators")
                continue
            if number in sizes:
                continue
            if number in active:
                raise _invalid(f"subgraph {number} runs itself")
            active.add(number)
            stack.append((number, True))
            for body in bodies:
                if body in active:
                    raise _invalid(f"subgraph {body} runs itself")
                stack.append((body, False))


def _body(number: int, subgraphs: Sequence[Subgraph]) -> int:
    return _index(number, subgraphs, "an operator with a body")


def _check_sizes(sizes: Sequence[int], what: str) -> None:
    if any(size < 0 for size in sizes) or _product(sizes) > _MOST_ITEMS:
        raise _invalid(f"{what} has the impossible shape {list(sizes)}")


def _product(sizes: Sequence[int]) -> int:
    count = 1
    for size in sizes:
        count *= size
    return count


def _index(number: int, things: Sequence[object], what: str) -> int:
    if not 0 <= number < len(things):
        raise _invalid(f"{what} refers to number {number} of {len(things)}")
    return int(number)


def _invalid(problem: str) -> InputError:
    return InputError(
        f"the TFLite model is invalid: {problem}",
        where="reading the model",
        hint="the file is damaged or was made to mislead; get it again from where it was made",
    )
