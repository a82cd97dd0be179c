"""ONNX dtypes and the OpenVINO element types that hold them."""

from __future__ import annotations

__all__ = ["ELEMENT_TYPES"]

ELEMENT_TYPES: dict[str, str] = {
    "float64": "f64",
    "float32": "f32",
    "float16": "f16",
    "bfloat16": "bf16",
    "float8_e4m3fn": "f8e4m3",
    "float8_e5m2": "f8e5m2",
    "float8_e8m0fnu": "f8e8m0",
    "float4_e2m1fn": "f4e2m1",
    "int64": "i64",
    "int32": "i32",
    "int16": "i16",
    "int8": "i8",
    "int4": "i4",
    "uint64": "u64",
    "uint32": "u32",
    "uint16": "u16",
    "uint8": "u8",
    "uint4": "u4",
    "bool": "boolean",
}
"""Full dtype name, and the element type that OpenVINO's ONNX importer gives to it.

``string`` is left out: the importer takes it, but the CPU device of OpenVINO 2026.4 frees the
strings of an output twice and ends the process.
"""
