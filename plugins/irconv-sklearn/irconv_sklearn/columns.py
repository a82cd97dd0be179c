"""The inputs of an estimator: one matrix, or one tensor for each column of a table.

This module needs the frameworks and is imported in the worker process only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline

from irconv.errors import InputError
from irconv.runtime.base import Feeds
from irconv.runtime.values import numpy_dtype
from irconv.shapes import InputSpec

__all__ = ["Column", "Columns", "columns_of"]

_WHERE = "frontend sklearn"
_DTYPES = ("float32", "float64", "int64", "int32", "bool", "string")
_MATRIX = "X"
_BATCH = "batch"


@dataclass(frozen=True)
class Column:
    """One input of the shape ``[batch, width]``.

    Attributes:
        name: Its name; that of the column, where the input is one column of a table.
        dtype: Full dtype name.
        width: Number of columns.
    """

    name: str
    dtype: str
    width: int = 1


@dataclass(frozen=True)
class Columns:
    """All inputs.

    Attributes:
        entries: The inputs in order.
        batch: Name or size of the first dimension.
        table: Whether the estimator is given a table with named columns.
    """

    entries: tuple[Column, ...]
    batch: int | str = _BATCH
    table: bool = False

    def rows(self, feeds: Feeds) -> Any:
        """Return the feeds as the estimator takes them: an array, or a table of pandas."""
        arrays = {entry.name: np.asarray(feeds[entry.name]) for entry in self.entries}
        if not self.table:
            return arrays[self.entries[0].name]
        return pd.DataFrame({name: array[:, 0] for name, array in arrays.items()})

    def feeds(self, rows: Any) -> dict[str, Any]:
        """Return an array or a table as feeds, the inverse of :meth:`rows`."""
        if not self.table:
            (entry,) = self.entries
            return {entry.name: np.asarray(rows, dtype=numpy_dtype(entry.dtype))}
        return {
            entry.name: np.asarray(rows[entry.name], dtype=numpy_dtype(entry.dtype))[:, None]
            for entry in self.entries
        }


def columns_of(estimator: Any, stated: Sequence[InputSpec], example: Any = None) -> Columns:
    """Find out what inputs an estimator takes.

    Inputs that the user states come first, then those of the example, then the columns by name
    that a ColumnTransformer at the beginning selects; else it is one float32 matrix ``X``.

    Args:
        estimator: The fitted estimator.
        stated: Inputs of ``--input``.
        example: Rows that the estimator takes; None where there are none.

    Raises:
        InputError: If the inputs do not fit, or cannot be told.
    """
    if stated:
        return _stated(estimator, stated)
    if isinstance(example, pd.DataFrame):
        entries = [Column(str(name), _dtype(example[name])) for name in example.columns]
        return Columns(tuple(entries), table=True)
    features = getattr(estimator, "n_features_in_", None)
    selected = _selected(estimator)
    if selected is not None:
        entries = [
            Column(str(name), selected.get(str(name), "float32"))
            for name in estimator.feature_names_in_
        ]
        return Columns(tuple(entries), table=True)
    if example is not None:
        array = np.asarray(example)
        dtype = "float32" if array.dtype.kind == "f" else _dtype(array)
        return Columns((Column(_MATRIX, dtype, array.shape[-1]),))
    if features is None:
        raise InputError(
            f"{type(estimator).__name__} does not say how many columns it takes",
            where=_WHERE,
            hint="state them, for example --input 'X[batch,4]{f32}'",
        )
    return Columns((Column(_MATRIX, "float32", int(features)),))


def _stated(estimator: Any, stated: Sequence[InputSpec]) -> Columns:
    entries = []
    for spec in stated:
        width = spec.dims[-1] if len(spec.dims) == 2 else None
        if not isinstance(width, int) or spec.dtype not in (None, *_DTYPES):
            raise InputError(
                f"an input of an estimator has the shape [batch, columns] and one of the dtypes "
                f"{', '.join(_DTYPES)}",
                where=f"--input {spec.name}",
                hint="for example --input 'X[batch,4]{f32}', or --input 'age[batch,1]{f32}' "
                "--input 'city[batch,1]{str}'",
            )
        entries.append(Column(spec.name, spec.dtype or "float32", width))
    table = len(entries) > 1 or _selected(estimator) is not None
    features = getattr(estimator, "n_features_in_", None)
    total = sum(entry.width for entry in entries)
    wide = [entry.name for entry in entries if table and entry.width != 1]
    if wide or (features is not None and features != total):
        names = getattr(estimator, "feature_names_in_", ())
        raise InputError(
            f"the input {wide[0]!r} of several is more than one column"
            if wide
            else f"the inputs have {total} columns, and the estimator takes {features}",
            where="--input",
            hint="its columns are: " + (", ".join(map(str, names)) or f"{features} without names"),
        )
    return Columns(tuple(entries), stated[0].dims[0] or _BATCH, table)


def _selected(estimator: Any) -> Mapping[str, str] | None:
    """Return the dtypes of columns that are selected by name; None where none are."""
    first = estimator
    while isinstance(first, Pipeline):
        first = first.steps[0][1]
    if not isinstance(first, ColumnTransformer) or not hasattr(estimator, "feature_names_in_"):
        return None
    dtypes: dict[str, str] = {}
    for _, transformer, columns in first.transformers_:
        names = [columns] if isinstance(columns, str) else list(columns)
        step = transformer.steps[0][1] if isinstance(transformer, Pipeline) else transformer
        for name, seen in zip(names, getattr(step, "categories_", ()), strict=False):
            dtypes[str(name)] = _dtype(np.asarray(seen))
    return dtypes


def _dtype(values: Any) -> str:
    kind = getattr(values.dtype, "kind", "O")
    return {"f": "float32", "i": "int64", "u": "int64", "b": "bool"}.get(kind, "string")
