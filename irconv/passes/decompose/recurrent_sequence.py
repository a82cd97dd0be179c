"""Running a cell over a sequence: unrolled, or as a Loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from irconv.passes.decompose.block import Block
from irconv.passes.decompose.recurrent_cells import Cell
from irconv.passes.decompose.site import Site

__all__ = ["Run", "run_sequence"]


@dataclass(frozen=True)
class Run:
    """One direction of a recurrent operator.

    Attributes:
        cell: The cell.
        gates: The input's part of the gates for all steps, [sequence, batch, G * H].
        state: The initial state; tensors [batch, H].
        lengths: Length of each sequence as int64 [batch, 1]; None where all are whole.
        reverse: Whether time runs backwards.
    """

    cell: Cell
    gates: ir.Value
    state: Sequence[ir.Value]
    lengths: ir.Value | None
    reverse: bool


def run_sequence(site: Site, run: Run, unroll: int) -> tuple[ir.Value, list[ir.Value]]:
    """Return the outputs of all steps, [sequence, batch, H], and the last state.

    Args:
        site: Where nodes are added.
        run: What is run.
        unroll: The most steps that become nodes of their own.
    """
    steps = site.dims(run.gates)[0]
    if steps is not None and 0 < steps <= unroll:
        return _unrolled(site, run, steps)
    return _looped(site, run)


def _unrolled(site: Site, run: Run, steps: int) -> tuple[ir.Value, list[ir.Value]]:
    parts = (
        [run.gates]
        if steps == 1
        else site.ops("Split", run.gates, outputs=steps, axis=0, num_outputs=steps)
    )
    state, outputs = list(run.state), {}
    for time in reversed(range(steps)) if run.reverse else range(steps):
        gates = site.op("Squeeze", parts[time], [0])
        state, output = _step(site, run, gates, state, site.constant(np.asarray(time, np.int64)))
        outputs[time] = site.op("Unsqueeze", output, [0])
    stacked = [outputs[time] for time in range(steps)]
    return stacked[0] if steps == 1 else site.op("Concat", *stacked, axis=0), state


def _step(
    block: Block, run: Run, gates: ir.Value, state: Sequence[ir.Value], time: ir.Value
) -> tuple[list[ir.Value], ir.Value]:
    """Return the state after a step and its output: past a sequence's end, as before, and 0."""
    new = run.cell.step(block, gates, state)
    if run.lengths is None:
        return new, new[0]
    alive = block.op("Less", time, run.lengths)
    kept = [block.op("Where", alive, now, was) for now, was in zip(new, state, strict=True)]
    zero = block.scalar(0, block.dtype(new[0]))
    return kept, block.op("Where", alive, new[0], zero)


def _looped(site: Site, run: Run) -> tuple[ir.Value, list[ir.Value]]:
    length = site.number(site.size(run.gates, 0))
    dtype = site.dtype(run.gates)
    batch = site.dims(run.gates)[1]
    shape = [batch, run.cell.hidden]
    body = site.body()
    number = body.input("step", ir.DataType.INT64, [])
    going = body.input("going", ir.DataType.BOOL, [])
    state = [body.input(f"state{index}", dtype, shape) for index in range(len(run.state))]
    time = number
    if run.reverse:
        time = body.op("Sub", body.op("Sub", length, 1), number)
    gates = body.op("Gather", run.gates, time, axis=0)
    new, output = _step(body, run, gates, state, time)
    graph = body.graph([number, going, *state], [going, *new, output])
    true = site.constant(np.asarray(True))
    results = site.ops("Loop", length, true, *run.state, outputs=len(state) + 1, body=graph)
    for value in results[:-1]:
        value.type, value.shape = ir.TensorType(dtype), ir.Shape(shape)
    outputs = results[-1]
    outputs.type = ir.TensorType(dtype)
    outputs.shape = ir.Shape([site.dims(run.gates)[0], *shape])
    if run.reverse:
        outputs = site.op("Slice", outputs, [-1], [-(2**63)], [0], [-1])
    return outputs, list(results[:-1])
