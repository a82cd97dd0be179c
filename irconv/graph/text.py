"""A model as deterministic text, for people and for comparing.

The same model gives the same text in any process. Weights are elided to dtype, shape and digest;
what carries no meaning (the order of initializers, attributes, opsets, functions and metadata)
is sorted. Node names, doc strings and metadata of single nodes are left out, since no result
depends on them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from irconv.graph.digest import tensor_digest

__all__ = ["format_graph", "format_model", "format_type", "tensor_digest"]

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.:/-]+")
_DIGEST_DIGITS = 12
_SHOWN_ITEMS = 8
_INDENT = "  "


def format_model(model: ir.Model) -> str:
    """Return the text of ``model``; it ends with a line feed.

    Every weight is read once, in pieces, for its digest.
    """
    writer = _Writer()
    lines = [f"ir_version {model.ir_version}", f"opset {_opsets(model.opset_imports)}"]
    lines += _metadata(model.metadata_props)
    lines += writer.graph("graph", model.graph)
    for function in sorted(model.functions.values(), key=lambda item: item.identifier()):
        lines += writer.function(function)
    return "\n".join(lines) + "\n"


def format_graph(graph: ir.Graph) -> str:
    """Return the text of one graph, bodies included, as :func:`format_model` writes it."""
    return "\n".join(_Writer().graph("graph", graph)) + "\n"


def format_type(value: ir.Value) -> str:
    """Return dtype and shape of a value, such as ``float32[N,3]``; empty where unknown."""
    if value.type is None:
        return "" if value.shape is None else f"?{_shape(value.shape)}"
    return _type(value.type, value.shape)


def _type(type_: ir.TypeProtocol, shape: ir.Shape | None) -> str:
    if isinstance(type_, ir.SequenceType):
        return f"seq({_type(type_.elem_type, shape)})"
    if isinstance(type_, ir.OptionalType):
        return f"optional({_type(type_.elem_type, shape)})"
    prefix = "sparse " if isinstance(type_, ir.SparseTensorType) else ""
    return f"{prefix}{_dtype(type_.dtype)}{'' if shape is None else _shape(shape)}"


def _dtype(dtype: ir.DataType) -> str:
    return {"FLOAT": "float32", "DOUBLE": "float64"}.get(dtype.name, dtype.name.lower())


def _shape(shape: Iterable[int | ir.SymbolicDim]) -> str:
    dims = (
        str(dim) if isinstance(dim, int) else "?" if dim.value is None else _name(dim.value)
        for dim in shape
    )
    return f"[{','.join(dims)}]"


def _name(name: str | None) -> str:
    """Return a name as it is, or quoted and escaped where it could be misread."""
    text = name or ""
    return text if _PLAIN_NAME.fullmatch(text) else json.dumps(text)


def _opsets(opsets: Mapping[str, int]) -> str:
    return ", ".join(f"{_name(domain)} {opsets[domain]}" for domain in sorted(opsets))


def _metadata(metadata: Mapping[str, str]) -> list[str]:
    return [f"metadata {_name(key)} = {json.dumps(metadata[key])}" for key in sorted(metadata)]


def _typed(value: ir.Value) -> str:
    text = format_type(value)
    return f"{_name(value.name)}: {text}" if text else _name(value.name)


def _float(number: float) -> str:
    return str(np.float32(number))


class _Writer:
    """Writes graphs; each distinct tensor object is digested once."""

    def __init__(self) -> None:
        self._texts: dict[int, str] = {}

    def graph(self, head: str, graph: ir.Graph) -> list[str]:
        inputs = ", ".join(_typed(value) for value in graph.inputs)
        outputs = ", ".join(_typed(value) for value in graph.outputs)
        lines = [f"{head} {_name(graph.name)} ({inputs}) -> ({outputs}) {{"]
        lines += _indented(self._body(graph))
        return [*lines, "}"]

    def function(self, function: ir.Function) -> list[str]:
        name = "::".join(_name(part) for part in function.identifier() if part)
        inputs = ", ".join(_typed(value) for value in function.inputs)
        outputs = ", ".join(_typed(value) for value in function.outputs)
        lines = [f"function {name} ({inputs}) -> ({outputs}) {{"]
        lines += _indented([f"opset {_opsets(function.opset_imports)}"])
        for key in sorted(function.attributes):
            default = "".join(self._attribute(function.attributes[key]))
            lines += _indented([f"attribute {default}"])
        lines += _indented(self._body(function.graph))
        return [*lines, "}"]

    def _body(self, graph: ir.Graph) -> Iterator[str]:
        yield from _metadata(graph.metadata_props)
        for name in sorted(graph.initializers):
            tensor = graph.initializers[name].const_value
            text = "no data" if tensor is None else self._tensor(tensor)
            yield f"initializer {_name(name)}: {text}"
        for node in graph:
            yield from self._node(node)

    def _node(self, node: ir.Node) -> Iterator[str]:
        outputs = ", ".join(_typed(value) for value in node.outputs)
        inputs = ", ".join("_" if value is None else _name(value.name) for value in node.inputs)
        op = "::".join(_name(part) for part in (node.domain, node.op_type, node.overload) if part)
        attributes, bodies = [], []
        for name in sorted(node.attributes):
            attribute = node.attributes[name]
            if attribute.is_ref() or attribute.type not in _GRAPH_TYPES:
                attributes.append(self._attribute(attribute))
            else:
                bodies.append(attribute)
        inside = f"<{', '.join(attributes)}>" if attributes else ""
        yield f"{outputs} = {op}{inside}({inputs})"
        for attribute in bodies:
            graphs: Sequence[ir.Graph] = (
                (attribute.as_graph(),)
                if attribute.type == ir.AttributeType.GRAPH
                else attribute.as_graphs()
            )
            for graph in graphs:
                yield from _indented(self.graph(f"{_name(attribute.name)} =", graph))

    def _attribute(self, attribute: ir.Attr) -> str:
        name = _name(attribute.name)
        if attribute.is_ref():
            return f"{name}=@{_name(attribute.ref_attr_name)}"
        if attribute.value is None:
            return name
        return f"{name}={self._attribute_value(attribute)}"

    def _attribute_value(self, attribute: ir.Attr) -> str:
        kind, value = attribute.type, attribute.value
        if kind == ir.AttributeType.FLOAT:
            return _float(value)
        if kind == ir.AttributeType.FLOATS:
            return f"[{', '.join(_float(item) for item in value)}]"
        if kind in (ir.AttributeType.INT, ir.AttributeType.INTS):
            return str(value) if isinstance(value, int) else str(list(value))
        if kind in (ir.AttributeType.STRING, ir.AttributeType.STRINGS):
            return json.dumps(_plain_strings(value))
        if kind == ir.AttributeType.TENSOR:
            return self._tensor(value)
        if kind == ir.AttributeType.TENSORS:
            return f"[{', '.join(self._tensor(tensor) for tensor in value)}]"
        if kind == ir.AttributeType.TYPE_PROTO:
            return _type(value.type, value.shape)
        if kind == ir.AttributeType.TYPE_PROTOS:
            return f"[{', '.join(_type(item.type, item.shape) for item in value)}]"
        return repr(value)

    def _tensor(self, tensor: ir.TensorProtocol) -> str:
        if id(tensor) not in self._texts:
            self._texts[id(tensor)] = _tensor_text(tensor)
        return self._texts[id(tensor)]


_GRAPH_TYPES = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)


def _indented(lines: Iterable[str]) -> list[str]:
    return [_INDENT + line for line in lines]


def _plain_strings(value: object) -> object:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return [_plain_strings(item) for item in value] if isinstance(value, tuple) else value


def _tensor_text(tensor: ir.TensorProtocol) -> str:
    """Return dtype and shape, then the items of a tiny tensor, or a digest."""
    head = f"{_dtype(tensor.dtype)}{_shape(tensor.shape.numpy())}"
    if tensor.size <= _SHOWN_ITEMS and tensor.dtype != ir.DataType.STRING:
        array = tensor.numpy().reshape(-1)
        items = [str(item) for item in array.tolist()]
        if array.dtype.kind == "f":
            items = [str(item) for item in array]
        if "nan" not in items:
            return f"{head} {{{', '.join(items)}}}"
    return f"{head} sha256:{tensor_digest(tensor)[:_DIGEST_DIGITS]}"
