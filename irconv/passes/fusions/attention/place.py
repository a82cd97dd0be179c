"""One place of attention: what Attention reads there, and what it stands for."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import onnx_ir as ir

from irconv.graph.scopes import Scope
from irconv.graph.symbolic.sizes import Sizes
from irconv.passes.decompose.block import Keep
from irconv.passes.fusions.attention.layout import IN_ORDER, permutation
from irconv.passes.fusions.attention.mask import Extent, mask_of
from irconv.passes.fusions.attention.operands import (
    SPLIT,
    Operand,
    concatenated,
    constant_zeros,
    heads_apart,
    merged_heads,
)
from irconv.passes.fusions.attention.scores import (
    last_axis,
    probabilities_of,
    scores_of,
)
from irconv.passes.fusions.fused import Fused, Item, Made
from irconv.passes.fusions.pattern import made_by, only_reader, operand

__all__ = ["fused_attention", "merged_attention"]

_OPSET = 23
_DTYPES = frozenset({ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16})


@dataclass(frozen=True)
class _Cache:
    """Keys and values of former steps.

    Attributes:
        past: Those of former steps: keys, values.
        new: Those of this step.
        present: Both together, which Attention gives.
        spared: Where the nodes end that it takes the place of.
    """

    past: tuple[ir.Value, ir.Value]
    new: tuple[Operand, Operand]
    present: tuple[ir.Value, ir.Value]
    spared: list[ir.Value]


@dataclass(frozen=True)
class _Form:
    """Queries, keys, values and the result as one node has them.

    Attributes:
        items: The three inputs.
        ranks: Their rank.
        output: The value that the node computes.
        target: Target of a Reshape that has to follow; then ``output`` is what that gives.
        heads: Numbers of heads of queries and keys where heads lie side by side, else None.
        scale: What scores have to be multiplied by.
    """

    items: tuple[Item, Item, Item]
    rank: int
    output: ir.Value
    target: ir.Value | None = None
    heads: tuple[int, int] | None = None
    scale: float = 1.0


def fused_attention(softmax: ir.Node, scope: Scope, sizes: Sizes) -> Fused | None:
    """Return the Attention that stands for a Softmax and the products around it.

    Raises:
        Keep: With the first condition that failed.
    """
    after = probabilities_of(softmax, sizes)
    scores = None if after is None else scores_of(softmax, sizes)
    if after is None or scores is None:
        return None
    first, second = operand(scores.product, 0), operand(scores.product, 1)
    third, opset = operand(after.product, 1), scope.opsets.get("", 1)
    if first is None or second is None or third is None:
        return None
    if opset < _OPSET:
        raise Keep(
            f"Attention needs opset {_OPSET} and this is opset {opset}; "
            f"run convert-opset{{to={_OPSET}}} first"
        )
    if not last_axis(softmax, sizes, opset):
        raise Keep("the Softmax is not over the last axis, or the rank of its input is unknown")
    dtype = sizes.dtype(first)
    if dtype is None:
        raise Keep(f"the dtype of the query {first.name!r} is unknown; run infer-shapes first")
    if dtype not in _DTYPES:
        raise Keep(f"the query {first.name!r} is {dtype}: no runtime has Attention for it")
    query, key, value = _operands(first, second, third, sizes)
    cache = _cache(key, value, after.product, sizes)
    fresh = (query, key, value) if cache is None else (query, *cache.new)
    form = _form(fresh, after.product, sizes, alone=cache is None)
    scale = scores.scale * form.scale
    if not scale > 0:
        raise Keep(f"the scale {scale:g} is not positive")
    mask = mask_of(scores, _extent(query, key, form, cache), sizes, dtype, guarded=after.guarded)
    size = query.dims[-1]
    usual = isinstance(size, int) and math.isclose(scale, 1 / math.sqrt(size), rel_tol=1e-6)
    attributes = {
        "is_causal": 1 if mask.causal else None,
        "kv_num_heads": None if form.heads is None else form.heads[1],
        "q_num_heads": None if form.heads is None else form.heads[0],
        "scale": None if usual else scale,
        "softcap": scores.softcap or None,
        "softmax_precision": None if scores.dtype in (None, dtype) else int(scores.dtype),
    }
    items: list[Item] = [*form.items, mask.item, *(() if cache is None else cache.past)]
    while items[-1] is None:
        items.pop()
    spared = [first, *mask.terms, *((second, third) if cache is None else cache.spared)]
    known = {name: item for name, item in attributes.items() if item is not None}
    if form.target is not None:
        made = Made("Attention", items, known, dtype)
        return Fused(
            "Reshape",
            [made, form.target],
            [form.output],
            opset=_OPSET,
            spared=spared,
            shapes=_widths(form, sizes),
            sized=True,
            sizes=sizes,
        )
    outputs = [form.output, *(() if cache is None else cache.present)]
    return Fused(
        "Attention",
        items,
        outputs,
        known,
        opset=_OPSET,
        spared=spared,
        shapes=_widths(form, sizes),
        sized=True,
        sizes=sizes,
        before=after.product,
    )


def _widths(form: _Form, sizes: Sizes) -> dict[ir.Value, ir.Shape]:
    """Return the shapes of inputs of rank 3 whose last dim the model does not state."""
    found: dict[ir.Value, ir.Shape] = {}
    for item in form.items:
        dims = sizes.dims(item) if isinstance(item, ir.Value) else None
        if form.rank != 3 or dims is None or not isinstance(item, ir.Value):
            continue
        stated = item.shape or ir.Shape([None, None, None])
        if isinstance(dims[2], int) and not isinstance(stated[2], int):
            found[item] = ir.Shape([*stated[:2], dims[2]])
    return found


def _extent(query: Operand, key: Operand, form: _Form, cache: _Cache | None) -> Extent:
    """Return the dims of the scores, and how the last two are computed."""
    lead = query.dims[:-2] if len(query.dims) == 4 else (query.dims[0], 1)
    axis = 2 if form.rank == 4 else 1
    length = _size(form.items[1], axis)
    if cache is not None:
        length = Made("Add", [_size(cache.past[0], 2), length], dtype=ir.DataType.INT64)
    dims = (*lead, query.dims[-2], key.dims[-2])
    return Extent(dims, {2: _size(form.items[0], axis), 3: length})


def _size(item: Item, axis: int) -> Made:
    """Return one size of a tensor, as a tensor of one element."""
    return Made("Shape", [item], {"start": axis, "end": axis + 1}, ir.DataType.INT64)


def _operands(
    first: ir.Value, second: ir.Value, third: ir.Value, sizes: Sizes
) -> tuple[Operand, Operand, Operand]:
    """Return queries, keys and values of equal batch and heads, with as few nodes before as can be.

    Raises:
        Keep: If there are none.
    """
    queries = heads_apart(first, sizes, transposed=False, scalable=True)
    keys = heads_apart(second, sizes, transposed=True, scalable=True)
    values = heads_apart(third, sizes, transposed=False, scalable=False)
    for query in queries:
        for key in keys:
            for value in values:
                if _fits(query, key, value):
                    return query, key, value
    shapes = ", ".join(
        f"{name} {item.name!r} [{', '.join(map(str, sizes.dims(item) or ()))}]"
        for name, item in (("query", first), ("key", second), ("value", third))
    )
    raise Keep(f"batch and heads are not known to be equal: {shapes}")


def _fits(query: Operand, key: Operand, value: Operand) -> bool:
    """Return whether batch and heads are equal; what the products sum over is so in any case."""
    return query.dims[:-2] == key.dims[:-2] == value.dims[:-2] and key.heads == value.heads


def _cache(key: Operand, value: Operand, product: ir.Node, sizes: Sizes) -> _Cache | None:
    """Return the cache that Attention can take over; None where it has to stay outside."""
    parts = [concatenated(form.value, sizes) for form in (key, value) if form.made is None]
    ways = [_way(form.value, product) for form in (key, value)]
    if len(parts) < 2 or key.value is value.value:
        return None
    (first, second), (way, other_way) = parts, ways
    if first is None or second is None or way is None or other_way is None:
        return None
    fresh = [
        replace(form, value=new, dims=(*form.dims[:2], *(sizes.dims(new) or ())[2:]))
        for form, (_, new) in ((key, first), (value, second))
    ]
    if fresh[0].dims[2] != fresh[1].dims[2]:
        return None
    spared = [fresh[0].value, fresh[1].value, *way, *other_way]
    return _Cache((first[0], second[0]), (fresh[0], fresh[1]), (key.value, value.value), spared)


def _way(value: ir.Value, product: ir.Node) -> list[ir.Value] | None:
    """Return what else is read on the way from a value to a product; None if the way branches."""
    read: list[ir.Value] = []
    while True:
        users = {user for user, _ in value.uses()}
        if len(users) != 1:
            return None
        (node,) = users
        if node.graph is not product.graph or len(node.outputs) != 1:
            return None
        if node is product or node.op_type == "MatMul":
            return read
        read += [item for item in node.inputs if item is not None and item is not value]
        value = node.outputs[0]
        if value.is_graph_output():
            return None


def _form(
    fresh: tuple[Operand, Operand, Operand], product: ir.Node, sizes: Sizes, *, alone: bool
) -> _Form:
    """Return the form in which the fewest nodes are left around Attention.

    Args:
        fresh: Queries, and the keys and values of this step.
        product: The product with the values.
        sizes: The sizes in the model.
        alone: Whether the result is the only output.

    Raises:
        Keep: If batch and heads are merged, and not taken apart after the product.
    """
    query, key, value = fresh
    output, scale = product.outputs[0], query.scale * key.scale
    items = (query.item, key.item, value.item)
    output = _apart(output, query, sizes)
    if len(query.dims) == 3:
        return _Form(items, 3, output, heads=(1, 1), scale=scale)
    merged = [merged_heads(form, sizes) for form in (query, key, value)]
    together = _together(output, sizes, alone=alone)
    first, second, third = merged
    if first is None or second is None or third is None or together is None:
        return _Form(items, 4, output, scale=scale)
    query_heads, key_heads = query.dims[1], key.stored[1]
    if not isinstance(query_heads, int) or not isinstance(key_heads, int):
        return _Form(items, 4, output, scale=scale)
    heads = (query_heads, key_heads)
    scale *= first.scale * second.scale
    items = (first.value, second.value, third.source)
    return _Form(items, 3, *together, heads=heads, scale=scale)


def _apart(output: ir.Value, query: Operand, sizes: Sizes) -> ir.Value:
    """Return the result with batch and heads apart."""
    value = output
    while (sizes.dims(value) or ())[:-1] != query.dims[:-1]:
        node = only_reader(value, *IN_ORDER)
        if node is None:
            raise Keep(f"batch and heads of {output.name!r} are one dim, and not apart after it")
        value = node.outputs[0]
    return value


def _together(
    output: ir.Value, sizes: Sizes, *, alone: bool
) -> tuple[ir.Value, ir.Value | None] | None:
    """Return the result with heads side by side, and the target of a Reshape that has to follow."""
    turned = only_reader(output, "Transpose")
    merge = None
    if turned is not None and permutation(turned, 4) == SPLIT:
        merge = only_reader(turned.outputs[0], "Reshape")
    dims = sizes.dims(output)
    after = None if merge is None else sizes.dims(merge.outputs[0])
    if merge is None or after is None or dims is None:
        return None
    batch, heads, sequence, size = dims
    if not isinstance(heads, int) or not isinstance(size, int):
        return None
    if after == (batch, sequence, heads * size):
        return merge.outputs[0], None
    zeros = constant_zeros(operand(merge, 1))
    if not alone or zeros is None or any(index > 1 for index in zeros):
        return None
    return merge.outputs[0], merge.inputs[1]


def merged_attention(node: ir.Node, scope: Scope, sizes: Sizes) -> Fused | None:
    """Return what Attention of rank 4 becomes if it takes the heads apart by itself.

    None where heads are not taken apart right before it, or not put together right after.
    """
    if "q_num_heads" in node.attributes or len(node.outputs) > 3:
        return None
    values = [operand(node, index) for index in range(3)]
    forms: list[Operand] = []
    for value in values:
        dims = sizes.dims(value)
        if value is not None and dims is not None and len(dims) == 4:
            forms.append(Operand(value, dims))
    if len(forms) < 3 or not all(made_by(form.value, "Transpose") for form in forms):
        return None
    together = _together(node.outputs[0], sizes, alone=False)
    merged = [merged_heads(form, sizes) for form in forms]
    first, second, third = merged
    if first is None or second is None or third is None or together is None:
        return None
    form = _Form((first.source, second.source, third.source), 3, together[0])
    attributes = {name: attribute.value for name, attribute in node.attributes.items()}
    attributes["q_num_heads"], attributes["kv_num_heads"] = forms[0].dims[1], forms[1].dims[1]
    return Fused(
        "Attention",
        [*form.items, *node.inputs[3:]],
        [form.output, *node.outputs[1:]],
        attributes,
        opset=scope.opsets.get("", 1),
        spared=[item.value for item in forms],
        shapes=_widths(form, sizes),
        sized=True,
        sizes=sizes,
        before=node,
    )
