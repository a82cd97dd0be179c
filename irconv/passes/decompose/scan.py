"""Scan as Loop: each step gathers the slices that a Scan would hand to its body."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from irconv.passes.decompose.base import Decomposition, Rule
from irconv.passes.decompose.block import Keep
from irconv.passes.decompose.bodies import add_body
from irconv.passes.decompose.site import Site

__all__ = ["DecomposeScan"]


def scan(site: Site) -> Sequence[ir.Value]:
    """ONNX Scan (since 9): any axes and directions of what is scanned and put out."""
    graph: ir.Graph = site.optional("body")
    count = site.attribute("num_scan_inputs", 0)
    values = [site.input(index) for index in range(len(site.node.inputs))]
    states, scanned = values[: len(values) - count], values[len(values) - count :]
    kept = len(states)
    axes = [
        axis % site.rank(value)
        for axis, value in zip(site.attribute("scan_input_axes", [0] * count), scanned, strict=True)
    ]
    backwards = site.attribute("scan_input_directions", [0] * count)
    length = site.number(site.size(scanned[0], axes[0]))
    body = site.body()
    step = body.input("step", ir.DataType.INT64, [])
    going = body.input("going", ir.DataType.BOOL, [])
    formals = [
        ir.Value(name=site.names.fresh(f"{site.stem}_state"), type=value.type, shape=value.shape)
        for value in graph.inputs[:kept]
    ]
    mirrored = body.op("Sub", body.op("Sub", length, 1), step) if any(backwards) else step
    slices = [
        body.op("Gather", value, mirrored if back else step, axis=axis)
        for value, axis, back in zip(scanned, axes, backwards, strict=True)
    ]
    results = add_body(body, graph, [*formals, *slices])
    loop_body = body.graph([step, going, *formals], [going, *results])
    true = site.constant(np.asarray(True))
    outputs = site.ops("Loop", length, true, *states, outputs=len(results), body=loop_body)
    for output, value in zip(outputs, graph.outputs, strict=True):
        output.type = value.type
    for output, value in zip(outputs[:kept], graph.outputs[:kept], strict=True):
        output.shape = value.shape
    return [*outputs[:kept], *_arranged(site, outputs[kept:], graph.outputs[kept:])]


def _arranged(site: Site, outputs: Sequence[ir.Value], items: Sequence[ir.Value]) -> list[ir.Value]:
    """Lay what the steps put out in the order and along the axes that the Scan names."""
    count = len(outputs)
    axes = site.attribute("scan_output_axes", [0] * count)
    backwards = site.attribute("scan_output_directions", [0] * count)
    found: list[ir.Value] = []
    for output, item, axis, back in zip(outputs, items, axes, backwards, strict=True):
        value = output
        if back:
            value = site.op("Slice", value, [-1], [-(2**63)], [0], [-1])
        if axis:
            if item.shape is None:
                raise Keep("the rank of an output is unknown; run infer-shapes first")
            rank = len(item.shape) + 1
            order = list(range(1, rank))
            order.insert(axis % rank, 0)
            value = site.transpose(value, order)
        found.append(value)
    return found


@dataclass(frozen=True)
class DecomposeScan(Decomposition):
    """Replace Scan by Loop; ``unroll-loops`` can then replace the Loop by its steps.

    Before::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[3] s, float[N, 3] x) => (float[3] t) {
            t = Scan <num_scan_inputs = 1, body = b (float[3] a, float[3] r) => (float[3] c)
                { c = Add(a, r) }> (s, x)
        }

    After::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[3] s, float[N, 3] x) => (float[3] t)
        <int64[1] t_Shape, int64[1] t_Constant, int64 t_Squeeze, bool t_Constant_1> {
            t_Shape = Shape <start = 0, end = 1> (x)
            t_Constant = Constant <value = int64[1] {0}> ()
            t_Squeeze = Squeeze(t_Shape, t_Constant)
            t_Constant_1 = Constant <value = bool {1}> ()
            t = Loop <body = t_body (int64 t_step, bool t_going, float[3] t_state)
                => (bool t_Identity, float[3] c_1) <float[3] t_Gather> {
                    t_Gather = Gather <axis = 0> (x, t_step)
                    c_1 = Add(t_state, t_Gather)
                    t_Identity = Identity(t_going)
                }> (t_Squeeze, t_Constant_1, s)
        }
    """

    name: ClassVar[str] = "decompose-scan"
    rules: ClassVar[Mapping[str, Rule]] = {"Scan": scan}
