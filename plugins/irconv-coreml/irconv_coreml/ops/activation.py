"""Activation functions."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from irconv_coreml import node as ask
from irconv_coreml.ops.refusals import float_input
from irconv_coreml.ops.registry import Reason, emits
from irconv_coreml.site import Site, Var

__all__: list[str] = []


@emits("Relu")
def _relu(site: Site) -> Var:
    """ONNX Relu as MIL relu; of integers as a maximum with 0."""
    if site.is_float():
        return site.mb.relu(x=site.x)
    return site.mb.maximum(x=site.x, y=np.int32(0))


@emits("LeakyRelu", refuses=float_input)
def _leaky_relu(site: Site) -> Var:
    """ONNX LeakyRelu as MIL leaky_relu."""
    return site.mb.leaky_relu(x=site.x, alpha=site.like(site.float_("alpha", 0.01), site.x))


@emits("Elu", refuses=float_input)
def _elu(site: Site) -> Var:
    """ONNX Elu as MIL elu."""
    return site.mb.elu(x=site.x, alpha=site.like(site.float_("alpha", 1.0), site.x))


@emits("Selu", refuses=float_input)
def _selu(site: Site) -> Var:
    """ONNX Selu: gamma times elu."""
    alpha = site.float_("alpha", 1.67326319217681884765625)
    gamma = site.float_("gamma", 1.05070102214813232421875)
    elu = site.mb.elu(x=site.x, alpha=site.like(alpha, site.x))
    return site.mb.mul(x=elu, y=site.like(gamma, site.x))


@emits("Celu", refuses=float_input)
def _celu(site: Site) -> Var:
    """ONNX Celu: alpha times elu with factor 1 of x / alpha, whose positive part is x."""
    mb, x, alpha = site.mb, site.x, site.float_("alpha", 1.0)
    if alpha == 1.0:
        return mb.elu(x=x, alpha=site.like(1, x))
    scaled = mb.elu(x=mb.real_div(x=x, y=site.like(alpha, x)), alpha=site.like(1, x))
    return mb.mul(x=scaled, y=site.like(alpha, x))


@emits("ThresholdedRelu", refuses=float_input)
def _thresholded_relu(site: Site) -> Var:
    """ONNX ThresholdedRelu: x where it is greater than alpha, otherwise 0; MIL's takes equality."""
    mb, x = site.mb, site.x
    keep = mb.greater(x=x, y=site.like(site.float_("alpha", 1.0), x))
    return mb.select(cond=keep, a=x, b=site.like(0, x))


@emits("HardSigmoid", refuses=float_input)
def _hard_sigmoid(site: Site) -> Var:
    """ONNX HardSigmoid as MIL sigmoid_hard: min(max(alpha x + beta, 0), 1)."""
    alpha, beta = site.float_("alpha", 0.2), site.float_("beta", 0.5)
    return site.mb.sigmoid_hard(
        x=site.x, alpha=site.like(alpha, site.x), beta=site.like(beta, site.x)
    )


@emits("HardSwish", refuses=float_input)
def _hard_swish(site: Site) -> Var:
    """ONNX HardSwish: x times the hard sigmoid with slope 1/6."""
    x = site.x
    gate = site.mb.sigmoid_hard(x=x, alpha=site.like(1 / 6, x), beta=site.like(0.5, x))
    return site.mb.mul(x=x, y=gate)


@emits("Softplus", refuses=float_input)
def _softplus(site: Site) -> Var:
    """ONNX Softplus as MIL softplus."""
    return site.mb.softplus(x=site.x)


@emits("Mish", refuses=float_input)
def _mish(site: Site) -> Var:
    """ONNX Mish: x tanh(softplus(x))."""
    mb, x = site.mb, site.x
    return mb.mul(x=x, y=mb.tanh(x=mb.softplus(x=x)))


