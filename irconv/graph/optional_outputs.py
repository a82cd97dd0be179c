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


def optional_outputs(node: ir.Node, opsets: Mapping[str, int]) -> list[int]:
    """Return the indices of the outputs of ``node`` that the schema declares optional.

    Nothing is optional where the operator is unknown, where its number of outputs changes what
    it computes, or where the only output is asked about.
    """
    if len(node.outputs) < 2 or node.domain not in ONNX_DOMAINS:
        return []
    if node.op_type in _ARITY_SETS_MODE:
        return []
    flags = _flags(node.op_type, opsets.get(node.domain, 1), node.domain)
    return [index for index in range(min(len(flags), len(node.outputs))) if flags[index]]


@cache
def _flags(op_type: str, version: int, domain: str) -> tuple[bool, ...]:
    try:
        schema = onnx.defs.get_schema(op_type, version, domain)
    except onnx.defs.SchemaError:
        return ()
    optional = onnx.defs.OpSchema.FormalParameterOption.Optional
    return tuple(parameter.option == optional for parameter in schema.outputs)
