"""Evaluating an operator on constants by the operators that it is composed of.

ONNX's reference implementation of Resize computes one number after the other, in Python, over all
axes. The decomposition of :mod:`irconv.passes.decompose.resize` is a few weighted sums along one
axis after the other, which NumPy computes at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from irconv.graph.evaluate import EvaluationError, Prediction
from irconv.passes.base import PassContext
from irconv.passes.decompose.base import Rule, replace_nodes
from irconv.passes.decompose.resize import resize
from irconv.passes.sites import Sites

__all__ = ["COMPOSED", "evaluate_parts"]

_RULES: Mapping[str, Rule] = {"Resize": resize}
COMPOSED = frozenset(_RULES)
"""Operators that are evaluated here; implementations differ in their last bits."""
_OLDEST, _PARTS = 11, 18


def evaluate_parts(
    node: ir.Node,
    prediction: Prediction,
    tensors: Sequence[ir.TensorProtocol | None],
    opsets: Mapping[str, int],
    max_bytes: int,
) -> dict[str, np.ndarray[Any, np.dtype[Any]]]:
    """Compute the output of a predicted Resize, by name.

    Args:
        node: The node; it stays as it is.
        prediction: What it will produce.
        tensors: Its inputs.
        opsets: The opsets it is written in; from 11 on Resize of the same attributes is the same.
        max_bytes: The most bytes of a result in between.

    Raises:
        EvaluationError: If it is older, filters against aliasing, has a mode that no rule is known
            for, or takes too many bytes in between.
    """
    from onnx.reference import ReferenceEvaluator

    version = opsets.get("", 1)
    if version < _OLDEST:
        raise EvaluationError(f"{node.op_type} of opset {version} is not evaluated")
    antialias = node.attributes.get("antialias")
    if antialias is not None and antialias.as_int():
        raise EvaluationError("it filters against aliasing")
    ((_, dtype, dims),) = prediction.outputs
    between = dtype.itemsize * math.prod(map(max, dims, _dims_of(tensors[0])))
    if between > max_bytes:
        raise EvaluationError(f"its results in between take {math.ceil(between)} bytes")
    model = _alone(node, tensors, prediction, max(version, _PARTS))
    refusals = replace_nodes(model, _RULES, Sites(PassContext())).refusals
    if refusals:
        raise EvaluationError(refusals[0].reason)
    evaluator = ReferenceEvaluator(ir.serde.serialize_model(model))
    with np.errstate(all="ignore"):
        (result,) = evaluator.run(None, {})
    array = np.asarray(result)
    if array.shape != dims or array.dtype != dtype.numpy():
        raise EvaluationError("its evaluation gives another dtype or shape")
    return {model.graph.outputs[0].name or "": array}


def _dims_of(tensor: ir.TensorProtocol | None) -> Sequence[int]:
    return () if tensor is None else tensor.shape.numpy()


def _alone(
    node: ir.Node,
    tensors: Sequence[ir.TensorProtocol | None],
    prediction: Prediction,
    version: int,
) -> ir.Model:
    """Return a model of nothing but this node, its inputs constant.

    A graph gives its tensors the names of its values, so these are others over the same data.
    """
    inputs = [
        None
        if tensor is None
        else ir.Value(
            name=f"input_{index}",
            type=ir.TensorType(tensor.dtype),
            shape=ir.Shape(tensor.shape.numpy()),
            const_value=ir.Tensor(tensor.numpy(), dtype=tensor.dtype),
        )
        for index, tensor in enumerate(tensors)
    ]
    ((name, dtype, dims),) = prediction.outputs
    output = ir.Value(name=name, type=ir.TensorType(dtype), shape=ir.Shape(dims))
    copy = ir.Node("", node.op_type, inputs, list(node.attributes.values()), outputs=[output])
    given = [value for value in inputs if value is not None]
    graph = ir.Graph(
        [], [output], nodes=[copy], initializers=given, opset_imports={"": version}, name="parts"
    )
    return ir.Model(graph, ir_version=10)
