"""Proving a rewritten model against the one that it came from, for ``optimize -O 3``.

Both are run in the reference runtime on the same samples. As in a compilation, the outputs may be
off by what the model's own noise floor allows, and by what lossy passes declare. The floor costs
more than all the rest: it is derived only where they are off by more than roundings of the
model's depth are without any amplification, and in full only where one random run of the first
sample finds too low a one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import onnx_ir as ir

from irconv.config import CompileOptions
from irconv.errors import BackendError, IrconvError, MismatchError
from irconv.frontends.base import Imported, SourceInfo
from irconv.passes.manager import Observer
from irconv.passes.pipelines import relaxed_passes
from irconv.runtime.base import Value
from irconv.runtime.reference import ReferenceRuntime
from irconv.verify.golden import Golden, load_golden
from irconv.verify.observers import AccuracyObserver, VerifyObserver
from irconv.verify.precision import model_precision
from irconv.verify.source import golden_from_source, run_all
from irconv.verify.tolerance import Tolerance, add_effects, derive_tolerances, prior_tolerances
from irconv.verify.verifier import Verification, judge

__all__ = ["Observers", "SourceProof", "open_proof"]

_WAY_OUT = "use -O 2, which runs nothing, or give real inputs with --data"
Observers = tuple[list[Observer], list[Observer]]
"""Who looks on at the passes of the level, and at those that a target adds."""


@contextlib.contextmanager
def open_proof(source: ir.Model, options: CompileOptions) -> Iterator[SourceProof]:
    """Take goldens of a model, and keep the reference runtime until the context ends.

    Args:
        source: The model; it is not changed, and may not be within the context.
        options: Where the samples come from, and the limits of the runtime.

    Raises:
        MismatchError: If the goldens would prove nothing.
        IrconvError: If the model does not run, or the samples cannot be used.
    """
    with ReferenceRuntime(options.limits()) as reference:
        try:
            golden = _golden(source, options, reference)
        except IrconvError as error:
            if options.data is None and options.golden is None:
                error.hint = "; ".join(filter(None, (error.hint, "-O 2 runs nothing")))
            raise
        itself = judge(golden, golden.outputs, {}, level="graph", reference={})
        if itself.verdict != "pass":
            raise MismatchError(
                f"the result could not be proved: {itself.reason}", where="goldens", hint=_WAY_OUT
            )
        yield SourceProof(source, golden, reference, foreign=options.golden is not None)


def _golden(model: ir.Model, options: CompileOptions, reference: ReferenceRuntime) -> Golden:
    if options.golden:
        return load_golden(Path(options.golden))
    opset = model.opset_imports.get("", 0)
    imported = Imported(model, SourceInfo("onnx", "", 0, opset), lambda: reference.open(model))
    return golden_from_source(imported, options)


class SourceProof:
    """Judges what passes made of a model.

    Args:
        source: The model before any pass.
        golden: Samples and its outputs.
        reference: Where models are run.
        foreign: Whether the outputs are those of another runtime.
    """

    def __init__(
        self, source: ir.Model, golden: Golden, reference: ReferenceRuntime, *, foreign: bool
    ) -> None:
        self._source = source
        self._golden = golden
        self._reference = reference
        self._foreign = foreign
        self._found: dict[int | None, Mapping[str, Tolerance]] = {}

    def prove(
        self, run: Callable[[Observers], ir.Model], *, lossy: bool, progress: Callable[[str], None]
    ) -> Verification:
        """Run passes and judge the result; if it is off, again with each relaxed pass verified.

        What a relaxed pass did is rolled back in the second run if it moved an output further than
        its declared effect allows.

        Args:
            run: Runs all passes on a fresh copy of the source, and returns what they made of it.
            lossy: Whether lossy passes are among them, whose effect is measured and allowed.
            progress: Called when the passes run again.

        Raises:
            MismatchError: If the result is off all the same.
            BackendError: If it does not run.
        """
        verification = self._judged(run, [], [], lossy=lossy)
        if verification is None or verification.verdict != "pass":
            progress("the outputs differ: running again, with each pass of -O 3 verified")
            verification = self._judged(
                run, [self._verify(relaxed=True)], [self._verify(relaxed=False)], lossy=lossy
            )
        if verification is None:
            raise BackendError(
                "the optimized model does not run in the reference runtime",
                where="verification",
                hint="use -O 2, and report it with the model",
            )
        if verification.verdict != "pass":
            raise MismatchError(
                f"the optimized model is wrong: {verification.reason}",
                where="verification",
                hint="use -O 2, and report it with the model; `irconv bisect` names the pass",
            )
        return verification

    def _verify(self, *, relaxed: bool) -> Observer:
        only = relaxed_passes() if relaxed else None
        return VerifyObserver(self._reference.open, self._golden.inputs, only=only)

    def _judged(
        self,
        run: Callable[[Observers], ir.Model],
        level: list[Observer],
        added: list[Observer],
        *,
        lossy: bool,
    ) -> Verification | None:
        """Run the passes and judge what they made; None if that does not run."""
        accuracy = AccuracyObserver(self._reference.open, self._golden.inputs)
        own: list[Observer] = [accuracy] if lossy else []
        model = run(([*own, *level], [*own, *added]))
        return self._judge(model, accuracy.effects)

    def _judge(self, model: ir.Model, effects: Mapping[str, float]) -> Verification | None:
        try:
            with self._reference.open(model) as runner:
                actual = run_all(runner, self._golden.inputs)
        except IrconvError:
            return None
        for tolerances in self._tolerances():
            verification = self._held_to(tolerances, actual, effects)
            if verification.verdict == "pass":
                break
        return verification

    def _tolerances(self) -> Iterator[Mapping[str, Tolerance]]:
        """Yield tolerances, each found at more expense than the one before, and seldom tighter."""
        precision = model_precision(self._source)
        yield prior_tolerances(self._source, self._golden, precision)
        first = replace(
            self._golden, inputs=self._golden.inputs[:1], outputs=self._golden.outputs[:1]
        )
        for golden, runs in ((first, 1), (self._golden, None)):
            if runs not in self._found:
                self._found[runs] = derive_tolerances(
                    self._source,
                    golden,
                    precision,
                    self._reference.open,
                    exact=None if self._foreign else golden.outputs,
                    runs=runs,
                )
            yield self._found[runs]

    def _held_to(
        self,
        tolerances: Mapping[str, Tolerance],
        actual: Sequence[Mapping[str, Value]],
        effects: Mapping[str, float],
    ) -> Verification:
        return judge(
            self._golden,
            actual,
            add_effects(tolerances, effects),
            level="graph",
            reference=self._golden.reference,
        )
