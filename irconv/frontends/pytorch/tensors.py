"""Tensors to arrays and back, and the digest of a module's state.

This module needs PyTorch and is imported in worker processes only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import torch

from irconv.runtime.base import Array
from irconv.runtime.values import dtype_name, numpy_dtype

__all__ = ["state_digest", "to_array", "to_tensor"]

_BITS = {1: (torch.uint8, np.uint8), 2: (torch.int16, np.int16)}


def to_tensor(array: Array) -> torch.Tensor:
    """Copy a NumPy array, bfloat16 and float8 included, into a tensor."""
    name = dtype_name(array.dtype)
    native = array.dtype.kind in "biufc" and hasattr(torch, name)
    if native and array.dtype.kind != "V" and array.dtype.isbuiltin == 1:
        return torch.from_numpy(np.array(array))
    torch_bits, numpy_bits = _BITS[array.dtype.itemsize]
    tensor = torch.from_numpy(np.array(array).view(numpy_bits))
    return tensor.view(torch_bits).view(getattr(torch, name))


def to_array(tensor: torch.Tensor) -> Array:
    """Copy a tensor, bfloat16 and float8 included, into a NumPy array."""
    tensor = tensor.detach().cpu().contiguous()
    name = str(tensor.dtype).removeprefix("torch.")
    dtype = numpy_dtype(name)
    if dtype.isbuiltin == 1:
        return np.array(tensor.numpy())
    bits = tensor.view(_BITS[tensor.element_size()][0]).numpy()
    return np.array(bits).view(dtype)


def state_digest(state: Iterable[tuple[str, torch.Tensor]]) -> str:
    """Return the SHA-256 over names, dtypes, shapes and bytes of tensors."""
    digest = hashlib.sha256()
    for name, tensor in state:
        digest.update(f"{name}:{tensor.dtype}:{list(tensor.shape)}\n".encode())
        if tensor.numel():
            plain = tensor.detach().cpu().contiguous().reshape(-1)
            digest.update(memoryview(plain.view(torch.uint8).numpy()))
    return digest.hexdigest()
