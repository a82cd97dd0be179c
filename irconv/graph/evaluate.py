"""Evaluating one operator on constants, within bounds that are known beforehand.

The evaluator is ONNX's reference implementation: Python over NumPy, slow, but it raises where a
C++ kernel would kill the process (an integer division by zero is SIGFPE in ONNX Runtime).
Sizes come from ONNX's inference for the one node, fed with the actual input data, so nothing is
allocated for a result that is too large.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from irconv.graph.hazards import hazard

__all__ = ["EXACT", "ROUNDED", "EvaluationError", "Prediction", "evaluate", "predict"]

EXACT = frozenset(
    {
        "Abs", "Add", "And", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor",
        "Cast", "CastLike", "Ceil", "Clip", "Concat", "ConstantOfShape", "Div", "Equal",
        "Expand", "EyeLike", "Flatten", "Floor", "Gather", "GatherElements", "Greater",
        "GreaterOrEqual", "IsInf", "IsNaN", "Less", "LessOrEqual", "Max", "Min",
        "Mod", "Mul", "Neg", "Not", "OneHot", "Or", "Pad", "Range", "ReduceMax",
        "ReduceMin", "Relu", "Reshape", "Round", "Shape", "Sign", "Size", "Slice", "Split",
        "Squeeze", "Sub", "Tile", "Transpose", "Trilu", "Unsqueeze", "Where", "Xor",
    }
)  # fmt: skip
"""Operators that every correct implementation computes to the same bits."""

ROUNDED = frozenset(
    {
        "Acos", "Asin", "Atan", "Cos", "Cosh", "CumSum", "Erf", "Exp", "Gemm", "HardSigmoid",
        "LeakyRelu", "Log", "MatMul", "Mean", "Pow", "ReduceL1", "ReduceL2", "ReduceMean",
        "Reciprocal", "ReduceProd", "ReduceSum", "ReduceSumSquare", "Sigmoid", "Sin", "Sinh",
        "Softmax", "Softplus", "Sqrt", "Sum", "Tan", "Tanh",
    }
)  # fmt: skip
"""Operators whose float results may differ in the last bits between implementations; on
integers they are exact."""

_DTYPES = frozenset(
    {
        ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16, ir.DataType.BOOL,
        ir.DataType.INT8, ir.DataType.INT16, ir.DataType.INT32, ir.DataType.INT64,
        ir.DataType.UINT8, ir.DataType.UINT16, ir.DataType.UINT32, ir.DataType.UINT64,
    }
)  # fmt: skip
_DATA_ITEMS = 1024


class EvaluationError(Exception):
    """The node cannot be evaluated; the message is a reason for people."""


@dataclass(frozen=True)
class Prediction:
    """What a node will produce, known before it is evaluated.

    Attributes:
        proto: The node, serialized.
        outputs: Name, dtype and dims of each output that has a name.
        nbytes: Bytes of all outputs; a dim of 0 counts as 1, since intermediate results of
            an empty one can be large.
    """

    proto: onnx.NodeProto
    outputs: tuple[tuple[str, ir.DataType, tuple[int, ...]], ...]
    nbytes: int


def predict(
    node: ir.Node, tensors: Sequence[ir.TensorProtocol | None], opsets: Mapping[str, int]
) -> Prediction:
    """Infer dtypes and shapes of the outputs from constant inputs, without computing them.

    Raises:
        EvaluationError: If a dtype is not evaluated here or a size is not known beforehand.
    """
    for tensor in tensors:
        if tensor is not None and tensor.dtype not in _DTYPES:
            raise EvaluationError(f"{tensor.dtype.name.lower()} is not evaluated")
    proto = ir.serde.serialize_node(node)
    types: dict[str, onnx.TypeProto] = {}
    data: dict[str, onnx.TensorProto] = {}
    for name, tensor in zip(proto.input, tensors, strict=True):
        if tensor is not None and name not in types:
            dims = tensor.shape.numpy()
            types[name] = onnx.helper.make_tensor_type_proto(int(tensor.dtype), dims)
            if tensor.size <= _DATA_ITEMS:
                data[name] = onnx.numpy_helper.from_array(np.asarray(tensor.numpy()), name)
    try:
        schema = onnx.defs.get_schema(node.op_type, opsets.get("", 1), "")
        inferred = onnx.shape_inference.infer_node_outputs(
            schema, proto, types, data, opset_imports=_opset_imports(opsets.get("", 1))
        )
    except Exception as error:  # the C++ inference raises several unrelated types
        raise EvaluationError(f"its inputs do not fit: {_first_line(error)}") from error
    outputs = tuple(
        (name, *_static_type(name, inferred.get(name))) for name in proto.output if name
    )
    nbytes = sum(
        math.prod(max(dim, 1) for dim in dims) * dtype.itemsize for _, dtype, dims in outputs
    )
    return Prediction(proto, outputs, math.ceil(nbytes))


@cache
def _opset_imports(version: int) -> list[onnx.OperatorSetIdProto]:
    return [onnx.helper.make_opsetid("", version)]


def _static_type(name: str, proto: onnx.TypeProto | None) -> tuple[ir.DataType, tuple[int, ...]]:
    if proto is None or not proto.tensor_type.elem_type or not proto.tensor_type.HasField("shape"):
        raise EvaluationError(f"the size of {name!r} is not known beforehand")
    dims = proto.tensor_type.shape.dim
    if not all(dim.HasField("dim_value") and dim.dim_value >= 0 for dim in dims):
        raise EvaluationError(f"the size of {name!r} is not known beforehand")
    dtype = ir.DataType(proto.tensor_type.elem_type)
    if dtype not in _DTYPES:
        raise EvaluationError(f"{dtype.name.lower()} is not evaluated")
    return dtype, tuple(dim.dim_value for dim in dims)


def evaluate(
    prediction: Prediction,
    tensors: Sequence[ir.TensorProtocol | None],
    opsets: Mapping[str, int],
) -> dict[str, np.ndarray[Any, np.dtype[Any]]]:
    """Compute the outputs of a predicted node, by name.

    Raises:
        EvaluationError: If the inputs are a hazard, such as a division by zero, if the
            reference implementation fails, or if its result is not what was predicted.
    """
    from onnx.reference import ReferenceEvaluator

    proto = prediction.proto
    arrays = [None if tensor is None else np.asarray(tensor.numpy()) for tensor in tensors]
    danger = hazard(proto, arrays)
    if danger:
        raise EvaluationError(danger)
    graph = onnx.GraphProto(
        node=[proto],
        input=[onnx.ValueInfoProto(name=name) for name in dict.fromkeys(proto.input) if name],
        output=[onnx.ValueInfoProto(name=name) for name, _, _ in prediction.outputs],
    )
    feeds = {
        name: array for name, array in zip(proto.input, arrays, strict=True) if array is not None
    }
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            results = ReferenceEvaluator(graph, opsets={"": opsets.get("", 1)}).run(None, feeds)
    except Exception as error:  # the reference implementation raises whatever NumPy raises
        raise EvaluationError(f"its evaluation fails: {_first_line(error)}") from error
    computed: dict[str, np.ndarray[Any, np.dtype[Any]]] = {}
    for (name, dtype, dims), result in zip(prediction.outputs, results, strict=True):
        array = np.asarray(result)
        if array.shape != dims or array.dtype != dtype.numpy():
            raise EvaluationError(f"its evaluation gives {name!r} another dtype or shape")
        computed[name] = np.array(array, order="C")
    return computed


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
