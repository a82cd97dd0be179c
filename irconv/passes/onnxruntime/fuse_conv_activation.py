"""Fusing Conv, the sum with a residual and an activation into ONNX Runtime's FusedConv.

FusedConv (domain com.microsoft, since 1) computes ``y = activation(Conv(x, w, b) + z)``. Its kernel
on the CPU adds z and applies the activation to each block of the result while that is in the
cache. Measured with ONNX Runtime 1.32, its optimizer off: 0.82 to 0.98 of the time for an
activation, 0.85 to 0.97 for a residual behind a pointwise convolution. A residual behind a larger
kernel gains nothing, and takes 1.1 times as long where ONNX Runtime may choose the layout, so it
stays outside.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import onnx_ir as ir

from irconv.graph.scopes import Scope
from irconv.passes.decompose.block import Keep
from irconv.passes.fusions.base import Fusion
from irconv.passes.fusions.bounds import clipped
from irconv.passes.fusions.fused import Fused
from irconv.passes.fusions.pattern import (
    dims_of,
    number_attribute,
    only_reader,
    operand,
    other_operand,
)
from irconv.passes.onnxruntime.domain import CONTRIB, require_float32

__all__ = ["FuseConvActivation"]

_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class FuseConvActivation(Fusion):
    """Fuse a Conv with what follows it.

    That is Relu, LeakyRelu, Sigmoid, Tanh, HardSigmoid or Clip; before it, or alone, the sum with
    a tensor of the same shape where the kernel is pointwise.

    Before::

        < ir_version: 10, opset_import: ["" : 20] >
        g (float[N, 1, 4, 4] x) => (float[N, 2, 4, 4] y)
        <float[2, 1, 1, 1] w = {1.0, 2.0}> {
            c = Conv <kernel_shape = [1, 1]> (x, w)
            y = Relu (c)
        }

    After::

        < ir_version: 10, opset_import: ["" : 20, "com.microsoft" : 1] >
        g (float[N, 1, 4, 4] x) => (float[N, 2, 4, 4] y)
        <float[2, 1, 1, 1] w = {1.0, 2.0}> {
            y = com.microsoft.FusedConv <activation = "Relu", kernel_shape = [1, 1]> (x, w)
        }
    """

    name: ClassVar[str] = "fuse-conv-activation"
    after: ClassVar[tuple[str, ...]] = (*Fusion.after, "fuse-conv-batchnorm", "fuse-hard-sigmoid")
    anchors: ClassVar[frozenset[str]] = frozenset({"Conv"})

    def match(self, node: ir.Node, scope: Scope) -> Fused | None:
        """Return the fused convolution, as much of it as there is; see :class:`Fusion`."""
        del scope
        found = _with_activation(_with_residual(_alone(node)))
        if found.op_type == "Conv":
            _explain(node)
            return None
        require_float32(node.inputs[0] or node.outputs[0])
        return found


def _alone(node: ir.Node) -> Fused:
    attributes = {
        name: attribute.value
        for name, attribute in node.attributes.items()
        if not attribute.is_ref()
    }
    if len(attributes) < len(node.attributes):
        raise Keep("an attribute is a parameter of the enclosing function")
    return Fused("Conv", list(node.inputs), [node.outputs[0]], attributes, domain=CONTRIB)


def _with_residual(conv: Fused) -> Fused:
    """Take in the sum with a tensor of the same shape."""
    output = conv.replaced[0]
    addition = only_reader(output, "Add")
    other = None if addition is None else other_operand(addition, output)
    if addition is None or other is None or other is output or not _is_pointwise(conv):
        return conv
    if not _same_known_dims(output, other):
        return conv
    inputs = [*conv.inputs, None, None][:3]
    return replace(
        conv, op_type="FusedConv", inputs=[*inputs, other], outputs=[addition.outputs[0]]
    )


def _is_pointwise(conv: Fused) -> bool:
    weight = conv.inputs[1]
    dims = dims_of(weight) if isinstance(weight, ir.Value) else None
    return dims is not None and all(dim == 1 for dim in dims[2:])


def _same_known_dims(first: ir.Value, second: ir.Value) -> bool:
    dims, others = dims_of(first), dims_of(second)
    if dims is None or dims != others:
        return False
    return all(isinstance(dim, int) or dim.value is not None for dim in dims)


def _with_activation(conv: Fused) -> Fused:
    """Take in the activation."""
    reader = only_reader(conv.replaced[0], *_PARAMETERS)
    parameters = None if reader is None else _PARAMETERS[reader.op_type](reader)
    if reader is None or parameters is None:
        return conv
    attributes: dict[str, Any] = {**conv.attributes, "activation": reader.op_type}
    if parameters:
        attributes["activation_params"] = parameters
    return replace(conv, op_type="FusedConv", outputs=[reader.outputs[0]], attributes=attributes)


def _explain(node: ir.Node) -> None:
    """Keep a convolution that an activation follows, and say what stands between them."""
    output = node.outputs[0]
    for reader, _ in output.uses():
        if reader.domain != "" or reader.op_type not in _PARAMETERS:
            continue
        if output.is_graph_output():
            raise Keep(f"{output.name!r} is also a graph output")
        if len(output.uses()) > 1:
            raise Keep(f"{output.name!r} has other readers")
        raise Keep(f"the bounds of {reader.op_type} are computed, or it bounds nothing")


def _none(node: ir.Node) -> list[float] | None:
    del node
    return []


def _slope(node: ir.Node) -> list[float] | None:
    return [number_attribute(node, "alpha", 0.01)]


def _line(node: ir.Node) -> list[float] | None:
    return [number_attribute(node, "alpha", 0.2), number_attribute(node, "beta", 0.5)]


def _bounds(node: ir.Node) -> list[float] | None:
    """Return finite bounds of a Clip; None where they are computed."""
    found = clipped(node)
    if found is None or operand(node, 0) is not found[0]:
        return None
    return [min(max(bound, -_LARGEST), _LARGEST) for bound in found[1:]]


_PARAMETERS: Mapping[str, Callable[[ir.Node], list[float] | None]] = {
    "Relu": _none,
    "Sigmoid": _none,
    "Tanh": _none,
    "LeakyRelu": _slope,
    "HardSigmoid": _line,
    "Clip": _bounds,
}
