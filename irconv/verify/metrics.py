"""How far two sets of outputs are apart.

Everything is accumulated in float64 and in chunks, so that outputs of any size need little
memory beside themselves. Floating-point values are measured, everything else is compared
exactly. Equal NaN and infinity positions agree; unequal ones are counted on their own, because
no distance is defined for them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from irconv.runtime.base import Array, Value
from irconv.runtime.values import dtype_name

__all__ = ["OutputMetrics", "array_kind", "arrays_of", "compare_outputs"]

_CHUNK = 1 << 20
_RELATIVE_GUARD = 1e-3


@dataclass(frozen=True)
class OutputMetrics:
    """The distance between expected and actual values of one output, over all samples.

    Attributes:
        problem: Why the two cannot be compared at all, such as a different shape; else empty.
        elements: Numbers compared.
        mismatched: Elements that are not exactly equal.
        nonfinite_mismatches: Elements of which one is NaN or infinite and the other differs.
        expected_nan: NaN elements that were expected.
        exact: Whether the output holds nothing that rounds: integers, booleans, strings.
        largest: Largest magnitude of a finite expected element.
        max_abs: Largest absolute difference.
        max_rel: Largest difference relative to the expected element, which counts as at least
            1e-3 of the tensor's largest one, so that elements near zero mean something.
        cosine: Cosine of the angle between expected and actual; None if either is zero.
        snr_db: 20 log10(||expected|| / ||difference||); None if either is zero.
        top1: Share of rows (along the last axis) whose largest element is at the same place;
            None unless the output is floating-point, has rank 2 or more and rows of 2 or more.
    """

    problem: str
    elements: int
    mismatched: int
    nonfinite_mismatches: int
    expected_nan: int
    exact: bool
    largest: float
    max_abs: float
    max_rel: float
    cosine: float | None
    snr_db: float | None
    top1: float | None

    @property
    def equal(self) -> bool:
        """Whether every element is exactly equal."""
        return not self.problem and self.mismatched == 0


def array_kind(array: Array) -> Literal["float", "exact"]:
    """Say whether an array holds numbers that round, or values that are compared exactly."""
    name = dtype_name(array.dtype)
    return "float" if name.startswith(("float", "bfloat", "complex")) else "exact"


def arrays_of(value: Value) -> Iterator[Array]:
    """Yield every tensor inside a value: itself, or the leaves of a sequence or map."""
    if value is None:
        return
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from arrays_of(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from arrays_of(item)
    else:
        yield np.asarray(value)


def compare_outputs(
    expected: Sequence[Mapping[str, Value]], actual: Sequence[Mapping[str, Value]]
) -> dict[str, OutputMetrics]:
    """Compare outputs sample by sample.

    Args:
        expected: One mapping from output name to value per sample.
        actual: The same from what is judged.

    Returns:
        Metrics of every output that either side has, expected outputs first.
    """
    names = list(dict.fromkeys(name for sample in (*expected, *actual) for name in sample))
    return {name: _compare_one(name, expected, actual) for name in names}


def _compare_one(
    name: str, expected: Sequence[Mapping[str, Value]], actual: Sequence[Mapping[str, Value]]
) -> OutputMetrics:
    total = _Accumulator()
    if len(expected) != len(actual):
        total.problem = f"{len(expected)} samples were expected, {len(actual)} came"
    for number, (wanted, found) in enumerate(zip(expected, actual, strict=False)):
        if name not in wanted:
            total.problem = "the source has no such output"
        elif name not in found:
            total.problem = "it is missing"
        else:
            total.add(wanted[name], found[name])
        if total.problem:
            total.problem += f" (sample {number})" if len(expected) > 1 else ""
            break
    return total.metrics()


class _Accumulator:
    """Running sums over the tensors of one output."""

    def __init__(self) -> None:
        self.problem = ""
        self.elements = self.mismatched = self.nonfinite = self.expected_nan = 0
        self.exact = True
        self.largest = self.max_abs = self.max_rel = 0.0
        self.dot = self.expected_square = self.actual_square = self.difference_square = 0.0
        self.rows = self.rows_agreeing = 0

    def add(self, expected: Value, actual: Value) -> None:
        """Add a value of any kind."""
        if isinstance(expected, (list, tuple)) and isinstance(actual, (list, tuple)):
            if len(expected) != len(actual):
                self.problem = f"a sequence of {len(actual)} instead of {len(expected)} items"
                return
            for wanted, found in zip(expected, actual, strict=True):
                self.add(wanted, found)
        elif isinstance(expected, dict) and isinstance(actual, dict):
            if set(expected) != set(actual):
                self.problem = "the keys of a map differ"
                return
            for key, wanted in expected.items():
                self.add(wanted, actual[key])
        elif _container(expected) or _container(actual):
            if expected is not None or actual is not None:
                self.problem = f"{_describe(actual)} instead of {_describe(expected)}"
        else:
            self._add_array(np.asarray(expected), np.asarray(actual))

    def _add_array(self, expected: Array, actual: Array) -> None:
        wanted, found = _describe(expected), _describe(actual)
        if wanted != found:
            self.problem = self.problem or f"{found} instead of {wanted}"
            return
        self.elements += expected.size
        if dtype_name(expected.dtype) == "string":
            self.mismatched += sum(
                _text(a) != _text(b) for a, b in zip(expected.flat, actual.flat, strict=True)
            )
            return
        floating = array_kind(expected) == "float"
        self.exact = self.exact and not floating
        flat_expected, flat_actual = expected.reshape(-1), actual.reshape(-1)
        largest = _largest(flat_expected)
        self.largest = max(self.largest, largest)
        guard = _RELATIVE_GUARD * largest
        for start in range(0, expected.size, _CHUNK):
            part = slice(start, start + _CHUNK)
            self._add_chunk(flat_expected[part], flat_actual[part], guard, exact=not floating)
        if floating and expected.ndim >= 2 and expected.shape[-1] > 1 and expected.size:
            self._add_rows(expected, actual)

    def _add_chunk(self, expected: Array, actual: Array, guard: float, *, exact: bool) -> None:
        a, b = _as_float64(expected), _as_float64(actual)
        if exact:
            self.mismatched += int(np.count_nonzero(expected != actual))
        else:
            equal = (a == b) | (np.isnan(a) & np.isnan(b))
            self.mismatched += int(np.count_nonzero(~equal))
            finite = np.isfinite(a) & np.isfinite(b)
            self.nonfinite += int(np.count_nonzero(~finite & ~equal))
            self.expected_nan += int(np.count_nonzero(np.isnan(a)))
            if not finite.all():
                a, b = a[finite], b[finite]
        if not a.size:
            return
        difference = np.abs(b - a)
        self.max_abs = max(self.max_abs, float(difference.max()))
        scale = np.maximum(np.abs(a), guard)
        relative = np.divide(difference, scale, out=np.zeros_like(difference), where=scale > 0)
        if guard == 0 and difference.any():
            relative = np.full_like(difference, math.inf)
        self.max_rel = max(self.max_rel, float(relative.max()))
        self.dot += float(np.dot(a, b))
        self.expected_square += float(np.dot(a, a))
        self.actual_square += float(np.dot(b, b))
        self.difference_square += float(np.dot(difference, difference))

    def _add_rows(self, expected: Array, actual: Array) -> None:
        if dtype_name(expected.dtype).startswith("complex"):
            return
        width = expected.shape[-1]
        step = max(1, _CHUNK // width)
        rows_expected, rows_actual = expected.reshape(-1, width), actual.reshape(-1, width)
        for start in range(0, len(rows_expected), step):
            wanted = _native(rows_expected[start : start + step]).argmax(axis=1)
            found = _native(rows_actual[start : start + step]).argmax(axis=1)
            self.rows += len(wanted)
            self.rows_agreeing += int(np.count_nonzero(wanted == found))

    def metrics(self) -> OutputMetrics:
        """Return what was accumulated."""
        cosine = snr = None
        if self.expected_square > 0 and self.actual_square > 0:
            norms = math.sqrt(self.expected_square) * math.sqrt(self.actual_square)
            cosine = max(-1.0, min(1.0, self.dot / norms)) if math.isfinite(norms) else None
        if self.expected_square > 0 and self.difference_square > 0:
            snr = 10 * math.log10(self.expected_square) - 10 * math.log10(self.difference_square)
        return OutputMetrics(
            problem=self.problem,
            elements=self.elements,
            mismatched=self.mismatched,
            nonfinite_mismatches=self.nonfinite,
            expected_nan=self.expected_nan,
            exact=self.exact,
            largest=self.largest,
            max_abs=self.max_abs,
            max_rel=self.max_rel,
            cosine=cosine,
            snr_db=snr,
            top1=self.rows_agreeing / self.rows if self.rows else None,
        )


def _container(value: Value) -> bool:
    return value is None or isinstance(value, (list, tuple, dict))


def _describe(value: Value) -> str:
    if value is None:
        return "an empty optional"
    if isinstance(value, (list, tuple)):
        return "a sequence"
    if isinstance(value, dict):
        return "a map"
    array = np.asarray(value)
    return f"{dtype_name(array.dtype)}[{','.join(map(str, array.shape))}]"


def _text(item: Any) -> str:
    return item.decode(errors="replace") if isinstance(item, bytes) else str(item)


def _as_float64(array: Array) -> Array:
    if array.dtype.kind == "c":
        return np.ascontiguousarray(array).view(array.real.dtype).astype(np.float64)
    return array.astype(np.float64)


def _native(array: Array) -> Array:
    return array if array.dtype.kind == "f" else array.astype(np.float32)


def _largest(flat: Array) -> float:
    largest = 0.0
    for start in range(0, flat.size, _CHUNK):
        chunk = np.abs(_as_float64(flat[start : start + _CHUNK]))
        finite = chunk[np.isfinite(chunk)]
        largest = max(largest, float(finite.max(initial=0.0)))
    return largest
