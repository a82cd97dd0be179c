from __future__ import annotations

import json

import ml_dtypes
import numpy as np
import onnx_ir as ir
import pytest

from irconv.errors import InputError, MismatchError
from irconv.runtime.values import save_samples
from irconv.verify.golden import (
    Golden,
    assert_discriminating,
    describe_weakness,
    load_golden,
    save_golden,
)
from irconv.verify.tolerance import Tolerance

VALUES = {
    "f": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.ones((2,), ml_dtypes.bfloat16),
    "s": np.array(["ä", ""], object),
    "q": [np.zeros(2, np.int64), np.ones((1, 1), np.int64)],
    "none": None,
    "map": {1: np.asarray(0.5), "k": np.asarray(2.0)},
}


def make() -> Golden:
    return Golden([VALUES, VALUES], [{"y": np.eye(3)}] * 2, "data", None, {"runtime": "torch"})


def test_round_trip(tmp_path):
    save_golden(tmp_path / "golden", make())
    loaded = load_golden(tmp_path / "golden")
    assert loaded.digest() == make().digest()
    assert (loaded.origin, loaded.seed, loaded.reference) == ("data", None, {"runtime": "torch"})
    assert loaded.inputs[0]["b"].dtype == ml_dtypes.bfloat16


def test_files_are_byte_identical(tmp_path):
    for name in ("a", "b"):
        save_golden(tmp_path / name, make())
    for file in ("golden.json", "inputs.npz", "outputs.npz"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


@pytest.mark.parametrize(
    "change",
    [
        {"f": np.arange(6, dtype=np.float32).reshape(3, 2)},
        {"f": np.arange(6, dtype=np.int32).reshape(2, 3)},
        {"f": np.nextafter(VALUES["f"], np.float32(9))},
        {"s": np.array(["ä", " "], object)},
        {"q": VALUES["q"][:1]},
        {"extra": None},
        {"map": {1: np.asarray(0.5)}},
    ],
)
def test_every_change_changes_the_digest(change, tmp_path):
    save_golden(tmp_path, make())
    save_samples(tmp_path / "inputs.npz", [VALUES | change, VALUES])
    with pytest.raises(MismatchError, match="digest"):
        load_golden(tmp_path)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"schema": "irconv-golden/1", "origin": "made-up"}', "\x00", "{" * 9999],
)
def test_broken_documents_are_bad_input(text, tmp_path):
    save_golden(tmp_path, make())
    (tmp_path / "golden.json").write_text(text)
    with pytest.raises(InputError, match=r"golden\.json"):
        load_golden(tmp_path)


@pytest.mark.parametrize(
    ("key", "value"), [("seed", "x"), ("samples", None), ("reference", []), ("sha256", 1)]
)
def test_fields_of_the_wrong_type_are_bad_input(key, value, tmp_path):
    save_golden(tmp_path, make())
    document = json.loads((tmp_path / "golden.json").read_text()) | {key: value}
    (tmp_path / "golden.json").write_text(json.dumps(document))
    with pytest.raises(InputError):
        load_golden(tmp_path)


def test_missing_folder_is_bad_input(tmp_path):
    with pytest.raises(InputError, match=r"no golden\.json"):
        load_golden(tmp_path / "nothing")


def test_weakness():
    outputs = [
        {"nan": np.array([1.0, np.nan]), "flat": np.ones(8), "few": np.ones(3), "good": np.eye(3)},
        {"nan": np.array([1.0, 2.0]), "flat": np.ones(8), "few": np.ones(3), "good": np.eye(3)},
    ]
    golden = Golden([{"x": np.ones(1)}] * 2, outputs, "data", None, {})
    assert describe_weakness(golden) == {"nan": "nan", "flat": "constant"}


def test_a_golden_that_no_weight_moves_is_refused(open_reference, make_golden):
    model = ir.from_onnx_text("""
        < ir_version: 10, opset_import: ["" : 20] >
        g (float[2, 4] x) => (float[2, 3] y)
        < float[4, 3] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12} > { y = MatMul (x, w) }
    """)
    tolerances = {"y": Tolerance(1e-5, "a test")}
    good = make_golden(model, [{"x": np.ones((2, 4), np.float32)}])
    assert_discriminating(model, good, open_reference, tolerances)
    blind = make_golden(model, [{"x": np.zeros((2, 4), np.float32)}])
    with pytest.raises(InputError, match="'w' changed by 1% stays within tolerance"):
        assert_discriminating(model, blind, open_reference, tolerances)
    weight = model.graph.initializers["w"].const_value.numpy()
    assert weight.ravel().tolist() == list(range(1, 13)), "the model is left as it was"
