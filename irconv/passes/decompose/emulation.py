"""Wrapping nodes into Casts, so that they compute in another dtype than their values have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from irconv.graph.names import NameAllocator
from irconv.graph.scopes import scopes
from irconv.graph.walk import subgraphs_of
from irconv.passes.base import PassResult, Refusal
from irconv.passes.decompose.block import Keep
from irconv.passes.decompose.site import Site
from irconv.passes.decompose.wide_dtypes import DTYPES, biased, check_wraps, wrapped_around
from irconv.passes.opset.infer import infer_outputs
from irconv.passes.sites import Sites

__all__ = ["Emulation"]

_NOT_COMPUTING = frozenset(
    {"BitCast", "Cast", "CastLike", "Constant", "DequantizeLinear", "QuantizeLinear"}
)
_DTYPE_ATTRIBUTES = ("dtype", "output_datatype")


@dataclass
class Emulation:
    """One run over a model.

    Attributes:
        names: Gives fresh names for new values.
        substitutes: Returns what may stand for a dtype at an operator, best first; None where
            the dtype needs no substitute.
        rounded: Whether floats are rounded after every node.
        sites: The account of the run.
        emulated: How many nodes were wrapped, by operator type.
        refusals: Nodes that stayed, and why.
    """

    names: NameAllocator
    substitutes: Callable[[str, ir.DataType], Sequence[ir.DataType] | None]
    rounded: bool
    sites: Sites
    emulated: Counter[str] = field(default_factory=Counter)
    refusals: list[Refusal] = field(default_factory=list)
    _wide: dict[tuple[object, ir.Value, ir.DataType], ir.Value] = field(default_factory=dict)
    _casts: list[ir.Value] = field(default_factory=list)

    def run(self, model: ir.Model) -> PassResult:
        """Wrap every node that computes in a dtype with substitutes; linear in nodes."""
        for scope in scopes(model):
            for node in list(scope.nodes()):
                if node.domain == "" and node.op_type not in _NOT_COMPUTING:
                    self._visit(node, scope.opsets.get("", 1))
        self._clean()
        details = {"emulated": dict(sorted(self.emulated.items()))}
        return PassResult(bool(self.emulated), details, tuple(self.refusals), self.sites.made)

    def _visit(self, node: ir.Node, version: int) -> None:
        stated = [(value, value.type, value.shape) for value in node.outputs]
        if any(kind is None for _, kind, _ in stated):
            infer_outputs(node, version)
        if not self._emulate(node, version):
            for value, kind, shape in stated:
                value.type, value.shape = kind, shape

    def _emulate(self, node: ir.Node, version: int) -> bool:
        """Wrap a node if it needs that and can be wrapped; return whether it did."""
        dtypes = {
            value.dtype
            for value in (*node.inputs, *node.outputs)
            if value is not None and isinstance(value.type, ir.TensorType) and value.dtype
        }
        op_type = node.op_type
        known = {dtype: self.substitutes(op_type, dtype) for dtype in sorted(dtypes)}
        foreign = {dtype: found for dtype, found in known.items() if found is not None}
        if not foreign or any(True for _ in subgraphs_of(node)):
            return False
        try:
            _check_typed(node)
            targets = {
                dtype: _substitute(node, version, dtype, found) for dtype, found in foreign.items()
            }
            wrapped = self._wrap(Site(node, self.names, version), targets)
        except Keep as reason:
            self.refusals.append(Refusal(node.name or "", op_type, str(reason)))
            return False
        if not wrapped:
            return False
        self.emulated[op_type] += 1
        return True

    def _wrap(self, site: Site, targets: Mapping[ir.DataType, ir.DataType]) -> bool:
        """Wrap a node; return whether that may be done."""
        node = site.node
        graph = node.graph
        op_type = node.op_type
        found: dict[ir.Value, ir.Value] = {}
        inputs: list[ir.Value | None] = []
        for value in node.inputs:
            dtype = None if value is None else value.dtype
            if value is None or dtype is None or dtype not in targets:
                inputs.append(value)
                continue
            wide = self._wide.get((graph, value, targets[dtype])) or found.get(value)
            if wide is None:
                wide = site.op("Cast", value, to=int(targets[dtype]))
            found[value] = wide
            inputs.append(biased(site, wide, op_type, dtype))
        results = self._copied(site, inputs, targets)
        narrow: list[ir.Value | None] = []
        exact: list[tuple[ir.Value, ir.Value]] = []
        for old, new in zip(node.outputs, results, strict=True):
            dtype = old.dtype
            if dtype is None or dtype not in targets or not old.name:
                narrow.append(new if old.name else None)
                continue
            new = wrapped_around(site, biased(site, new, op_type, dtype), op_type, dtype)
            cast = site.op("Cast", new, to=int(dtype))
            narrow.append(cast)
            if dtype.is_integer() or not self.rounded:
                exact.append((cast, new))
        if not self.sites.permit(node):
            site.discard()
            return False
        site.replace(narrow)
        for narrow_value, wide in (*found.items(), *exact):
            kept = wide.producer() is None or wide.graph is not None
            if kept and wide.dtype is not None:
                self._wide[graph, narrow_value, wide.dtype] = wide
        self._casts += [cast for cast, _ in exact]
        return True

    def _copied(
        self,
        site: Site,
        inputs: Sequence[ir.Value | None],
        targets: Mapping[ir.DataType, ir.DataType],
    ) -> Sequence[ir.Value]:
        """Add the node anew, with wide inputs, and return its outputs."""
        node = site.node
        attributes = [_widened(attribute, targets) for attribute in node.attributes.values()]
        copy = ir.Node("", node.op_type, inputs, attributes, num_outputs=len(node.outputs))
        for old, new in zip(node.outputs, copy.outputs, strict=True):
            new.name = self.names.fresh(f"{site.stem}_{node.op_type}") if old.name else ""
            if old.dtype is not None:
                new.type = ir.TensorType(targets.get(old.dtype, old.dtype))
                new.shape = old.shape.copy() if old.shape is not None else None
        copy.name = next(value.name for value in copy.outputs if value.name)
        infer_outputs(copy, site.version)
        site.nodes.append(copy)
        return copy.outputs

    def _clean(self) -> None:
        """Remove Casts that nothing reads, since the wide value was at hand."""
        for value in reversed(self._casts):
            node = value.producer()
            unread = not value.uses() and not value.is_graph_output()
            if node is not None and unread and isinstance(node.graph, ir.Graph):
                node.graph.remove(node, safe=True)


def _check_typed(node: ir.Node) -> None:
    """Keep a node with an operand that would stay as it is, as its dtype is not known."""
    for value in node.inputs:
        if value is not None and value.type is None:
            raise Keep(f"the dtype of {value.name!r} is unknown; run infer-shapes first")


def _widened(attribute: ir.Attr, targets: Mapping[ir.DataType, ir.DataType]) -> ir.Attr:
    """Return an attribute that chooses a dtype, or holds a value of one, with the wide dtype."""
    if attribute.is_ref():
        raise Keep("an attribute is a parameter of a local function")
    if attribute.name in _DTYPE_ATTRIBUTES and attribute.type == ir.AttributeType.INT:
        dtype = ir.DataType(attribute.value)
        return ir.AttrInt64(attribute.name, int(targets.get(dtype, dtype)))
    if attribute.type == ir.AttributeType.TENSOR and attribute.value.dtype in targets:
        array: Any = np.asarray(attribute.value.numpy())
        wide = targets[attribute.value.dtype].numpy()
        return ir.AttrTensor(attribute.name, ir.Tensor(array.astype(wide)))
    return attribute


def _substitute(
    node: ir.Node, version: int, dtype: ir.DataType, candidates: Sequence[ir.DataType]
) -> ir.DataType:
    """Return the first candidate that the operator is defined for."""
    if not candidates:
        raise Keep(f"no native dtype holds every {dtype.name.lower()}")
    check_wraps(node.op_type, dtype)
    try:
        schema = onnx.defs.get_schema(node.op_type, version, "")
    except onnx.defs.SchemaError as error:
        raise Keep(f"opset {version} has no such operator") from error
    for candidate in candidates:
        if _defined_for(schema, node, dtype, candidate):
            return candidate
    raise Keep(f"the operator is not defined for {candidates[0].name.lower()}")


def _defined_for(schema: Any, node: ir.Node, dtype: ir.DataType, candidate: ir.DataType) -> bool:
    wide = f"tensor({_SCHEMA_NAMES[candidate]})"
    for parameters, values in ((schema.inputs, node.inputs), (schema.outputs, node.outputs)):
        for index, value in enumerate(values):
            if value is None or value.dtype != dtype:
                continue
            if wide not in parameters[min(index, len(parameters) - 1)].types:
                return False
    return True


_SCHEMA_NAMES = {
    dtype: {"float32": "float", "float64": "double"}.get(name, name)
    for name, dtype in DTYPES.items()
}
