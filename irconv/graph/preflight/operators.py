"""Whether every operator is known, and whether its attributes can crash a library.

An operator is known if the ONNX standard or ONNX Runtime defines it at the model's opset, or
the model brings a function of that name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING

import onnx.defs

from irconv.errors import InputError
from irconv.graph.preflight.messages import shown
from irconv.graph.preflight.opsets import domain_of
from irconv.graph.preflight.runtime_schemas import runtime_schemas

if TYPE_CHECKING:
    import onnx

__all__ = ["UnknownOperators", "check_attributes"]

_MOST_LISTED = 50

_POSITIVE_ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("Conv", "ConvInteger", "QLinearConv", "ConvTranspose", "DeformConv", "NhwcConv",
         "FusedConv", "NhwcFusedConv"),
        ("strides", "dilations", "group", "kernel_shape", "offset_group"),
    ),
    **dict.fromkeys(
        ("MaxPool", "AveragePool", "LpPool", "MaxUnpool", "QLinearAveragePool", "NhwcMaxPool"),
        ("strides", "dilations", "kernel_shape"),
    ),
    "Col2Im": ("strides", "dilations"),
    "DepthToSpace": ("blocksize",),
    "SpaceToDepth": ("blocksize",),
    "GroupNormalization": ("num_groups",),
    "LRN": ("size",),
    "Split": ("num_outputs",),
    **dict.fromkeys(("RNN", "GRU", "LSTM"), ("hidden_size",)),
}  # fmt: skip
"""Attributes that divide or step: zero kills some libraries with SIGFPE."""


@cache
def _problem(domain: str, op_type: str, version: int) -> str:
    """Return why an operator is not known at a version of its domain; empty if it is."""
    versions = [(version, False)]
    try:
        schema = onnx.defs.get_schema(op_type, max_inclusive_version=version, domain=domain)
        if not schema.deprecated:
            return ""
        versions = [(schema.since_version, True)]
    except onnx.defs.SchemaError:
        versions = [
            entry for entry in runtime_schemas().get((domain, op_type), []) if entry[0] <= version
        ]
        if versions and not max(versions)[1]:
            return ""
    if versions:
        return f"was removed from the operator set in version {max(versions)[0]}"
    if onnx.defs.has(op_type, domain=domain):
        since = min(
            schema.since_version
            for schema in onnx.defs.get_all_schemas_with_history()
            if (schema.domain, schema.name) == (domain, op_type)
        )
        return f"came with version {since} of its operator set; the model imports {version}"
    return "is not defined by ONNX, ONNX Runtime or the model's own functions"


class UnknownOperators:
    """Collects every node whose operator is not known, to report all of them at once."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], tuple[str, str, int]] = {}

    def look_at(self, node: onnx.NodeProto, opsets: Mapping[str, int], where: str) -> None:
        """Remember ``node`` if its operator is not known.

        Args:
            node: A node that calls none of the model's own functions.
            opsets: The version of each domain.
            where: What the node belongs to.
        """
        domain = domain_of(node.domain)
        version = opsets.get(domain)
        problem = (
            "is not defined by ONNX, ONNX Runtime or the model's own functions"
            if version is None
            else _problem(domain, node.op_type, version)
        )
        if problem:
            operator = shown(f"{domain}::{node.op_type}" if domain else node.op_type)
            _, first, count = self._found.get((operator, problem), ("", "", 0))
            first = first or f"node {shown(node.name)} of {where}"
            self._found[operator, problem] = (problem, first, count + 1)

    def report(self) -> None:
        """Report everything that was found.

        Raises:
            InputError: If there was any.
        """
        if not self._found:
            return
        lines = [
            f"  - {operator}: {count} node{'s' if count > 1 else ''} (first: {first}): it {problem}"
            for (operator, _), (problem, first, count) in self._found.items()
        ]
        if len(lines) > _MOST_LISTED:
            lines[_MOST_LISTED:] = [f"  - and {len(lines) - _MOST_LISTED} more"]
        raise InputError(
            "the model uses operators that are not known:\n" + "\n".join(lines),
            where="checking the model file",
            hint="give each as a function inside the model, or export the model without them",
        )


def check_attributes(node: onnx.NodeProto, where: str) -> None:
    """Check that no attribute of a node steps by or divides by less than one.

    Raises:
        InputError: If one does.
    """
    names: Iterable[str] = _POSITIVE_ATTRIBUTES.get(node.op_type, ())
    if not names:
        return
    for attribute in node.attribute:
        if attribute.name in names and not attribute.ref_attr_name:
            values = attribute.ints or [attribute.i]
            if any(value < 1 for value in values):
                raise InputError(
                    f"{where}: attribute {attribute.name!r} of {node.op_type} is "
                    f"{list(attribute.ints) or attribute.i}; it must be at least 1",
                    where="checking the model file",
                    hint="the file is damaged or hostile; export the model again",
                )
