"""x / c -> x * (1 / c) for a constant c.

Where every element of ``c`` is a power of two, ``1 / c`` is exact in binary floating point, and
both sides are one and the same real number, rounded once: the results are equal bit by bit.
For any other ``c`` the reciprocal itself is rounded, so a result may be off by one unit in the
last place or two; that is done only where it is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from irconv.graph.constants import constant_tensor
from irconv.graph.names import NameAllocator
from irconv.graph.walk import all_nodes
from irconv.passes.base import Effect, Pass, PassContext, PassResult, Refusal
from irconv.passes.sites import Sites
from irconv.runtime.base import Array

__all__ = ["ReplaceDivByConstant"]

_FLOATS = (ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16)


@dataclass(frozen=True)
class ReplaceDivByConstant(Pass):
    """Divide by a constant by multiplying with its reciprocal.

    Before::

        < ir_version: 10, opset_import: ["" : 20] >
        scale (float[N, 2] x) => (float[N, 2] y)
        <float[2] c = {4.0, 0.5}>
        { y = Div (x, c) }

    After::

        < ir_version: 10, opset_import: ["" : 20] >
        scale (float[N, 2] x) => (float[N, 2] y)
        <float[2] c = {4.0, 0.5}, float[2] c_reciprocal>
        {
            c_reciprocal = Constant <value = float[2] {0.25, 2.0}> ()
            y = Mul (x, c_reciprocal)
        }

    Attributes:
        exact: Only replace where the result cannot change by a single bit.
    """

    name: ClassVar[str] = "replace-div-by-constant"
    effect: ClassVar[Effect] = "real-arithmetic"

    exact: bool = True

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Replace every such division; see :meth:`irconv.passes.base.Pass.run`."""
        names = NameAllocator(model)
        sites, refusals = Sites(context), list[Refusal]()
        for node in list(all_nodes(model)):
            if node.op_type != "Div" or node.domain != "":
                continue
            divisor = constant_tensor(node.inputs[1])
            reason = self._refusal(divisor, context)
            if divisor is None or reason:
                refusals.append(Refusal(node.name or "", node.op_type, reason))
            elif sites.permit(node):
                _replace(node, divisor, names)
        replaced = len(sites.made)
        return PassResult(replaced > 0, {"replaced": replaced}, tuple(refusals), sites.made)

    def _refusal(self, divisor: ir.TensorProtocol | None, context: PassContext) -> str:
        """Return the first condition that fails, or the empty string."""
        if divisor is None:
            return "the divisor is no constant"
        if divisor.dtype not in _FLOATS:
            return f"the division is in {divisor.dtype}, which has no reciprocals"
        if divisor.nbytes > context.max_constant_bytes:
            return f"the divisor has more than {context.max_constant_bytes} bytes"
        array = divisor.numpy()
        if not _has_normal_reciprocal(array):
            return "the divisor or its reciprocal is zero, subnormal or not finite"
        if self.exact and not _is_power_of_two(array):
            return "the divisor is no power of two, and the result must be exact"
        return ""


def _has_normal_reciprocal(array: Array) -> bool:
    """Say whether no element and no reciprocal is zero, infinite or flushed to zero."""
    with np.errstate(all="ignore"):
        both = np.abs(np.stack([array, 1 / array]))
    return bool(np.all(np.isfinite(both) & (both >= np.finfo(array.dtype).smallest_normal)))


def _is_power_of_two(array: Array) -> bool:
    """Say whether every element is 2**k or -2**k: its mantissa is one half."""
    return bool(np.all(np.abs(np.frexp(array)[0]) == 0.5))


def _replace(node: ir.Node, divisor: ir.TensorProtocol, names: NameAllocator) -> None:
    """Turn ``node`` into a multiplication with a new constant that stands just before it.

    The constant is a node and no initializer, because a function's graph has no initializers.
    """
    assert node.graph is not None
    assert node.inputs[1] is not None
    reciprocal = np.asarray(1 / divisor.numpy(), dtype=divisor.dtype.numpy())
    constant = ir.node("Constant", [], attributes={"value": ir.tensor(reciprocal)})
    output = constant.outputs[0]
    output.name = names.fresh(f"{node.inputs[1].name}_reciprocal")
    output.dtype, output.shape = divisor.dtype, ir.Shape(reciprocal.shape)
    node.graph.insert_before(node, constant)
    node.op_type = "Mul"
    node.replace_input_with(1, output)
