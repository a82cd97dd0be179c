from __future__ import annotations

import numpy as np
import pytest

from irconv.errors import InputError
from irconv.runtime.base import TensorSpec
from irconv.runtime.values import save_samples
from irconv.verify.data import load_data

SPECS = [TensorSpec("x", "float32", ("N", 3)), TensorSpec("ids", "int64", ("N",))]
GOOD = {"x": np.ones((2, 3), np.float32), "ids": np.array([1, 2])}


def save(path, **changes):
    np.savez(path, **{k: v for k, v in (GOOD | changes).items() if v is not None})
    return path


def test_one_file_is_one_sample(tmp_path):
    (sample,) = load_data(save(tmp_path / "a.npz"), SPECS)
    assert list(sample) == ["x", "ids"]
    np.testing.assert_array_equal(sample["ids"], [1, 2])


def test_a_folder_of_files_is_sorted_samples(tmp_path):
    save(tmp_path / "b.npz", ids=np.array([5, 6]))
    save(tmp_path / "a.npz")
    assert [s["ids"].tolist() for s in load_data(tmp_path, SPECS)] == [[1, 2], [5, 6]]


def test_a_folder_of_npy_files_is_one_sample(tmp_path):
    for name, array in GOOD.items():
        np.save(tmp_path / f"{name}.npy", array)
    assert len(load_data(tmp_path, SPECS)) == 1
    save(tmp_path / "a.npz")
    with pytest.raises(InputError, match="both"):
        load_data(tmp_path, SPECS)


def test_a_file_of_ours_may_hold_several(tmp_path):
    save_samples(tmp_path / "many.npz", [GOOD, GOOD, GOOD])
    assert len(load_data(tmp_path / "many.npz", SPECS)) == 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"x": None}, "lacks input 'x'"),
        ({"extra": np.ones(1)}, "has 'extra', which is no input"),
        ({"x": np.ones((2, 4), np.float32)}, r"its shape is \[2,4\]"),
        ({"x": np.ones((2, 3, 1), np.float32)}, r"its shape is \[2,3,1\]"),
        ({"x": np.ones((3, 3), np.float32)}, "dimension 'N' is 2 here and 3 in 'x'"),
        ({"ids": np.array([1.5, 2.0])}, "would not survive as int64"),
        ({"ids": np.array(["a", "b"])}, "it is string"),
        ({"x": np.full((2, 3), 1e300)}, "would not survive as float32"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_is_expected(changes, words, tmp_path):
    with pytest.raises(InputError, match=words) as failure:
        load_data(save(tmp_path / "a.npz", **changes), SPECS)
    assert "expects" in failure.value.hint or "inputs are" in failure.value.hint


def test_lossless_conversions(tmp_path):
    path = save(tmp_path / "a.npz", x=np.ones((2, 3)), ids=np.array([1, 2], np.int8))
    (sample,) = load_data(path, SPECS)
    assert (sample["x"].dtype, sample["ids"].dtype) == (np.float32, np.int64)
    narrow = [TensorSpec("x", "float32", None), TensorSpec("ids", "uint8", (2,))]
    assert load_data(path, narrow)[0]["ids"].dtype == np.uint8
    save(path, ids=np.array([-1, 2]))
    with pytest.raises(InputError, match="uint8"):
        load_data(path, narrow)


def test_nothing_there(tmp_path):
    with pytest.raises(InputError, match="no sample"):
        load_data(tmp_path, SPECS)
    with pytest.raises(InputError, match="there is no file"):
        load_data(tmp_path / "missing.npz", SPECS)
