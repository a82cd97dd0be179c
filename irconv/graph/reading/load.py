"""Loading an untrusted ONNX file into the IR.

The file is read once; the message that was checked is the message that becomes the IR. Weights
in external data, and large weights inside a large file, stay on the disk and are mapped.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx_ir as ir

from irconv.errors import InputError
from irconv.graph.preflight.messages import shown
from irconv.graph.preflight.model import Limits, preflight
from irconv.graph.reading.external_data import ExternalFiles
from irconv.graph.reading.mapped import MappedTensor
from irconv.graph.reading.model_file import WHOLE_FILE_LIMIT, ModelFile, read_model_file
from irconv.graph.reading.regular_file import open_regular
from irconv.graph.walk import all_graphs, all_nodes

__all__ = ["LoadedModel", "load_model", "source_digest"]

_HASHED_CHUNK = 8 << 20
_FIRST_IR_VERSION_WITH_CONSTANTS = 4
_MOST_NAMED = 5


@dataclass(frozen=True)
class LoadedModel:
    """A model in the IR, and where it came from.

    Attributes:
        model: The model.
        bytes: Size of its files.
        files: Its files, the model file first, links followed.
        opset: Version of the default domain.
        notes: What was changed on the way, in plain words.
    """

    model: ir.Model
    bytes: int
    files: tuple[Path, ...]
    opset: int
    notes: tuple[str, ...]


def load_model(
    path: Path, *, limits: Limits | None = None, whole_file_limit: int = WHOLE_FILE_LIMIT
) -> LoadedModel:
    """Check and load an ONNX file.

    Args:
        path: The ``.onnx`` file.
        limits: What the model may not exceed.
        whole_file_limit: A file of more bytes keeps its large tensors mapped.

    Raises:
        InputError: If the file is no ONNX model, or is damaged, hostile or not known how to
            read; nothing that it names has been executed, and no file outside its folder read.
    """
    file = read_model_file(path, whole_file_limit=whole_file_limit)
    try:
        checked = preflight(file.message, file.carved, limits)
    except UnicodeDecodeError as error:
        raise InputError(
            f"a text in {str(path)!r} is not UTF-8: {error}",
            where="checking the model file",
            hint="the file is damaged; export the model again",
        ) from error
    notes = [*file.notes, *checked.notes, *_fix_defaults(file.message)]
    if not file.message.graph.name:
        file.message.graph.name = "graph"
    model = _build(file)
    external = ExternalFiles(path.parent)
    _settle_tensors(model, file, external)
    notes += _name_nodes(model)
    return LoadedModel(
        model=model,
        bytes=file.bytes + external.bytes,
        files=(file.path, *external.paths),
        opset=checked.opset,
        notes=tuple(notes),
    )


def _fix_defaults(message: onnx.ModelProto) -> list[str]:
    """Make inputs with a default value constants: no target keeps them overridable."""
    graph = message.graph
    initialized = {tensor.name for tensor in graph.initializer}
    defaults = [value.name for value in graph.input if value.name in initialized]
    if not defaults:
        return []
    kept = [value for value in graph.input if value.name not in initialized]
    inputs = [onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in kept]
    del graph.input[:]
    graph.input.extend(inputs)
    message.ir_version = max(message.ir_version, _FIRST_IR_VERSION_WITH_CONSTANTS)
    named = ", ".join(shown(name) for name in defaults[:_MOST_NAMED])
    more = f" and {len(defaults) - _MOST_NAMED} more" if len(defaults) > _MOST_NAMED else ""
    return [f"inputs with a default value are constants now: {named}{more}"]


def _build(file: ModelFile) -> ir.Model:
    logging.getLogger("onnx_ir").setLevel(logging.ERROR)
    try:
        return ir.serde.deserialize_model(file.message)
    except Exception as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        raise InputError(
            f"{str(file.path)!r} cannot be read: {type(cause).__name__}: {cause}",
            where="building the graph",
            hint="export the model again, without the feature that this message names",
        ) from error


def _settle_tensors(model: ir.Model, file: ModelFile, external: ExternalFiles) -> None:
    """Give every tensor its data: mapped, or in an array of its own that outlives the message."""

    def settle(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
        if isinstance(tensor, ir.ExternalTensor):
            return external.tensor(tensor)
        if isinstance(tensor, ir.TensorProtoTensor):
            return _own(tensor, file)
        if isinstance(tensor, ir.StringTensor):
            return ir.StringTensor(list(tensor.string_data()), shape=tensor.shape, name=tensor.name)
        return tensor

    for graph in all_graphs(model):
        for value in graph.initializers.values():
            if value.const_value is not None:
                value.const_value = settle(value.const_value)
    for node in all_nodes(model):
        _settle_attributes(node, settle)


def _settle_attributes(
    node: ir.Node, settle: Callable[[ir.TensorProtocol], ir.TensorProtocol]
) -> None:
    for name, attribute in list(node.attributes.items()):
        if attribute.is_ref():
            continue
        if attribute.type == ir.AttributeType.TENSOR:
            node.attributes[name] = ir.AttrTensor(
                name, settle(attribute.value), doc_string=attribute.doc_string
            )
        elif attribute.type == ir.AttributeType.TENSORS:
            node.attributes[name] = ir.AttrTensors(
                name,
                [settle(tensor) for tensor in attribute.as_tensors()],
                doc_string=attribute.doc_string,
            )


def _own(tensor: ir.TensorProtoTensor, file: ModelFile) -> ir.TensorProtocol:
    message = tensor.raw
    span = file.carved(message.raw_data) if message.HasField("raw_data") else None
    if span is None:
        return ir.Tensor(
            tensor.numpy(),
            dtype=tensor.dtype,
            name=tensor.name,
            doc_string=tensor.doc_string,
            metadata_props=dict(tensor.metadata_props),
        )
    return MappedTensor(file.path, span.offset, tensor)


def _name_nodes(model: ir.Model) -> list[str]:
    """Give every node a name of its own: messages and ONNX Runtime need one."""
    taken: set[str] = set()
    nameless: list[ir.Node] = []
    twice = 0
    for node in all_nodes(model):
        if node.name and node.name not in taken:
            taken.add(node.name)
        else:
            twice += bool(node.name)
            nameless.append(node)
    counts: dict[str, int] = {}
    for node in nameless:
        stem = node.name or node.op_type
        while True:
            counts[stem] = counts.get(stem, -1) + 1
            name = f"{stem}_{counts[stem]}"
            if name not in taken:
                break
        taken.add(name)
        node.name = name
    return [f"nodes with the name of another node were renamed: {twice}"] if twice else []


def source_digest(files: Sequence[Path]) -> str:
    """Return the SHA-256 digest of a source's files, read in pieces.

    One file has its plain digest. Of several it is the digest of ``sha256sum``'s listing, a line
    of digest, two spaces and file name for each.

    Raises:
        InputError: If a file cannot be read.
    """
    digests = [_digest(path) for path in files]
    if len(digests) == 1:
        return digests[0]
    lines = (f"{digest}  {path.name}\n" for digest, path in zip(digests, files, strict=True))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with os.fdopen(open_regular(path, what="model file"), "rb", buffering=0) as stream:
        while chunk := stream.read(_HASHED_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
