"""simplify: the guards, and a worker that dies."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from irconv.errors import MissingError
from irconv.graph.text import format_model
from irconv.passes import simplify
from irconv.passes.base import PassContext
from irconv.passes.manager import PassManager
from irconv.passes.simplify import Simplify

TEXT = """
< ir_version: 10, opset_import: ["" : 20] >
g (float[N, 3] x) => (float[N, 2] y) < float[3, 2] w = {1, 2, 3, 4, 5, 6} > {
    a = Identity (x)
    b = MatMul (a, w)
    y = Relu (b)
}
"""


def parse() -> ir.Model:
    return ir.from_onnx_text(TEXT)


def test_without_onnxsim_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingError, match="onnxsim") as caught:
        Simplify().run(parse(), PassContext())
    assert caught.value.hint == "pip install irconv[simplify]"


def test_operators_of_other_domains_are_left_alone() -> None:
    model = ir.from_onnx_text(
        """
        < ir_version: 10, opset_import: ["" : 20, "com.acme" : 1] >
        g (float[2] x) => (float[2] y) { a = com.acme.Foo (x) y = Relu (a) }
        """
    )
    result = Simplify().run(model, PassContext())
    assert not result.modified
    assert "com.acme" in result.refusals[0].reason


@pytest.mark.slow
def test_mapped_weights_stay_mapped_and_the_interface_stays(tmp_path: Path) -> None:
    ir.save(parse(), tmp_path / "m.onnx", external_data="m.data", size_threshold_bytes=0)
    model = ir.load(tmp_path / "m.onnx")
    result = PassManager([Simplify()], strict=True).run(model)
    assert result.modified
    assert isinstance(result.model.graph.initializers["w"].const_value, ir.ExternalTensor)
    np.testing.assert_array_equal(
        result.model.graph.initializers["w"].const_value.numpy(),
        np.arange(1, 7, dtype=np.float32).reshape(3, 2),
    )
    assert str(result.model.graph.inputs[0].shape) == "[N,3]"
    assert [node.op_type for node in result.model.graph] == ["MatMul", "Relu"]
    del model, result


@pytest.mark.slow
def test_a_worker_that_dies_is_rolled_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simplify, "_SERVICE", "faulthandler:_sigfpe")
    model = parse()
    before = format_model(model)
    result = PassManager([Simplify()]).run(model)
    assert "SIGFPE" in result.records[0].error
    assert format_model(result.model) == before
