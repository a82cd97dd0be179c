"""If and Loop.

A subgraph of TFLite sees nothing around it: whatever a body reads from outside becomes an input
of its subgraph, and of the cond subgraph of a loop as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from irconv.graph.constants import is_constant
from irconv.graph.walk import subgraphs_of
from irconv_tflite.emit.graph import Shape, Subgraph, Tensor
from irconv_tflite.emit.refusal import RefusalError
from irconv_tflite.emit.writer import GraphWriter
from irconv_tflite.ops.attributes import given
from irconv_tflite.ops.elementwise import binary
from irconv_tflite.ops.registry import emits

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__: list[str] = []

_MOST_STEPS = 1 << 20


def _captured(bodies: Sequence[ir.Graph]) -> list[ir.Value]:
    """Return what bodies read from outside, without constants, in order of first use."""
    inner: set[ir.Value] = set()
    read: dict[ir.Value, None] = {}
    for graph in _with_nested(bodies):
        inner.update(graph.inputs)
        inner.update(graph.initializers.values())
        for node in graph:
            inner.update(node.outputs)
            read.update(dict.fromkeys(value for value in node.inputs if value is not None))
        read.update(dict.fromkeys(graph.outputs))
    return [value for value in read if value not in inner and not is_constant(value)]


def _with_nested(bodies: Sequence[ir.Graph]) -> Iterator[ir.Graph]:
    stack = list(reversed(bodies))
    while stack:
        graph = stack.pop()
        yield graph
        stack += [body for node in graph for body in subgraphs_of(node)]


def _results(writer: GraphWriter, tensors: Sequence[Tensor]) -> None:
    """Make tensors the outputs of a subgraph, each of its own."""
    taken = set(writer.subgraph.inputs)
    for tensor in tensors:
        own = tensor
        if tensor in taken or tensor.constant is not None:
            own = writer.copy(tensor)
        taken.add(own)
        writer.subgraph.outputs.append(own)


def _body(node: ir.Node, name: str) -> ir.Graph:
    return node.attributes[name].as_graph()


def _lowered(
    graph: GraphWriter, body: ir.Graph, name: str, captured: Sequence[ir.Value]
) -> GraphWriter:
    from irconv_tflite.emit.lower import lower_body

    return lower_body(graph, body, name, captured)


@emits("If")
def if_(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX If: IF."""
    bodies = [_body(node, name) for name in ("then_branch", "else_branch")]
    captured = _captured(bodies)
    operands = [graph.read(value) for value in captured]
    results = [(graph.dtype(value), _shape(graph, value)) for value in node.outputs]
    branches: list[Subgraph] = []
    for body, kind in zip(bodies, ("then", "else"), strict=True):
        writer = _lowered(graph, body, f"{node.name or 'if'}_{kind}", captured)
        tensors = [
            writer.read(value, dtype)
            for value, (dtype, _) in zip(body.outputs, results, strict=True)
        ]
        _results(writer, tensors)
        branches.append(writer.subgraph)
    condition = graph.reshape(graph.read(node.inputs[0], "bool"), [])
    outputs = graph.ops(
        "IF",
        [condition, *operands],
        results,
        thenSubgraphIndex=branches[0],
        elseSubgraphIndex=branches[1],
    )
    for value, tensor in zip(node.outputs, outputs, strict=True):
        graph.write(value, tensor)


def _shape(graph: GraphWriter, value: ir.Value) -> Shape | None:
    return None if value.shape is None else graph.shape(value)


