"""Running an ML Program: in Core ML itself where it is, elsewhere in the reference interpreter."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import TYPE_CHECKING

import irconv
from irconv.errors import BackendError, InputError
from irconv.runtime.base import Feeds, Runner, Value
from irconv_coreml.border import from_feature, to_feature
from irconv_coreml.interface import Feature, FunctionShapes, WeightDigest
from irconv_coreml.native import NativeModel, has_core_ml
from irconv_coreml.reference import ReferenceModel

if TYPE_CHECKING:
    from irconv.backends.base import Artifact
    from irconv.runtime.base import Array
    from irconv_coreml.interpreter.digests import WeightReport

__all__ = ["CoremlRunner"]


class CoremlRunner(Runner):
    """A package, run in the source's names, dtypes and layout.

    On macOS Core ML predicts, and :attr:`level` is ``artifact``. Elsewhere the saved package is
    read back and interpreted, and :attr:`level` is ``reference``.
    Its weights are then compared with their digests too.

    Args:
        directory: The artifact's directory.
        artifact: The artifact, with the facts of :mod:`irconv_coreml.interface`.
    """

    def __init__(self, directory: Path, artifact: Artifact) -> None:
        data = artifact.data
        self._inputs = [Feature.from_json(entry) for entry in data["inputs"]]
        self._outputs = [Feature.from_json(entry) for entry in data["outputs"]]
        self._functions = [FunctionShapes.from_json(entry) for entry in data["functions"]]
        self._precision = artifact.precision
        weights = {name: WeightDigest.from_json(entry) for name, entry in data["weights"].items()}
        path = directory / artifact.main
        self._model: NativeModel | ReferenceModel | None
        self._weights: WeightReport | None
        if has_core_ml():
            images = {f.coreml: f.image.color for f in self._inputs if f.image is not None}
            self.level = "artifact"
            self._model, self._weights = NativeModel(path, images), None
        else:
            self.level = "reference"
            reference = ReferenceModel(path, weights)
            self._model, self._weights = reference, reference.weights

    def run(self, feeds: Feeds) -> dict[str, Value]:
        """Return the outputs; see :meth:`irconv.runtime.base.Runner.run`."""
        if self._model is None:
            raise BackendError("the runner is closed", where="run")
        inputs = {
            feature.coreml: to_feature(feature, feeds[feature.name]) for feature in self._inputs
        }
        results = self._model.predict(self._choose_function(inputs), inputs)
        return {
            feature.name: from_feature(feature, results[feature.coreml])
            for feature in self._outputs
        }

    def _choose_function(self, inputs: dict[str, Array]) -> str:
        """Return the first function that takes these shapes; empty for the default one."""
        if not self._functions:
            return ""
        shapes = {f.name: inputs[f.coreml].shape for f in self._inputs}
        for function in self._functions:
            if all(shapes[name] == shape for name, shape in function.shapes.items()):
                return function.name
        taken = "; ".join(
            ", ".join(f"{name}{list(shape)}" for name, shape in function.shapes.items())
            for function in self._functions
        )
        given = ", ".join(f"{name}{list(shape)}" for name, shape in shapes.items())
        raise InputError(
            f"no function of the package takes {given}; there are: {taken}",
            where="target coreml",
            hint="compile it with a --shape that has these sizes",
        )

    def describe(self) -> dict[str, str]:
        """Return what ran, and which weights were compared by their digests."""
        native = self.level == "artifact"
        description = {
            "runtime": "Core ML" if native else "reference interpreter of ML Programs",
            "version": platform.mac_ver()[0] if native else irconv.__version__,
            "device": "CPU",
            "precision": self._precision,
        }
        if self._weights is not None:
            description["weights"] = _compared(self._weights)
        return description

    def close(self) -> None:
        """Unmap the package; a runner may be closed twice."""
        self._model = None


def _compared(report: WeightReport) -> str:
    return f"{len(report.equal)} constants equal what was handed over, by SHA-256"
