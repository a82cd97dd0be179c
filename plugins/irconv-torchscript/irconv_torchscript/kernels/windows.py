"""Windows of convolutions and pools (ONNX sections Conv, ConvTranspose, the pools)."""

import math

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

__all__ = [
    "average_pool", "cut_same", "cut_to", "lp_pool", "max_pool", "max_unpool", "pad_same", "col2im",
]  # fmt: skip


def _same(size: int, kernel: int, stride: int, dilation: int, lower: bool) -> tuple[int, int]:
    outputs = (size + stride - 1) // stride
    total = max((outputs - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    small = total // 2
    return (total - small, small) if lower else (small, total - small)


def pad_same(
    x: Tensor, weight: Tensor, strides: list[int], dilations: list[int], lower: bool
) -> Tensor:
    """Pad with zeros so that the output has size ceil(input / stride)."""
    order: list[int] = []
    for back in range(len(strides)):
        axis = len(strides) - 1 - back
        before, after = _same(
            x.size(axis + 2), weight.size(axis + 2), strides[axis], dilations[axis], lower
        )
        order.append(before)
        order.append(after)
    return F.pad(x, order)


def cut_to(full: Tensor, wanted: list[int], extra: list[int], upper: bool) -> Tensor:
    """Cut the result of a transposed convolution to a shape that was asked for."""
    order: list[int] = []
    for back in range(len(wanted)):
        axis = len(wanted) - 1 - back
        total = full.size(axis + 2) + extra[axis] - wanted[axis]
        small = total // 2
        before = small if upper else total - small
        order.append(-before)
        order.append(extra[axis] - (total - before))
    return F.pad(full, order)


def cut_same(full: Tensor, x: Tensor, strides: list[int], extra: list[int], upper: bool) -> Tensor:
    """Cut the result of a transposed convolution to input size times stride."""
    wanted: list[int] = []
    for axis in range(len(strides)):
        wanted.append(x.size(axis + 2) * strides[axis])
    return cut_to(full, wanted, extra, upper)


def _padding(
    x: Tensor,
    kernel: list[int],
    strides: list[int],
    dilations: list[int],
    pads: list[int],
    auto: str,
    ceil: bool,
) -> tuple[list[int], list[int]]:
    """Return padding before and after each axis, and how far windows reach over it.

    The first list is in the order of torch's pad, so that exactly all windows fit; the second
    says how much of each padding after an axis is no declared padding.
    """
    order: list[int] = []
    over: list[int] = []
    space = len(kernel)
    for back in range(space):
        axis = space - 1 - back
        size = x.size(axis + 2)
        reach = (kernel[axis] - 1) * dilations[axis] + 1
        before, after = pads[axis], pads[space + axis]
        if auto == "VALID":
            before, after = 0, 0
        elif auto != "NOTSET":
            before, after = _same(
                size, kernel[axis], strides[axis], dilations[axis], auto == "SAME_LOWER"
            )
        rest = size + before + after - reach
        outputs = rest // strides[axis] + 1
        if ceil:
            outputs = (rest + strides[axis] - 1) // strides[axis] + 1
            if (outputs - 1) * strides[axis] >= size + before:
                outputs -= 1
        needed = (outputs - 1) * strides[axis] + reach - size - before
        order.append(before)
        order.append(needed)
        over.append(max(needed - after, 0))
    return order, over


def _windows(x: Tensor, kernel: list[int], strides: list[int], dilations: list[int]) -> Tensor:
    """Return the windows: one axis for each kernel axis, after the others."""
    for axis in range(len(kernel)):
        reach = (kernel[axis] - 1) * dilations[axis] + 1
        x = x.unfold(axis + 2, reach, strides[axis])[..., :: dilations[axis]]
    return x


def _kernel_axes(kernel: list[int]) -> list[int]:
    axes: list[int] = []
    for axis in range(len(kernel)):
        axes.append(-1 - axis)
    return axes


def average_pool(
    x: Tensor,
    kernel: list[int],
    strides: list[int],
    dilations: list[int],
    pads: list[int],
    auto: str,
    ceil: bool,
    count_pads: bool,
) -> Tensor:
    """Section AveragePool."""
    order, over = _padding(x, kernel, strides, dilations, pads, auto, ceil)
    axes = _kernel_axes(kernel)
    total = torch.sum(_windows(F.pad(x, order), kernel, strides, dilations), axes)
    ones = torch.ones_like(x[:1, :1])
    if count_pads:
        declared: list[int] = []
        for index in range(len(order)):
            declared.append(order[index] - over[index // 2] if index % 2 == 1 else order[index])
        ones = F.pad(ones, declared, value=1.0)
        rest: list[int] = []
        for index in range(len(order)):
            rest.append(over[index // 2] if index % 2 == 1 else 0)
        ones = F.pad(ones, rest)
    else:
        ones = F.pad(ones, order)
    return total / torch.sum(_windows(ones, kernel, strides, dilations), axes)


def lp_pool(
    x: Tensor,
    kernel: list[int],
    strides: list[int],
    dilations: list[int],
    pads: list[int],
    auto: str,
    ceil: bool,
    p: float,
) -> Tensor:
    """Section LpPool."""
    order, _ = _padding(x, kernel, strides, dilations, pads, auto, ceil)
    powers = torch.pow(torch.abs(F.pad(x, order)), p)
    total = torch.sum(_windows(powers, kernel, strides, dilations), _kernel_axes(kernel))
    return torch.pow(total, 1.0 / p)


def max_pool(
    x: Tensor,
    kernel: list[int],
    strides: list[int],
    dilations: list[int],
    pads: list[int],
    auto: str,
    ceil: bool,
    column_major: bool,
) -> tuple[Tensor, Tensor]:
    """Section MaxPool, with the positions of the maxima in the whole input."""
    order, _ = _padding(x, kernel, strides, dilations, pads, auto, ceil)
    if x.is_floating_point():
        padded = F.pad(x, order, value=-math.inf)
    else:
        padded = F.pad(x.to(torch.float64), order, value=-math.inf)
    windows = _windows(padded, kernel, strides, dilations)
    outer = windows.dim() - len(kernel)
    values, _ = torch.max(windows.flatten(outer), -1)
    places = _places(x, column_major).to(torch.float64)
    place_windows = _windows(F.pad(places, order, value=-1.0), kernel, strides, dilations)
    inside = place_windows.flatten(outer) >= 0
    flat = windows.flatten(outer)
    best = torch.logical_and(flat == values.unsqueeze(-1), inside)
    first = torch.argmax(best.to(torch.int8), -1, True)
    found = torch.gather(place_windows.flatten(outer).expand(flat.shape), -1, first)
    return values.to(x.dtype), found.squeeze(-1).to(torch.int64)


def _places(x: Tensor, column_major: bool) -> Tensor:
    """Return the number of each element, counted through batches and channels."""
    plane = 1
    for size in x.shape[2:]:
        plane *= size
    inner = torch.arange(plane)
    shape: list[int] = []
    for size in x.shape[2:]:
        shape.append(size)
    if column_major:
        axes: list[int] = []
        for back in range(len(shape)):
            axes.append(len(shape) - 1 - back)
        inner = inner.reshape(shape[::-1]).permute(axes)
    else:
        inner = inner.reshape(shape)
    planes = torch.arange(x.size(0) * x.size(1)).reshape([x.size(0), x.size(1)])
    for _ in range(len(shape)):
        planes = planes.unsqueeze(-1)
    return planes * plane + inner


def max_unpool(x: Tensor, places: Tensor, shape: list[int], inner: list[int]) -> Tensor:
    """Section MaxUnpool.

    Places count through a tensor whose planes have the shape ``inner``; the result has ``shape``.
    """
    total = x.size(0) * x.size(1)
    for size in inner:
        total *= size
    flat = torch.zeros([total], dtype=x.dtype)
    flat = flat.scatter(0, places.reshape([-1]), x.reshape([-1]))
    result = flat.reshape([x.size(0), x.size(1)] + inner)  # noqa: RUF005
    order: list[int] = []
    for back in range(len(inner)):
        axis = len(inner) - 1 - back
        order.append(0)
        order.append(shape[axis + 2] - inner[axis])
    return F.pad(result, order)


def col2im(
    x: Tensor,
    image: list[int],
    block: list[int],
    dilations: list[int],
    pads: list[int],
    strides: list[int],
) -> Tensor:
    """Section Col2Im: each block entry is added at its place, for any number of axes."""
    space = len(image)
    cells = 1
    for size in block:
        cells *= size
    channels = x.size(1) // cells
    padded: list[int] = []
    counts: list[int] = []
    plane = 1
    for axis in range(space):
        size = image[axis] + pads[axis] + pads[space + axis]
        padded.append(size)
        plane *= size
        counts.append((size - (block[axis] - 1) * dilations[axis] - 1) // strides[axis] + 1)
    flat = torch.zeros([1, 1], dtype=torch.int64)
    for axis in range(space):
        inner = (torch.arange(block[axis]) * dilations[axis]).unsqueeze(1)
        outer = (torch.arange(counts[axis]) * strides[axis]).unsqueeze(0)
        place = inner + outer
        rows = (flat * padded[axis]).unsqueeze(1).unsqueeze(3)
        flat = rows + place.unsqueeze(0).unsqueeze(2)
        flat = flat.reshape([flat.size(0) * flat.size(1), flat.size(2) * flat.size(3)])
    flat = flat.reshape([1, 1, -1]).expand([x.size(0), channels, flat.numel()])
    result = torch.zeros([x.size(0), channels, plane], dtype=x.dtype)
    result = result.scatter_add(2, flat, x.reshape([x.size(0), channels, -1]))
    result = result.reshape([x.size(0), channels] + padded)  # noqa: RUF005
    for axis in range(space):
        result = result.narrow(axis + 2, pads[axis], image[axis])
    return result
