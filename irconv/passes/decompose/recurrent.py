"""Recurrent operators as steps of matrix products and activations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from irconv.passes.base import PassContext, PassResult
from irconv.passes.decompose.activations import Activation, read_activations
from irconv.passes.decompose.base import Decomposition, Rule, replace_nodes
from irconv.passes.decompose.block import Keep
from irconv.passes.decompose.recurrent_cells import CELLS, Cell, Weights
from irconv.passes.decompose.recurrent_sequence import Run, run_sequence
from irconv.passes.decompose.site import Site
from irconv.passes.sites import Sites

__all__ = ["DecomposeRecurrent"]

_DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}


def _recurrent(site: Site, unroll: int) -> Sequence[ir.Value]:
    """ONNX RNN, GRU and LSTM (since 7, as of 14), with every attribute."""
    kind = CELLS[site.node.op_type]
    batch_first = bool(site.attribute("layout", 0))
    data = site.input(0)
    if batch_first:
        data = site.transpose(data, [1, 0, 2])
    reverses = _DIRECTIONS[site.attribute("direction", "forward")]
    functions = read_activations(site, kind.activations, len(reverses))
    lengths = site.maybe(4)
    if lengths is not None:
        lengths = site.op("Unsqueeze", site.cast(lengths, ir.DataType.INT64), [1])
    every: list[ir.Value] = []
    last: list[list[ir.Value]] = [[] for _ in range(kind.states)]
    for number, reverse in enumerate(reverses):
        mine = functions[number * len(kind.activations) :][: len(kind.activations)]
        run = _direction(site, data, number, mine, lengths, reverse, batch_first)
        outputs, state = run_sequence(site, run, unroll)
        every.append(site.op("Unsqueeze", outputs, [1]))
        for index, value in enumerate(state):
            last[index].append(site.op("Unsqueeze", value, [0]))
    results = [_joined(site, every, 1), *(_joined(site, parts, 0) for parts in last)]
    if batch_first:
        orders = ([2, 0, 1, 3], *[[1, 0, 2]] * kind.states)
        results = [
            site.transpose(value, order) for value, order in zip(results, orders, strict=True)
        ]
    return results


def _joined(site: Site, parts: Sequence[ir.Value], axis: int) -> ir.Value:
    return parts[0] if len(parts) == 1 else site.op("Concat", *parts, axis=axis)


def _direction(
    site: Site,
    data: ir.Value,
    number: int,
    activations: Sequence[Activation],
    lengths: ir.Value | None,
    reverse: bool,
    batch_first: bool,
) -> Run:
    kind = CELLS[site.node.op_type]
    index = site.scalar(number, ir.DataType.INT64)

    def own(position: int, axis: int = 0) -> ir.Value | None:
        value = site.maybe(position)
        return None if value is None else site.op("Gather", value, index, axis=axis)

    weight, recurrence, bias = own(1), own(2), own(3)
    if weight is None or recurrence is None:
        raise Keep("it lacks its weights")
    hidden = site.dims(recurrence)[-1] or site.attribute("hidden_size", 0)
    if not hidden:
        raise Keep("its hidden size is unknown")
    wide = kind.gates * hidden
    gates = site.op("MatMul", data, site.transpose(weight, [1, 0]))
    inner: ir.Value | None = None
    if bias is not None:
        outer, inner = site.ops("Split", bias, [wide, wide], outputs=2, axis=0)
        gates = site.op("Add", gates, outer)
    state = []
    for position in range(kind.states):
        given = own(5 + position, axis=1 if batch_first else 0)
        if given is None:
            zero = site.scalar(0, site.dtype(data))
            given = site.expand(zero, [site.size(data, 1), hidden])
        state.append(given)
    peepholes = own(7) if site.node.op_type == "LSTM" else None
    weights = Weights(
        site.transpose(recurrence, [1, 0]),
        inner,
        [] if peepholes is None else site.ops("Split", peepholes, [hidden] * 3, outputs=3, axis=0),
    )
    flag = bool(site.attribute(kind.flag, 0)) if kind.flag else False
    clip = site.attribute("clip", 0.0)
    cell = Cell(site.node.op_type, hidden, weights, activations, clip, flag)
    return Run(cell, gates, state, lengths, reverse)


@dataclass(frozen=True)
class DecomposeRecurrent(Decomposition):
    """Replace RNN, GRU and LSTM by MatMul and activations, step by step or in a Loop.

    Attributes:
        unroll: The longest static sequence whose steps become nodes of their own.

    Before::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[1, 2, 3] x, float[1, 4, 3] w, float[1, 4, 4] r) => (float[1, 1, 2, 4] y) {
            y = RNN <hidden_size = 4> (x, w, r)
        }

    After::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[1, 2, 3] x, float[1, 4, 3] w, float[1, 4, 4] r) => (float[1, 1, 2, 4] y)
        <int64 y_Constant, float[4, 3] y_Gather, float[4, 4] y_Gather_1, float[3, 4]
         y_Transpose, float[1, 2, 4] y_MatMul, float y_Constant_1, int64[2] y_Constant_2,
         float[2, 4] y_Expand, float[4, 4] y_Transpose_1, int64[1] y_Constant_3, float[2, 4]
         y_Squeeze, float[2, 4] y_MatMul_1, float[2, 4] y_Add, float[2, 4] y_Tanh, float[1, 2,
         4] y_Unsqueeze, int64[1] y_Constant_4> {
            y_Constant = Constant <value = int64 {0}> ()
            y_Gather = Gather <axis = 0> (w, y_Constant)
            y_Gather_1 = Gather <axis = 0> (r, y_Constant)
            y_Transpose = Transpose <perm = [1, 0]> (y_Gather)
            y_MatMul = MatMul(x, y_Transpose)
            y_Constant_1 = Constant <value = float {0}> ()
            y_Constant_2 = Constant <value = int64[2] {2, 4}> ()
            y_Expand = Expand(y_Constant_1, y_Constant_2)
            y_Transpose_1 = Transpose <perm = [1, 0]> (y_Gather_1)
            y_Constant_3 = Constant <value = int64[1] {0}> ()
            y_Squeeze = Squeeze(y_MatMul, y_Constant_3)
            y_MatMul_1 = MatMul(y_Expand, y_Transpose_1)
            y_Add = Add(y_Squeeze, y_MatMul_1)
            y_Tanh = Tanh(y_Add)
            y_Unsqueeze = Unsqueeze(y_Tanh, y_Constant_3)
            y_Constant_4 = Constant <value = int64[1] {1}> ()
            y = Unsqueeze(y_Unsqueeze, y_Constant_4)
        }
    """

    name: ClassVar[str] = "decompose-recurrent"
    rules: ClassVar[Mapping[str, Rule]] = {op: lambda site: _recurrent(site, 0) for op in CELLS}

    unroll: int = 16

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Replace the nodes; linear in nodes, old and new."""
        ops = frozenset(self.ops or CELLS)
        rules: dict[str, Rule] = {op: lambda site: _recurrent(site, self.unroll) for op in ops}
        return replace_nodes(model, rules, Sites(context))
