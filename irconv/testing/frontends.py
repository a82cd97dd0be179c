"""Asking a frontend whether it keeps every promise of the frontend contract."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from irconv.errors import ExitCode, IrconvError
from irconv.frontends.base import Frontend, Imported, ImportRequest
from irconv.graph.interface import input_specs, output_specs
from irconv.graph.invariants import InvariantError, check_invariants
from irconv.plugins import load_registry
from irconv.runtime.base import Feeds, Runner, TensorSpec, Value
from irconv.shapes import parse_input, parse_shapes
from irconv.testing.compare import difference, run_by_onnxruntime
from irconv.testing.declared import (
    READS_BACK,
    availability_problems,
    dataclass_problems,
    fresh_process,
    heavy_modules,
    identity_problems,
    round_trip_problems,
)
from irconv.testing.feeds import random_feeds
from irconv.testing.report import ConformanceReport
from irconv.worker import WorkerLimits

__all__ = ["assert_frontend_conforms"]

_RTOL = 2e-5
_SIZES = (1, 2, 4)
_USUAL = (ExitCode.BAD_INPUT, ExitCode.MISSING)

_PROBE = """
import importlib, json, sys
module, name, spec = sys.argv[1:]
before = set(sys.modules)
cls = getattr(importlib.import_module(module), name)
from irconv.spec import parse_spec
frontend = cls.from_options(parse_spec(spec).options)
frontend.available()
frontend.recognizes("no such file")
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def assert_frontend_conforms(
    frontend: Frontend | str,
    source: str | Path,
    *,
    inputs: Sequence[str] = (),
    shapes: Sequence[str] = (),
    trust: bool = False,
    limits: WorkerLimits | None = None,
) -> ConformanceReport:
    """Ask ``frontend`` for every promise of the frontend contract, by one source.

    What the class declares is checked first. Then the source is inspected and loaded, its
    reference runs at several sizes of the free dimensions and is compared with ONNX Runtime on
    the converted model, and broken files with its suffixes follow.

    Args:
        frontend: The frontend with its options, or its spec text.
        source: A source that it reads.
        inputs: ``--input`` texts.
        shapes: ``--shape`` texts.
        trust: Whether code that the source names may run.
        limits: Limits of its worker processes; None for five minutes a call.

    Returns:
        The report; a promise that could not be asked here is in it as skipped, with the reason.

    Raises:
        AssertionError: Listing every broken promise.
        UsageError: If no plugin registers the frontend.
    """
    if isinstance(frontend, str):
        frontend = load_registry().build_frontend(frontend)
    report = ConformanceReport(str(frontend), "frontend")
    _check_declarations(frontend, report)
    with tempfile.TemporaryDirectory(prefix="irconv-conformance-") as directory:
        request = ImportRequest(
            directory=Path(directory, "scratch"),
            limits=limits or WorkerLimits(seconds=300.0),
            trust=trust,
            inputs=[parse_input(text) for text in inputs],
            shapes=parse_shapes(shapes),
        )
        request.directory.mkdir()
        _check_inspection(frontend, str(source), trust, report)
        _check_bad_files(frontend, Path(directory), request, report)
        if frontend.available().ok:
            _check_import(frontend, str(source), request, report)
        else:
            report.skip("everything that needs the framework", frontend.available().detail)
    if report.failures:
        raise AssertionError(str(report))
    return report


def _check_declarations(frontend: Frontend, report: ConformanceReport) -> None:
    report.record(
        "it is a frozen dataclass whose options have defaults", dataclass_problems(frontend)
    )
    report.record(
        "its name is kebab-case and its summary is one line",
        identity_problems(frontend.name, frontend.summary),
    )
    report.record(
        READS_BACK.replace("backend", "frontend"),
        round_trip_problems(frontend, load_registry().build_frontend),
    )
    report.record("its module and its declarations import nothing heavy", _probe(frontend))
    report.record(
        "available() gives an Availability with a way out",
        availability_problems(frontend.available()),
    )


def _probe(frontend: Frontend) -> list[str]:
    found, problems = fresh_process(frontend, _PROBE)
    if problems:
        return problems
    heavy = heavy_modules(found, type(frontend).__module__.split(".")[0])
    return [f"it imports {', '.join(heavy)}"] if heavy else []


def _check_inspection(
    frontend: Frontend, source: str, trust: bool, report: ConformanceReport
) -> None:
    problems = []
    try:
        facts = frontend.inspect(source)
        json.dumps(facts)
        if facts.get("frontend") != frontend.name:
            problems.append("the facts do not name the frontend")
        if trust and not facts.get("needs_trust"):
            problems.append("the source needs trust, and the facts do not say so")
    except (IrconvError, TypeError, ValueError) as error:
        problems.append(f"{type(error).__name__}: {error}")
    report.record("inspect() gives facts as JSON, and says what needs trust", problems)