@emits("Gelu", refuses=float_input)
def _gelu(site: Site) -> Var:
    """ONNX Gelu as MIL gelu, exact or by tanh."""
    tanh = site.text("approximate", "none") == "tanh"
    return site.mb.gelu(x=site.x, mode="TANH_APPROXIMATION" if tanh else "EXACT")


@emits("Swish", refuses=float_input)
def _swish(site: Site) -> Var:
    """ONNX Swish: x sigmoid(alpha x), MIL's silu where alpha is 1."""
    mb, x, alpha = site.mb, site.x, site.float_("alpha", 1.0)
    if alpha == 1.0:
        return mb.silu(x=x)
    return mb.mul(x=x, y=mb.sigmoid(x=mb.mul(x=x, y=site.like(alpha, x))))


@emits("Shrink")
def _shrink(site: Site) -> Var:
    """ONNX Shrink: x + bias under -lambd, x - bias over lambd, otherwise 0."""
    mb, x = site.mb, site.x
    lambd, bias = site.float_("lambd", 0.5), site.float_("bias", 0.0)
    zero = site.like(0, x)
    if not site.is_float():
        below, above = math.ceil(-lambd), math.floor(lambd)
        low, high = np.int32(below), np.int32(above)
    else:
        low, high = site.like(-lambd, x), site.like(lambd, x)
    upper = mb.select(cond=mb.greater(x=x, y=high), a=mb.sub(x=x, y=site.like(bias, x)), b=zero)
    return mb.select(cond=mb.less(x=x, y=low), a=mb.add(x=x, y=site.like(bias, x)), b=upper)


@emits("PRelu")
def _prelu(site: Site) -> Var:
    """ONNX PRelu with a slope that broadcasts: max(x, 0) + slope min(x, 0).

    MIL's prelu takes one constant slope a channel, and serves where the slope is such.
    """
    mb, x, slope = site.mb, site.x, site.constant(1)
    dims = site.dims(x)
    channels = dims[1] if len(dims) >= 3 else None
    if slope is not None and channels is not None and site.is_float():
        full = (1,) * (len(dims) - slope.ndim) + slope.shape
        if full[1] == channels and slope.size == channels:
            return mb.prelu(x=x, alpha=slope.reshape(-1))
    zero = site.like(0, x)
    negative = mb.mul(x=mb.minimum(x=x, y=zero), y=site[1])
    return mb.add(x=mb.maximum(x=x, y=zero), y=negative)


@emits("Softmax", refuses=float_input)
def _softmax(site: Site) -> Var:
    """ONNX Softmax as MIL softmax."""
    return site.mb.softmax(x=site.x, axis=site.axis(site.x))


@emits("LogSoftmax", refuses=float_input)
def _log_softmax(site: Site) -> Var:
    """ONNX LogSoftmax: x - max - log(sum(exp(x - max)))."""
    mb, x = site.mb, site.x
    axes = [site.axis(x)]
    shifted = mb.sub(x=x, y=mb.reduce_max(x=x, axes=axes, keep_dims=True))
    total = mb.reduce_sum(x=mb.exp(x=shifted), axes=axes, keep_dims=True)
    return mb.sub(x=shifted, y=mb.log(x=total, epsilon=site.like(0, x)))


def _known_axis(node: ir.Node) -> Reason:
    dims = ask.shape(node, 0)
    if dims is None or dims[ask.attr_int(node, "axis", -1)] is None:
        return "DYNAMIC_SHAPE: the size of the axis must be known"
    return float_input(node)


@emits("Hardmax", refuses=_known_axis)
def _hardmax(site: Site) -> Var:
    """ONNX Hardmax: 1 at the first maximum of the axis, otherwise 0."""
    mb, x, axis = site.mb, site.x, site.axis(site.x)
    size = site.dims(x)[axis]
    assert size is not None
    positions = np.arange(size, dtype=np.int32).reshape(
        [size if index == axis else 1 for index in range(len(x.shape))]
    )
    first = mb.reduce_argmax(x=x, axis=axis, keep_dims=True)
    return mb.cast(x=mb.equal(x=positions, y=first), dtype=site.out_mil())
