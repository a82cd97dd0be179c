"""Replacing operators by the function bodies that the ONNX standard defines for them.

Source: ONNX IR specification, section "Functions"; the bodies come with the operator schemas
of the installed ``onnx`` package. A body is taken only where every operator in it means in the
model's opset what it meant in the opset that the body was written for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import onnx
import onnx_ir as ir
from onnx_ir.passes.common import InlinePass

from irconv.graph.names import NameAllocator
from irconv.graph.scopes import scopes

__all__ = ["NoBodyError", "expand_nodes", "function_body"]

_DOMAIN = "irconv.function-body"
_STANDARD = ("", "ai.onnx.ml", "ai.onnx.preview")


class NoBodyError(Exception):
    """The standard has no body for a node, or none that fits it."""


def expand_nodes(
    model: ir.Model,
    wanted: Callable[[ir.Node], bool],
    permit: Callable[[ir.Node], bool] = lambda node: True,
) -> tuple[list[str], list[tuple[ir.Node, str]]]:
    """Replace each wanted node by its function body, in place; nothing else changes.

    Nodes inside a body are not expanded again. Many bodies depend on the dtypes of the node's
    inputs, so shape inference should have run before.

    Args:
        model: The model.
        wanted: Whether to expand a node.
        permit: Asked last before a node is expanded, whether it may be.

    Returns:
        Operator types of the expanded nodes; and the wanted nodes that stayed, with the reason.
    """
    names = NameAllocator(model)
    bodies: dict[ir.OperatorIdentifier, ir.Function] = {}
    expanded: list[str] = []
    refused: list[tuple[ir.Node, str]] = []
    for scope in scopes(model):
        for node in list(scope.nodes()):
            if node.op_identifier() in model.functions or not wanted(node):
                continue
            try:
                body = function_body(node, scope.opsets)
            except NoBodyError as error:
                refused.append((node, str(error)))
                continue
            if not permit(node):
                continue
            expanded.append(node.op_type)
            _rename(body, node, names)
            _prepare_call(node, scope.opsets[node.domain], body, names)
            identifier = (_DOMAIN, node.op_type, str(len(bodies)))
            bodies[identifier] = _as_function(body, len(node.outputs), identifier)
            node.domain, _, node.overload = identifier
    if bodies:
        model.functions.update(bodies)
        InlinePass(criteria=lambda function: function.domain == _DOMAIN)(model)
        for identifier in bodies:
            model.functions.pop(identifier, None)
    return expanded, refused


def function_body(node: ir.Node, opsets: Mapping[str, int]) -> onnx.FunctionProto:
    """Return the function body of a node of the ONNX standard.

    Args:
        node: The node; the dtypes of its inputs should be known.
        opsets: Opset version of each imported domain.

    Raises:
        NoBodyError: If there is none, or none that fits the node.
    """
    version = opsets.get(node.domain)
    if node.domain not in _STANDARD or version is None:
        raise NoBodyError("it is no operator of the ONNX standard")
    try:
        schema = onnx.defs.get_schema(node.op_type, version, node.domain)
    except onnx.defs.SchemaError as error:
        raise NoBodyError(f"opset {version} has no such operator") from error
    body = _pick_body(schema, node, opsets)
    if node.op_type == "Celu":
        _make_constants_scalars(body)
    if len(node.inputs) > len(body.input) or len(node.outputs) > len(body.output):
        raise NoBodyError("its function body does not take all its inputs or give all its outputs")
    _check_meaning(body, opsets)
    return body


def _pick_body(schema: Any, node: ir.Node, opsets: Mapping[str, int]) -> onnx.FunctionProto:
    base = opsets.get("", 1)
    version = base if node.domain == "" else opsets[node.domain]
    types = [_type_of(value) for value in node.inputs]
    if schema.has_function:
        fitting = [known for known in schema.function_opset_versions if known <= base]
        data = schema.get_function_with_opset_version(max(fitting)) if fitting else b""
    elif schema.has_context_dependent_function:
        known_versions = schema.context_dependent_function_opset_versions
        fitting = [known for known in known_versions if known <= max(version, base)]
        data = b""
        if fitting:
            proto = ir.serde.serialize_node(node).SerializeToString()
            data = schema.get_context_dependent_function_with_opset_version(
                max(fitting), proto, types
            )
    else:
        raise NoBodyError("the ONNX standard defines no function body for it")
    if not data:
        raise NoBodyError(f"its function body does not fit opset {base}, or its dtypes are unknown")
    return onnx.FunctionProto.FromString(data)


def _make_constants_scalars(body: onnx.FunctionProto) -> None:
    """Mend Celu's body, whose constant is a vector of one item, so that a scalar gets a rank."""
    for node in body.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                del attribute.t.dims[:]


def _type_of(value: ir.Value | None) -> bytes:
    if value is None or value.type is None:
        return b""
    data: bytes = ir.serde.serialize_value(value).type.SerializeToString()
    return data


