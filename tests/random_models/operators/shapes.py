"""Operators that change or compute shapes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from assembly import Draft
from onnx import TensorProto, helper, numpy_helper

from operators.operands import Recipe

__all__ = ["RECIPES"]


def _reshape(draft: Draft) -> None:
    value = draft.pick("fib")
    shape = list(draft.shape(value))
    target = draft.choose(
        ([-1], [0, -1], [1, -1], [-1, 1], [*shape, 1], [1, *shape], shape, [0] * len(shape),
         [-1, *shape[1:]], [*shape[:-2], -1], [2, -1], [-1, 2])
    )  # fmt: skip
    draft.node("Reshape", [value, draft.ints(*target)])


def _reshape_twice(draft: Draft) -> None:
    value = draft.ranked(2)
    shape = draft.shape(value)
    flat = draft.node("Reshape", [value, draft.ints(-1, shape[-1])])
    if draft.chance(0.5):
        flat = draft.node(draft.choose(("Relu", "Tanh", "Identity")), [flat])
    draft.node("Reshape", [flat, draft.ints(*draft.choose((shape, (-1, *shape[1:]), (-1,))))])


def _flatten(draft: Draft) -> None:
    value = draft.ranked(1)
    draft.node("Flatten", [value], axis=int(draft.rng.integers(draft.array(value).ndim + 1)))


def _squeeze(draft: Draft) -> None:
    value = draft.operand(draft.choose((np.float32, np.int64)), (2, 1, 3))
    axes = [axis for axis, size in enumerate(draft.shape(value)) if size == 1]
    draft.node("Squeeze", [value, draft.ints(int(draft.choose(axes)))])


def _unsqueeze(draft: Draft) -> None:
    value = draft.ranked(0, "fib", 4)
    rank = draft.array(value).ndim
    draft.node("Unsqueeze", [value, draft.ints(int(draft.rng.integers(-rank - 1, rank + 1)))])


def _transpose(draft: Draft) -> None:
    value = draft.ranked(2)
    perm = [int(axis) for axis in draft.rng.permutation(draft.array(value).ndim)]
    moved = draft.node("Transpose", [value], **({"perm": perm} if draft.chance(0.8) else {}))
    if draft.chance(0.3):
        moved = draft.node(draft.choose(("Relu", "Neg", "Sigmoid")), [moved])
        back = [int(axis) for axis in np.argsort(perm)]
        draft.node("Transpose", [moved], perm=back)


def _expand(draft: Draft) -> None:
    value = draft.pick("fi", lambda array: array.ndim <= 3)
    shape = [size if size != 1 else int(draft.rng.integers(1, 4)) for size in draft.shape(value)]
    shape = [2, *shape] if draft.chance(0.3) else shape
    wide = draft.node("Expand", [value, draft.ints(*shape)])
    if draft.chance(0.5):
        other = draft.operand(draft.array(value).dtype, shape)
        draft.node(draft.choose(("Add", "Mul", "Max")), [wide, other])


def _tile(draft: Draft) -> None:
    value = draft.ranked(1, "fi", 3)
    repeats = draft.rng.integers(1, 3, draft.array(value).ndim)
    draft.node("Tile", [value, draft.constant(repeats, np.int64)])


def _shape_of(draft: Draft) -> None:
    value = draft.ranked(1, "fi")
    draft.node("Shape", [value])
    if draft.chance(0.5):
        draft.node("Shape", [value], start=draft.choose((0, -1, 1)))


def _size(draft: Draft) -> None:
    draft.node("Size", [draft.pick("fi")])


def _computed_reshape(draft: Draft) -> None:
    value = draft.ranked(2)
    shape = draft.shape(value)
    whole = draft.node("Shape", [value])
    parts = []
    for axis in range(len(shape)):
        index = draft.constant(axis if draft.chance(0.7) else axis - len(shape), np.int64)
        parts.append(draft.node("Gather", [whole, index]))
    if draft.chance(0.5):
        parts[0:2] = [draft.node("Mul", parts[0:2])]
    if draft.chance(0.3):
        two = draft.constant(2, np.int64)
        doubled = draft.node("Mul", [parts[-1], two])
        parts[-1] = draft.node("Div", [doubled, two])
    wide = [draft.node("Unsqueeze", [part, draft.ints(0)]) for part in parts]
    if draft.chance(0.3):
        wide[-1] = draft.ints(-1)
    draft.node("Reshape", [value, draft.node("Concat", wide, axis=0)])


def _computed_expand(draft: Draft) -> None:
    value = draft.ranked(1)
    shape = draft.shape(value)
    whole = draft.node("Shape", [draft.operand(np.float32, shape)])
    if draft.chance(0.5):
        one = draft.node("ConstantOfShape", [draft.ints(len(shape))],
                         value=numpy_helper.from_array(np.array([1], np.int64)))  # fmt: skip
        same = draft.node("Equal", [whole, draft.node("Mul", [one, draft.ints(-1)])])
        whole = draft.node("Where", [same, one, whole])
    small = draft.operand(np.float32, [1 if draft.chance(0.5) else size for size in shape])
    wide = draft.node("Expand", [small, whole])
    draft.node(draft.choose(("Add", "Mul", "Sub")), [value, wide])


def _constant_of_shape(draft: Draft) -> None:
    whole = draft.node("Shape", [draft.pick("fi")])
    item = numpy_helper.from_array(np.array([draft.choose((0.0, 1.0, 2.5))], np.float32))
    draft.node("ConstantOfShape", [whole], value=item)


def _range(draft: Draft) -> None:
    value = draft.ranked(1)
    whole = draft.node("Shape", [value])
    last = draft.node("Gather", [whole, draft.constant(0, np.int64)])
    zero, one = draft.constant(0, np.int64), draft.constant(1, np.int64)
    numbers = draft.node("Range", [zero, last, one])
    draft.node("Cast", [numbers], to=TensorProto.FLOAT)


def _constant_node(draft: Draft) -> None:
    name = draft.assembly.fresh("k")
    attribute = draft.choose(
        ({"value_float": 0.5}, {"value_floats": [0.5, 1.0]}, {"value_ints": [1, 2]},
         {"value_int": 3})
    )  # fmt: skip
    draft.nodes.append(helper.make_node("Constant", [], [name], **attribute))


RECIPES: Mapping[str, Recipe] = {
    "Reshape": _reshape,
    "reshape twice": _reshape_twice,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": _transpose,
    "Expand": _expand,
    "Tile": _tile,
    "Range": _range,
    "ConstantOfShape": _constant_of_shape,
    "Shape": _shape_of,
    "Size": _size,
    "computed reshape": _computed_reshape,
    "computed expand": _computed_expand,
    "Constant": _constant_node,
}
"""By name; that of a chain has a space in it or begins in lower case."""
