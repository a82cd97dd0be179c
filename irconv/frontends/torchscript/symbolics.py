"""What PyTorch's TorchScript exporter lacks, as symbolic functions of the public interface.

This module needs PyTorch and is imported in the worker process only.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch._C._onnx import TensorProtoDataType

__all__ = ["register_symbolics"]

_FIRST_OPSET = 18


def register_symbolics() -> None:
    """Teach the exporter the operators below; to do it twice changes nothing."""
    functions = {
        "aten::__contains_": _contains,
        "aten::gru_cell": _gru_cell,
        "aten::lstm_cell": _lstm_cell,
        "aten::rnn_relu_cell": partial(_rnn_cell, "Relu"),
        "aten::rnn_tanh_cell": partial(_rnn_cell, "Tanh"),
    }
    for name, function in functions.items():
        torch.onnx.register_custom_op_symbolic(name, function, _FIRST_OPSET)


def _contains(g: Any, items: Any, element: Any) -> Any:
    """Write ``element in items`` of numbers.

    The exporter's own function fails on a list that constant folding has made a tensor, such as
    the one of ``input.dim() in (1, 2)`` in every recurrent cell.
    """
    if items.node().kind() == "prim::ListConstruct":
        parts = [_as_vector(g, part) for part in items.node().inputs()]
        items = g.op("Concat", *parts, axis_i=0) if parts else _constant(g, [])
    equal = g.op("Equal", items, element)
    numbers = g.op("Cast", equal, to_i=TensorProtoDataType.INT32)
    padded = g.op("Concat", numbers, _constant(g, [0], torch.int32), axis_i=0)
    found = g.op("ReduceMax", padded, keepdims_i=0)
    return g.op("Cast", found, to_i=TensorProtoDataType.BOOL)


def _as_vector(g: Any, number: Any) -> Any:
    return g.op("Reshape", number, _constant(g, [1]))


def _constant(g: Any, values: list[int], dtype: torch.dtype = torch.int64) -> Any:
    return g.op("Constant", value_t=torch.tensor(values, dtype=dtype))


def _rnn_cell(activation: str, g: Any, x: Any, hidden: Any, *weights: Any) -> Any:
    """Write ``activation(x W + b + h R + c)``; the weights are W, R, b and c."""
    return g.op(activation, g.op("Add", *_gates(g, x, hidden, *weights)))


def _gru_cell(g: Any, x: Any, hidden: Any, *weights: Any) -> Any:
    """Write one step of a GRU as PyTorch defines it: the reset gate follows the product."""
    of_x, of_hidden = (
        g.op("Split", gates, axis_i=1, num_outputs_i=3, outputs=3)
        for gates in _gates(g, x, hidden, *weights)
    )
    reset, update = (g.op("Sigmoid", g.op("Add", of_x[gate], of_hidden[gate])) for gate in (0, 1))
    new = g.op("Tanh", g.op("Add", of_x[2], g.op("Mul", reset, of_hidden[2])))
    return g.op("Add", new, g.op("Mul", update, g.op("Sub", hidden, new)))


def _lstm_cell(g: Any, x: Any, states: Any, *weights: Any) -> tuple[Any, Any]:
    """Write one step of an LSTM; the gates stand in the order input, forget, cell, output."""
    hidden, cell = states.node().inputs()
    sums = g.op("Add", *_gates(g, x, hidden, *weights))
    gates = g.op("Split", sums, axis_i=1, num_outputs_i=4, outputs=4)
    enter, forget, leave = (g.op("Sigmoid", gates[gate]) for gate in (0, 1, 3))
    kept, entered = g.op("Mul", forget, cell), g.op("Mul", enter, g.op("Tanh", gates[2]))
    cell = g.op("Add", kept, entered)
    return g.op("Mul", leave, g.op("Tanh", cell)), cell


def _gates(g: Any, x: Any, hidden: Any, of_x: Any, of_hidden: Any, *biases: Any) -> tuple[Any, Any]:
    bias, hidden_bias = ([] if bias.node().mustBeNone() else [bias] for bias in biases)
    return (
        g.op("Gemm", x, of_x, *bias, transB_i=1),
        g.op("Gemm", hidden, of_hidden, *hidden_bias, transB_i=1),
    )
