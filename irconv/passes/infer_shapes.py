"""Shape inference: types and shapes of all values, from those of the inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx
import onnx_ir as ir

from irconv.graph.dim_names import own_dim_name, set_dim_names_apart
from irconv.graph.expansion import expanded_node_count
from irconv.graph.skeleton import skeleton_proto
from irconv.graph.walk import all_graphs
from irconv.passes.base import Pass, PassContext, PassResult, Refusal

__all__ = ["InferShapes"]

_MAX_EXPANDED_NODES = 2_000_000
_Dim = int | str | None


@dataclass(frozen=True)
class InferShapes(Pass):
    """Infer types and shapes by ONNX's own rules, in bodies too, without touching weights.

    What is inferred wins over what the file states, because files state stale shapes, such as a
    batch of 1 after the input's batch was made dynamic. Where nothing is inferred the stated
    shape stays. Names of symbolic dimensions are kept; the interface never changes, except that
    an output's unknown dimensions may become known. Values are not propagated through the graph
    (ONNX calls that ``data_prop``), since that has no bound on a hostile model.

    STFT that leaves ``onesided`` to its default states it: ONNX infers two sides there, against its
    own specification (STFT, since opset 17).

    Before::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N, 3, 8, 8] x) => (float[N, M] y)
        <float[4, 3, 1, 1] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}> {
            a = Conv(x, w)
            y = Flatten(a)
        }

    After::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N, 3, 8, 8] x) => (float[N, M] y)
        <float[4, 3, 1, 1] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, float[N, 4, 8, 8] a> {
            a = Conv(x, w)
            y = Flatten(a)
        }
    """

    name: ClassVar[str] = "infer-shapes"
    after: ClassVar[tuple[str, ...]] = ("bind-shapes", "convert-opset")

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Infer and merge; linear in nodes, with called functions counted at every call.

        The pass has no sites: it changes no computation, and each type follows from others.
        """
        del context
        size = expanded_node_count(model)
        if size is None or size > _MAX_EXPANDED_NODES:
            count = "endlessly many" if size is None else f"{size:,}"
            return _refused(f"its local functions expand to {count} nodes")
        stated = _state_sides(model)
        skeleton = skeleton_proto(model)
        set_dim_names_apart(skeleton.graph)
        try:
            inferred = onnx.shape_inference.infer_shapes(skeleton)
        except (onnx.shape_inference.InferenceError, RuntimeError, ValueError, TypeError) as error:
            return _refused(f"ONNX cannot infer its shapes: {error}", modified=stated > 0)
        symbols = frozenset(_symbols(model))
        changed = stated + _merge_graph(model.graph, inferred.graph, symbols, top=True)
        return PassResult(changed > 0, {"values": changed})


def _refused(reason: str, *, modified: bool = False) -> PassResult:
    return PassResult(modified, refusals=(Refusal("", "model", reason),))


def _state_sides(model: ir.Model) -> int:
    """State that STFT is one-sided where it does not say; return how many there were."""
    silent = [
        node
        for graph in all_graphs(model)
        for node in graph
        if node.op_type == "STFT"
        and node.domain == ""
        and "onesided" not in node.attributes
        and node.op_identifier() not in model.functions
    ]
    for node in silent:
        node.attributes.add(ir.AttrInt64("onesided", 1))
    return len(silent)


def _symbols(model: ir.Model) -> set[str]:
    """Return the dimension names that the model has; others are made up by the inference."""
    return {
        dim.value
        for graph in all_graphs(model)
        for value in (*graph.inputs, *graph.outputs, *_node_outputs(graph))
        if value.shape is not None
        for dim in value.shape
        if isinstance(dim, ir.SymbolicDim) and dim.value is not None
    }


def _node_outputs(graph: ir.Graph) -> list[ir.Value]:
    return [value for node in graph for value in node.outputs]


