"""``--verify-each`` over a legalization, whose passes cannot be taken back.

A target needs what its legalization does, so a pass that moves a tensor further than it declares
stays, and its record says so; the artifact itself is judged against the source afterwards. On the
way to a target a model may hold operators that the reference runtime does not know. It cannot be
run there, and the next model that can is compared with the last one before.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from irconv.errors import IrconvError
from irconv.graph.snapshot import snapshot
from irconv.passes.base import Effect, Pass
from irconv.passes.manager import PassRecord, PassViolation
from irconv.runtime.base import Feeds
from irconv.verify.change import Change, ChangeJudge, ReferenceOutputs, State, verified
from irconv.verify.movement import OpenReference

__all__ = ["LegalizationObserver"]

_LOSSY = "a lossy pass is among them, which is not held to the values before it"


class LegalizationObserver:
    """Compares the values of the model before and after each pass that changed it.

    The record of each gets ``details["verified"]`` (:func:`irconv.verify.change.verified`): its
    verdict is ``fail`` if an output, or a tensor inside, moved further than the pass declares,
    and ``not-run`` with the reason if the model does not run after the pass. The next pass after
    which it runs is then judged together with those before it, by the widest of their effects.

    Args:
        open_reference: Opens a model in the reference runtime, without its optimizations.
        samples: What it is run on.
        strict: Whether a pass that moves something further than it declares stops the run.
    """

    def __init__(
        self, open_reference: OpenReference, samples: Sequence[Feeds], *, strict: bool = False
    ) -> None:
        self._strict = strict
        self._judge = ChangeJudge(open_reference, samples, inside=True)
        self._now = ReferenceOutputs(open_reference, samples)
        self._last: State | None = None
        self._cannot_start = ""
        self._since: list[Pass] = []

    def before(self, pass_: Pass, model: ir.Model) -> None:
        """Run the model that the legalization was given."""
        del pass_
        if self._last is not None or self._cannot_start:
            return
        state = self._run(model)
        if isinstance(state, State):
            self._last = state
        else:
            self._cannot_start = state

    def after(self, pass_: Pass, model: ir.Model, record: PassRecord) -> None:
        """Compare with the last model that ran.

        Raises:
            PassViolation: If something moved further than it may, and that is to stop the run.
        """
        if not record.modified:
            return
        self._since.append(pass_)
        state = self._run(model)
        if not isinstance(state, State):
            reason = f"the model after it does not run in the reference runtime: {state}"
            record.details["verified"] = verified(Change(), self._since, reason)
            return
        passes, last = self._since, self._last
        self._since, self._last = [], state
        if last is None:
            reason = f"no model before it runs in the reference runtime: {self._cannot_start}"
            record.details["verified"] = verified(Change(), passes, reason)
            return
        effect = _widest(passes)
        change = self._judge.of(last, state, effect)
        reason = _LOSSY if effect == "lossy" else ""
        record.details["verified"] = verified(change, passes, reason)
        if change.violation and self._strict:
            raise PassViolation(change.violation)

    def _run(self, model: ir.Model) -> State | str:
        """Return the state of the model, or why it does not run."""
        try:
            return State(snapshot(model), self._now.of(model))
        except IrconvError as error:
            return error.what


def _widest(passes: Sequence[Pass]) -> Effect:
    effects = {pass_.effect for pass_ in passes}
    widest: tuple[Effect, ...] = ("lossy", "real-arithmetic", "bit-exact")
    return next(effect for effect in widest if effect in effects)
