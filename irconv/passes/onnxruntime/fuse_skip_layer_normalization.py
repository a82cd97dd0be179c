"""Fusing a residual sum and the normalization behind it into ONNX Runtime's own operators.

SkipLayerNormalization and SkipSimplifiedLayerNormalization (domain com.microsoft, since 1)
normalize x + skip + bias over the last axis and give the sum as their fourth output. Execution
providers for GPUs gain by it. The kernels on the CPU do not: with ONNX Runtime 1.32, one thread and
1 x 128 x 768 floats, 0.50 ms against 0.07 ms for Add and LayerNormalization, and 0.12 ms against
0.05 ms for Add and RMSNormalization. So no level has this pass; ``--passes`` adds it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from irconv.graph.constants import is_constant
from irconv.graph.scopes import Scope
from irconv.passes.decompose.block import Keep
from irconv.passes.fusions.base import Fusion
from irconv.passes.fusions.fused import Fused
from irconv.passes.fusions.pattern import (
    dims_of,
    made_by,
    number_attribute,
    only_reader,
    operand,
    pairs,
)
from irconv.passes.onnxruntime.domain import CONTRIB

__all__ = ["FuseSkipLayerNormalization"]

_KERNELS = (ir.DataType.FLOAT, ir.DataType.FLOAT16)
_RANKS = (2, 3)
_FLOAT = 1
_EPSILON = 1e-5


@dataclass(frozen=True)
class FuseSkipLayerNormalization(Fusion):
    """Fuse LayerNormalization or RMSNormalization with the sum before it.

    Before::

        < ir_version: 10, opset_import: ["" : 20] >
        g (float[N, T, 2] x, float[N, T, 2] z) => (float[N, T, 2] y, float[N, T, 2] s)
        <float[2] scale = {1.0, 2.0}, float[2] shift = {0.0, 1.0}, float[2] b = {1.0, 0.0}> {
            biased = Add (x, b)
            s = Add (z, biased)
            y = LayerNormalization <axis = -1> (s, scale, shift)
        }

    After::

        < ir_version: 10, opset_import: ["" : 20, "com.microsoft" : 1] >
        g (float[N, T, 2] x, float[N, T, 2] z) => (float[N, T, 2] y, float[N, T, 2] s)
        <float[2] scale = {1.0, 2.0}, float[2] shift = {0.0, 1.0}, float[2] b = {1.0, 0.0}> {
            y, , , s = com.microsoft.SkipLayerNormalization <epsilon = 1e-05>
                (x, z, scale, shift, b)
        }
    """

    name: ClassVar[str] = "fuse-skip-layer-normalization"
    after: ClassVar[tuple[str, ...]] = (
        *Fusion.after,
        "fuse-layer-normalization",
        "fuse-rms-normalization",
    )
    anchors: ClassVar[frozenset[str]] = frozenset({"LayerNormalization", "RMSNormalization"})

    def match(self, node: ir.Node, scope: Scope) -> Fused | None:
        """Return the operator in the place of both; see :class:`Fusion`."""
        del scope
        total = operand(node, 0)
        addition = made_by(total, "Add")
        first, second = (None, None) if addition is None else addition.inputs
        if total is None or first is None or second is None:
            return None
        data, skip, bias = _biased(first, second)
        dims = dims_of(data)
        if dims is None or dims != dims_of(skip):
            raise Keep(f"the operands of {total.name!r} are not known to be of one shape")
        if len(dims) not in _RANKS:
            raise Keep(f"{total.name!r} has {len(dims)} axes, and the kernels take 2 or 3")
        if data.dtype not in _KERNELS:
            raise Keep(f"the kernels take float32 and float16, and {data.name!r} is {data.dtype}")
        if number_attribute(node, "axis", -1) not in (-1, len(dims) - 1):
            raise Keep("it does not normalize the last axis alone")
        if number_attribute(node, "stash_type", _FLOAT) != _FLOAT:
            raise Keep("it does not compute in float32")
        parameters = [_along(operand(node, index), dims[-1]) for index in (1, 2)]
        if node.op_type == "RMSNormalization":
            op_type, inputs = "SkipSimplifiedLayerNormalization", [data, skip, parameters[0], bias]
        else:
            op_type, inputs = "SkipLayerNormalization", [data, skip, *parameters, bias]
        kept = total.is_graph_output() or len(total.uses()) > 1
        return Fused(
            op_type,
            inputs[: _last(inputs)],
            [node.outputs[0], None, None, total] if kept else [node.outputs[0]],
            {"epsilon": number_attribute(node, "epsilon", _EPSILON)},
            domain=CONTRIB,
            sized=True,
            before=addition,
        )


def _along(parameter: ir.Value | None, size: int | ir.SymbolicDim) -> ir.Value | None:
    """Check that a parameter of a normalization is a constant for the last axis."""
    if parameter is None:
        return None
    if not is_constant(parameter) or dims_of(parameter) != (size,):
        raise Keep(f"{parameter.name!r} is no constant of the last axis' size")
    return parameter


def _biased(first: ir.Value, second: ir.Value) -> tuple[ir.Value, ir.Value, ir.Value | None]:
    """Return data, skip and a constant bias, where one operand is nothing but a sum with it."""
    for whole, skip in ((first, second), (second, first)):
        dims = dims_of(skip)
        if not dims or first is second or only_reader(whole, "Add") is None:
            continue
        for data, bias in pairs(whole, "Add"):
            if is_constant(bias) and dims_of(bias) == dims[-1:] and dims_of(data) == dims:
                return data, skip, bias
    return first, second, None


def _last(inputs: list[ir.Value | None]) -> int:
    """Return how many inputs there are up to the last that is not absent."""
    return max(index for index, value in enumerate(inputs, 1) if value is not None)
