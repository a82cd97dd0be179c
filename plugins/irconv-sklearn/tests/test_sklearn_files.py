"""Model files of XGBoost and LightGBM: read, verified, and refused where they are damaged."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import lightgbm
import numpy as np
import pytest
import xgboost
from irconv_sklearn import SklearnFrontend
from irconv_sklearn.lightgbm_file import read_lightgbm, without_parameters
from irconv_sklearn.ubjson import read_ubjson
from irconv_sklearn.xgboost_file import read_xgboost

import irconv
from irconv.errors import InputError, UnsupportedError
from irconv.frontends.base import ImportRequest
from irconv.testing import assert_frontend_conforms
from irconv.worker import WorkerLimits

ROWS = np.random.default_rng(1).standard_normal((300, 5)).astype(np.float32)
SIGNAL = ROWS[:, 0] + ROWS[:, 1] * ROWS[:, 2]
LABELS = np.digitize(SIGNAL, [-0.5, 0.5])


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one model of each kind."""
    folder = tmp_path_factory.mktemp("boosters")
    classifier = xgboost.XGBClassifier(n_estimators=5, max_depth=3).fit(ROWS, LABELS)
    regressor = xgboost.XGBRegressor(n_estimators=5, max_depth=3).fit(ROWS, SIGNAL)
    for name, model in (("classifier", classifier), ("regressor", regressor)):
        model.save_model(folder / f"{name}.json")
        model.save_model(folder / f"{name}.ubj")
    for name, params, target in (
        ("binary", {"objective": "binary"}, LABELS > 0),
        ("classes", {"objective": "multiclass", "num_class": 3}, LABELS),
        ("number", {"objective": "regression"}, SIGNAL),
    ):
        data = lightgbm.Dataset(ROWS, label=target)
        booster = lightgbm.train(params | {"verbose": -1, "num_leaves": 6}, data, 5)
        booster.save_model(folder / f"{name}.txt")
    return folder


def request(folder: Path, *, trust: bool = False) -> ImportRequest:
    scratch = folder / "scratch"
    scratch.mkdir()
    return ImportRequest(directory=scratch, limits=WorkerLimits(seconds=120), trust=trust)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["classifier.ubj", "regressor.json", "binary.txt", "classes.txt", "number.txt"],
)
def test_compiled_and_verified(name: str, files: Path, tmp_path: Path) -> None:
    result = irconv.compile(files / name, ["onnx"], tmp_path)
    assert result.exit_code == 0
    manifest = result.targets[0].manifest
    assert manifest["source"]["bytes"] == (files / name).stat().st_size
    assert len(manifest["source"]["sha256"]) == 64
    library = "lightgbm" if name.endswith(".txt") else "xgboost"
    assert manifest["verification"]["reference"]["runtime"].endswith(library)


def test_both_forms_of_xgboost_say_the_same(files: Path) -> None:
    facts = [
        read_xgboost((files / f"classifier{suffix}").read_bytes()) for suffix in (".json", ".ubj")
    ]
    assert facts[0] == facts[1]
    assert facts[0].classes == 3
    assert facts[0].trees == 15
    assert facts[0].nodes > 45


def test_inspect_runs_nothing_and_needs_no_library(files: Path) -> None:
    facts = irconv.inspect(files / "binary.txt")
    assert facts["library"] == "lightgbm"
    assert facts["objective"] == "binary sigmoid:1"
    assert facts["inputs"] == [{"name": "X", "dtype": "float32", "shape": ["batch", 5]}]
    assert facts["outputs"] == ["label", "probabilities"]
    assert facts["trees"] == 5
    assert not facts["needs_trust"]


