"""Passes keep their promises where golden cases stand in other models.

Whether a pass acts on those is left open: a case in another model may be another case.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import product
from types import SimpleNamespace

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from golden_files import FILES, Case, build, context_of, read_case
from onnx import ModelProto
from onnxruntime.capi.onnxruntime_pybind11_state import (
    Fail,
    InvalidArgument,
    InvalidGraph,
    NotImplemented,
    RuntimeException,
)
from variants import behind, late_constants, with_inner_outputs

from irconv.errors import UnsupportedError
from irconv.passes.base import Pass, PassContext
from irconv.passes.infer_shapes import InferShapes
from irconv.passes.manager import PassManager

APART = {
    "bind-shapes": "it binds dimensions of inputs by their names",
    "simplify": "it starts another project's tool, which takes seconds",
}
"""Passes of which no variants are made, and why."""
NUMBERS = {int(ir.DataType.from_numpy(np.dtype(kind))) for kind in "?bhilBHILfd"}
NAMES = sorted({path.parent.name for path in FILES} - set(APART))


def variants_of(name: str) -> Iterator[tuple[Case, ModelProto]]:
    cases = [read_case(path) for path in FILES if path.parent.name == name]
    models = [(case, ir.to_proto(ir.from_onnx_text(case.before))) for case in cases]
    for case, model in models:
        yield case, late_constants(model)
        types = {info.name: info for info in ir.to_proto(typed(model)).graph.value_info}
        for variant in with_inner_outputs(model, types):
            yield case, variant
    for (case, first), (other, second) in product(models, repeat=2):
        if case.header == other.header:
            with suppress(onnx.checker.ValidationError):
                yield from ((case, model) for model in behind(first, second))


def typed(proto: ModelProto) -> ir.Model:
    model = ir.from_proto(proto)
    InferShapes().run(model, PassContext())
    return model


def is_valid(proto: ModelProto) -> bool:
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError):
        return False
    return True


def runs(model: ir.Model, kit: SimpleNamespace) -> bool:
    try:
        kit.ort_outputs(model, kit.seeded_feeds(model))
    except (Fail, InvalidArgument, InvalidGraph, NotImplemented, RuntimeException):
        return False
    return True


def is_comparable(case: Case, pass_: Pass, proto: ModelProto) -> bool:
    """Whether outputs are equal but for roundings to float32."""
    if pass_.effect == "lossy" or "run" in case.header:
        return False
    dtypes = {value.type.tensor_type.elem_type for value in proto.graph.output}
    return dtypes <= NUMBERS and not any(
        value.dtype == ir.DataType.FLOAT16 for value in ir.from_proto(proto).graph.inputs
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_promises_are_kept_in_variants(name: str, kit: SimpleNamespace) -> None:
    checked = 0
    for case, proto in variants_of(name):
        if not is_valid(proto):
            continue
        pass_, context = build(case.spec), context_of(case)
        manager = PassManager([pass_], strict=True)
        try:
            result = manager.run(typed(proto), context)
        except UnsupportedError:
            continue
        text = onnx.printer.to_text(proto)
        assert not manager.run(result.model, context).modified, f"a second run changes\n{text}"
        assert is_valid(ir.to_proto(result.model)), text
        checked += 1
        comparable = result.modified and is_comparable(case, pass_, proto)
        if comparable and runs(typed(proto), kit):
            kit.same_outputs(typed(proto), result.model, exact=False)
    assert checked
