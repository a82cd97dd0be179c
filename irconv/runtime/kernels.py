"""Which operators ONNX Runtime has a kernel for on the CPU, without loading a model.

ONNX Runtime lists its kernels: operator, range of versions, and dtypes a type constraint. A
kernel serves a node if the node's schema began in the version in which the kernel's range
begins, or within a range that has an end; a range without an end says nothing about schemas
that came later. Operators with a function body need no kernel if the body's operators have one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import onnx
import onnx_ir as ir

from irconv.graph.function_bodies import NoBodyError, function_body
from irconv.graph.preflight.runtime_schemas import runtime_schemas
from irconv.runtime.ort_limits import form_gap

__all__ = ["kernel_gap"]

_PROVIDER = "CPUExecutionProvider"
_NO_END = 2**31 - 1
_MAX_DEPTH = 8
_NEEDS_NO_KERNEL = "Constant"
_COMPUTED_BY = {"CastLike": "Cast"}
"""Operators whose body is one other operator with the same type constraints."""


@dataclass(frozen=True)
class _Kernel:
    first: int
    last: int
    dtypes: Mapping[str, frozenset[str]]

    def serves(self, since: int) -> bool:
        return self.first == since or (self.last != _NO_END and self.first <= since <= self.last)


@cache
def _kernels() -> dict[tuple[str, str], list[_Kernel]]:
    from onnxruntime.capi.onnxruntime_pybind11_state import get_all_opkernel_def

    found: dict[tuple[str, str], list[_Kernel]] = {}
    for entry in get_all_opkernel_def():
        if entry.provider == _PROVIDER:
            dtypes = {name: frozenset(kinds) for name, kinds in entry.type_constraints.items()}
            first, last = entry.version_range
            kernel = _Kernel(first, last, dtypes)
            found.setdefault((_domain(entry.domain), entry.op_name), []).append(kernel)
    return found


def _domain(domain: str) -> str:
    return "" if domain == "ai.onnx" else domain


def kernel_gap(node: ir.Node, opsets: Mapping[str, int]) -> str:
    """Return why ONNX Runtime cannot compute a node on the CPU, or the empty string.

    Args:
        node: A node that calls no local function; dtypes that are unknown count as served.
        opsets: Opset version of each imported domain.
    """
    domain = _domain(node.domain)
    if node.op_type == _NEEDS_NO_KERNEL and not domain:
        return ""
    since = _since(domain, node.op_type, opsets)
    if since is None:
        return "ONNX Runtime does not know the operator"
    serving = _serving(domain, _COMPUTED_BY.get(node.op_type, node.op_type), opsets)
    if any(_takes(kernel, node, opsets) for kernel in serving):
        return form_gap(node)
    if serving:
        return "ONNX Runtime has no kernel for these dtypes: " + _dtypes(node)
    try:
        body = function_body(node, opsets)
    except NoBodyError:
        if _is_function(node, opsets) and any(v is not None and not v.dtype for v in node.inputs):
            return ""
        return f"ONNX Runtime has no kernel for version {since} of the operator"
    missing = _missing_in(body.node, _written_for(node, body, opsets), opsets, _MAX_DEPTH)
    return f"ONNX Runtime has no kernel for {missing}, which its body needs" if missing else ""


def _serving(domain: str, op_type: str, opsets: Mapping[str, int]) -> list[_Kernel]:
    since = _since(domain, op_type, opsets)
    known = _kernels().get((domain, op_type), [])
    return [kernel for kernel in known if since is not None and kernel.serves(since)]


def _is_function(node: ir.Node, opsets: Mapping[str, int]) -> bool:
    schema = onnx.defs.get_schema(node.op_type, opsets[node.domain], node.domain)
    return bool(schema.has_function or schema.has_context_dependent_function)


def _written_for(
    node: ir.Node, body: onnx.FunctionProto, opsets: Mapping[str, int]
) -> Mapping[str, int]:
    """Return the opsets that a body is bound to; one made for the node fits the model's."""
    schema = onnx.defs.get_schema(node.op_type, opsets[node.domain], node.domain)
    return _imports(body) if schema.has_function else opsets


