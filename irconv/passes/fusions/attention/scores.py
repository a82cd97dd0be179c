"""From the Softmax back to the product of queries and keys, and on to the product with values.

With q, k and v of dims (…, S, D), (…, T, D) and (…, T, E), attention is (ONNX operator
specification, Attention, since opset 23)::

    y = softmax(softcap(scale q kᵀ) + mask) v        softcap_c(s) = c tanh(s / c)

Exporters write the scale before or after the product, or its root on either side; the mask as a
sum or as a choice; and torch's own ``scaled_dot_product_attention`` asks afterwards whether a
row has become NaN, which it does where every key is masked.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import onnx_ir as ir

from irconv.graph.symbolic.sizes import Sizes
from irconv.passes.decompose.block import Keep
from irconv.passes.fusions.attention.layout import IN_ORDER
from irconv.passes.fusions.pattern import (
    made_by,
    number_attribute,
    only_reader,
    operand,
    pairs,
    scalar,
    scaled,
)

__all__ = ["MASKED", "Probabilities", "Scores", "Term", "probabilities_of", "scores_of"]

_MAX_DEPTH = 12
"""How many nodes there may be between the product and the Softmax; sums branch."""
MASKED = -1e30
"""At or below, a number decides a softmax as -inf does: no score is of that size."""


@dataclass(frozen=True)
class Term:
    """Something that masks scores.

    Attributes:
        value: A sum's operand of the scores; or a condition.
        dims: Dims of the scores that it masks, as far as they are known.
        fill: Of a condition: what it puts in the place of scores, else None.
        where: Of a condition: for which truth value the scores are masked.
    """

    value: ir.Value
    dims: tuple[object, ...] | None
    fill: float | None = None
    where: bool = False


@dataclass(frozen=True)
class Scores:
    """What a Softmax is taken of.

    Attributes:
        product: The node that multiplies queries and transposed keys.
        scale: What the product is multiplied by.
        softcap: c, or 0 where there is none.
        terms: Masks.
        dtype: Dtype of the Softmax where it differs from that of the product.
    """

    product: ir.Node
    scale: float = 1.0
    softcap: float = 0.0
    terms: tuple[Term, ...] = field(default_factory=tuple)
    dtype: ir.DataType | None = None


@dataclass(frozen=True)
class Probabilities:
    """What a Softmax gives.

    Attributes:
        product: The node that multiplies them and the values.
        guarded: Whether NaN is replaced by 0.
    """

    product: ir.Node
    guarded: bool


def probabilities_of(softmax: ir.Node, sizes: Sizes) -> Probabilities | None:
    """Return what becomes of a Softmax, or None where it multiplies nothing.

    Raises:
        Keep: If it multiplies something, and is read by something else too.
    """
    value, guarded = softmax.outputs[0], False
    while True:
        product = _product_with_values(value)
        if product is not None:
            dims, last = sizes.dims(softmax.outputs[0]), sizes.dims(value)
            same = dims is not None and last is not None and last[-2:] == dims[-2:]
            return Probabilities(product, guarded) if same else None
        guard = _guard(value)
        copy = only_reader(value, "Cast", *IN_ORDER)
        if guard is not None:
            value, guarded = guard.outputs[0], True
        elif copy is not None and operand(copy, 0) is value:
            value = copy.outputs[0]
        else:
            return None


def _product_with_values(value: ir.Value) -> ir.Node | None:
    readers = [user for user, index in value.uses() if index == 0 and user.op_type == "MatMul"]
    if not readers or readers[0].domain != "":
        return None
    if len(value.uses()) > 1 or value.is_graph_output():
        raise Keep(f"the probabilities {value.name!r} are read by more than one product")
    return readers[0]


def _guard(value: ir.Value) -> ir.Node | None:
    """Return Where(IsNaN(value), 0, value), if that is all that reads the value."""
    users = {user for user, _ in value.uses()}
    checks = [user for user in users if user.op_type == "IsNaN" and user.domain == ""]
    if len(users) != 2 or len(checks) != 1 or value.is_graph_output():
        return None
    choice = only_reader(checks[0].outputs[0], "Where")
    if choice is None or choice not in users:
        return None
    return choice if scalar(operand(choice, 1)) == 0 and operand(choice, 2) is value else None


def scores_of(softmax: ir.Node, sizes: Sizes) -> Scores | None:
    """Return how the operand of a Softmax is computed; None if there is no product in it.

    Raises:
        Keep: If a mask is scaled, or the scores are too in a way that no attribute says.
    """
    source = operand(softmax, 0)
    if source is None:
        return None
    cast = made_by(source, "Cast")
    inner = None if cast is None else operand(cast, 0)
    if cast is None or inner is None:
        return _scores(source, sizes)
    found = _scores(inner, sizes)
    return None if found is None else replace(found, dtype=sizes.dtype(source))


def _scores(value: ir.Value, sizes: Sizes, depth: int = _MAX_DEPTH) -> Scores | None:
    node = value.producer()
    if node is None or node.domain != "" or not depth:
        return None
    if node.op_type == "MatMul":
        return Scores(node)
    if node.op_type in IN_ORDER:
        return _viewed(node, sizes, depth - 1)
    if node.op_type == "Add":
        return _added(value, sizes, depth - 1)
    if node.op_type == "Where":
        return _chosen(node, sizes, depth - 1)
    if node.op_type in ("Mul", "Div"):
        return _capped(value, sizes, depth - 1) or _scaled(value, sizes, depth - 1)
    return None


def _viewed(node: ir.Node, sizes: Sizes, depth: int) -> Scores | None:
    """Look through nodes that only split or merge the leading dims."""
    after = sizes.dims(node.outputs[0])
    step: ir.Node | None = node
    while step is not None and after is not None:
        source = operand(step, 0)
        before = sizes.dims(source)
        if source is None or before is None:
            return None
        if before[-2:] == after[-2:]:
            return _scores(source, sizes, depth)
        step = made_by(source, *IN_ORDER)
    return None


def _added(value: ir.Value, sizes: Sizes, depth: int) -> Scores | None:
    for first, mask in pairs(value, "Add"):
        found = _scores(first, sizes, depth)
        if found is not None:
            return replace(found, terms=(*found.terms, Term(mask, sizes.dims(value))))
    return None


def _chosen(node: ir.Node, sizes: Sizes, depth: int) -> Scores | None:
    """Where(condition, fill, scores), or the other way round."""
    condition = operand(node, 0)
    for index in (1, 2):
        fill, scores = scalar(operand(node, index)), operand(node, 3 - index)
        if fill is None or scores is None or condition is None:
            continue
        found = _scores(scores, sizes, depth)
        if found is None:
            return None
        if fill > MASKED:
            raise Keep(f"masked scores become {fill:g}, which is not so small that nothing is left")
        dims = sizes.dims(node.outputs[0])
        return replace(
            found, terms=(*found.terms, Term(condition, dims, fill=fill, where=index == 1))
        )
    return None


def _scaled(value: ir.Value, sizes: Sizes, depth: int) -> Scores | None:
    pair = scaled(value)
    found = None if pair is None else _scores(pair[0], sizes, depth)
    if pair is None or found is None:
        return None
    if found.terms or found.softcap:
        raise Keep(f"{value.name!r} scales the scores after they were masked or capped")
    return replace(found, scale=found.scale * pair[1])


def _capped(value: ir.Value, sizes: Sizes, depth: int) -> Scores | None:
    """C * Tanh(scores / c)."""
    outer = scaled(value)
    curve = None if outer is None else made_by(outer[0], "Tanh")
    inner = None if curve is None else scaled(operand(curve, 0))
    if outer is None or inner is None:
        return None
    found = _scores(inner[0], sizes, depth)
    if found is None:
        return None
    if found.terms or found.softcap or not np.isclose(outer[1] * inner[1], 1.0, rtol=1e-5):
        raise Keep(f"{value.name!r} is no soft cap of scores: c * Tanh(scores / c)")
    return replace(found, softcap=outer[1])


def last_axis(softmax: ir.Node, sizes: Sizes, opset: int) -> bool:
    """Return whether a Softmax is over the last axis alone."""
    dims = sizes.dims(operand(softmax, 0))
    axis = number_attribute(softmax, "axis", -1 if opset >= 13 else 1)
    return dims is not None and axis in (-1, len(dims) - 1)