def _check_bad_files(
    frontend: Frontend, folder: Path, request: ImportRequest, report: ConformanceReport
) -> None:
    contents = {"empty": b"", "noise": bytes(range(256)) * 16, "text": b"{not json"}
    problems = []
    for suffix in frontend.suffixes or ("",):
        paths = [folder / f"missing{suffix}"]
        for name, content in contents.items():
            paths.append(folder / f"{name}{suffix}")
            paths[-1].write_bytes(content)
        for path in paths:
            problems += _bad_file_problems(frontend, path, request)
    report.record("broken files give an error with a way out, and no crash", problems)


def _bad_file_problems(frontend: Frontend, path: Path, request: ImportRequest) -> list[str]:
    problems = []
    calls: dict[str, Callable[[], object]] = {
        "recognizes": lambda: frontend.recognizes(str(path)),
        "inspect": lambda: frontend.inspect(str(path)),
        "load": lambda: frontend.load(str(path), _untrusted(request)),
    }
    for name, call in calls.items():
        try:
            call()
        except IrconvError as error:
            if error.exit_code not in _USUAL or not error.hint:
                problems.append(f"{name}({path.name!r}): exit {int(error.exit_code)}, {error}")
        except Exception as error:
            problems.append(f"{name}({path.name!r}) raises {type(error).__name__}: {error}")
        else:
            if name == "load":
                problems.append(f"load({path.name!r}) takes it")
    return problems


def _untrusted(request: ImportRequest) -> ImportRequest:
    return ImportRequest(directory=request.directory, limits=request.limits)


def _check_import(
    frontend: Frontend, source: str, request: ImportRequest, report: ConformanceReport
) -> None:
    promise = "load() brings the source into the IR"
    if request.trust:
        refusal = "code needs trust"
        try:
            frontend.load(source, _untrusted(request)).close()
            report.record(refusal, ["load() takes the source without it"])
        except IrconvError as error:
            named = error.exit_code == ExitCode.BAD_INPUT and "--trust" in error.hint
            report.record(refusal, [] if named else [str(error)])
    try:
        imported = frontend.load(source, request)
    except IrconvError as error:
        report.record(promise, [str(error)])
        return
    with contextlib.closing(imported):
        report.record(promise, _model_problems(imported))
        with imported.open_reference() as reference:
            _check_reference(imported, reference, report)
    try:
        imported.close()
        report.record("close() may be called twice", [])
    except Exception as error:
        report.record("close() may be called twice", [f"{type(error).__name__}: {error}"])


def _model_problems(imported: Imported) -> list[str]:
    problems = []
    try:
        check_invariants(imported.model)
    except InvariantError as error:
        problems.append(str(error))
    if not imported.source.frontend or imported.source.opset < 1:
        problems.append("the source's facts name no frontend or opset")
    return problems


def _check_reference(imported: Imported, reference: Runner, report: ConformanceReport) -> None:
    specs = output_specs(imported.model)
    samples = [*imported.example_feeds, *_generated(imported)]
    if not samples:
        report.skip("the reference runs", "no input can be made up, and there are no examples")
        return
    try:
        found = [reference.run(sample) for sample in samples]
        again = reference.run(samples[0])
    except IrconvError as error:
        report.record("the reference runs", [str(error)])
        return
    report.record("the reference runs", [])
    described = reference.describe()
    missing = [key for key in ("runtime", "version") if not described.get(key)]
    report.record("the reference says what ran", [f"no {key}" for key in missing])
    report.record("outputs have the model's names, order, dtypes and ranks", _fits(specs, found))
    same = [name for name, value in found[0].items() if difference(value, again[name], 0.0)]
    report.record("the same inputs give the same outputs", [f"{name} differs" for name in same])
    report.record(
        "the model gives the source's outputs in ONNX Runtime", _numbers(imported, samples, found)
    )


def _generated(imported: Imported) -> Iterator[Feeds]:
    names = {
        dim for spec in input_specs(imported.model) for dim in spec.shape or () if dim is not None
    }
    free = sorted(name for name in names if isinstance(name, str))
    if any(spec.dtype == "string" for spec in input_specs(imported.model)):
        return
    for size in _SIZES if free else _SIZES[:1]:
        yield random_feeds(imported.model, seed=size, dims=dict.fromkeys(free, size))


def _fits(specs: Sequence[TensorSpec], found: Sequence[dict[str, Value]]) -> list[str]:
    problems: dict[str, None] = {}
    for outputs in found:
        if list(outputs) != [spec.name for spec in specs]:
            return [f"outputs {list(outputs)}, expected {[spec.name for spec in specs]}"]
        for spec in specs:
            array: Any = np.asarray(outputs[spec.name])
            dtype = "string" if array.dtype.kind in "OU" else array.dtype.name
            rank = None if spec.shape is None else len(spec.shape)
            if dtype != spec.dtype or (rank is not None and rank != array.ndim):
                problems[f"{dtype}{list(array.shape)} for {spec}"] = None
    return list(problems)


def _numbers(
    imported: Imported, samples: Sequence[Feeds], found: Sequence[dict[str, Value]]
) -> list[str]:
    expected = run_by_onnxruntime(imported.model, *samples)
    return [
        f"{name}: {text}"
        for wanted, given in zip(found, expected, strict=True)
        for name, value in wanted.items()
        if name in given and (text := difference(value, given[name], _RTOL))
    ]
