"""Promises of a backend that need neither its SDK nor a worker."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
import typing
from collections.abc import Callable, Sequence
from typing import Any

from irconv.backends.base import Abilities, Availability, Backend
from irconv.errors import Diagnostic, IrconvError
from irconv.passes.order import order_passes
from irconv.plugins import load_registry
from irconv.runtime.values import numpy_dtype
from irconv.spec import Configurable, Spec
from irconv.testing.report import ConformanceReport

__all__ = [
    "READS_BACK",
    "availability_problems",
    "check_declarations",
    "dataclass_problems",
    "diagnostic_problems",
    "fresh_process",
    "heavy_modules",
    "identity_problems",
    "round_trip_problems",
]

READS_BACK = "its spec text reads back as an equal backend"

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_CODE = re.compile(r"[A-Z][A-Z0-9_]*")
_QUICK_SECONDS = 3.0
_LIGHT = frozenset({"irconv", "pluggy"})
"""What a backend's module may import beside itself and the standard library."""

_UNKNOWN_OPERATORS = """
< ir_version: 9, opset_import: ["" : 18, "org.example.unknown" : 1, "local" : 1] >
g (float[N, 4] x, bool flag) => (float[N, 4] y) {
  [first] a = org.example.unknown.First (x)
  [second] b = org.example.unknown.Second (a)
  [branch] c = If (flag) <
    then_branch = t () => (float[N, 4] p) { [third] p = org.example.unknown.Third (b) },
    else_branch = e () => (float[N, 4] q) { [kept] q = Neg (b) }
  >
  [call] y = local.Called (c)
}
< opset_import: ["" : 18, "org.example.unknown" : 1], domain: "local" >
Called (v) => (w) { [fourth] w = org.example.unknown.Fourth (v) }
"""
_UNKNOWN_NODES = frozenset({"first", "second", "third", "fourth"})

_PROBE = """
import importlib, json, sys, time
module, name, spec = sys.argv[1:]
before = set(sys.modules)
cls = getattr(importlib.import_module(module), name)
from irconv.spec import parse_spec
imported = set(sys.modules)
backend = cls.from_options(parse_spec(spec).options)
start = time.perf_counter()
backend.available()
seconds = time.perf_counter() - start
backend.abilities()
backend.optimization()
backend.legalization()
print(json.dumps({
    "seconds": seconds,
    "imported": sorted(imported - before),
    "used": sorted(set(sys.modules) - imported),
}))
"""


def check_declarations(backend: Backend, report: ConformanceReport) -> None:
    """Check what the class declares and add the outcomes to ``report``."""
    report.record(
        "it is a frozen dataclass whose options have defaults", dataclass_problems(backend)
    )
    report.record(
        "its name is kebab-case and its summary is one line",
        identity_problems(backend.name, backend.summary),
    )
    report.record(READS_BACK, round_trip_problems(backend, load_registry().build_backend))
    report.record("its module and its declarations import nothing heavy, quickly", _probe(backend))
    report.record(
        "available() gives an Availability with a way out",
        availability_problems(backend.available()),
    )
    report.record("abilities() are typed and plausible", _abilities(backend))
    report.record(
        "optimization() names known passes",
        _names_known_passes(backend.optimization()),
    )
    report.record("legalization() names known passes", _names_known_passes(backend.legalization()))
    report.record(
        "check() lists every unsupported node, in bodies and functions too, with a reason "
        "and a way out",
        _refusals(backend),
    )