def _since(domain: str, op_type: str, opsets: Mapping[str, int]) -> int | None:
    """Return the version in which the schema in force began; None if there is none."""
    opset = opsets.get(domain, opsets.get("ai.onnx") if domain == "" else None)
    versions = [version for version, _ in runtime_schemas().get((domain, op_type), [])]
    return max((version for version in versions if version <= (opset or 1)), default=None)


def _takes(kernel: _Kernel, node: ir.Node, opsets: Mapping[str, int]) -> bool:
    """Compare dtypes. What has no float16 kernel is computed in float32, with casts around."""
    for constraint, kind in _constraints(node, opsets):
        known = kernel.dtypes.get(constraint)
        if known is None or kind in known:
            continue
        if not (kind == "tensor(float16)" and "tensor(float)" in known):
            return False
    return True


def _constraints(node: ir.Node, opsets: Mapping[str, int]) -> list[tuple[str, str]]:
    try:
        schema = onnx.defs.get_schema(node.op_type, opsets.get(node.domain, 1), node.domain)
    except onnx.defs.SchemaError:
        return []
    pairs = [*_pairs(schema.inputs, node.inputs), *_pairs(schema.outputs, node.outputs)]
    return [(parameter.type_str, kind) for parameter, value in pairs if (kind := _kind(value))]


def _pairs(parameters: Sequence[Any], values: Sequence[Any]) -> list[tuple[Any, Any]]:
    """Pair formal parameters with values; the last parameter may be variadic."""
    if not parameters:
        return []
    return [
        (parameters[min(index, len(parameters) - 1)], value) for index, value in enumerate(values)
    ]


def _kind(value: ir.Value | None) -> str:
    """Return the type as kernels state it, such as ``tensor(float)``; empty if unknown."""
    if value is None or not isinstance(value.type, ir.TensorType):
        return ""
    return _NAMES.get(value.type.dtype, "")


_NAMES = {dtype: f"tensor({dtype.name.lower()})" for dtype in ir.DataType}
"""Kernels name dtypes as the ONNX text format does, which are the names of the enumeration."""


def _dtypes(node: ir.Node) -> str:
    values = (*node.inputs, *node.outputs)
    names = [value.dtype.name.lower() for value in values if value is not None and value.dtype]
    return ", ".join(dict.fromkeys(names)) or "unknown"


def _imports(body: onnx.FunctionProto) -> dict[str, int]:
    return {entry.domain: entry.version for entry in body.opset_import}


def _missing_in(
    nodes: Any, written_for: Mapping[str, int], opsets: Mapping[str, int], depth: int
) -> str:
    """Return the first operator of a body that cannot be computed, whatever its dtypes.

    ONNX Runtime expands a body only if no operator in it has a newer version in the model's
    opset than in the one that the body was written for.
    """
    for node in nodes:
        then, now = (_since(_domain(node.domain), node.op_type, at) for at in (written_for, opsets))
        if then != now or not _served(node, opsets, depth):
            return str(node.op_type)
        for attribute in node.attribute:
            missing = _missing_in(attribute.g.node, written_for, opsets, depth)
            if missing:
                return missing
    return ""


def _served(node: onnx.NodeProto, opsets: Mapping[str, int], depth: int) -> bool:
    domain = _domain(node.domain)
    since = _since(domain, node.op_type, opsets)
    if node.op_type == _NEEDS_NO_KERNEL or since is None:
        return since is not None
    if _serving(domain, node.op_type, opsets):
        return True
    schema = onnx.defs.get_schema(node.op_type, opsets.get(domain, 1), domain)
    if schema.has_context_dependent_function:
        return True
    if depth == 0 or not schema.has_function:
        return False
    fitting = [v for v in schema.function_opset_versions if v <= opsets.get("", 1)]
    body = onnx.FunctionProto.FromString(schema.get_function_with_opset_version(max(fitting)))
    return not _missing_in(body.node, _imports(body), opsets, depth - 1)
