"""Folding of layout changes of weights, however large: they are done when the model is written.

A Transpose, Reshape or the like of a constant gives a constant of the same size. Where nothing
else reads the old one, the new takes its place, so the model does not grow. Where something else
does, as in a model whose embedding is also its last weight, the node stays: a second copy of the
weight would cost more than the node.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from irconv.graph.constants import constant_tensor
from irconv.graph.reshape_form import reshape_form
from irconv.graph.unread import drop_unread
from irconv.passes.rewrite import NodeRewrite, Place
from irconv.runtime.base import Array

__all__ = ["FoldLayouts"]

_BYTE = 8
_MOST_ITEMS = 16
_SUFFIX = "_laid_out"
_MATRIX = 2
_COLUMNS = 64


@dataclass(frozen=True)
class _Change:
    """A change of layout: the shape that results, and how to make it."""

    shape: tuple[int, ...]
    apply: Callable[[Array], Array]


@dataclass(frozen=True)
class FoldLayouts(NodeRewrite[_Change]):
    """Replace Transpose, Reshape, Squeeze, Unsqueeze and Flatten of a weight by a new weight.

    The new weight is computed where it is read, so a mapped weight stays mapped until then. What
    fold-constants takes, small constants, is left to it where the old weight stays.

    Before::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N, 2] x) => (float[N, 3] y)
        <float[3, 2] w = {1.0, 2.0, 3.0, 4.0, 5.0, 6.0}> {
            t = Transpose <perm = [1, 0]> (w)
            y = MatMul(x, t)
        }

    After::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N, 2] x) => (float[N, 3] y)
        <float[2, 3] w_laid_out = {1.0, 3.0, 5.0, 2.0, 4.0, 6.0}> {
            y = MatMul(x, w_laid_out)
        }
    """

    name: ClassVar[str] = "fold-layouts"
    after: ClassVar[tuple[str, ...]] = ("fold-constants", "eliminate-identity")

    op_types: ClassVar[frozenset[str]] = frozenset(
        {"Flatten", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}
    )
    counted: ClassVar[str] = "folded"

    def match(self, node: ir.Node, place: Place) -> _Change | str | None:
        """Return the change of a weight's layout; no weight is read."""
        del place
        return _match(node)

    def rewrite(self, node: ir.Node, match: _Change, place: Place) -> None:
        """Put the new weight in the place of the node."""
        value, read = node.inputs[0], list(node.inputs)
        tensor = constant_tensor(value)
        assert value is not None
        assert tensor is not None
        lazy = ir.LazyTensor(
            lambda: ir.Tensor(match.apply(tensor.numpy()), dtype=tensor.dtype),
            tensor.dtype,
            ir.Shape(match.shape),
        )
        stem = (value.name or "").removesuffix(_SUFFIX)
        place.editor.redirect(node.outputs[0], place.constant(node, stem + _SUFFIX, lazy))
        place.editor.remove(node)
        place.editor.finish()
        for item in dict.fromkeys(read):
            drop_unread(item)


def _match(node: ir.Node) -> _Change | str | None:
    value = node.inputs[0] if node.inputs else None
    tensor = constant_tensor(value)
    if value is None or tensor is None:
        return None
    if any(attribute.is_ref() for attribute in node.attributes.values()):
        return "an attribute of it is a parameter of the enclosing function"
    if node.outputs[0].is_graph_output():
        return f"{node.outputs[0].name!r} is a graph output"
    is_shared = any(user is not node for user, _ in value.uses())
    if value.is_graph_output() or (is_shared and not _is_index(tensor)):
        return f"{value.name!r} has other readers, and a copy of it would make the model larger"
    if tensor.dtype == ir.DataType.STRING or tensor.dtype.bitwidth < _BYTE:
        return f"tensors of {tensor.dtype} are not moved"
    rule = _transpose if node.op_type == "Transpose" else _reshape
    return rule(node, tuple(tensor.shape.numpy()))


def _is_index(tensor: ir.TensorProtocol) -> bool:
    """Whether a tensor can be no weight, and is so small that a copy costs less than a node."""
    return tensor.dtype == ir.DataType.INT64 and tensor.size <= _MOST_ITEMS


def _transpose(node: ir.Node, shape: tuple[int, ...]) -> _Change | str | None:
    perm = node.attributes.get("perm")
    order = tuple(reversed(range(len(shape)))) if perm is None else tuple(perm.as_ints())
    if sorted(order) != list(range(len(shape))):
        return None
    return _Change(
        tuple(shape[axis] for axis in order),
        lambda array: _transposed(array, order),
    )


def _transposed(array: Array, order: tuple[int, ...]) -> Array:
    """Return a transposed copy, made some columns at a time, so that what it reads stays cached."""
    view = np.transpose(array, order)
    if order[-1:] == (len(order) - 1,) or view.ndim < _MATRIX:
        return np.ascontiguousarray(view)
    copy = np.empty(view.shape, view.dtype)
    for start in range(0, view.shape[-1], _COLUMNS):
        columns = np.s_[..., start : start + _COLUMNS]
        copy[columns] = view[columns]
    return copy


def _reshape(node: ir.Node, shape: tuple[int, ...]) -> _Change | str | None:
    form = reshape_form(node)
    sizes = [] if form is None else [item for item in form.items if isinstance(item, int)]
    if form is None or len(sizes) != len(form.items):
        return "its target is not known"
    if int(np.prod(sizes, dtype=np.int64)) != int(np.prod(shape, dtype=np.int64)):
        return None
    return _Change(tuple(sizes), lambda array: array.reshape(sizes))
