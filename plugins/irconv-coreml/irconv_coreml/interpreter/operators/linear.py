"""Matrix products and attention."""

from __future__ import annotations

import math

import numpy as np

from irconv.runtime.base import Array
from irconv_coreml.interpreter.registry import interprets

__all__: list[str] = []


@interprets("linear", wide=True)
def linear(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """``x weight^T + bias``."""
    if not 1 <= x.ndim <= 5:
        raise ValueError(f"its input has rank {x.ndim}")
    product = x @ weight.T
    return np.asarray(product if bias is None else product + bias)


@interprets("matmul", wide=True)
def matmul(x: Array, y: Array, transpose_x: bool = False, transpose_y: bool = False) -> Array:
    """The product of the last two dimensions, the others broadcast."""
    if x.dtype != y.dtype:
        raise TypeError(f"its operands are {x.dtype} and {y.dtype}, and MIL wants one dtype")
    left = np.swapaxes(x, -1, -2) if bool(transpose_x) and x.ndim > 1 else x
    right = np.swapaxes(y, -1, -2) if bool(transpose_y) and y.ndim > 1 else y
    return np.asarray(left @ right)


@interprets("einsum", wide=True)
def einsum(values: tuple[Array, Array], equation: str) -> Array:
    """``nchw,nwhu->nchu`` or ``chw,whr->chr``, with any letters; sizes of 1 broadcast."""
    operands, _, result = equation.replace(" ", "").partition("->")
    first, _, second = operands.partition(",")
    letters: dict[str, str] = {}
    for letter in first + second:
        letters.setdefault(letter, "abcdefghij"[len(letters)])
    plain = ["".join(letters.get(c, "?") for c in text) for text in (first, second, result)]
    if plain not in (["abcd", "adce", "abce"], ["abc", "cbd", "abd"]):
        raise ValueError(f"MIL has no equation {equation!r}")
    x, y = values
    product = np.swapaxes(x, -3, -2) @ np.swapaxes(y, -3, -2)
    return np.swapaxes(product, -3, -2)


@interprets("scaled_dot_product_attention", since=8, wide=True)
def scaled_dot_product_attention(
    query: Array, key: Array, value: Array, attn_mask: Array | None = None
) -> Array:
    """``softmax(query key^T / sqrt(E) + mask) value``; a bool mask says what is attended to."""
    scores = query @ np.swapaxes(key, -1, -2) / np.float32(math.sqrt(query.shape[-1]))
    if attn_mask is not None:
        if attn_mask.dtype == np.bool_:
            scores = np.where(attn_mask, scores, np.float32(-np.inf))
        else:
            scores = scores + attn_mask
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    result: Array = weights / weights.sum(axis=-1, keepdims=True) @ value
    return result
