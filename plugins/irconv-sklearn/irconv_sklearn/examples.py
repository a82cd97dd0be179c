"""Inputs that reach every part of an estimator, from what it knows of its training data.

A tree that was trained on values around a thousand takes one branch for all inputs around
zero. Thresholds, scales, support vectors and categories tell where the data lay. This module
needs the frameworks and is imported in the worker process only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx

from irconv.runtime.values import numpy_dtype
from irconv_sklearn.columns import Columns

__all__ = ["make_example"]

_MARGIN = 0.1
_SPREAD = 2.0
_SEED = 7
Ranges = dict[int, tuple[float, float]]


def make_example(
    model: onnx.ModelProto,
    estimator: Any,
    columns: Columns,
    rows: int,
    known: Mapping[int, tuple[float, float]],
) -> dict[str, Any] | None:
    """Return rows within the range of the training data; None where nothing is known of it.

    Args:
        model: The estimator as ONNX.
        estimator: The estimator.
        columns: Its inputs.
        rows: Number of rows.
        known: Range of each feature of a matrix, where the source tells.
    """
    random = np.random.default_rng(_SEED)
    if columns.table:
        categories = dict(_categories(estimator))
        if not categories:
            return None
        return {
            entry.name: _column(entry.name, entry.dtype, categories, random, rows)
            for entry in columns.entries
        }
    (entry,) = columns.entries
    ranges = dict(known) or _ranges(model, entry.name)
    if not ranges or entry.dtype in ("string", "bool"):
        return None
    matrix = random.standard_normal((rows, entry.width))
    for index, (low, high) in ranges.items():
        if index < entry.width and np.isfinite((low, high)).all():
            margin = _MARGIN * (high - low) or 1.0
            matrix[:, index] = random.uniform(low - margin, high + margin, rows)
    return {entry.name: matrix.astype(numpy_dtype(entry.dtype))}


def _column(name: str, dtype: str, categories: Mapping[str, Any], random: Any, rows: int) -> Any:
    if name in categories:
        return random.choice(categories[name], (rows, 1)).astype(numpy_dtype(dtype))
    return random.standard_normal((rows, 1)).astype(numpy_dtype(dtype))


def _categories(estimator: Any) -> Iterator[tuple[str, Any]]:
    """Yield the categories of every column that an encoder knows."""
    parts = [estimator]
    while parts:
        part = parts.pop()
        parts += [step for _, step in getattr(part, "steps", ())]
        for _, transformer, names in getattr(part, "transformers_", ()):
            parts.append(transformer)
            step = transformer.steps[0][1] if hasattr(transformer, "steps") else transformer
            names = [names] if isinstance(names, str) else names
            yield from zip(map(str, names), getattr(step, "categories_", ()), strict=False)


def _ranges(model: onnx.ModelProto, name: str) -> Ranges:
    """Return the range of each feature of the matrix, by the nodes that read it directly."""
    same = {name}
    ranges: Ranges = {}
    for node in model.graph.node:
        if not same.intersection(node.input):
            continue
        values = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
        if node.op_type in ("Cast", "Identity"):
            same.update(node.output)
        elif node.op_type.startswith("TreeEnsemble"):
            _merge(ranges, _of_trees(values))
        elif node.op_type == "Scaler":
            _merge(ranges, _of_scaler(values))
        elif node.op_type.startswith("SVM") and values.get("support_vectors"):
            _merge(ranges, _of_support_vectors(values))
    return ranges


def _merge(ranges: Ranges, more: Ranges) -> None:
    for index, (low, high) in more.items():
        least, most = ranges.get(index, (low, high))
        ranges[index] = (min(least, low), max(most, high))


def _of_trees(values: Mapping[str, Any]) -> Ranges:
    inner = np.array([mode != b"LEAF" for mode in values["nodes_modes"]], dtype=bool)
    features = np.asarray(values["nodes_featureids"])[inner]
    thresholds = np.asarray(values["nodes_values"], dtype=np.float64)[inner]
    return {
        int(index): (
            float(thresholds[features == index].min()),
            float(thresholds[features == index].max()),
        )
        for index in np.unique(features)
    }


def _of_scaler(values: Mapping[str, Any]) -> Ranges:
    return {
        index: (offset - _SPREAD / scale, offset + _SPREAD / scale)
        for index, (offset, scale) in enumerate(zip(values["offset"], values["scale"], strict=True))
        if scale
    }


def _of_support_vectors(values: Mapping[str, Any]) -> Ranges:
    counts = sum(values.get("vectors_per_class") or (0,)) or values.get("n_supports", 0)
    if not counts:
        return {}
    vectors = np.asarray(values["support_vectors"]).reshape(counts, -1)
    lows, highs = vectors.min(axis=0), vectors.max(axis=0)
    return {
        index: (float(low), float(high))
        for index, (low, high) in enumerate(zip(lows, highs, strict=True))
    }
