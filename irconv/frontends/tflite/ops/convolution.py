"""Convolutions, plain, depthwise and transposed, of images and volumes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from irconv.frontends.tflite import hybrid
from irconv.frontends.tflite.ops.registry import converts
from irconv.frontends.tflite.refusal import RefusalError
from irconv.frontends.tflite.sizes import known_items
from irconv.frontends.tflite.windows import is_same, spatial, window_attributes

if TYPE_CHECKING:
    import onnx_ir as ir

    from irconv.frontends.tflite.edges import Edge
    from irconv.frontends.tflite.site import Site
    from irconv.runtime.base import Array

__all__ = ["Blocks", "Dilated", "bias_of"]


@dataclass(frozen=True)
class Blocks:
    """What SPACE_TO_BATCH_ND did.

    Attributes:
        x: What it took.
        block: Its block, which is the dilation of the convolution behind it.
        pads: Its padding, before and after each dimension.
    """

    x: Edge
    block: list[int]
    pads: Array


@dataclass(frozen=True)
class Dilated:
    """A convolution between SPACE_TO_BATCH_ND and BATCH_TO_SPACE_ND.

    TensorFlow takes dilated convolutions apart in this way.

    Attributes:
        site: The convolution.
        blocks: What was done before it.
        kernel: Its weights.
        bias: Its bias.
        group: Its groups.
    """

    site: Site
    blocks: Blocks
    kernel: ir.Value
    bias: ir.Value | None
    group: int | None

    def joined(self, block: Sequence[int], crops: Array) -> ir.Value | None:
        """Return the three as one convolution, channels first; None where they are not one."""
        left = self.blocks.pads - crops
        if list(block) != self.blocks.block or (left < 0).any():
            return None
        value = self.site.nodes.op(
            "Conv",
            self.blocks.x.real(first=True),
            self.kernel,
            self.bias,
            group=self.group,
            dilations=self.blocks.block,
            pads=[int(pad) for pad in left.T.reshape(-1)],
        )
        return self.site.activated(value)


@converts("CONV_2D")
def conv_2d(site: Site) -> None:
    """CONV_2D: Conv; weights [O, H, W, I], in groups where I is a part of the channels."""
    x, weights = site.input(0), site.input(1)
    _, *kernel, depth = _fixed(weights)
    channels = x.shape[-1] or depth
    group = max(channels // max(depth, 1), 1)
    _convolve(site, weights.weight([0, 3, 1, 2]), kernel, group if group > 1 else None)


@converts("DEPTHWISE_CONV_2D")
def depthwise_conv_2d(site: Site) -> None:
    """DEPTHWISE_CONV_2D: Conv in one group a channel; weights [1, H, W, I x multiplier]."""
    x, weights = site.input(0), site.input(1)
    _, *kernel, out = _fixed(weights)
    channels = x.shape[-1] or out // max(int(site.option("depth_multiplier")), 1)
    _convolve(site, weights.weight([3, 0, 1, 2]), kernel, channels)


@converts("CONV_3D")
def conv_3d(site: Site) -> None:
    """CONV_3D: Conv; weights [D, H, W, I, O]."""
    x, weights = site.input(0), site.input(1)
    *kernel, depth, _ = _fixed(weights)
    group = max((x.shape[-1] or depth) // max(depth, 1), 1)
    _convolve(site, weights.weight([4, 3, 0, 1, 2]), kernel, group if group > 1 else None)


@converts("TRANSPOSE_CONV")
def transpose_conv(site: Site) -> None:
    """TRANSPOSE_CONV: ConvTranspose; weights [O, H, W, I], the output's shape given."""
    weights, x = site.input(1), site.input(2)
    _, *kernel, _ = _fixed(weights)
    value = x.real(first=True)
    _upsample(site, x, value, weights.weight([3, 0, 1, 2]), kernel)


@converts("CONV_3D_TRANSPOSE")
def conv_3d_transpose(site: Site) -> None:
    """CONV_3D_TRANSPOSE: ConvTranspose; weights [D, H, W, O, I]."""
    weights, x = site.input(1), site.input(2)
    *kernel, _, _ = _fixed(weights)
    _upsample(site, x, x.real(first=True), weights.weight([4, 3, 0, 1, 2]), kernel)


