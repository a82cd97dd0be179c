from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from irconv.errors import InputError, UsageError
from irconv.shapes import DimRange, parse_input
from irconv.verify.inputs import generate_samples, sample_plans


def model(header: str, body: str, extra: str = "") -> ir.Model:
    return ir.from_onnx_text(
        f'< ir_version: 10, opset_import: ["" : 20, "local" : 1] > g {header} {{ {body} }} {extra}'
    )


def one(header: str, body: str, name: str = "x", **options) -> np.ndarray:
    return generate_samples(model(header, body), count=1, **options)[0][name]


def test_values_depend_on_seed_name_and_sample_only():
    first = model("(float[4] a, float[4] b) => (float[4] y)", "y = Add (a, b)")
    second = model("(float[4] b, float[4] a) => (float[4] y)", "y = Add (a, b)")
    one_, two = generate_samples(first, seed=3), generate_samples(second, seed=3)
    for left, right in zip(one_, two, strict=True):
        for name in "ab":
            np.testing.assert_array_equal(left[name], right[name])
    assert not np.array_equal(one_[0]["a"], one_[1]["a"])
    assert not np.array_equal(one_[0]["a"], one_[0]["b"])
    assert not np.array_equal(one_[0]["a"], generate_samples(first, seed=4)[0]["a"])


@pytest.mark.parametrize(
    ("header", "body"),
    [
        ("(int64[99] x, float[7, 3] t) => (float[A, 3] y)", "y = Gather (t, x)"),
        (
            "(int32[99] x, float[7, 3] t) => (float[A, B, 3] y)",
            (
                "c = Cast <to = 7> (x) a = Constant <value_ints = [0]> () "
                "u = Unsqueeze (c, a) y = Gather (t, u)"
            ),
        ),
        (
            "(int64[99] x, float[3, 7] t) => (float[3, A] y)",
            "y = Gather <axis = -1> (t, x)",
        ),
        ("(int64[99] x, float[7] t) => (float[A] y)", "y = GatherElements (t, x)"),
        (
            "(int64[99] x, bool c, float[7] t) => (float[A] y)",
            (
                "y = If (c) <then_branch = p () => (float[A] q) { q = Gather (t, x) }, "
                "else_branch = r () => (float[A] s) { s = Gather (t, x) }>"
            ),
        ),
    ],
)
def test_indices_lie_within_their_axis(header, body):
    x = one(header, body)
    assert x.min() >= 0
    assert x.max() == 6, "99 draws reach the last row"


def test_indices_through_functions_and_offsets():
    extra = '< domain: "local", opset_import: ["" : 20] > look (t, i) => (o) { o = Gather (t, i) }'
    source = model(
        "(int64[99] x, float[7, 3] t) => (float[A, 3] y)", "y = local.look (t, x)", extra
    )
    assert generate_samples(source, count=1)[0]["x"].max() == 6
    x = one(
        "(int64[99] x, float[7, 3] t) => (float[A, 3] y) < int64 two = {2} >",
        "s = Add (x, two) y = Gather (t, s)",
    )
    assert (x.min(), x.max()) == (0, 4)


def test_indices_follow_a_dynamic_axis():
    source = model("(int64[50] x, float[N, 3] t) => (float[A, 3] y)", "y = Gather (t, x)")
    for sample in generate_samples(source, {"N": DimRange(2, 5, 9)}):
        assert sample["x"].max() == len(sample["t"]) - 1


@pytest.mark.parametrize(
    ("header", "body"),
    [
        (
            "(int64[4, 50] x) => (float[4, 50] y) < float one = {1}, float big = {-1e9} >",
            "c = Cast <to = 1> (x) i = Sub (one, c) y = Mul (i, big)",
        ),
        ("(int64[4, 50] x) => (bool[4, 50] y)", "y = Cast <to = 9> (x)"),
        ("(int64[4, 50] x) => (bool[4, 50] y) < int64 z = {0} >", "y = Equal (x, z)"),
        ("(int64[4, 50] attention_mask) => (int64[4, 50] y)", "y = Neg (attention_mask)"),
    ],
)
def test_masks_are_mostly_ones_and_never_all_alike(header, body):
    (x,) = generate_samples(model(header, body), count=1)[0].values()
    assert set(np.unique(x)) == {0, 1}
    assert x.mean() > 0.7
    assert (x.max(axis=-1) == 1).all()
    assert (x.min(axis=-1) == 0).all()


def test_boolean_masks_too():
    x = one(
        "(bool[4, 50] x, float[4, 50] s) => (float[4, 50] y) < float low = {-1e9} >",
        "y = Where (x, s, low)",
    )
    assert x.dtype == bool
    assert 0.7 < x.mean() < 1
    free = one("(bool[4, 50] x) => (bool[4, 50] y)", "y = Identity (x)")
    assert 0.3 < free.mean() < 0.7


@pytest.mark.parametrize(
    ("operator", "check"),
    [
        ("Log", lambda x: (x > 0).all()),
        ("Sqrt", lambda x: (x >= 0).all()),
        ("Acos", lambda x: (np.abs(x) < 1).all()),
        ("Asin", lambda x: (np.abs(x) < 1).all()),
        ("Atanh", lambda x: (np.abs(x) < 1).all()),
        ("Acosh", lambda x: (x > 1).all()),
        ("Reciprocal", lambda x: (np.abs(x) > 0.2).all() and (x < 0).any()),
        ("Exp", lambda x: abs(x.mean()) < 0.2 and abs(x.std() - 1) < 0.2),
    ],
)
def test_floats_stay_in_the_domain_of_their_use(operator, check):
    x = one(
        "(float[20, 20] x) => (float[20, 20] y)",
        f"t = Transpose (x) i = Identity (t) y = {operator} (i)",
    )
    assert check(x)


