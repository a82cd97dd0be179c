"""Values that are known before a model runs.

A value is constant if it is an initializer that no caller can override, or the output of a
``Constant`` node. A value seen from inside a body is the same object as outside, so these
functions take outer values too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx_ir as ir

__all__ = ["constant_ints", "constant_tensor", "is_constant"]

_MAX_INTS = 1 << 16


def is_constant(value: ir.Value | None) -> bool:
    """Return whether :func:`constant_tensor` would return a tensor."""
    if value is None:
        return False
    producer = value.producer()
    if producer is None:
        return _is_fixed_initializer(value)
    return _constant_attribute(producer) is not None


def constant_tensor(value: ir.Value | None) -> ir.TensorProtocol | None:
    """Return the tensor that ``value`` always has, or None where it is not constant.

    An initializer that is also a graph input is only a default, so it is not constant. The
    forms ``value_int(s)``, ``value_float(s)`` and ``value_string(s)`` of ``Constant`` become
    a new small tensor (int64, float32 or string); ``sparse_value`` is not taken.
    """
    if value is None:
        return None
    producer = value.producer()
    if producer is None:
        return value.const_value if _is_fixed_initializer(value) else None
    attribute = _constant_attribute(producer)
    return None if attribute is None else _READERS[attribute.name](attribute.value)


def constant_ints(value: ir.Value | None) -> tuple[int, ...] | None:
    """Return a constant int32 or int64 tensor flattened to Python ints.

    Returns None where the value is not constant, of another dtype, or has over 65,536 elements.
    """
    tensor = constant_tensor(value)
    if tensor is None or tensor.dtype not in (ir.DataType.INT32, ir.DataType.INT64):
        return None
    if tensor.size > _MAX_INTS:
        return None
    return tuple(int(item) for item in tensor.numpy().reshape(-1).tolist())


def _is_fixed_initializer(value: ir.Value) -> bool:
    return value.is_initializer() and not value.is_graph_input() and value.const_value is not None


def _constant_attribute(node: ir.Node) -> ir.Attr | None:
    if node.op_type != "Constant" or node.domain != "":
        return None
    for attribute in node.attributes.values():
        if attribute.name in _READERS and not attribute.is_ref():
            return attribute
    return None


def _strings(values: tuple[str, ...]) -> ir.TensorProtocol:
    return ir.StringTensor([item.encode() for item in values], shape=ir.Shape([len(values)]))


_READERS: Mapping[str, Callable[[Any], ir.TensorProtocol]] = {
    "value": lambda value: value,
    "value_int": lambda value: ir.Tensor(np.array(value, np.int64)),
    "value_ints": lambda value: ir.Tensor(np.array(value, np.int64)),
    "value_float": lambda value: ir.Tensor(np.array(value, np.float32)),
    "value_floats": lambda value: ir.Tensor(np.array(value, np.float32)),
    "value_string": lambda value: ir.StringTensor([value.encode()], shape=ir.Shape([])),
    "value_strings": _strings,
}
