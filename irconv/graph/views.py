"""Results that are another view of a constant: no byte of it is read or copied.

A weight that is mapped from a file stays mapped when it is transposed or reshaped; the bytes are
put in their new order when they are written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx_ir as ir

from irconv.graph.constants import constant_ints, constant_tensor
from irconv.graph.evaluate import Prediction
from irconv.runtime.base import Array

__all__ = ["view_of_constant"]


def _transposed(node: ir.Node, array: Array, dims: tuple[int, ...]) -> Array:
    perm = node.attributes.get_ints("perm", None)
    return np.transpose(array, perm)


def _reshaped(node: ir.Node, array: Array, dims: tuple[int, ...]) -> Array:
    return array.reshape(dims)


_VIEWS: Mapping[str, Callable[[ir.Node, Array, tuple[int, ...]], Array]] = {
    "Flatten": _reshaped,
    "Reshape": _reshaped,
    "Squeeze": _reshaped,
    "Transpose": _transposed,
    "Unsqueeze": _reshaped,
}


def view_of_constant(node: ir.Node, prediction: Callable[[], Prediction]) -> Array | None:
    """Return the result of a node as a view of its first input, or None if it is none.

    The input must be a numeric tensor that nothing else reads, so that the model does not grow.

    Args:
        node: A node of the default domain whose inputs are all constant.
        prediction: Called for dtype and dims of the result.
    """
    view = _VIEWS.get(node.op_type)
    source = node.inputs[0] if node.inputs else None
    if view is None or source is None or len(source.uses()) != 1 or source.is_graph_output():
        return None
    tensor = constant_tensor(source)
    if tensor is None or tensor.dtype == ir.DataType.STRING or tensor.dtype.bitwidth < 8:
        return None
    if any(value is not None and constant_ints(value) is None for value in node.inputs[1:]):
        return None
    array = np.asarray(tensor.numpy())
    ((_, _, dims),) = prediction().outputs
    result = view(node, array, dims)
    return result if np.shares_memory(result, array) and result.shape == dims else None
