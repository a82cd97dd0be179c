"""Infinite results of ReduceMax and ReduceMin, for which OpenVINO gives the largest finite number.

OpenVINO's CPU device begins a maximum with the lowest finite number in place of minus infinity,
and a minimum with the largest one, on the processors for which it generates code. A maximum over
minus infinities only then never equals minus infinity, which is how a row of attention is found
whose every position is masked.

    max(x) = -inf  if min(x == -inf) = 1  else  max(x)
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from irconv.graph.names import NameAllocator
from irconv.graph.scopes import scopes
from irconv.passes.base import Pass, PassContext, PassResult

__all__ = ["RestoreInfinities", "loses_infinity"]

_OLDEST_OPSET = 11
"""The first with Equal of floating-point numbers."""
_FINITE = frozenset(
    {"Cos", "DequantizeLinear", "Erf", "HardSigmoid", "Sigmoid", "Sin", "Softmax", "Tanh"}
)
_STARTS = {"ReduceMax": -np.inf, "ReduceMin": np.inf}
_NEVER: dict[str, frozenset[str]] = {
    "ReduceMax": _FINITE | {"Abs", "Elu", "Exp", "Relu", "Softplus", "Sqrt"},
    "ReduceMin": _FINITE,
}
"""Operators that never give what a maximum or minimum over nothing is."""


@dataclass(frozen=True)
class RestoreInfinities(Pass):
    """Ask on the side whether all that ReduceMax or ReduceMin reads is infinite.

    Integers stay, and what an operator computes that gives no such infinity.

    Before::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N, 4] x) => (float[N, 1] y) <int64[1] axes = {-1}> {
            y = ReduceMax(x, axes)
        }

    After::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N, 4] x) => (float[N, 1] y)
        <int64[1] axes = {-1}, float[N, 1] y_finite, float y_infinity, bool[N, 4] y_equal,
         float[N, 4] y_cast, float[N, 1] y_all, bool[N, 1] y_infinite> {
            y_finite = ReduceMax(x, axes)
            y_infinity = Constant <value = float {-inf}> ()
            y_equal = Equal(x, y_infinity)
            y_cast = Cast <to = 1> (y_equal)
            y_all = ReduceMin(y_cast, axes)
            y_infinite = Cast <to = 9> (y_all)
            y = Where(y_infinite, y_infinity, y_finite)
        }
    """

    name: ClassVar[str] = "restore-infinities"
    after: ClassVar[tuple[str, ...]] = ("legalize-openvino",)

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Look at every ReduceMax and ReduceMin; linear in nodes."""
        del context
        names = NameAllocator(model)
        restored: Counter[str] = Counter()
        for scope in scopes(model):
            if scope.opsets.get("", 1) < _OLDEST_OPSET:
                continue
            for node in list(scope.nodes()):
                if loses_infinity(node):
                    _restore(node, names)
                    restored[node.op_type] += 1
        return PassResult(bool(restored), {"restored": dict(sorted(restored.items()))})


def loses_infinity(node: ir.Node) -> bool:
    """Return whether a node is a maximum or minimum that OpenVINO may give as a finite number."""
    if node.op_type not in _STARTS or node.domain not in ("", "ai.onnx"):
        return False
    data = node.inputs[0]
    if data is None or data.dtype is None or not data.dtype.is_floating_point():
        return False
    return _may_be_infinite(data, _NEVER[node.op_type]) and not _is_restored(node)


def _may_be_infinite(data: ir.Value, never: frozenset[str]) -> bool:
    producer = data.producer()
    if producer is None or producer.domain not in ("", "ai.onnx"):
        return True
    if producer.op_type == "Cast":
        source = producer.inputs[0]
        kind = None if source is None else source.dtype
        return kind is None or kind.is_floating_point()
    return producer.op_type not in never


def _is_restored(node: ir.Node) -> bool:
    """Return whether the node's only reader is the Where that this pass puts behind it."""
    readers = [user for user, _ in node.outputs[0].uses()]
    if len(readers) != 1 or readers[0].op_type != "Where" or node.outputs[0].is_graph_output():
        return False
    condition = readers[0].inputs[0]
    for op_type in ("Cast", "ReduceMin", "Cast", "Equal"):
        producer = None if condition is None else condition.producer()
        if producer is None or producer.op_type != op_type:
            return False
        condition = producer.inputs[0]
    return condition is node.inputs[0]


def _restore(node: ir.Node, names: NameAllocator) -> None:
    data, result, graph = node.inputs[0], node.outputs[0], node.graph
    assert data is not None
    assert data.dtype is not None
    assert isinstance(graph, ir.Graph)
    name = result.name or node.op_type
    infinity = np.array(_STARTS[node.op_type]).astype(data.dtype.numpy())

    def value(part: str, dtype: ir.DataType, like: ir.Value | None) -> ir.Value:
        shape = ir.Shape([]) if like is None else None if like.shape is None else like.shape.copy()
        return ir.Value(name=names.fresh(f"{name}_{part}"), type=ir.TensorType(dtype), shape=shape)

    constant = value("infinity", data.dtype, None)
    equal = value("equal", ir.DataType.BOOL, data)
    cast = value("cast", ir.DataType.FLOAT, data)
    every = value("all", ir.DataType.FLOAT, result)
    infinite = value("infinite", ir.DataType.BOOL, result)
    restored = ir.Value(name=result.name, type=result.type, shape=result.shape)
    result.name = names.fresh(f"{name}_finite")
    result.replace_all_uses_with(restored, replace_graph_outputs=True)

    def made(op_type: str, inputs: list[ir.Value | None], output: ir.Value, **to: int) -> ir.Node:
        attributes = ir.convenience.convert_attributes(to)
        own = names.fresh(f"{name}_restored") if output is restored else output.name
        return ir.Node("", op_type, inputs, attributes, outputs=[output], name=own)

    minimum = made("ReduceMin", [cast, *node.inputs[1:]], every)
    minimum.attributes.update(node.attributes)
    tensor = ir.Tensor(infinity, name=constant.name)
    graph.insert_after(
        node,
        [
            ir.Node("", "Constant", [], [ir.AttrTensor("value", tensor)], outputs=[constant]),
            made("Equal", [data, constant], equal),
            made("Cast", [equal], cast, to=ir.DataType.FLOAT),
            minimum,
            made("Cast", [every], infinite, to=ir.DataType.BOOL),
            made("Where", [infinite, constant, result], restored),
        ],
    )
