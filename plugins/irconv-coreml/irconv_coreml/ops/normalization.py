"""Normalizations."""

from __future__ import annotations

import numpy as np

from irconv_coreml.ops.refusals import float_input
from irconv_coreml.ops.registry import emits
from irconv_coreml.site import Site, Var

__all__: list[str] = []


def _across(site: Site, var: Var, rank: int) -> Var:
    """Return one value a channel, [C], in a shape that broadcasts over [N, C, ...]."""
    return site.mb.reshape(x=var, shape=np.array([1, -1] + [1] * (rank - 2), np.int32))


@emits("BatchNormalization", refuses=float_input)
def _batch_norm(site: Site) -> Var | tuple[Var, ...]:
    """ONNX BatchNormalization as MIL batch_norm where its statistics are constants.

    Otherwise (x - mean) * scale / sqrt(var + epsilon) + bias.
    """
    mb, x = site.mb, site.x
    epsilon, rank = site.float_("epsilon", 1e-5), len(site.x.shape)
    if site.int_("training_mode", 0):
        return _training(site, epsilon, rank)
    known = [site.constant(index) for index in range(1, 5)]
    if all(array is not None for array in known) and 3 <= rank <= 5:
        return mb.batch_norm(
            x=x, gamma=site[1], beta=site[2], mean=site[3], variance=site[4],
            epsilon=site.like(epsilon, site[4]),
        )  # fmt: skip
    kind = site.kind(x)
    scale, bias, mean, variance = (
        _across(site, site.cast(site[index], kind), rank) if rank > 1 else site[index]
        for index in range(1, 5)
    )
    root = mb.sqrt(x=mb.add(x=variance, y=site.like(epsilon, x)))
    factor = mb.real_div(x=scale, y=root)
    return mb.add(x=mb.mul(x=mb.sub(x=x, y=mean), y=factor), y=bias)


def _training(site: Site, epsilon: float, rank: int) -> tuple[Var, ...]:
    """Normalize by the batch's own mean and variance, and bring the running ones up to date."""
    mb, x = site.mb, site.x
    axes = [0, *range(2, rank)]
    mean = mb.reduce_mean(x=x, axes=axes, keep_dims=True)
    centred = mb.sub(x=x, y=mean)
    variance = mb.reduce_mean(x=mb.mul(x=centred, y=centred), axes=axes, keep_dims=True)
    root = mb.sqrt(x=mb.add(x=variance, y=site.like(epsilon, x)))
    factor = mb.real_div(x=_across(site, site[1], rank), y=root)
    result = mb.add(x=mb.mul(x=centred, y=factor), y=_across(site, site[2], rank))
    momentum = site.float_("momentum", 0.9)
    running = [
        mb.add(
            x=mb.mul(x=site[index], y=site.like(momentum, x)),
            y=mb.mul(x=mb.squeeze(x=now, axes=axes), y=site.like(1 - momentum, x)),
        )
        for index, now in ((3, mean), (4, variance))
    ]
    return result, *running


@emits("InstanceNormalization", refuses=float_input)
def _instance_norm(site: Site) -> Var:
    """ONNX InstanceNormalization as MIL instance_norm, or layer_norm over the plane."""
    mb, x = site.mb, site.x
    rank, epsilon = len(x.shape), site.like(site.float_("epsilon", 1e-5), x)
    if rank in (3, 4) and site.constant(1) is not None and site.constant(2) is not None:
        return mb.instance_norm(x=x, gamma=site[1], beta=site[2], epsilon=epsilon)
    normal = mb.layer_norm(x=x, axes=list(range(2, rank)), epsilon=epsilon)
    scaled = mb.mul(x=normal, y=_across(site, site[1], rank))
    return mb.add(x=scaled, y=_across(site, site[2], rank))


