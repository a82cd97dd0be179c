"""Whether the dtypes of a node's operands fit each other, as its schema asks.

Emitters bring operands into a dtype that a kernel takes; on a broken model that would hide that
the operands were never of one dtype.
"""

from __future__ import annotations

from functools import cache

import onnx
import onnx_ir as ir

from irconv_tflite.emit.refusal import RefusalError

__all__ = ["check_types"]

_OPSET = 28


@cache
def _type_variables(op_type: str) -> tuple[str, ...]:
    """Return the type variable of each operand; the last one repeats if it is variadic."""
    try:
        schema = onnx.defs.get_schema(op_type, _OPSET)
    except onnx.defs.SchemaError:
        return ()
    variadic = onnx.defs.OpSchema.FormalParameterOption.Variadic
    return tuple(
        "" if entry.option == variadic and not entry.is_homogeneous else entry.type_str
        for entry in schema.inputs
    )


def check_types(node: ir.Node) -> None:
    """Refuse a node of the ONNX domain whose operands must share a dtype and do not.

    Raises:
        RefusalError: If two known dtypes differ.
    """
    variables = _type_variables(node.op_type)
    if not variables:
        return
    seen: dict[str, ir.DataType] = {}
    for index, value in enumerate(node.inputs):
        variable = variables[min(index, len(variables) - 1)]
        if value is None or value.dtype is None or not variable or "(" in variable:
            continue
        first = seen.setdefault(variable, value.dtype)
        if first != value.dtype:
            raise RefusalError(
                "INVALID_MODEL",
                f"{node.op_type} takes operands of one dtype, and these are {first.name} and "
                f"{value.dtype.name}",
                "convert one of them by Cast where the model is made",
            )
