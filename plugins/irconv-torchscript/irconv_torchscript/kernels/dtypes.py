"""Between the dtypes of the interface and those of computing."""

import torch
from torch import Tensor

__all__ = ["from_interface", "to_interface"]


def from_interface(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Return an unsigned input in the wider dtype that it is computed in."""
    return x.view(dtype=torch.int64) if x.dtype == torch.uint64 else x.to(dtype)


def to_interface(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Return an output in its unsigned dtype."""
    return x.view(dtype=dtype) if dtype == torch.uint64 else x.to(dtype)
