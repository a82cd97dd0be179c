"""Products of matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from irconv_coreml.ops.registry import emits
from irconv_coreml.site import Site, Var

__all__: list[str] = []

_LINEAR_RANKS = (2, 3)
"""Ranks of inputs for which MIL's linear, with its constant weight, is used."""


@emits("MatMul")
def _matmul(site: Site) -> Var:
    """ONNX MatMul as MIL linear where the second input is a constant matrix, otherwise matmul.

    MIL's matmul does not infer the shape of a product with a vector on the right, so a vector
    becomes a column or row for the product.
    """
    mb, x = site.mb, site[0]
    weight = site.constant(1)
    if weight is not None and weight.ndim == 2 and len(x.shape) in _LINEAR_RANKS:
        name = site.node.inputs[1].name or ""  # type: ignore[union-attr]
        transposed = site.program.weight(np.ascontiguousarray(weight.T), name + ".T")
        return mb.linear(x=x, weight=transposed)
    y = site[1]
    row, column = len(x.shape) == 1, len(y.shape) == 1
    x = mb.expand_dims(x=x, axes=[0]) if row else x
    y = mb.expand_dims(x=y, axes=[1]) if column else y
    product = mb.matmul(x=x, y=y)
    axes = ([-2] if row else []) + ([-1] if column else [])
    return mb.squeeze(x=product, axes=axes) if axes else product


@emits("Gemm")
def _gemm(site: Site) -> Var:
    """ONNX Gemm: alpha A' B' + beta C, as MIL linear where B and C are constants that fit."""
    mb, a = site.mb, site[0]
    alpha, beta = site.float_("alpha", 1.0), site.float_("beta", 1.0)
    if site.int_("transA", 0):
        a = mb.transpose(x=a, perm=[1, 0])
    weight, bias = site.constant(1), site.constant(2)
    flat = bias is not None and weight is not None and _row(bias, _columns(site, weight))
    if weight is not None and alpha == 1.0 and (not site.has(2) or (flat and beta == 1.0)):
        name = site.node.inputs[1].name or ""  # type: ignore[union-attr]
        if not site.int_("transB", 0):
            weight, name = np.ascontiguousarray(weight.T), name + ".T"
        rows = site.program.weight(weight, name)
        if bias is None:
            return mb.linear(x=a, weight=rows)
        full = np.broadcast_to(bias.reshape(-1), (weight.shape[0],))
        label = site.node.inputs[2].name or ""  # type: ignore[union-attr]
        return mb.linear(x=a, weight=rows, bias=site.program.weight(full, label))
    product = mb.matmul(x=a, y=site[1], transpose_y=bool(site.int_("transB", 0)))
    if alpha != 1.0:
        product = _scaled(site, product, alpha)
    if not site.has(2):
        return product
    addend = site[2] if beta == 1.0 else _scaled(site, site[2], beta)
    return mb.add(x=product, y=addend)


def _scaled(site: Site, x: Var, factor: float) -> Var:
    if site.kind(x) == "int32" and not float(factor).is_integer():
        product = site.mb.mul(x=site.cast(x, "fp32"), y=np.float32(factor))
        return site.mb.cast(x=product, dtype="int32")
    return site.mb.mul(x=x, y=site.like(factor, x))


def _columns(site: Site, weight: np.ndarray[Any, Any]) -> int:
    return int(weight.shape[0 if site.int_("transB", 0) else 1])


def _row(bias: np.ndarray[Any, Any], columns: int) -> bool:
    """Return whether a bias is one value a column, or one for all."""
    return bias.size == 1 or (bias.size == columns and bias.shape[-1] == columns)
