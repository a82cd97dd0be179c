"""Lists of tensors and optional values."""

import torch
from torch import Tensor

__all__ = [
    "at", "construct", "empty", "erase", "get", "get_list", "has", "has_list", "insert", "length",
    "none", "none_list", "some", "some_list", "split_even", "split_ones", "split_sizes",
]  # fmt: skip


def empty() -> list[Tensor]:
    """Section SequenceEmpty."""
    items: list[Tensor] = []
    return items


def construct(items: list[Tensor]) -> list[Tensor]:
    """Section SequenceConstruct."""
    return items


def at(items: list[Tensor], place: int) -> Tensor:
    """Section SequenceAt."""
    return items[place]


def insert(items: list[Tensor], item: Tensor, place: int | None) -> list[Tensor]:
    """Section SequenceInsert: a new list."""
    if place is None:
        return items + [item]  # noqa: RUF005 - TorchScript has no starred lists
    if place < 0:
        place += len(items)
    return items[:place] + [item] + items[place:]  # noqa: RUF005


def erase(items: list[Tensor], place: int) -> list[Tensor]:
    """Section SequenceErase: a new list."""
    if place < 0:
        place += len(items)
    return items[:place] + items[place + 1 :]


def length(items: list[Tensor]) -> int:
    """Section SequenceLength."""
    return len(items)


def split_ones(x: Tensor, axis: int, keep: bool) -> list[Tensor]:
    """Section SplitToSequence without sizes: slices of size 1, or without the axis."""
    items: list[Tensor] = []
    for index in range(x.size(axis)):
        items.append(x.narrow(axis, index, 1) if keep else x.select(axis, index))
    return items


def split_even(x: Tensor, size: int, axis: int) -> list[Tensor]:
    """Section SplitToSequence with one size; the last part may be smaller."""
    items: list[Tensor] = []
    for start in range(0, x.size(axis), size):
        items.append(x.narrow(axis, start, min(size, x.size(axis) - start)))
    return items


def split_sizes(x: Tensor, sizes: list[int], axis: int) -> list[Tensor]:
    """Section SplitToSequence with a size for each part."""
    items: list[Tensor] = []
    start = 0
    for size in sizes:
        items.append(x.narrow(axis, start, size))
        start += size
    return items


def some(x: Tensor | None) -> Tensor | None:
    """Section Optional of a tensor."""
    return x


def some_list(items: list[Tensor] | None) -> list[Tensor] | None:
    """Section Optional of a sequence."""
    return items


def none() -> Tensor | None:
    """Section Optional without a value."""
    return None


def none_list() -> list[Tensor] | None:
    """Section Optional without a value, of a sequence."""
    return None


def has(x: Tensor | None) -> Tensor:
    """Section OptionalHasElement."""
    return torch.tensor(x is not None)


def has_list(items: list[Tensor] | None) -> Tensor:
    """Section OptionalHasElement of a sequence."""
    return torch.tensor(items is not None)


def get(x: Tensor | None) -> Tensor:
    """Section OptionalGetElement."""
    assert x is not None
    return x


def get_list(items: list[Tensor] | None) -> list[Tensor]:
    """Section OptionalGetElement of a sequence."""
    assert items is not None
    return items
