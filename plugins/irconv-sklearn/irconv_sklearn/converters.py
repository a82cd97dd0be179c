"""The converters that skl2onnx lacks: those of onnxmltools, and one that needs plain integers.

This module needs the frameworks and is imported in the worker process only.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import skl2onnx
from skl2onnx.common._registration import get_converter, get_shape_calculator
from skl2onnx.common.shape_calculator import (
    calculate_linear_classifier_output_shapes,
    calculate_linear_regressor_output_shapes,
)
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from irconv_sklearn.estimators import LightgbmClassifier, LightgbmRegressor

__all__ = ["register_converters"]

_CLASSIFIER = {"zipmap": [True, False, "columns"], "nocl": [True, False]}
_BOOSTERS: dict[str, tuple[str, str, tuple[str, ...], tuple[str, ...]]] = {
    "xgboost": (
        "XGBoost",
        "convert_xgboost",
        ("XGBClassifier", "XGBRFClassifier"),
        ("XGBRegressor", "XGBRFRegressor", "XGBRanker"),
    ),
    "lightgbm": (
        "LightGbm",
        "convert_lightgbm",
        ("LGBMClassifier",),
        ("LGBMRegressor", "LGBMRanker"),
    ),
}
"""Module and function of onnxmltools for each library, its classifiers and its regressors."""


def register_converters() -> None:
    """Tell skl2onnx of all converters, as far as their libraries are installed."""
    for cls in (HistGradientBoostingClassifier, HistGradientBoostingRegressor):
        _repair(cls)
    for library, (module, function, classifiers, regressors) in _BOOSTERS.items():
        if importlib.util.find_spec(library) is None:
            continue
        package: Any = importlib.import_module(library)
        path = f"onnxmltools.convert.{library}.operator_converters.{module}"
        convert = getattr(importlib.import_module(path), function)
        for name in classifiers:
            _register_classifier(getattr(package, name), convert)
        for name in regressors:
            _register_regressor(getattr(package, name), convert)
        if library == "lightgbm":
            _register_classifier(LightgbmClassifier, convert)
            _register_regressor(LightgbmRegressor, convert)


def _register_classifier(cls: type, convert: Callable[..., None]) -> None:
    skl2onnx.update_registered_converter(
        cls,
        f"Irconv{cls.__name__}",
        calculate_linear_classifier_output_shapes,
        convert,
        options=_CLASSIFIER,
    )


def _register_regressor(cls: type, convert: Callable[..., None]) -> None:
    skl2onnx.update_registered_converter(
        cls,
        f"Irconv{cls.__name__}",
        calculate_linear_regressor_output_shapes,
        convert,
        options={"split": None},
    )


def _repair(cls: type) -> None:
    """Wrap a converter that writes booleans where onnx 1.20 and later take integers only."""
    alias = f"Sklearn{cls.__name__}"
    registered = get_converter(alias)

    def convert(scope: Any, operator: Any, container: Any) -> None:
        registered(scope, operator, _IntegerAttributes(container))

    skl2onnx.update_registered_converter(
        cls,
        f"Irconv{cls.__name__}",
        get_shape_calculator(alias),
        convert,
        options=registered.get_allowed_options(),
    )


class _IntegerAttributes:
    """A container of skl2onnx in which booleans of attributes become integers."""

    def __init__(self, container: Any) -> None:
        self._container = container

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)

    def add_node(self, *args: Any, **attributes: Any) -> Any:
        """Add a node; see ``ModelComponentContainer.add_node``."""
        return self._container.add_node(
            *args, **{name: _integers(value) for name, value in attributes.items()}
        )


def _integers(value: Any) -> Any:
    if isinstance(value, list) and any(isinstance(item, (bool, np.bool_)) for item in value):
        return [int(item) for item in value]
    return value
