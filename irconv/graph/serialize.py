"""Writing a model to disk without a second copy of its weights.

The graph is serialized with short tokens in place of large tensors; their bytes are then written
where they belong, into the model file or an external data file beside it, one tensor at a time.
Mapped tensors are copied inside the kernel. A tensor that several values share is written once
to external data. The target must be new: writing over a mapped file would destroy it.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
import onnx
import onnx_ir as ir

from irconv.graph.reading.wire import Tokens, weave
from irconv.graph.walk import all_graphs, all_nodes

__all__ = ["EXTERNAL_DATA_SUFFIX", "INLINE_LIMIT", "save_model", "weight_bytes"]

INLINE_LIMIT = 1 << 30
"""Above this many bytes of weights a model does not fit one protobuf file safely."""
EXTERNAL_DATA_SUFFIX = ".data"
_EXTERNAL_THRESHOLD = 1024
"""Smaller tensors stay in the graph, where runtimes look for shapes and axes."""
_PAGE = 4096
_PAGE_ALIGNED = 1 << 16
_ALIGNMENT = 64
"""Offsets of tensors of at least 64 KiB start a page, so that runtimes can map them."""
_FLUSHED_AT_ONCE = 1 << 28


def weight_bytes(model: ir.Model) -> int:
    """Return the bytes of all tensors in the model; a tensor that is shared counts once."""
    return sum({_identity(slot.tensor): slot.tensor.nbytes for slot in _slots(model)}.values())


def _identity(tensor: ir.TensorProtocol) -> object:
    """Return a key that is equal for tensors with the same bytes on disk or in memory."""
    if isinstance(tensor, ir.ExternalTensor):
        return (tensor.path, tensor.offset, tensor.nbytes)
    return id(tensor)


def save_model(
    model: ir.Model, path: Path, *, inline_limit: int = INLINE_LIMIT, flush: bool = False
) -> list[Path]:
    """Write ``model`` as ONNX and return the files written, the data file last.

    Peak memory is the graph and the largest tensor that is not mapped.

    Args:
        model: The model; it is left as it was.
        path: Path of the ``.onnx`` file; neither it nor ``path.name + ".data"`` may exist.
        inline_limit: If the weights have more bytes than this, those of more than 1 KiB go to
            ``path.name + ".data"``.
        flush: Whether to have the disk write early what a publication will wait for.

    Raises:
        FileExistsError: If a file is in the way.
        OSError: If the disk is full or the folder cannot be written.
    """
    data = path.with_name(path.name + EXTERNAL_DATA_SUFFIX)
    for file in (path, data):
        if file.exists():
            raise FileExistsError(f"{file} exists")
    slots = list(_slots(model))
    written = sum(slot.tensor.nbytes for slot in slots)
    plan = _Plan(data.name if written > inline_limit else None)
    try:
        for slot in slots:
            slot.put(plan.place(slot.tensor, slot.name))
        skeleton = ir.serde.serialize_model(model).SerializeToString()
    finally:
        for slot in slots:
            slot.put(slot.tensor)
    with path.open("xb") as stream:
        weave(
            skeleton,
            plan.tokens,
            {number: tensor.nbytes for number, tensor in plan.inline.items()},
            stream.write,
            lambda number: _write(plan.inline[number], stream),
        )
    if not plan.external:
        return [path]
    with data.open("xb") as stream, ThreadPoolExecutor(max_workers=1) as flusher:
        os.posix_fallocate(stream.fileno(), 0, plan.end)
        flushed, flushes = 0, []
        for offset, tensor in plan.external.values():
            stream.seek(offset)
            _write(tensor, stream)
            if flush and stream.tell() - flushed >= _FLUSHED_AT_ONCE:
                flushed = stream.tell()
                flushes.append(flusher.submit(os.fdatasync, stream.fileno()))
        for flush_done in flushes:
            flush_done.result()
    return [path, data]


@dataclass(frozen=True)
class _Slot:
    """A place in the model that holds a tensor.

    Attributes:
        name: The name that the tensor is written under.
        tensor: The tensor.
        put: Puts another tensor in its place.
    """

    name: str
    tensor: ir.TensorProtocol
    put: Callable[[ir.TensorProtocol], None]


def _slots(model: ir.Model) -> Iterator[_Slot]:
    for graph in all_graphs(model):
        for value in graph.initializers.values():
            if value.const_value is not None:
                yield _initializer_slot(value, value.const_value)
    for node in all_nodes(model):
        for name, attribute in node.attributes.items():
            if attribute.is_ref():
                continue
            if attribute.type == ir.AttributeType.TENSOR:
                yield _attribute_slot(node, name, attribute)
            elif attribute.type == ir.AttributeType.TENSORS:
                yield from _list_slots(node, name, attribute)


def _initializer_slot(value: ir.Value, tensor: ir.TensorProtocol) -> _Slot:
    def put(other: ir.TensorProtocol) -> None:
        value.const_value = other

    return _Slot(value.name or "", tensor, put)


def _attribute_slot(node: ir.Node, name: str, attribute: ir.Attr) -> _Slot:
    tensor = attribute.as_tensor()

    def put(other: ir.TensorProtocol) -> None:
        same = other is tensor
        node.attributes[name] = attribute if same else ir.AttrTensor(name, other)

    return _Slot(tensor.name or "", tensor, put)


def _list_slots(node: ir.Node, name: str, attribute: ir.Attr) -> Iterator[_Slot]:
    tensors = list(attribute.as_tensors())
    current = list(tensors)

    def put_at(index: int, other: ir.TensorProtocol) -> None:
        current[index] = other
        same = all(now is was for now, was in zip(current, tensors, strict=True))
        node.attributes[name] = attribute if same else ir.AttrTensors(name, list(current))

    for index, tensor in enumerate(tensors):
        yield _Slot(tensor.name or "", tensor, partial(put_at, index))


@dataclass
class _Plan:
    """Where the bytes of each tensor go.

    Attributes:
        location: Name of the external data file; None if there is none.
        external: Offset and tensor by identity, in the order of the offsets.
        inline: Tensors by the number of their token in the model file.
        end: Size of the external data file.
    """

    location: str | None
    tokens: Tokens = field(default_factory=Tokens)
    external: dict[object, tuple[int, ir.TensorProtocol]] = field(default_factory=dict)
    inline: dict[int, ir.TensorProtocol] = field(default_factory=dict)
    end: int = 0

    def place(self, tensor: ir.TensorProtocol, name: str) -> ir.TensorProtocol:
        """Return what stands for ``tensor`` in the message."""
        if tensor.dtype == ir.DataType.STRING or tensor.nbytes <= Tokens.length:
            return _in_memory(tensor, name)
        if self.location is not None and tensor.nbytes > _EXTERNAL_THRESHOLD:
            return self._external(tensor, name)
        number, token = self.tokens.new()
        self.inline[number] = tensor
        return _message(tensor, name, token)

    def _external(self, tensor: ir.TensorProtocol, name: str) -> ir.TensorProtocol:
        assert self.location is not None
        key = _identity(tensor)
        if key not in self.external:
            alignment = _PAGE if tensor.nbytes >= _PAGE_ALIGNED else _ALIGNMENT
            offset = -(-self.end // alignment) * alignment
            self.external[key] = (offset, tensor)
            self.end = offset + tensor.nbytes
        offset, _ = self.external[key]
        return ir.ExternalTensor(
            self.location,
            offset,
            tensor.nbytes,
            tensor.dtype,
            shape=ir.Shape(tensor.shape.numpy()),
            name=name,
            doc_string=tensor.doc_string,
            metadata_props=dict(tensor.metadata_props),
        )


def _in_memory(tensor: ir.TensorProtocol, name: str) -> ir.TensorProtocol:
    """Return a tensor that serializes with its data, which for a mapped one is read."""
    if not isinstance(tensor, ir.ExternalTensor):
        return tensor
    data = io.BytesIO()
    tensor.tofile(data)
    return _message(tensor, name, data.getvalue())


def _message(tensor: ir.TensorProtocol, name: str, raw_data: bytes) -> ir.TensorProtoTensor:
    message = onnx.TensorProto(
        name=name,
        doc_string=tensor.doc_string,
        data_type=tensor.dtype,
        dims=tensor.shape.numpy(),
        raw_data=raw_data,
    )
    return ir.TensorProtoTensor(message)


def _write(tensor: ir.TensorProtocol, stream: IO[bytes]) -> None:
    """Write the bytes of a tensor as ONNX stores them: little endian, sub-byte values packed."""
    if isinstance(tensor, ir.ExternalTensor):
        tensor.tofile(stream)
    elif tensor.dtype.bitwidth < 8 or sys.byteorder == "big":
        stream.write(tensor.tobytes())
    else:
        array = np.ascontiguousarray(tensor.numpy())
        stream.write(array.reshape(-1).view(np.uint8).data)