def _check_meaning(body: onnx.FunctionProto, opsets: Mapping[str, int]) -> None:
    """Refuse a body with an operator that changed between its opset and the model's."""
    written_for = {entry.domain: entry.version for entry in body.opset_import}
    for node in _proto_nodes(body.node):
        then, now = written_for.get(node.domain), opsets.get(node.domain)
        if then is None or now is None or then == now:
            continue
        versions = [
            onnx.defs.get_schema(node.op_type, version, node.domain).since_version
            for version in (then, now)
        ]
        if versions[0] != versions[1] and not _keeps_meaning(node.op_type, then, now):
            raise NoBodyError(
                f"its function body was written for opset {then}, and {node.op_type} has changed "
                f"since"
            )


def _proto_nodes(nodes: Any) -> Iterator[onnx.NodeProto]:
    for node in nodes:
        yield node
        for attribute in node.attribute:
            yield from _proto_nodes(attribute.g.node)
            for graph in attribute.graphs:
                yield from _proto_nodes(graph.node)


_SAME_SINCE: Mapping[int, frozenset[str]] = {
    9: frozenset(
        {
            "Abs", "Add", "And", "Cast", "Ceil", "Constant", "ConstantOfShape", "Cos", "Div",
            "Elu", "Equal", "Erf", "Exp", "Expand", "Floor", "Greater", "Identity", "IsNaN",
            "Less", "Log", "MatMul", "Max", "Min", "Mul", "Neg", "Not", "Or", "Pow", "Reciprocal",
            "Relu", "Shape", "Sigmoid", "Sign", "Sin", "Size", "Sqrt", "Sub", "Sum", "Tanh",
            "Transpose", "Where",
        }
    ),
    13: frozenset(
        {
            "CastLike", "Clip", "Concat", "Flatten", "Gather", "GreaterOrEqual", "If",
            "LessOrEqual", "Loop", "Mod", "NegativeLogLikelihoodLoss", "Range", "Reshape",
            "Round", "Scan", "Slice", "Softmax", "Squeeze", "Tile", "Unsqueeze",
        }
    ),
    18: frozenset(
        {
            "Pad", "ReduceL1", "ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum",
            "Split",
        }
    ),
}  # fmt: skip
"""Operators of which versions after the given opset, up to 28, only take more dtypes, or further
attributes whose defaults keep the meaning."""


def _keeps_meaning(op_type: str, then: int, now: int) -> bool:
    return any(
        op_type in operators and min(then, now) >= since for since, operators in _SAME_SINCE.items()
    )


def _rename(body: onnx.FunctionProto, node: ir.Node, names: NameAllocator) -> None:
    """Give every value and node of the body a name that is free in the model."""
    stem = node.name or node.op_type
    mapping = {"": ""}
    for name in (*body.input, *body.output):
        mapping[name] = names.fresh(f"{stem}/{name}")
    _rename_nodes(body.node, stem, mapping, names)
    for field in (body.input, body.output):
        renamed = [mapping[name] for name in field]
        del field[:]
        field.extend(renamed)


def _rename_nodes(nodes: Any, stem: str, mapping: dict[str, str], names: NameAllocator) -> None:
    for node in nodes:
        node.name = f"{stem}/{node.name or node.op_type}"
        renamed = [mapping[name] for name in node.input]
        del node.input[:]
        node.input.extend(renamed)
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                _rename_graph(graph, stem, mapping, names)
        for name in node.output:
            if name not in mapping:
                mapping[name] = names.fresh(f"{stem}/{name}")
        renamed = [mapping[name] for name in node.output]
        del node.output[:]
        node.output.extend(renamed)


def _rename_graph(
    graph: onnx.GraphProto, stem: str, outer: dict[str, str], names: NameAllocator
) -> None:
    mapping = dict(outer)
    for value in (*graph.input, *graph.initializer):
        mapping[value.name] = names.fresh(f"{stem}/{value.name}")
        value.name = mapping[value.name]
    _rename_nodes(graph.node, stem, mapping, names)
    for value in graph.output:
        value.name = mapping[value.name]


def _prepare_call(
    node: ir.Node, version: int, body: onnx.FunctionProto, names: NameAllocator
) -> None:
    """Make the node and its body fit each other like a call and a function.

    Defaults of left-out attributes are written into the node, for the body to refer to; bodies
    that use a graph attribute hold its nodes already. An output that the node leaves out may be
    missing in the body, and gets a stand-in that nothing reads.
    """
    schema = onnx.defs.get_schema(node.op_type, version, node.domain)
    for name, attribute in schema.attributes.items():
        if name not in node.attributes and attribute.default_value.name:
            node.attributes[name] = ir.serde.deserialize_attribute(attribute.default_value)
    for name, attribute in list(node.attributes.items()):
        if attribute.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS):
            del node.attributes[name]
    computed = {name for entry in body.node for name in entry.output}
    for output, name in zip(node.outputs, body.output, strict=False):
        if not output.name:
            output.name = names.fresh(f"{node.name or node.op_type}/unused")
        if name not in computed:
            first = next(known for known in body.output if known in computed)
            body.node.append(onnx.helper.make_node("Identity", [first], [name]))


def _as_function(
    body: onnx.FunctionProto, outputs: int, identifier: ir.OperatorIdentifier
) -> ir.Function:
    body.domain, body.name, body.overload = identifier
    del body.opset_import[:]
    del body.output[outputs:]
    return ir.serde.deserialize_function(body)
