from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx_ir as ir
import pytest
from onnx.reference import ReferenceEvaluator

from irconv.errors import BackendError
from irconv.verify.golden import assert_discriminating
from irconv.verify.inputs import generate_samples
from irconv.verify.metrics import compare_outputs
from irconv.verify.noise import noisy_copy
from irconv.verify.tolerance import add_effects, derive_tolerances, prior_tolerances
from irconv.verify.verifier import judge

NETS = ("cnn", "depthwise", "transformer")


@pytest.fixture(params=NETS)
def net(request) -> ir.Model:
    return request.getfixturevalue(request.param)


def largest_error(golden, outputs) -> float:
    return max(m.max_abs for m in compare_outputs(golden.outputs, outputs).values())


def run(open_, model, golden):
    with open_(model) as runner:
        return [runner.run(feeds) for feeds in golden.inputs]


def in_float64(model: ir.Model) -> ir.Model:
    """The same network with float64 weights and arithmetic."""
    wide = model.clone()
    for value in wide.graph.initializers.values():
        if value.dtype == ir.DataType.FLOAT:
            array = value.const_value.numpy().astype(np.float64)
            value.const_value = ir.tensor(array, name=value.name)
            value.type = ir.TensorType(ir.DataType.DOUBLE)
    for node in wide.graph:
        if node.op_type == "Cast":
            node.attributes["to"] = ir.AttrInt64("to", int(ir.DataType.DOUBLE))
    for value in (*wide.graph.inputs, *wide.graph.outputs):
        if value.dtype == ir.DataType.FLOAT:
            value.type = ir.TensorType(ir.DataType.DOUBLE)
    for node in wide.graph:
        for output in node.outputs:
            output.type = None if output not in wide.graph.outputs else output.type
    return wide


def run_in_float64(model: ir.Model, golden) -> list[dict[str, np.ndarray]]:
    """Run by the interpreter of the onnx package, whose kernels are NumPy's."""
    evaluator = ReferenceEvaluator(ir.to_proto(in_float64(model)))
    names = [value.name for value in model.graph.outputs]
    results = []
    for feeds in golden.inputs:
        wide = {n: f.astype(np.float64) if f.dtype == np.float32 else f for n, f in feeds.items()}
        values = evaluator.run(None, wide)
        results.append({n: v.astype(np.float32) for n, v in zip(names, values, strict=True)})
    return results


def test_legitimate_reorderings_pass_and_a_wrong_weight_fails(
    net, open_reference, open_optimized, make_golden
):
    golden = make_golden(net, generate_samples(net, count=2))
    tolerances = derive_tolerances(net, golden, "float32", open_reference)
    (tolerance,) = tolerances.values()
    largest = max(float(np.abs(v).max()) for sample in golden.outputs for v in sample.values())
    assert 1e-8 * largest < tolerance.value < 1e-3 * largest
    assert "float32" in tolerance.basis

    optimized = run(open_optimized, net, golden)
    assert judge(golden, optimized, tolerances, level="artifact", reference={}).verdict == "pass"

    exact = run_in_float64(net, golden)
    error = largest_error(golden, exact)
    assert 0 < error <= tolerance.value, "the true value lies within"
    assert tolerance.value < 200 * error, "and the tolerance is not far above the true error"

    assert_discriminating(net, golden, open_reference, tolerances)


def test_float16_arithmetic_passes_as_float16_and_fails_as_float32(
    cnn, open_reference, make_golden
):
    golden = make_golden(cnn, generate_samples(cnn, count=2))
    rounded = cnn.clone()
    for value in rounded.graph.initializers.values():
        half = value.const_value.numpy().astype(np.float16).astype(np.float32)
        value.const_value = ir.tensor(half, name=value.name)
    outputs = run(open_reference, rounded, golden)

    def verdict(precision):
        tolerances = derive_tolerances(cnn, golden, precision, open_reference)
        return judge(golden, outputs, tolerances, level="artifact", reference={}).verdict

    assert verdict("float32") == "fail"
    assert verdict("float16") == "pass"
    assert verdict("bfloat16") == "pass"


