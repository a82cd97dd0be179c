"""Gathering and scattering (ONNX sections Gather to TensorScatter)."""

import torch
from torch import Tensor

__all__ = [
    "compress",
    "gather",
    "gather_elements",
    "gather_nd",
    "last_axis",
    "non_zero",
    "one_hot",
    "reverse_sequence",
    "scatter_elements",
    "scatter_nd",
    "tensor_scatter",
]


def _wrap(indices: Tensor, size: int) -> Tensor:
    wide = indices.to(torch.int64)
    return torch.where(wide < 0, wide + size, wide)


def gather(x: Tensor, indices: Tensor, axis: int) -> Tensor:
    """Section Gather."""
    if axis < 0:
        axis += x.dim()
    wanted = _wrap(indices, x.size(axis))
    shape: list[int] = []
    for size in x.shape[:axis]:
        shape.append(size)
    for size in indices.shape:
        shape.append(size)
    for size in x.shape[axis + 1 :]:
        shape.append(size)
    return x.index_select(axis, wanted.reshape([-1])).reshape(shape)


def gather_elements(x: Tensor, indices: Tensor, axis: int) -> Tensor:
    """Section GatherElements."""
    return torch.gather(x, axis, _wrap(indices, x.size(axis)))


def _flat_positions(shape: list[int], indices: Tensor) -> Tensor:
    """Return the number of the slice that each index tuple names, in row-major order."""
    depth = indices.size(-1)
    flat = torch.zeros([1], dtype=torch.int64).expand(indices.shape[:-1])
    for place in range(depth):
        size = shape[place]
        flat = flat * size + _wrap(indices.select(-1, place), size)
    return flat


def gather_nd(x: Tensor, indices: Tensor, batch_dims: int) -> Tensor:
    """Section GatherND."""
    batches = 1
    for size in x.shape[:batch_dims]:
        batches *= size
    depth = indices.size(-1)
    inner: list[int] = []
    for size in x.shape[batch_dims + depth :]:
        inner.append(size)
    outer: list[int] = []
    for size in indices.shape[:-1]:
        outer.append(size)
    named: list[int] = []
    slices = 1
    for size in x.shape[batch_dims : batch_dims + depth]:
        named.append(size)
        slices *= size
    flat = _flat_positions(named, indices).reshape([batches, -1])
    flat = flat + (torch.arange(batches) * slices).unsqueeze(1)
    rows = x.reshape([batches * slices] + inner)  # noqa: RUF005
    return rows.index_select(0, flat.reshape([-1])).reshape(outer + inner)


def _scatter(x: Tensor, axis: int, indices: Tensor, updates: Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return torch.scatter(x, axis, indices, updates)
    if reduction == "add":
        return torch.scatter_add(x, axis, indices, updates)
    if reduction == "mul":
        return torch.scatter_reduce(x, axis, indices, updates, "prod", include_self=True)
    name = "amax" if reduction == "max" else "amin"
    return torch.scatter_reduce(x, axis, indices, updates, name, include_self=True)


def scatter_elements(
    x: Tensor, indices: Tensor, updates: Tensor, axis: int, reduction: str
) -> Tensor:
    """Section ScatterElements."""
    return _scatter(x, axis, _wrap(indices, x.size(axis)), updates, reduction)


def scatter_nd(x: Tensor, indices: Tensor, updates: Tensor, reduction: str) -> Tensor:
    """Section ScatterND."""
    depth = indices.size(-1)
    named: list[int] = []
    slices = 1
    for size in x.shape[:depth]:
        named.append(size)
        slices *= size
    flat = _flat_positions(named, indices).reshape([-1])
    length = 1
    for size in x.shape[depth:]:
        length *= size
    rows = x.reshape([slices, length])
    new = updates.reshape([flat.size(0), length])
    places = flat.unsqueeze(1).expand([flat.size(0), length])
    return _scatter(rows, 0, places, new, reduction).reshape(x.shape)


def tensor_scatter(
    past: Tensor, update: Tensor, start: Tensor | None, axis: int, circular: bool
) -> Tensor:
    """Section TensorScatter."""
    if axis < 0:
        axis += past.dim()
    length, size = update.size(axis), past.size(axis)
    if start is None:
        start = torch.zeros([past.size(0)], dtype=torch.int64)
    places = start.to(torch.int64).unsqueeze(1) + torch.arange(length)
    if circular:
        places = torch.remainder(places, size)
    shape: list[int] = []
    for other in range(past.dim()):
        shape.append(1)
        if other == 0:
            shape[0] = past.size(0)
        elif other == axis:
            shape[other] = length
    return torch.scatter(past, axis, places.reshape(shape).expand(update.shape), update)


def non_zero(x: Tensor) -> Tensor:
    """Section NonZero."""
    if x.dim() == 0:
        return torch.nonzero(x.reshape([1])).transpose(0, 1)[:0]
    return torch.nonzero(x).transpose(0, 1)


def compress(x: Tensor, condition: Tensor, axis: int) -> Tensor:
    """Section Compress."""
    return x.index_select(axis, torch.nonzero(condition.reshape([-1])).reshape([-1]))


def one_hot(indices: Tensor, depth: Tensor, values: Tensor, axis: int) -> Tensor:
    """Section OneHot."""
    size = int(depth.reshape([-1])[0].item())
    wanted = indices.to(torch.int64)
    wanted = torch.where(wanted < 0, wanted + size, wanted)
    if axis < 0:
        axis += indices.dim() + 1
    hot = wanted.unsqueeze(-1) == torch.arange(size)
    hot = hot.movedim(-1, axis)
    return torch.where(hot, values[1], values[0])


def reverse_sequence(x: Tensor, lengths: Tensor, batch_axis: int, time_axis: int) -> Tensor:
    """Section ReverseSequence."""
    moved = x.movedim([batch_axis, time_axis], [0, 1])
    step = torch.arange(moved.size(1)).unsqueeze(0)
    wanted = lengths.unsqueeze(1)
    places = torch.where(step < wanted, wanted - 1 - step, step)
    shape: list[int] = []
    for axis in range(moved.dim()):
        shape.append(1 if axis > 1 else places.size(axis))
    turned = torch.gather(moved, 1, places.reshape(shape).expand(moved.shape))
    return turned.movedim([0, 1], [batch_axis, time_axis])


def last_axis(x: Tensor, indices: Tensor) -> Tensor:
    """Section ArrayFeatureExtractor."""
    picked = x.index_select(-1, indices.reshape([-1]))
    return picked.reshape([1, -1]) if x.dim() == 1 else picked
