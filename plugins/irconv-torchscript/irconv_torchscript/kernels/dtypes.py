"""Between the dtypes of the interface and those of computing.

torch converts between uint64 and int64 modulo 2**64, so the bits stay.
"""

import torch
from torch import Tensor

__all__ = ["from_interface", "to_interface"]


def from_interface(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Return an unsigned input in the wider dtype that it is computed in."""
    return x.to(dtype)


def to_interface(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Return an output in its unsigned dtype."""
    return x.to(dtype)
