"""From an estimator to an ONNX file with ai.onnx.ml operators, by skl2onnx and onnxmltools.

This module needs the frameworks and is imported in the worker process only.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import skl2onnx
from onnx import helper
from skl2onnx._supported_operators import sklearn_operator_name_map
from skl2onnx.common import data_types
from skl2onnx.common._registration import get_converter
from skl2onnx.common.exceptions import MissingConverter, MissingShapeCalculator

from irconv.errors import Diagnostic, UnsupportedError
from irconv.frontends.factories import first_line
from irconv_sklearn.columns import Columns
from irconv_sklearn.converters import register_converters
from irconv_sklearn.estimators import final_step

__all__ = ["ONNX_ML", "to_onnx"]

_WHERE = "frontend sklearn"
ONNX_ML = 3
"""Version of ai.onnx.ml: the one with TreeEnsembleClassifier that every runtime reads."""
_TYPES = {
    "float32": data_types.FloatTensorType,
    "float64": data_types.DoubleTensorType,
    "int64": data_types.Int64TensorType,
    "int32": data_types.Int32TensorType,
    "bool": data_types.BooleanTensorType,
    "string": data_types.StringTensorType,
}


def to_onnx(estimator: Any, columns: Columns, path: Path, opset: int) -> onnx.ModelProto:
    """Write an estimator as ONNX and return the model.

    Args:
        estimator: A fitted estimator or pipeline.
        columns: Its inputs.
        path: The ``.onnx`` file to write.
        opset: The opset to write.

    Raises:
        UnsupportedError: If a part of it has no translation to ONNX.
    """
    register_converters()
    types = [(entry.name, _TYPES[entry.dtype]([None, entry.width])) for entry in columns.entries]
    try:
        model = skl2onnx.convert_sklearn(
            estimator,
            name=type(estimator).__name__,
            initial_types=types,
            target_opset={"": opset, "ai.onnx.ml": ONNX_ML},
            options=_options(estimator),
        )
    except Exception as error:
        raise _cannot_convert(error) from error
    if hasattr(estimator, "classes_") and not hasattr(estimator, "predict_proba"):
        _name_scores(model, estimator)
    _name_batch(model.graph, columns.batch)
    onnx.save(model, path)
    return model


def _options(estimator: Any) -> dict[Any, Any] | None:
    """Ask for a tensor of probabilities instead of a map, or for the scores where there are none.

    A pipeline hands its options on to its last step, which refuses those that it does not have.
    """
    final = final_step(estimator)
    if not hasattr(final, "classes_"):
        return None
    alias = sklearn_operator_name_map.get(type(final))
    allowed = get_converter(alias).get_allowed_options() if alias else None
    if allowed is None or "zipmap" in allowed:
        return {"zipmap": False}
    return {id(final): {"raw_scores": True}} if "raw_scores" in allowed else None


def _cannot_convert(error: Exception) -> UnsupportedError:
    missing = isinstance(error, (MissingShapeCalculator, MissingConverter))
    diagnostic = Diagnostic(
        "UNSUPPORTED_ESTIMATOR" if missing else "EXPORT_FAILED",
        f"skl2onnx {skl2onnx.__version__} cannot convert it: {first_line(error)}",
        way_out="use another estimator there, or state the inputs with --input if they are not "
        "what it was fitted on",
    )
    return UnsupportedError("onnx", [diagnostic], where=_WHERE)


def _name_scores(model: onnx.ModelProto, estimator: Any) -> None:
    """Call the second output of a classifier without probabilities what it is, and trim it.

    scikit-learn gives one score for two classes; skl2onnx gives it for both, the one of
    scikit-learn last, but first behind SVMClassifier.
    """
    graph = model.graph
    if len(graph.output) != 2:
        return
    output = graph.output[1]
    dims = output.type.tensor_type.shape.dim
    if len(estimator.classes_) == 2:
        machine = any(node.op_type == "SVMClassifier" for node in graph.node)
        column = np.array([0 if machine else 1])
        graph.initializer.append(onnx.numpy_helper.from_array(column, "irconv_column"))
        graph.node.append(
            helper.make_node("Gather", [output.name, "irconv_column"], ["scores"], axis=1)
        )
        dims[-1].dim_value = 1
    else:
        graph.node.append(helper.make_node("Identity", [output.name], ["scores"]))
    output.name = "scores"


def _name_batch(graph: onnx.GraphProto, batch: int | str) -> None:
    values: Sequence[onnx.ValueInfoProto] = [*graph.input, *graph.output]
    for value in values:
        with contextlib.suppress(IndexError):
            dim = value.type.tensor_type.shape.dim[0]
            if isinstance(batch, int):
                dim.dim_value = batch
            else:
                dim.dim_param = batch
