"""Running a pipeline of passes, with every promise of the pass contract checked.

After each pass the manager checks that ``modified`` is the truth, that the invariants hold and
that the interface is unchanged. A pass that breaks one of them, or raises, is rolled back and
named; the run goes on without it or stops, as ``strict`` says. Observers at the one seam
between passes carry dumping, verification and progress.

irconv's own passes are held to the same promises by its tests. Where only they run, the checks
may wait for the end (``check="end"``): a pipeline that holds its promises is then checked once,
and one that does not runs again from the start with every check, which names the pass.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import onnx_ir as ir

from irconv.errors import BackendError, IrconvError
from irconv.graph.fingerprint import fingerprint
from irconv.graph.invariants import Interface, check_invariants, interface_of
from irconv.graph.snapshot import snapshot
from irconv.graph.walk import node_count
from irconv.passes.base import Pass, PassContext, PassResult, Refusal, Site
from irconv.passes.order import order_passes

__all__ = [
    "Observer",
    "PassDeclined",
    "PassManager",
    "PassRecord",
    "PassViolation",
    "PipelineResult",
]


_OWN = "irconv."
"""How the modules of irconv's own passes begin."""


class PassViolation(Exception):  # noqa: N818 - an event to be handled, named for what it is
    """A pass broke its contract; an observer raises it to have the pass rolled back."""


class PassDeclined(Exception):  # noqa: N818 - an event to be handled, named for what it is
    """A pass kept its contract and is not wanted all the same; an observer raises it.

    The pass is rolled back without an error, in strict mode too; the observer's details say why.
    """


