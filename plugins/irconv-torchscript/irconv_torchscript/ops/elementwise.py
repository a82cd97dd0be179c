"""Functions of one operand, comparison, logic and bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import onnx_ir as ir

from irconv_torchscript.dtypes import UNSIGNED, WIDTHS
from irconv_torchscript.held import Node
from irconv_torchscript.ops.arithmetic import wrapped
from irconv_torchscript.registry import emits

if TYPE_CHECKING:
    from irconv_torchscript.site import Site

_UINT64 = ir.DataType.UINT64
_ONE_TO_ONE = {
    "Acos": "acos", "Acosh": "acosh", "Asin": "asin", "Asinh": "asinh", "Atan": "atan",
    "Atanh": "atanh", "Cos": "cos", "Cosh": "cosh", "Erf": "erf", "Exp": "exp", "IsNaN": "isnan",
    "Log": "log", "Not": "logical_not", "Reciprocal": "reciprocal", "Relu": "relu",
    "Sigmoid": "sigmoid", "Sin": "sin", "Sinh": "sinh", "Sqrt": "sqrt", "Tan": "tan",
    "Tanh": "tanh", "Abs": "abs", "And": "logical_and", "Or": "logical_or", "Xor": "logical_xor",
}  # fmt: skip


@emits(*_ONE_TO_ONE)
def one_to_one(site: Site) -> Node:
    """Operators that torch has under another name."""
    return site.torch(_ONE_TO_ONE[site.node.op_type], *site.tensors())


@emits("Abs", "Sign", dtypes=UNSIGNED)
def magnitude(site: Site) -> Node:
    """Sections Abs, Sign; uint64 is never negative."""
    name, value = site.node.op_type.lower(), site.tensor(0)
    if site.dtype() != _UINT64:
        if name == "sign" and site.dtype().is_floating_point():
            return site.call("elementwise.sign", value)
        return site.torch(name, value)
    return value if name == "abs" else site.method("to", site.torch("ne", value, 0),
                                                   site.builder.dtype("int64"))  # fmt: skip


@emits("Ceil", "Floor", "Round")
def rounding(site: Site) -> Node:
    """Sections Ceil, Floor, Round: torch rounds halves to even, as ONNX does."""
    return site.torch(site.node.op_type.lower(), site.tensor(0))


@emits("IsInf")
def is_inf(site: Site) -> Node:
    """Section IsInf."""
    negative, positive = (
        bool(site.attr("detect_negative", 1)),
        bool(site.attr("detect_positive", 1)),
    )
    return site.call("elementwise.is_inf", site.tensor(0), negative, positive)


_COMPARISONS = {
    "Equal": "eq", "Greater": "gt", "GreaterOrEqual": "ge", "Less": "lt", "LessOrEqual": "le",
}  # fmt: skip


@emits(*_COMPARISONS, dtypes=UNSIGNED)
def comparison(site: Site) -> Node:
    """Sections Equal to LessOrEqual: torch.eq to le."""
    values = site.tensors()
    if site.dtype() == _UINT64 and site.node.op_type != "Equal":
        values = [site.call("unsigned.flip", value) for value in values]
    return site.torch(_COMPARISONS[site.node.op_type], *values)


@emits("BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseNot", dtypes=UNSIGNED)
def bitwise(site: Site) -> Node:
    """Sections BitwiseAnd to BitwiseNot."""
    name = "bitwise_" + site.node.op_type.removeprefix("Bitwise").lower()
    return wrapped(site, site.torch(name, *site.tensors()), site.dtype())


@emits("BitShift", dtypes=UNSIGNED)
def bit_shift(site: Site) -> Node:
    """Section BitShift."""
    dtype, left = site.dtype(), site.attr("direction") == "LEFT"
    width = WIDTHS.get(dtype, dtype.itemsize * 8)
    value, amount = site.tensors()
    if dtype == _UINT64 and not left:
        return site.call("elementwise.logical_shift", value, amount)
    shifted = site.call("elementwise.bit_shift", value, amount, int(width), left)
    narrow = site.method("to", shifted, site.torch_dtype(dtype))
    return (
        wrapped(site, shifted if dtype in WIDTHS else narrow, dtype)
        if dtype not in WIDTHS
        else (site.method("to", wrapped(site, shifted, dtype), site.torch_dtype(dtype)))
    )


@emits("LeakyRelu")
def leaky_relu(site: Site) -> Node:
    """Section LeakyRelu: torch.nn.functional.leaky_relu."""
    return site.torch("nn.functional.leaky_relu", site.tensor(0), site.attr("alpha", 0.01))


_PARAMETERS: dict[str, tuple[str, tuple[tuple[str, float], ...]]] = {
    "Celu": ("celu", (("alpha", 1.0),)),
    "Elu": ("elu", (("alpha", 1.0),)),
    "Selu": ("selu", (("alpha", 1.6732632423543772), ("gamma", 1.0507009873554805))),
    "Shrink": ("shrink", (("bias", 0.0), ("lambd", 0.5))),
    "Softplus": ("softplus", ()),
    "ThresholdedRelu": ("thresholded_relu", (("alpha", 1.0),)),
}


@emits(*_PARAMETERS)
def parametric(site: Site) -> Node:
    """Activations with parameters that are attributes."""
    name, parameters = _PARAMETERS[site.node.op_type]
    given = [float(site.attr(key, default)) for key, default in parameters]
    return site.call(f"elementwise.{name}", site.tensor(0), *given)


@emits("PRelu")
def prelu(site: Site) -> Node:
    """Section PRelu; the slope is broadcast in one direction."""
    return site.call("elementwise.leaky", site.tensor(0), site.tensor(1))


@emits("Gelu")
def gelu(site: Site) -> Node:
    """Section Gelu: torch.nn.functional.gelu."""
    return site.torch(
        "nn.functional.gelu", site.tensor(0), approximate=site.attr("approximate", "none")
    )


@emits("HardSwish", "Mish", "Softsign")
def plain(site: Site) -> Any:
    """Sections HardSwish, Mish, Softsign: those of torch.nn.functional."""
    return site.torch(f"nn.functional.{site.node.op_type.lower()}", site.tensor(0))


@emits("HardSigmoid")
def hard_sigmoid(site: Site) -> Node:
    """Section HardSigmoid: a line between 0 and 1."""
    line = site.torch("mul", site.tensor(0), site.attr("alpha", 0.2))
    return site.torch("clamp", site.torch("add", line, site.attr("beta", 0.5)), 0.0, 1.0)


@emits("Swish")
def swish(site: Site) -> Node:
    """Section Swish."""
    value = site.tensor(0)
    scaled = site.torch("mul", value, site.attr("alpha", 1.0))
    return site.torch("mul", value, site.torch("sigmoid", scaled))


@emits("Softmax", "LogSoftmax")
def softmax(site: Site) -> Node:
    """Sections Softmax, LogSoftmax."""
    name = "softmax" if site.node.op_type == "Softmax" else "log_softmax"
    return site.torch(name, site.tensor(0), site.attr("axis", -1))
