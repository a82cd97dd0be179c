"""prune-magnitude: the exact threshold, both scopes, and the sparsity that is stated."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from irconv.errors import UsageError
from irconv.passes.base import PassContext, PassResult
from irconv.passes.prune_magnitude import PruneMagnitude, kth_smallest_magnitude

DTYPES = [np.float16, np.float32, np.float64, ml_dtypes.bfloat16]


@settings(deadline=None)
@given(
    st.lists(arrays(np.float32, st.integers(1, 40), elements=st.floats(width=32, allow_nan=False)),
             min_size=1, max_size=3),
    st.data(),
)  # fmt: skip
def test_the_threshold_is_the_kth_smallest_of_all(
    weights: list[np.ndarray], data: st.DataObject
) -> None:
    finite = [np.nan_to_num(item, posinf=1.0, neginf=1.0) for item in weights]
    ordered = np.sort(np.abs(np.concatenate(finite)))
    k = data.draw(st.integers(1, ordered.size))
    assert kth_smallest_magnitude([ir.tensor(item) for item in finite], k) == ordered[k - 1]


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_threshold_is_exact_in_every_dtype(dtype: type) -> None:
    array = np.random.default_rng(0).standard_normal((40, 25)).astype(dtype)
    ordered = np.sort(np.abs(array.astype(np.float64)).reshape(-1))
    for k in (1, 17, 500, 1000):
        assert kth_smallest_magnitude([ir.tensor(array)], k) == ordered[k - 1]


def two_weights(first: np.ndarray, second: np.ndarray) -> ir.Model:
    model = ir.from_onnx_text(
        """
        < ir_version: 10, opset_import: ["" : 20] >
        g (float[1, 8] x) => (float[1, 8] z) {
            [one] y = MatMul (x, a)
            [two] z = MatMul (y, b)
        }
        """
    )
    for node, (name, array) in zip(model.graph, (("a", first), ("b", second)), strict=True):
        value = ir.Value(name=name, const_value=ir.tensor(array, name=name))
        model.graph.register_initializer(value)
        node.replace_input_with(1, value)
    return model


def weights_of(model: ir.Model) -> tuple[np.ndarray, np.ndarray]:
    first, second = (model.graph.initializers[name].const_value for name in "ab")
    return first.numpy(), second.numpy()


def run(model: ir.Model, **options: object) -> PassResult:
    return PruneMagnitude(**{"min_elements": 1, **options}).run(model, PassContext())


def pair() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(5)
    return (
        random.standard_normal((8, 8)).astype(np.float32),
        (random.standard_normal((8, 8)) * 10).astype(np.float32),
    )


def test_each_tensor_reaches_the_sparsity() -> None:
    first, second = pair()
    model = two_weights(first, second)
    result = run(model, sparsity=0.25)
    pruned = weights_of(model)
    assert [int((item == 0).sum()) for item in pruned] == [16, 16]
    assert result.details["sparsity"] == 0.25
    assert result.details["zeros"] == result.details["set_to_zero"] == 32
    for before, after in zip((first, second), pruned, strict=True):
        kept = after != 0
        np.testing.assert_array_equal(after[kept], before[kept])
        assert np.abs(before[~kept]).max() < np.abs(before[kept]).min()


def test_global_scope_takes_from_the_smaller_weight() -> None:
    model = two_weights(*pair())
    result = run(model, sparsity=0.5, scope="global")
    zeros = [int((item == 0).sum()) for item in weights_of(model)]
    assert sum(zeros) == 64
    assert zeros[0] > zeros[1]
    assert result.details["sparsity"] == 0.5


def test_a_threshold_is_inclusive_and_the_source_is_untouched() -> None:
    first = np.array([[0.5, -0.5, 0.51], [1.0, -0.1, 0.0]], np.float32)
    model = two_weights(first, first.copy())
    tensor = model.graph.initializers["a"].const_value
    result = run(model, threshold=0.5)
    np.testing.assert_array_equal(
        weights_of(model)[0], np.array([[0, 0, 0.51], [1.0, 0, 0]], np.float32)
    )
    assert first[0, 0] == tensor.numpy()[0, 0] == np.float32(0.5)
    assert result.details["set_to_zero"] == 6
    assert result.details["zeros"] == 8


def test_ties_are_stated() -> None:
    first = np.array([[1, 1, 1, 2]], np.float32)
    result = run(two_weights(first, first.copy()), sparsity=0.25)
    assert result.details["sparsity"] == 0.75


def test_nothing_small_enough_changes_nothing() -> None:
    model = two_weights(*pair())
    tensor = model.graph.initializers["a"].const_value
    result = run(model, threshold=0.0)
    assert not result.modified
    assert model.graph.initializers["a"].const_value is tensor


def test_weights_that_are_not_finite_are_refused() -> None:
    first, second = pair()
    first[0, 0] = np.nan
    result = run(two_weights(first, second), sparsity=0.5)
    assert result.details["count"] == 1
    assert "not finite" in result.refusals[0].reason


def test_skip_and_size() -> None:
    assert run(two_weights(*pair()), sparsity=0.5, skip=("o*",)).details["count"] == 1
    assert not run(two_weights(*pair()), sparsity=0.5, min_elements=65).modified


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"threshold": "1", "sparsity": "0.5"},
        {"sparsity": "0"},
        {"sparsity": "1"},
        {"sparsity": "nan"},
        {"threshold": "-1"},
        {"threshold": "inf"},
        {"threshold": "nan"},
    ],
)
def test_wrong_options_are_usage_errors(options: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        PruneMagnitude.from_options(options)