@emits("LayerNormalization", refuses=float_input)
def _layer_norm(site: Site) -> tuple[Var, ...]:
    """ONNX LayerNormalization as MIL layer_norm.

    Scale and bias go into it where they are constants of the shape that it wants. Mean and
    1/deviation are computed only if read.
    """
    mb, x = site.mb, site.x
    axis = site.axis(x)
    axes = list(range(axis, len(x.shape)))
    epsilon = site.like(site.float_("epsilon", 1e-5), x)
    inner = site.dims(x)[axis:]
    inside: dict[str, Var] = {}
    scale, bias = site.constant(1), site.constant(2)
    fits = scale is not None and scale.shape == inner
    if fits and not site.has(2):
        inside = {"gamma": site[1]}
    elif fits and bias is not None and bias.shape == inner:
        inside = {"gamma": site[1], "beta": site[2]}
    result = mb.layer_norm(x=x, axes=axes, epsilon=epsilon, **inside)
    if not inside:
        result = mb.mul(x=result, y=site[1])
        result = mb.add(x=result, y=site[2]) if site.has(2) else result
    if not site.wants(1) and not site.wants(2):
        return (result,)
    mean = mb.reduce_mean(x=x, axes=axes, keep_dims=True)
    centred = mb.sub(x=x, y=mean)
    variance = mb.reduce_mean(x=mb.mul(x=centred, y=centred), axes=axes, keep_dims=True)
    root = mb.sqrt(x=mb.add(x=variance, y=epsilon))
    return result, mean, mb.real_div(x=site.like(1, x), y=root)


@emits("RMSNormalization", refuses=float_input)
def _rms_norm(site: Site) -> Var:
    """ONNX RMSNormalization: x / sqrt(mean(x^2) + epsilon) * scale."""
    mb, x = site.mb, site.x
    axes = list(range(site.axis(x), len(x.shape)))
    square = mb.reduce_mean(x=mb.mul(x=x, y=x), axes=axes, keep_dims=True)
    root = mb.sqrt(x=mb.add(x=square, y=site.like(site.float_("epsilon", 1e-5), x)))
    return mb.mul(x=mb.real_div(x=x, y=root), y=site[1])


@emits("LRN", refuses=float_input)
def _lrn(site: Site) -> Var:
    """ONNX LRN: x / (bias + alpha / size * sum of squares of near channels) ^ beta.

    The sum runs from floor((size - 1) / 2) channels before to ceil((size - 1) / 2) after; it is
    the mean of an average pool over the channels, seen as the only spatial dimension.
    """
    mb, x, size = site.mb, site.x, site.int_("size", 1)
    before, after = (size - 1) // 2, size // 2
    dims = site.shape_vector(x)
    square = mb.mul(x=x, y=x)
    planes = site.reshape(square, [dims[0], 1, dims[1], -1])
    mean = mb.avg_pool(
        x=planes, kernel_sizes=[size, 1], strides=[1, 1], pad_type="custom",
        pad=[before, after, 0, 0], exclude_padding_from_average=False,
    )  # fmt: skip
    near = site.reshape(mean, dims)
    base = mb.add(
        x=mb.mul(x=near, y=site.like(site.float_("alpha", 1e-4), x)),
        y=site.like(site.float_("bias", 1.0), x),
    )
    return mb.real_div(x=x, y=mb.pow(x=base, y=site.like(site.float_("beta", 0.75), x)))


@emits("LpNormalization", refuses=float_input)
def _lp_normalization(site: Site) -> Var:
    """ONNX LpNormalization: x over its norm along an axis; 0 where the norm is 0."""
    mb, x = site.mb, site.x
    axes = [site.axis(x)]
    name = "reduce_l1_norm" if site.int_("p", 2) == 1 else "reduce_l2_norm"
    norm = getattr(mb, name)(x=x, axes=axes, keep_dims=True)
    empty = mb.equal(x=norm, y=site.like(0, x))
    divisor = mb.select(cond=empty, a=site.like(1, x), b=norm)
    return mb.real_div(x=x, y=divisor)
