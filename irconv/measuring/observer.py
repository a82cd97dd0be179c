"""``--measure``: what a pass of a target did is kept only if the artifact got faster."""

from __future__ import annotations

import contextlib
import shutil
import statistics
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir

from irconv.backends.base import Artifact, Backend
from irconv.errors import IrconvError, MissingError, UnsupportedError
from irconv.graph.difference import graph_difference
from irconv.graph.snapshot import snapshot
from irconv.measuring.race import Race, run_race
from irconv.passes.base import Pass, PassContext
from irconv.passes.manager import PassDeclined, PassManager, PassRecord
from irconv.passes.pipelines import build_pipeline
from irconv.plugins import Registry
from irconv.runtime.artifact import ArtifactWorker
from irconv.runtime.base import Feeds
from irconv.runtime.remote import RemoteRunner
from irconv.shapes import DimRange
from irconv.worker import WorkerLimits

__all__ = ["MeasureObserver", "with_left_out"]


@dataclass(frozen=True)
class _Emitted:
    """An artifact on disk."""

    directory: Path
    artifact: Artifact


class _NotMeasured(Exception):  # noqa: N818 - an answer, not an error
    """Why an artifact cannot be timed here."""


class _CannotBuild(Exception):  # noqa: N818 - an answer, not an error
    """Why the target cannot be built with what a pass did."""


class MeasureObserver:
    """Emits the artifact before and after each pass and times both on the target.

    A pass is measured against the last artifact that won, by the rule of
    :mod:`irconv.measuring.race`. One that makes it slower beyond noise is taken back at once. One
    that makes it faster is kept. One that does neither is kept if it is bit-exact, such as
    clean-up; else it is pending, because a later pass may count on it: it is kept with the first
    later pass that wins, and what is pending in the end is to be left out. A pass that changed no
    node, such as shape inference, is kept.

    The record of every pass that was measured gets ``details["measured"]``: ``before_ms``,
    ``after_ms``, ``kept`` and ``reason``. Where the artifact cannot run on this machine the pass
    is kept, the times are None, and the reason says so.

    Attributes:
        pending: Records of passes to be left out, by their place in the pipeline.

    Args:
        backend: The target's backend.
        registry: Where its legalization passes are looked up.
        context: The context of its legalization passes.
        limits: Limits of its workers.
        shapes: Ranges of named dimensions.
        feeds: The sample that is timed.
        scratch: A folder for artifacts.
    """

    def __init__(
        self,
        backend: Backend,
        registry: Registry,
        context: PassContext,
        limits: WorkerLimits,
        shapes: Mapping[str, DimRange],
        feeds: Feeds,
        scratch: Path,
    ) -> None:
        self._backend = backend
        self._registry = registry
        self._context = context
        self._limits = limits
        self._shapes = shapes
        self._feeds = feeds
        self._scratch = scratch
        self._before: ir.Model | None = None
        self._current: _Emitted | None = None
        self._count = 0
        self._place = -1
        self.pending: dict[int, PassRecord] = {}

    def before(self, pass_: Pass, model: ir.Model) -> None:
        """Keep the model as it is."""
        del pass_
        self._place += 1
        self._before = snapshot(model)

    def after(self, pass_: Pass, model: ir.Model, record: PassRecord) -> None:
        """Time the artifact without and with what the pass did.

        Raises:
            PassDeclined: If the pass makes the artifact slower, or cannot be built.
        """
        assert self._before is not None, "before() ran"
        if not record.modified or not graph_difference(self._before, model):
            return
        try:
            if self._current is None:
                self._current = self._emit(self._before, "without it")
            race = self._race(model)
        except _NotMeasured as reason:
            self._settle(None)
            record.details["measured"] = _entry(None, kept=True, reason=f"not measured: {reason}")
            return
        except _CannotBuild as reason:
            record.details["measured"] = _entry(None, kept=False, reason=f"not measured: {reason}")
            raise PassDeclined(str(reason)) from reason
        exact = pass_.effect == "bit-exact"
        kept = race.faster or (exact and not race.slower)
        record.details["measured"] = _entry(race, kept=kept, reason=_reason(race, exact=exact))
        if race.slower:
            raise PassDeclined("slower beyond noise")
        if race.faster:
            for earlier in self.pending.values():
                entry = earlier.details["measured"]
                entry["kept"] = True
                entry["reason"] += f"; kept because {record.name}, which ran on it, is faster"
            self.pending.clear()
        elif not exact:
            self.pending[self._place] = record

    def _race(self, model: ir.Model) -> Race:
        """Time a model against the last artifact that won; if it wins, it is that artifact."""
        try:
            emitted = self._emit(model, "with it")
        except _NotMeasured as reason:
            raise _CannotBuild(str(reason)) from reason
        try:
            race = run_race(
                lambda: self._open(self._current), lambda: self._open(emitted), self._feeds
            )
        except IrconvError as error:
            raise _NotMeasured(_line(error)) from error
        if race.faster:
            self._settle(emitted)
        else:
            shutil.rmtree(emitted.directory)
        return race

    def _settle(self, emitted: _Emitted | None) -> None:
        """Make an artifact the one to beat, and remove the one before it."""
        if self._current is not None:
            shutil.rmtree(self._current.directory)
        self._current = emitted

    def _emit(self, model: ir.Model, which: str) -> _Emitted:
        """Legalize and emit a copy of a model.

        Raises:
            _NotMeasured: If the target does not take it.
        """
        self._count += 1
        directory = self._scratch / f"measured-{self._backend.name}-{self._count}"
        directory.mkdir()
        try:
            passes = build_pipeline(self._registry, list(self._backend.legalization()))
            legal = PassManager(passes, strict=True).run(snapshot(model), self._context).model
            diagnostics = self._backend.check(legal, self._shapes)
            if diagnostics:
                raise UnsupportedError(str(self._backend), diagnostics)
            with ArtifactWorker(self._backend, self._limits, self._shapes) as worker:
                return _Emitted(directory, worker.emit(legal, directory))
        except IrconvError as error:
            raise _NotMeasured(f"the target cannot be built {which}: {_line(error)}") from error

    def _open(self, emitted: _Emitted | None) -> AbstractContextManager[RemoteRunner]:
        assert emitted is not None
        return self._opened(emitted)

    @contextlib.contextmanager
    def _opened(self, emitted: _Emitted) -> Iterator[RemoteRunner]:
        with ArtifactWorker(self._backend, self._limits, self._shapes) as worker:
            try:
                runner = worker.open(emitted.directory, emitted.artifact)
            except MissingError as error:
                raise _NotMeasured(f"the artifact cannot run here: {_line(error)}") from error
            with runner:
                if runner.level != "artifact":
                    raise _NotMeasured(
                        "the artifact itself cannot run here; what stands in for it (level "
                        f"{runner.level}) says nothing about its speed"
                    )
                yield runner


