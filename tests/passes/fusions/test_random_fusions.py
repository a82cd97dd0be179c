"""Fused graphs of random shapes, axes, numbers and forms compute what they did before."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from irconv.passes.base import Pass
from irconv.passes.fusions.fuse_gelu import FuseGelu
from irconv.passes.fusions.fuse_group_normalization import FuseGroupNormalization
from irconv.passes.fusions.fuse_hard_sigmoid import FuseHardSigmoid
from irconv.passes.fusions.fuse_hard_swish import FuseHardSwish
from irconv.passes.fusions.fuse_instance_normalization import FuseInstanceNormalization
from irconv.passes.fusions.fuse_layer_normalization import FuseLayerNormalization
from irconv.passes.fusions.fuse_mish import FuseMish
from irconv.passes.fusions.fuse_rms_normalization import FuseRmsNormalization
from irconv.passes.fusions.fuse_softmax import FuseSoftmax
from irconv.passes.fusions.fuse_softplus import FuseSoftplus
from irconv.passes.fusions.fuse_swish import FuseSwish
from irconv.passes.infer_shapes import InferShapes
from irconv.passes.manager import PassManager
from irconv.passes.onnxruntime.fuse_conv_activation import FuseConvActivation
from irconv.passes.onnxruntime.fuse_matmul_transpose import FuseMatmulTranspose

ALL: tuple[Pass, ...] = (
    FuseInstanceNormalization(), FuseGroupNormalization(), FuseLayerNormalization(),
    FuseRmsNormalization(), FuseGelu(), FuseSwish(), FuseSoftplus(), FuseMish(), FuseHardSwish(),
    FuseHardSigmoid(), FuseSoftmax(),
)  # fmt: skip
BOUNDED = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
SIZES = st.integers(1, 5)
VARIANCES = (
    "rest = Sub (x, mean) square = Mul (rest, rest) variance = ReduceMean (square, axes)",
    "rest = Sub (x, mean) square = Pow (rest, two) variance = ReduceMean (square, axes)",
)
QUOTIENTS = (
    "unit = Div (rest, root)",
    "inverse = Reciprocal (root) unit = Mul (rest, inverse)",
    "inverse = Div (one, root) unit = Mul (inverse, rest)",
    (
        "inverse = Reciprocal (root) part = Mul (x, inverse) shift = Mul (mean, inverse) "
        "unit = Sub (part, shift)"
    ),
    (
        "inverse = Reciprocal (root) part = Mul (x, inverse) less = Neg (mean) "
        "shift = Mul (inverse, less) unit = Add (shift, part)"
    ),
)
SCALED_QUOTIENTS = (
    "factor = Div (scale, root) y = Mul (rest, factor)",
    "scaled = Mul (rest, scale) y = Div (scaled, root)",
    (
        "factor = Div (scale, root) part = Mul (x, factor) shift = Mul (mean, factor) "
        "y = Sub (part, shift)"
    ),
)
ROOT_QUOTIENTS = (
    "unit = Div (x, root)",
    "inverse = Reciprocal (root) unit = Mul (x, inverse)",
    "inverse = Div (one, root) unit = Mul (inverse, x)",
)
TAILS = (
    "y = Identity (unit)",
    "y = Mul (unit, scale)",
    "scaled = Mul (scale, unit) y = Add (scaled, bias)",
    "y = Add (bias, unit)",
    "scaled = Mul (unit, scale) y = Mul (scaled, scale)",
)
GATES = {
    "gelu": (
        "a = Div (x, r) e = Erf (a) s = Add (e, one) {0}",
        ("p = Mul (x, s) y = Mul (p, half)", "p = Mul (half, x) y = Mul (p, s)",
         "p = Mul (s, half) y = Mul (x, p)", "p = Div (s, two) y = Mul (p, x)",
         "p = Mul (x, s) y = Add (p, half)"),
        {"r": np.sqrt(2)},
    ),
    "swish": (
        "a = Mul (x, r) s = Sigmoid (a) {0}",
        ("y = Mul (x, s)", "y = Mul (s, x)", "y = Mul (a, s)", "y = Mul (s, s)"),
        {"r": 1.5},
    ),
    "mish": (
        "a = Exp (x) b = Add (one, a) c = Log (b) s = Tanh (c) {0}",
        ("y = Mul (x, s)", "y = Mul (s, x)", "y = Mul (s, c)"),
        {},
    ),
    "hard": (
        "a = Add (x, three) s = Clip (a, zero, six) {0}",
        ("p = Mul (x, s) y = Div (p, six)", "p = Div (s, six) y = Mul (x, p)", "y = Div (s, six)",
         "p = Mul (s, half) y = Mul (x, p)", "p = Div (x, six) y = Mul (p, s)"),
        {"three": 3, "six": 6, "zero": 0},
    ),
}  # fmt: skip
NUMBERS = {"one": 1, "half": 0.5, "two": 2}


def build(
    text: str, shape: tuple[int, ...], constants: Mapping[str, np.ndarray], opset: int = 24
) -> ir.Model:
    """Return a model of one float input x with a dynamic batch, and output y of any shape."""
    dims = ", ".join(["N", *map(str, shape[1:])])
    head = f'< ir_version: 11, opset_import: ["" : {opset}] >'
    proto = onnx.parser.parse_model(f"{head} g (float[{dims}] x) => (float[] y) {{ {text} }}")
    for name, array in constants.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    return ir.from_proto(onnx.shape_inference.infer_shapes(proto))


def check(model: ir.Model, kit: SimpleNamespace, passes: tuple[Pass, ...] = ALL) -> ir.Model:
    before = ir.from_proto(ir.to_proto(model))
    result = PassManager([InferShapes(), *passes], strict=True, max_rounds=5).run(model)
    assert not PassManager(passes, strict=True).run(result.model).modified
    onnx.checker.check_model(ir.to_proto(result.model), full_check=True)
    feeds = kit.seeded_feeds(before)
    (was,), (now,) = kit.ort_outputs(before, feeds), kit.ort_outputs(result.model, feeds)
    assert was.shape == now.shape
    np.testing.assert_allclose(now, was, rtol=2e-4, atol=2e-5)
    return result.model


def floats(**numbers: float) -> dict[str, np.ndarray]:
    return {name: np.array(number, np.float32) for name, number in numbers.items()}


@pytest.mark.slow
@BOUNDED
@given(data=st.data())
def test_normalizations(kit: SimpleNamespace, data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(SIZES, min_size=2, max_size=4)))
    count = len(shape)
    axes = sorted(data.draw(st.sets(st.integers(0, count - 1), min_size=1)))
    centred = data.draw(st.booleans())
    if centred:
        body = data.draw(st.sampled_from(VARIANCES))
        start = f"mean = ReduceMean (x, axes) {body}"
    else:
        start = "square = Mul (x, x) variance = ReduceMean (square, axes)"
    quotient = data.draw(st.sampled_from(QUOTIENTS if centred else ROOT_QUOTIENTS))
    tail = data.draw(st.sampled_from(TAILS))
    if centred and data.draw(st.booleans()):
        quotient, tail = data.draw(st.sampled_from(SCALED_QUOTIENTS)), ""
    signed = [axis - count if data.draw(st.booleans()) else axis for axis in axes]
    ranks = st.integers(0, count)
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    shapes = [
        tuple(
            size if axis > 0 and data.draw(st.booleans()) else 1
            for axis, size in enumerate(shape)
            if axis >= count - rank
        )
        for rank in (data.draw(ranks), data.draw(ranks))
    ]
    if data.draw(st.booleans()):
        shapes = [shape[axes[0] :] if axes[0] else shape[1:]] * 2
    scale, bias = (random.standard_normal(item).astype(np.float32) for item in shapes)
    epsilon = data.draw(st.sampled_from((1e-5, 1e-3, 0.5)))
    constants = {
        "axes": np.array(signed), "scale": scale, "bias": bias,
        **floats(epsilon=epsilon, one=1, two=2),
    }  # fmt: skip
    text = f"{start} sum = Add (variance, epsilon) root = Sqrt (sum) {quotient} {tail}"
    model = check(build(text, shape, constants), kit)
    last = axes == list(range(axes[0], count)) and axes[0] > 0
    if last and tail:
        assert "Sqrt" not in {node.op_type for node in model.graph}


@pytest.mark.slow
@BOUNDED
@given(
    name=st.sampled_from(sorted(GATES)),
    form=st.integers(0, 4),
    shape=st.lists(SIZES, min_size=1, max_size=3),
    ranks=st.lists(st.integers(0, 2), min_size=8, max_size=8),
)
def test_activations(
    kit: SimpleNamespace, name: str, form: int, shape: list[int], ranks: list[int]
) -> None:
    text, forms, numbers = GATES[name]
    used = {**NUMBERS, **numbers}
    constants = {
        key: np.full((1,) * (0 if name == "hard" and key in ("zero", "six") else rank), number)
        .astype(np.float32)
        for (key, number), rank in zip(used.items(), ranks, strict=False)
    }  # fmt: skip
    check(build(text.format(forms[form % len(forms)]), tuple(shape), constants), kit)


@pytest.mark.slow
@BOUNDED
@given(
    shape=st.lists(SIZES, min_size=1, max_size=4),
    axis=st.integers(-4, 3),
    other=st.integers(-4, 3),
    shifted=st.booleans(),
    form=st.integers(0, 3),
)
def test_softmax(
    kit: SimpleNamespace, shape: list[int], axis: int, other: int, shifted: bool, form: int
) -> None:
    count = len(shape)
    constants = {"axis": np.array([axis % count]), "other": np.array([other % count])}
    start = "most = ReduceMax (x, other) z = Sub (x, most)" if shifted else "z = Identity (x)"
    end = (
        "y = Div (e, s)",
        "i = Reciprocal (s) y = Mul (i, e)",
        "l = Log (s) y = Sub (z, l)",
        "q = Div (e, s) y = Log (q)",
    )[form]
    model = check(
        build(f"{start} e = Exp (z) s = ReduceSum (e, axis) {end}", tuple(shape), constants), kit
    )
    assert {node.op_type for node in model.graph} & {"Softmax", "LogSoftmax"}


@pytest.mark.slow
@BOUNDED
@given(
    groups=st.integers(1, 4),
    width=st.integers(1, 3),
    spatial=st.lists(SIZES, min_size=1, max_size=3),
    whole=st.booleans(),
    epsilon=st.sampled_from((1e-5, 0.5)),
)
def test_groups(
    kit: SimpleNamespace,
    groups: int,
    width: int,
    spatial: list[int],
    whole: bool,
    epsilon: float,
) -> None:
    channels = groups * width
    random = np.random.default_rng(channels)
    ones = (1,) * len(spatial)
    constants = {
        "grouped": np.array([0, groups, -1]),
        "back": np.array([-1, channels, *spatial]),
        "unit_scale": np.ones(groups, np.float32),
        "unit_bias": np.zeros(groups, np.float32),
        "scale": random.standard_normal((channels, *ones)).astype(np.float32),
        "bias": random.standard_normal((1, channels, *ones)).astype(np.float32),
    }
    shape = "whole = Shape (x) r = Reshape (n, whole)" if whole else "r = Reshape (n, back)"
    text = (
        f"g0 = Reshape (x, grouped) n = InstanceNormalization <epsilon = {epsilon}> "
        f"(g0, unit_scale, unit_bias) {shape} m = Mul (r, scale) y = Add (m, bias)"
    )
    model = check(build(text, (2, channels, *spatial), constants), kit)
    assert [node.op_type for node in model.graph] == ["GroupNormalization"]


@pytest.mark.slow
@BOUNDED
@given(
    batch=st.lists(SIZES, max_size=2),
    sizes=st.tuples(SIZES, SIZES, SIZES),
    swaps=st.tuples(st.booleans(), st.booleans()),
    factors=st.lists(st.sampled_from((0.5, 2.0, -3.0)), min_size=3, max_size=3),
    scaled=st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
def test_products(
    kit: SimpleNamespace,
    batch: list[int],
    sizes: tuple[int, int, int],
    swaps: tuple[bool, bool],
    factors: list[float],
    scaled: tuple[bool, bool, bool],
) -> None:
    rows, inner, columns = sizes
    first = (*batch, inner, rows) if swaps[0] else (*batch, rows, inner)
    second = (*batch, columns, inner) if swaps[1] else (*batch, inner, columns)
    count = len(first)
    order = [*range(count - 2), count - 1, count - 2]
    shape = (2, *first)
    perm = [0, *(axis + 1 for axis in order)]
    lines = ["k = Relu (w)"]
    a, b = "x", "k"
    if swaps[0]:
        lines.append(f"a = Transpose <perm = {perm}> ({a})")
        a = "a"
    if scaled[0]:
        lines.append(f"a2 = Mul ({a}, f0)")
        a = "a2"
    if scaled[1]:
        lines.append(f"b2 = Div ({b}, f1)")
        b = "b2"
    if swaps[1]:
        lines.append(f"b = Transpose <perm = {order}> ({b})")
        b = "b"
    lines.append(f"m = MatMul ({a}, {b}) y = {'Mul (f2, m)' if scaled[2] else 'Identity (m)'}")
    weight = np.random.default_rng(3).standard_normal(second).astype(np.float32)
    constants = {"w": weight, **floats(**{f"f{i}": factor for i, factor in enumerate(factors)})}
    model = check(build(" ".join(lines), shape, constants), kit, (FuseMatmulTranspose(),))
    found = {node.op_type for node in model.graph}
    assert ("FusedMatMul" in found) == (any(swaps) or any(scaled))
    assert not found & {"Transpose", "Mul", "Div"}


@pytest.mark.slow
@BOUNDED
@given(
    kernel=st.integers(1, 3),
    groups=st.integers(1, 2),
    bias=st.booleans(),
    residual=st.sampled_from(("", "z = Relu (c0) s = Add (c, z)", "s = Add (one, c)")),
    activation=st.sampled_from(
        ("Relu", "Sigmoid", "Tanh", "LeakyRelu <alpha = 0.3>", "HardSigmoid <alpha = 0.3>", "Neg")
    ),
)
def test_convolutions(
    kit: SimpleNamespace, kernel: int, groups: int, bias: bool, residual: str, activation: str
) -> None:
    random = np.random.default_rng(kernel)
    constants = {
        "w": random.standard_normal((4, 4 // groups, kernel, kernel)).astype(np.float32),
        "b": random.standard_normal(4).astype(np.float32),
        **floats(one=1),
    }
    inputs = "x, w, b" if bias else "x, w"
    conv = f"Conv <group = {groups}, strides = [2, 1], pads = [1, 0, 0, 1]> ({inputs})"
    source = "s" if residual else "c"
    text = f"c0 = {conv} c = {conv} {residual} y = {activation} ({source})"
    check(build(text, (2, 4, 5, 6), constants), kit, (FuseConvActivation(),))
