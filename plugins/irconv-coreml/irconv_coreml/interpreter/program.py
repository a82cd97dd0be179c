"""An ML Program as plain data: functions, blocks and operations with their types and constants."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from irconv.errors import InputError
from irconv_coreml.interpreter.types import (
    DTYPES,
    ListType,
    MilValue,
    StateType,
    TensorType,
    Type,
)

__all__ = ["Block", "Function", "Operation", "TypedName", "decode_functions"]

ReadBlob = Callable[[str, int, TensorType], MilValue]
"""Reads a constant from a file: its name, the offset, the declared type."""


@dataclass(frozen=True)
class TypedName:
    """The name of a value and its declared type."""

    name: str
    type: Type


@dataclass(frozen=True)
class Operation:
    """One operation.

    Attributes:
        kind: The operator, such as ``conv``.
        inputs: By parameter: the names of values, or constants that stand in place; a parameter
            that takes several values has several.
        outputs: What it produces.
        blocks: Its blocks, for control flow.
        attributes: Constants that belong to the operation itself.
    """

    kind: str
    inputs: Mapping[str, tuple[str | Constant, ...]]
    outputs: tuple[TypedName, ...]
    blocks: tuple[Block, ...]
    attributes: Mapping[str, Constant]


@dataclass(frozen=True)
class Constant:
    """A value that the program states."""

    value: MilValue


@dataclass(frozen=True)
class Block:
    """Operations in order, and which values leave the block."""

    inputs: tuple[TypedName, ...]
    outputs: tuple[str, ...]
    operations: tuple[Operation, ...]


@dataclass(frozen=True)
class Function:
    """One function.

    Attributes:
        inputs: What it takes.
        opset: The operator set that it is written in, such as ``CoreML7``.
        block: Its body.
    """

    inputs: tuple[TypedName, ...]
    opset: str
    block: Block


def decode_functions(program: Any, read_blob: ReadBlob) -> dict[str, Function]:
    """Return the functions of a ``Program`` message by name.

    Raises:
        InputError: If something in it is not understood.
    """
    decoder = _Decoder(read_blob)
    return {entry.key: decoder.function(entry.value) for entry in program.functions}


class _Decoder:
    def __init__(self, read_blob: ReadBlob) -> None:
        self._read_blob = read_blob

    def function(self, message: Any) -> Function:
        blocks = {entry.key: entry.value for entry in message.block_specializations}
        if message.opset not in blocks:
            raise _broken(f"has no block for its operator set {message.opset!r}")
        return Function(
            self._names(message.inputs), message.opset, self._block(blocks[message.opset])
        )

    def _block(self, message: Any) -> Block:
        return Block(
            self._names(message.inputs),
            tuple(message.outputs),
            tuple(self._operation(operation) for operation in message.operations),
        )

    def _operation(self, message: Any) -> Operation:
        return Operation(
            message.type,
            {
                entry.key: tuple(self._binding(item) for item in entry.value.arguments)
                for entry in message.inputs
            },
            self._names(message.outputs),
            tuple(self._block(block) for block in message.blocks),
            {entry.key: self._constant(entry.value) for entry in message.attributes},
        )

    def _binding(self, message: Any) -> str | Constant:
        return self._constant(message.value) if message.HasField("value") else str(message.name)

    def _names(self, messages: Any) -> tuple[TypedName, ...]:
        return tuple(TypedName(message.name, self._type(message.type)) for message in messages)

    def _type(self, message: Any) -> Type:
        if message.HasField("tensorType"):
            return self._tensor_type(message.tensorType)
        if message.HasField("listType"):
            length = _size(message.listType.length)
            return ListType(self._tensor_type(message.listType.type.tensorType), length)
        if message.HasField("stateType"):
            return StateType(self._tensor_type(message.stateType.wrappedType.tensorType))
        raise _broken("declares a value whose type is no tensor, list or state")

    def _tensor_type(self, message: Any) -> TensorType:
        if message.dataType not in DTYPES:
            raise _broken(f"declares a tensor of dtype number {message.dataType}")
        shape = tuple(_size(dimension) for dimension in message.dimensions)
        if message.rank != len(shape):
            raise _broken(f"declares a tensor of rank {message.rank} with {len(shape)} sizes")
        return TensorType(DTYPES[message.dataType], shape)

    def _constant(self, message: Any) -> Constant:
        declared = self._type(message.type) if message.type.ByteSize() else None
        if message.HasField("blobFileValue"):
            if not isinstance(declared, TensorType):
                raise _broken("reads a constant that is no tensor from a file")
            blob = message.blobFileValue
            return Constant(self._read_blob(blob.fileName, blob.offset, declared))
        immediate = message.immediateValue
        if immediate.HasField("tensor") and isinstance(declared, TensorType):
            return Constant(_immediate(immediate.tensor, declared))
        for kind in ("tuple", "list"):
            if immediate.HasField(kind):
                items = getattr(immediate, kind).values
                return Constant(tuple(self._constant(item).value for item in items))
        raise _broken("holds a constant without a value")


def _size(message: Any) -> int | None:
    return int(message.constant.size) if message.HasField("constant") else None


_FIELDS = ("floats", "ints", "bools", "strings", "longInts", "doubles", "bytes")


def _immediate(message: Any, declared: TensorType) -> MilValue:
    """Return a constant that stands in the program itself.

    Elements of dtypes without a field of their own (16 and 8 bits) stand as little-endian bytes.
    """
    field = next((name for name in _FIELDS if message.HasField(name)), None)
    if field is None or None in declared.shape:
        raise _broken(f"holds a constant of type {declared} without a value")
    values = getattr(message, field).values
    if declared.dtype == "string":
        if declared.shape == () and field == "strings" and len(values) == 1:
            return str(values[0])
        return tuple(values)
    array = (
        np.frombuffer(values, declared.held_as)
        if field == "bytes"
        else np.array(values, declared.held_as)
    )
    count = int(np.prod(declared.shape, dtype=np.int64))  # type: ignore[arg-type]
    if array.size == 1 and count > 1:
        array = np.full(count, array[0])
    if array.size != count:
        raise _broken(f"holds a constant of type {declared} with {array.size} elements")
    return array.reshape(declared.shape)


def _broken(what: str) -> InputError:
    return InputError(
        f"the ML Program {what}", where="Core ML package", hint="make the package again"
    )
