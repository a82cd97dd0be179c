"""Tensors of the IR as torch tensors that share their memory where they can."""

from __future__ import annotations

import warnings
from typing import Any

import ml_dtypes
import numpy as np
import onnx_ir as ir

from irconv.runtime.base import Array
from irconv_torchscript.dtypes import CARRIERS

__all__ = ["to_torch"]


def to_torch(array: Array, dtype: ir.DataType, *, names: dict[ir.DataType, str] = CARRIERS) -> Any:
    """Return a torch tensor of the dtype that carries ``dtype``.

    The tensor shares the memory of ``array`` where the dtypes have the same bits; torch never
    writes to it, and an artifact that is made of it holds a copy.

    Args:
        array: Values in the NumPy dtype of ``dtype``.
        dtype: The ONNX dtype.
        names: The torch dtype for each ONNX dtype.
    """
    import torch

    wanted = getattr(torch, names[dtype])
    array = np.asarray(array)
    if dtype == ir.DataType.FLOAT4E2M1:
        array = array.astype(np.float32)
    elif array.dtype in (ml_dtypes.int4, ml_dtypes.int2):
        array = array.astype(np.int8)
    elif array.dtype in (ml_dtypes.uint4, ml_dtypes.uint2):
        array = array.astype(np.uint8)
    elif array.dtype.isbuiltin != 1:
        bits = _shared(array.view(f"i{array.dtype.itemsize}"))
        return bits.view(wanted)
    tensor = _shared(array)
    return tensor if tensor.dtype == wanted else tensor.to(wanted)


def _shared(array: Array) -> Any:
    import torch

    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    array = np.ascontiguousarray(array).reshape(array.shape)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)