@pytest.mark.parametrize(
    "params",
    [
        {"gamma": 5.0, "tree_method": "exact"},
        {"gamma": 5.0, "tree_method": "approx"},
        {"gamma": 3.0, "grow_policy": "lossguide", "max_leaves": 20, "max_depth": 0},
        {"gamma": 1e9},
    ],
)
def test_pruned_trees_of_xgboost_are_sound(params: dict[str, Any]) -> None:
    booster = xgboost.train(params, xgboost.DMatrix(ROWS, label=SIGNAL), 10)
    forms = [read_xgboost(bytes(booster.save_raw(form))) for form in ("json", "ubj")]
    assert forms[0] == forms[1]
    assert forms[0].trees == 10


@pytest.mark.parametrize(
    "params",
    [{"num_leaves": 2}, {"min_data_in_leaf": 290}, {"boosting": "dart"}, {"extra_trees": True}],
)
def test_unusual_trees_of_lightgbm_are_sound(params: dict[str, Any], tmp_path: Path) -> None:
    data = lightgbm.Dataset(ROWS, label=SIGNAL)
    booster = lightgbm.train(params | {"verbose": -1}, data, 10)
    text = booster.model_to_string().encode()
    facts = read_lightgbm(text)
    assert facts.trees == booster.num_trees()
    path = tmp_path / "model.txt"
    path.write_bytes(without_parameters(text))
    again = lightgbm.Booster(model_file=str(path))
    np.testing.assert_array_equal(again.predict(ROWS), booster.predict(ROWS))


Change = Callable[[dict[str, Any]], None]


