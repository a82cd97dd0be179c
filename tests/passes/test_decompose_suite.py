"""Every decomposition, proved with the ONNX backend suite's own cases of its operators."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx.reference import ReferenceEvaluator

from irconv.passes.base import Pass, PassContext
from irconv.passes.catalog import PASSES
from irconv.passes.convert_opset import ConvertOpset
from irconv.passes.fit_onnxruntime import fitted, kernel_gaps
from irconv.passes.fold_constants import FoldConstants
from irconv.passes.infer_shapes import InferShapes
from irconv.passes.inline_functions import InlineFunctions
from irconv.passes.manager import PassManager
from irconv.spec import parse_spec

pytestmark = pytest.mark.slow

CONFORMANCE = Path(__file__).parents[1] / "conformance"
PROVED = {
    "decompose-einsum": 9,
    "decompose-indexing{ops=[ArgMax,ArgMin,Compress,CumProd,CumSum,EyeLike,GatherElements,"
    "GatherND,Hardmax,OneHot,ReverseSequence,ScatterElements,TensorScatter,Trilu]}": 92,
    "decompose-quantized{ops=[ConvInteger,DequantizeLinear,DynamicQuantizeLinear,MatMulInteger,"
    "QLinearConv,QLinearMatMul,QuantizeLinear]}": 42,
    "decompose-recurrent": 18,
    "decompose-recurrent{unroll=0}": 18,
    "decompose-resampling": 60,
    "decompose-scan": 3,
    "decompose-sequences": 3,
    "decompose-signal": 9,
    "decompose-vision{ops=[AveragePool,BatchNormalization,DeformConv,Det,GlobalAveragePool,"
    "GlobalLpPool,GlobalMaxPool,InstanceNormalization,LRN,LpNormalization,LpPool,MaxPool]}": 71,
    "emulate-dtypes": 134,
    "emulate-dtypes{rounded=false}": 134,
}
"""Each pass, and how many cases it is known to change and keep correct; none may be wrong."""
SEQUENCES = {"OptionalGetElement", "OptionalHasElement", "SequenceAt", "SequenceLength"}
NOISE = {"node/test_dft_inverse", "node/test_dft_inverse_opset19"}
"""Cases that expect the rounding errors of NumPy's own algorithm where the result is zero."""
RANDOM = ("node/test_bernoulli",)


def module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"suite_{name}", CONFORMANCE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = made
    spec.loader.exec_module(made)
    return made


@pytest.fixture(scope="module")
def suite() -> dict[str, Any]:
    cases = module("suite").load_suite()
    kept = (name for name in cases if name.startswith("node/") and "_expanded" not in name)
    return {name: cases[name] for name in kept if not name.startswith(RANDOM)}


def outputs(model: ir.Model, feeds: dict[str, Any], kit: SimpleNamespace) -> list[Any]:
    """Outputs by ONNX Runtime where it has the kernels, else by ONNX's reference evaluator."""
    runnable = fitted(model) if kernel_gaps(model) else model
    if runnable is not None:
        try:
            return list(kit.ort_outputs(runnable, feeds))
        except Exception:  # ONNX Runtime lacks some dtypes of kernels that it lists
            pass
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(ReferenceEvaluator(ir.to_proto(model)).run(None, feeds))


def prepared(case: Any) -> ir.Model | None:
    """The case's model as a backend's legalization has it before decompositions."""
    passes = [InlineFunctions(), ConvertOpset(28), InferShapes(), FoldConstants()]
    model = ir.from_proto(case.model)
    if model.opset_imports.get("", 28) < 9:
        return None
    return PassManager(passes, strict=True).run(model, PassContext()).model


@pytest.mark.parametrize("text", PROVED, ids=lambda text: text.partition("=")[0])
def test_suite_cases_stay_correct(text: str, suite: dict[str, Any], kit: SimpleNamespace) -> None:
    spec = parse_spec(text)
    cls: type[Pass] = {cls.name: cls for cls in PASSES}[spec.name]
    pass_ = cls.from_options(spec.options)
    rules = SEQUENCES if spec.name == "decompose-sequences" else getattr(cls, "rules", None)
    difference = module("compare").difference
    changed = 0
    for name, case in suite.items():
        types = {node.op_type for node in case.model.graph.node}
        if rules is not None and not types & set(rules):
            continue
        model = prepared(case)
        if model is None:
            continue
        result = PassManager([pass_], strict=True).run(model, PassContext())
        if not result.modified:
            continue
        onnx.checker.check_model(ir.to_proto(result.model), full_check=True)
        for feeds, expected in case.samples():
            found = difference(outputs(result.model, feeds, kit), expected, case.tolerance)
            assert not found or name in NOISE, f"{name}: {found}"
        changed += name not in NOISE
    assert changed >= PROVED[text]
