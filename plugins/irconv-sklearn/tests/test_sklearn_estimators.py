"""Every kind of estimator: the converted model gives the estimator's own outputs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from irconv_sklearn.service import SklearnService

import irconv
from irconv.errors import InputError, UnsupportedError
from irconv.graph.interface import input_specs, output_specs
from irconv.graph.reading.load import load_model
from irconv.runtime.onnxruntime import OnnxRuntimeRunner
from irconv.runtime.values import load_samples
from irconv.testing import assert_frontend_conforms

TOLERANCE = 2e-5
CLASSIFIERS = (
    "logistic_regression", "binary_logistic_regression", "text_labels", "random_forest",
    "extra_trees", "gradient_boosting", "hist_gradient_boosting", "decision_tree", "bayes",
    "nearest", "mlp", "lda", "voting", "stacking", "xgb_classifier", "xgb_in_a_pipeline",
    "lgbm_classifier",
)  # fmt: skip
SCORERS = (
    "svc", "binary_svc", "linear_svc", "binary_linear_svc", "perceptron", "ridge_classifier",
    "k_means", "isolation_forest",
)  # fmt: skip
REGRESSORS = (
    "random_forest_regressor", "gradient_boosting_regressor", "svr", "ridge", "lgbm_regressor",
    "xgb_ranker", "scaler", "pca",
)  # fmt: skip


@pytest.fixture(autouse=True)
def models(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    import sklearn_models

    return sklearn_models


def convert(name: str, folder: Path, inputs: Any = (), shapes: Any = ()) -> tuple[Any, Any, Any]:
    """Return the service, the model, and the example that came with it."""
    service = SklearnService()
    service.open_factory(f"sklearn_models:{name}")
    facts = service.export(str(folder / "m.onnx"), str(folder / "x.npz"), 18, inputs, dict(shapes))
    example = load_samples(folder / "x.npz")[0] if facts["examples"] else None
    return service, load_model(folder / "m.onnx").model, example


def between(rows: Any) -> Any:
    """Rows that are no training rows: trees split exactly at those, where rounding decides."""
    return (0.6 * rows[:-1] + 0.4 * rows[1:]).astype(np.float32)


@pytest.mark.parametrize("name", [*CLASSIFIERS, *SCORERS, *REGRESSORS])
def test_outputs_are_those_of_the_estimator(name: str, models: Any, tmp_path: Path) -> None:
    service, model, _ = convert(name, tmp_path)
    outputs = [spec.name for spec in output_specs(model)]
    second = "probabilities" if name in CLASSIFIERS else "scores"
    assert outputs == (["variable"] if name in REGRESSORS else ["label", second])
    assert str(input_specs(model)[0]) == f"X: float32[batch,{models.FEATURES}]"
    rows = between(models.data()[0])
    with OnnxRuntimeRunner(tmp_path / "m.onnx") as runner:
        for sample in (rows[:1], rows[:50], rows):
            wanted, found = service.runner.run({"X": sample}), runner.run({"X": sample})
            assert list(wanted) == list(found) == outputs
            for output, value in wanted.items():
                assert np.asarray(value).dtype == np.asarray(found[output]).dtype
                assert np.shape(value) == np.shape(found[output])
                if output == "label":
                    assert np.mean(value == found[output]) > 0.99
                else:
                    np.testing.assert_allclose(found[output], value, TOLERANCE, TOLERANCE)


@pytest.mark.parametrize("name", ["random_forest", "svc", "gradient_boosting_regressor"])
def test_examples_reach_what_noise_around_zero_does_not(
    name: str, models: Any, tmp_path: Path
) -> None:
    service, _, example = convert(name, tmp_path)
    assert example is not None
    assert example["X"].shape == (24, models.FEATURES)
    outputs = service.runner.run(example)
    assert all(len(np.unique(value, axis=0)) > 1 for value in outputs.values())


@pytest.mark.slow
def test_the_tolerance_of_an_isolation_forest_can_be_missed(tmp_path: Path) -> None:
    """Numbers of leaves are looked up; noise on them would give a tolerance larger than scores."""
    options = {"trust": True, "frontend": "sklearn"}
    result = irconv.compile("sklearn_models:isolation_forest", ["onnx"], tmp_path, **options)
    assert result.targets[0].error is None
    scores = result.targets[0].manifest["verification"]["outputs"][1]
    assert scores["name"] == "scores"
    assert scores["max_abs"] <= scores["tolerance"] < 1e-4


def test_the_example_obeys_the_range(tmp_path: Path) -> None:
    _, _, example = convert("random_forest", tmp_path, shapes={"batch": (1, 2, 4)}.items())
    assert len(example["X"]) == 4


def test_a_fixed_batch_and_double_precision(models: Any, tmp_path: Path) -> None:
    stated = [("rows", [5, models.FEATURES], "float64")]
    service, model, _ = convert("ridge", tmp_path, stated)
    assert [str(spec) for spec in input_specs(model)] == ["rows: float64[5,6]"]
    assert [str(spec) for spec in output_specs(model)] == ["variable: float64[5,1]"]
    rows = models.data()[0][:5].astype(np.float64)
    with OnnxRuntimeRunner(tmp_path / "m.onnx") as runner:
        wanted, found = service.runner.run({"rows": rows}), runner.run({"rows": rows})
    np.testing.assert_allclose(found["variable"], wanted["variable"], rtol=1e-13)


@pytest.mark.parametrize("name", ["mixed_columns", "mixed_columns_with_rows"])
def test_columns_of_a_table(name: str, models: Any, tmp_path: Path) -> None:
    service, model, example = convert(name, tmp_path)
    assert [str(spec) for spec in input_specs(model)] == [
        "age: float32[batch,1]",
        "income: float32[batch,1]",
        "city: string[batch,1]",
    ]
    assert set(example["city"].ravel()) == {"Oslo", "Rome", "Lima"}
    table = models.table()
    feeds = {
        "age": table[["age"]].to_numpy(),
        "income": table[["income"]].to_numpy(),
        "city": table[["city"]].to_numpy(dtype=object),
    }
    with OnnxRuntimeRunner(tmp_path / "m.onnx") as runner:
        wanted, found = service.runner.run(feeds), runner.run(feeds)
    np.testing.assert_allclose(
        found["probabilities"], wanted["probabilities"], TOLERANCE, TOLERANCE
    )
    assert len(np.unique(wanted["label"])) == 2


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ([("X", ["batch"], None)], "has the shape"),
        ([("X", ["batch", 6], "float16")], "has the shape"),
        ([("X", ["batch", 5], None)], "have 5 columns, and the estimator takes 6"),
        ([("a", ["batch", 3], None), ("b", ["batch", 3], None)], "is more than one column"),
    ],
)
def test_inputs_that_do_not_fit(stated: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message) as caught:
        convert("random_forest", tmp_path, stated)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("unfitted", InputError, "cannot predict yet"),
        ("no_estimator", InputError, "no estimator of scikit-learn"),
        ("homemade", UnsupportedError, "Unable to find a shape calculator"),
    ],
)
def test_what_cannot_be_converted(
    name: str, error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        convert(name, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["logistic_regression", "random_forest", "mixed_columns"])
def test_from_a_factory_to_a_verified_artifact(name: str, tmp_path: Path) -> None:
    result = irconv.compile(
        f"sklearn_models:{name}", ["onnx"], tmp_path, trust=True, frontend="sklearn"
    )
    assert result.exit_code == 0
    manifest = result.targets[0].manifest
    assert manifest["verification"]["level"] == "artifact"
    assert manifest["source"]["frontend"] == "sklearn"
    assert manifest["verification"]["reference"]["runtime"] == "sklearn"


@pytest.mark.slow
def test_other_targets_refuse_by_name(tmp_path: Path) -> None:
    result = irconv.compile(
        "sklearn_models:logistic_regression",
        ["openvino", "tflite"],
        tmp_path,
        trust=True,
        frontend="sklearn",
    )
    assert result.exit_code == 4
    for target in result.targets:
        assert "ai.onnx.ml::LinearClassifier" in str(target.error)


@pytest.mark.slow
def test_it_keeps_every_promise_about_code() -> None:
    report = assert_frontend_conforms("sklearn", "sklearn_models:random_forest", trust=True)
    assert [str(outcome) for outcome in report.outcomes if outcome.status != "pass"] == []
