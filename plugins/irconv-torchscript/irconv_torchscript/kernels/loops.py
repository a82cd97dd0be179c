"""What the loops of :mod:`irconv_torchscript.bodies` call."""

import torch
from torch import Tensor

__all__ = ["first", "joined", "limit", "slice_at", "stacked"]


def limit(trips: Tensor | None) -> int:
    """Return the most iterations of a Loop."""
    return 9223372036854775807 if trips is None else int(trips.item())


def first(condition: Tensor | None) -> bool:
    """Return whether a Loop starts."""
    return True if condition is None else bool(condition.item())


def stacked(items: list[Tensor], empty: Tensor) -> Tensor:
    """Return the scan output of a Loop."""
    return empty if len(items) == 0 else torch.stack(items)


def slice_at(x: Tensor, axis: int, index: int, backward: bool) -> Tensor:
    """Return one slice of a scanned input."""
    return x.select(axis, x.size(axis) - 1 - index if backward else index)


def joined(items: list[Tensor], empty: Tensor, axis: int, backward: bool) -> Tensor:
    """Return the scan output of a Scan."""
    if len(items) == 0:
        return empty
    whole = torch.stack(items)
    if backward:
        whole = torch.flip(whole, [0])
    return whole.movedim(0, axis)
