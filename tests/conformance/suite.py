"""The cases of the ONNX backend suite, as models and arrays in memory."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests

KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator", "real")
_SEED = 20240711


@dataclass
class Case:
    """One case: a model, and samples of inputs with the outputs that the suite expects."""

    kind: str
    source: Any

    @property
    def name(self) -> str:
        """The name by which results are stored; light models share names with no other case."""
        return f"{self.kind}/{self.source.name}"

    @cached_property
    def model(self) -> onnx.ModelProto:
        """The model."""
        if self.source.model is not None:
            return self.source.model
        return onnx.load(self._model_path)

    @property
    def _model_path(self) -> Path:
        if self.source.model_dir is not None:
            return Path(self.source.model_dir, "model.onnx")
        return Path(onnx.__file__).parent.parent / self.source.url

    @property
    def tolerance(self) -> tuple[float, float]:
        """The case's own relative and absolute tolerance."""
        return self.source.rtol, self.source.atol

    def samples(self) -> Iterator[tuple[dict[str, Any], list[Any]]]:
        """Yield feeds by input name, and expected outputs in order."""
        graph = self.model.graph
        initializers = {tensor.name for tensor in graph.initializer}
        names = [value.name for value in graph.input]
        if self.source.data_sets is not None:
            for inputs, outputs in self.source.data_sets:
                values = [_plain(value) for value in inputs]
                yield dict(zip(names, values, strict=False)), [_plain(value) for value in outputs]
        elif self.source.model_dir is not None:
            for folder in sorted(Path(self.source.model_dir).glob("test_data_set_*")):
                inputs = [
                    _read(folder / f"input_{index}.pb", graph.input[index].type)
                    for index in range(len(list(folder.glob("input_*.pb"))))
                ]
                outputs = [
                    _read(folder / f"output_{index}.pb", graph.output[index].type)
                    for index in range(len(list(folder.glob("output_*.pb"))))
                ]
                yield dict(zip(names, inputs, strict=False)), outputs
        else:
            wanted = [value for value in graph.input if value.name not in initializers]
            stem = self._model_path.with_suffix("")
            outputs = [
                _read(Path(f"{stem}_output_{index}.pb"), value.type)
                for index, value in enumerate(graph.output)
            ]
            yield {value.name: _dummy(value) for value in wanted}, outputs


def _plain(value: Any) -> Any:
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    if isinstance(value, (np.ndarray, list)) or value is None:
        return value
    return np.asarray(value)


def _read(path: Path, kind: onnx.TypeProto) -> Any:
    if kind.HasField("sequence_type"):
        return numpy_helper.to_list(_parse(onnx.SequenceProto(), path))
    if kind.HasField("optional_type"):
        return numpy_helper.to_optional(_parse(onnx.OptionalProto(), path))
    return numpy_helper.to_array(_parse(onnx.TensorProto(), path))


def _parse(message: Any, path: Path) -> Any:
    message.ParseFromString(path.read_bytes())
    return message


def _dummy(value: onnx.ValueInfoProto) -> np.ndarray:
    """The input that the suite feeds to its light models: 0 to 1 in equal steps."""
    shape = [dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim]
    count = int(np.prod(shape))
    return (np.arange(count).reshape(shape) / count).astype(np.float32)


def load_suite() -> dict[str, Case]:
    """Return every case by name, in a fixed order and with fixed random values.

    Generating the node cases takes about ten seconds; they draw from NumPy's global generator,
    which is seeded first.
    """
    np.random.seed(_SEED)
    cases: dict[str, Case] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for kind in KINDS:
            for source in sorted(load_model_tests(kind=kind), key=lambda case: case.name):
                case = Case(kind, source)
                cases[case.name] = case
    return cases
