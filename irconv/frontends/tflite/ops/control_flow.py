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
    from irconv.frontends.tflite.model import Tensor
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
        tensor = site.output(index).tensor
        value.type = _type_of(tensor)
        value.shape = None if tensor.shape is None else ir.Shape(tensor.shape)
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
    shapes = _lasting_shapes(site, body)
    carried = [
        _carried(pool.name("carried"), edge, shape)
        for edge, shape in zip(site.inputs, shapes, strict=True)
    ]
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
    for index, (value, start) in enumerate(zip(values, carried, strict=True)):
        value.type, value.shape = start.type, start.shape
        site.output(index).set_raw(value)


def _truth(site: Site, value: ir.Value) -> ir.Value:
    return site.nodes.reshape(value, [])


def _lasting_shapes(site: Site, body: int) -> list[ir.Shape | None]:
    """Return the shapes of what a loop carries; sizes that differ in its body are open."""
    subgraph = site.scope.conversion.file.model.subgraphs[body]
    inner = [
        [subgraph.tensors[index] for index in numbers]
        for numbers in (subgraph.inputs, subgraph.outputs)
    ]
    if any(len(tensors) != len(site.inputs) for tensors in inner):
        raise RefusalError(f"it carries {len(site.inputs)} tensors, and its body others")
    shapes: list[ir.Shape | None] = []
    for edge, *tensors in zip(site.inputs, *inner, strict=True):
        found = [edge.tensor.shape, *(tensor.shape for tensor in tensors)]
        ranks = {None if shape is None else len(shape) for shape in found}
        if len(ranks) > 1 or None in ranks:
            shapes.append(None)
            continue
        columns = zip(*(shape or () for shape in found), strict=True)
        shapes.append(ir.Shape([sizes[0] if len(set(sizes)) == 1 else None for sizes in columns]))
    return shapes


def _carried(name: str, edge: Edge, shape: ir.Shape | None) -> ir.Value:
    return ir.Value(name=name, type=_type_of(edge.tensor), shape=shape)


def _type_of(tensor: Tensor) -> ir.TensorType:
    dtype = ONNX_DTYPES.get(tensor.dtype)
    if dtype is None:
        raise RefusalError(f"it carries {tensor.dtype}")
    return ir.TensorType(dtype)


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
