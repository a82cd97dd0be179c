"""How many terms an operator adds up, from the shapes of its inputs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import onnx_ir as ir

__all__ = ["reduction_length"]

_NORMALIZATIONS_FROM_AXIS = frozenset({"LayerNormalization", "RMSNormalization"})
_SPATIAL_NORMALIZATIONS = frozenset({"InstanceNormalization", "GroupNormalization"})
_SOFTMAXES = frozenset({"Softmax", "LogSoftmax", "CumSum"})
_RECURRENT = frozenset({"RNN", "GRU", "LSTM"})
_GLOBAL_POOLS = frozenset({"GlobalAveragePool", "GlobalLpPool"})


def reduction_length(node: ir.Node, sizes: Mapping[str, int]) -> int:
    """Return the number of terms behind one element of the output; 1 where none are added.

    Dimensions that stay unknown count as 1, so the length is then too small, never too large.

    Args:
        node: The node; shapes of its inputs have been inferred.
        sizes: Sizes of named dimensions.
    """
    if node.domain != "":
        return 1
    shapes = [_extents(value, sizes) for value in node.inputs]
    return max(1, _terms(node, shapes, _extents(node.outputs[0], sizes)))


def _extents(value: ir.Value | None, sizes: Mapping[str, int]) -> tuple[int, ...]:
    if value is None or value.shape is None:
        return ()
    return tuple(
        dim if isinstance(dim, int) else sizes.get(dim.value or "", 1) for dim in value.shape
    )


def _terms(node: ir.Node, shapes: Sequence[tuple[int, ...]], output: tuple[int, ...]) -> int:
    operator = node.op_type
    first = shapes[0] if shapes else ()
    second = shapes[1] if len(shapes) > 1 else ()
    if operator in ("MatMul", "MatMulInteger"):
        return max(first[-1] if first else 1, second[-2] if len(second) > 1 else 1)
    if operator == "QLinearMatMul":
        return first[-1] if first else 1
    if operator == "Gemm":
        return first[0 if _integer(node, "transA", 0) else -1] if len(first) == 2 else 1
    if operator in ("Conv", "ConvInteger", "DeformConv"):
        return math.prod(second[1:])
    if operator == "QLinearConv":
        return math.prod(shapes[3][1:])
    if operator == "ConvTranspose":
        group = max(1, _integer(node, "group", 1))
        return (second[0] // group) * math.prod(second[2:]) if second else 1
    if operator in _RECURRENT:
        return (second[-1] if second else 1) + (shapes[2][-1] if shapes[2] else 1)
    if operator.startswith("Reduce"):
        return math.prod(first) // max(1, math.prod(output))
    if operator in _SOFTMAXES:
        axis = _integer(node, "axis", -1)
        return first[axis] if -len(first) <= axis < len(first) else 1
    if operator in _NORMALIZATIONS_FROM_AXIS:
        return math.prod(first[_integer(node, "axis", -1) :])
    if operator in _SPATIAL_NORMALIZATIONS or operator in _GLOBAL_POOLS:
        return math.prod(first[2:])
    if operator in ("AveragePool", "LpPool"):
        kernel = node.attributes.get("kernel_shape")
        return math.prod(kernel.as_ints()) if kernel is not None and not kernel.is_ref() else 1
    if operator == "Attention":
        return max(*first[-1:], *second[-2:-1], 1)
    if operator == "DFT":
        return min(first[1:-1], default=1)
    if operator == "STFT":
        return math.prod(shapes[2] if len(shapes) > 2 else ())
    if operator in ("Einsum", "Mean", "Sum"):
        return _contraction(shapes, output)
    return 1


def _contraction(shapes: Sequence[tuple[int, ...]], output: tuple[int, ...]) -> int:
    """Bound a contraction's terms by the largest input over the part of it that is kept."""
    largest = max((math.prod(shape) for shape in shapes), default=1)
    return max(1, largest // max(1, min(math.prod(output), largest)))


def _integer(node: ir.Node, name: str, default: int) -> int:
    attribute = node.attributes.get(name)
    return default if attribute is None or attribute.is_ref() else attribute.as_int()