def dataclass_problems(subject: Configurable) -> list[str]:
    """Return what keeps its class from being a frozen dataclass of options with defaults."""
    cls = type(subject)
    parameters: Any = getattr(cls, "__dataclass_params__", None)
    if "__dataclass_params__" not in vars(cls) or not parameters.frozen:
        return [f"decorate {cls.__name__} with @dataclass(frozen=True)"]
    required = [
        field.name
        for field in dataclasses.fields(subject)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    return [f"option {name!r} has no default" for name in required]


def identity_problems(name: str, summary: str) -> list[str]:
    """Return what is wrong with a name and a summary."""
    problems = []
    if not _NAME.fullmatch(name):
        problems.append(f"{name!r} is not kebab-case")
    if not summary.strip() or "\n" in summary:
        problems.append("summary must be one line of text")
    return problems


def _probe(backend: Backend) -> list[str]:
    cls = type(backend)
    found, problems = fresh_process(backend, _PROBE)
    if problems:
        return problems
    own = cls.__module__.split(".")[0]
    problems = [
        f"{action} imports {', '.join(heavy)}"
        for action, key in (("the module", "imported"), ("a declaration", "used"))
        if (heavy := heavy_modules(found[key], own))
    ]
    if found["seconds"] > _QUICK_SECONDS:
        problems.append(f"available() took {found['seconds']:.1f} s")
    return problems


def round_trip_problems(subject: Configurable, build: Callable[[str], Configurable]) -> list[str]:
    """Return what is wrong with what ``build`` makes of a subject's spec text."""
    text = str(subject)
    try:
        again = build(text)
    except IrconvError as error:
        return [f"{text!r} does not read back: {error}"]
    return [] if again == subject else [f"{text!r} reads back as {again!r}"]


def fresh_process(subject: Configurable, script: str) -> tuple[Any, list[str]]:
    """Run a script in an interpreter of its own.

    Args:
        subject: An instance; the script is given its module, class name and options.
        script: What prints one JSON document on its last line.

    Returns:
        The document, None where the script failed, and what is wrong.
    """
    cls = type(subject)
    options = str(Spec("any", subject.spec.options))
    command = [sys.executable, "-c", script, cls.__module__, cls.__qualname__, options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        return None, [f"it fails in a fresh process: {done.stderr.strip().splitlines()[-1:]}"]
    return json.loads(done.stdout.splitlines()[-1]), []


def heavy_modules(modules: list[str], own: str) -> list[str]:
    """Return the packages among modules that are neither light nor of the distribution."""
    tops = {module.split(".")[0] for module in modules}
    return sorted(tops - _LIGHT - {own} - sys.stdlib_module_names)


def availability_problems(availability: object) -> list[str]:
    """Return what is missing in what ``available()`` gave."""
    if not isinstance(availability, Availability):
        return [f"it returns {availability!r}"]
    if not availability.detail:
        return ["detail is empty: give the version and device, or what is missing"]
    if not availability.ok and not availability.way_out:
        return ["it is not available and gives no way out"]
    return []


def _abilities(backend: Backend) -> list[str]:
    abilities: object = backend.abilities()
    if not isinstance(abilities, Abilities):
        return [f"it returns {abilities!r}"]
    problems = []
    if not 1 <= abilities.opset <= 100:
        problems.append(f"opset {abilities.opset}")
    if not 3 <= abilities.ir_version <= 100:
        problems.append(f"ir_version {abilities.ir_version}")
    if not abilities.dtypes:
        problems.append("no dtypes")
    for dtype in sorted(abilities.dtypes):
        try:
            numpy_dtype(dtype)
        except TypeError:
            problems.append(f"{dtype!r} is no full dtype name such as float32")
    return problems


def _names_known_passes(specs: Sequence[str]) -> list[str]:
    registry = load_registry()
    problems = []
    passes = []
    for spec in specs:
        try:
            passes.append(registry.build_pass(spec))
        except IrconvError as error:
            problems.append(f"{spec!r}: {error.what}")
    try:
        order_passes(passes)
    except IrconvError as error:
        problems.append(error.what)
    return problems


def _refusals(backend: Backend) -> list[str]:
    import onnx_ir as ir

    model = ir.from_onnx_text(_UNKNOWN_OPERATORS)
    diagnostics = backend.check(model, {})
    found = {diagnostic.node for diagnostic in diagnostics}
    problems = diagnostic_problems(diagnostics)
    missing = _UNKNOWN_NODES - found
    if missing:
        problems.append(f"unknown operators that are not listed: {', '.join(sorted(missing))}")
    return problems


def diagnostic_problems(diagnostics: typing.Sequence[Diagnostic]) -> list[str]:
    """Return what is missing in diagnostics."""
    problems = []
    for diagnostic in diagnostics:
        label = f"{diagnostic.op} {diagnostic.node!r}".strip()
        if not _CODE.fullmatch(diagnostic.code):
            problems.append(f"{label}: code {diagnostic.code!r} is not UPPER_CASE")
        if not diagnostic.reason:
            problems.append(f"{label}: no reason")
        if not diagnostic.way_out:
            problems.append(f"{label}: no way out")
    return problems
