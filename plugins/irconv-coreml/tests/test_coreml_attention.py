"""Attention as MIL's own operator, from iOS18 on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from irconv_coreml.backend import CoremlBackend
from irconv_coreml.interpreter.package import open_package

import irconv
from irconv.backends.base import EmitRequest
from irconv.errors import ExitCode
from irconv.graph.function_bodies import expand_nodes
from irconv.passes.base import PassContext
from irconv.passes.manager import PassManager
from irconv.plugins import load_registry
from irconv.runtime.onnxruntime import OnnxRuntimeRunner
from irconv.shapes import parse_shapes

Array = np.ndarray[Any, Any]
NATIVE = "scaled_dot_product_attention"
HEADS = "T[2, 4, 3, 8] q, T[2, 4, 5, 8] k, T[2, 4, 5, 6] v"
SHARED = "T[2, 4, 3, 8] q, T[2, 2, 5, 8] k, T[2, 2, 5, 6] v"
JOINED = "T[2, 3, 32] q, T[2, 5, 16] k, T[2, 5, 12] v"
FREE = "T[N, L, 32] q, T[N, S, 16] k, T[N, S, 12] v"
FORMER = "T[2, 2, P, 8] a, T[2, 2, P, 6] b"
SIZES = {"N": 2, "L": 3, "S": 5, "P": 7, "M": 5}
GIVEN = "T[2, 4, 3, 6] y"


class Form(NamedTuple):
    """One way to call Attention: inputs, outputs, and the node."""

    inputs: str
    outputs: str
    node: str

    def text(self, dtype: str = "float") -> str:
        """Return the model's text."""
        header = '<ir_version: 11, opset_import: ["" : 25]>'
        text = f"{header} g ({self.inputs}) => ({self.outputs}) {{ {self.node} }}"
        return text.replace("T[", f"{dtype}[")