def test_denominators_and_powers():
    x = one("(float[400] x, float[400] n) => (float[400] y)", "y = Div (n, x)")
    assert (np.abs(x) > 0.2).all()
    x = one("(float[400] x) => (float[400] y) < float p = {0.3} >", "y = Pow (x, p)")
    assert (x > 0).all()
    x = one("(float[400] x) => (float[400] y) < float p = {2} >", "y = Pow (x, p)")
    assert (x < 0).any()
    x = one("(int64[400] x, int64[400] n) => (int64[400] y)", "y = Div (n, x)")
    assert (x != 0).all()


def test_images_and_small_integers():
    x = one("(uint8[1, 3, 20, 20] x) => (float[1, 3, 20, 20] y)", "y = Cast <to = 1> (x)")
    assert (x.dtype, x.min(), x.max()) == (np.uint8, 0, 255)
    x = one("(int64[400] x) => (int64[400] y)", "y = Identity (x)")
    assert (x.min(), x.max()) == (0, 9)


def test_sizes_where_they_mean_something():
    x = one("(int64[1] x, float[5] f) => (float[A] y)", "y, i = TopK (f, x)")
    assert x.tolist() == [1]
    x = one("(int64[2] x) => (float[A, B] y)", "y = ConstantOfShape (x)")
    assert x.min() >= 1
    assert x.max() <= 4


@pytest.mark.parametrize(
    ("header", "body", "words"),
    [
        ("(int64[2] x, float[6] f) => (float[A, B] y)", "y = Reshape (f, x)", "decides a shape"),
        ("(string[2] x) => (string[2] y)", "y = Identity (x)", "kind string"),
        ("(seq(float[2]) x) => (int64 y)", "y = SequenceLength (x)", "kind sequence"),
        ("(optional(float[2]) x) => (bool y)", "y = OptionalHasElement (x)", "kind optional"),
        ("(float[100000, 100000] x) => (float[A, B] y)", "y = Exp (x)", "MiB"),
    ],
)
def test_what_cannot_be_made_up_asks_for_data(header, body, words):
    with pytest.raises(InputError, match="--data") as failure:
        generate_samples(model(header, body))
    assert words in failure.value.what


def test_axes_are_distinct():
    x = one("(int64[3] x, float[2, 3] f) => (float[A, B, C, D, E] y)", "y = Unsqueeze (f, x)")
    assert sorted(x.tolist()) == [0, 1, 2]


def test_a_scalar_condition_is_an_array():
    assert isinstance(one("(bool x) => (bool y)", "y = Identity (x)"), np.ndarray)


DYNAMIC = model("(float[batch, 3, H, W] x, float[batch] z) => (float[A, B, C, D] y)", "y = Exp (x)")


def test_dynamic_dims_are_shared_and_vary():
    shapes = [(s["x"].shape, s["z"].shape) for s in generate_samples(DYNAMIC)]
    assert [x[0] for x, _ in shapes] == [1, 2, 3]
    assert all(x[0] == z[0] and x[1] == 3 for x, z in shapes)
    assert len({x for x, _ in shapes}) == 3


@pytest.mark.parametrize(("count", "sizes"), [(1, [4]), (2, [2, 8]), (3, [2, 4, 8])])
def test_ranges_are_covered(count, sizes):
    samples = generate_samples(DYNAMIC, {"batch": DimRange(2, 4, 8)}, count=count)
    assert [len(sample["x"]) for sample in samples] == sizes


def test_plans_differ_and_end():
    plans = list(sample_plans(DYNAMIC, count=2))
    shapes = [tuple(sample["x"].shape for sample in plan) for plan in plans]
    assert len(set(shapes)) == len(shapes) >= 5
    assert any(all(s[2] % 32 == 0 for s in plan) for plan in shapes)
    assert any(all(s[2] == 224 for s in plan) for plan in shapes)
    assert any(all(s[2] == 1 for s in plan) for plan in shapes)
    static = model("(float[2, 3] x) => (float[2, 3] y)", "y = Exp (x)")
    assert len(list(sample_plans(static))) == 1


def test_user_input_specs():
    samples = generate_samples(DYNAMIC, inputs=[parse_input("x[2,3,10,?]")])
    assert all(sample["x"].shape[:3] == (2, 3, 10) for sample in samples)
    for text, words in (
        ("nope[1]", "does not have"),
        ("x[1,3,4]", "3 dimensions; it has 4"),
        ("x[1,4,8,8]", "it is 3"),
        ("x[1,3,8,8]{f16}", "it is float32"),
    ):
        with pytest.raises(UsageError, match=words):
            generate_samples(DYNAMIC, inputs=[parse_input(text)])


def test_unknown_rank_asks_for_input():
    source = model("(float[2] x) => (float[2] y)", "y = Exp (x)")
    source.graph.inputs[0].shape = None
    with pytest.raises(InputError, match="how many dimensions"):
        generate_samples(source)
    assert generate_samples(source, inputs=[parse_input("x[5]")])[0]["x"].shape == (5,)


def test_default_valued_inputs_are_not_asked_for():
    source = model("(float[2] x, float[2] w) => (float[2] y)", "y = Mul (x, w)")
    source.graph.inputs[1].const_value = ir.tensor(np.ones(2, np.float32), name="w")
    source.graph.initializers.add(source.graph.inputs[1])
    assert set(generate_samples(source)[0]) == {"x"}
