"""The commands as typed functions: ``irconv.compile(model, targets=[...])`` and the rest."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from irconv.bisection.bisect import bisect_model
from irconv.bisection.result import Bisection
from irconv.bundle import open_bundle
from irconv.checking import TargetCheck, check_model
from irconv.compiler import Progress, compile_model
from irconv.config import CompileOptions
from irconv.deploy import BundleCheck, run_bundle, verify_bundle
from irconv.explanation import Explanation, explain_pass
from irconv.goldens import check_golden, diff_goldens, record
from irconv.inspection import inspect_path
from irconv.optimize import OptimizeResult, choose_proof, choose_target, optimize_model
from irconv.passes.base import PassContext
from irconv.passes.pipelines import MAX_ROUNDS, resolve_pipeline
from irconv.plugins import load_registry
from irconv.results import CompileResult
from irconv.runtime.base import Feeds, Value
from irconv.shapes import parse_shapes
from irconv.verify.golden import Golden
from irconv.verify.verifier import Verification

__all__ = [
    "bisect",
    "check",
    "compile",
    "explain",
    "golden_check",
    "golden_diff",
    "golden_record",
    "inspect",
    "optimize",
    "run",
    "verify",
]

PathLike: TypeAlias = "str | Path"


def _options(**given: Any) -> CompileOptions:
    return dataclasses.replace(CompileOptions(), **given)


def compile(
    model: PathLike,
    targets: Sequence[str],
    output: PathLike | None = "build",
    *,
    progress: Progress = lambda _: None,
    **options: Any,
) -> CompileResult:
    """Compile a model for one or more targets, and prove each artifact.

    A target that fails is a result with its error; ``CompileResult.exit_code`` sums up.

    Args:
        model: Path of a model, or ``module:factory`` with ``trust=True``.
        targets: Target specs, such as ``onnx`` or ``trt{precision=fp16,sm=89}``.
        output: Folder for the bundles; None is a dry run.
        progress: Called with one line at the start of each stage.
        **options: Fields of :class:`irconv.config.CompileOptions`.

    Raises:
        InputError: If the model, the data or an option cannot be used.
        MissingError: If a target or framework is not installed.
    """
    place = None if output is None else Path(output)
    return compile_model(
        str(model), place, _options(targets=tuple(targets), **options), progress=progress
    )


def check(model: PathLike, targets: Sequence[str], **options: Any) -> list[TargetCheck]:
    """List what each target cannot express in a model; needs no target's SDK."""
    return check_model(str(model), targets, _options(**options))


def verify(bundle: PathLike, **options: Any) -> BundleCheck:
    """Check a bundle's digests and run its artifact again against its goldens."""
    return verify_bundle(open_bundle(bundle), limits=_options(**options).limits())


def run(bundle: PathLike, inputs: Feeds, **options: Any) -> dict[str, Value]:
    """Run a bundle's artifact on one sample.

    Args:
        bundle: Folder of the bundle.
        inputs: An array for each input, in the source's layout and dtype.
        **options: ``max_ram`` in bytes and ``timeout`` in seconds.
    """
    return run_bundle(open_bundle(bundle), [inputs], limits=_options(**options).limits())[0]


def inspect(path: PathLike, frontend: str | None = None) -> dict[str, Any]:
    """Return JSON-ready facts about a model or a bundle, executing nothing in it."""
    return inspect_path(str(path), frontend)


def optimize(
    model: PathLike,
    output: PathLike,
    *,
    level: int = 2,
    passes: str | None = None,
    quantize: str | None = None,
    prune: str | None = None,
    shapes: Sequence[str] = (),
    strict: bool = False,
    target: str | None = None,
    **options: Any,
) -> OptimizeResult:
    """Run the pass pipeline alone, from an ONNX file to an ONNX file.

    At level 3 the result is run and compared with the source; see
    :func:`irconv.optimize.optimize_model`.

    Args:
        model: The ``.onnx`` file to read.
        output: The ``.onnx`` file to write.
        level: Optimization level, 0 to 3.
        passes: Pipeline text that replaces the level's passes.
        quantize: Quantization recipe.
        prune: Pruning spec.
        shapes: ``--shape`` texts.
        strict: Whether a pass that breaks its contract stops the run.
        target: With level 3: the target whose own passes run after the level's.
        **options: With level 3: ``data``, ``golden``, ``samples``, ``seed``, ``timeout`` and
            ``max_ram`` of :class:`irconv.config.CompileOptions`, for the run.

    Raises:
        MismatchError: At level 3, if the outputs of the result are off, or prove nothing.
        InputError: If the model cannot be read or the result cannot be written.
        UsageError: If a text cannot be read, or a target is named where it adds nothing.
    """
    ranges = parse_shapes(shapes)
    registry = load_registry()
    backend, added = choose_target(registry, target, level, passes)
    pipeline = resolve_pipeline(registry, level, passes, quantize, prune, ranges, backend)
    prove = choose_proof(_options(level=level, passes=passes, shapes=tuple(shapes), **options))
    return optimize_model(
        Path(model),
        Path(output),
        pipeline,
        context=PassContext(
            shapes=ranges, abilities=None if backend is None else backend.abilities()
        ),
        strict=strict,
        max_rounds=MAX_ROUNDS,
        added=added,
        prove=prove,
    )


def explain(model: PathLike, pass_: str, target: str | None = None, **options: Any) -> Explanation:
    """Say where a pass fired in a model, where it nearly did, and why it did not.

    Args:
        model: A model as for :func:`compile`.
        pass_: Spec text of the pass.
        target: A target whose own passes are looked at as well.
        **options: Fields of :class:`irconv.config.CompileOptions`.

    Raises:
        InputError: If the model cannot be read.
        UsageError: If there is no such pass or target.
    """
    targets = () if target is None else (target,)
    return explain_pass(str(model), pass_, _options(targets=targets, **options))


def bisect(
    model: PathLike,
    target: str,
    *,
    broken: str | None = None,
    progress: Progress = lambda _: None,
    **options: Any,
) -> Bisection:
    """Find which pass, which rewrite in it and which tensor broke an output of a target.

    Args:
        model: A model as for :func:`compile`.
        target: The target whose outputs differ.
        broken: Name of the output to look at; None for the first that differs.
        progress: Called with one line at the start of each stage.
        **options: Fields of :class:`irconv.config.CompileOptions`, as for :func:`compile`.

    Raises:
        InputError: If the model or the data cannot be used.
        UsageError: If there is no such target or output.
    """
    return bisect_model(
        str(model), _options(targets=(target,), **options), output=broken, progress=progress
    )


def golden_record(model: PathLike, output: PathLike, **options: Any) -> Golden:
    """Record a model's inputs and its source framework's outputs into a golden folder."""
    return record(str(model), Path(output), _options(**options))


def golden_check(golden: PathLike, subject: PathLike, **options: Any) -> Verification:
    """Run a model or a bundle on a golden's inputs and compare with its outputs."""
    return check_golden(Path(golden), str(subject), _options(**options))


def golden_diff(first: PathLike, second: PathLike) -> Mapping[str, Any]:
    """Compare two golden folders."""
    return diff_goldens(Path(first), Path(second))
