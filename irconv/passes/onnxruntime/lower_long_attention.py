"""Lowering attention over long sequences to ONNX Runtime's MultiHeadAttention.

MultiHeadAttention (domain com.microsoft, since 1) with neither mask nor cache never holds the
scores as a whole (FlashAttention, arXiv:2205.14135), which Attention of opset 23 does. Measured
with ONNX Runtime 1.32, its optimizer off, on 6 to 12 heads of 64: 0.82 to 0.99 of the time from
1,024 positions on, and 0.9 to 1.1 below 600. With a mask it is the slower one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import onnx_ir as ir

from irconv.passes.decompose.block import Keep
from irconv.passes.fusions.base import Fusion, Matcher
from irconv.passes.fusions.fused import Fused
from irconv.passes.fusions.pattern import number_attribute, operand
from irconv.passes.onnxruntime.domain import CONTRIB

if TYPE_CHECKING:
    from irconv.graph.scopes import Scope
    from irconv.graph.symbolic.sizes import Sizes

__all__ = ["LowerLongAttention"]

_SHORTEST = 1024
_KNOWN = frozenset({"kv_num_heads", "q_num_heads", "scale"})


@dataclass(frozen=True)
class LowerLongAttention(Fusion):
    """Lower Attention of at least 1,024 queries and keys, with neither mask nor cache.

    Before::

        < ir_version: 11, opset_import: ["" : 23] >
        g (float[N, 1500, 4] q, float[N, 1500, 4] k, float[N, 1500, 4] v)
          => (float[N, 1500, 4] y)
        {
            y = Attention <kv_num_heads = 2, q_num_heads = 2> (q, k, v)
        }

    After::

        < ir_version: 11, opset_import: ["" : 23, "com.microsoft" : 1] >
        g (float[N, 1500, 4] q, float[N, 1500, 4] k, float[N, 1500, 4] v)
          => (float[N, 1500, 4] y)
        {
            y = com.microsoft.MultiHeadAttention <num_heads = 2> (q, k, v)
        }
    """

    name: ClassVar[str] = "lower-long-attention"
    after: ClassVar[tuple[str, ...]] = (*Fusion.after, "fuse-attention")
    anchors: ClassVar[frozenset[str]] = frozenset({"Attention"})

    def matcher(self, model: ir.Model) -> Matcher:
        """Follow the sizes through the model, once."""
        from irconv.graph.symbolic.sizes import Sizes

        sizes = Sizes(model)

        def match(node: ir.Node, scope: Scope) -> Fused | None:
            del scope
            return _lowered(node, sizes)

        return match


def _lowered(node: ir.Node, sizes: Sizes) -> Fused | None:
    heads = number_attribute(node, "q_num_heads", 0)
    if not heads:
        return None
    if any(value is not None for value in node.inputs[3:]):
        raise Keep("it has a mask or a cache, with which the standard operator is faster")
    parts = [operand(node, index) for index in range(3)]
    values = [part for part in parts if part is not None]
    dims = [sizes.dims(part) for part in values]
    shapes = [part for part in dims if part is not None and len(part) == 3]
    if len(shapes) < 3:
        return None
    lengths = [shapes[0][1], shapes[1][1]]
    if not all(isinstance(length, int) and length >= _SHORTEST for length in lengths):
        raise Keep(f"lengths {lengths[0]} and {lengths[1]} are not known to be {_SHORTEST} or more")
    if any(value.uses() or value.is_graph_output() for value in node.outputs[1:]):
        raise Keep("keys and values are given out")
    others = sorted(set(node.attributes) - _KNOWN)
    if others:
        raise Keep(f"the kernel has no attribute {others[0]!r}")
    if number_attribute(node, "kv_num_heads", 0) != heads:
        raise Keep("heads share keys and values")
    if sizes.dtype(values[0]) != ir.DataType.FLOAT:
        dtype = sizes.dtype(values[0])
        raise Keep(f"the kernel takes float32, and {values[0].name!r} is {dtype}")
    scale = node.attributes.get("scale")
    return Fused(
        "MultiHeadAttention",
        values,
        [node.outputs[0]],
        {"num_heads": heads, "scale": None if scale is None else scale.as_float()},
        domain=CONTRIB,
        sized=True,
    )
