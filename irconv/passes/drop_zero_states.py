"""Dropping initial states of recurrent operators that are zeros.

``initial_h`` and ``initial_c`` of LSTM, GRU and RNN are optional, and "assumed to be 0" where
they are not given (ONNX operator specifications). Exporters write them as zeros of a shape that
is computed from the batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from irconv.graph.constants import constant_tensor
from irconv.graph.scopes import scopes
from irconv.passes.base import Pass, PassContext, PassResult
from irconv.passes.sites import Sites

__all__ = ["DropZeroStates"]

_STATES: Mapping[str, tuple[int, ...]] = {"GRU": (5,), "LSTM": (5, 6), "RNN": (5,)}
"""By operator, the positions of its initial states among the inputs."""
_PARTS = frozenset(
    {"Expand", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Tile",
     "Transpose", "Unsqueeze"}
)  # fmt: skip
"""Operators that give nothing but items of their first input."""
_MAX_ITEMS = 1 << 20


@dataclass(frozen=True)
class DropZeroStates(Pass):
    """Leave out the initial states of LSTM, GRU and RNN where all their items are zero.

    Before::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[5, N, 2] x, float[1, 3, 2] w, float[1, 3, 3] r) => (float[1, N, 3] y)
        <int64[1] one = {1}, int64[1] three = {3}> {
            shape = Shape <start = 1, end = 2> (x)
            dims = Concat <axis = 0> (one, shape, three)
            zeros = ConstantOfShape(dims)
            , y = RNN <hidden_size = 3> (x, w, r, , , zeros)
        }

    After::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[5, N, 2] x, float[1, 3, 2] w, float[1, 3, 3] r) => (float[1, N, 3] y)
        <int64[1] one = {1}, int64[1] three = {3}> {
            shape = Shape <start = 1, end = 2> (x)
            dims = Concat <axis = 0> (one, shape, three)
            zeros = ConstantOfShape(dims)
            , y = RNN <hidden_size = 3> (x, w, r)
        }

    What computed the zeros goes with eliminate-dead-code.
    """

    name: ClassVar[str] = "drop-zero-states"
    after: ClassVar[tuple[str, ...]] = ("fold-constants",)

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Drop in one sweep; linear in nodes."""
        sites = Sites(context)
        for scope in scopes(model):
            for node in scope.nodes():
                if node.domain == "" and node.op_type in _STATES:
                    _drop(node, sites)
        return PassResult(bool(sites.made), {"dropped": len(sites.made)}, sites=sites.made)


def _drop(node: ir.Node, sites: Sites) -> None:
    zeros = [
        index
        for index in _STATES[node.op_type]
        if index < len(node.inputs) and _is_zero(node.inputs[index])
    ]
    if not zeros or not sites.permit(node):
        return
    for index in zeros:
        node.replace_input_with(index, None)
    given = max(index for index, value in enumerate(node.inputs) if value is not None)
    node.resize_inputs(given + 1)


def _is_zero(value: ir.Value | None) -> bool:
    """Return whether all items of a value are +0.0, whatever its size will be."""
    while value is not None:
        tensor = constant_tensor(value)
        if tensor is not None:
            return tensor.size <= _MAX_ITEMS and not any(tensor.tobytes())
        node = value.producer()
        if node is None or node.domain != "":
            return False
        if node.op_type == "ConstantOfShape":
            filler = node.attributes.get("value")
            return filler is None or (not filler.is_ref() and not any(filler.as_tensor().tobytes()))
        if node.op_type not in _PARTS:
            return False
        value = node.inputs[0]
    return False
