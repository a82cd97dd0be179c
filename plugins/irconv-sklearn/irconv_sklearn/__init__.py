"""scikit-learn, XGBoost and LightGBM as sources of irconv."""

from __future__ import annotations

from irconv_sklearn.frontend import SklearnFrontend

__all__ = ["SklearnFrontend"]
