"""What passes did to the numbers, held against what they declare to do.

A bit-exact pass must leave every output equal to the last bit; a real-arithmetic pass may move
outputs within the tolerance derived from the model's noise floor; a lossy pass is not held to
anything here. The same holds for the tensors inside the model that a pass left their name and a
reader (:mod:`irconv.graph.correspondence`), if these are compared too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir

from irconv.errors import IrconvError
from irconv.graph.fingerprint import fingerprint
from irconv.passes.base import Effect, Pass
from irconv.runtime.base import Feeds, Value
from irconv.verify.metrics import OutputMetrics, compare_outputs
from irconv.verify.movement import Movement, OpenReference, first_movement, movement_limits
from irconv.verify.verifier import Verdict

__all__ = ["Change", "ChangeJudge", "Outputs", "ReferenceOutputs", "State", "in_words", "verified"]

Outputs = Sequence[Mapping[str, Value]]
_LONGEST = 240
"""Characters of a runtime's message that a record keeps."""


@dataclass(frozen=True)
class State:
    """A model and its outputs on every sample.

    Attributes:
        model: The model; where it is the one before, a snapshot that shares its tensors.
        outputs: Its outputs in the reference runtime, one mapping a sample.
    """

    model: ir.Model
    outputs: Outputs


@dataclass(frozen=True)
class Change:
    """What was seen between two states.

    Attributes:
        violation: What moved further than it may, and how far; empty where nothing did.
        not_compared: Why the tensors inside were not compared; empty where they were, or were
            not to be.
    """

    violation: str = ""
    not_compared: str = ""


class ReferenceOutputs:
    """The reference outputs of the model as it is now, computed once per state.

    Args:
        open_reference: Opens a model in the reference runtime, without its optimizations.
        samples: What it is run on.
    """

    def __init__(self, open_reference: OpenReference, samples: Sequence[Feeds]) -> None:
        self._open_reference = open_reference
        self._samples = samples
        self._state: int | None = None
        self._outputs: Outputs = ()

    def of(self, model: ir.Model) -> Outputs:
        """Return the outputs of ``model`` for every sample.

        Raises:
            IrconvError: If it does not run.
        """
        state = fingerprint(model)
        if state != self._state:
            with self._open_reference(model) as runner:
                self._outputs = [runner.run(sample) for sample in self._samples]
            self._state = state
        return self._outputs


class ChangeJudge:
    """Compares two states of a model and holds the change to an effect.

    The reference must run without optimizations of its own, or those would see to it that equal
    graphs round unequally.

    Args:
        open_reference: Opens a model in the reference runtime, without its optimizations.
        samples: What both states were run on.
        inside: Whether to compare tensors inside the model, and not its outputs alone.
    """

    def __init__(
        self, open_reference: OpenReference, samples: Sequence[Feeds], *, inside: bool
    ) -> None:
        self._open_reference = open_reference
        self._samples = samples
        self._inside = inside

    def of(self, before: State, after: State, effect: Effect) -> Change:
        """Return what moved further than ``effect`` allows, outputs first.

        Args:
            before: The state before.
            after: The state now.
            effect: What was declared; nothing is held to ``lossy``.
        """
        if effect == "lossy":
            return Change()
        moved = self._moved_output(before, after, effect)
        movement, not_compared = None, ""
        if self._inside:
            try:
                movement = self._moved_inside(before, after, effect)
            except IrconvError as error:
                not_compared = f"tensors inside the model: {error.what[:_LONGEST]}"
        if movement is None:
            return Change(moved, not_compared)
        what = f"{moved}; the first tensor that moved is " if moved else "tensor "
        return Change(
            f"{what}{movement}; a pass with effect {effect!r} may move it by {movement.limit:.3g}"
        )

    def _moved_output(self, before: State, after: State, effect: Effect) -> str:
        """Return which output moved further than it may, and how far; empty where none did."""
        compared = compare_outputs(before.outputs, after.outputs)
        changed = {name: metrics for name, metrics in compared.items() if not metrics.equal}
        allowed = self._limits(before, changed) if effect == "real-arithmetic" else {}
        for name, metrics in changed.items():
            limit = allowed.get(name, 0.0)
            if metrics.problem:
                return f"output {name!r}: {metrics.problem}"
            if metrics.nonfinite_mismatches or metrics.max_abs > limit or not limit:
                return (
                    f"output {name!r} moved by {metrics.max_abs:.3g} "
                    f"({metrics.mismatched} of {metrics.elements} elements); a pass with effect "
                    f"{effect!r} may move it by {limit:.3g}"
                )
        return ""

    def _limits(self, before: State, changed: Mapping[str, OutputMetrics]) -> Mapping[str, float]:
        if not changed:
            return {}
        return movement_limits(
            before.model, changed, before.outputs, self._samples, self._open_reference
        )

    def _moved_inside(self, before: State, after: State, effect: Effect) -> Movement | None:
        return first_movement(
            before.model,
            after.model,
            self._samples,
            self._open_reference,
            exact=effect == "bit-exact",
        )


def verified(change: Change, passes: Sequence[Pass], reason: str = "") -> dict[str, Any]:
    """Return how the comparison around passes came out, as it stands in a record's details.

    Args:
        change: What was seen.
        passes: The passes between the two states that were compared, the last one last.
        reason: Why nothing was compared; empty where something was.

    Returns:
        ``verdict``, ``reason`` and ``passes``; ``not_compared`` where only outputs could be.
    """
    verdict: Verdict = "not-run" if reason else "fail" if change.violation else "pass"
    document: dict[str, Any] = {
        "verdict": verdict,
        "reason": reason or change.violation,
        "passes": [str(pass_) for pass_ in passes],
    }
    if change.not_compared:
        document["not_compared"] = change.not_compared
    return document


def in_words(entry: Mapping[str, Any]) -> str:
    """Return an entry that :func:`verified` made as a sentence; empty where all is well."""
    *earlier, last = entry["passes"]
    together = f" (together with {', '.join(earlier)} before it)" if earlier else ""
    if entry["verdict"] == "fail":
        return f"pass {last}{together} moved what it may not: {entry['reason']}"
    if entry["verdict"] == "not-run":
        return f"pass {last} was not verified: {entry['reason']}"
    if "not_compared" in entry:
        return f"pass {last} was verified by the outputs alone: {entry['not_compared']}"
    return ""
