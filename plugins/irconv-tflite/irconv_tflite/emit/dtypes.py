"""Dtypes and the TFLite tensor types that hold them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from irconv_tflite.emit.refusal import RefusalError

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["TENSOR_TYPES", "dtype_of", "item_size"]

TENSOR_TYPES: dict[str, str] = {
    "float32": "FLOAT32",
    "float16": "FLOAT16",
    "bfloat16": "BFLOAT16",
    "float64": "FLOAT64",
    "int64": "INT64",
    "int32": "INT32",
    "int16": "INT16",
    "int8": "INT8",
    "uint64": "UINT64",
    "uint32": "UINT32",
    "uint16": "UINT16",
    "uint8": "UINT8",
    "bool": "BOOL",
}
"""Full dtype name, and its name in the schema's ``TensorType``."""

_SIZES = {"float64": 8, "int64": 8, "uint64": 8, "float32": 4, "int32": 4, "uint32": 4}
_SIZES |= {"float16": 2, "bfloat16": 2, "int16": 2, "uint16": 2}


def item_size(dtype: str) -> int:
    """Return the bytes of one element."""
    return _SIZES.get(dtype, 1)


def dtype_of(value: ir.Value) -> str:
    """Return the full dtype name of a value.

    Raises:
        RefusalError: If it is unknown, or TFLite has no type for it.
    """
    import onnx_ir as ir

    from irconv.graph.interface import dtype_text

    if isinstance(value.type, (ir.SequenceType, ir.OptionalType)):
        raise RefusalError(
            "UNSUPPORTED_TYPE",
            f"{value.name!r} is a sequence or an optional, which TFLite does not have",
            "export it as plain tensors",
        )
    name = dtype_text(value.dtype)
    if name == "undefined":
        raise RefusalError(
            "UNKNOWN_DTYPE",
            f"the dtype of {value.name!r} is not known",
            "run shape inference where the model is made, or export it anew",
        )
    if name not in TENSOR_TYPES:
        raise RefusalError(
            "UNSUPPORTED_DTYPE",
            f"TFLite's kernels do not compute with {name}, the dtype of {value.name!r}",
            "convert that part of the model to float32 or int32",
        )
    return name
