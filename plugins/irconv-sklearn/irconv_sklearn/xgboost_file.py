"""Checking an XGBoost model file, JSON or UBJSON, without XGBoost.

XGBoost follows the numbers in a file without looking whether they lead outside of it, so every
index is checked here first. Format: https://xgboost.readthedocs.io, "Introduction to Model IO".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import psutil

from irconv.errors import InputError
from irconv_sklearn.booster import (
    DEEPEST_TREE,
    MOST_FEATURES,
    WHERE,
    Booster,
    check_tree,
    damaged,
    integer,
    numbers,
)
from irconv_sklearn.ubjson import read_ubjson

__all__ = ["is_binary", "read_xgboost"]

_LIBRARY = "XGBoost"
_MEMORY_PER_BYTE = 12
"""Bytes of Python objects for one byte of JSON, measured on lists of short numbers."""

_NO_PARENT = (-1, 2**31 - 1)

_CLASSIFIERS = ("binary:logistic", "multi:softprob", "multi:softmax")
_REGRESSORS = (
    "reg:squarederror", "reg:linear", "reg:squaredlogerror", "reg:absoluteerror",
    "reg:pseudohubererror", "reg:quantileerror",
    "count:poisson", "reg:gamma", "reg:tweedie",
    "binary:logitraw", "rank:pairwise", "rank:ndcg", "rank:map",
)  # fmt: skip


def read_xgboost(data: bytes) -> Booster:
    """Check a model file and return its facts.

    Args:
        data: The whole file, which begins with ``{``.

    Raises:
        InputError: If it is damaged or of another format.
    """
    try:
        return _Checker(_document(data)).booster
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise damaged(f"it is not of the form that XGBoost writes ({error!r})", _LIBRARY) from error


def is_binary(data: bytes) -> bool:
    """Say whether a file that begins with ``{`` is UBJSON; a key's length follows there."""
    return data[1:2] in (b"L", b"i", b"U", b"I", b"l", b"$", b"#")


def _document(data: bytes) -> dict[str, Any]:
    needed, free = len(data) * _MEMORY_PER_BYTE, psutil.virtual_memory().available
    if needed > free:
        raise InputError(
            f"reading the model takes about {needed / 2**30:.1f} GiB of memory, and "
            f"{free / 2**30:.1f} GiB are free",
            where=WHERE,
            hint="use a machine with more memory",
        )
    binary = is_binary(data)
    try:
        document = read_ubjson(data) if binary else json.loads(data)
    except (ValueError, RecursionError) as error:
        kind = "UBJSON" if binary else "JSON"
        raise damaged(f"it is no {kind}: {str(error)[:200]}", _LIBRARY) from error
    if not isinstance(document, dict) or "learner" not in document:
        raise InputError(
            "the file is JSON, but no model of XGBoost: it has no 'learner'",
            where=WHERE,
            hint="give a file that XGBoost's save_model wrote",
        )
    return document


class _Checker:
    """Goes through a document once and collects its facts."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        learner = document["learner"]
        params = learner["learner_model_param"]
        objective = str(learner["objective"]["name"])
        features = integer(
            params["num_feature"], "num_feature", _LIBRARY, least=1, most=MOST_FEATURES
        )
        names = tuple(map(str, learner.get("feature_names") or ()))
        if names and len(names) != features:
            raise damaged(f"it has {features} features and {len(names)} names", _LIBRARY)
        classes = integer(params["num_class"], "num_class", _LIBRARY, most=1_000_000)
        self.booster = Booster(
            library="xgboost",
            version=".".join(str(int(part)) for part in document["version"]),
            objective=objective,
            features=features,
            feature_names=names,
            classes=(classes or 2) if objective in _CLASSIFIERS else 0,
        )
        self._check_objective(objective, params)
        self._check_booster(learner["gradient_booster"])

    def _check_objective(self, objective: str, params: Mapping[str, Any]) -> None:
        if objective not in (*_CLASSIFIERS, *_REGRESSORS):
            self.booster.refuse(
                "OBJECTIVE",
                f"the conversion does not know the objective {objective!r}",
                "train with one of: " + ", ".join((*_CLASSIFIERS, *_REGRESSORS)),
            )
        self.groups = max(1, self.booster.classes if self.booster.classes > 2 else 1)
        if integer(params.get("num_target", 1), "num_target", _LIBRARY) > 1:
            self.booster.refuse(
                "MULTI_TARGET",
                "the conversion gives one number for each row, and the model several",
                "train one model for each target",
            )

    def _check_booster(self, booster: Mapping[str, Any]) -> None:
        name = str(booster["name"])
        if name != "gbtree":
            self.booster.refuse(
                "BOOSTER",
                f"the conversion reads trees of the booster 'gbtree', not of {name!r}",
                "train with booster='gbtree'",
            )
            return
        model = booster["model"]
        trees = model["trees"]
        stated = integer(model["gbtree_model_param"]["num_trees"], "num_trees", _LIBRARY)
        groups = numbers(model["tree_info"], "int64", "tree_info", _LIBRARY)
        if not stated == len(trees) == groups.size:
            raise damaged(
                f"it states {stated} trees, holds {len(trees)} and groups {groups.size}", _LIBRARY
            )
        if not stated:
            self.booster.refuse("EMPTY", "the model has no trees", "train it for a round or more")
        self.booster.trees = stated
        if self.booster.obstacles:
            return
        if groups.size and not 0 <= groups.min() <= groups.max() < self.groups:
            raise damaged(f"a tree is of the group {groups.max()} of {self.groups}", _LIBRARY)
        bounds = numbers(model.get("iteration_indptr", [0]), "int64", "iteration_indptr", _LIBRARY)
        if bounds.size and ((bounds[1:] < bounds[:-1]).any() or bounds[0] or bounds[-1] > stated):
            raise damaged("iteration_indptr leads outside of the trees", _LIBRARY)
        for index, tree in enumerate(trees):
            if integer(tree["id"], f"the id of tree {index}", _LIBRARY) != index:
                raise damaged(f"tree {index} has the id {tree['id']}", _LIBRARY)
            self._check_tree(tree, f"tree {index}")

    def _check_tree(self, tree: Mapping[str, Any], what: str) -> None:
        param = tree["tree_param"]
        nodes = integer(param["num_nodes"], f"num_nodes of {what}", _LIBRARY, least=1)
        integer(param.get("size_leaf_vector", 1), f"size_leaf_vector of {what}", _LIBRARY, most=1)
        left = numbers(tree["left_children"], "int64", f"left_children of {what}", _LIBRARY)
        right = numbers(tree["right_children"], "int64", f"right_children of {what}", _LIBRARY)
        split = numbers(tree["split_indices"], "int64", f"split_indices of {what}", _LIBRARY)
        for name in ("split_conditions", "default_left", "base_weights", "sum_hessian", "parents"):
            size = numbers(tree[name], "float64", f"{name} of {what}", _LIBRARY).size
            if size != nodes:
                raise damaged(f"{what} has {nodes} nodes and {size} of {name}", _LIBRARY)
        if not nodes == left.size == right.size == split.size:
            raise damaged(f"{what} has {nodes} nodes, but lists of other lengths", _LIBRARY)
        asked = split[left >= 0]  # a pruned node asks for the feature 2**31 - 1
        if asked.size and not 0 <= asked.min() <= asked.max() < self.booster.features:
            raise damaged(
                f"{what} asks for the feature {asked.max()} of {self.booster.features}", _LIBRARY
            )
        if check_tree(left, right, what, _LIBRARY) > DEEPEST_TREE:
            self.booster.refuse("DEPTH", f"a tree is deeper than {DEEPEST_TREE} levels")
        parents = numbers(tree["parents"], "int64", f"parents of {what}", _LIBRARY)
        if min(left.min(), right.min()) < -1 or not _are_parents(parents, left, right):
            raise damaged(f"children and parents of {what} contradict each other", _LIBRARY)
        self._check_categories(tree, nodes, what)
        self.booster.nodes += nodes

    def _check_categories(self, tree: Mapping[str, Any], nodes: int, what: str) -> None:
        values = numbers(tree.get("categories", ()), "int64", f"categories of {what}", _LIBRARY)
        owners, starts, sizes = (
            numbers(tree.get(f"categories_{name}", ()), "int64", f"categories of {what}", _LIBRARY)
            for name in ("nodes", "segments", "sizes")
        )
        if owners.size:
            self.booster.refuse(
                "CATEGORIES",
                "the conversion does not split by categories",
                "encode them as numbers, by OneHotEncoder or OrdinalEncoder",
            )
        if not owners.size == starts.size == sizes.size:
            raise damaged(f"the categories of {what} have lists of different lengths", _LIBRARY)
        if owners.size and not (
            0 <= owners.min() <= owners.max() < nodes
            and starts.min() >= 0
            and sizes.min() >= 0
            and int((starts + sizes).max()) <= values.size
        ):
            raise damaged(f"the categories of {what} lead outside of their list", _LIBRARY)


def _are_parents(parents: Any, left: Any, right: Any) -> bool:
    """Say whether each child names its parent, and the root the one that stands for none."""
    inner = np.flatnonzero(left >= 0)
    return bool(
        parents[0] in _NO_PARENT
        and (parents[left[inner]] == inner).all()
        and (parents[right[inner]] == inner).all()
        and (np.isin(parents, _NO_PARENT) | ((parents >= 0) & (parents < left.size))).all()
    )
