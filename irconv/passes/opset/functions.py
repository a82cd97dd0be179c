"""Expanding an operator into the function body that its ONNX schema gives."""

from __future__ import annotations

from typing import Any

import onnx
import onnx_ir as ir

from irconv.graph.scopes import nested_nodes
from irconv.passes.opset.infer import type_proto
from irconv.passes.opset.schemas import default_attribute
from irconv.passes.opset.site import Inexpressible, Site

__all__ = ["expand"]


def expand(site: Site, schema: Any, version: int) -> bool:
    """Replace the node by the body of its schema's function; return whether there is one.

    The body is the one for the highest opset up to ``version``, else for the lowest there is;
    its nodes come in that version and may need converting further.

    Raises:
        Inexpressible: If the body depends on input types that are unknown.
    """
    plain = schema.function_opset_versions
    typed = schema.context_dependent_function_opset_versions
    choices = sorted({*plain, *typed})
    if not choices:
        return False
    chosen = max((choice for choice in choices if choice <= version), default=choices[0])
    body = _body(site, schema, chosen, chosen in plain)
    if any(node.op_type == schema.name and node.domain == "" for node in body.node):
        raise Inexpressible("its function body is made of the operator itself")
    _inline(site, body, schema, chosen)
    return True


def _body(site: Site, schema: Any, version: int, plain: bool) -> onnx.FunctionProto:
    if plain:
        content = schema.get_function_with_opset_version(version)
    else:
        types = [
            onnx.TypeProto() if value is None else type_proto(value) for value in site.node.inputs
        ]
        if any(kind is None for kind in types):
            raise Inexpressible("the dtype of an input is unknown; run infer-shapes first")
        content = schema.get_context_dependent_function_with_opset_version(
            version,
            ir.serde.serialize_node(site.node).SerializeToString(),
            [kind.SerializeToString() for kind in types if kind is not None],
        )
    body = onnx.FunctionProto.FromString(content)
    if not body.node:
        raise Inexpressible("its function body cannot be built from what is known of its inputs")
    return body


def _inline(site: Site, body: onnx.FunctionProto, schema: Any, version: int) -> None:
    names = _computed_outputs(site, body)
    function = ir.serde.deserialize_function(body)
    node, graph = site.node, function.graph
    for made in (inner for outer in graph for inner in (outer, *nested_nodes(outer))):
        _resolve(made, node, schema)
        for value in made.outputs:
            if value.name:
                value.name = site.names.fresh(f"{node.outputs[0].name}_{value.name}")
    _bind_inputs(graph, node)
    outputs = dict(zip(body.output, graph.outputs, strict=True))
    graph.outputs.clear()
    nodes = list(graph)
    graph.remove(nodes)
    site.version = version
    for made in nodes:
        site.adopt(made)
    for name, value in outputs.items():
        if value in node.inputs:
            outputs[name] = site.emit("Identity", [value])
    site.replace([outputs.get(name) for name in names])
    site.drop_unread()


def _computed_outputs(site: Site, body: onnx.FunctionProto) -> list[str]:
    """Keep those outputs of the body that it computes; return the node's, in order.

    A body that depends on the node may leave out what an optional output of the node would be.
    """
    names = list(body.output)[: len(site.node.outputs)]
    computed = {name for node in body.node for name in node.output} | set(body.input)
    for name, value in zip(names, site.node.outputs, strict=True):
        if name not in computed and (value.uses() or value.is_graph_output()):
            raise Inexpressible(f"its function body does not compute {name}")
    del body.output[:]
    body.output.extend(name for name in names if name in computed)
    return names


def _bind_inputs(graph: ir.Graph, node: ir.Node) -> None:
    formal = list(graph.inputs)
    actual = [*node.inputs, *[None] * (len(formal) - len(node.inputs))]
    positions = {value: index for index, value in enumerate(formal)}
    for index, value in enumerate(graph.outputs):
        if value in positions and actual[positions[value]] is not None:
            graph.outputs[index] = actual[positions[value]]  # type: ignore[assignment]
    for value, given in zip(formal, actual, strict=False):
        for user, index in value.uses():
            user.replace_input_with(index, given)


def _resolve(made: ir.Node, caller: ir.Node, schema: Any) -> None:
    """Replace references to attributes of the operator by what the node says, or its default."""
    for name, attribute in list(made.attributes.items()):
        if not attribute.is_ref():
            continue
        wanted = attribute.ref_attr_name or ""
        given = caller.attributes.get(wanted) or default_attribute(schema, wanted)
        del made.attributes[name]
        if given is None:
            continue
        if given.is_ref():
            made.attributes[name] = ir.RefAttr(name, given.ref_attr_name or "", given.type)
        else:
            made.attributes[name] = ir.Attr(name, given.type, given.value)
