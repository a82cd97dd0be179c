"""Running an estimator as the reference.

This module needs the frameworks and is imported in the worker process only.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from sklearn.base import ClusterMixin

from irconv.errors import BackendError, InputError
from irconv.frontends.factories import first_line, user_line
from irconv.runtime.base import Feeds, Runner, TensorSpec, Value
from irconv.runtime.values import numpy_dtype
from irconv_sklearn.columns import Columns
from irconv_sklearn.estimators import final_step

__all__ = ["EstimatorRunner", "method_of"]

_WHERE = "frontend sklearn"


def method_of(estimator: Any, output: str) -> str:
    """Return the estimator's method whose result an output of skl2onnx is.

    Raises:
        InputError: If there is none.
    """
    scores = "transform" if isinstance(final_step(estimator), ClusterMixin) else "decision_function"
    candidates = {
        "label": ("predict",),
        "probabilities": ("predict_proba",),
        "scores": (scores, "decision_function"),
    }.get(output, ("predict", "transform"))
    for name in candidates:
        if hasattr(estimator, name):
            return name
    raise InputError(
        f"the output {output!r} of the conversion is no method of {type(estimator).__name__}",
        where=_WHERE,
        hint="wrap the estimator so that predict, predict_proba or transform gives what you need",
    )


class EstimatorRunner(Runner):
    """Calls an estimator with named inputs and gives its outputs their names.

    Args:
        estimator: The fitted estimator.
        columns: Its inputs.
        outputs: Name, dtype and rank of its outputs in ONNX, each of which a method gives.
    """

    def __init__(self, estimator: Any, columns: Columns, outputs: list[TensorSpec]) -> None:
        self._estimator = estimator
        self._columns = columns
        self._outputs = {method_of(estimator, spec.name): spec for spec in outputs}

    def run(self, feeds: Feeds) -> dict[str, Value]:
        """Return the outputs; see :meth:`irconv.runtime.base.Runner.run`."""
        rows = self._columns.rows(feeds)
        results: dict[str, Value] = {}
        for method, spec in self._outputs.items():
            try:
                result = getattr(self._estimator, method)(rows)
            except Exception as error:
                raise BackendError(
                    f"{method} of the estimator fails on an input: {first_line(error)}",
                    where=user_line(error, _WHERE),
                ) from error
            results[spec.name] = _shaped(result, spec)
        return results

    def describe(self) -> dict[str, str]:
        """Return what runs the estimator."""
        final = final_step(self._estimator)
        module = type(getattr(final, "booster_", final)).__module__.partition(".")[0]
        return {
            "runtime": module,
            "version": getattr(sys.modules[module], "__version__", "unknown"),
            "device": "CPU",
            "precision": "as in the estimator",
        }


def _shaped(result: Any, spec: TensorSpec) -> Value:
    """Return a method's result in the dtype and rank of its output."""
    dense = result.toarray() if hasattr(result, "toarray") else np.asarray(result)
    if spec.shape is not None and len(spec.shape) == 2 and dense.ndim == 1:
        dense = dense[:, None]
    if spec.dtype == "string":
        return dense.astype(str).astype(object)
    return dense.astype(numpy_dtype(spec.dtype))
