"""Estimators for the tests: each function is a factory that fits one on seeded data."""

from __future__ import annotations

import warnings
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import xgboost
from sklearn import (
    cluster,
    compose,
    decomposition,
    discriminant_analysis,
    ensemble,
    linear_model,
    naive_bayes,
    neighbors,
    neural_network,
    pipeline,
    preprocessing,
    svm,
    tree,
)

warnings.simplefilter("ignore")
FEATURES = 6


def data(classes: int = 3) -> tuple[Any, Any, Any]:
    """Rows far from zero with different scales, classes, and a number to predict."""
    random = np.random.default_rng(5)
    rows = random.standard_normal((400, FEATURES)) * [1, 5, 20, 0.1, 2, 3]
    rows += [0, 10, -50, 3, 0, 7]
    rows = rows.astype(np.float32)
    signal = rows[:, 0] + (rows[:, 1] - 10) / 5 * rows[:, 4] / 2 + np.sin(rows[:, 2])
    signal = signal + random.standard_normal(400) * 0.3
    labels = np.digitize(signal, np.quantile(signal, np.arange(1, classes) / classes))
    return rows, labels, signal


def fitted(estimator: Any, target: str = "labels", classes: int = 3) -> Any:
    rows, labels, signal = data(classes)
    wanted = {"labels": labels, "signal": signal, "none": None, "positive": np.exp(signal / 3)}
    return estimator.fit(rows, wanted[target])


def scaled(estimator: Any) -> Any:
    return pipeline.make_pipeline(preprocessing.StandardScaler(), estimator)


def logistic_regression() -> Any:
    return fitted(scaled(linear_model.LogisticRegression(max_iter=500)))


def binary_logistic_regression() -> Any:
    return fitted(scaled(linear_model.LogisticRegression()), classes=2)


def text_labels() -> Any:
    rows, labels, _ = data()
    names = np.array(["cat", "dog", "bird"])[labels]
    return scaled(linear_model.LogisticRegression()).fit(rows, names)


def random_forest() -> Any:
    return fitted(ensemble.RandomForestClassifier(15, max_depth=6, random_state=0))


def random_forest_regressor() -> Any:
    return fitted(ensemble.RandomForestRegressor(15, max_depth=6, random_state=0), "signal")


def extra_trees() -> Any:
    return fitted(ensemble.ExtraTreesClassifier(15, max_depth=6, random_state=0))


def gradient_boosting() -> Any:
    return fitted(ensemble.GradientBoostingClassifier(n_estimators=15, random_state=0))


def gradient_boosting_regressor() -> Any:
    return fitted(ensemble.GradientBoostingRegressor(n_estimators=30, random_state=0), "signal")


def hist_gradient_boosting() -> Any:
    return fitted(ensemble.HistGradientBoostingClassifier(max_iter=10, random_state=0))


def decision_tree() -> Any:
    return fitted(tree.DecisionTreeClassifier(max_depth=5, random_state=0))


def svc() -> Any:
    return fitted(scaled(svm.SVC()))


def binary_svc() -> Any:
    return fitted(scaled(svm.SVC(kernel="poly")), classes=2)


def linear_svc() -> Any:
    return fitted(scaled(svm.LinearSVC()))


def binary_linear_svc() -> Any:
    return fitted(scaled(svm.LinearSVC()), classes=2)


def svr() -> Any:
    return fitted(scaled(svm.SVR()), "signal")


def ridge() -> Any:
    return fitted(scaled(linear_model.Ridge()), "signal")


def bayes() -> Any:
    return fitted(naive_bayes.GaussianNB())


def nearest() -> Any:
    return fitted(scaled(neighbors.KNeighborsClassifier(5)))


def mlp() -> Any:
    return fitted(scaled(neural_network.MLPClassifier((16,), max_iter=60, random_state=0)))


def lda() -> Any:
    return fitted(discriminant_analysis.LinearDiscriminantAnalysis())


def k_means() -> Any:
    return fitted(scaled(cluster.KMeans(4, random_state=0)), "none")


def scaler() -> Any:
    return fitted(preprocessing.StandardScaler(), "none")


def pca() -> Any:
    return fitted(scaled(decomposition.PCA(3)), "none")


def voting() -> Any:
    parts = [("lr", scaled(linear_model.LogisticRegression())), ("nb", naive_bayes.GaussianNB())]
    return fitted(ensemble.VotingClassifier(parts, voting="soft", flatten_transform=False))


def stacking() -> Any:
    parts = [("lr", linear_model.LogisticRegression()), ("nb", naive_bayes.GaussianNB())]
    return fitted(scaled(ensemble.StackingClassifier(parts, cv=3)))


def isolation_forest() -> Any:
    return fitted(ensemble.IsolationForest(n_estimators=10, random_state=0), "none")


def perceptron() -> Any:
    return fitted(scaled(linear_model.SGDClassifier(random_state=0)), classes=2)


def ridge_classifier() -> Any:
    return fitted(scaled(linear_model.RidgeClassifier()))


def xgb_ranker() -> Any:
    rows, labels, _ = data()
    return xgboost.XGBRanker(n_estimators=8).fit(rows, labels, group=[100] * 4)


def xgb_classifier() -> Any:
    return fitted(xgboost.XGBClassifier(n_estimators=12, max_depth=4))


def xgb_in_a_pipeline() -> Any:
    return fitted(scaled(xgboost.XGBClassifier(n_estimators=12, max_depth=4)), classes=2)


def lgbm_classifier() -> Any:
    return fitted(lightgbm.LGBMClassifier(n_estimators=12, num_leaves=8, verbose=-1))


def lgbm_regressor() -> Any:
    return fitted(lightgbm.LGBMRegressor(n_estimators=12, num_leaves=8, verbose=-1), "signal")


def table() -> pd.DataFrame:
    random = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "age": random.uniform(18, 80, 300).astype(np.float32),
            "income": random.lognormal(8, 1, 300).astype(np.float32),
            "city": random.choice(["Oslo", "Rome", "Lima"], 300),
        }
    )


def mixed_columns() -> Any:
    """A pipeline that scales numbers and encodes texts, as most of them do."""
    rows = table()
    wanted = (rows["age"] + 20 * (rows["city"] == "Rome") > 50).to_numpy()
    columns = compose.ColumnTransformer(
        [
            ("numbers", preprocessing.StandardScaler(), ["age", "income"]),
            ("texts", preprocessing.OneHotEncoder(handle_unknown="ignore"), ["city"]),
        ]
    )
    return pipeline.make_pipeline(columns, linear_model.LogisticRegression()).fit(rows, wanted)


def mixed_columns_with_rows() -> Any:
    return mixed_columns(), table()


def unfitted() -> Any:
    return linear_model.LogisticRegression()


def no_estimator() -> Any:
    return {"weights": [1, 2]}


class Homemade(linear_model.LogisticRegression):
    """An estimator that no converter knows."""


def homemade() -> Any:
    return fitted(Homemade())
