from __future__ import annotations

import json

import numpy as np
import pytest

from irconv.verify.golden import Golden
from irconv.verify.tolerance import Tolerance
from irconv.verify.verifier import judge, not_run

Y = np.arange(8, dtype=np.float32).reshape(2, 4)
LOOSE = {"y": Tolerance(0.1, "a test")}


def golden(outputs, origin="generated"):
    return Golden([{"x": np.zeros(1)}] * len(outputs), outputs, origin, 0, {"runtime": "torch"})


def verdict(expected, actual, tolerances=LOOSE, origin="generated"):
    return judge(
        golden([{"y": expected}], origin),
        [{"y": actual}],
        tolerances,
        level="artifact",
        reference={"runtime": "torch"},
    )


def test_the_manifest_keys_are_those_of_the_contract():
    document = verdict(Y, Y + np.float32(0.05)).to_json()
    assert set(document) == {"level", "verdict", "reason", "reference", "outputs"}
    assert document["verdict"] == "pass"
    assert document["level"] == "artifact"
    (output,) = document["outputs"]
    wanted = ("name", "max_abs", "max_rel", "cosine", "snr_db", "tolerance", "basis", "ok")
    assert set(wanted) <= set(output)
    assert output["max_abs"] == pytest.approx(0.05, rel=1e-4)
    assert output["top1"] == 1.0


@pytest.mark.parametrize(
    ("actual", "words"),
    [
        (Y + np.float32(0.2), "elements differ, by up to 0.2"),
        (Y.T.copy(), "instead of"),
        (np.full_like(Y, np.nan), "NaN or infinite"),
    ],
)
def test_a_failure_says_what_differs_and_is_valid_json(actual, words):
    found = verdict(Y, actual)
    assert found.verdict == "fail"
    assert "output 'y'" in found.reason
    assert words in found.reason
    json.dumps(found.to_json(), allow_nan=False)


def test_an_output_without_a_tolerance_must_agree_exactly():
    assert verdict(Y, Y.copy(), {}).verdict == "pass"
    assert verdict(Y, np.nextafter(Y, np.float32(9)), {}).verdict == "fail"


def test_integers_are_exact_even_beyond_double_precision():
    big = np.array([2**62], np.int64)
    assert verdict(big, big + 1, {"y": Tolerance(0.0, "exact")}).verdict == "fail"
    assert verdict(big, big + 1, {"y": Tolerance(2.0, "ties")}).verdict == "pass"


def test_generated_goldens_with_nan_fail_and_say_the_way_out():
    expected = np.where(Y > 6, np.nan, Y).astype(np.float32)
    found = verdict(expected, expected.copy())
    assert found.verdict == "fail"
    assert "NaN for 'y'" in found.reason
    assert "--data" in found.reason
    assert verdict(expected, expected.copy(), origin="data").verdict == "pass"
    assert "proves little" in verdict(expected, expected.copy(), origin="data").reason
    assert verdict(expected, Y, origin="data").verdict == "fail", "NaN positions must agree"


def test_generated_goldens_that_are_constant_fail():
    flat = np.full((2, 4), 3.0, np.float32)
    found = verdict(flat, flat.copy())
    assert found.verdict == "fail"
    assert "constant" in found.reason
    assert verdict(flat, flat.copy(), origin="recorded").verdict == "pass"
    assert verdict(flat[:1], flat[:1].copy()).verdict == "pass", "too few elements to tell"
    whole = np.zeros(20, np.int64)
    assert verdict(whole, whole.copy()).verdict == "pass", "integers may well be constant"


def test_one_constant_output_beside_a_good_one_is_only_named():
    both = [{"y": Y, "flat": np.zeros(9, np.float32)}]
    found = judge(golden(both), both, LOOSE, level="artifact", reference={})
    assert found.verdict == "pass"
    assert "'flat' proves little" in found.reason


def test_a_model_without_inputs_may_be_constant():
    outputs = [{"y": np.zeros(9, np.float32)}]
    found = judge(
        Golden([{}], outputs, "generated", 0, {}), outputs, {}, level="artifact", reference={}
    )
    assert found.verdict == "pass"


def test_no_sample_proves_nothing():
    assert judge(golden([]), [], {}, level="artifact", reference={}).verdict == "fail"


def test_not_run():
    document = not_run("no GPU here", "graph").to_json()
    assert (document["verdict"], document["level"]) == ("not-run", "graph")
    assert document["outputs"] == []
