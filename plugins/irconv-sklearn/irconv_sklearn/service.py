"""Estimators in a worker: one process opens, converts and runs an estimator."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from irconv.errors import InputError
from irconv.runtime.base import TensorSpec
from irconv.runtime.service import RunnerService
from irconv.runtime.values import save_samples
from irconv.shapes import InputSpec
from irconv_sklearn.columns import Columns, columns_of
from irconv_sklearn.convert import to_onnx
from irconv_sklearn.estimators import Opened, open_booster, open_factory, open_pickle
from irconv_sklearn.examples import make_example
from irconv_sklearn.runner import EstimatorRunner

__all__ = ["SklearnService"]

_ROWS = 24


class SklearnService(RunnerService):
    """Holds one estimator, from its source to its reference outputs."""

    def __init__(self) -> None:
        super().__init__()
        self._opened: Opened
        self._known: dict[int, tuple[float, float]] = {}
        warnings.simplefilter("ignore")

    def open_booster(
        self,
        path: str,
        library: str,
        objective: str,
        classes: int,
        ranges: Sequence[tuple[int, float, float]],
    ) -> None:
        """Open a checked model file; see :func:`irconv_sklearn.estimators.open_booster`.

        Args:
            path: irconv's copy of the file.
            library: ``xgboost`` or ``lightgbm``.
            objective: Its objective.
            classes: Number of classes; 0 for no classifier.
            ranges: Feature, least and largest training value, where the file tells.
        """
        self._opened = open_booster(Path(path), library, objective, classes)
        self._known = {index: (low, high) for index, low, high in ranges}

    def open_pickle(self, path: str) -> None:
        """Open a trusted pickle."""
        self._opened = open_pickle(Path(path))

    def open_factory(self, target: str) -> None:
        """Call a trusted factory."""
        self._opened = open_factory(target)

    def export(
        self,
        path: str,
        examples: str,
        opset: int,
        inputs: Sequence[tuple[str, Sequence[int | str | None], str | None]],
        shapes: Mapping[str, tuple[int, int, int]],
    ) -> dict[str, Any]:
        """Write the estimator as ONNX, and example inputs where any are known.

        Args:
            path: The ``.onnx`` file to write.
            examples: The ``.npz`` file to write example inputs to.
            opset: The opset to write.
            inputs: Name, dims and dtype of each stated input.
            shapes: Minimum, best and maximum of named dimensions.

        Returns:
            ``notes``, and ``examples``: whether they were written.

        Raises:
            InputError: If the inputs do not fit.
            UnsupportedError: If a part of the estimator has no translation to ONNX.
        """
        estimator = self._opened.estimator
        stated = [InputSpec(name, tuple(dims), dtype) for name, dims, dtype in inputs]
        columns = columns_of(estimator, stated, self._opened.example)
        model = to_onnx(estimator, columns, Path(path), opset)
        outputs = [_spec(value) for value in model.graph.output]
        self._runner = EstimatorRunner(estimator, columns, outputs)
        feeds = self._example(model, columns, shapes)
        if feeds is not None:
            save_samples(Path(examples), [feeds])
        return {"examples": feeds is not None, "notes": [*self._opened.notes, *_notes(outputs)]}

    def _example(
        self, model: onnx.ModelProto, columns: Columns, shapes: Mapping[str, tuple[int, int, int]]
    ) -> dict[str, Any] | None:
        rows = columns.batch if isinstance(columns.batch, int) else _ROWS
        if isinstance(columns.batch, str) and columns.batch in shapes:
            rows = shapes[columns.batch][2]
        example = self._opened.example
        if example is None:
            return make_example(model, self._opened.estimator, columns, rows, self._known)
        try:
            feeds = columns.feeds(example)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"the example rows do not fit the inputs: {error}",
                where="frontend sklearn",
                hint="give rows that the estimator takes, or state its inputs with --input",
            ) from error
        picked = np.arange(rows) % max(1, len(example))
        return {name: array[picked] for name, array in feeds.items()}


def _spec(value: onnx.ValueInfoProto) -> TensorSpec:
    kind = value.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
    name = "string" if kind.elem_type == onnx.TensorProto.STRING else dtype.name
    return TensorSpec(value.name, name, tuple(dim.dim_value or None for dim in kind.shape.dim))


def _notes(outputs: Sequence[TensorSpec]) -> list[str]:
    if any(spec.dtype == "float32" for spec in outputs):
        return ["the estimator gives float64, the converted model float32"]
    return []
