"""Integers and tensors of integers."""

import torch
from torch import Tensor

__all__ = ["int_of_tensor", "ints_of_tensor", "no_ints", "sizes", "tensor_of_int", "tensor_of_ints"]


def tensor_of_ints(values: list[int], dtype: torch.dtype) -> Tensor:
    """Return a tensor of rank 1."""
    return torch.tensor(values, dtype=dtype)


def tensor_of_int(value: int, dtype: torch.dtype) -> Tensor:
    """Return a tensor of rank 0."""
    return torch.tensor(value, dtype=dtype)


def ints_of_tensor(x: Tensor) -> list[int]:
    """Return the elements of a tensor in row-major order."""
    values: list[int] = x.reshape([-1]).to(torch.int64).tolist()
    return values


def int_of_tensor(x: Tensor) -> int:
    """Return the only element of a tensor."""
    return int(x.reshape([-1])[0].item())


def no_ints() -> list[int]:
    """Return an empty list."""
    values: list[int] = []
    return values


def sizes(x: Tensor) -> list[int]:
    """Return the shape of a tensor."""
    values: list[int] = []
    for size in x.shape:
        values.append(size)
    return values


def divide_toward_zero(a: int, b: int) -> int:
    """Return the quotient without its fraction."""
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


def part(values: list[int], start: int, end: int) -> list[int]:
    """Return the sizes from ``start`` up to ``end``."""
    return values[start:end]


def reshape(x: Tensor, shape: list[int], allowzero: bool) -> Tensor:
    """Section Reshape, for a shape of unknown length."""
    target: list[int] = []
    for axis, size in enumerate(shape):
        target.append(x.size(axis) if size == 0 and not allowzero else size)
    return x.reshape(target)


def flatten(x: Tensor, axis: int) -> Tensor:
    """Section Flatten."""
    if axis < 0:
        axis += x.dim()
    rows = 1
    for size in x.shape[:axis]:
        rows *= size
    columns = 1
    for size in x.shape[axis:]:
        columns *= size
    return x.reshape([rows, columns])


def squeeze(x: Tensor, axes: list[int]) -> Tensor:
    """Section Squeeze."""
    wanted = [axis % x.dim() for axis in axes]
    target: list[int] = []
    for axis, size in enumerate(x.shape):
        if axis not in wanted:
            target.append(size)
    return x.reshape(target)


def unsqueeze(x: Tensor, axes: list[int]) -> Tensor:
    """Section Unsqueeze; axes are those of the result."""
    rank = x.dim() + len(axes)
    wanted = [axis % rank for axis in axes]
    for axis in range(rank):
        if axis in wanted:
            x = x.unsqueeze(axis)
    return x


def reverse_axes(x: Tensor) -> Tensor:
    """Return the tensor with its axes in reverse order."""
    axes: list[int] = []
    for axis in range(x.dim()):
        axes.append(x.dim() - 1 - axis)
    return x.permute(axes)


def split_evenly(x: Tensor, number: int, axis: int) -> list[Tensor]:
    """Section Split with num_outputs: the last part may be smaller."""
    size = x.size(axis)
    part_size = (size + number - 1) // number
    parts: list[Tensor] = []
    for index in range(number):
        start = min(index * part_size, size)
        length = min(part_size, size - start)
        parts.append(x.narrow(axis, start, length))
    return parts


def slice_axes(
    x: Tensor,
    starts: list[int],
    ends: list[int],
    axes: list[int] | None,
    steps: list[int] | None,
) -> Tensor:
    """Section Slice, with bounds clamped and steps in either direction."""
    for index in range(len(starts)):
        axis = index if axes is None else axes[index]
        step = 1 if steps is None else steps[index]
        size = x.size(axis)
        start, end = starts[index], ends[index]
        if start < 0:
            start += size
        if end < 0:
            end += size
        if step > 0:
            start = min(max(start, 0), size)
            end = min(max(end, 0), size)
            count = (end - start + step - 1) // step
        else:
            start = min(max(start, 0), size - 1)
            end = min(max(end, -1), size - 1)
            count = (start - end - step - 1) // (-step)
        positions = torch.arange(max(count, 0)) * step + start
        x = x.index_select(axis, positions)
    return x


def expand(x: Tensor, shape: list[int]) -> Tensor:
    """Section Expand."""
    target: list[int] = []
    missing = len(shape) - x.dim()
    for axis in range(x.dim() - len(shape)):
        target.append(x.size(axis))
    for axis, size in enumerate(shape):
        own = axis - missing
        target.append(x.size(own) if own >= 0 and size == 1 else size)
    return x.expand(target)


def filled(value: Tensor, shape: list[int]) -> Tensor:
    """Section ConstantOfShape."""
    return value.expand(shape).clone()


def float_range(start: Tensor, limit: Tensor, delta: Tensor) -> Tensor:
    """Section Range for floating-point numbers, and for integers of 16 bits."""
    wide = (limit.to(torch.float64) - start.to(torch.float64)) / delta.to(torch.float64)
    count = max(int(torch.ceil(wide).item()), 0)
    return start + torch.arange(count).to(start.dtype) * delta


def depth_to_space(x: Tensor, size: int, columns_first: bool) -> Tensor:
    """Section DepthToSpace."""
    n, c, h, w = x.size(0), x.size(1), x.size(2), x.size(3)
    if columns_first:
        blocks = x.reshape([n, c // (size * size), size, size, h, w]).permute([0, 1, 4, 2, 5, 3])
    else:
        blocks = x.reshape([n, size, size, c // (size * size), h, w]).permute([0, 3, 4, 1, 5, 2])
    return blocks.reshape([n, c // (size * size), h * size, w * size])


def space_to_depth(x: Tensor, size: int, columns_first: bool) -> Tensor:
    """Section SpaceToDepth."""
    n, c, h, w = x.size(0), x.size(1), x.size(2), x.size(3)
    blocks = x.reshape([n, c, h // size, size, w // size, size])
    if columns_first:
        blocks = blocks.permute([0, 1, 3, 5, 2, 4])
    else:
        blocks = blocks.permute([0, 3, 5, 1, 2, 4])
    return blocks.reshape([n, c * size * size, h // size, w // size])


def eye_like(x: Tensor, diagonal: int, dtype: torch.dtype) -> Tensor:
    """Section EyeLike."""
    rows = torch.arange(x.size(0)).unsqueeze(1)
    return (torch.arange(x.size(1)) - rows == diagonal).to(dtype)


def _diagonals(x: Tensor) -> Tensor:
    return torch.arange(x.size(-1)) - torch.arange(x.size(-2)).unsqueeze(1)


def triu(x: Tensor, diagonal: int) -> Tensor:
    """Section Trilu, upper part."""
    return torch.where(_diagonals(x) >= diagonal, x, torch.zeros_like(x))


def tril(x: Tensor, diagonal: int) -> Tensor:
    """Section Trilu, lower part."""
    return torch.where(_diagonals(x) <= diagonal, x, torch.zeros_like(x))