def with_left_out(
    first: Sequence[PassRecord], again: Sequence[PassRecord], left_out: Collection[int]
) -> list[PassRecord]:
    """Return the records of a pipeline that ran anew without some of its passes.

    Args:
        first: One record for each pass, from the run that was measured.
        again: One for each pass that was not left out, from the run without the others.
        left_out: Places of the passes that were left out.
    """
    rest = iter(again)
    records: list[PassRecord] = []
    for place, record in enumerate(first):
        if place in left_out:
            record.modified, record.sites = False, ()
            record.nodes_after = record.nodes_before
        else:
            measured = record.details.get("measured")
            record = next(rest)
            if measured is not None:
                record.details["measured"] = measured
        records.append(record)
    return records


def _entry(race: Race | None, *, kept: bool, reason: str) -> dict[str, Any]:
    return {
        "before_ms": None if race is None else _milliseconds(race.first),
        "after_ms": None if race is None else _milliseconds(race.second),
        "kept": kept,
        "reason": reason,
    }


def _milliseconds(seconds: tuple[float, ...]) -> float:
    return round(1000 * statistics.median(seconds), 4)


def _reason(race: Race, *, exact: bool) -> str:
    change = abs(1 - race.ratio)
    word = "faster" if race.ratio < 1 else "slower"
    p = race.p_faster if race.ratio < 1 else race.p_slower
    facts = f"{change:.1%} {word}, p = {p:.2g} in {len(race.first)} interleaved rounds"
    if race.faster:
        return facts
    if race.slower:
        return f"slower beyond noise: {facts}"
    allowed = "; bit-exact passes are kept unless slower" if exact else ""
    return f"not faster beyond noise: {facts}{allowed}"


def _line(error: IrconvError) -> str:
    return error.what.splitlines()[0] if error.what else type(error).__name__
