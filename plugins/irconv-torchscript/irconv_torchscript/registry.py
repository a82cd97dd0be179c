"""The table of operators: which function builds which operator, for which dtypes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import onnx_ir as ir

from irconv.backends.base import Support
from irconv.backends.ways_out import operator_way_out
from irconv_torchscript.dtypes import ANY, NATIVE

if TYPE_CHECKING:
    from irconv_torchscript.site import Site

__all__ = ["Emitter", "Entry", "emits", "lookup", "refusal"]

Emitter: TypeAlias = "Callable[[Site], Any]"
"""Builds an operator; returns what holds its output, or a tuple for several."""
Refuse: TypeAlias = Callable[[ir.Node], str]
"""Returns why a node cannot be built, or the empty string; needs no torch."""


@dataclass(frozen=True)
class Entry:
    """How an operator is built.

    Attributes:
        emit: Builds it.
        dtypes: Dtypes that its inputs and outputs may have.
        refuse: Says why a node cannot be built; None where all can.
    """

    emit: Emitter
    dtypes: frozenset[ir.DataType]
    refuse: Refuse | None


_ENTRIES: dict[tuple[str, str], Entry] = {}
_EXPAND = "express it by standard ONNX operators, or leave it out of the exported part"
_CONVERT = "convert that part of the model to another dtype"


def emits(
    *op_types: str,
    domain: str = "",
    dtypes: frozenset[ir.DataType] = NATIVE,
    refuse: Refuse | None = None,
) -> Callable[[Emitter], Emitter]:
    """Register a function as the builder of operators.

    Args:
        op_types: Operator types.
        domain: Their domain.
        dtypes: Dtypes that inputs and outputs may have.
        refuse: Says why a node cannot be built.
    """

    def register(emit: Emitter) -> Emitter:
        for op_type in op_types:
            _ENTRIES[domain, op_type] = Entry(emit, dtypes, refuse)
        return emit

    return register


def lookup(node: ir.Node) -> Entry | None:
    """Return how a node is built, or None where it cannot be."""
    from irconv_torchscript import ops

    ops.load()
    return _ENTRIES.get((node.domain, node.op_type))


def refusal(node: ir.Node) -> Support:
    """Say whether a node can be built, and if not, why."""
    entry = lookup(node)
    if entry is None:
        way_out = operator_way_out(node)
        return Support(False, "UNSUPPORTED_OP", "no torch operator is known for it", way_out)
    for value in (*node.inputs, *node.outputs):
        reason = _dtype_refusal(value, entry.dtypes)
        if reason:
            return Support(False, "UNSUPPORTED_DTYPE", reason, _CONVERT)
    reason = _mixture(node)
    if reason:
        return Support(False, "MIXED_DTYPES", reason, "bring its operands to one dtype by Cast")
    reason = entry.refuse(node) if entry.refuse else ""
    return Support(False, "UNSUPPORTED_FORM", reason, _EXPAND) if reason else Support(True)


def _dtype_refusal(value: ir.Value | None, allowed: frozenset[ir.DataType]) -> str:
    if value is None or value.dtype in (None, ir.DataType.UNDEFINED) or value.dtype in allowed:
        return ""
    assert value.dtype is not None
    name = value.dtype.name.lower()
    if value.dtype in ANY:
        return f"torch computes this operator not on {name}"
    return f"torch has no tensors of {name}"


def _mixture(node: ir.Node) -> str:
    """Return which inputs differ in dtype though the operator's schema gives them one."""
    found: dict[str, tuple[int, ir.DataType]] = {}
    variables = _type_variables(node.op_type, node.domain)
    for index, value in enumerate(node.inputs):
        variable = variables[min(index, len(variables) - 1)] if variables else ""
        if not variable or value is None or value.dtype in (None, ir.DataType.UNDEFINED):
            continue
        assert value.dtype is not None
        first, dtype = found.setdefault(variable, (index, value.dtype))
        if dtype != value.dtype:
            return (
                f"inputs {first} and {index} must have one dtype, and are "
                f"{dtype.name.lower()} and {value.dtype.name.lower()}"
            )
    return ""


@functools.cache
def _type_variables(op_type: str, domain: str) -> tuple[str, ...]:
    """Return the type variable of each input in the newest schema; empty for a fixed type."""
    import onnx

    try:
        schema = onnx.defs.get_schema(op_type, domain=domain)
    except onnx.defs.SchemaError:
        return ()
    return tuple(
        "" if "(" in formal.type_str or not formal.is_homogeneous else formal.type_str
        for formal in schema.inputs
    )
