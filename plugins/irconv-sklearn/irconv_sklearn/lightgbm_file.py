"""Checking a LightGBM model file without LightGBM.

LightGBM follows the numbers in a file without looking whether they lead outside of it, so every
index is checked here first. Format: ``GBDT::SaveModelToString`` and ``Tree::ToString`` of
LightGBM 4, https://github.com/lightgbm-org/LightGBM.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

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

__all__ = ["read_lightgbm", "without_parameters"]

_LIBRARY = "LightGBM"
_CATEGORICAL = 1
_END = b"end of trees"
_OF_LEAVES = ("leaf_weight", "leaf_count")
_OF_NODES = ("split_gain", "internal_value", "internal_weight", "internal_count")
"""What a tree may leave out; the rest is needed."""
_REGRESSORS = (
    "regression", "regression_l1", "huber", "quantile", "poisson", "gamma", "tweedie",
    "lambdarank", "rank_xendcg",
)  # fmt: skip
_NUMBER = r"([-+]?\d+(?:\.\d*)?(?:e[-+]?\d+)?)"
_RANGE = re.compile(rf"\[{_NUMBER}:{_NUMBER}\]")

Block = dict[str, str]


def read_lightgbm(data: bytes) -> Booster:
    """Check a model file and return its facts.

    Args:
        data: The whole file, which begins with the line ``tree``.

    Raises:
        InputError: If it is damaged or of another format.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise damaged(f"it is no text: {error}", _LIBRARY) from error
    if "\0" in text:
        raise damaged("it is no text: it holds bytes of zero", _LIBRARY)
    head, separator, rest = text.partition("\n\n")
    if not head.startswith("tree\n") or not separator:
        raise InputError(
            "the file is no model of LightGBM: it does not begin with a header",
            where=WHERE,
            hint="give a file that LightGBM's Booster.save_model wrote",
        )
    header = _entries(head, ("tree", "average_output"))
    try:
        booster = _read_header(header)
        sizes = numbers(header["tree_sizes"].split(), "int64", "tree_sizes", _LIBRARY)
    except KeyError as error:
        raise damaged(f"its header has no {error}", _LIBRARY) from error
    _check_trees(booster, rest.encode(), sizes)
    return booster


def without_parameters(data: bytes) -> bytes:
    """Return a checked file up to the end of its trees.

    What follows, the parameters of the training, decides nothing, and LightGBM reads it without
    care.
    """
    end = data.index(_END) + len(_END)
    return data[:end] + b"\n"


def _entries(text: str, flags: tuple[str, ...] = ()) -> Block:
    block: Block = {}
    for line in text.rstrip("\n").split("\n"):
        name, separator, value = line.partition("=")
        if (not separator and line not in flags) or name in block:
            raise damaged(f"it has the line {line[:40]!r}, which is out of place", _LIBRARY)
        block[name] = value
    return block


def _read_header(header: Block) -> Booster:
    features = 1 + integer(
        header["max_feature_idx"], "max_feature_idx", _LIBRARY, most=MOST_FEATURES
    )
    names = tuple(header["feature_names"].split(" "))
    infos = header["feature_infos"].split(" ")
    if len(names) != features or len(infos) != features:
        raise damaged(f"it has {features} features and {len(names)} names", _LIBRARY)
    classes = integer(header["num_class"], "num_class", _LIBRARY, least=1, most=1_000_000)
    per_round = integer(header["num_tree_per_iteration"], "num_tree_per_iteration", _LIBRARY)
    objective = header.get("objective", "")
    kind, *parameters = objective.split(" ") if objective else [""]
    if per_round != classes:
        raise damaged(f"it has {classes} classes and {per_round} trees a round", _LIBRARY)
    booster = Booster(
        library="lightgbm",
        version=header.get("version", ""),
        objective=objective,
        features=features,
        feature_names=names,
        classes={"binary": 2, "multiclass": classes}.get(kind, 0),
        ranges={
            index: (float(found[1]), float(found[2]))
            for index, info in enumerate(infos)
            if (found := _RANGE.fullmatch(info))
        },
    )
    if kind not in ("binary", "multiclass", *_REGRESSORS):
        booster.refuse(
            "OBJECTIVE",
            f"the conversion does not know the objective {kind!r}",
            "train with one of: " + ", ".join(("binary", "multiclass", *_REGRESSORS)),
        )
    unusual = [text for text in parameters if text == "sqrt" or text.startswith("sigmoid:")]
    if [text for text in unusual if text != "sigmoid:1"]:
        booster.refuse("OBJECTIVE", f"the conversion does not know {unusual[0]!r} of the objective")
    if "average_output" in header:
        booster.refuse(
            "BOOSTER", "the conversion does not average trees", "train with boosting='gbdt'"
        )
    return booster


