"""What an ML Program cannot express, found in the IR alone, without coremltools."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from irconv.backends.base import Support
from irconv.errors import Diagnostic
from irconv.graph.constants import constant_tensor, is_constant
from irconv.graph.interface import dtype_text, input_specs
from irconv_coreml.dtypes import INT32_MAX, INT32_MIN, MIL_DTYPES
from irconv_coreml.feature_names import is_left_out
from irconv_coreml.ops import EMITTERS
from irconv_coreml.targets import Target, reaches

if TYPE_CHECKING:
    from irconv.shapes import DimRange
    from irconv_coreml.backend import CoremlBackend

__all__ = ["check_model", "name_free_dims", "node_support"]

_MAX_RANK = 5
_EXAMPLE = 32
"""The size in the example of a ``--shape``."""
_SMALL = 4096
_CLAMPED = frozenset({"Slice", "Clip", "Cast", "CastLike", "Max", "Min", "Identity"})
"""Operators for which an integer beyond 32 bits may as well be the largest that there is."""
_WAY_OUT = "express it by other operators, or leave it out of the exported part"
_DTYPE_WAY_OUT = "convert that part of the model to float32, float16 or int32"
_SHAPE_WAY_OUT = "export that part of the model with static shapes"
_DYNAMIC = frozenset({"DYNAMIC_SHAPE", "DYNAMIC_RANK"})


def node_support(node: ir.Node, target: Target) -> Support:
    """Say whether a node can be written as MIL for a target."""
    emitter = EMITTERS.get((node.domain, node.op_type))
    if node.domain == "" and node.op_type == "Constant":
        return _value_support(node.outputs[0]) or Support(True)
    if emitter is None:
        return Support(False, "UNSUPPORTED_OP", "Core ML's MIL has no operator for it", _WAY_OUT)
    if not reaches(target, emitter.since):
        return Support(
            False, "UNSUPPORTED_OP", f"Core ML's MIL has no operator for it before {emitter.since}",
            f"target={emitter.since} has one for some forms of it; or {_WAY_OUT}",
        )  # fmt: skip
    if any(attribute.is_ref() for attribute in node.attributes.values()):
        return Support(
            False, "UNSUPPORTED_FORM", "an attribute depends on a function's caller",
            "inline the functions of the model",
        )  # fmt: skip
    for value in (*node.inputs, *node.outputs):
        refused = None if value is None or not value.name else _value_support(value)
        refused = refused or (None if value is None else _range_support(node, value))
        if refused is not None:
            return refused
    code, _, reason = emitter.refuses(node).partition(": ")
    if code:
        return Support(False, code, reason, _ways_out(code))
    return Support(True)


def _ways_out(code: str) -> str:
    return {
        "DYNAMIC_SHAPE": _SHAPE_WAY_OUT,
        "UNSUPPORTED_DTYPE": _DTYPE_WAY_OUT,
        "NOT_CONSTANT": "make it a constant of the model, for example by exporting with it fixed",
    }.get(code, "export that part of the model in another form")


def _value_support(value: ir.Value) -> Support | None:
    if isinstance(value.type, (ir.SequenceType, ir.OptionalType)):
        kind = "sequences" if isinstance(value.type, ir.SequenceType) else "optional values"
        return Support(False, "UNSUPPORTED_TYPE", f"Core ML has no {kind}", _WAY_OUT)
    if value.dtype is None or value.dtype == ir.DataType.UNDEFINED:
        tensor = constant_tensor(value)
        if tensor is None:
            return Support(
                False, "UNKNOWN_TYPE", f"the dtype of {value.name!r} is not known",
                "state it in the model's value_info",
            )  # fmt: skip
    dtype = value.dtype
    if dtype is not None and dtype not in MIL_DTYPES:
        return Support(
            False, "UNSUPPORTED_DTYPE", f"Core ML has no {dtype_text(dtype)}", _DTYPE_WAY_OUT
        )
    return _shape_support(value)


def _shape_support(value: ir.Value) -> Support | None:
    tensor = constant_tensor(value)
    shape = value.shape if tensor is None else tensor.shape
    if shape is None:
        return Support(
            False, "DYNAMIC_RANK", f"the rank of {value.name!r} is not known", _SHAPE_WAY_OUT
        )
    dims = list(shape)
    if len(dims) > _MAX_RANK:
        return Support(
            False, "RANK_LIMIT",
            f"{value.name!r} has rank {len(dims)}, and Core ML takes up to {_MAX_RANK}",
            "merge dimensions before exporting",
        )  # fmt: skip
    if 0 in dims and not (tensor is not None and dims == [0]):
        return Support(
            False, "EMPTY_TENSOR", f"{value.name!r} has no elements, and Core ML takes none such",
            "leave that part out of the model",
        )  # fmt: skip
    return None


def _range_support(node: ir.Node, value: ir.Value) -> Support | None:
    """Refuse an integer constant that int32 does not hold and that matters."""
    if node.op_type in _CLAMPED or not is_constant(value):
        return None
    tensor = constant_tensor(value)
    if tensor is None or tensor.dtype not in _WIDE or tensor.size == 0:
        return None
    array = tensor.numpy()
    if int(np.min(array)) < INT32_MIN or int(np.max(array)) > INT32_MAX:
        return Support(
            False, "VALUE_RANGE", f"the constant {value.name!r} does not fit into 32 bits",
            "use smaller integers",
        )  # fmt: skip
    return None


_WIDE = frozenset({ir.DataType.INT64, ir.DataType.UINT64, ir.DataType.UINT32})


def check_model(
    model: ir.Model, shapes: Mapping[str, DimRange], backend: CoremlBackend
) -> Iterator[Diagnostic]:
    """Yield what stands against the interface of a model."""
    if not input_specs(model):
        yield Diagnostic(
            "NO_INPUTS", "the model has no inputs, and Core ML wants one",
            way_out="make one of its constants an input",
        )  # fmt: skip
    for side, values in (("input", model.graph.inputs), ("output", model.graph.outputs)):
        for value in values:
            refused = None if is_left_out(value) else _value_support(value)
            if refused is not None:
                yield Diagnostic(
                    refused.code, f"{side} {value.name!r}: {refused.reason}",
                    way_out=refused.way_out,
                )  # fmt: skip
    yield from _images(model, backend)
    if backend.shapes != "range":
        yield from _unbounded(model, shapes, backend)


def _images(model: ir.Model, backend: CoremlBackend) -> Iterator[Diagnostic]:
    known = {spec.name: spec for spec in input_specs(model)}
    for name in backend.image:
        spec = known.get(name)
        if spec is None:
            yield Diagnostic(
                "NO_SUCH_INPUT", f"image={name}: the model has no such input",
                way_out="its inputs are: " + ", ".join(sorted(known)),
            )  # fmt: skip
        elif (
            spec.dtype != "float32"
            or spec.shape is None
            or len(spec.shape) != 4
            or spec.shape[:2] not in ((1, 1), (1, 3))
        ):
            yield Diagnostic(
                "NOT_AN_IMAGE", f"image={name}: the input is {spec}",
                way_out="an image is float32 [1, 1 or 3, height, width]",
            )  # fmt: skip


def name_free_dims(
    found: Iterable[Diagnostic], model: ir.Model, shapes: Mapping[str, DimRange]
) -> Iterator[Diagnostic]:
    """Yield diagnostics of nodes; what dynamic shapes cause names the ``--shape`` that binds them.

    Nothing is named where all inputs are static, and the shapes come from computed numbers.
    """
    names = _free_dims(model)
    sizes = {name: shapes[name].best if name in shapes else _EXAMPLE for name in names}
    options = " ".join(f"--shape {name}={size}" for name, size in sizes.items())
    for diagnostic in found:
        if diagnostic.code in _DYNAMIC and names:
            way_out = f"bind {', '.join(names)}, for example {options}; or {diagnostic.way_out}"
            yield replace(diagnostic, way_out=way_out)
        else:
            yield diagnostic


def _free_dims(model: ir.Model) -> list[str]:
    """Return the dimensions of the inputs without a size: names, or positions such as x[0]."""
    dims = [
        dim if isinstance(dim, str) else f"{spec.name}[{axis}]"
        for spec in input_specs(model)
        for axis, dim in enumerate(spec.shape or ())
        if not isinstance(dim, int)
    ]
    return list(dict.fromkeys(dims))


def _unbounded(
    model: ir.Model, shapes: Mapping[str, DimRange], backend: CoremlBackend
) -> Iterator[Diagnostic]:
    names = [name for name in _free_dims(model) if name not in shapes]
    if names:
        options = " ".join(f"--shape {name}=1..8@4" for name in names)
        yield Diagnostic(
            "DYNAMIC_SHAPE",
            f"shapes={backend.shapes} needs the range of every dimension, and "
            f"{', '.join(names)} has none",
            way_out=f"for example {options}",
        )
