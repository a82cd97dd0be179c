"""Values of the runner's interface to torch and back, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from irconv.runtime.base import Array, Value
from irconv.runtime.values import numpy_dtype
from irconv_torchscript import weights
from irconv_torchscript.dtypes import INTERFACE

__all__ = ["from_torch", "to_torch"]

_NUMPYS_OWN = 1


def to_torch(value: Value) -> Any:
    """Return a tensor for an array, a list of tensors for a list, None for an empty optional."""
    if value is None:
        return None
    if isinstance(value, (list, tuple)):
        return [to_torch(item) for item in value]
    array = np.asarray(value)
    if not array.flags.writeable:
        array = array.copy()
    return weights.to_torch(array, ir.DataType.from_numpy(array.dtype), names=INTERFACE)


def from_torch(value: Any, dtype: str) -> Value:
    """Return what :func:`to_torch` would take, in the full dtype name ``dtype``."""
    if value is None:
        return None
    if isinstance(value, (list, tuple)):
        return [from_torch(item, dtype) for item in value]
    return _array(value.detach().contiguous(), numpy_dtype(dtype))


def _array(tensor: Any, wanted: np.dtype[Any]) -> Array:
    import torch

    if wanted.isbuiltin == _NUMPYS_OWN:
        return np.array(tensor.numpy(), wanted)
    if wanted.name in ("bfloat16",) or wanted.name.startswith("float8"):
        bits = tensor.view(torch.int16 if wanted.itemsize > 1 else torch.int8)
        return np.array(bits.numpy()).view(wanted).reshape(tuple(tensor.shape))
    return np.array(tensor.numpy()).astype(wanted)
