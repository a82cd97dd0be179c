"""Scaled dot-product attention."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from irconv_coreml import node as ask
from irconv_coreml.dtypes import MIL_DTYPES
from irconv_coreml.ops.attention_mask import MASK, PAST_KEY, attends_always, masked_rows, whole_mask
from irconv_coreml.ops.refusals import float_input, unused_outputs
from irconv_coreml.ops.registry import Reason, emits
from irconv_coreml.site import Site, Var

__all__: list[str] = []

_HEAD_COUNTS = ("q_num_heads", "kv_num_heads", "kv_num_heads")
"""The attribute that tells the heads of a query, a key and a value of rank 3."""
_PAST_VALUE, _VALID_LENGTH = 5, 6
_PAST = (PAST_KEY, _PAST_VALUE)
_UNLIMITED = -1
_D = ir.DataType
_PRECISIONS = (_D.FLOAT, _D.FLOAT16, _D.DOUBLE, _D.BFLOAT16)


def _attributes(node: ir.Node) -> Reason:
    if ask.attr_float(node, "scale", 1.0) < 0:
        return "UNSUPPORTED_FORM: the root of a negative scale is no number"
    for name in ("left_window_size", "right_window_size"):
        if ask.attr_int(node, name, _UNLIMITED) != _UNLIMITED:
            return "UNSUPPORTED_FORM: MIL's attention has no window"
    if ask.attr_int(node, "softmax_precision", _D.FLOAT) not in _PRECISIONS:
        return "UNSUPPORTED_FORM: its Softmax is to be computed in what is no float of MIL"
    return ""


def _operands(node: ir.Node) -> Reason:
    if ask.given(node, _VALID_LENGTH) is not None:
        return "UNSUPPORTED_FORM: MIL's attention has no valid lengths"
    if (ask.given(node, PAST_KEY) is None) != (ask.given(node, _PAST_VALUE) is None):
        return "UNSUPPORTED_FORM: it has former keys without values, or values without keys"
    given = [index for index in (0, 1, 2, *_PAST) if ask.given(node, index) is not None]
    if len({_mil(ask.dtype(node, index)) for index in given}) > 1:
        return "UNSUPPORTED_DTYPE: MIL's attention wants one dtype of query, key and value"
    if len({ask.rank(node, index) for index in range(3)}) > 1:
        return "UNSUPPORTED_FORM: query, key and value have different ranks"
    heads = [found for found in (_heads(node, index) for index in given) if found]
    if len(heads) < len(given):
        return "DYNAMIC_SHAPE: the number of heads and their size must be known"
    counts = {count for count, _ in heads[1:]}
    if len(counts) > 1 or heads[0][0] % heads[1][0]:
        return f"UNSUPPORTED_FORM: {heads[0][0]} heads cannot share {heads[1][0]} keys"
    batches = {(ask.shape(node, index) or (None,))[0] for index in given}
    if len(batches) > 1:
        return "UNSUPPORTED_FORM: query, key and value are not known to have one batch size"
    return ""


def _mask(node: ir.Node) -> Reason:
    mask = ask.given(node, MASK)
    if mask is None:
        return ""
    if mask.dtype != ir.DataType.BOOL and _mil(mask.dtype) != _mil(ask.dtype(node, 0)):
        return "UNSUPPORTED_DTYPE: MIL's attention wants a mask of bool or of the query's dtype"
    return ""


def _mil(dtype: ir.DataType | None) -> str:
    return "" if dtype is None else MIL_DTYPES.get(dtype, "")


def _heads(node: ir.Node, index: int) -> tuple[int, int] | None:
    """Return how many heads a query, key or value has, and their size; None if not known."""
    dims = ask.shape(node, index)
    if dims is None or len(dims) not in (3, 4):
        return None
    if len(dims) == 4:
        count, size = dims[1], dims[3]
        return None if not count or not size else (count, size)
    if index in _PAST:
        return None
    count, width = ask.attr_int(node, _HEAD_COUNTS[index], 0), dims[2]
    return None if count < 1 or not width or width % count else (count, width // count)


@emits(
    "Attention",
    refuses=[float_input, unused_outputs(3), _attributes, _operands, _mask],
    since="iOS18",
)
def _attention(site: Site) -> tuple[Var, ...]:
    """ONNX Attention as MIL scaled_dot_product_attention, which scales by 1 / sqrt(head size).

    Another ``scale`` goes into the query, and keys and values that several heads share are
    repeated. Former keys and values come first. As in the function body of ONNX Attention, a row
    whose mask is -inf alone gives 0. With a softcap or another precision for the Softmax it is
    written as products and a Softmax.
    """
    mb = site.mb
    query, new_key, new_value = (_split(site, index) for index in range(3))
    key = _after(site, PAST_KEY, new_key)
    value = _after(site, _PAST_VALUE, new_value)
    _, heads, _, size = site.dims(query)
    assert heads is not None
    assert size is not None
    scale = site.float_("scale", 1 / math.sqrt(size))
    mask = whole_mask(site, query, key)
    attend = _spelled_out if _is_special(site) else _native
    keys, values = _repeated(site, key, heads), _repeated(site, value, heads)
    result = attend(site, query, keys, values, mask, scale)
    if mask is not None and not attends_always(site):
        result = mb.select(cond=masked_rows(site, mask), a=site.like(0, result), b=result)
    return _merged(site, result) if len(site.x.shape) == 3 else result, key, value


def _is_special(site: Site) -> bool:
    """Return whether it has a softcap, or another precision for its Softmax."""
    return site.float_("softcap", 0.0) != 0 or _precision(site) != site.kind(site.x)


def _precision(site: Site) -> str:
    """Return the MIL dtype that its Softmax computes in."""
    stated = site.int_("softmax_precision", 0)
    return MIL_DTYPES[ir.DataType(stated)] if stated else site.kind(site.x)


def _native(site: Site, query: Var, key: Var, value: Var, mask: Var | None, scale: float) -> Var:
    factor = scale * math.sqrt(site.dims(query)[3] or 1)
    if not math.isclose(factor, 1, rel_tol=1e-6):
        query = site.mb.mul(x=query, y=site.like(factor, query))
    masks = {} if mask is None else {"attn_mask": mask}
    return site.mb.scaled_dot_product_attention(query=query, key=key, value=value, **masks)


def _spelled_out(
    site: Site, query: Var, key: Var, value: Var, mask: Var | None, scale: float
) -> Var:
    """Return softmax(softcap(scale query key^T) + mask) value by operators of their own."""
    mb, softcap = site.mb, site.float_("softcap", 0.0)
    scaled = mb.mul(x=query, y=site.like(scale, query))
    scores = site.cast(mb.matmul(x=scaled, y=key, transpose_y=True), _precision(site))
    if softcap:
        bounded = mb.tanh(x=mb.real_div(x=scores, y=site.like(softcap, scores)))
        scores = mb.mul(x=bounded, y=site.like(softcap, scores))
    if mask is not None and site.kind(mask) == "bool":
        scores = mb.select(cond=mask, a=scores, b=site.like(-np.inf, scores))
    elif mask is not None:
        scores = mb.add(x=scores, y=site.cast(mask, _precision(site)))
    weights = mb.softmax(x=scores, axis=-1)
    return mb.matmul(x=site.cast(weights, site.kind(value)), y=value)


def _split(site: Site, index: int) -> Var:
    """Return an input [N, L, heads * size] as [N, heads, L, size]."""
    var = site[index]
    if len(var.shape) == 4:
        return var
    found = _heads(site.node, index)
    assert found is not None
    batch, length, _ = site.shape_vector(var)
    parts = site.reshape(var, [batch, length, *found])
    return site.mb.transpose(x=parts, perm=[0, 2, 1, 3])


def _after(site: Site, past: int, new: Var) -> Var:
    """Return new keys or values after the former ones."""
    return site.mb.concat(values=[site[past], new], axis=2) if site.has(past) else new


def _merged(site: Site, var: Var) -> Var:
    """Return [N, heads, L, size] as [N, L, heads * size]."""
    batch, length, _ = site.shape_vector(site.x)
    rows = site.mb.transpose(x=var, perm=[0, 2, 1, 3])
    _, _, heads, size = site.dims(rows)
    assert heads is not None
    assert size is not None
    return site.reshape(rows, [batch, length, heads * size])


def _repeated(site: Site, var: Var, heads: int) -> Var:
    """Return keys or values with each head repeated for the heads of the query that share it."""
    batch, count, length, size = site.shape_vector(var)
    if count == heads:
        return var
    apart = site.mb.expand_dims(x=var, axes=[2])
    tiled = site.mb.tile(x=apart, reps=[1, 1, heads // count, 1, 1])
    return site.reshape(tiled, [batch, heads, length, size])
