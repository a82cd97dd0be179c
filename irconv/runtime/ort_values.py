"""NumPy arrays to ONNX Runtime values and back, in every ONNX dtype.

ONNX Runtime exchanges with NumPy only the dtypes that NumPy itself has. bfloat16, float8 and
what is narrower than a byte are copied by their bits, packed as in ONNX.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import numpy as np

from irconv.runtime.packing import from_bytes, to_bytes
from irconv.runtime.values import dtype_name

if TYPE_CHECKING:
    from irconv.runtime.base import Array

__all__ = ["from_ort", "to_ort"]

_NUMPYS_OWN = 1
"""``numpy.dtype.isbuiltin`` of the dtypes that are NumPy's own, not an extension's."""
_EXCHANGED = frozenset(
    f"tensor({name})"
    for name in (
        "bool", "double", "float", "float16", "int8", "int16", "int32", "int64", "string",
        "uint8", "uint16", "uint32", "uint64",
    )
)  # fmt: skip
"""Types, as ONNX Runtime writes them, that it gives to NumPy itself."""


def to_ort(array: Array) -> Any:
    """Return an ``OrtValue`` on the CPU that holds ``array``; NumPy's dtypes are not copied.

    ONNX Runtime makes no such value of strings.
    """
    from onnxruntime import OrtValue

    if array.dtype.isbuiltin == _NUMPYS_OWN:
        return OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array).reshape(array.shape))
    import onnx_ir as ir

    code = int(ir.DataType.from_numpy(array.dtype))
    value = OrtValue.ortvalue_from_shape_and_type(list(array.shape), code)
    raw = to_bytes(array)
    if raw.size:
        ctypes.memmove(value.data_ptr(), raw.ctypes.data, raw.nbytes)
    return value


def from_ort(value: Any) -> Array:
    """Return the tensor in an ``OrtValue`` as an array of its ONNX dtype."""
    if value.data_type() in _EXCHANGED:
        array: Array = value.numpy()
        return array
    import onnx_ir as ir

    dtype = ir.DataType(value.element_type())
    shape = tuple(value.shape())
    size = value.tensor_size_in_bytes()
    raw = np.frombuffer(ctypes.string_at(value.data_ptr(), size), np.uint8).copy()
    return from_bytes(raw, dtype_name(dtype.numpy()), shape)