def _check_trees(booster: Booster, body: bytes, sizes: Any) -> None:
    if sizes.size and (sizes.min() <= 0 or int(sizes.sum()) > len(body)):
        raise damaged(
            f"tree_sizes add up to {sizes.sum()} bytes, and {len(body)} are there", _LIBRARY
        )
    ends = np.cumsum(sizes)
    if not body[int(ends[-1]) if ends.size else 0 :].lstrip().startswith(_END):
        raise damaged("tree_sizes do not lead to the end of the trees", _LIBRARY)
    if not sizes.size:
        booster.refuse("EMPTY", "the model has no trees", "train it for a round or more")
    for index, (end, size) in enumerate(zip(ends.tolist(), sizes.tolist(), strict=True)):
        block = body[end - size : end].decode(errors="replace")
        if not block.startswith(f"Tree={index}\n"):
            raise damaged(f"tree_sizes do not lead to tree {index}", _LIBRARY)
        try:
            _check_tree(booster, _entries(block), f"tree {index}")
        except KeyError as error:
            raise damaged(f"tree {index} has no {error}", _LIBRARY) from error
    booster.trees = int(sizes.size)


def _check_tree(booster: Booster, block: Block, what: str) -> None:
    leaves = integer(block["num_leaves"], f"num_leaves of {what}", _LIBRARY, least=1)
    if block.get("is_linear", "0") != "0":
        booster.refuse(
            "LINEAR_TREE",
            "leaves hold linear models, which ONNX's tree ensembles have no form for",
            "train with linear_tree=false",
        )
    _array(block, "leaf_value", "float64", leaves, what)
    booster.nodes += 2 * leaves - 1
    for names, size in ((_OF_LEAVES, leaves), (_OF_NODES, leaves - 1)):
        for name in names:
            if block.get(name):
                _array(block, name, "float64", size, what)
    if leaves == 1:
        return
    left = _array(block, "left_child", "int64", leaves - 1, what)
    right = _array(block, "right_child", "int64", leaves - 1, what)
    split = _array(block, "split_feature", "int64", leaves - 1, what)
    if split.min() < 0 or int(split.max()) >= booster.features:
        raise damaged(f"{what} asks for the feature {split.max()} of {booster.features}", _LIBRARY)
    if min(left.min(), right.min()) < -leaves or max(left.max(), right.max()) >= leaves - 1:
        raise damaged(f"{what} has {leaves} leaves, and a child outside of them", _LIBRARY)
    padding = np.full(leaves, -1)
    if check_tree(*_numbered(left, right, leaves, padding), what, _LIBRARY) > DEEPEST_TREE:
        booster.refuse("DEPTH", f"a tree is deeper than {DEEPEST_TREE} levels")
    _check_categories(booster, block, split.size, what)


def _numbered(left: Any, right: Any, leaves: int, padding: Any) -> tuple[Any, Any]:
    """Number the leaves, which the file counts as -1, -2, ..., after the inner nodes."""
    first, second = (
        np.concatenate([np.where(child >= 0, child, leaves - 2 - child), padding])
        for child in (left, right)
    )
    return first, second


def _check_categories(booster: Booster, block: Block, nodes: int, what: str) -> None:
    thresholds = _array(block, "threshold", "float64", nodes, what)
    decisions = _array(block, "decision_type", "int64", nodes, what)
    categories = integer(block["num_cat"], f"num_cat of {what}", _LIBRARY)
    chosen = thresholds[(decisions & _CATEGORICAL) > 0]
    if chosen.size and not 0 <= chosen.min() <= chosen.max() < categories:
        raise damaged(f"{what} asks for the category set {chosen.max()} of {categories}", _LIBRARY)
    if not categories:
        return
    booster.refuse(
        "CATEGORIES",
        "the conversion does not split by categories",
        "encode them as numbers, by OneHotEncoder or OrdinalEncoder",
    )
    bounds = _array(block, "cat_boundaries", "int64", categories + 1, what)
    if bounds[0] or (bounds[1:] < bounds[:-1]).any():
        raise damaged(f"cat_boundaries of {what} do not grow", _LIBRARY)
    _array(block, "cat_threshold", "int64", int(bounds[-1]), what)


def _array(block: Block, name: str, dtype: str, size: int, what: str) -> Any:
    array = numbers(block[name].split(), dtype, f"{name} of {what}", _LIBRARY)
    if array.size != size:
        raise damaged(f"{what} has {array.size} of {name} and needs {size}", _LIBRARY)
    return array
