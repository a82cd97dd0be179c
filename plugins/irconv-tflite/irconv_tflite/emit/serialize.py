"""Writing the FlatBuffer, weights streamed behind the tables.

FlatBuffers refer forward by relative offsets. The tables are packed by the schema's own object
API, with offsets that point behind their end; there the data of the constants follows, one after
another, so that no more than one of them is in memory at a time. Equal data is stored once.

Source: FlatBuffers internals, https://flatbuffers.dev/internals/; TFLite's ``schema.fbs``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from irconv.errors import UnsupportedError
from irconv_tflite.emit.dtypes import TENSOR_TYPES
from irconv_tflite.emit.graph import Operator, Subgraph, Tensor
from irconv_tflite.emit.options import options_class
from irconv_tflite.emit.size import ALIGNMENT, LENGTH, MAX_BYTES, tensors_of, too_large
from irconv_tflite.emit.versions import version_of

__all__ = ["write_flatbuffer"]

_SCHEMA_VERSION = 3
_OPERATORS_BY_ONE_BYTE = 127
_UNPLACED = 1
"""Any distance but 0, which the tables leave out, so that they come out as long."""


def write_flatbuffer(
    subgraphs: Sequence[Subgraph], path: Path, description: str, metadata: Mapping[str, bytes]
) -> None:
    """Write a model.

    Args:
        subgraphs: The main graph, then others.
        path: A new file.
        description: A line for the model's description.
        metadata: Content of the model's metadata buffers, by name.

    Raises:
        UnsupportedError: If the file would be larger than its readers take.
    """
    packer = _Packer(subgraphs, description, metadata)
    start = _aligned(len(packer.pack({}, 0)))
    with path.open("xb") as file:
        file.seek(start)
        places = _write_data(packer.tensors(), file)
        size = _aligned(file.tell())
        file.truncate(size)
        tables = packer.pack(places, start)
        tables = packer.pack(places, len(tables))
        assert len(tables) <= start
        file.seek(0)
        file.write(tables)


def _aligned(position: int) -> int:
    return -(-position // ALIGNMENT) * ALIGNMENT


def _write_data(tensors: Sequence[Tensor], file: BinaryIO) -> dict[Tensor, int]:
    """Write the data of all constants and return where each lies, at its length field."""
    places: dict[Tensor, int] = {}
    by_content: dict[bytes, int] = {}
    for tensor in tensors:
        assert tensor.constant is not None
        array = np.ascontiguousarray(tensor.constant.load())
        assert array.nbytes == tensor.constant.nbytes, tensor.name
        raw = array.reshape(-1).view(np.uint8)
        digest = hashlib.sha256(raw.data).digest()
        if digest not in by_content:
            position = _aligned(file.tell() + LENGTH) - LENGTH
            if position + LENGTH + raw.size + ALIGNMENT > MAX_BYTES:
                raise UnsupportedError("tflite", [too_large(_all_bytes(tensors))], where="write")
            file.write(bytes(position - file.tell()))
            file.write(raw.size.to_bytes(LENGTH, "little"))
            file.write(raw.data)
            by_content[digest] = position
        places[tensor] = by_content[digest]
    return places


def _all_bytes(tensors: Sequence[Tensor]) -> int:
    return sum({t.constant: t.constant.nbytes for t in tensors if t.constant}.values())


class _Packer:
    """Packs the tables of a model, as often as is needed to place them."""

    def __init__(
        self, subgraphs: Sequence[Subgraph], description: str, metadata: Mapping[str, bytes]
    ) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self._schema = schema
        self._subgraphs = subgraphs
        self._description = description
        self._extra = metadata

    def tensors(self) -> list[Tensor]:
        """Return the constants with data in a fixed order."""
        return [
            tensor
            for subgraph in self._subgraphs
            for tensor in tensors_of(subgraph)
            if tensor.constant is not None and tensor.constant.nbytes
        ]

    def pack(self, places: Mapping[Tensor, int], end: int) -> bytes:
        """Return the tables.

        Args:
            places: Where the data of each constant lies in the file.
            end: Length of the tables, from which the offsets are reckoned.
        """
        import flatbuffers

        schema = self._schema
        model = schema.ModelT()
        model.version = _SCHEMA_VERSION
        model.description = self._description
        self._codes: dict[tuple[str, int], int] = {}
        self._buffers: list[Any] = [schema.BufferT()]
        self._by_place: dict[int, int] = {}
        self._places, self._end = places, end
        model.subgraphs = [self._subgraph(subgraph) for subgraph in self._subgraphs]
        model.operatorCodes = [self._code(*key) for key in self._codes]
        model.signatureDefs = [self._signature(self._subgraphs[0])]
        model.metadata = [self._metadata(*entry) for entry in self._extra.items()]
        model.buffers = self._buffers
        builder = flatbuffers.Builder(1 << 16)
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())

    def _code(self, code: str, version: int) -> Any:
        entry = self._schema.OperatorCodeT()
        number = getattr(self._schema.BuiltinOperator, code)
        entry.builtinCode = number
        entry.deprecatedBuiltinCode = min(number, _OPERATORS_BY_ONE_BYTE)
        entry.version = version
        return entry

    def _metadata(self, name: str, content: bytes) -> Any:
        entry = self._schema.MetadataT()
        entry.name = name
        buffer = self._schema.BufferT()
        buffer.data = np.frombuffer(content, np.uint8)
        entry.buffer = len(self._buffers)
        self._buffers.append(buffer)
        return entry

    def _subgraph(self, subgraph: Subgraph) -> Any:
        table = self._schema.SubGraphT()
        tensors = tensors_of(subgraph)
        index = {tensor: number for number, tensor in enumerate(tensors)}
        table.name = subgraph.name
        table.tensors = [self._tensor(tensor) for tensor in tensors]
        table.inputs = [index[tensor] for tensor in subgraph.inputs]
        table.outputs = [index[tensor] for tensor in subgraph.outputs]
        table.operators = [self._operator(operator, index) for operator in subgraph.operators]
        return table

    def _tensor(self, tensor: Tensor) -> Any:
        table = self._schema.TensorT()
        table.name = tensor.name
        table.type = getattr(self._schema.TensorType, TENSOR_TYPES[tensor.dtype])
        shape = tensor.shape or ()
        table.shape = [1 if dim is None else dim for dim in shape]
        if None in shape:
            table.shapeSignature = [-1 if dim is None else dim for dim in shape]
        table.hasRank = tensor.shape is not None
        table.buffer = self._buffer(tensor)
        if tensor.quantization is not None:
            parameters = self._schema.QuantizationParametersT()
            parameters.scale = list(tensor.quantization.scales)
            parameters.zeroPoint = list(tensor.quantization.zero_points)
            parameters.quantizedDimension = tensor.quantization.axis
            table.quantization = parameters
        return table

    def _buffer(self, tensor: Tensor) -> int:
        if tensor.constant is None:
            return 0
        if not tensor.constant.nbytes:
            buffer = self._schema.BufferT()
            buffer.data = np.zeros(0, np.uint8)
            self._buffers.append(buffer)
            return len(self._buffers) - 1
        place = self._places.get(tensor)
        if place is not None and place in self._by_place:
            return self._by_place[place]
        number = len(self._buffers)
        distance = _UNPLACED if place is None else place - self._end
        self._buffers.append(_BufferBehind(self._schema, distance))
        if place is not None:
            self._by_place[place] = number
        return number

    def _operator(self, operator: Operator, index: Mapping[Tensor, int]) -> Any:
        table = self._schema.OperatorT()
        key = (operator.code, version_of(operator))
        table.opcodeIndex = self._codes.setdefault(key, len(self._codes))
        table.inputs = [-1 if tensor is None else index[tensor] for tensor in operator.inputs]
        table.outputs = [index[tensor] for tensor in operator.outputs]
        name = options_class(operator.code)
        if name:
            options = getattr(self._schema, f"{name}T")()
            for field, value in self._fields(operator).items():
                assert hasattr(options, field), f"{name} has no field {field}"
                setattr(options, field, value)
            second = getattr(self._schema.BuiltinOptions2, name, None)
            if second is None:
                table.builtinOptionsType = getattr(self._schema.BuiltinOptions, name)
                table.builtinOptions = options
            else:
                table.builtinOptions2Type = second
                table.builtinOptions2 = options
        return table

    def _fields(self, operator: Operator) -> dict[str, Any]:
        fields = dict(operator.options)
        if operator.code == "CAST":
            assert operator.inputs[0] is not None
            fields["inDataType"] = operator.inputs[0].dtype
            fields["outDataType"] = operator.outputs[0].dtype
        return {field: self._value(field, value) for field, value in fields.items()}

    def _value(self, field: str, value: Any) -> Any:
        schema = self._schema
        if isinstance(value, Subgraph):
            return self._subgraphs.index(value)
        if field == "fusedActivationFunction":
            return getattr(schema.ActivationFunctionType, value)
        if field == "padding":
            return getattr(schema.Padding, value)
        if field == "mode":
            return getattr(schema.MirrorPadMode, value)
        if re.search("[tT]ype$", field):
            return getattr(schema.TensorType, TENSOR_TYPES[value])
        return value

    def _signature(self, main: Subgraph) -> Any:
        index = {tensor: number for number, tensor in enumerate(tensors_of(main))}
        signature = self._schema.SignatureDefT()
        signature.signatureKey = "serving_default"
        signature.subgraphIndex = 0
        signature.inputs = [self._named(tensor, index[tensor]) for tensor in main.inputs]
        signature.outputs = [self._named(tensor, index[tensor]) for tensor in main.outputs]
        return signature

    def _named(self, tensor: Tensor, index: int) -> Any:
        entry = self._schema.TensorMapT()
        entry.name, entry.tensorIndex = tensor.name, index
        return entry


class _BufferBehind:
    """A buffer whose data lies behind the tables.

    Args:
        schema: The schema's module.
        distance: Bytes from the end of the tables to the data's length field.
    """

    def __init__(self, schema: Any, distance: int) -> None:
        self._schema = schema
        self._distance = distance

    def Pack(self, builder: Any) -> int:  # noqa: N802 - the object API calls it
        """Add the table; offsets count backwards from the end, so this one is negative."""
        self._schema.BufferStart(builder)
        self._schema.BufferAddData(builder, -self._distance)
        end: int = self._schema.BufferEnd(builder)
        return end
