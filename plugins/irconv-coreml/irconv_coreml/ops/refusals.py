"""Predicates that several families share."""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from irconv_coreml import node as ask
from irconv_coreml.dtypes import is_float
from irconv_coreml.ops.registry import Reason

__all__ = ["constant_inputs", "float_input", "static_input", "unused_outputs"]


def float_input(node: ir.Node) -> Reason:
    """Refuse a first input that is not held as a float."""
    if is_float(ask.dtype(node, 0)):
        return ""
    return "UNSUPPORTED_DTYPE: MIL computes it for floats only"


def constant_inputs(*indices: int) -> Callable[[ir.Node], Reason]:
    """Return a predicate that refuses inputs that are given and not constant."""

    def refuses(node: ir.Node) -> Reason:
        for index in indices:
            value = ask.given(node, index)
            if value is not None and ask.constant(node, index) is None:
                return f"NOT_CONSTANT: MIL wants its input {value.name!r} to be a constant"
        return ""

    return refuses


def static_input(node: ir.Node) -> Reason:
    """Refuse a first input with a dim that is not known."""
    if ask.static_shape(ask.shape(node, 0)) is None:
        return "DYNAMIC_SHAPE: the sizes of its input must be known"
    return ""


def unused_outputs(*indices: int) -> Callable[[ir.Node], Reason]:
    """Return a predicate that refuses a node of which one of the given outputs is read."""

    def refuses(node: ir.Node) -> Reason:
        for index in indices:
            if index < len(node.outputs):
                value = node.outputs[index]
                if value.name and (value.uses() or value.is_graph_output()):
                    return f"UNSUPPORTED_FORM: MIL has nothing for its output {value.name!r}"
        return ""

    return refuses
