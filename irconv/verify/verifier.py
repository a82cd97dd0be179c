"""The verdict: do an artifact's outputs lie within tolerance of the golden ones?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from irconv.runtime.base import Level, Value
from irconv.verify.golden import Golden, describe_weakness
from irconv.verify.metrics import OutputMetrics, compare_outputs
from irconv.verify.tolerance import Tolerance

__all__ = ["OutputVerdict", "Verdict", "Verification", "judge", "not_run"]

Verdict = Literal["pass", "fail", "not-run"]

_EXACT = Tolerance(0.0, "exact")
_WEAKNESS = {
    "nan": "it is NaN in the source framework",
    "constant": "every element of every sample is one and the same value",
}


@dataclass(frozen=True)
class OutputVerdict:
    """How one output fared.

    Attributes:
        name: The output's name.
        metrics: Its distance from the golden.
        tolerance: How far it may be off, and why that far.
        ok: Whether it is within.
        reason: Why it is not, or what weakens the comparison; else empty.
    """

    name: str
    metrics: OutputMetrics
    tolerance: Tolerance
    ok: bool
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the verdict as it stands in a manifest; undefined numbers are null."""
        metrics = self.metrics
        comparable = not metrics.problem
        document: dict[str, Any] = {
            "name": self.name,
            "max_abs": _number(metrics.max_abs) if comparable else None,
            "max_rel": _number(metrics.max_rel) if comparable else None,
            "cosine": _number(metrics.cosine) if comparable else None,
            "snr_db": _number(metrics.snr_db) if comparable else None,
            "tolerance": _number(self.tolerance.value),
            "basis": self.tolerance.basis,
            "ok": self.ok,
            "elements": metrics.elements,
            "mismatched": metrics.mismatched if comparable else None,
        }
        if metrics.top1 is not None and comparable:
            document["top1"] = _number(metrics.top1)
        if metrics.nonfinite_mismatches:
            document["nonfinite_mismatches"] = metrics.nonfinite_mismatches
        if metrics.expected_nan:
            document["expected_nan"] = metrics.expected_nan
        if self.reason:
            document["reason"] = self.reason
        return document


@dataclass
class Verification:
    """What was run, what it was held against, and how it came out.

    Attributes:
        level: What was run; see :data:`irconv.runtime.base.Level`.
        verdict: ``pass``, ``fail`` or ``not-run``.
        reason: Why it failed or was not run; what to know about a pass; may be empty.
        reference: What computed the golden outputs.
        outputs: One verdict per output.
    """

    level: Level
    verdict: Verdict
    reason: str = ""
    reference: Mapping[str, str] = field(default_factory=dict)
    outputs: list[OutputVerdict] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return the manifest's ``verification``."""
        return {
            "level": self.level,
            "verdict": self.verdict,
            "reason": self.reason,
            "reference": dict(self.reference),
            "outputs": [output.to_json() for output in self.outputs],
        }


def not_run(reason: str, level: Level = "none") -> Verification:
    """Return the verification of something that was not run."""
    return Verification(level, "not-run", reason)


def judge(
    golden: Golden,
    actual: Sequence[Mapping[str, Value]],
    tolerances: Mapping[str, Tolerance],
    *,
    level: Level,
    reference: Mapping[str, str],
) -> Verification:
    """Judge outputs against a golden.

    A generated golden whose outputs are NaN anywhere, or constant throughout, proves nothing
    and therefore fails. A golden from real data is taken as it is: NaN positions must agree,
    and what is constant is named in the reason.

    Args:
        golden: Inputs and expected outputs.
        actual: Outputs of what is judged, one mapping per sample.
        tolerances: By output name; an output without one must agree exactly.
        level: What was run.
        reference: What computed the golden outputs.
    """
    compared = compare_outputs(golden.outputs, actual)
    outputs = [
        _judge_one(name, metrics, tolerances.get(name, _EXACT))
        for name, metrics in compared.items()
    ]
    failed = [output for output in outputs if not output.ok]
    weakness = describe_weakness(golden)
    fatal = _fatal_weakness(golden, weakness)
    reasons = [f"output {output.name!r}: {output.reason}" for output in failed]
    if fatal:
        reasons.append(fatal)
    elif weakness:
        reasons += [
            f"output {n!r} proves little: {_WEAKNESS[kind]}" for n, kind in weakness.items()
        ]
    if not golden.inputs:
        reasons.append("there is no sample to judge by")
    passed = bool(golden.inputs) and not failed and not fatal
    return Verification(
        level, "pass" if passed else "fail", "; ".join(reasons), dict(reference), outputs
    )


def _judge_one(name: str, metrics: OutputMetrics, tolerance: Tolerance) -> OutputVerdict:
    reason = ""
    if metrics.problem:
        reason = metrics.problem
    elif metrics.nonfinite_mismatches:
        reason = f"{metrics.nonfinite_mismatches} elements differ in being NaN or infinite"
    elif metrics.mismatched and not (tolerance.value > 0 and metrics.max_abs <= tolerance.value):
        allowed = f"{tolerance.value:.3g}" if tolerance.value else "nothing"
        reason = (
            f"{metrics.mismatched} of {metrics.elements} elements differ, by up to "
            f"{metrics.max_abs:.3g}; allowed is {allowed} ({tolerance.basis})"
        )
    return OutputVerdict(name, metrics, tolerance, not reason, reason)


def _fatal_weakness(golden: Golden, weakness: Mapping[str, str]) -> str:
    if golden.origin != "generated":
        return ""
    way_out = "give real inputs with --data"
    nan = [name for name, kind in weakness.items() if kind == "nan"]
    if nan:
        names = ", ".join(map(repr, nan))
        return f"on generated inputs the source framework itself gives NaN for {names}; {way_out}"
    names_all = {name for sample in golden.outputs for name in sample}
    if names_all and names_all == set(weakness):
        return (
            "on generated inputs every output is one constant value, so that agreement proves "
            f"nothing; {way_out}"
        )
    return ""


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