@emits("Loop")
def loop(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Loop: WHILE; scan outputs are written into tensors that hold every step.

    The variables of the loop are those of the body (step, condition, carried values), then what
    the body reads from outside, the most steps, and the scan outputs so far.
    """
    body = _body(node, "body")
    captured = _captured([body])
    carried = len(body.inputs) - 2
    most = _most_steps(graph, given(node, 0))
    first = given(node, 1)
    start = graph.constant(np.array(True)) if first is None else graph.read(first, "bool")
    initial = [
        graph.read(value, graph.dtype(inner))
        for value, inner in zip(node.inputs[2:], body.inputs[2:], strict=True)
    ]
    scanned = body.outputs[1 + carried :]
    growing = [_grows(graph, value, most) for value in scanned]
    stores = [
        _started(graph, graph.dtype(value)) if grows else _room(graph, value, most)
        for value, grows in zip(scanned, growing, strict=True)
    ]
    operands = [
        graph.constant(np.int64(0)),
        graph.reshape(start, []),
        *initial,
        *(graph.read(value) for value in captured),
        most,
        *stores,
    ]
    writer = _lowered(graph, body, f"{node.name or 'loop'}_body", captured)
    _write_body(writer, body, carried, [most, *stores], growing)
    inputs = writer.subgraph.inputs
    condition = _condition(graph, node, inputs, len(inputs) - len(stores) - 1)
    variables = [(tensor.dtype, tensor.shape) for tensor in inputs]
    results = graph.ops(
        "WHILE",
        operands,
        variables,
        condSubgraphIndex=condition,
        bodySubgraphIndex=writer.subgraph,
    )
    for value, tensor in zip(node.outputs[:carried], results[2:], strict=False):
        if value.name:
            graph.write(value, tensor)
    collected = results[len(results) - len(stores) :]
    for value, inner, tensor, grows in zip(
        node.outputs[carried:], scanned, collected, growing, strict=True
    ):
        if value.name:
            graph.write(value, _filled(graph, tensor, results[0], graph.shape(inner), grows))


def _most_steps(graph: GraphWriter, value: ir.Value | None) -> Tensor:
    if value is None:
        return graph.constant(np.int64(2**63 - 1))
    return graph.reshape(graph.read(value, "int64"), [])


def _grows(graph: GraphWriter, value: ir.Value, most: Tensor) -> bool:
    """Return whether a scan output is collected in a flat tensor that grows with each step.

    It is where its sizes are not known, or the number of steps has no bound.
    """
    sizes = graph.shape(value)
    if sizes.count(None) > 1:
        raise RefusalError(
            "DYNAMIC_SHAPE",
            "a loop collects outputs with more than one dynamic dimension",
            "bind the dimensions with --shape",
        )
    steps = 0 if most.constant is None else int(most.constant.load())
    return None in sizes or steps > _MOST_STEPS


def _room(graph: GraphWriter, value: ir.Value, most: Tensor) -> Tensor:
    """Return a tensor of all steps for a scan output of known sizes."""
    known = tuple(dim or 0 for dim in graph.shape(value))
    dtype = graph.dtype(value)
    if most.constant is not None:
        return graph.constant(np.zeros((max(int(most.constant.load()), 0), *known), dtype))
    count = graph.reshape(graph.cast(most, "int32"), [1])
    rest = graph.constant(np.array(known, np.int32))
    shape = graph.op("CONCATENATION", [count, rest], (1 + len(known),), axis=0)
    zero = graph.constant(np.zeros((), dtype))
    return graph.op("FILL", [shape, zero], (None, *known), dtype)


def _started(graph: GraphWriter, dtype: str) -> Tensor:
    """Return a vector of open length with one element, which :func:`_filled` leaves out again.

    LiteRT's WHILE fails where an empty vector becomes one of one element.
    """
    one = graph.constant(np.zeros(1, dtype))
    bounds = [graph.constant(np.array([size], np.int32)) for size in (0, 1)]
    return graph.op("SLICE", [one, *bounds], (None,))


def _write_body(
    writer: GraphWriter,
    body: ir.Graph,
    carried: int,
    extra: Sequence[Tensor],
    growing: Sequence[bool],
) -> None:
    """Add what a step does beside the body: count, and keep the scan outputs."""
    inputs = writer.subgraph.inputs
    kept = inputs[2 + carried :]
    most, *stores = [
        Tensor(tensor.dtype, tensor.shape, writer.names.fresh(tensor.name)) for tensor in extra
    ]
    writer.subgraph.inputs += [most, *stores]
    step = inputs[0]
    following = binary(writer, "ADD", step, writer.constant(np.int64(1)))
    ongoing = writer.reshape(writer.read(body.outputs[0], "bool"), [])
    values = [
        writer.read(value, tensor.dtype)
        for value, tensor in zip(body.outputs[1 : 1 + carried], inputs[2:], strict=False)
    ]
    place = writer.reshape(writer.cast(step, "int32"), [1])
    updated = [
        _appended(writer, store, writer.read(value, store.dtype))
        if grows
        else _updated(writer, store, writer.read(value, store.dtype), place)
        for store, value, grows in zip(stores, body.outputs[1 + carried :], growing, strict=True)
    ]
    _results(writer, [following, ongoing, *values, *kept, most, *updated])


def _appended(writer: GraphWriter, store: Tensor, value: Tensor) -> Tensor:
    """Write one step's value behind those of the steps before."""
    everything = writer.constant(np.array([-1], np.int32))
    flat = writer.op("RESHAPE", [value, everything], (None,))
    return writer.op("CONCATENATION", [store, flat], (None,), axis=0)


def _updated(writer: GraphWriter, store: Tensor, value: Tensor, place: Tensor) -> Tensor:
    """Write one step's value into its place."""
    assert store.shape is not None
    rank = len(store.shape)
    row = writer.reshape(value, [1, *(dim or 0 for dim in store.shape[1:])])
    if rank > 1:
        rest = writer.constant(np.zeros(rank - 1, np.int32))
        place = writer.op("CONCATENATION", [place, rest], (rank,), axis=0)
    return writer.op("DYNAMIC_UPDATE_SLICE", [store, row, place], store.shape)


def _condition(
    graph: GraphWriter, node: ir.Node, variables: Sequence[Tensor], most: int
) -> Subgraph:
    """Return the subgraph that says whether another step follows."""
    writer = GraphWriter(f"{node.name or 'loop'}_cond", graph.names)
    inputs = [
        Tensor(tensor.dtype, tensor.shape, graph.names.fresh(tensor.name)) for tensor in variables
    ]
    writer.subgraph.inputs += inputs
    below = binary(writer, "LESS", inputs[0], inputs[most], "bool")
    writer.subgraph.outputs.append(binary(writer, "LOGICAL_AND", below, inputs[1]))
    graph.subgraphs.append(writer.subgraph)
    return writer.subgraph


def _filled(graph: GraphWriter, store: Tensor, steps: Tensor, row: Shape, grows: bool) -> Tensor:
    """Return the part of a scan output that the loop has written."""
    rank = 1 + len(row)
    sizes = count = graph.reshape(graph.cast(steps, "int32"), [1])
    if rank > 1:
        rest = graph.constant(np.array([-1 if dim is None else dim for dim in row], np.int32))
        sizes = graph.op("CONCATENATION", [count, rest], (rank,), axis=0)
    if grows:
        bounds = [graph.constant(np.array([size], np.int32)) for size in (1, -1)]
        store = graph.op("SLICE", [store, *bounds], (None,))
        return graph.op("RESHAPE", [store, sizes], (None, *row))
    begin = graph.constant(np.zeros(rank, np.int32))
    return graph.op("SLICE", [store, begin, sizes], (None, *row))
