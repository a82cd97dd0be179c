"""Which operands of an operator share a dtype, by the ONNX operator schemas.

A schema gives each operand a type: a fixed one such as ``tensor(float)``, or a type variable
such as ``T``, which stands for one dtype in all operands that bear it.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["TypeVariables", "type_variables"]

_HALF = "tensor(float16)"


@dataclass(frozen=True)
class TypeVariables:
    """The type of each operand of one node.

    Attributes:
        inputs: The type variable, or fixed type, of each input.
        outputs: The same of each output.
        half: The type variables that may stand for float16.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    half: frozenset[str]


def type_variables(node: ir.Node, opsets: Mapping[str, int]) -> TypeVariables | None:
    """Return the types of a node's operands, or None where no schema tells.

    Args:
        node: The node.
        opsets: Version of each domain that the model imports.
    """
    domain = "" if node.domain == "ai.onnx" else node.domain
    schema = _schema(node.op_type, opsets.get(domain, 0), domain)
    if schema is None:
        return None
    half = frozenset(
        constraint.type_param_str
        for constraint in schema.type_constraints
        if _HALF in constraint.allowed_type_strs
    )
    inputs = _types(schema.inputs, len(node.inputs))
    outputs = _types(schema.outputs, len(node.outputs))
    return None if inputs is None or outputs is None else TypeVariables(inputs, outputs, half)


@functools.cache
def _schema(op_type: str, version: int, domain: str) -> Any:
    import onnx

    try:
        return onnx.defs.get_schema(op_type, version, domain)
    except onnx.defs.SchemaError:
        return None


def _types(formals: Sequence[Any], count: int) -> tuple[str, ...] | None:
    """Return one type an operand; the last formal repeats if it is variadic of one dtype."""
    types = [formal.type_str for formal in formals[:count]]
    if count > len(formals):
        if not formals or not formals[-1].is_homogeneous:
            return None
        types += [formals[-1].type_str] * (count - len(formals))
    return tuple(types)
