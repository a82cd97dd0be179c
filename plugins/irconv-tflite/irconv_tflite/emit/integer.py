"""Integer kernels in place of float32 ones between DEQUANTIZE and QUANTIZE.

An operator whose operands are all dequantized, and whose result is only quantized, computes in
integers itself: the scales of its operands and result are parameters of their tensors. Weights
must be symmetric, as LiteRT's kernels expect them; the bias becomes int32 in the product of the
scales of input and weights. Source: TFLite's 8-bit quantization specification,
https://www.tensorflow.org/lite/performance/quantization_spec.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from irconv_tflite.emit.dtypes import item_size
from irconv_tflite.emit.graph import Constant, Operator, Quantization, Subgraph, Tensor
from irconv_tflite.emit.writer import Names

if TYPE_CHECKING:
    from irconv.runtime.base import Array

__all__ = ["use_integer_kernels"]

_WEIGHTED = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}
"""Operators with weights, and the dimension of the weights with one scale an index."""
_FREE = frozenset({"ADD", "MUL", "MEAN", "RELU", "RELU6", "SUB"})
"""Operators whose operands and result may have any scales."""
_SAME = frozenset({"AVERAGE_POOL_2D", "CONCATENATION", "MAX_POOL_2D"})
"""Operators whose operands and result must share scale and zero point."""
_MOVES = frozenset({"EXPAND_DIMS", "PAD", "RESHAPE", "SLICE", "SQUEEZE", "TRANSPOSE"})
"""Operators that only move data, or pad with zeros: dequantizing may as well follow them."""
_DATA_ONLY_FIRST = frozenset({"MEAN"})
_POWER_OF_TWO_BY_DEFAULT = ("ADD", "SUB")
"""Operators that take int16 scales for powers of two unless told otherwise."""
_BIAS = 2
_WIDE_BIAS = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D"})
"""Kernels that read the bias as int64 where activations have 16 bits."""


def use_integer_kernels(subgraph: Subgraph, integers: Mapping[Tensor, Tensor], names: Names) -> int:
    """Replace what can be replaced; return how many operators.

    Args:
        subgraph: The subgraph, changed in place.
        integers: For constants that were dequantized, the integers.
        names: Names of all tensors of the model.
    """
    count = 0
    if any(operator.code == "QUANTIZE" for operator in subgraph.operators):
        _dequantize_later(subgraph, names)
        count = _Integers(subgraph, integers, names).replace()
    _keep_packed(subgraph, integers)
    return count


def _keep_packed(subgraph: Subgraph, integers: Mapping[Tensor, Tensor]) -> None:
    """Store constants of float32 kernels as their integers, read through DEQUANTIZE."""
    unpacked: dict[Tensor, None] = {}
    for operator in subgraph.operators:
        for tensor in operator.inputs:
            packed = integers.get(tensor) if tensor is not None else None
            if tensor is not None and packed is not None and packed.dtype == "int8":
                unpacked[tensor] = None
    operators = []
    for tensor in unpacked:
        operators.append(Operator("DEQUANTIZE", [integers[tensor]], [tensor]))
        tensor.constant = None
    subgraph.operators = [*operators, *subgraph.operators]


def _producers(subgraph: Subgraph) -> dict[Tensor, Operator]:
    return {tensor: operator for operator in subgraph.operators for tensor in operator.outputs}


def _dequantize_later(subgraph: Subgraph, names: Names) -> None:
    """Move data before dequantizing it, in the order of the operators."""
    producers = _producers(subgraph)
    operators: list[Operator] = []
    for operator in subgraph.operators:
        operators.append(operator)
        source = operator.inputs[0] if operator.inputs else None
        before = producers.get(source) if source is not None else None
        if operator.code not in _MOVES or before is None or before.code != "DEQUANTIZE":
            continue
        stored = before.inputs[0]
        if stored is None or stored.quantization is None:
            continue
        result = operator.outputs[0]
        moved = Tensor(
            stored.dtype, result.shape, names.fresh(stored.name), None, stored.quantization
        )
        operator.inputs = [stored, *operator.inputs[1:]]
        operator.outputs = [moved]
        after = Operator("DEQUANTIZE", [moved], [result])
        producers[result] = after
        operators.append(after)
    subgraph.operators = operators


class _Integers:
    def __init__(self, subgraph: Subgraph, integers: Mapping[Tensor, Tensor], names: Names) -> None:
        self._subgraph = subgraph
        self._integers = integers
        self._names = names
        self._producer = _producers(subgraph)
        self._readers: dict[Tensor, list[Operator]] = {}
        for operator in subgraph.operators:
            for tensor in operator.inputs:
                if tensor is not None:
                    self._readers.setdefault(tensor, []).append(operator)

    def replace(self) -> int:
        """Replace operators, then drop conversions that nothing reads."""
        count = 0
        done: set[Operator] = set()
        for operator in self._subgraph.operators:
            quantize = self._only_quantized(operator)
            if quantize is None:
                continue
            inputs = self._integer_inputs(operator, quantize.outputs[0])
            if inputs is not None:
                operator.inputs, operator.outputs = inputs, quantize.outputs
                if operator.code in _POWER_OF_TWO_BY_DEFAULT:
                    operator.options = {**operator.options, "potScaleInt16": False}
                done.add(quantize)
                count += 1
        kept = [operator for operator in self._subgraph.operators if operator not in done]
        self._subgraph.operators = _without_unread(kept, self._subgraph.outputs)
        return count

    def _only_quantized(self, operator: Operator) -> Operator | None:
        if operator.code not in {*_WEIGHTED, *_FREE, *_SAME} or len(operator.outputs) != 1:
            return None
        result = operator.outputs[0]
        readers = self._readers.get(result, [])
        if len(readers) != 1 or readers[0].code != "QUANTIZE" or result in self._subgraph.outputs:
            return None
        return readers[0]

    def _stored(self, tensor: Tensor | None) -> Tensor | None:
        """Return the integers that an activation was dequantized from."""
        producer = None if tensor is None else self._producer.get(tensor)
        if producer is None or producer.code != "DEQUANTIZE":
            return None
        return producer.inputs[0]

    def _integer_inputs(self, operator: Operator, result: Tensor) -> list[Tensor | None] | None:
        first = self._stored(operator.inputs[0])
        if first is None or first.quantization is None or first.dtype != result.dtype:
            return None
        if operator.code in _WEIGHTED:
            return self._weighted(operator, first)
        if operator.code in _DATA_ONLY_FIRST:
            inputs: list[Tensor | None] = [first, *operator.inputs[1:]]
        else:
            inputs = []
            for tensor in operator.inputs:
                stored = self._stored(tensor)
                if stored is None or stored.dtype != result.dtype:
                    return None
                inputs.append(stored)
        if operator.code in _SAME:
            if any(item is None or item.quantization != result.quantization for item in inputs):
                return None
        elif first.dtype == "int16" and not _all_symmetric(inputs, result):
            return None
        return inputs

    def _weighted(self, operator: Operator, first: Tensor) -> list[Tensor | None] | None:
        weights, bias = operator.inputs[1], operator.inputs[_BIAS]
        packed = None if weights is None else self._integers.get(weights)
        if packed is None or packed.quantization is None or packed.dtype != "int8":
            return None
        if any(packed.quantization.zero_points):
            return None
        axis = _WEIGHTED[operator.code]
        assert packed.shape is not None
        scales = packed.quantization.scales
        if len(scales) > 1 and packed.quantization.axis != axis:
            return None
        dtype = "int64" if first.dtype == "int16" and operator.code in _WIDE_BIAS else "int32"
        return [first, packed, self._bias(bias, first, packed, packed.shape[axis] or 0, dtype)]

    def _bias(
        self, bias: Tensor | None, first: Tensor, packed: Tensor, width: int, dtype: str
    ) -> Tensor | None:
        """Return the bias as integers in the product of the scales of input and weights."""
        if bias is None:
            return None
        constant = bias.constant
        assert first.quantization is not None
        assert packed.quantization is not None
        assert constant is not None
        scales = tuple(first.quantization.scales[0] * item for item in packed.quantization.scales)
        steps = np.array(scales)
        limits = np.iinfo(np.int32)

        def rounded() -> Array:
            wide = np.rint(constant.load().astype(np.float64) / steps)
            narrow: Array = wide.clip(limits.min, limits.max).astype(dtype)
            return narrow

        parameters = Quantization(scales, (0,) * len(scales), 0)
        name = self._names.fresh(bias.name)
        nbytes = width * item_size(dtype)
        return Tensor(dtype, (width,), name, Constant(rounded, nbytes), parameters)


def _all_symmetric(inputs: list[Tensor | None], result: Tensor) -> bool:
    return not any(
        zero
        for tensor in (*inputs, result)
        if tensor is not None and tensor.quantization is not None
        for zero in tensor.quantization.zero_points
    )


def _without_unread(operators: list[Operator], outputs: list[Tensor]) -> list[Operator]:
    readers = Counter(outputs)
    kept: list[Operator] = []
    for operator in reversed(operators):
        if any(readers[tensor] for tensor in operator.outputs):
            kept.append(operator)
            readers.update(tensor for tensor in operator.inputs if tensor is not None)
    return kept[::-1]
