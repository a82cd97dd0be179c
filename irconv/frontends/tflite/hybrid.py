"""Operators on real numbers whose weights are integers.

LiteRT computes these in integers: it rounds the activations of each row to a grid that it lays
through the row's own extremes, at run time. That is part of what the source computes, so it is
said here in plain operators; without it (``hybrid=weights``) the weights alone are quantized.

Source: ``SymmetricQuantizeFloats`` and ``AsymmetricQuantizeFloats`` of TFLite's
``portable_tensor_utils``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx_ir as ir

    from irconv.frontends.tflite.edges import Edge
    from irconv.frontends.tflite.site import Site

__all__ = ["activations", "is_hybrid", "is_rounded"]

_NOTE = (
    "LiteRT rounds activations to 8 bits where only weights are quantized; the operators that do "
    "it are in the graph (leave them out by --frontend tflite{hybrid=weights})"
)
_WEIGHTS_NOTE = (
    "LiteRT rounds activations to 8 bits where only weights are quantized; by hybrid=weights the "
    "graph does not, and differs from the source by that"
)


def is_hybrid(x: Edge, weights: Edge) -> bool:
    """Whether LiteRT rounds ``x`` before it multiplies it by ``weights``."""
    return (
        x.tensor.dtype == "float32"
        and weights.stored is None
        and weights.quantization is not None
        and weights.tensor.dtype in ("int8", "uint8", "int4")
    )


def is_rounded(site: Site, x: Edge, weights: Edge) -> bool:
    """Whether the graph is to round ``x`` as LiteRT does."""
    return is_hybrid(x, weights) and site.scope.conversion.exact


def activations(
    site: Site,
    x: Edge,
    weights: Edge,
    *,
    asymmetric: bool,
    axes: Sequence[int],
    first: bool = False,
) -> ir.Value:
    """Return the operand as the kernel multiplies it.

    Args:
        site: The operator.
        x: The activations.
        weights: The weights.
        asymmetric: Whether the grid goes from the smallest to the largest number.
        axes: Dimensions of ``x`` that one grid covers.
        first: Whether channels come first.
    """
    value = x.real(first=first)
    if not is_hybrid(x, weights):
        return value
    conversion = site.scope.conversion
    conversion.notes[_NOTE if conversion.exact else _WEIGHTS_NOTE] = None
    if not conversion.exact:
        return value
    key = f"hybrid {asymmetric} {list(axes)} {first}"
    if key not in x.cache:
        x.cache[key] = _rounded(site, value, asymmetric=asymmetric, axes=axes)
    found: ir.Value = x.cache[key]
    return found


def _rounded(site: Site, value: ir.Value, *, asymmetric: bool, axes: Sequence[int]) -> ir.Value:
    nodes = site.nodes
    zero, one = nodes.constant(0.0, "float32"), nodes.constant(1.0, "float32")
    over = nodes.ints(axes)
    if not asymmetric:
        largest = nodes.op("ReduceMax", nodes.op("Abs", value), over)
        step = nodes.op("Div", largest, nodes.constant(127.0, "float32"))
        step = nodes.op("Where", nodes.op("Equal", step, zero), one, step)
        return nodes.op("Mul", nodes.op("Round", nodes.op("Div", value, step)), step)
    low = nodes.op("Min", nodes.op("ReduceMin", value, over), zero)
    high = nodes.op("Max", nodes.op("ReduceMax", value, over), zero)
    step = nodes.op("Div", nodes.op("Sub", high, low), nodes.constant(255.0, "float32"))
    step = nodes.op("Where", nodes.op("Equal", step, zero), one, step)
    bottom, top = nodes.constant(-128.0, "float32"), nodes.constant(127.0, "float32")
    point = nodes.op("Sub", bottom, nodes.op("Div", low, step))
    point = nodes.op("Clip", nodes.op("Round", point), bottom, top)
    shifted = nodes.op("Round", nodes.op("Add", nodes.op("Div", value, step), point))
    integers = nodes.op("Clip", shifted, bottom, top)
    return nodes.op("Mul", nodes.op("Sub", integers, point), step)
