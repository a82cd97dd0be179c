"""The domain of ONNX Runtime's own operators, and what its kernels on the CPU compute with."""

from __future__ import annotations

import onnx_ir as ir

from irconv.passes.decompose.block import Keep

__all__ = ["CONTRIB", "require_float32"]

CONTRIB = "com.microsoft"


def require_float32(value: ir.Value) -> None:
    """Check the only dtype that most kernels of the domain take.

    Raises:
        Keep: If the value is of another dtype, or of an unknown one.
    """
    if value.dtype != ir.DataType.FLOAT:
        raise Keep(f"the kernel takes float32, and {value.name!r} is of dtype {value.dtype}")
