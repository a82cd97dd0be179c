"""Values across the border between a source model and its Core ML form."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from irconv.errors import BackendError, InputError
from irconv.runtime.values import numpy_dtype

if TYPE_CHECKING:
    from irconv.runtime.base import Array, Value
    from irconv_coreml.interface import Feature

__all__ = ["from_feature", "to_feature"]

_WHERE = "target coreml"


def to_feature(feature: Feature, value: Value) -> Array:
    """Return an input of the source as the package takes it.

    Raises:
        InputError: If it is no tensor, or holds a number that Core ML's dtype does not.
    """
    if value is None or isinstance(value, (list, dict)):
        raise InputError(f"input {feature.name!r} must be a tensor", where=_WHERE)
    array = np.asarray(value)
    if feature.image is not None:
        bias = np.array(feature.image.bias, np.float32).reshape(-1, 1, 1)
        array = (array.astype(np.float32) - bias) / np.float32(feature.image.scale)
    wanted = np.dtype(feature.coreml_dtype)
    if wanted.kind == "i":
        return _shaped(feature, _integers(feature.name, array, wanted))
    with np.errstate(over="ignore"):
        converted = array.astype(wanted)
    if not np.array_equal(np.isfinite(array), np.isfinite(converted)):
        raise InputError(
            f"input {feature.name!r} holds a number beyond the range of {wanted}",
            where=_WHERE,
            hint="scale the input"
            if wanted == np.float32
            else "compile with precision=f32, or scale the input",
        )
    return _shaped(feature, converted)


def _integers(name: str, array: Array, wanted: np.dtype[np.generic]) -> Array:
    limits = np.iinfo(np.int32)
    if array.size and (int(array.min()) < limits.min or int(array.max()) > limits.max):
        raise InputError(
            f"input {name!r} holds {array.min()}..{array.max()}, beyond the range of {wanted}",
            where=_WHERE,
            hint="Core ML has no wider integers; keep the values below 2**31",
        )
    return array.astype(wanted)


def _shaped(feature: Feature, array: Array) -> Array:
    if not feature.shape and feature.coreml_shape and array.size == 1:
        return array.reshape([1] * len(feature.coreml_shape))
    return array


def from_feature(feature: Feature, value: Array) -> Array:
    """Return an output of the package as the source names it: its dtype and shape.

    Raises:
        BackendError: If it holds a number that the source's dtype does not.
    """
    wanted = numpy_dtype(feature.dtype)
    if feature.dtype == "bool":
        if value.size and not np.isin(value, (0, 1)).all():
            raise _unfit(feature, value)
        converted = value.astype(np.bool_)
    else:
        converted = value.astype(wanted)
        if value.dtype.kind in "iu" and not np.array_equal(converted.astype(value.dtype), value):
            raise _unfit(feature, value)
    return converted.reshape(()) if not feature.shape and converted.size == 1 else converted


def _unfit(feature: Feature, value: Array) -> BackendError:
    return BackendError(
        f"output {feature.name!r} holds {value.min()}..{value.max()}, which is no {feature.dtype}",
        where=_WHERE,
    )
