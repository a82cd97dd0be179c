"""One place of rotary embedding: what RotaryEmbedding reads there, and what it stands for."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from irconv.graph.constants import constant_ints
from irconv.graph.scopes import Scope
from irconv.graph.symbolic.expression import Dim
from irconv.graph.symbolic.sizes import Sizes
from irconv.passes.decompose.block import Keep
from irconv.passes.fusions.attention.operands import SPLIT, Operand, merged_heads
from irconv.passes.fusions.fused import Fused, Item, Made
from irconv.passes.fusions.pattern import made_by, number_attribute, only_reader, operand
from irconv.passes.fusions.rotary.halves import half_of
from irconv.passes.fusions.rotary.turn import Turn, cut_of, turn_at

__all__ = ["fused_rotation"]

_OPSET = 23
_DTYPES = frozenset({ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16})


def fused_rotation(negation: ir.Node, scope: Scope, sizes: Sizes) -> Fused | None:
    """Return the RotaryEmbedding that stands for the turn around a Neg.

    Raises:
        Keep: With the first condition that failed.
    """
    turn = turn_at(negation, sizes)
    if turn is None:
        return None
    opset = scope.opsets.get("", 1)
    if opset < _OPSET:
        raise Keep(
            f"RotaryEmbedding needs opset {_OPSET} and this is opset {opset}; "
            f"run convert-opset{{to={_OPSET}}} first"
        )
    dims = sizes.dims(turn.data)
    if dims is None or len(dims) != 4:
        raise Keep(f"{turn.data.name!r} is not known to be (batch, heads, sequence, size)")
    dtype = sizes.dtype(turn.data)
    if dtype not in _DTYPES:
        raise Keep(f"{turn.data.name!r} is {dtype}: no runtime has RotaryEmbedding for it")
    attributes: dict[str, Any] = {"interleaved": 1} if turn.interleaved else {}
    data, output, spared = turn.data, turn.output, [turn.data, turn.cos, turn.sin]
    partial = _partial(turn, sizes)
    if partial is not None:
        data, output = partial
        attributes["rotary_embedding_dim"] = dims[-1]
        dims = sizes.dims(data) or dims
        spared.append(data)
    before = merged_heads(Operand(data, dims), sizes)
    together = None if before is None else before.source
    split = made_by(data, "Transpose")
    shape = None if split is None else made_by(operand(split, 0), "Reshape")
    tables = [
        _table(value, turn, together if isinstance(together, ir.Value) else data, sizes)
        for value in (turn.cos, turn.sin)
    ]
    if shape is None or not isinstance(together, ir.Value):
        items: list[Item] = [data, *tables]
        return Fused(
            "RotaryEmbedding",
            items,
            [output],
            attributes,
            opset=_OPSET,
            spared=spared,
            sized=True,
            sizes=sizes,
        )
    attributes["num_heads"] = dims[1]
    made = Made("RotaryEmbedding", [together, *tables], attributes, data.dtype)
    again = {"allowzero": 1} if number_attribute(shape, "allowzero", 0) else {}
    apart = Made("Reshape", [made, shape.inputs[1]], again, data.dtype)
    return Fused(
        "Transpose",
        [apart],
        [output],
        {"perm": list(SPLIT)},
        opset=_OPSET,
        spared=spared,
        sized=True,
        sizes=sizes,
    )


def _partial(turn: Turn, sizes: Sizes) -> tuple[ir.Value, ir.Value] | None:
    """Return the whole input and output, where only the first columns are turned."""
    first = cut_of(turn.data, sizes)
    join = only_reader(turn.output, "Concat")
    if first is None or join is None or len(join.inputs) != 2:
        return None
    rest, width = cut_of(join.inputs[1], sizes), sizes.dims(first.source)
    if rest is None or width is None or rest.source is not first.source:
        return None
    if join.inputs[0] is not turn.output or number_attribute(join, "axis", 0) not in (-1, 3):
        return None
    whole = (first.start, first.step, rest.step, rest.start, rest.stop)
    if whole != (0, 1, 1, first.stop, width[-1]):
        return None
    return first.source, join.outputs[0]


def _table(value: ir.Value, turn: Turn, measured: ir.Value, sizes: Sizes) -> Item:
    """Return cos or sin in dims (batch, sequence, D/2).

    Args:
        value: Cos or sin.
        turn: Where it is used.
        measured: Whose first dim is the batch.
        sizes: The sizes in the model.

    Raises:
        Keep: If that cannot be had.
    """
    batch, _, sequence, size = sizes.dims(turn.data) or ()
    shape = sizes.dims(value) or ()
    rows = (*(1,) * (4 - len(shape)), *shape)
    if len(rows) != 4 or rows[1:] != (1, sequence, size) or rows[0] not in (1, batch):
        raise Keep(
            f"{value.name!r} is not known to have one row for each position of {turn.data.name!r}"
        )
    without_heads = _without_heads(value)
    half = half_of(without_heads or value, sizes, interleaved=turn.interleaved)
    if half is None:
        raise Keep(f"the numbers in {value.name!r} are not known to stand there twice")
    if isinstance(half, np.ndarray):
        half = half.reshape(-1, *half.shape[-2:])
    elif without_heads is None and len(shape) == 4:
        half = Made("Squeeze", [half, np.array([1], np.int64)], dtype=value.dtype)
    elif without_heads is None and len(shape) == 2:
        half = Made("Unsqueeze", [half, np.array([0], np.int64)], dtype=value.dtype)
    return half if rows[0] == batch else _for_batch(half, measured, batch)


def _without_heads(value: ir.Value) -> ir.Value | None:
    """Return x of Unsqueeze(x, 1) in rank 4."""
    node = made_by(value, "Unsqueeze")
    axes = None if node is None else constant_ints(operand(node, 1))
    return operand(node, 0) if node is not None and axes in ((1,), (-3,)) else None


def _for_batch(half: Item, data: ir.Value, batch: Dim) -> Item:
    """Repeat cos or sin for every item of the batch."""
    if isinstance(half, np.ndarray) and isinstance(batch, int):
        return np.broadcast_to(half, (batch, *half.shape[1:])).copy()
    target: Item
    if isinstance(batch, int):
        target = np.array([batch, 1, 1], np.int64)
    else:
        count = Made("Shape", [data], {"start": 0, "end": 1}, ir.DataType.INT64)
        target = Made("Concat", [count, np.array([1, 1], np.int64)], {"axis": 0}, ir.DataType.INT64)
    return Made("Expand", [half, target], dtype=data.dtype)
