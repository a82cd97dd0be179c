"""The backend of the example plugin, as its author would test it."""

from __future__ import annotations

import onnx_ir as ir
import pytest
from irconv_example.reference import ReferenceBackend

from irconv.backends.base import EmitRequest
from irconv.errors import UnsupportedError
from irconv.testing import assert_backend_conforms

HEADER = '< ir_version: 10, opset_import: ["" : 20, "com.example" : 1] >\n'


@pytest.mark.slow
def test_it_keeps_every_promise():
    report = assert_backend_conforms(ReferenceBackend())
    assert [str(outcome) for outcome in report.outcomes if outcome.status != "pass"] == []


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("y = com.example.Fancy (x)", "UNSUPPORTED_DOMAIN"),
        ("y = NoSuchOperator (x)", "UNSUPPORTED_OP"),
        ("h = Cast <to = 16> (x)  y = Cast <to = 1> (h)", "UNSUPPORTED_DTYPE"),
    ],
)
def test_what_it_refuses_has_a_reason_and_a_way_out(body, code):
    model = ir.from_onnx_text(
        HEADER + f"g (float[N, 4] x) => (float[N, 4] y) <bfloat16[N, 4] h> {{ {body} }}"
        if "h =" in body
        else HEADER + f"g (float[N, 4] x) => (float[N, 4] y) {{ {body} }}"
    )
    diagnostics = ReferenceBackend().check(model, {})
    assert {diagnostic.code for diagnostic in diagnostics} == {code}
    assert all(diagnostic.reason and diagnostic.way_out for diagnostic in diagnostics)


def test_operators_that_onnx_defines_by_functions_are_taken():
    model = ir.from_onnx_text(
        HEADER + "g (float[N, 4] x) => (float[N, 4] y) { a = Gelu (x)  y = Softmax (a) }"
    )
    assert ReferenceBackend().check(model, {}) == []


def test_the_strict_option_decides_about_invalid_models(tmp_path):
    model = ir.from_onnx_text(
        HEADER + "g (float[N, 4] x) => (float[N, 2] y) <float[3, 2] w = {1, 2, 3, 4, 5, 6}> "
        "{ y = MatMul (x, w) }"
    )
    for name in ("strict", "lax"):
        (tmp_path / name).mkdir()
    with pytest.raises(UnsupportedError, match="Incompatible dimensions"):
        ReferenceBackend().emit(model, tmp_path / "strict", EmitRequest())
    artifact = ReferenceBackend(strict=False).emit(model, tmp_path / "lax", EmitRequest())
    assert (tmp_path / "lax" / artifact.main).is_file()
