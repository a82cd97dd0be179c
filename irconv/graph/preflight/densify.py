"""Making sparse constants dense: the IR and most targets know dense tensors only.

ONNX specification, ``SparseTensorProto``: ``indices`` is either ``[NNZ]``, positions in the
flattened tensor, or ``[NNZ, rank]``, coordinates; every other element is zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx.numpy_helper

from irconv.errors import InputError
from irconv.graph.preflight.messages import shown

if TYPE_CHECKING:
    from irconv.runtime.base import Array

__all__ = ["densify"]

_LARGEST_DENSE = 256 << 20


def densify(
    graph: onnx.GraphProto | onnx.FunctionProto,
    bodies: Callable[[onnx.NodeProto], list[onnx.GraphProto]],
    note: Callable[[str], None],
) -> None:
    """Replace every sparse initializer and ``sparse_value`` by a dense tensor, in place.

    Args:
        graph: A graph or function whose tensors have been checked.
        bodies: Returns the bodies of a node.
        note: Takes what was changed, in plain words.

    Raises:
        InputError: If a sparse tensor is malformed, or larger than 256 MiB when it is dense.
    """
    if isinstance(graph, onnx.GraphProto):
        for sparse in graph.sparse_initializer:
            graph.initializer.append(_dense(sparse, note))
        del graph.sparse_initializer[:]
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == attribute.SPARSE_TENSOR and node.op_type == "Constant":
                dense = _dense(attribute.sparse_tensor, note)
                attribute.ClearField("sparse_tensor")
                attribute.name, attribute.type = "value", attribute.TENSOR
                attribute.t.CopyFrom(dense)
        for body in bodies(node) if node.attribute else ():
            densify(body, bodies, note)


def _dense(sparse: onnx.SparseTensorProto, note: Callable[[str], None]) -> onnx.TensorProto:
    label = f"sparse tensor {shown(sparse.values.name)}"
    dims = list(sparse.dims)
    if any(dim <= 0 for dim in dims):
        raise _bad(label, f"its shape {dims} has a dimension that is not positive")
    if any(part.data_location == part.EXTERNAL for part in (sparse.values, sparse.indices)):
        raise _bad(label, "its data is external, which ONNX does not define")
    values = onnx.numpy_helper.to_array(sparse.values)
    if values.ndim != 1 or math.prod(dims) * values.itemsize > _LARGEST_DENSE:
        raise _bad(label, f"its shape {dims} takes more than {_LARGEST_DENSE >> 20} MiB")
    dense = np.zeros(math.prod(dims), dtype=values.dtype)
    dense[_positions(sparse, dims, values.shape[0], label)] = values
    note(f"{label} was made dense")
    return onnx.numpy_helper.from_array(dense.reshape(dims), sparse.values.name)


def _positions(sparse: onnx.SparseTensorProto, dims: list[int], count: int, label: str) -> Array:
    if sparse.indices.data_type != onnx.TensorProto.INT64:
        raise _bad(label, "its indices are not int64")
    indices: Array = onnx.numpy_helper.to_array(sparse.indices)
    if indices.shape == (count,):
        if count and (indices.min() < 0 or indices.max() >= math.prod(dims)):
            raise _bad(label, "an index lies outside its shape")
        return indices
    if indices.shape != (count, len(dims)):
        raise _bad(label, f"its indices have the shape {indices.shape} for {count} values")
    if count and ((indices < 0).any() or (indices >= np.asarray(dims)).any()):
        raise _bad(label, "an index lies outside its shape")
    positions: Array = np.ravel_multi_index(tuple(indices.T), tuple(dims))
    return positions


def _bad(label: str, problem: str) -> InputError:
    return InputError(
        f"{label}: {problem}",
        where="checking the model file",
        hint="store it as a dense tensor and export the model again",
    )
