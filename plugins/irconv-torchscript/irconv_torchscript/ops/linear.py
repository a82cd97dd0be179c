"""Products of matrices and convolutions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import onnx_ir as ir

from irconv_torchscript.held import Node
from irconv_torchscript.registry import emits

if TYPE_CHECKING:
    from irconv_torchscript.site import Site

__all__ = ["unknown_kernel"]


@emits("MatMul")
def matmul(site: Site) -> Node:
    """Section MatMul: torch.matmul."""
    return site.torch("matmul", site.tensor(0), site.tensor(1))


@emits("Gemm")
def gemm(site: Site) -> Node:
    """Section Gemm: torch.nn.functional.linear where it is one, else matmul and add."""
    alpha, beta = site.attr("alpha", 1.0), site.attr("beta", 1.0)
    left, right, bias = site.tensor(0), site.tensor(1), site.tensor(2)
    if site.attr("transA", 0):
        left = site.method("t", left)
    plain = alpha == 1.0 and beta == 1.0 and (bias is None or site.rank(2) == 1)
    if plain and site.attr("transB", 0) and site.dtype().is_floating_point():
        return site.torch("nn.functional.linear", left, right, bias)
    if site.attr("transB", 0):
        right = site.method("t", right)
    product = _scaled(site, site.torch("matmul", left, right), alpha)
    return product if bias is None else site.torch("add", product, _scaled(site, bias, beta))


def _scaled(site: Site, node: Node, factor: float) -> Node:
    if factor == 1.0:
        return node
    return site.torch("mul", node, factor if site.dtype().is_floating_point() else int(factor))


def unknown_kernel(node: ir.Node) -> str:
    """Refuse a convolution of unknown rank."""
    weight = node.inputs[1]
    known = weight is not None and weight.shape is not None
    if known or "kernel_shape" in node.attributes:
        rank = len(node.attributes["kernel_shape"].value) if not known else weight.shape.rank() - 2  # type: ignore[union-attr]
        return "" if rank in (1, 2, 3) else f"torch convolves 1 to 3 dimensions, not {rank}"
    return "the rank of the kernel is not known"


def _space(site: Site, index: int = 1) -> int:
    rank = site.rank(index)
    return rank - 2 if rank is not None else len(site.attr("kernel_shape"))


@emits("Conv", refuse=unknown_kernel)
def conv(site: Site) -> Any:
    """Section Conv: torch.conv1d to conv3d; uneven padding before it."""
    space = _space(site)
    strides = site.attr("strides") or [1] * space
    dilations = site.attr("dilations") or [1] * space
    data, weight, bias = site.tensor(0), site.tensor(1), site.tensor(2)
    auto, pads = site.attr("auto_pad", "NOTSET"), site.attr("pads") or [0] * (2 * space)
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        data = site.call("windows.pad_same", data, weight, strides, dilations, auto == "SAME_LOWER")
        pads = [0] * space
    elif auto == "VALID":
        pads = [0] * space
    elif pads[:space] != pads[space:] or min(pads) < 0:
        order = [p for axis in reversed(range(space)) for p in (pads[axis], pads[space + axis])]
        data = site.torch("nn.functional.pad", data, order)
        pads = [0] * space
    return site.torch(
        f"conv{space}d", data, weight, bias, strides, pads[:space], dilations, site.attr("group", 1)
    )


@emits("ConvTranspose", refuse=unknown_kernel)
def conv_transpose(site: Site) -> Node:
    """Section ConvTranspose: torch.conv_transpose1d to 3d without padding, then cut to size."""
    space = _space(site)
    strides = site.attr("strides") or [1] * space
    dilations = site.attr("dilations") or [1] * space
    extra = site.attr("output_padding") or [0] * space
    pads = site.attr("pads") or [0] * (2 * space)
    auto, group = site.attr("auto_pad", "NOTSET"), site.attr("group", 1)
    data, weight, bias = site.tensor(0), site.tensor(1), site.tensor(2)
    wanted = site.attr("output_shape")
    if wanted is None and auto in ("NOTSET", "VALID"):
        pads = [0] * (2 * space) if auto == "VALID" else pads
        fits = all(e < max(s, d) for e, s, d in zip(extra, strides, dilations, strict=True))
        if pads[:space] == pads[space:] and fits and min(pads) >= 0:
            return site.torch(
                f"conv_transpose{space}d", data, weight, bias, strides, pads[:space], extra,
                group, dilations,
            )  # fmt: skip
    none = [0] * space
    full = site.torch(
        f"conv_transpose{space}d", data, weight, None, strides, none, none, group, dilations
    )
    if wanted is not None:
        sized = site.call("windows.cut_to", full, wanted[-space:], extra, auto == "SAME_UPPER")
    elif auto in ("SAME_UPPER", "SAME_LOWER"):
        sized = site.call("windows.cut_same", full, data, strides, extra, auto == "SAME_UPPER")
    else:
        order = [
            item
            for axis in reversed(range(space))
            for item in (-pads[axis], extra[axis] - pads[space + axis])
        ]
        sized = site.torch("nn.functional.pad", full, order)
    if bias is None:
        return sized
    return site.torch("add", sized, site.torch("reshape", bias, [-1, *([1] * space)]))


@emits("Einsum")
def einsum(site: Site) -> Node:
    """Section Einsum: torch.einsum."""
    equation = site.attr("equation").replace(" ", "")
    return site.torch("einsum", equation, site.tensors())


@emits("Det")
def det(site: Site) -> Node:
    """Section Det: torch.det."""
    return site.torch("det", site.tensor(0))
