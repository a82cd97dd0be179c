"""Fusing scaled dot-product attention into the Attention operator of opset 23.

By the function body of ONNX Attention (since opset 23), with as many keys k and values v as
there are heads of queries q, or each shared by a group of them::

    y = softmax(softcap(scale q kᵀ) + mask) v

What exporters write in its place is told apart in :mod:`irconv.passes.fusions.attention`. Where
queries, keys and values are split into heads right before, and the heads of y are merged right
after, Attention does both (``q_num_heads``, ``kv_num_heads``). Keys and values that are appended
to those of former steps become ``past_key``, ``present_key`` and their like.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from irconv.passes.fusions.base import Fusion, Matcher
from irconv.passes.fusions.fused import Fused

if TYPE_CHECKING:
    import onnx_ir as ir

    from irconv.graph.scopes import Scope

__all__ = ["FuseAttention"]


@dataclass(frozen=True)
class FuseAttention(Fusion):
    """Fuse the products, the Softmax and the mask of attention.

    Before::

        < ir_version: 11, opset_import: ["" : 23] >
        g (float[N, 2, S, 4] q, float[N, 2, T, 4] k, float[N, 2, T, 4] v, bool[N, 1, S, T] seen)
          => (float[N, 2, S, 4] y)
        <float half = {0.5}, float zero = {0.0}, float masked = {-inf}> {
            t = Transpose <perm = [0, 1, 3, 2]> (k)
            product = MatMul (q, t)
            scaled = Mul (product, half)
            mask = Where (seen, zero, masked)
            scores = Add (scaled, mask)
            p = Softmax <axis = -1> (scores)
            y = MatMul (p, v)
        }

    After::

        < ir_version: 11, opset_import: ["" : 23] >
        g (float[N, 2, S, 4] q, float[N, 2, T, 4] k, float[N, 2, T, 4] v, bool[N, 1, S, T] seen)
          => (float[N, 2, S, 4] y)
        {
            y = Attention (q, k, v, seen)
        }

    Attention that is there already takes heads apart and merges them too, if it can. Where a row
    of a mask is -inf alone, the source gives NaN and Attention gives 0.
    """

    name: ClassVar[str] = "fuse-attention"
    after: ClassVar[tuple[str, ...]] = (*Fusion.after, "fold-shapes", "fuse-rotary-embedding")
    anchors: ClassVar[frozenset[str]] = frozenset({"Attention", "Softmax"})

    def matcher(self, model: ir.Model) -> Matcher:
        """Follow the sizes through the model, once."""
        from irconv.graph.symbolic.sizes import Sizes
        from irconv.passes.fusions.attention.place import fused_attention, merged_attention

        sizes = Sizes(model)

        def match(node: ir.Node, scope: Scope) -> Fused | None:
            if node.op_type == "Attention":
                return merged_attention(node, scope, sizes)
            return fused_attention(node, scope, sizes)

        return match
