"""Small improvements of a lowered graph: what follows an operator becomes part of it.

* RELU, RELU6 and RELU_N1_TO_1 become the producer's fused activation.
* ADD of a constant row after FULLY_CONNECTED or a convolution becomes its bias.
* TRANSPOSE after TRANSPOSE becomes one, or none where they undo each other.
* Operators that nothing reads are dropped.

All of this leaves every number as it is, but for the order in which a bias is added.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from irconv_tflite.emit.graph import Constant, Operator, Subgraph, Tensor

if TYPE_CHECKING:
    from irconv.runtime.base import Array
    from irconv_tflite.emit.writer import Names

__all__ = ["improve"]

_ACTIVATIONS = {"RELU": "RELU", "RELU6": "RELU6", "RELU_N1_TO_1": "RELU_N1_TO_1"}
_TAKE_ACTIVATION = frozenset(
    {
        "ADD", "AVERAGE_POOL_2D", "CONV_2D", "CONV_3D", "DEPTHWISE_CONV_2D", "DIV",
        "FULLY_CONNECTED", "MAX_POOL_2D", "MUL", "SUB",
    }
)  # fmt: skip
_TAKE_BIAS = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})
_BIAS = 2


def improve(subgraph: Subgraph, names: Names) -> None:
    """Improve a subgraph in place; linear in its operators.

    Args:
        subgraph: The subgraph.
        names: Names of all tensors of the model.
    """
    graph = _Graph(subgraph, names)
    graph.join_transposes()
    for operator in subgraph.operators:
        if operator.code == "ADD":
            graph.take_bias(operator)
    for operator in subgraph.operators:
        if operator.code in _ACTIVATIONS:
            graph.take_activation(operator)
    graph.drop_unread()


class _Graph:
    """Producers and numbers of readers of all tensors."""

    def __init__(self, subgraph: Subgraph, names: Names) -> None:
        self._subgraph = subgraph
        self._names = names
        self._producer = {
            tensor: operator for operator in subgraph.operators for tensor in operator.outputs
        }
        self._readers: Counter[Tensor] = Counter()
        self._count_readers()

    def _count_readers(self) -> None:
        self._readers = Counter(self._subgraph.outputs)
        for operator in self._subgraph.operators:
            self._readers.update(tensor for tensor in operator.inputs if tensor is not None)

    def _sole_producer(self, tensor: Tensor | None) -> Operator | None:
        """Return the producer of a tensor that has but one reader."""
        if tensor is None or self._readers[tensor] != 1 or tensor.quantization is not None:
            return None
        return self._producer.get(tensor)

    def take_activation(self, operator: Operator) -> None:
        """Make an activation part of what comes before it."""
        producer = self._sole_producer(operator.inputs[0])
        if producer is None or producer.code not in _TAKE_ACTIVATION:
            return
        if producer.options.get("fusedActivationFunction", "NONE") != "NONE":
            return
        if producer.outputs[0].dtype != "float32" or operator.outputs[0].quantization is not None:
            return
        fused = {"fusedActivationFunction": _ACTIVATIONS[operator.code]}
        producer.options = {**producer.options, **fused}
        self._stand_in(producer, operator)

    def _stand_in(self, producer: Operator, operator: Operator) -> None:
        """Let ``producer`` compute what ``operator`` gave, and leave ``operator`` without use."""
        result = operator.outputs[0]
        unread = producer.outputs[0]
        producer.outputs = [result]
        operator.outputs = [unread]
        operator.inputs = []
        self._producer[result] = producer
        self._readers[unread] = 0

    def take_bias(self, operator: Operator) -> None:
        """Make the addition of a constant row a bias."""
        left, right = operator.inputs
        if left is not None and left.constant is not None:
            left, right = right, left
        producer = self._sole_producer(left)
        if producer is None or producer.code not in _TAKE_BIAS or right is None:
            return
        width = producer.outputs[0].shape[-1] if producer.outputs[0].shape else None
        if right.constant is None or right.quantization is not None or width is None:
            return
        if not _is_row(right, width) or producer.outputs[0].dtype != "float32":
            return
        if producer.options.get("fusedActivationFunction", "NONE") != "NONE":
            return
        bias = producer.inputs[_BIAS]
        if bias is not None and not _is_zero(bias):
            return
        row = self._row(right, width)
        producer.inputs = [*producer.inputs[:_BIAS], row]
        fused = operator.options.get("fusedActivationFunction", "NONE")
        producer.options = {**producer.options, "fusedActivationFunction": fused}
        self._stand_in(producer, operator)

    def join_transposes(self) -> None:
        """Let every transpose read past the transposes before it."""
        stand_ins: dict[Tensor, Tensor] = {}
        for operator in self._subgraph.operators:
            operator.inputs = [
                None if tensor is None else stand_ins.get(tensor, tensor)
                for tensor in operator.inputs
            ]
            if operator.code == "TRANSPOSE":
                origin = self._joined(operator)
                if origin is not None:
                    stand_ins[operator.outputs[0]] = origin
        self._count_readers()

    def _joined(self, operator: Operator) -> Tensor | None:
        """Join a transpose with one before it; return what its result equals, if anything."""
        source, order = operator.inputs
        assert source is not None
        before = self._producer.get(source)
        if before is None or before.code != "TRANSPOSE":
            return None
        first, second = _permutation(before.inputs[1]), _permutation(order)
        origin = before.inputs[0]
        if first is None or second is None or origin is None or origin.quantization is not None:
            return None
        joined = first[second]
        result = operator.outputs[0]
        if (joined == np.arange(len(joined))).all() and result not in self._subgraph.outputs:
            return origin
        operator.inputs = [origin, self._constant(joined.astype(np.int32))]
        return None

    def _constant(self, array: Array) -> Tensor:
        name = self._names.fresh("constant")
        return Tensor(array.dtype.name, array.shape, name, Constant(lambda: array, array.nbytes))

    def _row(self, tensor: Tensor, width: int) -> Tensor:
        """Return a constant row as a vector."""
        constant = tensor.constant
        assert constant is not None
        if tensor.shape == (width,):
            return tensor
        flat = Constant(lambda: constant.load().reshape(width), constant.nbytes)
        return Tensor(tensor.dtype, (width,), self._names.fresh(tensor.name), flat)

    def drop_unread(self) -> None:
        """Drop operators whose results nothing reads, last first."""
        read = set(self._subgraph.outputs)
        kept: list[Operator] = []
        for operator in reversed(self._subgraph.operators):
            if read.isdisjoint(operator.outputs):
                continue
            kept.append(operator)
            read.update(tensor for tensor in operator.inputs if tensor is not None)
        self._subgraph.operators = kept[::-1]


def _permutation(tensor: Tensor | None) -> Array | None:
    if tensor is None or tensor.constant is None:
        return None
    return tensor.constant.load()


def _is_row(tensor: Tensor, width: int) -> bool:
    shape = tensor.shape or ()
    return bool(shape) and shape[-1] == width and all(dim == 1 for dim in shape[:-1])


def _is_zero(tensor: Tensor) -> bool:
    constant = tensor.constant
    return constant is not None and not constant.load().any()