def test_coarse_noise_does_not_break_masks(transformer, open_reference, make_golden):
    golden = make_golden(transformer, generate_samples(transformer, count=2))
    tolerances = derive_tolerances(transformer, golden, "float16", open_reference)
    largest = max(float(np.abs(s["y"]).max()) for s in golden.outputs)
    assert 1e-4 * largest < tolerances["y"].value < 0.1 * largest


def test_lossy_effect_is_added_and_named(cnn, open_reference, make_golden):
    golden = make_golden(cnn, generate_samples(cnn, count=1))
    plain = derive_tolerances(cnn, golden, "float32", open_reference)["y"]
    judged = derive_tolerances(cnn, golden, "int8", open_reference)
    lossy = add_effects(judged, {"y": 0.25})["y"]
    assert lossy.value == pytest.approx(plain.value + 0.25)
    assert "lossy passes" in lossy.basis


def test_same_seed_same_tolerance(cnn, open_reference, make_golden):
    golden = make_golden(cnn, generate_samples(cnn, count=1))
    first = derive_tolerances(cnn, golden, "float32", open_reference)
    assert derive_tolerances(cnn, golden, "float32", open_reference) == first


def test_what_is_allowed_before_any_run_is_strict(net, open_reference, make_golden):
    golden = make_golden(net, generate_samples(net, count=2))
    prior = prior_tolerances(net, golden, "float32")
    derived = derive_tolerances(net, golden, "float32", open_reference)
    assert prior.keys() == derived.keys()
    assert all(0 < prior[name].value < 2 * derived[name].value for name in prior)
    assert all("a chain of that many roundings" in item.basis for item in prior.values())
    assert_discriminating(net, golden, open_reference, prior)


def test_outputs_that_are_no_numbers_are_exact_before_any_run(make_golden):
    model = ir.from_onnx_text(
        '< ir_version: 10, opset_import: ["" : 20] >\n'
        "g (float[2, 5] x) => (int64[2, 1] y) { e = Exp (x) y = ArgMax (e) }"
    )
    golden = make_golden(model, generate_samples(model, count=2))
    assert prior_tolerances(model, golden, "float32")["y"].value == 0


def test_fewer_runs_and_samples_allow_no_more(net, open_reference, make_golden):
    golden = make_golden(net, generate_samples(net, count=3))
    first = replace(golden, inputs=golden.inputs[:1], outputs=golden.outputs[:1])
    full = derive_tolerances(net, golden, "float32", open_reference)
    early = derive_tolerances(net, first, "float32", open_reference, exact=first.outputs, runs=1)
    assert early.keys() == full.keys()
    assert all(0 < early[name].value <= full[name].value for name in full)
    assert all("1 run)" in tolerance.basis for tolerance in early.values())


def test_noise_keeps_the_interface_and_the_weights(net, make_golden, open_reference):
    before = [(v.name, v.dtype) for v in (*net.graph.inputs, *net.graph.outputs)]
    count = len(net.graph)
    noisy = noisy_copy(net, "bfloat16")
    assert [(v.name, v.dtype) for v in (*noisy.graph.inputs, *noisy.graph.outputs)] == before
    assert len(net.graph) == count, "the model itself is left alone"
    for name, value in net.graph.initializers.items():
        assert noisy.graph.initializers[name].const_value is value.const_value


def test_noise_reaches_bodies_and_functions(open_reference, make_golden):
    model = ir.from_onnx_text("""
        < ir_version: 10, opset_import: ["" : 20, "local" : 1] >
        g (float[4, 8] x, bool c) => (float[4, 8] y, float[4, 8] z) {
          y = If (c) <then_branch = t () => (float[4, 8] a) { a = Exp (x) },
                      else_branch = e () => (float[4, 8] b) { b = Sin (x) }>
          z = local.twice (x)
        }
        < domain: "local", opset_import: ["" : 20] >
        twice (v) => (w) { u = Exp (v) w = Sqrt (u) }
    """)
    noisy = noisy_copy(model, "float32")
    random = np.random.default_rng(0).standard_normal((4, 8)).astype(np.float32)
    golden = make_golden(model, [{"x": random, "c": np.array(True)}])
    outputs = run(open_reference, noisy, golden)
    for name, metrics in compare_outputs(golden.outputs, outputs).items():
        assert metrics.mismatched > 0, name
        assert metrics.max_rel < 1e-6