@dataclass
class PassRecord:
    """What one run of one pass did; the manifest's ``passes`` holds these.

    Attributes:
        name: Name of the pass.
        spec: Its full spec text.
        modified: Whether the model changed, and the change was kept.
        seconds: Wall time of the pass itself, checks not counted.
        nodes_before: Nodes in all graphs before.
        nodes_after: Nodes in all graphs after.
        round: Which round of the pipeline, from 1.
        error: Why it was rolled back; empty when it was not.
        details: Facts from the pass and from observers, such as its accuracy effect.
        refusals: Where the pass held back, and why.
        sites: Where it acted, as far as it says so; empty where it was rolled back.
    """

    name: str
    spec: str
    modified: bool
    seconds: float
    nodes_before: int
    nodes_after: int
    round: int
    error: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    refusals: tuple[Refusal, ...] = ()
    sites: tuple[Site, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the record as it stands in a manifest."""
        document: dict[str, Any] = {
            "name": self.name,
            "spec": self.spec,
            "modified": self.modified,
            "seconds": round(self.seconds, 6),
            "nodes_before": self.nodes_before,
            "nodes_after": self.nodes_after,
            "round": self.round,
        }
        if self.error:
            document["error"] = self.error
        if self.details:
            document["details"] = self.details
        return document


class Observer(Protocol):
    """Called around each pass; may add to the record, or raise PassViolation or PassDeclined."""

    def before(self, pass_: Pass, model: ir.Model) -> None:
        """Called before ``pass_`` runs."""

    def after(self, pass_: Pass, model: ir.Model, record: PassRecord) -> None:
        """Called after ``pass_`` ran and its checks held."""


@dataclass
class PipelineResult:
    """A transformed model and the record of every pass that ran.

    ``model`` is the given object, or a copy of it from before a pass that was rolled back.
    """

    model: ir.Model
    records: list[PassRecord]

    @property
    def modified(self) -> bool:
        """Whether any pass changed the model."""
        return any(record.modified for record in self.records)


@dataclass
class _State:
    """The model as it is now, and what rolling back to it takes.

    The snapshot is made when the next pass needs one, so a pipeline that changes nothing makes
    one, and the last change of a run makes none.
    """

    model: ir.Model
    fingerprint: int
    nodes: int
    snapshot: ir.Model | None = None

    def take_snapshot(self) -> None:
        if self.snapshot is None:
            self.snapshot = snapshot(self.model)

    def roll_back(self) -> None:
        assert self.snapshot is not None
        self.model, self.snapshot = self.snapshot, None
        self.fingerprint = fingerprint(self.model)


@dataclass
class _Trusted:
    """Runs passes and believes what they say.

    Attributes:
        model: The model.
        context: What the passes may use beside it.
        nodes: Nodes in all graphs of the model, as it is now.
    """

    model: ir.Model
    context: PassContext
    nodes: int

    def run(self, pass_: Pass) -> PassRecord:
        before, start = self.nodes, time.perf_counter()
        result = pass_.run(self.model, self.context)
        seconds = time.perf_counter() - start
        if result.modified:
            self.nodes = node_count(self.model)
        return PassRecord(
            pass_.name, str(pass_), result.modified, seconds, before, self.nodes, 1,
            details=dict(result.details), refusals=result.refusals,
        )  # fmt: skip


def _kept(model: ir.Model) -> Callable[[], ir.Model]:
    """Return what gives a model back that was kept aside."""
    return lambda: model


class PassManager:
    """Runs passes in the order that their ``after`` declarations allow.

    Args:
        passes: The pipeline; kept in the given order where ``after`` says nothing.
        strict: Whether a pass that breaks its contract stops the run.
        max_rounds: How often the pipeline may repeat while something still changes.
        observers: Called around each pass.
        check: When the promises are checked: after each pass, or once at the end where all
            passes are irconv's own and no observer looks on.
        way_out: What the user is told to do when ``strict`` stops the run.
    """

    def __init__(
        self,
        passes: Iterable[Pass],
        *,
        strict: bool = False,
        max_rounds: int = 1,
        observers: Sequence[Observer] = (),
        check: Literal["each", "end"] = "each",
        way_out: str = "leave --strict out to go on without it, and report this to its author",
    ) -> None:
        self.passes = order_passes(passes)
        self.strict = strict
        self.max_rounds = max_rounds
        self.observers = tuple(observers)
        self.way_out = way_out
        own = all(type(pass_).__module__.startswith(_OWN) for pass_ in self.passes)
        self._checks_at_end = check == "end" and own and not self.observers

    @property
    def spec(self) -> str:
        """The pipeline as text, which reads back by ``parse_pipeline``."""
        return ",".join(str(pass_) for pass_ in self.passes)

    def run(
        self,
        model: ir.Model,
        context: PassContext | None = None,
        *,
        again: Callable[[], ir.Model] | None = None,
    ) -> PipelineResult:
        """Run the pipeline on ``model``, in place as far as nothing is rolled back.

        Args:
            model: The model.
            context: What passes may use beside it.
            again: Gives the same model once more, where a check at the end fails and each pass is
                checked in a second run; a snapshot is made beforehand where it is None.

        Raises:
            BackendError: In strict mode, if a pass breaks its contract.
            IrconvError: If a pass reports that the user asked for what cannot be done.
        """
        if not self.passes:
            return PipelineResult(model, [])
        context = context or PassContext()
        interface = interface_of(model)
        if self._checks_at_end:
            again = again or _kept(snapshot(model))
            trusted = _Trusted(model, context, node_count(model))
            try:
                records = self._run_rounds(trusted.run)
                check_invariants(model, interface)
            except IrconvError:
                raise
            except Exception:  # the checked run below finds it again and names the pass
                model = again()
            else:
                return PipelineResult(model, records)
        state = _State(model, fingerprint(model), node_count(model))
        records = self._run_rounds(lambda pass_: self._run_one(pass_, state, context, interface))
        return PipelineResult(state.model, records)

    def _run_rounds(self, run: Callable[[Pass], PassRecord]) -> list[PassRecord]:
        """Run the pipeline again and again until a round changes nothing.

        A pass that left the model as it was runs again only after another has changed it.
        """
        records: list[PassRecord] = []
        changes = 0
        unmoved: dict[int, int] = {}
        for number in range(1, self.max_rounds + 1):
            before = changes
            for index, pass_ in enumerate(self.passes):
                if unmoved.get(index) == changes or (number > 1 and pass_.once):
                    continue
                record = run(pass_)
                record.round = number
                records.append(record)
                changes += record.modified
                if not record.modified:
                    unmoved[index] = changes
            if changes == before:
                break
        return records

    def _run_one(
        self,
        pass_: Pass,
        state: _State,
        context: PassContext,
        interface: Interface,
    ) -> PassRecord:
        state.take_snapshot()
        for observer in self.observers:
            observer.before(pass_, state.model)
        record = PassRecord(pass_.name, str(pass_), False, 0.0, state.nodes, state.nodes, 1)
        start = time.perf_counter()
        try:
            result = pass_.run(state.model, context)
            record.seconds = time.perf_counter() - start
            after = self._check(result, state, interface)
            record.modified = result.modified
            record.nodes_after = node_count(state.model)
            record.details = dict(result.details)
            record.refusals, record.sites = result.refusals, result.sites
            for observer in self.observers:
                observer.after(pass_, state.model, record)
        except IrconvError:
            raise
        except PassDeclined:
            self._take_back(record, state)
            return record
        except Exception as error:
            record.seconds = record.seconds or time.perf_counter() - start
            self._roll_back(record, state, error)
            return record
        if result.modified:
            state.snapshot = None
            state.fingerprint, state.nodes = after, record.nodes_after
        return record

    @staticmethod
    def _check(result: PassResult, state: _State, interface: Interface) -> int:
        check_invariants(state.model, interface)
        after = fingerprint(state.model)
        changed = after != state.fingerprint
        if changed and not result.modified:
            raise PassViolation("it changed the model but reported modified=False")
        if result.modified and not changed:
            raise PassViolation("it reported modified=True but changed nothing")
        return after

    def _roll_back(self, record: PassRecord, state: _State, error: Exception) -> None:
        record.error = f"{type(error).__name__}: {error}"
        if self.strict:
            raise BackendError(
                f"pass {record.spec!r} broke its contract: {record.error}",
                where=f"pass {record.name}",
                hint=self.way_out,
            ) from error
        self._take_back(record, state)

    @staticmethod
    def _take_back(record: PassRecord, state: _State) -> None:
        record.modified, record.sites = False, ()
        record.nodes_after = record.nodes_before
        state.roll_back()
