"""Golden files for a team's own continuous integration: record, check, diff.

A golden folder holds inputs and the *source* framework's outputs, with the tolerance that the
model's own noise floor gives. It is recorded once, committed, and checked on every change.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnx_ir as ir

from irconv.bundle import MANIFEST, open_bundle
from irconv.config import CompileOptions
from irconv.deploy import open_artifact
from irconv.errors import InputError
from irconv.graph.atomic import publish_directory, staging_directory
from irconv.importing import import_model
from irconv.plugins import load_registry
from irconv.runtime.reference import ReferenceRuntime
from irconv.verify.golden import Golden, assert_discriminating, load_golden, save_golden
from irconv.verify.metrics import compare_outputs
from irconv.verify.precision import model_precision
from irconv.verify.source import golden_from_source, run_all
from irconv.verify.tolerance import Tolerance, derive_tolerances
from irconv.verify.verifier import Verification, judge

__all__ = ["check_golden", "diff_goldens", "record"]

GOLDEN_INDEX = "golden.json"
_TOLERANCES = "tolerances.json"


def record(source: str, directory: Path, options: CompileOptions) -> Golden:
    """Record goldens of ``source`` into ``directory``, replacing what was there.

    Raises:
        InputError: If the golden would prove nothing: NaN, constant outputs, or outputs that a
            changed weight does not move.
    """
    with import_model(source, options, load_registry()) as imported:
        golden = golden_from_source(imported, options)
        with ReferenceRuntime(options.limits()) as reference:
            tolerances = _tolerances_that_bite(imported.model, golden, reference)
    with staging_directory(directory) as staging:
        save_golden(staging, golden)
        document = {
            name: {"value": tolerance.value, "basis": tolerance.basis}
            for name, tolerance in tolerances.items()
        }
        (staging / _TOLERANCES).write_text(json.dumps(document, indent=2) + "\n")
        publish_directory(staging, directory, marker=GOLDEN_INDEX)
    return golden


def _tolerances_that_bite(
    model: ir.Model, golden: Golden, reference: ReferenceRuntime
) -> dict[str, Tolerance]:
    """Derive the tolerances and check that a golden judged by them can fail."""
    tolerances = derive_tolerances(model, golden, model_precision(model), reference.open)
    judged = judge(golden, golden.outputs, tolerances, level="none", reference={})
    if judged.verdict != "pass":
        raise InputError(
            f"this golden would prove nothing: {judged.reason}",
            where="golden",
            hint="give real inputs with --data",
        )
    assert_discriminating(model, golden, reference.open, tolerances)
    return tolerances


def load_tolerances(directory: Path) -> dict[str, Tolerance]:
    """Return the tolerances recorded beside a golden.

    Raises:
        InputError: If they are missing or broken.
    """
    path = directory / _TOLERANCES
    try:
        document = json.loads(path.read_text())
        return {
            name: Tolerance(float(entry["value"]), str(entry["basis"]))
            for name, entry in document.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"cannot read {path}: {error}",
            where="golden",
            hint="record it with `irconv golden record MODEL -o DIR`",
        ) from error


def check_golden(directory: Path, subject: str, options: CompileOptions) -> Verification:
    """Run a model or a bundle on recorded inputs and compare with the recorded outputs.

    A bundle's own manifest says how much wider than the source's noise its tolerance is.

    Args:
        directory: A recorded golden.
        subject: Path of a bundle, or a model as for ``compile``.
        options: ``trust``, limits and shapes.
    """
    golden = load_golden(directory)
    tolerances = load_tolerances(directory)
    if (Path(subject) / MANIFEST).is_file():
        bundle = open_bundle(subject)
        with open_artifact(bundle, limits=options.limits()) as runner:
            actual = runner.run_all(golden.inputs)
            level = runner.level
        tolerances = _widest(tolerances, bundle.manifest["verification"]["outputs"])
        return judge(golden, actual, tolerances, level=level, reference=golden.reference)
    with (
        import_model(subject, options, load_registry()) as imported,
        imported.open_reference() as reference,
    ):
        actual = run_all(reference, golden.inputs)
    return judge(golden, actual, tolerances, level="artifact", reference=golden.reference)


def _widest(
    tolerances: Mapping[str, Tolerance], outputs: list[Mapping[str, Any]]
) -> dict[str, Tolerance]:
    widest = dict(tolerances)
    for entry in outputs:
        recorded = widest.get(entry["name"])
        if recorded is not None and float(entry["tolerance"]) > recorded.value:
            widest[entry["name"]] = Tolerance(float(entry["tolerance"]), str(entry["basis"]))
    return widest


def _finite(document: dict[str, Any]) -> dict[str, Any]:
    """Replace numbers that JSON lacks by None."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in document.items()
    }


def diff_goldens(first: Path, second: Path) -> dict[str, Any]:
    """Compare two recorded goldens: are the inputs the same, and how far apart the outputs?

    Returns:
        ``inputs_equal`` and, if they are, ``outputs`` with the metrics of each output.
    """
    one, two = load_golden(first), load_golden(second)
    inputs_equal = len(one.inputs) == len(two.inputs) and all(
        metrics.equal for metrics in compare_outputs(one.inputs, two.inputs).values()
    )
    if not inputs_equal:
        return {"inputs_equal": False, "outputs": {}}
    compared = compare_outputs(one.outputs, two.outputs)
    return {
        "inputs_equal": True,
        "outputs": {
            name: {"equal": metrics.equal, **_finite(asdict(metrics))}
            for name, metrics in compared.items()
        },
    }
