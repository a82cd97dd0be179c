"""convert-opset: numerics both ways, and refusals that leave the model alone."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from irconv.errors import UnsupportedError, UsageError
from irconv.graph.fingerprint import fingerprint
from irconv.graph.text import format_model
from irconv.passes.base import PassContext
from irconv.passes.convert_opset import ConvertOpset


def model_of(opset: int, interface: str, body: str) -> ir.Model:
    return ir.from_onnx_text(
        f'< ir_version: 10, opset_import: ["" : {opset}] >\ng {interface} {{ {body} }}'
    )


INTS = "Constant <value = int64[{}] {{{}}}> ()"
X = "(float[2, 3, 4] x) => (float[{}] y)"
DOWN = {
    "gelu": (20, 9, X.format("2,3,4"), "y = Gelu (x)"),
    "gelu-tanh": (20, 9, X.format("2,3,4"), 'y = Gelu <approximate = "tanh"> (x)'),
    "layer-norm": (
        20, 11, X.format("2,3,4"),
        ("s = Constant <value = float[3, 4] {1,2,3,4,5,6,7,8,9,10,11,12}> () "
        "y = LayerNormalization <axis = 1> (x, s)"),
    ),
    "rms-norm": (
        23, 12, X.format("2,3,4"),
        "s = Constant <value = float[4] {1,2,3,4}> () y = RMSNormalization (x, s)",
    ),
    "mish": (22, 11, X.format("2,3,4"), "y = Mish (x)"),
    "hard-swish": (22, 11, X.format("2,3,4"), "y = HardSwish (x)"),
    "swish": (24, 13, X.format("2,3,4"), "y = Swish <alpha = 1.5> (x)"),
    "group-norm": (
        21, 13, "(float[2, 4, 3] x) => (float[2, 4, 3] y)",
        ("s = Constant <value = float[4] {1,2,3,4}> () "
        "y = GroupNormalization <num_groups = 2> (x, s, s)"),
    ),
    "softmax-inner-axis": (13, 11, X.format("2,3,4"), "y = Softmax <axis = 1> (x)"),
    "split-uneven": (
        18, 13, "(float[5, 2] x) => (float[3, 2] y, float[2, 2] z)",
        "y, z = Split <num_outputs = 2> (x)",
    ),
    "pad-axes": (
        18, 10, X.format("2,3,7"),
        f"p = {INTS.format(2, '1,2')} a = {INTS.format(1, '-1')} y = Pad (x, p, , a)",
    ),
    "reduce-noop": (
        18, 13, X.format("2,3,4"), "y = ReduceMean <noop_with_empty_axes = 1> (x)",
    ),
    "reduce-all": (18, 11, X.format("1,1,1"), "y = ReduceL2 (x)"),
    "shape-range": (
        15, 13, "(float[2, 3, 4] x) => (int64[2] y)", "y = Shape <start = 1> (x)",
    ),
    "clip": (
        13, 9, X.format("2,3,4"),
        ("lo = Constant <value = float {-0.5}> () hi = Constant <value = float {0.25}> () "
        "y = Clip (x, lo, hi)"),
    ),
    "slice": (
        13, 9, X.format("2,2,4"),
        (f"b = {INTS.format(1, '1')} e = {INTS.format(1, '3')} a = {INTS.format(1, '1')} "
        "y = Slice (x, b, e, a)"),
    ),
    "top-k": (
        11, 9, "(float[2, 4] x) => (float[2, 2] y, int64[2, 2] i)",
        f"k = {INTS.format(1, '2')} y, i = TopK (x, k)",
    ),
    "resize": (
        11, 9, "(float[1, 1, 2, 2] x) => (float[1, 1, 4, 4] y)",
        ("r = Constant <value = float[0] {}> () s = Constant <value = float[4] {1,1,2,2}> () "
        'y = Resize <coordinate_transformation_mode = "asymmetric", nearest_mode = "floor"> '
        "(x, r, s)"),
    ),
    "squeeze": (
        13, 11, "(float[2, 1, 3] x) => (float[2, 3] y)",
        f"a = {INTS.format(1, '1')} y = Squeeze (x, a)",
    ),
    "gemm-without-c": (
        13, 9, "(float[2, 3] x) => (float[2, 2] y)", "y = Gemm <transB = 1> (x, x)",
    ),
    "constant-ints": (
        13, 11, "(float[6] x) => (float[2, 3] y)",
        "s = Constant <value_ints = [2, 3]> () y = Reshape (x, s)",
    ),
    "dropout": (13, 10, X.format("2,3,4"), "y = Dropout (x)"),
    "celu": (12, 11, X.format("2,3,4"), "y = Celu <alpha = 2.0> (x)"),
}  # fmt: skip


@pytest.mark.parametrize("name", DOWN)
def test_down_and_up_again_keep_the_numbers(name: str, kit: SimpleNamespace) -> None:
    start, oldest, interface, body = DOWN[name]
    source = model_of(start, interface, body)
    low = source.clone()
    assert ConvertOpset(to=oldest).run(low, PassContext()).modified
    assert low.opset_imports[""] == oldest
    onnx.checker.check_model(ir.to_proto(low), full_check=True)
    kit.same_outputs(source, low, exact=False)
    high = low.clone()
    assert ConvertOpset(to=22).run(high, PassContext()).modified
    onnx.checker.check_model(ir.to_proto(high), full_check=True)
    kit.same_outputs(source, high, exact=False)


UP = {
    "softmax": (11, X.format("2,3,4"), "y = Softmax <axis = 1> (x)"),
    "upsample": (
        8, "(float[1, 1, 2, 3] x) => (float[1, 1, 4, 6] y)",
        "y = Upsample <scales = [1.0, 1.0, 2.0, 2.0]> (x)",
    ),
    "resize-linear": (
        10, "(float[1, 1, 2, 3] x) => (float[1, 1, 4, 6] y)",
        's = Constant <value = float[4] {1,1,2,2}> () y = Resize <mode = "linear"> (x, s)',
    ),
    "split": (13, "(float[4, 2] x) => (float[2, 2] y, float[2, 2] z)", "y, z = Split (x)"),
    "group-norm": (
        18, "(float[2, 4, 3] x) => (float[2, 4, 3] y)",
        ("s = Constant <value = float[2] {1,2}> () "
        "y = GroupNormalization <num_groups = 2> (x, s, s)"),
    ),
    "grid-sample": (
        16, "(float[1, 1, 3, 3] x, float[1, 2, 2, 2] grid) => (float[1, 1, 2, 2] y)",
        'y = GridSample <mode = "bicubic"> (x, grid)',
    ),
    "pad": (
        10, X.format("2,3,7"), "y = Pad <pads = [0, 0, 1, 0, 0, 2], value = 1.5> (x)",
    ),
    "scatter": (
        10, "(float[3, 3] x) => (float[3, 3] y)",
        ("i = Constant <value = int64[1, 3] {1, 0, 2}> () "
        "u = Constant <value = float[1, 3] {5, 6, 7}> () y = Scatter (x, i, u)"),
    ),
    "batch-norm": (
        8, "(float[1, 2, 3] x) => (float[1, 2, 3] y)",
        "s = Constant <value = float[2] {1,2}> () y = BatchNormalization (x, s, s, s, s)",
    ),
}  # fmt: skip


UPWARD_STEPS = [(name, to) for name, case in UP.items() for to in (13, 18, 22) if to > case[0]]


@pytest.mark.parametrize(("name", "to"), UPWARD_STEPS)
def test_up_keeps_the_numbers(name: str, to: int, kit: SimpleNamespace) -> None:
    start, interface, body = UP[name]
    source = model_of(start, interface, body)
    model = source.clone()
    ConvertOpset(to=to).run(model, PassContext())
    onnx.checker.check_model(ir.to_proto(model), full_check=True)
    kit.same_outputs(source, model, exact=False)


def test_every_obstacle_is_listed_and_nothing_is_changed() -> None:
    model = model_of(
        20,
        "(float[2, 3] x, int64[1] axes, int64[2] shape) => (float[2] y, float[3, 2] z, float t)",
        "[gelu] g = Gelu (x) [mean] y = ReduceMean <keepdims = 0> (g, axes) "
        "[reshape] z = Reshape <allowzero = 1> (x, shape) "
        "[grid] a = AffineGrid (x, shape) t = ReduceSum <keepdims = 0> (a)",
    )
    model.graph.outputs[1].shape = ir.Shape([None, None])
    before, mark = format_model(model), fingerprint(model)
    with pytest.raises(UnsupportedError) as caught:
        ConvertOpset(to=13).run(model, PassContext())
    reasons = {item.node: item.reason for item in caught.value.diagnostics}
    assert set(reasons) >= {"mean", "reshape"}
    assert "axes" in reasons["mean"]
    assert "allowzero" in reasons["reshape"]
    assert "gelu" not in reasons
    assert format_model(model) == before
    assert fingerprint(model) == mark


@pytest.mark.parametrize(
    ("opset", "to", "interface", "body", "reason"),
    [
        (20, 13, "(float[2] x, float[2] y) => (float[2] z)", "z = Nonsense (x, y)", "no such"),
        (
            19, 18, "(float[1, 3, 3] x, int64[2] p) => (float[a, b, c] y)",
            'y = Pad <mode = "wrap"> (x, p)', "wrap",
        ),
        (14, 13, "(int8[2] x) => (int8[2] y)", "y = Add (x, x)", "tensor(int8)"),
        (
            13, 12, "(int8[2, 2] x, float[2] s) => (float[2, 2] y)",
            "y = DequantizeLinear (x, s)", "scale for each channel",
        ),
        (8, 13, "(float[1, 2, 3] x, float[2] s) => (float[1, 2, 3] y)",
            "y = BatchNormalization <spatial = 0> (x, s, s, s, s)", "spatial=0"),
        (18, 13, "(float[n] x) => (float[a] y, float[b] z)",
            "y, z = Split <num_outputs = 2> (x)", "may be unequal"),
    ],
)  # fmt: skip
def test_refusals_give_the_reason(
    opset: int, to: int, interface: str, body: str, reason: str
) -> None:
    with pytest.raises(UnsupportedError) as caught:
        ConvertOpset(to=to).run(model_of(opset, interface, body), PassContext())
    assert reason in str(caught.value)


def test_function_parameters_are_not_guessed() -> None:
    model = ir.from_onnx_text(
        """
        < ir_version: 10, opset_import: ["" : 18, "local" : 1] >
        g (float[2, 3] x) => (float[2, 1] y) { y = local.f <flag = 1> (x) }
        < domain: "local", opset_import: ["" : 18] >
        f <flag> (a) => (b) {
            axes = Constant <value_ints = [1]> ()
            b = ReduceMean <noop_with_empty_axes : int = @flag> (a, axes)
        }
        """
    )
    with pytest.raises(UnsupportedError, match="parameter of the local function"):
        ConvertOpset(to=17).run(model, PassContext())


@pytest.mark.parametrize("to", [0, 7, 999])
def test_an_opset_out_of_range_is_a_usage_error(to: int) -> None:
    with pytest.raises(UsageError, match=f"opset {to}"):
        ConvertOpset.from_options({"to": str(to)})


def test_mapped_weights_stay_mapped(tmp_path: Path) -> None:
    weight = np.arange(4096, dtype=np.float32).reshape(64, 64)
    model = model_of(18, "(float[2, 64] x) => (float[2, 64] y)", "y = MatMul (x, w)")
    node = next(iter(model.graph))
    made = ir.Value(name="w", const_value=ir.tensor(weight, name="w"))
    model.graph.register_initializer(made)
    node.replace_input_with(1, made)
    ir.save(model, tmp_path / "m.onnx", external_data="m.data", size_threshold_bytes=0)
    loaded = ir.load(tmp_path / "m.onnx")
    ConvertOpset(to=13).run(loaded, PassContext())
    assert isinstance(loaded.graph.initializers["w"].const_value, ir.ExternalTensor)
    del loaded
