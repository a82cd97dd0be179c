"""From what a product reads back to queries, keys and values with their heads apart or together.

Where a tensor of dims (batch, sequence, heads · size) is split into heads, exporters write
Transpose(Reshape(x), [0, 2, 1, 3]); keys are transposed once more, by one node or by three; and
keys and values that several heads share are repeated by Unsqueeze, Expand and Reshape.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from irconv.graph.constants import constant_ints
from irconv.graph.symbolic.dims import Dims
from irconv.graph.symbolic.expression import Dim
from irconv.graph.symbolic.sizes import Sizes
from irconv.passes.decompose.block import Keep
from irconv.passes.fusions.attention.layout import arrangements, permutation
from irconv.passes.fusions.fused import Made
from irconv.passes.fusions.pattern import made_by, number_attribute, operand, scaled

__all__ = [
    "SPLIT", "Merged", "Operand", "concatenated", "constant_zeros", "heads_apart",
    "merged_heads",
]  # fmt: skip

SPLIT = (0, 2, 1, 3)
"""How (batch, sequence, heads, size) becomes (batch, heads, sequence, size), and back."""

_MAX_STEPS = 8
"""How many nodes are looked through; every form is tried with every other."""


@dataclass(frozen=True)
class Operand:
    """Queries, keys or values.

    Attributes:
        value: Of dims (batch, heads, sequence, size), or of rank 3 with the first two merged.
        dims: Its dims; for keys and values that heads share, as if they were repeated.
        scale: What it has to be multiplied by.
        made: How it is made of ``value``, where a transpose has to be put in.
        heads: Number of heads where it is less than ``dims`` says.
    """

    value: ir.Value
    dims: Dims
    scale: float = 1.0
    made: Made | None = None
    heads: int | None = None

    @property
    def stored(self) -> Dims:
        """The dims of what a new node reads."""
        return self.dims if self.heads is None else (self.dims[0], self.heads, *self.dims[2:])

    @property
    def item(self) -> ir.Value | Made:
        """What a new node reads."""
        return self.made or self.value


def heads_apart(
    value: ir.Value, sizes: Sizes, *, transposed: bool, scalable: bool
) -> list[Operand]:
    """Return the forms of what a product reads, the one nearest to the model's input first.

    Those of rank 4 come before those of rank 3.

    Args:
        value: What the product reads.
        sizes: The sizes in the model.
        transposed: Whether the last two dims are to change places.
        scalable: Whether a factor may be taken out.

    Raises:
        Keep: If the rank is not known.
    """
    if sizes.dims(value) is None:
        raise Keep(f"the rank of {value.name!r} is unknown; run infer-shapes first")
    found = list(_forms(value, sizes, transposed=transposed, scalable=scalable))
    found.reverse()
    if not any(len(form.dims) == 4 for form in found):
        factor = scaled(value) if scalable else None
        inner, scale = (value, 1.0) if factor is None else factor
        found += _rearranged(inner, sizes, scale, transposed=transposed)
    return sorted(found, key=lambda form: -len(form.dims))


def _rearranged(
    value: ir.Value, sizes: Sizes, scale: float, *, transposed: bool
) -> Iterator[Operand]:
    """Yield forms of rank 4 that other nodes than usual have brought into the form of a product."""
    for source, dims, groups in arrangements(value, sizes):
        if len(dims) != 4 or len(groups) < 3:
            continue
        *lead, row, column = groups
        if transposed:
            row, column = column, row
        missing = [axis for axis in range(4) if dims[axis] == 1]
        pair = sorted({*(axis for group in lead for axis in group), *missing})
        if len(row) != 1 or len(column) != 1 or len(pair) != 2:
            continue
        order = (*(axis for group in lead for axis in group), *row, *column)
        if missing:
            order = (*pair, *row, *column)
        if order == (0, 1, 2, 3):
            yield Operand(source, dims, scale)
        else:
            yield _transposed(source, order, sizes, scale)


def _forms(value: ir.Value, sizes: Sizes, *, transposed: bool, scalable: bool) -> Iterator[Operand]:
    scale = 1.0
    for _ in range(_MAX_STEPS):
        dims = sizes.dims(value)
        if dims is None or len(dims) not in (3, 4):
            return
        if not transposed:
            yield Operand(value, dims, scale)
        node = value.producer()
        source = None if node is None else operand(node, 0)
        factor = scaled(value) if scalable else None
        if factor is not None:
            value, scale = factor[0], scale * factor[1]
            continue
        if node is None or source is None or node.domain != "":
            break
        if node.op_type == "Transpose":
            order = permutation(node, len(dims))
            if order is None:
                break
            swapped = (*order[:-2], order[-1], order[-2])
            if swapped == tuple(range(len(order))):
                value, transposed = source, not transposed
                continue
            if transposed:
                yield _transposed(source, swapped, sizes, scale)
            return
        inner = sizes.dims(source)
        if node.op_type != "Reshape" or inner is None or inner[-2:] != dims[-2:]:
            break
        shared = None if transposed else _unrepeated(source, sizes, scale)
        if shared is not None:
            yield shared
            return
        value = source
    if transposed:
        count = len(sizes.dims(value) or ())
        order = (*range(count - 2), count - 1, count - 2)
        yield _transposed(value, order, sizes, scale)


def _transposed(source: ir.Value, order: tuple[int, ...], sizes: Sizes, scale: float) -> Operand:
    before = sizes.dims(source)
    assert before is not None
    dims = tuple(before[axis] for axis in order)
    made = Made("Transpose", [source], {"perm": list(order)}, source.dtype)
    return Operand(source, dims, scale, made)


@dataclass(frozen=True)
class Merged:
    """A tensor whose heads lie side by side in the last dim.

    Attributes:
        source: Of dims (batch, sequence, heads · size).
        value: The same without a factor.
        scale: The factor.
    """

    source: ir.Value | Made
    value: ir.Value | Made
    scale: float


def merged_heads(form: Operand, sizes: Sizes) -> Merged | None:
    """Return what an operand of rank 4 was before its heads were taken apart.

    Where they were apart from the start, behind the sequence, a Reshape puts them together.
    """
    apart: ir.Value | None = form.value
    if form.made is None:
        node = made_by(form.value, "Transpose")
        if node is None or permutation(node, 4) != SPLIT:
            return None
        apart = operand(node, 0)
    elif form.made.attributes.get("perm") != list(SPLIT):
        return None
    batch, heads, sequence, size = form.stored
    if apart is None or not (isinstance(heads, int) and isinstance(size, int)):
        return None
    split = made_by(apart, "Reshape")
    source = None if split is None else operand(split, 0)
    if source is None or sizes.dims(source) != (batch, sequence, heads * size):
        target = np.array([0, 0, heads * size], np.int64)
        made = Made("Reshape", [apart, target], dtype=sizes.dtype(apart))
        return Merged(made, made, 1.0)
    factor = scaled(source)
    return Merged(source, *((source, 1.0) if factor is None else factor))


def _unrepeated(value: ir.Value, sizes: Sizes, scale: float) -> Operand | None:
    """Return keys or values before Expand(Unsqueeze(x, 2)) repeated each head next to itself."""
    repeat = made_by(value, "Expand")
    split = None if repeat is None else made_by(operand(repeat, 0), "Unsqueeze", "Reshape")
    source = None if split is None else operand(split, 0)
    if split is None or source is None:
        return None
    dims, thin, wide = sizes.dims(source), sizes.dims(split.outputs[0]), sizes.dims(value)
    if dims is None or len(dims) != 4 or wide is None or len(wide) != 5:
        return None
    batch, heads, sequence, size = dims
    repeats: Dim = wide[2]
    if thin != (batch, heads, 1, sequence, size):
        return None
    if wide != (batch, heads, repeats, sequence, size):
        return None
    if not (isinstance(heads, int) and isinstance(repeats, int)):
        return None
    return Operand(source, (batch, heads * repeats, sequence, size), scale, heads=heads)


def concatenated(value: ir.Value, sizes: Sizes) -> tuple[ir.Value, ir.Value] | None:
    """Return past and new keys or values, where ``value`` is both along the sequence."""
    node = made_by(value, "Concat")
    if node is None or len(node.inputs) != 2 or number_attribute(node, "axis", 0) not in (2, -2):
        return None
    past, new = node.inputs
    if past is None or new is None:
        return None
    first, second, both = (sizes.dims(item) for item in (past, new, value))
    if first is None or second is None or both is None:
        return None
    same = all(len(dims) == 4 for dims in (first, second, both)) and all(
        first[axis] == second[axis] == both[axis] for axis in (0, 1, 3)
    )
    return (past, new) if same else None


def constant_zeros(target: ir.Value | None) -> tuple[int, ...] | None:
    """Return at which indices the target of a Reshape copies a dim; None if it is not constant."""
    items = constant_ints(target)
    if items is None:
        return None
    return tuple(index for index, item in enumerate(items) if item == 0)
