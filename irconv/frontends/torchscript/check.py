"""Holding an exported graph to the module that it came from.

The exporters of TorchScript are seldom wrong, but they are: a loop that was unrolled by the
example, a list whose elements are mixed up. So the file is run beside the module on inputs of
several sizes before it is handed on. What is asked for is that half of the digits agree; the
verifier judges the artifact by the model's own noise later.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx_ir as ir

from irconv.errors import BackendError, InputError, IrconvError, UnsupportedError
from irconv.graph.serialize import save_model
from irconv.passes.fit_onnxruntime import fitted
from irconv.runtime.base import Array, Feeds, Runner, Value
from irconv.runtime.onnxruntime import OnnxRuntimeRunner
from irconv.shapes import DimRange
from irconv.verify.inputs import sample_plans
from irconv.verify.metrics import OutputMetrics, compare_outputs

__all__ = ["Check", "check_export"]

_SAMPLES = 2


@dataclass(frozen=True)
class Check:
    """How an exported graph compares with its module.

    Attributes:
        problems: Where the two differ, in words.
        outputs: What the module gave, sample by sample.
        note: Why nothing was compared, where ONNX Runtime cannot run the graph; else empty.
    """

    problems: tuple[str, ...]
    outputs: Sequence[Mapping[str, Value]]
    note: str = ""


def check_export(
    path: Path, module: Runner, example: Feeds, shapes: Mapping[str, DimRange]
) -> Check:
    """Run an ONNX file and the module on the example and on generated inputs.

    Args:
        path: The file.
        module: The module.
        example: Inputs that the module is known to take.
        shapes: Ranges of named dimensions to check within.
    """
    samples, wanted = _samples(path, module, example, shapes)
    try:
        with _open(path) as runner:
            found = [runner.run(sample) for sample in samples]
    except UnsupportedError as error:
        reason = error.diagnostics[0].reason
        return Check((), wanted, f"the export could not be checked here: {reason}")
    except IrconvError as error:
        return Check((error.what,), wanted)
    metrics = compare_outputs(wanted, found)
    problems = {
        name: _difference(measured, [np.asarray(outputs[name]) for outputs in wanted])
        for name, measured in metrics.items()
    }
    told = tuple(f"output {name!r} {problem}" for name, problem in problems.items() if problem)
    return Check(told, wanted)


def _open(path: Path) -> OnnxRuntimeRunner:
    """Open a file; one that lacks kernels is opened in a form that means the same."""
    try:
        return OnnxRuntimeRunner(path, optimize=False)
    except UnsupportedError:
        other = fitted(ir.load(path))
        if other is None:
            raise
        with tempfile.TemporaryDirectory(prefix="irconv-check-") as folder:
            save_model(other, Path(folder, "model.onnx"))
            return OnnxRuntimeRunner(Path(folder, "model.onnx"), optimize=False)


def _samples(
    path: Path, module: Runner, example: Feeds, shapes: Mapping[str, DimRange]
) -> tuple[Sequence[Feeds], list[dict[str, Value]]]:
    first = module.run(example)
    try:
        for plan in sample_plans(ir.load(path), shapes=shapes, count=_SAMPLES):
            try:
                return [example, *plan], [first, *(module.run(sample) for sample in plan)]
            except BackendError:
                continue
    except InputError:
        pass
    return [example], [first]


def _difference(measured: OutputMetrics, wanted: Sequence[Array]) -> str:
    if measured.problem:
        return f"cannot be compared: {measured.problem}"
    if measured.nonfinite_mismatches:
        return "has NaN or infinity in other places"
    if measured.exact:
        return f"differs in {measured.mismatched} elements" if measured.mismatched else ""
    size = max((_size(array) for array in wanted), default=0.0) or 1.0
    if measured.max_abs <= _half_the_digits(wanted[0].dtype) * size:
        return ""
    return f"differs by {measured.max_abs:.3g} where the largest element is {size:.3g}"


def _size(array: Array) -> float:
    finite = np.abs(array[np.isfinite(array)])
    return float(finite.max()) if finite.size else 0.0


def _half_the_digits(dtype: np.dtype[Any]) -> float:
    return float(np.sqrt(float(ml_dtypes.finfo(dtype).eps)))
