"""What ExecuTorch has no kernel for, or a wrong one, by operators that it computes rightly."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["decompose"]


def decompose(exported: Any) -> Any:
    """Return an exported program without the operators of the table.

    Args:
        exported: A ``torch.export.ExportedProgram``; it comes back as it is if it has none.
    """
    table = _table()
    if not any(node.target in table for node in exported.graph.nodes):
        return exported
    return exported.run_decompositions(dict(table))


def _table() -> Mapping[Any, Callable[..., Any]]:
    import torch

    aten = torch.ops.aten
    return {
        aten.remainder.Tensor: _remainder,
        aten.remainder.Scalar: _remainder,
        aten.pad.default: _pad,
        aten.gelu.default: _gelu,
        aten.max_pool3d.default: _max_pool3d,
        aten.avg_pool3d.default: _avg_pool3d,
        aten.conv3d.default: _conv3d,
    }


def _remainder(x: Tensor, divisor: Any) -> Tensor:
    """Take the sign of the divisor for integers, for which ExecuTorch takes the dividend's."""
    import torch

    if x.dtype.is_floating_point or getattr(divisor, "is_floating_point", bool)():
        return NotImplemented
    return x - torch.floor_divide(x, divisor) * divisor


def _pad(x: Tensor, pads: list[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Cut by slices where padding is negative, which ExecuTorch refuses."""
    import torch

    known = all(isinstance(size, int) for size in pads)
    if mode != "constant" or not known or min(pads, default=0) >= 0:
        return NotImplemented
    for back in range(len(pads) // 2):
        axis = x.dim() - 1 - back
        before, after = (min(size, 0) for size in pads[2 * back : 2 * back + 2])
        x = x.narrow(axis, -before, x.size(axis) + before + after)
    rest = [max(size, 0) for size in pads]
    return torch.constant_pad_nd(x, rest, value or 0.0) if any(rest) else x.clone()


def _gelu(x: Tensor, *, approximate: str = "none") -> Tensor:
    """Write the form with tanh out, which XNNPACK takes for the exact one."""
    import torch

    if approximate != "tanh":
        return NotImplemented
    inner = 0.7978845608028654 * (x + 0.044715 * x * x * x)
    return 0.5 * x * (1.0 + torch.tanh(inner))


def _max_pool3d(
    x: Tensor,
    kernel: list[int],
    stride: list[int],
    padding: Sequence[int] = (0, 0, 0),
    dilation: Sequence[int] = (1, 1, 1),
    ceil: bool = False,
) -> Tensor:
    """Pool the planes, then the axis across them."""
    from torch.nn.functional import max_pool2d

    planes = max_pool2d(x.flatten(1, 2), kernel[1:], stride[1:], padding[1:], dilation[1:], ceil)
    columns = planes.reshape([*x.shape[:3], -1])
    deep = max_pool2d(
        columns, [kernel[0], 1], [stride[0], 1], [padding[0], 0], [dilation[0], 1], ceil
    )
    return deep.reshape([*deep.shape[:3], *planes.shape[2:]])


def _avg_pool3d(
    x: Tensor,
    kernel: list[int],
    stride: list[int],
    padding: Sequence[int] = (0, 0, 0),
    ceil: bool = False,
    count_pads: bool = True,
) -> Tensor:
    """Average the planes, then the axis across them: the counts of both are multiplied."""
    from torch.nn.functional import avg_pool2d

    planes = avg_pool2d(x.flatten(1, 2), kernel[1:], stride[1:], padding[1:], ceil, count_pads)
    columns = planes.reshape([*x.shape[:3], -1])
    deep = avg_pool2d(columns, [kernel[0], 1], [stride[0], 1], [padding[0], 0], ceil, count_pads)
    return deep.reshape([*deep.shape[:3], *planes.shape[2:]])


def _conv3d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sequence[int] = (1, 1, 1),
    padding: Sequence[int] = (0, 0, 0),
    dilation: Sequence[int] = (1, 1, 1),
    groups: int = 1,
) -> Tensor:
    """Add the convolutions of planes by each plane of the kernel."""
    import torch
    from torch.nn.functional import conv2d

    x = torch.constant_pad_nd(x, [0, 0, 0, 0, padding[0], padding[0]]) if padding[0] else x
    depth = weight.size(2)
    count = (x.size(2) - (depth - 1) * dilation[0] - 1) // stride[0] + 1
    total: Any = None
    for place in range(depth):
        first = place * dilation[0]
        planes = x[:, :, first : first + (count - 1) * stride[0] + 1 : stride[0]]
        rows = planes.transpose(1, 2).flatten(0, 1)
        found = conv2d(
            rows, weight.select(2, place), bias if place == 0 else None, stride[1:], padding[1:],
            dilation[1:], groups,
        )  # fmt: skip
        total = found if total is None else total + found
    return total.reshape([x.size(0), count, *total.shape[1:]]).transpose(1, 2)
