"""Dropping of optional inputs that state what an operator does without them.

The ONNX operator specifications give absent inputs a meaning: no bias and no initial state of a
recurrent layer are zeros, no steps of a Slice are ones, no value of a Pad is 0, and no bound of a
Clip is an infinite one. An input that says the same may go, with all that computes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from irconv.graph.constants import constant_ints, constant_tensor
from irconv.graph.unread import drop_unread
from irconv.passes.base import Effect
from irconv.passes.rewrite import NodeRewrite, Place
from irconv.passes.weights import chunks

__all__ = ["DropDefaultInputs"]

_DEEPEST = 8
_MOST_ELEMENTS = 1 << 20
_MOVES = frozenset(
    {
        "Cast", "Expand", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Split", "Squeeze",
        "Tile", "Transpose", "Unsqueeze",
    }
)  # fmt: skip


_Rule = Callable[[ir.Value], bool]


def _is_zero(value: ir.Value, depth: int = 0) -> bool:
    """Whether a value is zeros, as a constant or by what moves zeros."""
    tensor = constant_tensor(value)
    if tensor is not None:
        return _is_all(tensor, 0)
    node = value.producer()
    if node is None or node.domain != "" or depth == _DEEPEST:
        return False
    if node.op_type == "ConstantOfShape":
        filled = node.attributes.get("value")
        return filled is None or (not filled.is_ref() and _is_all(filled.as_tensor(), 0))
    source = node.inputs[0] if node.op_type in _MOVES and node.inputs else None
    return source is not None and _is_zero(source, depth + 1)


def _is_all(tensor: ir.TensorProtocol, number: float) -> bool:
    if tensor.dtype == ir.DataType.STRING or tensor.size > _MOST_ELEMENTS:
        return False
    if isinstance(tensor, ir.LazyTensor):
        return False
    return all(bool((chunk == number).all()) for _, chunk in chunks(tensor.numpy()))


def _is_ones(value: ir.Value) -> bool:
    found = constant_ints(value)
    return found is not None and set(found) <= {1}


def _is_number(number: float) -> _Rule:
    def rule(value: ir.Value) -> bool:
        tensor = constant_tensor(value)
        if tensor is None or tensor.size != 1 or not tensor.dtype.is_floating_point():
            return False
        return bool(np.all(tensor.numpy() == number))

    return rule


_STATES: Mapping[int, _Rule] = {3: _is_zero, 5: _is_zero}
_RULES: Mapping[str, Mapping[int, _Rule]] = {
    "Clip": {1: _is_number(-np.inf), 2: _is_number(np.inf)},
    "Conv": {2: _is_zero},
    "ConvTranspose": {2: _is_zero},
    "GRU": _STATES,
    "LSTM": {**_STATES, 6: _is_zero},
    "LayerNormalization": {2: _is_zero},
    "Pad": {2: _is_zero},
    "RNN": _STATES,
    "Slice": {4: _is_ones},
}
"""For each operator: which inputs may go, and when."""


@dataclass(frozen=True)
class DropDefaultInputs(NodeRewrite[list[int]]):
    """Drop biases and initial states of zeros, steps of ones, and bounds that bound nothing.

    Before::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[S, N, 2] x) => (float[S, 1, N, 1] y)
        <float[1, 4, 2] w = {1, 2, 3, 4, 5, 6, 7, 8}, float[1, 4, 1] r = {1, 2, 3, 4},
         int64[1] one = {1}> {
            n = Shape <start = 1, end = 2> (x)
            sizes = Concat <axis = 0> (one, n, one)
            zero = ConstantOfShape(sizes)
            y = LSTM <hidden_size = 1> (x, w, r, , , zero, zero)
        }

    After::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[S, N, 2] x) => (float[S, 1, N, 1] y)
        <float[1, 4, 2] w = {1, 2, 3, 4, 5, 6, 7, 8}, float[1, 4, 1] r = {1, 2, 3, 4},
         int64[1] one = {1}> {
            n = Shape <start = 1, end = 2> (x)
            sizes = Concat <axis = 0> (one, n, one)
            zero = ConstantOfShape(sizes)
            y = LSTM <hidden_size = 1> (x, w, r)
        }

    What computed an input goes with eliminate-dead-code. Adding a bias of 0.0 turns -0.0 into
    0.0, so the pass is not bit-exact.
    """

    name: ClassVar[str] = "drop-default-inputs"
    after: ClassVar[tuple[str, ...]] = ("fold-constants",)
    effect: ClassVar[Effect] = "real-arithmetic"

    op_types: ClassVar[frozenset[str]] = frozenset(_RULES)
    counted: ClassVar[str] = "dropped"

    def match(self, node: ir.Node, place: Place) -> list[int] | None:
        """Return which inputs state the default; linear in elements of small biases."""
        del place
        found = []
        for index, is_default in _RULES[node.op_type].items():
            value = node.inputs[index] if index < len(node.inputs) else None
            if value is not None and is_default(value):
                found.append(index)
        return found or None

    def rewrite(self, node: ir.Node, match: list[int], place: Place) -> None:
        """Drop these inputs."""
        del place
        for index in match:
            value = node.inputs[index]
            node.replace_input_with(index, None)
            drop_unread(value)
        used = max(index for index, value in enumerate(node.inputs) if value is not None)
        node.resize_inputs(used + 1)