def test_noise_leaves_sequences_alone(open_reference, make_golden):
    model = ir.from_onnx_text("""
        < ir_version: 10, opset_import: ["" : 20, "local" : 1] >
        g (float[4] x) => (float[8] y) {
          e = Exp (x)
          y = local.twice (e)
        }
        < domain: "local", opset_import: ["" : 20] >
        twice (a) => (b) { s = SequenceConstruct (a, a) b = ConcatFromSequence <axis = 0> (s) }
    """)
    golden = make_golden(model, [{"x": np.ones(4, np.float32)}])
    tolerance = derive_tolerances(model, golden, "float32", open_reference)["y"]
    assert "4 runs" in tolerance.basis


def test_values_that_decide_shapes_are_not_perturbed(open_reference, make_golden):
    model = ir.from_onnx_text("""
        < ir_version: 10, opset_import: ["" : 20] >
        g (float[N] x) => (float[M] y) < float half = {0.33333334}, float three = {3} > {
          s = Shape (x)
          f = Cast <to = 1> (s)
          h = Mul (f, half)
          t = Mul (h, three)
          n = Cast <to = 7> (t)
          e = Exp (x)
          zero = Constant <value_ints = [0]> ()
          y = Slice (e, zero, n)
        }
    """)
    golden = make_golden(model, [{"x": np.linspace(0, 1, 9, dtype=np.float32)}])
    for seed in range(5):
        outputs = run(open_reference, noisy_copy(model, "bfloat16", seed=seed), golden)
        assert outputs[0]["y"].shape == golden.outputs[0]["y"].shape


def test_infinite_values_stay_infinite(open_reference, make_golden):
    model = ir.from_onnx_text("""
        < ir_version: 10, opset_import: ["" : 20] >
        g (float[2, 4] x, float[4] m) => (float[2, 4] y) { s = Add (x, m) y = Softmax (s) }
    """)
    mask = np.array([0, -np.inf, 0, -np.inf], dtype=np.float32)
    golden = make_golden(model, [{"x": np.ones((2, 4), np.float32), "m": mask}])
    assert np.isfinite(run(open_reference, noisy_copy(model, "float32"), golden)[0]["y"]).all()


def test_argmax_is_exact_unless_noise_ties(open_reference, make_golden):
    model = ir.from_onnx_text("""
        < ir_version: 10, opset_import: ["" : 20] >
        g (float[2, 3] x) => (int64[2] y) { e = Exp (x) y = ArgMax <axis = 1, keepdims = 0> (e) }
    """)
    clear = make_golden(model, [{"x": np.array([[0, 1, 2], [5, 1, 2]], np.float32)}], "data")
    tolerance = derive_tolerances(model, clear, "float32", open_reference)["y"]
    assert (tolerance.value, tolerance.basis) == (0.0, "exact")
    near = np.nextafter(np.float32(1.1), np.float32(2))
    tied = make_golden(model, [{"x": np.array([[1.1, near, 0], [0, near, 1.1]], np.float32)}])
    tolerance = derive_tolerances(model, tied, "float32", open_reference)["y"]
    assert tolerance.value >= 1
    assert "noise" in tolerance.basis


def test_random_outputs_have_no_tolerance(open_reference, make_golden):
    model = ir.from_onnx_text("""
        < ir_version: 10, opset_import: ["" : 20] >
        g (float[2, 8] x) => (float[2, 8] y, float[2, 8] z) {
          r = RandomNormalLike (x) y = Add (x, r) z = Exp (x) }
    """)
    golden = make_golden(model, [{"x": np.ones((2, 8), np.float32)}])
    tolerances = derive_tolerances(model, golden, "float32", open_reference)
    assert tolerances["y"].value == 0
    assert "every run" in tolerances["y"].basis
    assert tolerances["z"].value > 0


