"""The channel-last operators: what each one means, as a model-local function."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir

from irconv.passes.layout.permutation import channel_last, inverse

__all__ = ["ATTRIBUTES", "DOMAIN", "channel_last_name", "define"]

DOMAIN = "irconv.nhwc"

_WINDOW = ("auto_pad", "dilations", "kernel_shape", "pads", "strides")

ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "AveragePool": (*_WINDOW, "ceil_mode", "count_include_pad"),
    "BatchNormalization": ("epsilon",),
    "Conv": (*_WINDOW, "group"),
    "ConvTranspose": (*_WINDOW, "group", "output_padding", "output_shape"),
    "DepthToSpace": ("blocksize", "mode"),
    "InstanceNormalization": ("epsilon",),
    "LRN": ("alpha", "beta", "bias", "size"),
    "MaxPool": (*_WINDOW, "ceil_mode"),
    "Resize": (
        "antialias", "axes", "coordinate_transformation_mode", "cubic_coeff_a", "exclude_outside",
        "extrapolation_value", "keep_aspect_ratio_policy", "mode", "nearest_mode",
    ),
    "SpaceToDepth": ("blocksize", "mode"),
}  # fmt: skip
"""Attributes that the channel-last form of an operator passes on."""

_OPERANDS: Mapping[str, tuple[str, ...]] = {
    "BatchNormalization": ("x", "scale", "bias", "mean", "variance"),
    "Conv": ("x", "weight", "bias"),
    "ConvTranspose": ("x", "weight", "bias"),
    "InstanceNormalization": ("x", "scale", "bias"),
    "Resize": ("x", "roi", "scales", "sizes"),
}
_SUFFIXES = {3: "1D", 4: "", 5: "3D"}
_FLOATS = frozenset(
    {"alpha", "beta", "bias", "cubic_coeff_a", "epsilon", "extrapolation_value"}
)  # fmt: skip
_INTS = frozenset(
    {
        "antialias", "blocksize", "ceil_mode", "count_include_pad", "exclude_outside", "group",
        "size",
    }
)  # fmt: skip
_STRINGS = frozenset(
    {
        "auto_pad", "coordinate_transformation_mode", "keep_aspect_ratio_policy", "mode",
        "nearest_mode",
    }
)  # fmt: skip


def channel_last_name(op_type: str, rank: int) -> str:
    """Return the name of an operator over tensors of rank 3, 4 or 5 in the channel-last domain."""
    return op_type + _SUFFIXES[rank]


def define(model: ir.Model, op_type: str, rank: int) -> None:
    """Add the function that defines a channel-last operator, if it is not there yet.

    The function transposes its first operand to the order of ONNX, calls the operator, and
    transposes the result back; all other operands and all attributes mean what they mean in ONNX.
    """
    name = channel_last_name(op_type, rank)
    identifier = (DOMAIN, name, "")
    if identifier in model.functions:
        return
    last = channel_last(rank)
    operands = [ir.Value(name=operand) for operand in _OPERANDS.get(op_type, ("x",))]
    first = _node("Transpose", operands[:1], [ir.AttrInt64s("perm", inverse(last))], "x_first")
    references = [ir.RefAttr(key, key, _type(key)) for key in ATTRIBUTES[op_type]]
    call = _node(op_type, [first.outputs[0], *operands[1:]], references, "y_first")
    result = _node("Transpose", call.outputs, [ir.AttrInt64s("perm", last)], "y")
    opsets = {"": model.graph.opset_imports[""]}
    graph = ir.Graph(
        operands, result.outputs, nodes=[first, call, result], name=name, opset_imports=opsets
    )
    parameters = [ir.Attr(key, ir.AttributeType.UNDEFINED, None) for key in ATTRIBUTES[op_type]]
    model.functions[identifier] = ir.Function(DOMAIN, name, graph=graph, attributes=parameters)
    model.graph.opset_imports.setdefault(DOMAIN, 1)


def _node(op_type: str, inputs: object, attributes: list[ir.Attr], output: str) -> ir.Node:
    return ir.Node(
        "",
        op_type,
        list(inputs),  # type: ignore[call-overload]
        attributes,
        outputs=[ir.Value(name=output)],
        name=output,
    )


def _type(name: str) -> ir.AttributeType:
    if name in _FLOATS:
        return ir.AttributeType.FLOAT
    if name in _INTS:
        return ir.AttributeType.INT
    return ir.AttributeType.STRING if name in _STRINGS else ir.AttributeType.INTS
