"""Quantizing weights to int8, with a DequantizeLinear before their readers.

For each output channel of a weight w, with scale s > 0 and zero point z::

    q = clip(round(w / s) + z, -128, 127)          DequantizeLinear: w' = (q - z) * s

Rounding is half to even, as in QuantizeLinear (ONNX operator specification). Symmetric:
s = max|w| / 127, z = 0, and q >= -127. Asymmetric: with l = min(w, 0) and h = max(w, 0),
s = (h - l) / 255 and z = round(-128 - l / s). The scale is rounded up to the weight's dtype, so
that no weight is clipped by more than half a step, and |w - w'| <= s / 2 holds but for the
rounding of w' to that dtype (one unit in the last place of w), which is checked.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import onnx_ir as ir

from irconv.graph.names import NameAllocator
from irconv.passes.base import Effect, Pass, PassContext, PassResult
from irconv.passes.sites import Sites
from irconv.passes.weights import Weight, chunks, find_weights
from irconv.runtime.base import Array

__all__ = ["QuantizeWeights", "QuantizedTensor", "quantize_tensor"]

_PER_AXIS_OPSET = 13
_HALF_SCALE_OPSET = 19
_WORST = 5


@dataclass(frozen=True)
class QuantizedTensor:
    """A quantized weight and what quantizing it cost.

    Attributes:
        quantized: int8, of the weight's shape.
        scale: Of the weight's dtype; shape () or (channels,).
        zero_point: int8, of the scale's shape.
        max_error: max |w - w'|.
        snr_db: 10 log10(sum w^2 / sum (w - w')^2); infinite where nothing was lost.
    """

    quantized: Array
    scale: Array
    zero_point: Array
    max_error: float
    snr_db: float


def quantize_tensor(array: Array, axis: int | None, *, symmetric: bool = True) -> QuantizedTensor:
    """Quantize one weight to int8.

    Args:
        array: Finite floating-point weight of any shape.
        axis: Axis of the channels, each with a scale of its own; None for one scale in all.
        symmetric: Whether the zero point is 0.

    Raises:
        ArithmeticError: If some |w - w'| exceeds half a step: a defect.
    """
    low, high = _extremes(array, axis)
    if symmetric:
        exact = np.maximum(-low, high) / 127
        floor = -127
    else:
        exact = (high - low) / 255
        floor = -128
    scale = _round_up(exact, array.dtype)
    step = scale.astype(np.float64)
    zero = np.zeros(scale.shape) if symmetric else np.clip(np.rint(-128 - low / step), -128, 127)
    quantized = np.empty(np.atleast_1d(array).shape, np.int8)
    max_error = signal = noise = 0.0
    for part, chunk in chunks(array):
        s, z = (_along(parameter, axis, chunk.ndim, part) for parameter in (step, zero))
        exact_chunk = chunk.astype(np.float64)
        q = np.clip(np.rint(exact_chunk / s) + z, floor, 127)
        error = np.abs(exact_chunk - ((q - z) * s).astype(array.dtype).astype(np.float64))
        if not np.all(error <= s / 2 + np.spacing(np.abs(chunk)).astype(np.float64)):
            raise ArithmeticError("a dequantized weight is off by more than half a step")
        quantized[part] = q
        max_error = max(max_error, float(error.max(initial=0.0)))
        signal += float(np.square(exact_chunk).sum())
        noise += float(np.square(error).sum())
    return QuantizedTensor(
        quantized.reshape(array.shape),
        scale,
        zero.astype(np.int8),
        max_error,
        10 * math.log10(signal / noise) if noise and signal else math.inf,
    )


def _in_range(array: Array) -> bool:
    """Return whether every |w| is at most a quarter of the largest number of its dtype."""
    import ml_dtypes

    limit = float(ml_dtypes.finfo(array.dtype).max) / 4
    return all(
        bool(np.all(np.abs(chunk.astype(np.float64)) <= limit)) for _, chunk in chunks(array)
    )


def _extremes(array: Array, axis: int | None) -> tuple[Array, Array]:
    """Return min(w, 0) and max(w, 0) of each channel as float64."""
    shape = () if axis is None else (array.shape[axis],)
    low, high = np.zeros(shape), np.zeros(shape)
    for part, chunk in chunks(array):
        others = tuple(number for number in range(chunk.ndim) if number != axis)
        where: Any = part if axis == 0 else ...
        low[where] = np.minimum(low[where], chunk.min(axis=others).astype(np.float64))
        high[where] = np.maximum(high[where], chunk.max(axis=others).astype(np.float64))
    return low, high


def _round_up(exact: Array, dtype: np.dtype[Any]) -> Array:
    """Return the least value of ``dtype`` that is normal and not below ``exact``; 1 for 0."""
    import ml_dtypes

    smallest = float(ml_dtypes.finfo(dtype).tiny)
    scale = np.maximum(exact, smallest).astype(dtype)
    upward = np.nextafter(scale, np.asarray(np.inf, dtype))
    scale = np.where(scale.astype(np.float64) < exact, upward, scale)
    return np.asarray(np.where(exact == 0, np.asarray(1, dtype), scale), dtype)


def _along(parameter: Array, axis: int | None, rank: int, part: slice) -> Array:
    if axis is None:
        return parameter
    shape = [1] * rank
    shape[axis] = -1
    return (parameter[part] if axis == 0 else parameter).reshape(shape)


@dataclass(frozen=True)
class QuantizeWeights(Pass):
    """Store the weights of MatMul, Gemm, Conv, ConvTranspose and Gather as int8.

    Before::

        < ir_version: 10, opset_import: ["" : 20] >
        g (float[N, 2] x) => (float[N, 2] y)
        <float[2, 2] w = {127.0, -254.0, -63.0, 2.0}>
        {
            [product] y = MatMul (x, w)
        }

    After ``quantize-weights{min-elements=1}``::

        < ir_version: 10, opset_import: ["" : 20] >
        g (float[N, 2] x) => (float[N, 2] y)
        <int8[2, 2] w_quantized = {127, -127, -63, 1}, float[2] w_scale = {1.0, 2.0},
         int8[2] w_zero_point = {0, 0}, float[2, 2] w_dequantized>
        {
            [w_dequantized] w_dequantized = DequantizeLinear <axis: int = 1> (
                w_quantized, w_scale, w_zero_point)
            [product] y = MatMul (x, w_dequantized)
        }

    A weight that several nodes read is quantized once, along the channels of the first.

    Attributes:
        bits: Width of the stored integers.
        symmetric: Keep every zero point at 0.
        per_channel: One scale for each output channel instead of one a tensor.
        min_elements: Smaller weights are left alone.
        embeddings: Also quantize tables that Gather reads rows from.
        skip: Patterns of node names whose weights are left alone, as in a shell.
    """

    name: ClassVar[str] = "quantize-weights"
    after: ClassVar[tuple[str, ...]] = (
        "convert-opset",
        "dedup-initializers",
        "fold-constants",
        "fuse-conv-batchnorm",
        "prune-magnitude",
        "simplify",
    )
    effect: ClassVar[Effect] = "lossy"
    once: ClassVar[bool] = True

    bits: Literal[8] = 8
    symmetric: bool = True
    per_channel: bool = True
    min_elements: int = 256
    embeddings: bool = True
    skip: tuple[str, ...] = ()

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Quantize one weight after the other; each is a site, named by its first reader.

        Details: ``count``, ``bytes_before``, ``bytes_after``, ``max_error`` (the largest
        |w - w'|) and ``worst_snr_db``, the five weights that lost most.
        """
        sites = Sites(context)
        weights, refusals = find_weights(
            model,
            min_elements=self.min_elements,
            skip=self.skip,
            embeddings=self.embeddings,
        )
        names = NameAllocator(model)
        before = after = 0
        max_error = 0.0
        snr: dict[str, float] = {}
        for weight in weights:
            reason = self._obstacle(weight, model.opset_imports.get("", 1))
            if reason is not None:
                refusals.append(weight.refusal(reason))
                continue
            array = weight.tensor.numpy()
            if not _in_range(array):
                refusals.append(
                    weight.refusal("it holds values that are not finite, or near overflow")
                )
                continue
            if not sites.permit(weight.node):
                continue
            axis = weight.axis if self.per_channel else None
            result = quantize_tensor(array, axis, symmetric=self.symmetric)
            _replace(weight, result, axis, names)
            before += weight.tensor.nbytes
            after += result.quantized.nbytes + result.scale.nbytes + result.zero_point.nbytes
            max_error = max(max_error, result.max_error)
            snr[weight.name] = result.snr_db
        details = _details(snr, before, after, max_error)
        return PassResult(bool(snr), details, tuple(refusals), sites.made)

    @staticmethod
    def _obstacle(weight: Weight, opset: int) -> str | None:
        if opset < _PER_AXIS_OPSET:
            return f"opset {opset} has no DequantizeLinear by channel; run convert-opset{{to=13}}"
        if weight.tensor.dtype == ir.DataType.DOUBLE:
            return "DequantizeLinear has no float64 output"
        if weight.tensor.dtype != ir.DataType.FLOAT and opset < _HALF_SCALE_OPSET:
            return (
                f"DequantizeLinear of opset {opset} yields float32 only; "
                f"run convert-opset{{to={_HALF_SCALE_OPSET}}}"
            )
        return None


def _replace(
    weight: Weight, result: QuantizedTensor, axis: int | None, names: NameAllocator
) -> None:
    """Put a DequantizeLinear in the weight's place, and drop the weight."""
    graph, value = weight.graph, weight.value
    parameters = [
        _initializer(graph, names.fresh(f"{weight.name}_{suffix}"), array)
        for suffix, array in (
            ("quantized", result.quantized),
            ("scale", result.scale),
            ("zero_point", result.zero_point),
        )
    ]
    attributes = [] if axis is None else [ir.AttrInt64("axis", axis)]
    node = ir.Node("", "DequantizeLinear", parameters, attributes)
    output = node.outputs[0]
    output.name = node.name = names.fresh(f"{weight.name}_dequantized")
    output.dtype, output.shape = weight.tensor.dtype, ir.Shape(result.quantized.shape)
    graph.insert_before(weight.anchor, node)
    value.replace_all_uses_with(output)
    producer = value.producer()
    if producer is None:
        del graph.initializers[weight.name]
    else:
        graph.remove(producer, safe=True)


def _initializer(graph: ir.Graph, name: str, array: Array) -> ir.Value:
    tensor = ir.Tensor(array, name=name)
    value = ir.Value(
        name=name, type=ir.TensorType(tensor.dtype), shape=tensor.shape, const_value=tensor
    )
    graph.register_initializer(value)
    return value


def _details(snr: dict[str, float], before: int, after: int, max_error: float) -> dict[str, Any]:
    worst = sorted(snr.items(), key=lambda item: item[1])[:_WORST]
    return {
        "count": len(snr),
        "bytes_before": before,
        "bytes_after": after,
        "max_error": max_error,
        "worst_snr_db": {name: None if math.isinf(db) else round(db, 2) for name, db in worst},
    }