def bias_of(site: Site, index: int, x: Edge, weights: Edge) -> ir.Value | None:
    """Return a bias as real numbers, or None where there is none.

    The integers of a quantized one count in steps of the product of the operands' steps, which
    is what kernels add them in, whatever the bias says itself. Those of 64 bits that fit 32 are
    stored so, as ONNX has no larger ones.
    """
    if not site.has(index):
        return None
    bias = site.input(index)
    if bias.tensor.dtype not in ("int32", "int64") or x.quantization is None:
        return bias.weight()
    if weights.quantization is None or not bias.is_constant:
        return bias.weight()
    array = bias.array()
    scales = np.float64(x.quantization.scales[0]) * np.asarray(weights.quantization.scales)
    if not np.can_cast(array.dtype, np.int32) and np.any(np.abs(array) > np.iinfo(np.int32).max):
        return site.nodes.pool.constant((array * scales).astype(np.float32), bias.tensor.name)
    several = len(scales) > 1
    return site.nodes.op(
        "DequantizeLinear",
        site.nodes.pool.constant(np.array(array, np.int32), bias.tensor.name),
        site.nodes.constant(scales if several else scales[0], "float32"),
        axis=0 if several else None,
    )


def _convolve(site: Site, kernel: ir.Value, sizes: Sequence[int], group: int | None) -> None:
    x, weights = site.input(0), site.input(1)
    value = hybrid.activations(
        site,
        x,
        weights,
        asymmetric=weights.quantization is not None and weights.quantization.per_axis,
        axes=range(1, x.rank),
        first=True,
    )
    bias = bias_of(site, 2, x, weights)
    attributes = window_attributes(site, x.shape[1:-1], sizes)
    site.write(site.nodes.op("Conv", value, kernel, bias, group=group, **attributes), first=True)
    blocks: Blocks | None = x.cache.get("blocks")
    if hybrid.is_rounded(site, x, weights):
        return
    if blocks is not None and set(attributes) == {"kernel_shape"} and not is_same(site):
        site.output().cache["dilated"] = Dilated(site, blocks, kernel, bias, group)


def _upsample(site: Site, x: Edge, value: ir.Value, kernel: ir.Value, sizes: Sequence[int]) -> None:
    """Add a ConvTranspose; TFLite pads as the convolution would that it is the gradient of."""
    strides = spatial(site, "stride_{}", len(sizes))
    dilations = spatial(site, "dilation_{}factor", len(sizes))
    wanted = _output_sizes(site)
    attributes: dict[str, list[int]] = {"kernel_shape": list(sizes), "strides": strides}
    if set(dilations) != {1}:
        attributes["dilations"] = dilations
    if None in x.shape[1:-1] or None in wanted:
        raise RefusalError(
            "the sizes of its images are computed at run time",
            "convert the model with static image sizes",
        )
    full = [
        ((size or 0) - 1) * stride + (k - 1) * dilation + 1
        for size, stride, k, dilation in zip(x.shape[1:-1], strides, sizes, dilations, strict=True)
    ]
    excess = [all_ - (out or 0) for all_, out in zip(full, wanted, strict=True)]
    before = [max(extra, 0) // 2 if is_same(site) else 0 for extra in excess]
    after = [extra - start for extra, start in zip(excess, before, strict=True)]
    attributes["pads"] = before + [max(extra, 0) for extra in after]
    extra = [max(-extra, 0) for extra in after]
    if any(size >= stride for size, stride in zip(extra, strides, strict=True)):
        raise RefusalError("its output is larger than its windows reach")
    if any(extra):
        attributes["output_padding"] = extra
    bias = bias_of(site, 3, x, site.input(1))
    site.write(site.nodes.op("ConvTranspose", value, kernel, bias, **attributes), first=True)


def _output_sizes(site: Site) -> list[int | None]:
    """Return the spatial sizes of the output, from its stated shape or the output's own."""
    stated = known_items(site.input(0))
    if stated is not None and len(stated) == site.output().rank:
        return list(stated[1:-1])
    return list(site.output().shape[1:-1])


def _fixed(weights: Edge) -> list[int]:
    sizes = [size for size in weights.shape if size is not None]
    if len(sizes) != weights.rank:
        raise RefusalError("the shape of its weights is computed at run time")
    return sizes
