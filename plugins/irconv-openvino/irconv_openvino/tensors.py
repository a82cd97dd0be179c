"""NumPy arrays to OpenVINO tensors and back, bit for bit.

NumPy has no dtype for bfloat16 and for the float and integer types of 8 bits and fewer that
OpenVINO knows; those travel by their bits, packed as in ONNX.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from irconv.runtime.packing import from_bytes, to_bytes
from irconv.runtime.values import numpy_dtype
from irconv_openvino.dtypes import ELEMENT_TYPES

if TYPE_CHECKING:
    from irconv.runtime.base import Array

__all__ = ["from_tensor", "to_tensor"]

_NUMPYS_OWN = 1


def to_tensor(openvino: Any, array: Array, element_type: Any) -> Any:
    """Return an OpenVINO tensor of ``element_type`` that holds a copy of ``array``.

    Args:
        openvino: The module ``openvino``.
        array: Values in the source model's dtype.
        element_type: The ``openvino.Type`` of the model's input.
    """
    tensor = openvino.Tensor(element_type, openvino.Shape(array.shape))
    if array.size:
        tensor.data.reshape(-1).view(np.uint8)[:] = to_bytes(array)
    return tensor


def from_tensor(tensor: Any, dtype: str) -> Array:
    """Return a copy of an OpenVINO tensor as an array of the source model's ``dtype``."""
    shape = tuple(tensor.shape)
    wanted = numpy_dtype(dtype)
    if 0 in shape:
        return np.zeros(shape, wanted)
    data: Array = np.array(tensor.data, copy=True)
    if tensor.element_type.to_string() != ELEMENT_TYPES[dtype] or wanted.isbuiltin == _NUMPYS_OWN:
        return data.reshape(shape).astype(wanted, copy=False)
    return from_bytes(data.reshape(-1).view(np.uint8), dtype, shape)
