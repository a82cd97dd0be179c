"""Models that are no models: whatever a backend does with them, it must not crash."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["BAD_MODELS"]

_HEADER = '< ir_version: 9, opset_import: ["" : 18] >\n'

_UNDEFINED = "g (float[N, 4] x) => (float[N, 4] y) { y = Add (x, nowhere) }"
_CYCLIC = "g (float[N, 4] x) => (float[N, 4] y) { a = Add (x, b)  b = Neg (a)  y = Neg (b) }"
_MISSHAPED = """g (float[N, 4] x) => (float[N, 2] y)
<float[3, 2] w = {1.0, 2.0, 3.0, 4.0, 5.0, 6.0}> { y = MatMul (x, w) }"""
_MISTYPED = """g (float[N, 4] x) => (float[N, 4] y)
<int64[4] w = {1, 2, 3, 4}> { y = Mul (x, w) }"""
_UNKNOWN = "g (float[N, 4] x) => (float[N, 4] y) { y = NoSuchOperator (x) }"

BAD_MODELS: Mapping[str, str] = {
    "undefined-value": _HEADER + _UNDEFINED,
    "cyclic-graph": _HEADER + _CYCLIC,
    "shapes-that-do-not-fit": _HEADER + _MISSHAPED,
    "dtypes-that-do-not-fit": _HEADER + _MISTYPED,
    "unknown-operator": _HEADER + _UNKNOWN,
}
"""ONNX text by name; each has one input ``x`` of dtype float32 and shape ``[N, 4]``."""