def first_tree(document: dict[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = document["learner"]["gradient_booster"]["model"]["trees"][0]
    return tree


def param(name: str, value: str) -> Change:
    return lambda document: document["learner"]["learner_model_param"].update({name: value})


def tree(name: str, index: int, value: Any) -> Change:
    return lambda document: first_tree(document)[name].__setitem__(index, value)


XGBOOST = {
    "a child outside": tree("left_children", 0, 10**6),
    "a child twice": tree("left_children", 0, 2),
    "leaves of vectors": lambda d: first_tree(d)["tree_param"].update(size_leaf_vector="7"),
    "another id": lambda d: first_tree(d).update(id=9),
    "a parent outside": tree("parents", 1, 10**6),
    "another parent": tree("parents", 2, 1),
    "a child before the first": tree("left_children", -1, -7),
    "a cycle": tree("left_children", 1, 0),
    "one child": tree("left_children", 0, -1),
    "a feature outside": tree("split_indices", 0, 99),
    "a text as a child": tree("left_children", 0, "x"),
    "a huge child": tree("left_children", 0, 10**30),
    "a short list": lambda d: first_tree(d)["split_conditions"].pop(),
    "a huge tree": lambda d: first_tree(d)["tree_param"].update(num_nodes="2000000000"),
    "no trees where some are stated": lambda d: d["learner"]["gradient_booster"]["model"].update(
        trees=[]
    ),
    "a group outside": lambda d: d["learner"]["gradient_booster"]["model"]["tree_info"].__setitem__(
        0, 7
    ),
    "categories outside": lambda d: first_tree(d).update(
        categories=[1], categories_nodes=[0], categories_segments=[0], categories_sizes=[9]
    ),
    "huge numbers of features": param("num_feature", "99999999999"),
    "no number of features": param("num_feature", "many"),
    "a huge number of classes": param("num_class", "-3"),
    "no learner's parts": lambda d: d.update(learner={}),
    "a learner of text": lambda d: d.update(learner="x"),
    "a version of text": lambda d: d.update(version=["x"]),
}


@pytest.mark.parametrize("name", XGBOOST)
def test_a_damaged_model_of_xgboost(name: str, files: Path, tmp_path: Path) -> None:
    document = json.loads((files / "classifier.json").read_text())
    changed = copy.deepcopy(document)
    XGBOOST[name](changed)
    assert changed != document
    path = tmp_path / "model.json"
    path.write_text(json.dumps(changed))
    with pytest.raises(InputError, match="damaged") as caught:
        SklearnFrontend().load(str(path), request(tmp_path))
    assert caught.value.hint
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("name", ["classifier.json", "classifier.ubj", "classes.txt"])
def test_a_file_that_ends_early(name: str, share: float, files: Path, tmp_path: Path) -> None:
    data = (files / name).read_bytes()
    if name == "classes.txt":
        data = data[: data.index(b"end of trees")]
    path = tmp_path / name
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError):
        SklearnFrontend().load(str(path), request(tmp_path))


@pytest.mark.parametrize("name", ["classifier.ubj", "classes.txt"])
def test_garbage_in_the_middle_never_escapes(name: str, files: Path) -> None:
    data = (files / name).read_bytes()
    read = read_lightgbm if name.endswith(".txt") else read_xgboost
    random = np.random.default_rng(2)
    refused = 0
    for _ in range(300):
        start = int(random.integers(1, len(data) - 8))
        noise = random.integers(0, 256, 8).astype(np.uint8).tobytes()
        try:
            read(data[:start] + noise + data[start + 8 :])
        except InputError:
            refused += 1
    assert refused > 30


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"{L\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"{i\x01a[$d#L\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"{i\x01a[$T#L\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"{i\x01a[#L\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"{i\x01a" + b"[" * 5000,
        b"{i\x01aq}",
        b"{}trailing",
        b"{i\xffa}",
    ],
)
def test_hostile_ubjson(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_ubjson(data)


LIGHTGBM = {
    "a line that ends early": ("internal_value=", "internal_value=\n"),
    "a short list of weights": ("leaf_weight=", "leaf_weight=1\nunknown="),
    "a line without anything": ("threshold=", "\nthreshold="),
    "a key twice": ("shrinkage=", "num_leaves=6\nshrinkage="),
    "a child outside": ("left_child=1", "left_child=99"),
    "a leaf outside": ("right_child=-2", "right_child=-99"),
    "a feature outside": ("split_feature=0", "split_feature=99"),
    "a huge number of leaves": ("num_leaves=6", "num_leaves=2000000000"),
    "no number of leaves": ("num_leaves=6", "num_leaves=six"),
    "a huge number of features": ("max_feature_idx=4", "max_feature_idx=4000000000"),
    "another number of features": ("max_feature_idx=4", "max_feature_idx=3"),
    "a huge tree": ("tree_sizes=", "tree_sizes=99999999 "),
    "a negative tree": ("tree_sizes=", "tree_sizes=-1 "),
    "no sizes": ("tree_sizes=", "sizes="),
    "no classes": ("num_class=1", "num_class=0"),
    "categories that are not there": ("num_cat=0", "num_cat=7"),
}


@pytest.mark.parametrize("name", LIGHTGBM)
def test_a_damaged_model_of_lightgbm(name: str, files: Path, tmp_path: Path) -> None:
    old, new = LIGHTGBM[name]
    text = (files / "binary.txt").read_text()
    index = text.index(old) if old in text else text.index(old.partition("=")[0] + "=")
    changed = text[:index] + new + text[index + len(old) :]
    grown = len(new) - len(old)
    if index > text.index("Tree=0"):  # keep the sizes right, so that the change is what is found
        size = text.partition("tree_sizes=")[2].partition(" ")[0]
        changed = changed.replace(f"tree_sizes={size} ", f"tree_sizes={int(size) + grown} ", 1)
    path = tmp_path / "model.txt"
    path.write_text(changed)
    with pytest.raises(InputError, match="damaged"):
        SklearnFrontend().load(str(path), request(tmp_path))


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"objective": "mape"}, "objective 'mape'"),
        ({"objective": "regression", "linear_tree": True}, "linear models"),
        ({"objective": "regression", "reg_sqrt": True}, "'sqrt'"),
        ({"objective": "binary", "sigmoid": 2.0}, "'sigmoid:2'"),
        (
            {"objective": "regression", "boosting": "rf", "bagging_freq": 1,
             "bagging_fraction": 0.5},
            "average",
        ),
    ],
)  # fmt: skip
def test_what_the_conversion_would_get_wrong(
    params: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    target = (LABELS > 0) if params["objective"] == "binary" else np.abs(SIGNAL) + 1
    booster = lightgbm.train(params | {"verbose": -1}, lightgbm.Dataset(ROWS, label=target), 3)
    path = tmp_path / "model.txt"
    booster.save_model(path)
    with pytest.raises(UnsupportedError, match=reason):
        SklearnFrontend().load(str(path), request(tmp_path))


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"objective": "binary:logistic", "booster": "dart"}, "'dart'"),
        ({"objective": "binary:logistic", "booster": "gblinear"}, "'gblinear'"),
        ({"objective": "reg:logistic"}, "objective 'reg:logistic'"),
    ],
)
def test_boosters_of_another_kind(params: dict[str, Any], reason: str, tmp_path: Path) -> None:
    booster = xgboost.train(params, xgboost.DMatrix(ROWS, label=LABELS > 0), 3)
    path = tmp_path / "model.ubj"
    booster.save_model(path)
    with pytest.raises(UnsupportedError, match=reason):
        SklearnFrontend().load(str(path), request(tmp_path))
    assert reason in " ".join(SklearnFrontend().inspect(str(path))["obstacles"])


