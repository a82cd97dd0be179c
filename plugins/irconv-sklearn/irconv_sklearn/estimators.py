"""Opening estimators: model files of XGBoost and LightGBM, pickles and factories.

This module needs the frameworks and is imported in the worker process only. What it opens has
the interface of scikit-learn's estimators.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from irconv.errors import InputError, MissingError
from irconv.frontends.factories import call_factory, first_line, user_line

__all__ = [
    "LightgbmClassifier",
    "LightgbmRegressor",
    "Opened",
    "final_step",
    "open_booster",
    "open_factory",
    "open_pickle",
]

_WHERE = "frontend sklearn"
_RETURNS = "a fitted estimator, or (estimator, X) with rows that it takes"
_HALF = 0.5


@dataclass
class Opened:
    """An estimator and what came with it.

    Attributes:
        estimator: The fitted estimator.
        example: Rows that it takes, an array or a table of pandas; None where there are none.
        notes: What was changed.
    """

    estimator: Any
    example: Any = None
    notes: list[str] = field(default_factory=list)


class LightgbmClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A booster of LightGBM, as a classifier whose classes are numbers from zero.

    Args:
        booster: The booster, with the objective ``binary`` or ``multiclass``.
        classes: Number of classes.
    """

    boosting_type = "gbdt"

    def __init__(self, booster: Any, classes: int) -> None:
        self.booster = self.booster_ = booster
        self.classes = classes
        self.classes_ = np.arange(classes)
        self.n_features_in_ = booster.num_feature()

    def predict_proba(self, rows: Any) -> Any:
        """Return the probability of each class, ``[rows, classes]``."""
        result = np.asarray(self.booster_.predict(rows))
        return result if result.ndim > 1 else np.stack([1 - result, result], axis=1)

    def predict(self, rows: Any) -> Any:
        """Return the most probable class of each row."""
        return self.classes_[np.argmax(self.predict_proba(rows), axis=1)]


class LightgbmRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A booster of LightGBM, as a regressor or ranker."""

    boosting_type = "gbdt"

    def __init__(self, booster: Any) -> None:
        self.booster = self.booster_ = booster
        self.n_features_in_ = booster.num_feature()

    def predict(self, rows: Any) -> Any:
        """Return a number for each row."""
        return self.booster_.predict(rows)


def final_step(estimator: Any) -> Any:
    """Return the last step of a pipeline, which gives the outputs; else the estimator."""
    while isinstance(estimator, Pipeline):
        estimator = estimator.steps[-1][1]
    return estimator


def open_booster(path: Path, library: str, objective: str, classes: int) -> Opened:
    """Open a model file that irconv has checked.

    Args:
        path: irconv's copy of it.
        library: ``xgboost`` or ``lightgbm``.
        objective: Its objective.
        classes: Number of classes; 0 for no classifier.

    Raises:
        InputError: If the library cannot read it.
        MissingError: If the library is not installed.
    """
    try:
        module: Any = importlib.import_module(library)
    except ImportError as error:
        raise MissingError(
            f"the model is one of {library}, which is not installed: {error}",
            where=_WHERE,
            hint=f"pip install 'irconv-sklearn[{library}]'",
        ) from error
    try:
        if library == "lightgbm":
            booster = module.Booster(model_file=str(path))
            return Opened(
                LightgbmClassifier(booster, classes) if classes else LightgbmRegressor(booster)
            )
        estimator = module.XGBClassifier() if classes else module.XGBRegressor()
        estimator.load_model(path)
    except Exception as error:
        raise InputError(
            f"{library} {module.__version__} cannot read the model: {first_line(error)}",
            where=_WHERE,
            hint=f"save it with this version of {library}",
        ) from error
    opened = _opened_xgboost(Opened(estimator))
    if objective == "multi:softmax":
        estimator.set_params(objective="multi:softprob")
        estimator.get_booster().set_param("objective", "multi:softprob")
        opened.notes.append("the objective multi:softmax is read as multi:softprob")
    return opened


def open_pickle(path: Path) -> Opened:
    """Open a pickle or a file of joblib, which runs what it says.

    Raises:
        InputError: If it cannot be opened, or holds no fitted estimator.
    """
    try:
        content = joblib.load(path)
    except Exception as error:
        raise InputError(
            f"the pickle cannot be opened: {first_line(error)}",
            where=user_line(error, _WHERE),
            hint="open it with the versions of Python and the packages that wrote it, and where "
            "Python finds the modules that it names",
        ) from error
    return _opened("the file", content)


def open_factory(target: str) -> Opened:
    """Call ``package.module:factory``.

    Raises:
        InputError: If it fails, or returns another thing.
    """
    return _opened(target, call_factory(target, where=_WHERE, returns=_RETURNS))


def _opened(what: str, content: Any) -> Opened:
    estimator, example = (
        content if isinstance(content, tuple) and len(content) == 2 else (content, None)
    )
    methods = ("predict", "transform", "predict_proba", "decision_function")
    if isinstance(estimator, type) or not any(hasattr(estimator, name) for name in methods):
        raise InputError(
            f"{what} gives a {type(estimator).__name__}, which is no estimator of scikit-learn",
            where=_WHERE,
            hint=f"give {_RETURNS}",
        )
    try:
        check_is_fitted(estimator)
    except (NotFittedError, TypeError) as error:
        raise InputError(
            f"{what} gives an estimator that cannot predict yet: {first_line(error)}",
            where=_WHERE,
            hint="call fit before it is saved or returned",
        ) from error
    return _opened_xgboost(Opened(estimator, example))


def _opened_xgboost(opened: Opened) -> Opened:
    """Take the names of columns from a booster of XGBoost; onnxmltools counts columns."""
    final = final_step(opened.estimator)
    if hasattr(final, "get_booster"):
        booster = final.get_booster()
        booster.feature_names = booster.feature_types = None
    return opened
