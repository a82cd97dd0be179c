"""The mask of ONNX Attention: as long as the keys, with what is_causal masks.

By the operator specification of ONNX Attention (since opset 24): a mask is padded by -inf to the
number of keys, a causal one lets a query attend to former keys and those up to its own position,
and a row that is masked as a whole gives 0.
"""

from __future__ import annotations

import numpy as np

from irconv_coreml import node as ask
from irconv_coreml.site import Site, Var

__all__ = ["MASK", "PAST_KEY", "attends_always", "masked_rows", "whole_mask"]

MASK, PAST_KEY = 3, 4
"""Positions of inputs."""


def whole_mask(site: Site, query: Var, key: Var) -> Var | None:
    """Return what an Attention masks, or None: its mask, its causal one, or both.

    Args:
        site: The node.
        query: Queries [N, heads, L, size].
        key: All keys, former ones first, [N, heads, S, size].

    Returns:
        Bools that are true where a key is attended to, or floats to add to the scores; both
        broadcast to [N, heads, L, S].
    """
    mask = _full_length(site, site[MASK], key) if site.has(MASK) else None
    if not site.int_("is_causal", 0):
        return mask
    causal = _causal(site, query, key)
    if mask is None:
        return causal
    if site.kind(mask) == "bool":
        return site.mb.logical_and(x=mask, y=causal)
    zeros = site.mb.mul(x=site.mb.cast(x=causal, dtype=site.kind(mask)), y=site.like(0, mask))
    bias = site.mb.select(cond=causal, a=zeros, b=site.like(-np.inf, mask))
    return site.mb.add(x=mask, y=bias)


def _full_length(site: Site, mask: Var, key: Var) -> Var:
    """Return a mask of as many columns as there are keys; ONNX masks what it is too short for."""
    mb, node, sizes = site.mb, site.node, site.program.sizes
    own, length = site.shape_vector(mask)[-1], site.shape_vector(key)[2]
    if isinstance(own, int) and isinstance(length, int):
        same = own == length
    else:
        masked, keys = sizes.dims(ask.given(node, MASK)), sizes.dims(ask.given(node, 1))
        if site.has(PAST_KEY):
            keys = sizes.dims(node.outputs[1]) if len(node.outputs) > 1 else None
        same = bool(masked and keys and masked[-1] == keys[-2])
    if same:
        return mask
    positions = _positions(site, key)
    last = np.int32(own - 1) if isinstance(own, int) else mb.sub(x=own, y=np.int32(1))
    index = mb.minimum(x=positions, y=last)
    held = site.cast(mask, "int32") if site.kind(mask) == "bool" else mask
    columns = mb.gather(x=held, indices=index, axis=len(mask.shape) - 1)
    inside = mb.less_equal(x=positions, y=last)
    if site.kind(mask) == "bool":
        return mb.logical_and(x=site.cast(columns, "bool"), y=inside)
    return mb.select(cond=inside, a=columns, b=site.like(-np.inf, columns))


def _causal(site: Site, query: Var, key: Var) -> Var:
    """Return where a key is not after the query: former keys, and those up to its own position."""
    mb = site.mb
    own = _positions(site, query)
    if site.has(PAST_KEY):
        own = mb.add(x=own, y=site.shape_vector(site[PAST_KEY])[2])
    return mb.greater_equal(
        x=mb.expand_dims(x=own, axes=[1]), y=mb.expand_dims(x=_positions(site, key), axes=[0])
    )


def _positions(site: Site, var: Var) -> Var:
    """Return 0, 1, ... for the positions of queries or keys."""
    length = site.shape_vector(var)[2]
    if isinstance(length, int):
        return site.mb.const(val=np.arange(length, dtype=np.int32))
    return site.mb.range_1d(start=np.int32(0), end=length, step=np.int32(1))


def attends_always(site: Site) -> bool:
    """Return whether no row of the mask can be masked as a whole."""
    if not site.has(MASK):
        return True
    mask = site.constant(MASK)
    if mask is None or site.int_("is_causal", 0):
        return False
    return bool((mask if mask.dtype == np.bool_ else mask != -np.inf).any(axis=-1).all())


def masked_rows(site: Site, mask: Var) -> Var:
    """Return, for each row of a mask, whether it is masked as a whole."""
    mb = site.mb
    if site.kind(mask) == "bool":
        seen = mb.reduce_max(x=mb.cast(x=mask, dtype="int32"), axes=[-1], keep_dims=True)
        return mb.equal(x=seen, y=np.int32(0))
    most = mb.reduce_max(x=mask, axes=[-1], keep_dims=True)
    return mb.equal(x=most, y=site.like(-np.inf, most))