def _merge_graph(
    graph: ir.Graph, proto: onnx.GraphProto, symbols: frozenset[str], *, top: bool = False
) -> int:
    """Merge inferred types into ``graph`` and its bodies; return how many values changed."""
    types = {info.name: info.type for info in (*proto.output, *proto.value_info)}
    changed = 0
    for node, node_proto in zip(graph, proto.node, strict=True):
        for value in node.outputs:
            if value.name and value.name in types:
                fixed = top and value.is_graph_output()
                changed += _merge_value(value, types[value.name], symbols, fixed=fixed)
        changed += _merge_bodies(node, node_proto, symbols)
    return changed


def _merge_bodies(node: ir.Node, proto: onnx.NodeProto, symbols: frozenset[str]) -> int:
    changed = 0
    for attribute in proto.attribute:
        ours = node.attributes.get(attribute.name)
        if ours is None or ours.is_ref():
            continue
        if ours.type == ir.AttributeType.GRAPH:
            changed += _merge_graph(ours.as_graph(), attribute.g, symbols)
        elif ours.type == ir.AttributeType.GRAPHS:
            for body, body_proto in zip(ours.as_graphs(), attribute.graphs, strict=True):
                changed += _merge_graph(body, body_proto, symbols)
    return changed


def _merge_value(
    value: ir.Value, proto: onnx.TypeProto, symbols: frozenset[str], *, fixed: bool
) -> bool:
    changed = False
    if not _has_type(value, proto):
        type_ = ir.serde.deserialize_type_proto_for_type(proto)
        if type_ is None or type_.dtype == ir.DataType.UNDEFINED:
            return False
        if value.type != type_ and not fixed:
            value.type, changed = type_, True
    inferred = _proto_dims(proto)
    if inferred is None:
        return changed
    known = tuple(_known(dim, symbols) for dim in inferred)
    stated = _dims(value.shape)
    merged = _merge_dims(stated, known, keep_stated=fixed)
    if merged != stated:
        value.shape, changed = ir.Shape(merged), True
    return changed


def _known(dim: _Dim, symbols: frozenset[str]) -> _Dim:
    """Return a dim that was inferred, with the model's own name; None if that was made up."""
    if not isinstance(dim, str):
        return dim
    name = own_dim_name(dim)
    return name if name in symbols else None


def _has_type(value: ir.Value, proto: onnx.TypeProto) -> bool:
    """Whether a value is a tensor of the dtype that was inferred; what is most often so."""
    dtype = proto.tensor_type.elem_type
    return type(value.type) is ir.TensorType and dtype != 0 and value.type.dtype == dtype


def _proto_dims(proto: onnx.TypeProto) -> tuple[_Dim, ...] | None:
    if not proto.HasField("tensor_type"):
        return _dims(ir.serde.deserialize_type_proto_for_shape(proto))
    if not proto.tensor_type.HasField("shape"):
        return None
    return tuple(
        dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None
        for dim in proto.tensor_type.shape.dim
    )


def _dims(shape: ir.Shape | None) -> tuple[_Dim, ...] | None:
    if shape is None:
        return None
    return tuple(dim if isinstance(dim, int) else dim.value for dim in shape)


def _merge_dims(
    stated: tuple[_Dim, ...] | None, inferred: tuple[_Dim, ...], *, keep_stated: bool
) -> tuple[_Dim, ...]:
    """Merge dim by dim.

    Args:
        stated: What the model says; None where it says nothing.
        inferred: What follows from the inputs.
        keep_stated: Whether a stated size or name stands in any case.
    """
    if stated is None or len(stated) != len(inferred):
        return stated if keep_stated and stated is not None else inferred
    return tuple(
        _merge_dim(old, new, keep_stated=keep_stated)
        for old, new in zip(stated, inferred, strict=True)
    )


def _merge_dim(old: _Dim, new: _Dim, *, keep_stated: bool) -> _Dim:
    if old is None or new is None or keep_stated:
        return new if old is None else old
    both_named = isinstance(old, str) and isinstance(new, str)
    return old if both_named else new
