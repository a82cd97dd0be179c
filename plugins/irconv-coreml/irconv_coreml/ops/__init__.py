"""ONNX operators as MIL operators, one module a family; importing it fills the registry."""

from __future__ import annotations

import importlib

from irconv_coreml.ops.registry import EMITTERS

__all__ = ["EMITTERS"]

_FAMILIES = (
    "activation",
    "attention",
    "control_flow",
    "convolution",
    "creation",
    "elementwise",
    "indexing",
    "linear",
    "logic",
    "normalization",
    "pooling",
    "quantization",
    "recurrent",
    "reduction",
    "resampling",
    "shape",
    "slicing",
)
for _family in _FAMILIES:
    importlib.import_module(f"irconv_coreml.ops.{_family}")
