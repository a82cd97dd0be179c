"""Normalization."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from irconv_torchscript.held import Node
from irconv_torchscript.registry import emits

if TYPE_CHECKING:
    from irconv_torchscript.site import Site


@emits("BatchNormalization")
def batch_normalization(site: Site) -> Any:
    """Section BatchNormalization: torch.batch_norm; in training mode from its definition."""
    data, scale, bias, mean, variance = site.tensors()
    epsilon = site.attr("epsilon", 1e-5)
    if site.attr("training_mode", 0):
        found = site.call("normalization.batch_training", data, scale, bias, mean, variance,
                          epsilon, site.attr("momentum", 0.9))  # fmt: skip
        return site.items(found, 3)
    one_dtype = len({site.dtype(index) for index in range(5)}) == 1
    if one_dtype:
        return site.torch("batch_norm", data, scale, bias, mean, variance, False, 0.0, epsilon,
                          False)  # fmt: skip
    return site.call("normalization.batch", data, scale, bias, mean, variance, epsilon)


@emits("InstanceNormalization")
def instance_normalization(site: Site) -> Node:
    """Section InstanceNormalization: torch.instance_norm."""
    return site.torch(
        "instance_norm", *site.tensors(), None, None, True, 0.0, site.attr("epsilon", 1e-5), False
    )


@emits("LayerNormalization")
def layer_normalization(site: Site) -> Any:
    """Section LayerNormalization: torch.layer_norm where it gives all that is asked for."""
    axis, epsilon = site.attr("axis", -1), site.attr("epsilon", 1e-5)
    dims = site.dims()
    rank = site.rank()
    if dims is not None and rank is not None and len(site.node.outputs) == 1:
        tail = dims[axis % rank :]
        fits = site.dims(1) == tail and (not site.given(2) or site.dims(2) == tail)
        if None not in tail and fits and site.dtype() == site.dtype(1):
            return site.torch("layer_norm", site.tensor(0), tail, site.tensor(1), site.tensor(2),
                              epsilon)  # fmt: skip
    found = site.call(
        "normalization.layer", site.tensor(0), site.tensor(1), site.tensor(2), axis, epsilon
    )
    return site.items(found, 3)


@emits("GroupNormalization")
def group_normalization(site: Site) -> Node:
    """Section GroupNormalization: torch.group_norm; statistics in float32."""
    return site.torch(
        "group_norm", site.tensor(0), site.attr("num_groups"), site.tensor(1), site.tensor(2),
        site.attr("epsilon", 1e-5),
    )  # fmt: skip


@emits("LRN")
def lrn(site: Site) -> Node:
    """Section LRN."""
    return site.call(
        "normalization.local_response", site.tensor(0), site.attr("size"),
        site.attr("alpha", 1e-4), site.attr("beta", 0.75), site.attr("bias", 1.0),
    )  # fmt: skip


@emits("LpNormalization")
def lp_normalization(site: Site) -> Node:
    """Section LpNormalization; zeros stay zeros."""
    return site.call("normalization.lp", site.tensor(0), site.attr("axis", -1), site.attr("p", 2))