class Evil:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return exec, (f"open({str(self.marker)!r}, 'w').close()",)


@pytest.mark.parametrize("suffix", [".pkl", ".pickle", ".joblib"])
def test_a_pickle_is_refused_and_nothing_of_it_runs(suffix: str, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    path = tmp_path / f"model{suffix}"
    if suffix == ".joblib":
        joblib.dump({"weights": np.arange(2048.0), "payload": Evil(marker)}, path)
    else:
        path.write_bytes(pickle.dumps(Evil(marker)))
    with pytest.raises(InputError, match=r"builtins\.exec") as caught:
        SklearnFrontend().load(str(path), request(tmp_path))
    assert "--trust" in caught.value.hint
    facts = SklearnFrontend().inspect(str(path))
    assert facts["needs_trust"]
    assert "builtins.exec" in facts["imports"]
    assert not marker.exists()
    joblib.load(path)
    assert marker.exists(), "the attack is real"


def test_code_needs_trust(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is code"):
        SklearnFrontend().load("sklearn_models:ridge", request(tmp_path))
    assert SklearnFrontend().inspect("sklearn_models:ridge")["needs_trust"]


@pytest.mark.slow
def test_a_trusted_pickle(tmp_path: Path) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    path = tmp_path / "model.joblib"
    joblib.dump(make_pipeline(StandardScaler(), LogisticRegression()).fit(ROWS, LABELS), path)
    result = irconv.compile(path, ["onnx"], tmp_path / "build", trust=True)
    assert result.exit_code == 0


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"nonsense", pickle.dumps({"a": 1})])
def test_a_trusted_pickle_of_something_else(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"cannot be opened|no estimator"):
        SklearnFrontend().load(str(path), request(tmp_path, trust=True))


@pytest.mark.parametrize(
    ("name", "content", "known"),
    [
        ("model.ubj", b"", True),
        ("model.pkl", b"", True),
        ("model.json", b'{"learner":{}}', True),
        ("settings.json", b'{"name": "x"}', False),
        ("model.txt", b"tree\nversion=v4\n", True),
        ("notes.txt", b"some notes", False),
        ("model.onnx", b"", False),
    ],
)
def test_what_is_recognized(name: str, content: bytes, known: bool, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    assert SklearnFrontend().recognizes(str(tmp_path / name)) is known


def test_the_command_line_says_it_in_one_line(tmp_path: Path, irconv_run: Any) -> None:
    path = tmp_path / "model.ubj"
    path.write_bytes(b"{L\x00\x00")
    done = irconv_run("compile", path, "--target", "onnx", "-o", tmp_path / "build")
    assert done.returncode == 2
    assert "damaged" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "build").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["classifier.ubj", "number.txt"])
def test_it_keeps_every_promise(name: str, files: Path) -> None:
    report = assert_frontend_conforms(SklearnFrontend(), files / name)
    assert [str(outcome) for outcome in report.outcomes if outcome.status != "pass"] == []
