"""How exactly the reference interpreter computes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from irconv_coreml.interpreter.error_function import erf

Array = np.ndarray[Any, Any]
Interpret = Callable[..., dict[str, Array]]


def test_float16_is_stored_in_16_bits_and_computed_in_32(interpret: Interpret) -> None:
    x = np.array([[2048.0, 1.0, 1.0, 1.0]], np.float16)

    def build(mb: Any, x: Any) -> dict[str, Any]:
        return {"sum": mb.reduce_sum(x=x, axes=[1]), "step": mb.add(x=x, y=np.float16(1))}

    results = interpret(build, {"x": x})
    assert results["sum"].dtype == np.float16
    assert results["sum"][0] == np.float16(2051)
    assert results["step"][0, 0] == np.float16(2048)


@given(st.floats(-8, 8))
def test_error_function(x: float) -> None:
    assert erf(np.array([x]))[0] == pytest.approx(math.erf(x), rel=1e-10, abs=1e-13)


def test_error_function_of_special_values() -> None:
    values = erf(np.array([np.inf, -np.inf, np.nan, -0.0]))
    np.testing.assert_array_equal(values[:2], [1, -1])
    assert np.isnan(values[2])
    assert np.signbit(values[3])
