"""Random numbers, by torch's generator; a seed of ONNX names no generator, so it is left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import onnx_ir as ir

from irconv_torchscript.held import Node
from irconv_torchscript.ops.moving import sizes_of
from irconv_torchscript.registry import emits

if TYPE_CHECKING:
    from irconv_torchscript.site import Site


def _dtype(site: Site, default: ir.DataType) -> Any:
    return site.torch_dtype(ir.DataType(site.attr("dtype", default)))


def _shape(site: Site) -> Any:
    return sizes_of(site) if site.count else site.list_of(site.attr("shape"))


@emits("RandomUniform", "RandomUniformLike")
def uniform(site: Site) -> Node:
    """Sections RandomUniform, RandomUniformLike: torch.rand."""
    dtype = _dtype(site, site.dtype() if site.count else ir.DataType.FLOAT)
    return site.call("random.uniform", _shape(site), site.attr("low", 0.0), site.attr("high", 1.0),
                     dtype)  # fmt: skip


@emits("RandomNormal", "RandomNormalLike")
def normal(site: Site) -> Node:
    """Sections RandomNormal, RandomNormalLike: torch.randn."""
    dtype = _dtype(site, site.dtype() if site.count else ir.DataType.FLOAT)
    return site.call("random.normal", _shape(site), site.attr("mean", 0.0), site.attr("scale", 1.0),
                     dtype)  # fmt: skip


@emits("Bernoulli")
def bernoulli(site: Site) -> Node:
    """Section Bernoulli: torch.bernoulli."""
    return site.method("to", site.torch("bernoulli", site.tensor(0)), _dtype(site, site.dtype()))


@emits("Multinomial")
def multinomial(site: Site) -> Node:
    """Section Multinomial: torch.multinomial of the exponentials."""
    dtype = _dtype(site, ir.DataType.INT32)
    return site.call("random.multinomial", site.tensor(0), site.attr("sample_size", 1), dtype)
