"""The pass pipeline alone: an ONNX file in, an ONNX file out."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irconv.errors import UsageError
from irconv.graph.atomic import output_errors, publish_files, staging_directory
from irconv.graph.reading.load import load_model
from irconv.graph.serialize import INLINE_LIMIT, save_model
from irconv.graph.spill import DEFAULT_BUDGET, Spill
from irconv.graph.walk import node_count
from irconv.memory import memory_limit
from irconv.passes.base import Pass, PassContext
from irconv.passes.manager import Observer, PassManager, PassRecord
from irconv.passes.pipelines import HIGHEST_LEVEL, target_pipeline
from irconv.verbs import make_callable
from irconv.verify.verifier import Verification, not_run

if TYPE_CHECKING:
    import onnx_ir as ir

    from irconv.backends.base import Backend
    from irconv.config import CompileOptions
    from irconv.plugins import Registry

__all__ = ["OptimizeResult", "choose_proof", "choose_target", "optimize_model"]

make_callable(__name__)

_NOTHING_PROVED = "below -O 3, and with --passes, nothing is run"


@dataclass(frozen=True)
class OptimizeResult:
    """What :func:`optimize_model` did.

    Attributes:
        files: The files written, the ``.onnx`` file last.
        pipeline: Spec text of the passes.
        records: One for each run of a pass.
        notes: What was changed while the model was read.
        nodes_before: Nodes in all graphs of the source.
        nodes_after: Nodes in all graphs of the result.
        bytes_before: Size of the source's files.
        bytes_after: Size of the files written.
        seconds: Wall time of everything.
        peak_rss_bytes: The most resident memory of this process so far, mapped files included.
        verification: How the outputs of the result compare with those of the source; ``not-run``
            where nothing was to be proved.
    """

    files: tuple[Path, ...]
    pipeline: str
    records: tuple[PassRecord, ...]
    notes: tuple[str, ...]
    nodes_before: int
    nodes_after: int
    bytes_before: int
    bytes_after: int
    seconds: float
    peak_rss_bytes: int
    verification: Verification

    def to_json(self) -> dict[str, Any]:
        """Return the result as a JSON object."""
        return {
            "files": [str(path) for path in self.files],
            "pipeline": self.pipeline,
            "passes": [record.to_json() for record in self.records],
            "notes": list(self.notes),
            "nodes_before": self.nodes_before,
            "nodes_after": self.nodes_after,
            "bytes_before": self.bytes_before,
            "bytes_after": self.bytes_after,
            "seconds": round(self.seconds, 3),
            "peak_rss_bytes": self.peak_rss_bytes,
            "verification": self.verification.to_json(),
        }


def choose_proof(options: CompileOptions) -> CompileOptions | None:
    """Return how the result of optimizing is proved: at ``-O3`` as in a compilation, else not.

    Args:
        options: ``level``, ``passes``, and where samples come from.

    Raises:
        UsageError: If samples are given where nothing is run.
    """
    from irconv.config import CompileOptions

    if options.level == HIGHEST_LEVEL and options.passes is None:
        return options
    for name in ("data", "golden", "samples", "seed"):
        if getattr(options, name) != getattr(CompileOptions(), name):
            raise UsageError(
                f"--{name} changes nothing here: only the result of -O 3 is run and compared",
                where=f"--{name}",
                hint=f"add -O 3 and leave --passes out, or leave --{name} out",
            )
    return None


def choose_target(
    registry: Registry, target: str | None, level: int, passes: str | None
) -> tuple[Backend | None, list[Pass]]:
    """Return the backend of ``target`` and the passes that the level adds for it.

    Args:
        registry: Where backends and passes are looked up.
        target: Spec text of the target; None for no target.
        level: Optimization level, 0 to 3.
        passes: Pipeline text that replaces the level's passes; None keeps them.

    Raises:
        UsageError: If there is no such target, or it would change nothing.
    """
    if target is None:
        return None, []
    backend = registry.build_backend(target)
    if level < HIGHEST_LEVEL or passes is not None:
        raise UsageError(
            f"--target {target} changes nothing here: a target adds passes to -O 3 only",
            where="--target",
            hint="add -O 3 and leave --passes out, or leave --target out",
        )
    return backend, target_pipeline(registry, backend, level)


def optimize_model(
    source: Path,
    output: Path,
    passes: Sequence[Pass],
    *,
    context: PassContext | None = None,
    strict: bool = False,
    observers: Sequence[Observer] = (),
    max_rounds: int = 1,
    added: Sequence[Pass] = (),
    max_ram: int | None = None,
    prove: CompileOptions | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> OptimizeResult:
    """Run passes on an ONNX file and write the result, all of it or nothing.

    Weights go to ``output.name + ".data"`` if the source kept weights outside too, or if they
    have more than 1 GiB. ``output`` may be ``source`` itself.

    Args:
        source: The ``.onnx`` file to read.
        output: The ``.onnx`` file to write.
        passes: The pipeline.
        context: What passes may use beside the graph.
        strict: Whether a pass that breaks its contract stops the run.
        observers: Called around each pass.
        max_rounds: How often the pipeline may repeat while something still changes.
        added: Passes of one target, which run once after the pipeline.
        max_ram: Bytes of memory that may be taken, mapped files not counted; constants that
            passes compute are kept on disk past an eighth of it. None sets no limit.
        prove: Where samples come from on which the result is run and compared with the source; if
            it is off, the passes that ``-O3`` adds run again, each of them verified and rolled
            back where it is to blame. None runs no model.
        progress: Called with one line at the start of each stage.

    Raises:
        MismatchError: If the result is to be proved and is off, or nothing can be proved.
        UsageError: If ``max_ram`` is less than the process has already.
        InputError: If the source cannot be read or the output cannot be written.
        BackendError: In strict mode, if a pass breaks its contract; or if ``max_ram`` is not
            enough.
    """
    with memory_limit(max_ram):
        return _optimize(
            source, output, passes, context or PassContext(), strict, observers, max_rounds,
            added, DEFAULT_BUDGET if max_ram is None else max_ram // 8, prove, progress,
        )  # fmt: skip


def _optimize(
    source: Path,
    output: Path,
    passes: Sequence[Pass],
    context: PassContext,
    strict: bool,
    observers: Sequence[Observer],
    max_rounds: int,
    added: Sequence[Pass],
    constant_budget: int,
    prove: CompileOptions | None,
    progress: Callable[[str], None],
) -> OptimizeResult:
    start = time.perf_counter()
    loaded = load_model(source)
    nodes_before = node_count(loaded.model)
    with staging_directory(output) as staging:
        context = dataclasses.replace(context, spill=Spill(staging, constant_budget))
        rewriting = _Rewriting(passes, added, context, strict, max_rounds, observers)
        if prove is None:
            progress(f"optimizing {source}")
            done = rewriting.run(loaded.model, lambda: load_model(source).model)
            verification = not_run(_NOTHING_PROVED)
        else:
            done, verification = _proved(rewriting, loaded.model, prove, progress)
        inline_limit = INLINE_LIMIT if len(loaded.files) == 1 else 0
        with output_errors(output):
            staged = save_model(
                done.model, staging / output.name, inline_limit=inline_limit, flush=True
            )
        moves = [(path, output.with_name(path.name)) for path in reversed(staged)]
        bytes_after = sum(path.stat().st_size for path in staged)
        publish_files(moves)
    return OptimizeResult(
        files=tuple(final for _, final in moves),
        pipeline=done.spec,
        records=done.records,
        notes=loaded.notes,
        nodes_before=nodes_before,
        nodes_after=node_count(done.model),
        bytes_before=loaded.bytes,
        bytes_after=bytes_after,
        seconds=time.perf_counter() - start,
        peak_rss_bytes=_peak_rss_bytes(),
        verification=verification,
    )


@dataclass(frozen=True)
class _Done:
    """A model after all passes, their records, and the pipeline as it ran."""

    model: ir.Model
    records: tuple[PassRecord, ...]
    spec: str


@dataclass(frozen=True)
class _Rewriting:
    """The passes of the level and those of a target, ready to run on any copy of the model."""

    passes: Sequence[Pass]
    added: Sequence[Pass]
    context: PassContext
    strict: bool
    max_rounds: int
    observers: Sequence[Observer]

    @property
    def lossy(self) -> bool:
        return any(pass_.effect == "lossy" for pass_ in (*self.passes, *self.added))

    def run(
        self,
        model: ir.Model,
        again: Callable[[], ir.Model],
        level: Sequence[Observer] = (),
        added: Sequence[Observer] = (),
    ) -> _Done:
        """Run all passes; further observers look on at those of the level and of the target.

        Args:
            model: The model, which is changed.
            again: Gives the model as it was.
            level: Look on at the passes of the level.
            added: Look on at those of the target.
        """
        first = PassManager(
            self.passes,
            strict=self.strict,
            max_rounds=self.max_rounds,
            observers=[*level, *self.observers],
            check="end",
        )
        last = PassManager(
            self.added, strict=self.strict, observers=[*added, *self.observers], check="end"
        )
        one = first.run(model, self.context, again=again)
        two = last.run(one.model, self.context)
        spec = ",".join(filter(None, (first.spec, last.spec)))
        return _Done(two.model, (*one.records, *two.records), spec)


def _proved(
    rewriting: _Rewriting,
    source: ir.Model,
    options: CompileOptions,
    progress: Callable[[str], None],
) -> tuple[_Done, Verification]:
    from irconv.graph.snapshot import snapshot
    from irconv.proving import Observers, open_proof

    runs: list[_Done] = []

    def run(observers: Observers) -> ir.Model:
        runs.append(rewriting.run(snapshot(source), lambda: snapshot(source), *observers))
        return runs[-1].model

    progress("running the source for golden outputs")
    with open_proof(source, options) as proof:
        progress("optimizing it, and running the result")
        verification = proof.prove(run, lossy=rewriting.lossy, progress=progress)
    return runs[-1], verification


def _peak_rss_bytes() -> int:
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