NATIVE_FORMS = {
    "plain": Form(HEADS, GIVEN, "y = Attention (q, k, v)"),
    "scale": Form(HEADS, GIVEN, "y = Attention <scale = 0.7> (q, k, v)"),
    "bool mask": Form(f"{HEADS}, bool[2, 1, 3, 5] m", GIVEN, "y = Attention (q, k, v, m)"),
    "mask of a row": Form(f"{HEADS}, bool[1, 5] m", GIVEN, "y = Attention (q, k, v, m)"),
    "float mask": Form(f"{HEADS}, T[4, 3, 5] m", GIVEN, "y = Attention (q, k, v, m)"),
    "shared keys": Form(SHARED, GIVEN, "y = Attention (q, k, v)"),
    "causal": Form(HEADS, GIVEN, "y = Attention <is_causal = 1> (q, k, v)"),
    "causal bool mask": Form(
        f"{HEADS}, bool[3, 5] m", GIVEN, "y = Attention <is_causal = 1> (q, k, v, m)"
    ),
    "causal float mask": Form(
        f"{HEADS}, T[3, 5] m", GIVEN, "y = Attention <is_causal = 1> (q, k, v, m)"
    ),
    "joined heads": Form(
        JOINED, "T[2, 3, 24] y", "y = Attention <q_num_heads = 4, kv_num_heads = 2> (q, k, v)"
    ),
    "free sizes": Form(
        f"{FREE}, bool[N, 1, 1, S] m", "T[N, L, 24] y",
        "y = Attention <q_num_heads = 4, kv_num_heads = 2, is_causal = 1> (q, k, v, m)",
    ),
    "short mask": Form(f"{HEADS}, bool[3, 4] m", GIVEN, "y = Attention (q, k, v, m)"),
    "free former keys and a short mask": Form(
        f"{SHARED}, {FORMER}, T[3, M] m", f"{GIVEN}, T[2, 2, C, 8] c, T[2, 2, C, 6] d",
        "y, c, d = Attention (q, k, v, m, a, b)",
    ),
    "mask of a length that is not known": Form(
        f"{FREE}, bool[L, M] m", "T[N, L, 24] y",
        "y = Attention <q_num_heads = 4, kv_num_heads = 2> (q, k, v, m)",
    ),
    "former keys": Form(
        f"{SHARED}, {FORMER}", f"{GIVEN}, T[2, 2, C, 8] c, T[2, 2, C, 6] d",
        "y, c, d = Attention <is_causal = 1> (q, k, v, , a, b)",
    ),
    "former keys and a mask": Form(
        f"{SHARED}, {FORMER.replace('P', '7')}, T[3, 12] m",
        f"{GIVEN}, T[2, 2, 12, 8] c, T[2, 2, 12, 6] d", "y, c, d = Attention (q, k, v, m, a, b)",
    ),
}  # fmt: skip
SPELLED_OUT = {
    "softcap": Form(f"{HEADS}, bool[3, 5] m", GIVEN, "y = Attention <softcap = 2.0> (q, k, v, m)"),
    "precision": Form(
        f"{HEADS}, T[3, 5] m", GIVEN,
        "y = Attention <softmax_precision = 10, is_causal = 1> (q, k, v, m)",
    ),
}  # fmt: skip
OTHER_FORMS = {
    "scores": (
        Form(HEADS, f"{GIVEN}, T[2, 4, 3, 5] s", "y, , , s = Attention (q, k, v)"), "output 's'"
    ),
    "free heads": (
        Form("T[2, H, 3, 8] q, T[2, H, 5, 8] k, T[2, H, 5, 6] v", "T[2, H, 3, 6] y",
             "y = Attention (q, k, v)"),
        "number of heads",
    ),
    "valid lengths": (
        Form(f"{HEADS}, int64[2] n", GIVEN, "y = Attention (q, k, v, , , , n)"), "no valid lengths"
    ),
    "window": (
        Form(HEADS, GIVEN, "y = Attention <left_window_size = 1> (q, k, v)"), "no window"
    ),
    "negative scale": (Form(HEADS, GIVEN, "y = Attention <scale = -1.0> (q, k, v)"), "negative"),
    "one batch for all": (
        Form("T[2, 4, 3, 8] q, T[1, 4, 5, 8] k, T[1, 4, 5, 6] v", GIVEN, "y = Attention (q, k, v)"),
        "one batch size",
    ),
}  # fmt: skip


def feeds(model: ir.Model) -> dict[str, Array]:
    """Return random inputs; the first row of a mask that has several is masked as a whole."""
    random = np.random.default_rng(7)
    arrays: dict[str, Array] = {}
    for value in model.graph.inputs:
        assert value.shape is not None
        assert value.dtype is not None
        dims = [dim if isinstance(dim, int) else SIZES[str(dim.value)] for dim in value.shape]
        drawn = random.standard_normal(dims)
        masked = drawn < -0.3
        if value.name == "m" and dims[-2] > 1:
            masked[..., 0, :] = True
        if value.dtype == ir.DataType.BOOL:
            arrays[value.name or ""] = ~masked
        else:
            hidden = np.where(masked, -np.inf, drawn) if value.name == "m" else drawn
            arrays[value.name or ""] = hidden.astype(value.dtype.numpy())
    return arrays


def legal(text: str, backend: CoremlBackend) -> ir.Model:
    passes = map(load_registry().build_pass, backend.legalization())
    return PassManager(list(passes)).run(ir.from_onnx_text(text)).model


def emit(text: str, folder: Path, **options: Any) -> tuple[list[str], dict[str, Array]]:
    """Return the operators that a model is written as, and what they give."""
    backend = CoremlBackend(**options)
    model = legal(text, backend)
    shapes = parse_shapes([f"{name}=1..8@{size}" for name, size in SIZES.items()])
    assert backend.check(model, shapes) == []
    artifact = backend.emit(model, folder, EmitRequest(shapes))
    block = open_package(folder / artifact.main).functions["main"].block
    with backend.runner(folder, artifact) as runner:
        assert runner.level in ("reference", "artifact")
        outputs = runner.run(feeds(ir.from_onnx_text(text)))
    return [operation.kind for operation in block.operations], outputs


