"""Walking the legalized IR and calling the emitter of every node."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import onnx_ir as ir

from irconv.backends.ways_out import binding_way_out, operator_way_out
from irconv.errors import Diagnostic
from irconv.graph.walk import all_graphs, subgraphs_of
from irconv_tflite.emit.graph import Subgraph, Tensor
from irconv_tflite.emit.integer import use_integer_kernels
from irconv_tflite.emit.peephole import improve
from irconv_tflite.emit.refusal import RefusalError
from irconv_tflite.emit.size import MAX_BYTES, data_bytes, too_large
from irconv_tflite.emit.types import check_types
from irconv_tflite.emit.writer import GraphWriter, Names
from irconv_tflite.ops.registry import NHWC, find_emitter

__all__ = ["Lowering", "check_model", "lower", "lower_body", "refusal_of"]


class Lowering:
    """A lowered model.

    Attributes:
        subgraphs: The main graph, then the bodies of control flow.
        names: Names of all tensors.
        diagnostics: Everything that TFLite cannot express; then the subgraphs are of no use.
    """

    def __init__(
        self, subgraphs: list[Subgraph], names: Names, diagnostics: list[Diagnostic]
    ) -> None:
        self.subgraphs = subgraphs
        self.names = names
        self.diagnostics = diagnostics


def lower(model: ir.Model) -> Lowering:
    """Lower a legalized model; a refused node does not stop the others from being asked."""
    writer = GraphWriter("main")
    diagnostics: list[Diagnostic] = []
    initializers = set(model.graph.initializers)
    for value in model.graph.inputs:
        if value.name not in initializers:
            try:
                writer.subgraph.inputs.append(writer.placeholder(value))
            except RefusalError as refusal:
                diagnostics.append(_interface(refusal))
    for node in model.graph:
        try:
            _emit(writer, node)
        except RefusalError as refusal:
            diagnostics.append(_diagnostic(refusal, node, model))
            _stand_in(writer, node)
    _write_outputs(writer, model.graph.outputs, diagnostics)
    subgraphs = [writer.subgraph, *writer.subgraphs]
    if not diagnostics:
        for subgraph in subgraphs:
            improve(subgraph, writer.names)
        use_integer_kernels(writer.subgraph, writer.integers, writer.names)
    return Lowering(subgraphs, writer.names, diagnostics)


def lower_body(
    parent: GraphWriter, body: ir.Graph, name: str, captured: Sequence[ir.Value]
) -> GraphWriter:
    """Lower a body of control flow into a subgraph of its own, except its inputs and outputs.

    TFLite's subgraphs see nothing of the graph around them, so every outer value that the body
    reads must be an input of the subgraph. The inputs of the returned writer's subgraph are one
    tensor for each of ``body.inputs``, then one for each of ``captured``; the caller reads the
    body's results through the writer, fills ``subgraph.outputs`` and may add operators.

    Args:
        parent: The writer of the graph with the control-flow node.
        body: The body.
        name: Name of the subgraph.
        captured: Outer values that are not constants.

    Raises:
        RefusalError: If TFLite cannot express a node of the body.
    """
    writer = GraphWriter(name, parent.names)
    for value in (*body.inputs, *captured):
        writer.subgraph.inputs.append(writer.placeholder(value))
    for node in body:
        try:
            _emit(writer, node)
        except RefusalError as refusal:
            raise RefusalError(
                refusal.code,
                f"in its body, {node.op_type} {node.name!r}: {refusal.reason}",
                refusal.way_out,
            ) from refusal
    parent.subgraphs += [*writer.subgraphs, writer.subgraph]
    return writer


def refusal_of(node: ir.Node) -> RefusalError | None:
    """Return why TFLite does not take a node, asked about by itself; None if it does."""
    try:
        _emit(GraphWriter("trial"), node)
    except RefusalError as refusal:
        return refusal
    return None


def _emit(writer: GraphWriter, node: ir.Node) -> None:
    if node.domain in ("", "ai.onnx") and node.op_type == "Constant":
        return
    emitter = find_emitter(node)
    if emitter is None:
        raise RefusalError(
            "UNSUPPORTED_OP", "no TFLite operator computes it", operator_way_out(node)
        )
    if node.domain in ("", "ai.onnx"):
        check_types(node)
    emitter(writer, node)


def _stand_in(writer: GraphWriter, node: ir.Node) -> None:
    """Bind the results of a refused node, so that its readers can be asked."""
    for value in node.outputs:
        if not writer.is_bound(value):
            try:
                writer.placeholder(value)
            except RefusalError:
                writer.bind(value, Tensor("float32", None, writer.names.fresh(value.name or "")))


def _write_outputs(
    writer: GraphWriter, values: Sequence[ir.Value], diagnostics: list[Diagnostic]
) -> None:
    taken: set[Tensor] = set(writer.subgraph.inputs)
    for value in values:
        try:
            tensor = writer.read(value)
        except RefusalError as refusal:
            diagnostics.append(_interface(refusal))
            continue
        if tensor in taken or tensor.constant is not None:
            tensor = writer.copy(tensor)
        taken.add(tensor)
        tensor.name = writer.names.fresh(value.name or "output")
        if tensor.shape is None and value.shape is not None:
            tensor.shape = writer.shape(value)
        writer.subgraph.outputs.append(tensor)


def _diagnostic(refusal: RefusalError, node: ir.Node, model: ir.Model) -> Diagnostic:
    op = f"{node.domain}::{node.op_type}" if node.domain else node.op_type
    way_out = refusal.way_out
    if refusal.code in _OF_UNKNOWN_SIZES:
        way_out = binding_way_out(model, node.inputs) or way_out
    return Diagnostic(refusal.code, refusal.reason, node.name or "", op, way_out)


def _interface(refusal: RefusalError) -> Diagnostic:
    return Diagnostic(refusal.code, refusal.reason, way_out=refusal.way_out)


def check_model(model: ir.Model, *, half: bool = False) -> list[Diagnostic]:
    """Return everything in a legalized model that TFLite cannot express.

    Nodes of bodies and of local functions are listed themselves; what holds or calls them is not.

    Args:
        model: The legalized model.
        half: Whether float32 constants will be stored in 16 bits.
    """
    inner = list(_inner_diagnostics(model))
    lowered = lower(model)
    holders = {
        node.name or ""
        for node in model.graph
        if any(True for _ in subgraphs_of(node)) or _is_call(node, model)
    }
    diagnostics = [
        entry for entry in lowered.diagnostics if not inner or entry.node not in holders
    ] + inner
    if diagnostics:
        return diagnostics
    size = data_bytes(lowered.subgraphs, half=half)
    return [] if size <= MAX_BYTES else [too_large(size)]


def _inner_diagnostics(model: ir.Model) -> Iterator[Diagnostic]:
    """Ask about the nodes of bodies and local functions, innermost alone."""
    for graph in all_graphs(model):
        if graph is model.graph or graph in _channel_last_bodies(model):
            continue
        for node in graph:
            holds = any(True for _ in subgraphs_of(node))
            if holds or _is_call(node, model):
                continue
            refusal = refusal_of(node)
            if refusal is not None and refusal.code in _KNOWN_BY_ITSELF:
                yield _diagnostic(refusal, node, model)


def _is_call(node: ir.Node, model: ir.Model) -> bool:
    return node.domain != NHWC and node.op_identifier() in model.functions


def _channel_last_bodies(model: ir.Model) -> list[ir.Graph]:
    return [function.graph for function in model.functions.values() if function.domain == NHWC]


_OF_UNKNOWN_SIZES = frozenset({"DYNAMIC_SHAPE", "UNKNOWN_RANK"})
"""Refusals that go away when the sizes of the inputs are bound."""
_KNOWN_BY_ITSELF = frozenset({"UNSUPPORTED_OP", "INVALID_MODEL", "UNSUPPORTED_DTYPE", "RANK_LIMIT"})
"""Refusals that hold whatever a node's operands turn out to be."""
