"""Which outputs of a node may be left out, by the operator schemas of ONNX."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import onnx.defs
import onnx_ir as ir

from irconv.graph.scopes import ONNX_DOMAINS

__all__ = ["optional_outputs"]

_ARITY_SETS_MODE = frozenset({"BatchNormalization"})
"""Operators whose number of outputs chooses between training and inference."""
_ATTENTION_PASTS, _ATTENTION_PRESENTS = (4, 5), (1, 2)
"""Inputs of Attention, and outputs that are there if and only if those are."""


def optional_outputs(node: ir.Node, opsets: Mapping[str, int]) -> list[int]:
    """Return the indices of the outputs of ``node`` that the schema declares optional.

    Nothing is optional where the operator is unknown, where its number of outputs changes what
    it computes, or where the only output is asked about. What an Attention that was given past
    keys and values makes of them is not: ONNX wants them used together.
    """
    if len(node.outputs) < 2 or node.domain not in ONNX_DOMAINS:
        return []
    if node.op_type in _ARITY_SETS_MODE:
        return []
    flags = _flags(node.op_type, opsets.get(node.domain, 1), node.domain)
    kept = _ATTENTION_PRESENTS if _is_given_a_past(node) else ()
    indices = range(min(len(flags), len(node.outputs)))
    return [index for index in indices if flags[index] and index not in kept]


def _is_given_a_past(node: ir.Node) -> bool:
    return node.op_type == "Attention" and any(
        index < len(node.inputs) and node.inputs[index] is not None for index in _ATTENTION_PASTS
    )


@cache
def _flags(op_type: str, version: int, domain: str) -> tuple[bool, ...]:
    try:
        schema = onnx.defs.get_schema(op_type, version, domain)
    except onnx.defs.SchemaError:
        return ()
    optional = onnx.defs.OpSchema.FormalParameterOption.Optional
    return tuple(parameter.option == optional for parameter in schema.outputs)