def by_its_body(text: str, path: Path) -> dict[str, Array]:
    """Return what the function body of the ONNX standard gives."""
    model = ir.from_onnx_text(text)
    inputs = feeds(model)
    assert expand_nodes(model, lambda node: node.op_type == "Attention") == (["Attention"], [])
    ir.save(model, path)
    with OnnxRuntimeRunner(path) as runner:
        return {name: np.asarray(value) for name, value in runner.run(inputs).items()}


def assert_close(found: dict[str, Array], expected: dict[str, Array], worst: float) -> None:
    assert set(found) == set(expected)
    for name, array in expected.items():
        assert np.isfinite(array).all()
        np.testing.assert_allclose(found[name], array, atol=worst, rtol=worst)


@pytest.mark.parametrize(
    ("dtype", "precision", "worst"),
    [
        ("float", "f32", 1e-5),
        pytest.param("float", "f16", 1e-2, marks=pytest.mark.slow),
        pytest.param("float16", "f32", 1e-2, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("form", NATIVE_FORMS.values(), ids=NATIVE_FORMS.keys())
def test_it_is_written_as_such_and_means_the_same(
    form: Form, dtype: str, precision: str, worst: float, tmp_path: Path
) -> None:
    kinds, found = emit(form.text(dtype), tmp_path, target="iOS18", precision=precision)

    assert kinds.count(NATIVE) == 1
    assert "softmax" not in kinds
    assert_close(found, by_its_body(form.text(dtype), tmp_path / "body.onnx"), worst)


@pytest.mark.parametrize("form", SPELLED_OUT.values(), ids=SPELLED_OUT.keys())
def test_what_mil_has_no_attention_for_is_spelled_out(form: Form, tmp_path: Path) -> None:
    kinds, found = emit(form.text(), tmp_path, target="iOS18")

    assert NATIVE not in kinds
    assert kinds.count("softmax") == 1
    assert_close(found, by_its_body(form.text(), tmp_path / "body.onnx"), 2e-3)


@pytest.mark.parametrize("dtype", ["float", "float16"])
def test_half_precision_masks_rows_as_well(dtype: str, tmp_path: Path) -> None:
    text = NATIVE_FORMS["causal float mask"].text(dtype)
    kinds, found = emit(text, tmp_path, target="iOS18", precision="f16")

    assert kinds.count(NATIVE) == 1
    assert_close(found, by_its_body(text, tmp_path / "body.onnx"), 1e-2)


@pytest.mark.parametrize("name", ["bool mask", "former keys"])
def test_older_systems_get_its_body(name: str, tmp_path: Path) -> None:
    text = NATIVE_FORMS[name].text()
    kinds, found = emit(text, tmp_path, target="iOS17")

    assert NATIVE not in kinds
    assert_close(found, by_its_body(text, tmp_path / "body.onnx"), 1e-5)


@pytest.mark.parametrize(("form", "reason"), OTHER_FORMS.values(), ids=OTHER_FORMS.keys())
def test_other_forms_are_refused_and_taken_apart(form: Form, reason: str) -> None:
    backend = CoremlBackend(target="iOS18")
    assert reason in refusal(form.text(), backend)

    model = legal(form.text(), backend)

    assert "Attention" not in {node.op_type for node in model.graph}
    assert "Softmax" in {node.op_type for node in model.graph}


def test_a_precision_that_is_no_float_is_refused_by_name() -> None:
    form = Form(HEADS, GIVEN, "y = Attention <softmax_precision = 7> (q, k, v)")
    backend = CoremlBackend(target="iOS18")

    (found,) = backend.check(legal(form.text(), backend), {})

    assert (found.op, found.code) == ("Attention", "UNSUPPORTED_FORM")
    assert "no float of MIL" in found.reason


def refusal(text: str, backend: CoremlBackend) -> str:
    """Return why the only node of a model is refused."""
    model = ir.from_onnx_text(text)
    load_registry().build_pass("infer-shapes").run(model, PassContext())
    (node,) = model.graph
    return backend.supports(node).reason


def test_a_constant_mask_that_masks_no_row_needs_no_guard(tmp_path: Path) -> None:
    form = Form(HEADS, GIVEN, "y = Attention (q, k, v, m)")
    text = form.text().replace("{ y", "<float[1, 5] m = {0, 1, -inf, 0, 2}> { y")
    kinds, found = emit(text, tmp_path, target="iOS18")

    assert [kind for kind in kinds if kind != "const"] == [NATIVE]
    assert_close(found, by_its_body(text, tmp_path / "body.onnx"), 1e-5)


PATTERN = """
    <ir_version: 11, opset_import: ["" : 20]>
    g (float[2, 3, 32] x, float[2, 1, 1, 3] mask) => (float[2, 3, 32] y)
    <int64[4] apart = {0, 0, 4, 8}, int64[3] joined = {0, 0, 32}, float root = {2.8284271}> {
        rows = Reshape (x, apart)
        q = Transpose <perm = [0, 2, 1, 3]> (rows)
        t = Transpose <perm = [0, 2, 3, 1]> (rows)
        product = MatMul (q, t)
        scaled = Div (product, root)
        scores = Add (scaled, mask)
        p = Softmax <axis = -1> (scores)
        heads = MatMul (p, q)
        back = Transpose <perm = [0, 2, 1, 3]> (heads)
        y = Reshape (back, joined)
    }"""


@pytest.mark.parametrize(("target", "count"), [("iOS17", 0), ("iOS18", 1)])
def test_what_a_model_spells_out_is_put_together_for_it(
    target: str, count: int, tmp_path: Path
) -> None:
    onnx.save(onnx.parser.parse_model(PATTERN), tmp_path / "model.onnx")

    result = irconv.compile(
        tmp_path / "model.onnx", [f"coreml{{target={target}}}"], tmp_path / "out", level=3
    )

    assert result.exit_code == ExitCode.OK, result.targets[0].error
    (package,) = (tmp_path / "out").rglob("*.mlpackage")
    operations = open_package(package).functions["main"].block.operations
    assert [operation.kind for operation in operations].count(NATIVE) == count


def test_the_interpreter_computes_the_formula(interpret: Callable[..., dict[str, Array]]) -> None:
    random = np.random.default_rng(7)
    shapes = {"q": (1, 2, 3, 4), "k": (1, 2, 5, 4), "v": (1, 2, 5, 6)}
    given = {name: random.standard_normal(shape).astype("f") for name, shape in shapes.items()}
    mask = np.tri(3, 5, dtype=np.float32) - 1

    def build(mb: Any, q: Any, k: Any, v: Any) -> dict[str, Any]:
        return {
            "added": mb.scaled_dot_product_attention(query=q, key=k, value=v, attn_mask=mask),
            "masked": mb.scaled_dot_product_attention(query=q, key=k, value=v, attn_mask=mask == 0),
        }

    def attended(scores: Array) -> Array:
        powers = np.exp(scores)
        product: Array = powers / powers.sum(-1, keepdims=True) @ given["v"]
        return product

    scores = given["q"] @ np.swapaxes(given["k"], 2, 3) / 2
    found = interpret(build, given, "iOS18")
    np.testing.assert_allclose(found["added"], attended(scores + mask), rtol=1e-5, atol=1e-5)
    masked = attended(np.where(mask == 0, scores, -np.inf))
    np.testing.assert_allclose(found["masked"], masked, rtol=1e-5, atol=1e-5)
