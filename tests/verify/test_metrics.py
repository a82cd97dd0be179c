from __future__ import annotations

import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from irconv.verify import metrics as metrics_module
from irconv.verify.metrics import compare_outputs

floats = hnp.arrays(
    np.float32,
    hnp.array_shapes(max_dims=3, max_side=5),
    elements=st.floats(-1e6, 1e6, width=32),
)


def compare(expected, actual):
    return compare_outputs([{"y": expected}], [{"y": actual}])["y"]


@given(floats)
def test_an_array_agrees_with_itself(array):
    found = compare(array, array.copy())
    assert found.equal
    assert found.max_abs == found.max_rel == 0
    assert found.snr_db is None
    assert found.top1 in (None, 1.0)


@given(floats, st.randoms(use_true_random=False))
def test_metrics_match_their_definitions(array, random):
    other = (array.astype(np.float64) * (1 + random.uniform(-0.1, 0.1)) + 0.5).astype(np.float32)
    a, b = array.astype(np.float64).ravel(), other.astype(np.float64).ravel()
    found = compare(array, other)
    assert found.max_abs == pytest.approx(np.abs(a - b).max())
    guard = 1e-3 * np.abs(a).max()
    scale = np.maximum(np.abs(a), guard)
    if scale.min() > 0:
        assert found.max_rel == pytest.approx((np.abs(a - b) / scale).max())
    if a.any() and b.any() and (a - b).any():
        norms = np.linalg.norm(a) * np.linalg.norm(b)
        assert found.cosine == pytest.approx(float(a @ b / norms), abs=1e-9)
        ratio = np.linalg.norm(a) / np.linalg.norm(a - b)
        assert found.snr_db == pytest.approx(20 * math.log10(ratio))


@settings(max_examples=25)
@given(hnp.arrays(np.float32, (7, 6), elements=st.floats(-9, 9, width=32)), st.integers(1, 20))
def test_chunks_do_not_change_the_result(array, chunk):
    other = array[::-1].copy()
    whole = compare(array, other)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics_module, "_CHUNK", chunk)
        parts = compare(array, other)
    assert parts.mismatched == whole.mismatched
    assert parts.top1 == whole.top1
    assert parts.max_abs == whole.max_abs
    assert (parts.cosine is None) == (whole.cosine is None)
    if whole.cosine is not None:
        assert parts.cosine == pytest.approx(whole.cosine)


def test_equal_nan_and_infinity_agree_and_others_are_counted():
    expected = np.array([np.nan, np.inf, -np.inf, 1.0, 2.0, np.nan], np.float32)
    assert compare(expected, expected.copy()).equal
    actual = np.array([np.nan, -np.inf, -np.inf, np.nan, 2.5, 0.0], np.float32)
    found = compare(expected, actual)
    assert found.nonfinite_mismatches == 3
    assert found.expected_nan == 2
    assert found.max_abs == 0.5


@pytest.mark.parametrize(
    ("expected", "actual", "problem"),
    [
        (np.zeros((2, 3), np.float32), np.zeros((3, 2), np.float32), "float32[3,2] instead of"),
        (np.zeros(2, np.float32), np.zeros(2, np.float64), "float64[2] instead of float32[2]"),
        ([np.zeros(2)], np.zeros(2), "instead of a sequence"),
        ([np.zeros(2)], [np.zeros(2), np.zeros(2)], "a sequence of 2 instead of 1 items"),
        (None, np.zeros(2), "instead of an empty optional"),
        ({1: 0.5}, {2: 0.5}, "the keys of a map differ"),
        (np.array(["a"], object), np.array([1.0]), "float64[1] instead of string[1]"),
    ],
)
def test_what_cannot_be_compared_is_named(expected, actual, problem):
    assert problem in compare(expected, actual).problem


def test_missing_outputs_and_extra_outputs_and_samples_are_named():
    one = {"y": np.zeros(2)}
    assert compare_outputs([one], [{}])["y"].problem == "it is missing"
    assert compare_outputs([{}], [one])["y"].problem == "the source has no such output"
    assert "2 samples were expected" in compare_outputs([one, one], [one])["y"].problem


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.bool_, ml_dtypes.int4])
def test_integers_are_exact(dtype):
    array = np.array([0, 1, 1, 0]).astype(dtype)
    other = np.array([0, 1, 0, 0]).astype(dtype)
    assert compare(array, array.copy()).equal
    found = compare(array, other)
    assert (found.exact, found.mismatched, found.max_abs) == (True, 1, 1.0)


def test_large_integers_that_differ_by_one_are_noticed():
    big = np.array([2**62], np.int64)
    assert compare(big, big + 1).mismatched == 1


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.float16, ml_dtypes.float8_e4m3fn])
def test_short_floats_are_measured(dtype):
    found = compare(np.array([[1.0, 2.0]]).astype(dtype), np.array([[1.0, 2.5]]).astype(dtype))
    assert not found.exact
    assert found.max_abs == 0.5
    assert found.top1 == 1.0


def test_strings_sequences_maps_and_complex_numbers():
    assert compare(np.array(["a", "b"], object), np.array([b"a", b"b"])).equal
    assert compare(np.array(["a", "b"], object), np.array(["a", "c"])).mismatched == 1
    maps = [{0: 0.25, 1: 0.75}]
    assert compare(maps, [{0: 0.25, 1: 0.5}]).max_abs == 0.25
    assert compare(np.array([1 + 2j]), np.array([1 + 2.5j])).max_abs == 0.5
    assert compare(None, None).equal


def test_top1_counts_rows():
    expected = np.array([[0.1, 0.9], [0.8, 0.2], [0.4, 0.6], [0.5, 0.1]], np.float32)
    actual = np.array([[0.1, 0.9], [0.2, 0.8], [0.4, 0.6], [0.5, 0.1]], np.float32)
    assert compare(expected, actual).top1 == 0.75
    assert compare(expected[:, :1], actual[:, :1]).top1 is None
    assert compare(expected[0], actual[0]).top1 is None
