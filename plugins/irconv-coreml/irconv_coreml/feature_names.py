"""Names of inputs and outputs that Core ML takes."""

from __future__ import annotations

import re

import onnx_ir as ir

from irconv.graph.interface import input_specs, output_specs

__all__ = ["feature_names", "is_left_out"]

_ILLEGAL = re.compile(r"[^A-Za-z0-9_]")
_RESERVED = frozenset(
    {"any", "bool", "const", "dict", "fp16", "fp32", "func", "int32", "list", "main", "program",
     "state", "str", "string", "tensor", "tuple", "var"}
)  # fmt: skip
"""Words of MIL's own text form."""


def feature_names(model: ir.Model) -> dict[str, str]:
    """Return a Core ML name for each input, by its name, and output, by ``output:`` and its name.

    Core ML takes letters, digits and ``_``, not starting with a digit, and no name twice over
    inputs and outputs together.
    """
    taken: set[str] = set()
    names: dict[str, str] = {}
    keys = [(spec.name, spec.name) for spec in input_specs(model)]
    keys += [("output:" + spec.name, spec.name) for spec in output_specs(model)]
    for key, name in keys:
        base = _ILLEGAL.sub("_", name)
        if not base or base[0].isdigit() or base.lower() in _RESERVED:
            base = f"_{base}"
        candidate, number = base, 1
        while candidate in taken:
            candidate, number = f"{base}_{number}", number + 1
        taken.add(candidate)
        names[key] = candidate
    return names


def is_left_out(value: ir.Value) -> bool:
    """Return whether an input has no place in the package: it is empty, and nothing reads it."""
    empty = value.shape is not None and 0 in list(value.shape)
    return empty and not value.uses() and not value.is_graph_output()
