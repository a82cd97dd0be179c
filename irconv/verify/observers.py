"""What looks on between passes: accuracy of lossy ones, verification, dumps."""

from __future__ import annotations

from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any

import onnx_ir as ir

from irconv.errors import IrconvError
from irconv.graph.atomic import output_errors
from irconv.graph.snapshot import snapshot
from irconv.passes.base import Pass
from irconv.passes.manager import PassRecord, PassViolation
from irconv.runtime.base import Feeds
from irconv.verify.change import ChangeJudge, Outputs, ReferenceOutputs, State, verified
from irconv.verify.metrics import OutputMetrics, compare_outputs
from irconv.verify.movement import OpenReference

__all__ = ["AccuracyObserver", "DumpObserver", "VerifyObserver"]


class AccuracyObserver:
    """Measures what lossy passes do to the outputs.

    Each record of a lossy pass gets ``details["accuracy"]``: by output name, ``max_abs``,
    ``cosine``, ``snr_db`` and, where rows have a largest element, ``top1``, all against the
    model just before the pass.

    Args:
        open_reference: Opens a model in the reference runtime.
        samples: What it is run on.

    Attributes:
        effects: By output name, the largest absolute difference so far from the model before
            the first lossy pass.
    """

    def __init__(self, open_reference: OpenReference, samples: Sequence[Feeds]) -> None:
        self.effects: dict[str, float] = {}
        self._now = ReferenceOutputs(open_reference, samples)
        self._before: Outputs = ()
        self._first: Outputs | None = None

    def before(self, pass_: Pass, model: ir.Model) -> None:
        """Compute the outputs before a lossy pass."""
        if pass_.effect == "lossy":
            self._before = self._now.of(model)
            if self._first is None:
                self._first = self._before

    def after(self, pass_: Pass, model: ir.Model, record: PassRecord) -> None:
        """Compare with the outputs after it.

        Raises:
            PassViolation: If the pass made an output that cannot be compared at all.
        """
        if pass_.effect != "lossy" or not record.modified:
            return
        after = self._now.of(model)
        assert self._first is not None, "before() ran"
        total = compare_outputs(self._first, after)
        step = compare_outputs(self._before, after)
        for name, metrics in step.items():
            if metrics.problem:
                raise PassViolation(f"output {name!r}: {metrics.problem}")
            if metrics.nonfinite_mismatches:
                raise PassViolation(f"output {name!r} became NaN or infinite")
        record.details["accuracy"] = {name: _accuracy(metrics) for name, metrics in step.items()}
        self.effects = {name: metrics.max_abs for name, metrics in total.items()}


def _accuracy(metrics: OutputMetrics) -> dict[str, Any]:
    document: dict[str, Any] = {
        "max_abs": metrics.max_abs,
        "cosine": metrics.cosine,
        "snr_db": metrics.snr_db,
    }
    return document if metrics.top1 is None else document | {"top1": metrics.top1}


class VerifyObserver:
    """Runs the model around every pass and holds the pass to its declared effect.

    The record of every pass that was verified gets ``details["verified"]``, see
    :func:`irconv.verify.change.verified`.

    A bit-exact pass must leave every output equal to the last bit; a real-arithmetic pass may
    move outputs within the tolerance derived from the model's noise floor; a lossy pass is not
    held to anything here. The same holds for the tensors inside the model that a pass left their
    name and a reader (:mod:`irconv.graph.correspondence`), if these are verified too. The
    reference must run without optimizations of its own, or those would see to it that equal
    graphs round unequally.

    Args:
        open_reference: Opens a model in the reference runtime, without its optimizations.
        samples: What it is run on.
        only: Names of the passes to verify; None for all of them.
        inside: Whether to compare tensors inside the model, and not its outputs alone.
    """

    def __init__(
        self,
        open_reference: OpenReference,
        samples: Sequence[Feeds],
        only: Container[str] | None = None,
        inside: bool = False,
    ) -> None:
        self._only = only
        self._judge = ChangeJudge(open_reference, samples, inside=inside)
        self._now = ReferenceOutputs(open_reference, samples)
        self._before: State | None = None

    def before(self, pass_: Pass, model: ir.Model) -> None:
        """Compute the outputs before the pass."""
        if not self._verifies(pass_):
            return
        self._before = State(snapshot(model), self._now.of(model))

    def after(self, pass_: Pass, model: ir.Model, record: PassRecord) -> None:
        """Compare with the outputs after the pass.

        Raises:
            PassViolation: If an output, or a tensor inside, moved further than the pass declares.
        """
        if not record.modified or not self._verifies(pass_):
            return
        assert self._before is not None, "before() ran"
        try:
            after = State(model, self._now.of(model))
        except IrconvError as error:
            raise PassViolation(f"the model no longer runs: {error.what}") from error
        change = self._judge.of(self._before, after, pass_.effect)
        record.details["verified"] = verified(change, [pass_])
        if change.violation:
            raise PassViolation(change.violation)

    def _verifies(self, pass_: Pass) -> bool:
        return pass_.effect != "lossy" and (self._only is None or pass_.name in self._only)


class DumpObserver:
    """Writes the model's text after every pass that changed it.

    Args:
        directory: Where ``NNN-pass-name.txt`` files go; made if it is not there. That it cannot
            be written is an :class:`irconv.errors.InputError`.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._count = 0

    def before(self, pass_: Pass, model: ir.Model) -> None:
        """Write the model as it was before the first pass."""
        if self._count == 0:
            self._write("input", model)

    def after(self, pass_: Pass, model: ir.Model, record: PassRecord) -> None:
        """Write the model if the pass changed it."""
        if record.modified:
            self._write(pass_.name, model)

    def _write(self, name: str, model: ir.Model) -> None:
        from irconv.graph.text import format_model

        path = self._directory / f"{self._count:03d}-{name}.txt"
        with output_errors(path):
            self._directory.mkdir(parents=True, exist_ok=True)
            path.write_text(format_model(model), encoding="utf-8")
        self._count += 1
