"""NumPy arrays to OpenVINO tensors and back, bit for bit.

NumPy has no dtype for bfloat16 and for the float and integer types of 8 bits and fewer that
OpenVINO knows; those travel by their bits. Types of fewer than 8 bits are packed with the
first element in the lowest bits, as in ONNX (``TensorProto``, section "raw_data").
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from irconv.runtime.values import numpy_dtype

if TYPE_CHECKING:
    from irconv.runtime.base import Array

__all__ = ["from_tensor", "to_tensor"]

_NATIVE_KINDS = "fiub"
_BITS_OF_A_BYTE = 8


def to_tensor(openvino: Any, array: Array, element_type: Any) -> Any:
    """Return an OpenVINO tensor of ``element_type`` that holds ``array``.

    Args:
        openvino: The module ``openvino``.
        array: Values in the source model's dtype.
        element_type: The ``openvino.Type`` of the model's input.
    """
    if array.dtype.kind in "OUS":
        texts = [_text(item) for item in array.flat]
        return openvino.Tensor(np.array(texts, dtype=np.str_).reshape(array.shape))
    contiguous = np.ascontiguousarray(array).reshape(array.shape)
    tensor = openvino.Tensor(element_type, openvino.Shape(array.shape))
    if contiguous.size:
        target = tensor.data.view(np.uint8).reshape(-1) if array.ndim else _scalar_bytes(tensor)
        target[:] = _to_bytes(contiguous, element_type.bitwidth)
    return tensor


def _scalar_bytes(tensor: Any) -> Array:
    view: Array = tensor.data.reshape(1).view(np.uint8)
    return view


def _text(item: object) -> str:
    return item.decode() if isinstance(item, bytes) else str(item)


def _to_bytes(array: Array, bitwidth: int) -> Array:
    raw = array.reshape(-1).view(np.uint8)
    if bitwidth >= _BITS_OF_A_BYTE:
        return raw
    bits = np.unpackbits(raw.reshape(-1, 1), axis=1, bitorder="little")[:, :bitwidth]
    return np.packbits(bits.reshape(-1), bitorder="little")


def from_tensor(tensor: Any, dtype: str) -> Array:
    """Return a copy of an OpenVINO tensor as an array of the source model's ``dtype``."""
    shape = tuple(tensor.shape)
    wanted = numpy_dtype(dtype)
    if dtype == "string":
        return np.array(tensor.str_data, dtype=object).reshape(shape)
    element_type = tensor.element_type
    if int(np.prod(shape)) == 0:
        return np.zeros(shape, wanted)
    raw = np.array(tensor.data, copy=True).reshape(-1).view(np.uint8)
    if element_type.bitwidth < _BITS_OF_A_BYTE:
        return _unpack(raw, element_type.bitwidth, shape, wanted)
    if wanted.kind not in _NATIVE_KINDS:
        return raw.view(wanted).reshape(shape)
    values: Array = raw.view(tensor.data.dtype).reshape(shape)
    return values.astype(wanted, copy=False)


def _unpack(raw: Array, bitwidth: int, shape: tuple[int, ...], wanted: np.dtype[Any]) -> Array:
    count = int(np.prod(shape))
    bits = np.unpackbits(raw, bitorder="little")[: count * bitwidth].reshape(count, bitwidth)
    widened = np.packbits(bits, axis=1, bitorder="little").reshape(-1)
    if wanted.name.startswith("int"):
        sign = 1 << (bitwidth - 1)
        signed = (widened ^ sign).astype(np.int8) - np.int8(sign)
        return signed.astype(wanted).reshape(shape)
    return widened.view(wanted).reshape(shape)