def test_noise_that_changes_shapes_falls_back_to_sources(open_reference, make_golden):
    """NonZero of a knife-edge comparison: the perturbed graph has another number of rows."""
    model = ir.from_onnx_text("""
        < ir_version: 10, opset_import: ["" : 20] >
        g (float[64] x) => (int64[1, K] y, float[64] z) {
          e = Exp (x) l = Log (e) k = Log (e) d = Sub (l, k)
          zero = Constant <value_float = 0.0> ()
          b = Greater (d, zero) y = NonZero (b) z = Identity (e) }
    """)
    golden = make_golden(model, [{"x": np.linspace(0.1, 2, 64, dtype=np.float32)}], "data")
    tolerances = derive_tolerances(model, golden, "float32", open_reference)
    assert tolerances["y"].value == 0
    assert "inputs and weights only" in tolerances["z"].basis


@pytest.mark.parametrize("opset", [8, 11, 12, 13, 21, 22, 24])
@pytest.mark.parametrize(
    ("dtype", "name", "precision", "low", "high"),
    [
        ("float", "float32", "float32", 1e-8, 1e-4),
        ("float", "float32", "float16", 1e-4, 1e-1),
        ("float16", "float16", "float16", 1e-3, 3e-1),
        ("double", "float64", "float64", 1e-17, 1e-12),
    ],
)
def test_a_floor_is_found_at_every_opset(
    opset, dtype, name, precision, low, high, open_reference, make_golden
):
    model = ir.from_onnx_text(
        f"""
        < ir_version: 10, opset_import: ["" : {opset}] >
        g ({dtype}[4, 8] x) => ({dtype}[4, 8] y) {{ a = MatMul (x, x) b = Tanh (a) y = Add (a, b) }}
    """.replace("[4, 8]", "[8, 8]")
    )
    x = np.random.default_rng(0).standard_normal((8, 8)).astype(name)
    golden = make_golden(model, [{"x": x}])
    tolerance = derive_tolerances(model, golden, precision, open_reference)["y"]
    assert "Monte Carlo arithmetic, 4 runs" in tolerance.basis
    assert low < tolerance.value < high


def test_what_a_fourier_transform_cancels_is_noise(open_reference, make_golden):
    model = ir.from_onnx_text("""
        < ir_version: 10, opset_import: ["" : 20] >
        g (float[1, 64, 1] x) => (float y) {
          spectrum = DFT (x)
          five = Constant <value_int = 5> ()
          bin = Gather <axis = 1> (spectrum, five)
          power = ReduceSumSquare <keepdims = 0> (bin)
          y = Sqrt (power)
        }
    """)
    golden = make_golden(model, [{"x": np.full((1, 64, 1), 0.7, np.float32)}])
    tolerance = derive_tolerances(model, golden, "float32", open_reference)["y"]
    assert 1e-7 * 64 * 0.7 < tolerance.value < 1e-5 * 64 * 0.7


def test_conditions_computed_in_bodies_are_followed(open_reference, make_golden):
    model = ir.from_onnx_text("""
        < ir_version: 10, opset_import: ["" : 20] >
        g (float[4] x, bool c) => (float[N] y) {
          n = If (c) <then_branch = t () => (int64[1] a) { a = Shape (x) },
                      else_branch = e () => (int64[1] b) { b = Constant <value_ints = [2]> () }>
          zero = Constant <value_ints = [0]> ()
          s = Exp (x)
          y = Slice (s, zero, n)
        }
    """)
    golden = make_golden(model, [{"x": np.ones(4, np.float32), "c": np.array(False)}])
    tolerance = derive_tolerances(model, golden, "float32", open_reference)["y"]
    assert "4 runs" in tolerance.basis


def test_a_perturbed_model_that_does_not_run_is_said(cnn, open_reference, make_golden):
    golden = make_golden(cnn, generate_samples(cnn, count=1))

    def only_the_model_itself(model):
        if model is not cnn:
            raise BackendError("no kernel")
        return open_reference(model)

    tolerance = derive_tolerances(cnn, golden, "float32", only_the_model_itself)["y"]
    assert tolerance.value > 0
    assert "no noise floor: the perturbed model does not run: no kernel" in tolerance.basis
