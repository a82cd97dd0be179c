"""What the ONNX schemas say about versions of an operator, and whether a node fits one.

A step leads from one version of an operator to the next or the one before. Most steps only
change the set of dtypes, or add an attribute or input whose default keeps the old meaning; the
functions here find out whether a node can take a step unchanged, from the two schemas alone.
Steps that change the meaning have adapters.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import onnx
import onnx.defs
import onnx_ir as ir

from irconv.passes.opset.site import Inexpressible, Site

__all__ = ["default_attribute", "history", "schema_at", "take_step"]

_NEGATIVE_AXIS_OPSET = 11


@cache
def history(op_type: str) -> tuple[Any, ...]:
    """Return all schemas of an operator of the default domain, oldest first."""
    found = [schema for schema in _all_schemas() if schema.name == op_type and schema.domain == ""]
    return tuple(sorted(found, key=lambda schema: schema.since_version))


@cache
def _all_schemas() -> tuple[Any, ...]:
    return tuple(onnx.defs.get_all_schemas_with_history())


@cache
def schema_at(op_type: str, version: int) -> Any:
    """Return the schema in force at an opset version; None where there is no such operator."""
    return next(
        (schema for schema in reversed(history(op_type)) if schema.since_version <= version), None
    )


def take_step(site: Site, old: Any, new: Any) -> None:
    """Make the node, which fits schema ``old``, fit schema ``new`` without changing its meaning.

    Raises:
        Inexpressible: If the node uses what ``new`` does not have.
    """
    if new.deprecated:
        raise Inexpressible(f"{new.name} is deprecated from opset {new.since_version} on")
    _fit_attributes(site, old, new)
    _fit_inputs(site, new)
    used = [index for index, value in enumerate(site.node.outputs) if _is_used(value)]
    if used and used[-1] >= new.max_output:
        raise Inexpressible(f"output {used[-1]} does not exist in opset {new.since_version}")
    site.node.resize_outputs(min(len(site.node.outputs), new.max_output))
    _check_types(site.node, new)
    if old.since_version >= _NEGATIVE_AXIS_OPSET > new.since_version:
        _make_axes_positive(site)


def _is_used(value: ir.Value) -> bool:
    return bool(value.uses()) or value.is_graph_output()


def _fit_attributes(site: Site, old: Any, new: Any) -> None:
    node = site.node
    for name in list(node.attributes):
        if name in new.attributes or name not in old.attributes:
            continue
        if site.attribute(name) != _default(old, name):
            raise Inexpressible(
                f"attribute {name}={site.attribute(name)!r} does not exist in opset "
                f"{new.since_version}"
            )
        node.attributes.pop(name)
    for name, attribute in new.attributes.items():
        if name in node.attributes:
            continue
        before = _default(old, name)
        if before is not None and before != _default(new, name):
            site.set(name, before)
        elif attribute.required and before is None:
            raise Inexpressible(f"opset {new.since_version} needs attribute {name!r}")


def default_attribute(schema: Any, name: str) -> ir.Attr | None:
    """Return the default of an operator's attribute, or None where it has none."""
    attribute = schema.attributes.get(name)
    if attribute is None or not attribute.default_value.type:
        return None
    return ir.serde.deserialize_attribute(attribute.default_value)


def _default(schema: Any, name: str) -> Any:
    found = default_attribute(schema, name)
    return None if found is None else found.value


def _fit_inputs(site: Site, new: Any) -> None:
    inputs = list(site.node.inputs)
    while inputs and inputs[-1] is None:
        inputs.pop()
    if len(inputs) > new.max_input:
        raise Inexpressible(f"input {len(inputs) - 1} does not exist in opset {new.since_version}")
    if len(inputs) < new.min_input:
        raise Inexpressible(f"opset {new.since_version} needs {new.min_input} inputs")
    single = onnx.defs.OpSchema.FormalParameterOption.Single
    for index, value in enumerate(inputs):
        if value is None and new.inputs[min(index, len(new.inputs) - 1)].option == single:
            raise Inexpressible(f"input {index} is not optional in opset {new.since_version}")
    if len(inputs) < len(site.node.inputs):
        site.node.resize_inputs(len(inputs))


def _check_types(node: ir.Node, new: Any) -> None:
    for values, parameters, side in (
        (node.inputs, new.inputs, "input"),
        (node.outputs, new.outputs, "output"),
    ):
        for index, value in enumerate(values):
            text = _type_text(None if value is None else value.type)
            if (
                text
                and parameters
                and text not in parameters[min(index, len(parameters) - 1)].types
            ):
                raise Inexpressible(
                    f"{side} {index} is a {text}, which opset {new.since_version} does not take"
                )


def _type_text(kind: ir.TypeProtocol | None) -> str:
    """Return a type as schemas write it, such as ``seq(tensor(float))``; empty if unknown."""
    if kind is None:
        return ""
    if isinstance(kind, ir.TensorType):
        name = kind.dtype.name.lower()
        return f"tensor({name})" if name != "undefined" else ""
    if isinstance(kind, ir.SequenceType | ir.OptionalType):
        inner = _type_text(kind.elem_type)
        prefix = "seq" if isinstance(kind, ir.SequenceType) else "optional"
        return f"{prefix}({inner})" if inner else ""
    return ""


def _make_axes_positive(site: Site) -> None:
    """Replace negative axes, which older versions do not have."""
    for name in ("axis", "axes"):
        value = site.attribute(name)
        if value is None:
            continue
        axes = [value] if isinstance(value, int) else list(value)
        if any(axis < 0 for axis in axes):
            rank = site.needed_rank()
            if site.node.op_type == "Unsqueeze":
                rank += len(axes)
            axes = [axis + rank if axis < 0 else axis for axis in axes]
            site.set(name, axes[0] if isinstance(value, int) else axes)
