"""Passes that store weights in the compressed forms of Core ML: blocked int4, and palettes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from irconv.passes.base import Effect, Pass, PassContext, PassResult

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["BlockQuantizeWeights", "PalettizeWeights"]

_BLOCKED_OPSET = 21


@dataclass(frozen=True)
class BlockQuantizeWeights(Pass):
    """Store weights as int4 in blocks, each with a symmetric scale max|w| / 7 of its own.

    Blocks lie along the axis before or after that of the output channels. A weight whose size
    there is no multiple of the block is left alone. ONNX's text has int4 as bytes: 148 is 4, -7.

    Before::

        <ir_version: 10, opset_import: ["" : 21]>
        g (float[N, 2] x) => (float[N, 1] y)
        <float[2, 1] w = {7.0, -14.0}>
        {
            [product] y = MatMul (x, w)
        }

    After ``block-quantize-weights{min-elements=1,block=2}``::

        <ir_version: 10, opset_import: ["" : 21]>
        g (float[N, 2] x) => (float[N, 1] y)
        <int4[2, 1] w_quantized = {148}, float[1, 1] w_scale = {2.0},
         float[2, 1] w_dequantized>
        {
            [w_dequantized] w_dequantized = DequantizeLinear <axis: int = 0, block_size: int = 2> (
                w_quantized, w_scale)
            [product] y = MatMul (x, w_dequantized)
        }

    Attributes:
        block: Elements that share a scale.
        min_elements: Smaller weights are left alone.
    """

    name: ClassVar[str] = "block-quantize-weights"
    effect: ClassVar[Effect] = "lossy"
    once: ClassVar[bool] = True

    block: int = 32
    min_elements: int = 512

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Quantize one weight after the other; see :class:`Pass`. Details: ``count``."""
        import onnx_ir as ir

        from irconv.graph.names import NameAllocator
        from irconv.passes.weights import find_weights
        from irconv_coreml.stored_forms import blocks, initializer, obstacle, put

        del context
        weights, refusals = find_weights(model, min_elements=self.min_elements)
        names = NameAllocator(model)
        count = 0
        for weight in weights:
            array = weight.tensor.numpy()
            axis = 0 if weight.axis else min(1, array.ndim - 1)
            reason = obstacle(weight, array)
            if model.opset_imports.get("", 1) < _BLOCKED_OPSET:
                reason = f"blocks need convert-opset{{to={_BLOCKED_OPSET}}}"
            elif not reason and array.shape[axis] % self.block:
                reason = f"its size {array.shape[axis]} is no multiple of the block"
            if reason:
                refusals.append(weight.refusal(reason))
                continue
            quantized, scale = blocks(array, axis, self.block)
            inputs = [
                initializer(weight, names.fresh(f"{weight.name}_quantized"), quantized),
                initializer(weight, names.fresh(f"{weight.name}_scale"), ir.tensor(scale)),
            ]
            attributes = [ir.AttrInt64("axis", axis), ir.AttrInt64("block_size", self.block)]
            node = ir.Node("", "DequantizeLinear", inputs, attributes)
            put(weight, [node], names.fresh(f"{weight.name}_dequantized"))
            count += 1
        return PassResult(bool(count), {"count": count}, tuple(refusals))


@dataclass(frozen=True)
class PalettizeWeights(Pass):
    """Store weights as indices into a table of evenly spaced values a tensor.

    Before::

        <ir_version: 10, opset_import: ["" : 21]>
        g (float[N, 2] x) => (float[N, 1] y)
        <float[2, 1] w = {0.0, 15.0}>
        {
            [product] y = MatMul (x, w)
        }

    After ``palettize-weights{min-elements=1,bits=4}``::

        <ir_version: 10, opset_import: ["" : 21]>
        g (float[N, 2] x) => (float[N, 1] y)
        <uint8[2, 1] w_indices = {0, 15}, float[16] w_table = {0.0, 1.0, 2.0, 3.0, 4.0, 5.0,
         6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0},
         int32[2, 1] w_positions, float[2, 1] w_dense>
        {
            [w_positions] w_positions = Cast <to: int = 6> (w_indices)
            [w_dense] w_dense = Gather <axis: int = 0> (w_table, w_positions)
            [product] y = MatMul (x, w_dense)
        }

    Attributes:
        bits: Width of an index; the table has 2 to the power of it entries.
        min_elements: Smaller weights are left alone.
    """

    name: ClassVar[str] = "palettize-weights"
    effect: ClassVar[Effect] = "lossy"
    once: ClassVar[bool] = True

    bits: Literal[4, 6, 8] = 8
    min_elements: int = 512

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Palettize one weight after the other; see :class:`Pass`. Details: ``count``."""
        import numpy as np
        import onnx_ir as ir

        from irconv.graph.names import NameAllocator
        from irconv.passes.weights import find_weights
        from irconv_coreml.stored_forms import initializer, obstacle, put

        del context
        weights, refusals = find_weights(model, min_elements=self.min_elements)
        names = NameAllocator(model)
        count = 0
        for weight in weights:
            array = weight.tensor.numpy()
            reason = obstacle(weight, array)
            if reason:
                refusals.append(weight.refusal(reason))
                continue
            exact = array.astype(np.float64)
            last = 2**self.bits - 1
            low, high = float(exact.min()), float(exact.max())
            step = (high - low) / last or 1.0
            indices = np.clip(np.rint((exact - low) / step), 0, last).astype(np.uint8)
            table = (low + step * np.arange(last + 1)).astype(array.dtype)
            stored = initializer(weight, names.fresh(f"{weight.name}_indices"), ir.tensor(indices))
            entries = initializer(weight, names.fresh(f"{weight.name}_table"), ir.tensor(table))
            cast = ir.Node("", "Cast", [stored], [ir.AttrInt64("to", ir.DataType.INT32.value)])
            positions = cast.outputs[0]
            positions.name = cast.name = names.fresh(f"{weight.name}_positions")
            positions.dtype, positions.shape = ir.DataType.INT32, ir.Shape(array.shape)
            gather = ir.Node("", "Gather", [entries, positions], [ir.AttrInt64("axis", 0)])
            put(weight, [cast, gather], names.fresh(f"{weight.name}_dense"))
            count += 1
        return PassResult(bool(count), {"count": count}, tuple(refusals))
