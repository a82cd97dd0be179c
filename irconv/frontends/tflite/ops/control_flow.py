"""Operators that run other graphs of the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import onnx_ir as ir

from irconv.frontends.tflite.nodes import ONNX_DTYPES
from irconv.frontends.tflite.ops.registry import converts
from irconv.frontends.tflite.refusal import RefusalError
from irconv.frontends.tflite.scope import Scope

if TYPE_CHECKING:
    from irconv.frontends.tflite.edges import Edge
    from irconv.frontends.tflite.site import Site

__all__: list[str] = []


@converts("IF")
def if_(site: Site) -> None:
    """IF: If, whose bodies see the operands from outside."""
    then, otherwise = site.operator.bodies
    operands = [site.input(index).raw() for index in range(1, len(site.operator.inputs))]
    bodies = [_body(site, number, operands) for number in (then, otherwise)]
    values = site.nodes.ops(
        "If",
        len(site.operator.outputs),
        _truth(site, site.input(0).raw()),
        then_branch=bodies[0],
        else_branch=bodies[1],
    )
    for index, value in enumerate(values):
        site.output(index).set_raw(value)


@converts("CALL")
def call(site: Site) -> None:
    """CALL: the operators of the graph in place."""
    _inline(site, site.operator.bodies[0], [edge.raw() for edge in site.inputs], site.outputs)


@converts("STABLEHLO_COMPOSITE")
def composite(site: Site) -> None:
    """STABLEHLO_COMPOSITE: the operators that it stands for."""
    _inline(site, site.operator.bodies[0], [edge.raw() for edge in site.inputs], site.outputs)


@converts("WHILE")
def while_(site: Site) -> None:
    """WHILE: Loop; the condition is computed before it, and at the end of its body."""
    condition, body = site.operator.bodies
    nodes = site.nodes
    starts = [site.input(index).raw() for index in range(len(site.operator.inputs))]
    test = _truth(site, _run(site, condition, starts, nodes_of=site)[0])
    pool = nodes.pool
    carried = [_carried(pool.name("carried"), edge) for edge in site.inputs]
    scope = _scope(site, body, carried)
    results = scope.run()
    inner = Scope(site.scope.conversion, condition, _checked(site, condition, results), scope.nodes)
    again = scope.nodes.reshape(inner.run()[0], [])
    counter = ir.Value(
        name=pool.name("iteration"), type=ir.TensorType(ir.DataType.INT64), shape=ir.Shape([])
    )
    going = ir.Value(
        name=pool.name("going"), type=ir.TensorType(ir.DataType.BOOL), shape=ir.Shape([])
    )
    graph = ir.Graph(
        [counter, going, *carried],
        _own(scope, [again, *results]),
        nodes=scope.nodes.nodes,
        name=pool.name("loop"),
    )
    values = nodes.ops("Loop", len(results), None, test, *starts, body=graph)
    for index, value in enumerate(values):
        site.output(index).set_raw(value)


def _truth(site: Site, value: ir.Value) -> ir.Value:
    return site.nodes.reshape(value, [])


def _carried(name: str, edge: Edge) -> ir.Value:
    """Return a value that a loop carries; its sizes may change from turn to turn."""
    dtype = ONNX_DTYPES.get(edge.tensor.dtype)
    if dtype is None:
        raise RefusalError(f"it carries {edge.tensor.dtype}")
    shape = None if edge.tensor.shape is None else ir.Shape([None] * edge.rank)
    return ir.Value(name=name, type=ir.TensorType(dtype), shape=shape)


def _body(site: Site, number: int, operands: Sequence[ir.Value]) -> ir.Graph:
    scope = _scope(site, number, operands)
    results = scope.run()
    if len(results) != len(site.operator.outputs):
        raise RefusalError(f"it has {len(site.operator.outputs)} outputs, a body {len(results)}")
    return ir.Graph(
        [], _own(scope, results), nodes=scope.nodes.nodes, name=site.nodes.pool.name("branch")
    )


def _scope(site: Site, number: int, operands: Sequence[ir.Value]) -> Scope:
    return Scope(site.scope.conversion, number, _checked(site, number, operands))


def _run(
    site: Site, number: int, operands: Sequence[ir.Value], *, nodes_of: Site
) -> list[ir.Value]:
    scope = Scope(site.scope.conversion, number, _checked(site, number, operands), nodes_of.nodes)
    results = scope.run()
    if not results:
        raise RefusalError("a graph that it runs has no output")
    return results


def _inline(site: Site, number: int, operands: Sequence[ir.Value], outputs: Sequence[Edge]) -> None:
    results = _run(site, number, operands, nodes_of=site)
    if len(results) != len(outputs):
        raise RefusalError(f"it has {len(outputs)} outputs, and its graph {len(results)}")
    for edge, value in zip(outputs, results, strict=True):
        edge.set_raw(value)


def _checked(site: Site, number: int, operands: Sequence[ir.Value]) -> Sequence[ir.Value]:
    wanted = len(site.scope.conversion.file.model.subgraphs[number].inputs)
    if wanted != len(operands):
        raise RefusalError(f"a graph that it runs takes {wanted} inputs, not {len(operands)}")
    return operands


def _own(scope: Scope, results: Sequence[ir.Value]) -> list[ir.Value]:
    """Return results as values that the body computes, each once."""
    computed = {output for node in scope.nodes.nodes for output in node.outputs}
    own: list[ir.Value] = []
    for value in results:
        if value not in computed or value in own:
            value = scope.nodes.op("Identity", value)
        own.append(value)
    return own
