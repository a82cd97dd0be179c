"""From an estimator to an ONNX file with ai.onnx.ml operators, by skl2onnx and onnxmltools.

This module needs the frameworks and is imported in the worker process only.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import skl2onnx
from onnx import helper
from skl2onnx.common import data_types
from skl2onnx.common.exceptions import MissingConverter, MissingShapeCalculator
from skl2onnx.common.shape_calculator import (
    calculate_linear_classifier_output_shapes,
    calculate_linear_regressor_output_shapes,
)

from irconv.errors import Diagnostic, UnsupportedError
from irconv.frontends.factories import first_line
from irconv_sklearn.columns import Columns
from irconv_sklearn.estimators import LightgbmClassifier, LightgbmRegressor

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
_CLASSIFIER = {"zipmap": [True, False, "columns"], "nocl": [True, False]}
_CONVERTERS = {
    "xgboost": ("XGBoost", "convert_xgboost", ("XGBClassifier", "XGBRFClassifier"),
                ("XGBRegressor", "XGBRFRegressor")),
    "lightgbm": ("LightGbm", "convert_lightgbm", ("LGBMClassifier",),
                 ("LGBMRegressor", "LGBMRanker")),
}  # fmt: skip


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
    _register_converters()
    types = [(entry.name, _TYPES[entry.dtype]([None, entry.width])) for entry in columns.entries]
    options = {"zipmap": False} if hasattr(estimator, "classes_") else None
    try:
        model = skl2onnx.convert_sklearn(
            estimator,
            name=type(estimator).__name__,
            initial_types=types,
            target_opset={"": opset, "ai.onnx.ml": ONNX_ML},
            options=options,
        )
    except Exception as error:
        raise _cannot_convert(error) from error
    if hasattr(estimator, "classes_") and not hasattr(estimator, "predict_proba"):
        _name_scores(model, estimator)
    _name_batch(model.graph, columns.batch)
    onnx.save(model, path)
    return model


def _register_converters() -> None:
    """Tell skl2onnx of the converters of onnxmltools, for the libraries that are installed."""
    for library, (module, function, classifiers, regressors) in _CONVERTERS.items():
        if importlib.util.find_spec(library) is None:
            continue
        package: Any = importlib.import_module(library)
        convert = getattr(
            importlib.import_module(f"onnxmltools.convert.{library}.operator_converters.{module}"),
            function,
        )
        own = library == "lightgbm"
        for cls in (*(getattr(package, name) for name in classifiers), *own * [LightgbmClassifier]):
            skl2onnx.update_registered_converter(
                cls, f"Irconv{cls.__name__}", calculate_linear_classifier_output_shapes,
                convert, options=_CLASSIFIER,
            )  # fmt: skip
        for cls in (*(getattr(package, name) for name in regressors), *own * [LightgbmRegressor]):
            skl2onnx.update_registered_converter(
                cls, f"Irconv{cls.__name__}", calculate_linear_regressor_output_shapes,
                convert, options={"split": None},
            )  # fmt: skip


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

    scikit-learn gives one score of two classes, skl2onnx both.
    """
    graph = model.graph
    if len(graph.output) != 2:
        return
    output = graph.output[1]
    dims = output.type.tensor_type.shape.dim
    if len(estimator.classes_) == 2 and dims[-1].dim_value != 1:
        graph.initializer.append(onnx.numpy_helper.from_array(np.array([1]), "irconv_second"))
        graph.node.append(
            helper.make_node("Gather", [output.name, "irconv_second"], ["scores"], "scores", axis=1)
        )
        dims[-1].dim_value = 1
    else:
        graph.node.append(helper.make_node("Identity", [output.name], ["scores"], "scores"))
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
