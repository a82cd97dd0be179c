"""Recipes: each drafts one operator, or a chain that passes look at, on operands of a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from assembly import Draft, Skip
from onnx import TensorProto, helper, numpy_helper

__all__ = ["RECIPES"]

Recipe = Callable[[Draft], None]

_FLOAT_UNARY = (
    "Abs", "Neg", "Exp", "Log", "Sqrt", "Reciprocal", "Sigmoid", "Tanh", "Relu", "Erf", "Floor",
    "Ceil", "Round", "Sign", "Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Asinh",
    "Acosh", "Atanh", "Softplus", "Softsign", "Selu", "Elu", "Celu", "LeakyRelu", "HardSwish",
    "ThresholdedRelu", "HardSigmoid", "Mish", "Gelu", "Shrink", "IsNaN", "IsInf", "Softmax",
    "LogSoftmax", "Hardmax", "Identity", "Dropout", "LpNormalization",
    "MeanVarianceNormalization", "Swish",
)  # fmt: skip
_SINCE = {"Mish": 18, "Gelu": 20, "Swish": 24}
_ATTRIBUTES: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "Elu": ({}, {"alpha": 0.5}), "Celu": ({}, {"alpha": 2.0}), "LeakyRelu": ({}, {"alpha": 0.25}),
    "ThresholdedRelu": ({}, {"alpha": 0.25}), "HardSigmoid": ({}, {"alpha": 0.25, "beta": 0.5}),
    "Shrink": ({"lambd": 0.5, "bias": 0.25},), "Gelu": ({}, {"approximate": "tanh"}),
    "Swish": ({}, {"alpha": 1.5}), "Softmax": ({}, {"axis": 0}), "LogSoftmax": ({}, {"axis": 0}),
    "Hardmax": ({}, {"axis": 0}), "LpNormalization": ({"axis": -1, "p": 2}, {"axis": 0, "p": 1}),
}  # fmt: skip
_BEFORE = {
    "Log": "Sigmoid", "Sqrt": "Abs", "Reciprocal": "Exp", "Asin": "Tanh", "Acos": "Tanh",
    "Acosh": "Exp", "Atanh": "Tanh", "Exp": "Tanh",
}  # fmt: skip


def _unary(op: str, draft: Draft) -> None:
    if draft.opset < _SINCE.get(op, 0):
        raise Skip
    value = draft.ranked(2) if op in ("MeanVarianceNormalization",) else draft.pick()
    if op == "MeanVarianceNormalization":
        value = draft.ranked(4)
    if op in _BEFORE and draft.chance(0.7):
        value = draft.node(_BEFORE[op], [value])
    if op == "Acosh":
        value = draft.node("Add", [value, draft.constant(1.5, np.float32)])
    draft.node(op, [value], **draft.choose(_ATTRIBUTES.get(op, ({},))))


def _partner(draft: Draft, value: str) -> str:
    """Return an operand that broadcasts with a value: as large, smaller, or a number."""
    array = draft.array(value)
    shape = list(array.shape)
    kind = int(draft.rng.integers(6))
    if kind == 0:
        return draft.operand(array.dtype, shape)
    if kind == 1 or not shape:
        return draft.constant(draft.random(array.dtype, ()))
    if kind == 2:
        return draft.constant(draft.random(array.dtype, (1,) * int(draft.rng.integers(1, 4))))
    start = int(draft.rng.integers(len(shape)))
    part = [1 if draft.chance(0.3) else size for size in shape[start:]]
    if kind == 3:
        return draft.operand(array.dtype, part)
    return draft.constant(draft.random(array.dtype, tuple(part)))


def _binary(op: str, kinds: str, draft: Draft) -> None:
    value = draft.pick(kinds) if draft.values(kinds) else draft.source(np.int64, (2, 3))
    other = _partner(draft, value)
    pair = [value, other] if draft.chance(0.6) else [other, value]
    if op == "Pow":
        pair = [value, draft.constant(draft.choose((2, 0.5, 1, 3, -1)), draft.array(value).dtype)]
    if op == "PRelu":
        pair = [value, other]
    if op == "Mod" and "f" in kinds:
        draft.node(op, pair, fmod=1)
    else:
        draft.node(op, pair)


def _variadic(op: str, draft: Draft) -> None:
    value = draft.pick()
    draft.node(op, [value, *(_partner(draft, value) for _ in range(int(draft.rng.integers(3))))])


def _logic(op: str, draft: Draft) -> None:
    value = draft.operand(np.bool_, draft.shape(draft.pick("fb")))
    draft.node(op, [value] if op == "Not" else [value, draft.operand(np.bool_, draft.shape(value))])


def _bitwise(op: str, draft: Draft) -> None:
    dtype = np.uint32 if op == "BitShift" else draft.choose((np.int32, np.int64, np.uint8))
    value = draft.operand(dtype, draft.shape(draft.pick("fi")))
    if op == "BitShift":
        shift = draft.constant(draft.random(np.dtype(dtype), ()))
        draft.node(op, [value, shift], direction=draft.choose(("LEFT", "RIGHT")))
        return
    draft.node(op, [value] if op == "BitwiseNot" else [value, draft.operand(dtype, ())])


def _where(draft: Draft) -> None:
    value = draft.pick("fi")
    if draft.chance(0.4):
        condition = draft.node("Less", [value, _partner(draft, value)])
    else:
        condition = draft.operand(np.bool_, draft.shape(value))
    pair = [value, _partner(draft, value)]
    draft.node("Where", [condition, *(pair if draft.chance(0.5) else pair[::-1])])


def _clip(draft: Draft) -> None:
    value = draft.pick()
    dtype = draft.array(value).dtype
    low = draft.constant(draft.choose((0.0, -0.5, 0.0)), dtype)
    high = draft.constant(draft.choose((6.0, 1.0, 0.75)), dtype)
    draft.node("Clip", [value, *draft.choose(([low, high], [low], ["", high], []))])


def _axes(draft: Draft, rank: int) -> list[int]:
    count = int(draft.rng.integers(1, rank + 1))
    axes = sorted(int(axis) for axis in draft.rng.permutation(rank)[:count])
    return [axis - rank if draft.chance(0.4) else axis for axis in axes]


def _reduce(op: str, draft: Draft) -> None:
    value = draft.ranked(1)
    axes = _axes(draft, draft.array(value).ndim)
    if op in ("ReduceLogSum", "ReduceLogSumExp", "ReduceProd") and draft.chance(0.7):
        value = draft.node("Sigmoid", [value])
    keep = int(draft.chance(0.5))
    everything = draft.chance(0.2)
    if op == "ReduceSum" or draft.opset >= 18:
        extra = [] if everything else [draft.ints(*axes)]
        draft.node(op, [value, *extra], keepdims=keep)
    else:
        draft.node(op, [value], keepdims=keep, **({} if everything else {"axes": axes}))


def _arg(op: str, draft: Draft) -> None:
    value = draft.ranked(1)
    axis = int(draft.rng.integers(draft.array(value).ndim))
    draft.node(op, [value], axis=axis, keepdims=int(draft.chance(0.5)))


def _cumulative(op: str, draft: Draft) -> None:
    value = draft.ranked(1)
    axis = int(draft.rng.integers(draft.array(value).ndim))
    flags = {"exclusive": int(draft.chance(0.3)), "reverse": int(draft.chance(0.3))}
    draft.node(op, [value, draft.constant(axis, np.int64)], **flags)


def _top_k(draft: Draft) -> None:
    value = draft.ranked(1)
    size = draft.shape(value)[-1]
    if not size:
        raise Skip
    draft.node("TopK", [value, draft.ints(int(draft.rng.integers(1, size + 1)))], 2)


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


def _concat(draft: Draft) -> None:
    value = draft.ranked(1, "fi")
    array = draft.array(value)
    axis = int(draft.rng.integers(-array.ndim, array.ndim))
    parts = [value]
    for _ in range(int(draft.rng.integers(0, 3))):
        shape = list(array.shape)
        shape[axis] = int(draft.rng.integers(0 if draft.chance(0.1) else 1, 4))
        parts.insert(int(draft.chance(0.5)), draft.operand(array.dtype, shape))
    joined = draft.node("Concat", parts, axis=axis)
    if draft.chance(0.3):
        draft.node("Concat", [joined, value], axis=axis)


def _split(draft: Draft) -> None:
    value = draft.ranked(1, "fi")
    array = draft.array(value)
    axis = int(draft.rng.integers(array.ndim))
    size = array.shape[axis]
    first = int(draft.rng.integers(0, size + 1))
    if draft.opset >= 18 and size >= 2 and draft.chance(0.5):
        draft.node("Split", [value], 2, axis=axis, num_outputs=2)
        return
    names = [draft.assembly.fresh() for _ in range(2)]
    draft.node("Split", [value, draft.ints(first, size - first)], names, axis=axis)
    if draft.chance(0.5):
        draft.node("Concat", names if draft.chance(0.6) else names[::-1], axis=axis)


def _bounds(draft: Draft, size: int) -> tuple[int, int, int]:
    start, end = (int(item) for item in draft.rng.integers(-size - 1, size + 2, 2))
    if draft.chance(0.3):
        end = 2**63 - 1
    step = int(draft.choose((1, 1, 1, 2, -1)))
    return (end % 100, start, step) if step < 0 else (start, end, step)


def _slice(draft: Draft) -> None:
    value = draft.ranked(1, "fi")
    for _ in range(1 + int(draft.chance(0.4))):
        axis = int(draft.rng.integers(draft.array(value).ndim if value in draft.assembly.known
                                      or value in draft.given else 1))  # fmt: skip
        size = draft.shape(value)[axis] if value in draft.assembly.known else 3
        start, end, step = _bounds(draft, size)
        inputs = [value, draft.ints(start), draft.ints(end), draft.ints(axis)]
        if step != 1 or draft.chance(0.3):
            inputs.append(draft.ints(step))
        value = draft.node("Slice", inputs)


def _pad(draft: Draft) -> None:
    value = draft.ranked(1)
    rank = draft.array(value).ndim
    low = -1 if draft.chance(0.2) else 0
    pads = draft.ints(*(int(pad) for pad in draft.rng.integers(low, 2, 2 * rank)))
    mode = draft.choose(("constant", "constant", "edge", "reflect"))
    extra = [draft.constant(0.5, np.float32)] if mode == "constant" and draft.chance(0.4) else []
    draft.node("Pad", [value, pads, *extra], mode=mode)


def _gather(draft: Draft) -> None:
    value = draft.ranked(1, "fi")
    array = draft.array(value)
    axis = int(draft.rng.integers(array.ndim))
    if not array.shape[axis]:
        raise Skip
    shape = draft.choose(((), (1,), (2,), (2, 2)))
    low = -array.shape[axis]
    indices = draft.rng.integers(low, array.shape[axis], shape)
    draft.node("Gather", [value, draft.constant(indices, np.int64)], axis=axis)


def _gather_elements(draft: Draft) -> None:
    value = draft.ranked(1)
    shape = draft.shape(value)
    axis = int(draft.rng.integers(len(shape)))
    indices = draft.constant(draft.rng.integers(0, max(shape[axis], 1), shape), np.int64)
    draft.node("GatherElements", [value, indices], axis=axis)


def _gather_nd(draft: Draft) -> None:
    value = draft.ranked(2)
    shape = draft.shape(value)
    rows = [[int(draft.rng.integers(0, max(size, 1))) for size in shape[:2]] for _ in range(2)]
    draft.node("GatherND", [value, draft.constant(rows, np.int64)])


def _scatter_elements(draft: Draft) -> None:
    value = draft.ranked(1)
    shape = draft.shape(value)
    indices = draft.constant(np.zeros((1,) * len(shape)), np.int64)
    updates = draft.operand(draft.array(value).dtype, (1,) * len(shape))
    draft.node("ScatterElements", [value, indices, updates])


def _scatter_nd(draft: Draft) -> None:
    value = draft.ranked(1)
    shape = draft.shape(value)
    updates = draft.operand(draft.array(value).dtype, (1, *shape[1:]))
    draft.node("ScatterND", [value, draft.constant([[0]], np.int64), updates])


def _depth(op: str, draft: Draft) -> None:
    shape = (1, 4, 2, 2) if op == "DepthToSpace" else (1, 2, 2, 4)
    draft.node(op, [draft.operand(np.float32, shape)], blocksize=2)


def _reverse_sequence(draft: Draft) -> None:
    value = draft.ranked(2)
    time, batch = draft.shape(value)[:2]
    draft.node("ReverseSequence", [value, draft.constant(np.full(batch, time), np.int64)])


def _trilu(draft: Draft) -> None:
    extra = [draft.constant(draft.choose((0, 1, -1)), np.int64)] if draft.chance(0.5) else []
    draft.node("Trilu", [draft.ranked(2), *extra], upper=int(draft.chance(0.5)))


def _eye_like(draft: Draft) -> None:
    draft.node("EyeLike", [draft.ranked(2, most=2)], k=int(draft.rng.integers(-1, 2)))


def _one_hot(draft: Draft) -> None:
    indices = draft.constant(draft.rng.integers(0, 3, (2,)), np.int64)
    values = draft.constant([0.0, 1.0], np.float32)
    draft.node("OneHot", [indices, draft.constant(3, np.int64), values])


def _range(draft: Draft) -> None:
    value = draft.ranked(1)
    whole = draft.node("Shape", [value])
    last = draft.node("Gather", [whole, draft.constant(0, np.int64)])
    zero, one = draft.constant(0, np.int64), draft.constant(1, np.int64)
    numbers = draft.node("Range", [zero, last, one])
    draft.node("Cast", [numbers], to=TensorProto.FLOAT)


def _constant_of_shape(draft: Draft) -> None:
    whole = draft.node("Shape", [draft.pick("fi")])
    item = numpy_helper.from_array(np.array([draft.choose((0.0, 1.0, 2.5))], np.float32))
    draft.node("ConstantOfShape", [whole], value=item)


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


def _center_crop_pad(draft: Draft) -> None:
    value = draft.ranked(1)
    rank = draft.array(value).ndim
    draft.node("CenterCropPad", [value, draft.ints(*draft.rng.integers(1, 5, rank))])


def _col2im(draft: Draft) -> None:
    value = draft.operand(np.float32, (1, 4, 4))
    draft.node("Col2Im", [value, draft.ints(3, 3), draft.ints(2, 2)])


def _resize(draft: Draft) -> None:
    value = draft.operand(np.float32, (1, 2, *draft.rng.integers(1, 4, 2)))
    mode = draft.choose(("nearest", "linear", "cubic"))
    where = draft.choose(("asymmetric", "half_pixel", "align_corners", "pytorch_half_pixel"))
    attributes = {"mode": mode, "coordinate_transformation_mode": where}
    if draft.chance(0.5):
        scales = draft.constant([1, 1, draft.choose((1, 2)), 2], np.float32)
        draft.node("Resize", [value, "", scales], **attributes)
    else:
        draft.node("Resize", [value, "", "", draft.ints(1, 2, 4, 3)], **attributes)


def _cast(draft: Draft) -> None:
    value = draft.pick("fib")
    types = (
        TensorProto.FLOAT, TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16,
        TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL,
    )  # fmt: skip
    for _ in range(int(draft.rng.integers(1, 4))):
        value = draft.node("Cast", [value], to=draft.choose(types))
    if draft.chance(0.6):
        draft.node("Cast", [value], to=TensorProto.FLOAT)


def _cast_like(draft: Draft) -> None:
    draft.node("CastLike", [draft.pick("fib"), draft.pick("fi")])


def _quantize(draft: Draft) -> None:
    value = draft.pick(accept=lambda array: array.dtype == np.float32)
    scale = draft.constant(draft.choose((0.25, 0.5)), np.float32)
    zero = draft.constant(draft.choose((0, 3)), draft.choose((np.uint8, np.int8)))
    coded = draft.node("QuantizeLinear", [value, scale, zero])
    if draft.chance(0.8):
        draft.node("DequantizeLinear", [coded, scale, zero])


def _dequantized_weight(draft: Draft) -> None:
    value = draft.ranked(2)
    rows = draft.shape(value)[-1]
    coded = draft.constant(draft.rng.integers(-8, 8, (rows, 3)), np.int8)
    scale = draft.constant([0.25, 0.5, 0.125], np.float32)
    weight = draft.node("DequantizeLinear", [coded, scale], axis=1)
    draft.node("MatMul", [value, weight])


def _dynamic_quantize(draft: Draft) -> None:
    draft.node("DynamicQuantizeLinear", [draft.ranked(1)], 3)


def _matmul_integer(draft: Draft) -> None:
    left, right = draft.operand(np.uint8, (2, 3)), draft.operand(np.uint8, (3, 2))
    draft.node("MatMulInteger", [left, right])


def _conv_integer(draft: Draft) -> None:
    left, right = draft.operand(np.uint8, (1, 1, 3, 3)), draft.operand(np.uint8, (1, 1, 2, 2))
    draft.node("ConvInteger", [left, right])


def _quantized_matmul(draft: Draft) -> None:
    scale, zero = draft.constant(0.5, np.float32), draft.constant(1, np.uint8)
    left, right = draft.operand(np.uint8, (2, 3)), draft.operand(np.uint8, (3, 2))
    draft.node("QLinearMatMul", [left, scale, zero, right, scale, zero, scale, zero])


def _weight(draft: Draft, *shape: int) -> str:
    array = np.round(draft.rng.standard_normal(shape) * 32) / 64
    return draft.constant(array, np.float32)


def _matmul(draft: Draft) -> None:
    value = draft.ranked(1)
    columns = draft.shape(value)[-1]
    if draft.chance(0.3):
        draft.node("MatMul", [value, draft.operand(np.float32, (columns, 2))])
        return
    size = int(draft.rng.integers(1, 4))
    for _ in range(1 + int(draft.chance(0.3))):
        matrix = _weight(draft, columns, size)
        if draft.chance(0.3):
            matrix = draft.node("Transpose", [_weight(draft, size, columns)], perm=[1, 0])
        value, columns = draft.node("MatMul", [value, matrix]), size
        if draft.chance(0.5):
            value = draft.node("Add", [value, _weight(draft, size)])
        if draft.chance(0.3):
            value = draft.node(draft.choose(("Mul", "Div")), [value, draft.constant(2, np.float32)])


def _parallel_matmuls(draft: Draft) -> None:
    value = draft.ranked(2)
    columns = draft.shape(value)[-1]
    biased = draft.chance(0.5)
    for _ in range(int(draft.rng.integers(2, 4))):
        size = int(draft.choose((2, 2, 4)))
        part = draft.node("MatMul", [value, _weight(draft, columns, size)])
        if biased:
            part = draft.node("Add", [part, _weight(draft, size)])
        if draft.chance(0.3):
            draft.node(draft.choose(("Relu", "Neg")), [part])


def _tied(draft: Draft) -> None:
    value = draft.ranked(2)
    table = _weight(draft, draft.shape(value)[-1], 2)
    product = draft.node("MatMul", [value, table])
    draft.node("MatMul", [product, draft.node("Transpose", [table], perm=[1, 0])])


def _gemm(draft: Draft) -> None:
    value = draft.ranked(2, most=2)
    flip_a, flip_b = int(draft.chance(0.2)), int(draft.chance(0.5))
    inner = draft.shape(value)[0 if flip_a else 1]
    matrix = _weight(draft, *((2, inner) if flip_b else (inner, 2)))
    bias = [draft.choose((_weight(draft, 2), _weight(draft, 1), _weight(draft)))]
    draft.node(
        "Gemm", [value, matrix, *(bias if draft.chance(0.7) else [])], transA=flip_a,
        transB=flip_b, alpha=draft.choose((1.0, 0.5)), beta=draft.choose((1.0, 2.0)),
    )  # fmt: skip


def _image(draft: Draft) -> str:
    found = draft.values("f", lambda a: a.ndim == 4 and a.shape[1] == 2 and a.dtype == np.float32)
    if found and draft.chance(0.7):
        return str(draft.choose(found))
    return draft.operand(np.float32, (draft.choose((1, 3)), 2, *draft.rng.integers(2, 5, 2)))


def _batchnorm_inputs(draft: Draft, size: int) -> list[str]:
    variance = draft.constant(draft.choose((0.25, 1.0, 2.0)) + np.arange(size), np.float32)
    return [_weight(draft, size), _weight(draft, size), _weight(draft, size), variance]


def _conv(draft: Draft) -> None:
    value = _image(draft)
    if draft.chance(0.3):
        pads = draft.ints(0, 0, *draft.rng.integers(0, 2, 2), 0, 0, *draft.rng.integers(0, 2, 2))
        value = draft.node("Pad", [value, pads])
    if draft.chance(0.2):
        value = draft.node("BatchNormalization", [value, *_batchnorm_inputs(draft, 2)])
    groups = int(draft.choose((1, 1, 2)))
    kernel = [int(size) for size in draft.rng.integers(1, 3, 2)]
    weights = [_weight(draft, 2, 2 // groups, *kernel)]
    if draft.chance(0.4):
        weights.append(_weight(draft, 2))
    attributes: dict[str, Any] = {}
    if draft.chance(0.3):
        attributes["pads"] = [int(pad) for pad in draft.rng.integers(0, 2, 4)]
    elif draft.chance(0.2):
        attributes["auto_pad"] = draft.choose(("SAME_UPPER", "SAME_LOWER", "VALID"))
    if draft.chance(0.3):
        attributes["strides"] = [2, 1]
    value = draft.node("Conv", [value, *weights], group=groups, **attributes)
    kind = int(draft.rng.integers(5))
    if kind == 0:
        draft.node("BatchNormalization", [value, *_batchnorm_inputs(draft, 2)])
    elif kind == 1:
        shape = draft.choose(((2, 1, 1), (1, 2, 1, 1), (1,), ()))
        draft.node(draft.choose(("Add", "Mul", "Sub", "Div")), [value, _weight(draft, *shape)])
    elif kind == 2:
        draft.node(draft.choose(("Relu", "Sigmoid", "LeakyRelu", "Tanh", "HardSigmoid")), [value])


def _conv1d(draft: Draft) -> None:
    value = draft.operand(np.float32, (1, 2, 4))
    draft.node("Conv", [value, _weight(draft, 3, 2, 2)])


def _conv_transpose(draft: Draft) -> None:
    value = _image(draft)
    kernel = [int(size) for size in draft.rng.integers(1, 3, 2)]
    value = draft.node("ConvTranspose", [value, _weight(draft, 2, 2, *kernel)])
    if draft.chance(0.4):
        draft.node("BatchNormalization", [value, *_batchnorm_inputs(draft, 2)])


def _pool(op: str, draft: Draft) -> None:
    value = _image(draft)
    if op.startswith("Global"):
        draft.node(op, [value])
        return
    attributes: dict[str, Any] = {"kernel_shape": [2, 2]}
    if draft.chance(0.4):
        attributes["pads"] = [int(pad) for pad in draft.rng.integers(0, 2, 4)]
    if draft.chance(0.4):
        attributes["strides"] = [2, 1]
    if op == "AveragePool" and draft.chance(0.4):
        attributes["count_include_pad"] = 1
    if draft.chance(0.3):
        value = draft.node("Pad", [value, draft.ints(0, 0, 1, 0, 0, 0, 0, 1)])
    draft.node(op, [value], **attributes)


def _max_unpool(draft: Draft) -> None:
    names = [draft.assembly.fresh() for _ in range(2)]
    draft.node("MaxPool", [draft.operand(np.float32, (1, 1, 4, 4))], names,
               kernel_shape=[2, 2], strides=[2, 2])  # fmt: skip
    draft.node("MaxUnpool", names, kernel_shape=[2, 2], strides=[2, 2])


def _batchnorm(draft: Draft) -> None:
    value = draft.ranked(2)
    draft.node(
        "BatchNormalization", [value, *_batchnorm_inputs(draft, draft.shape(value)[1])],
        epsilon=draft.choose((1e-5, 1e-3)),
    )  # fmt: skip


def _instance_norm(draft: Draft) -> None:
    draft.node("InstanceNormalization", [_image(draft), _weight(draft, 2), _weight(draft, 2)])


def _group_norm(draft: Draft) -> None:
    if draft.opset < 21:
        raise Skip
    value = draft.operand(np.float32, (1, 4, 2, 2))
    draft.node("GroupNormalization", [value, _weight(draft, 4), _weight(draft, 4)], num_groups=2)


def _layer_norm(op: str, draft: Draft) -> None:
    if op == "RMSNormalization" and draft.opset < 23:
        raise Skip
    value = draft.ranked(2)
    size = draft.shape(value)[-1]
    bias = [_weight(draft, size)] if op == "LayerNormalization" and draft.chance(0.5) else []
    draft.node(op, [value, _weight(draft, size), *bias], axis=-1)


def _lrn(draft: Draft) -> None:
    draft.node("LRN", [_image(draft)], size=3)


def _einsum(draft: Draft) -> None:
    left = draft.operand(np.float32, (2, 3, 2))
    right = draft.operand(np.float32, (2, 2, 3))
    equation = draft.choose(("bij,bjk->bik", "bij,bkj->bik", "bij,cjk->bcik"))
    if equation == "bij,bkj->bik":
        right = draft.operand(np.float32, (2, 3, 2))
    draft.node("Einsum", [left, right], equation=equation)


def _det(draft: Draft) -> None:
    draft.node("Det", [draft.operand(np.float32, (2, 2, 2))])


def _recurrent(op: str, draft: Draft) -> None:
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[op]
    value = draft.operand(np.float32, (3, 1, 2))
    weights = [_weight(draft, 1, gates * 2, 2), _weight(draft, 1, gates * 2, 2)]
    if draft.chance(0.5):
        weights.append(_weight(draft, 1, 2 * gates * 2))
    draft.node(op, [value, *weights], 3 if op == "LSTM" else 2, hidden_size=2)


def _attention(draft: Draft) -> None:
    if draft.opset < 23:
        raise Skip
    parts = [draft.operand(np.float32, (1, 2, 3, 2)) for _ in range(3)]
    draft.node("Attention", parts, is_causal=int(draft.chance(0.3)))


def _scores(draft: Draft) -> None:
    query, key, value = (draft.operand(np.float32, (1, 2, 3, 4)) for _ in range(3))
    if draft.chance(0.5):
        query = draft.node("Mul", [query, draft.constant(0.5, np.float32)])
    scores = draft.node("MatMul", [query, draft.node("Transpose", [key], perm=[0, 1, 3, 2])])
    if draft.chance(0.5):
        scores = draft.node("Div", [scores, draft.constant(2.0, np.float32)])
    if draft.chance(0.5):
        mask = draft.choose((np.zeros((3, 3)), np.triu(np.full((3, 3), -100.0), 1)))
        scores = draft.node("Add", [scores, draft.constant(mask, np.float32)])
    shares = draft.node("Softmax", [scores], axis=-1)
    mixed = draft.node("MatMul", [shares, value])
    if draft.chance(0.5):
        moved = draft.node("Transpose", [mixed], perm=[0, 2, 1, 3])
        draft.node("Reshape", [moved, draft.ints(0, 0, 8)])


def _heads(draft: Draft) -> None:
    value = draft.operand(np.float32, (draft.choose((1, 3)), 3, 4))
    parts = []
    for index in range(3):
        part = draft.node("MatMul", [value, _weight(draft, 4, 4)])
        if draft.chance(0.5):
            part = draft.node("Add", [part, _weight(draft, 4)])
        part = draft.node("Reshape", [part, draft.ints(0, 3, 2, 2)])
        order = [0, 2, 3, 1] if index == 1 else [0, 2, 1, 3]
        parts.append(draft.node("Transpose", [part], perm=order))
    scores = draft.node("MatMul", parts[:2])
    scores = draft.node("Mul", [scores, draft.constant(0.7, np.float32)])
    mixed = draft.node("MatMul", [draft.node("Softmax", [scores], axis=-1), parts[2]])
    moved = draft.node("Transpose", [mixed], perm=[0, 2, 1, 3])
    draft.node("Reshape", [moved, draft.ints(0, 0, 4)])


def _rotary(draft: Draft) -> None:
    if draft.opset < 23:
        raise Skip
    value = draft.operand(np.float32, (1, 2, 3, 4))
    angles = draft.rng.standard_normal((1, 3, 2))
    turns = [draft.constant(part, np.float32) for part in (np.cos(angles), np.sin(angles))]
    draft.node("RotaryEmbedding", [value, *turns])


def _norm_steps(draft: Draft) -> None:
    value = draft.ranked(2)
    size = draft.shape(value)[-1]

    def mean(of: str) -> str:
        if draft.opset >= 18:
            return draft.node("ReduceMean", [of, draft.ints(-1)])
        return draft.node("ReduceMean", [of], axes=[-1])

    centred = value
    if draft.chance(0.7):
        centred = draft.node("Sub", [value, mean(value)])
    if draft.chance(0.5):
        square = draft.node("Mul", [centred, centred])
    else:
        square = draft.node("Pow", [centred, draft.constant(2.0, np.float32)])
    spread = draft.node("Add", [mean(square), draft.constant(1e-3, np.float32)])
    scaled = draft.node("Div", [centred, draft.node("Sqrt", [spread])])
    scaled = draft.node("Mul", [scaled, _weight(draft, size)])
    if draft.chance(0.6):
        draft.node("Add", [scaled, _weight(draft, size)])


def _gelu_steps(draft: Draft) -> None:
    value = draft.pick()
    dtype = draft.array(value).dtype
    inner = draft.node("Div", [value, draft.constant(2**0.5, dtype)])
    total = draft.node("Add", [draft.node("Erf", [inner]), draft.constant(1, dtype)])
    half = draft.constant(0.5, dtype)
    if draft.chance(0.5):
        draft.node("Mul", [draft.node("Mul", [value, total]), half])
    else:
        draft.node("Mul", [value, draft.node("Mul", [total, half])])


def _gate(draft: Draft) -> None:
    value = draft.pick()
    dtype = draft.array(value).dtype
    kind = int(draft.rng.integers(4))
    if kind == 0:
        draft.node("Mul", [value, draft.node("Sigmoid", [value])])
    elif kind == 1:
        draft.node("Mul", [value, draft.node("Tanh", [draft.node("Softplus", [value])])])
    elif kind == 2:
        shifted = draft.node("Add", [value, draft.constant(3, dtype)])
        limits = [draft.constant(0, dtype), draft.constant(6, dtype)]
        clipped = draft.node("Clip", [shifted, *limits])
        share = draft.node("Div", [clipped, draft.constant(6, dtype)])
        draft.node("Mul", [value, share] if draft.chance(0.6) else [share, share])
    else:
        grown = draft.node("Add", [draft.node("Exp", [value]), draft.constant(1, dtype)])
        draft.node("Log", [grown])


def _softmax_steps(draft: Draft) -> None:
    value = draft.ranked(1)
    if draft.opset < 18:
        raise Skip
    axes = draft.ints(-1)
    if draft.chance(0.7):
        value = draft.node("Sub", [value, draft.node("ReduceMax", [value, axes])])
    grown = draft.node("Exp", [value])
    draft.node("Div", [grown, draft.node("ReduceSum", [grown, axes])])


def _arithmetic_chain(draft: Draft) -> None:
    value = draft.pick(accept=lambda array: array.dtype in (np.float32, np.float64))
    shape, dtype = draft.shape(value), draft.array(value).dtype
    ops = draft.choose((("Add", "Sub"), ("Mul", "Div")))
    for _ in range(int(draft.rng.integers(2, 4))):
        part = draft.choose(((), shape[-1:], (1,)))
        constant = draft.constant(np.full(part, draft.choose((0.5, 1.0, 2.0, 3.0))), dtype)
        pair = [value, constant] if draft.chance(0.7) else [constant, value]
        value = draft.node(draft.choose(ops), pair)


def _no_op(draft: Draft) -> None:
    value = draft.pick(accept=lambda array: array.dtype in (np.float32, np.float64))
    op, item = draft.choose((("Add", 0), ("Sub", 0), ("Mul", 1), ("Div", 1), ("Pow", 1)))
    shape = draft.choose(((), (1,), (1, 1, 1, 1)))
    constant = draft.constant(np.full(shape, item), draft.array(value).dtype)
    pair = [constant, value] if op in ("Add", "Mul") and draft.chance(0.3) else [value, constant]
    draft.node(op, pair)


def _twice(draft: Draft) -> None:
    value = draft.pick()
    op = draft.choose(("Relu", "Tanh", "Neg", "Abs"))
    first = draft.node(op, [value])
    second = draft.node(op, [first if draft.chance(0.4) else value])
    if draft.chance(0.5):
        draft.node("Add", [first, second])


def _computed_constant(draft: Draft) -> None:
    value = draft.ranked(1)
    size = draft.shape(value)[-1]
    first = draft.constant(np.arange(size), np.float32)
    second = draft.constant(np.full((2, size) if draft.chance(0.2) else size, 0.5), np.float32)
    total = draft.node(draft.choose(("Add", "Mul", "Div", "Max")), [first, second])
    if draft.chance(0.5):
        total = draft.node(draft.choose(("Exp", "Tanh", "Neg", "Sqrt")), [total])
    if draft.array(value).ndim < 2 and draft.chance(0.5):
        raise Skip
    draft.node("Mul", [value, total])


def _loss(op: str, draft: Draft) -> None:
    value = draft.node("LogSoftmax", [draft.operand(np.float32, (3, 2))], axis=1)
    target = draft.constant(draft.rng.integers(0, 2, 3), np.int64)
    draft.node(op, [value, target], reduction=draft.choose(("mean", "sum", "none")))


def _window(op: str, draft: Draft) -> None:
    draft.node(op, [draft.constant(4, np.int64)])


def _mel(draft: Draft) -> None:
    whole = [draft.constant(item, np.int64) for item in (4, 8, 8000)]
    edges = [draft.constant(item, np.float32) for item in (0.0, 4000.0)]
    draft.node("MelWeightMatrix", [*whole, *edges])


def _dft(draft: Draft) -> None:
    draft.node("DFT", [draft.operand(np.float32, (1, 4, 1))])


def _stft(draft: Draft) -> None:
    signal = draft.operand(np.float32, (1, 8, 1))
    step, length = draft.constant(2, np.int64), draft.constant(4, np.int64)
    # without the attribute ONNX infers a size that is not that of the default
    draft.node("STFT", [signal, step, "", length], onesided=int(draft.chance(0.5)))


def _grid_sample(draft: Draft) -> None:
    if draft.opset < 20:
        raise Skip
    grid = draft.node("Tanh", [draft.operand(np.float32, (1, 2, 2, 2))])
    draft.node("GridSample", [draft.operand(np.float32, (1, 1, 3, 3)), grid], mode="linear")


def _affine_grid(draft: Draft) -> None:
    draft.node("AffineGrid", [draft.operand(np.float32, (1, 2, 3)), draft.ints(1, 1, 2, 3)])


def _roi_align(draft: Draft) -> None:
    rois = draft.constant([[0.0, 0.0, 2.0, 2.5]], np.float32)
    value = draft.operand(np.float32, (1, 1, 4, 4))
    draft.node("RoiAlign", [value, rois, draft.ints(0)], output_height=2, output_width=2)


def _roi_pool(draft: Draft) -> None:
    rois = draft.constant([[0.0, 0.0, 0.0, 2.0, 2.0]], np.float32)
    draft.node("MaxRoiPool", [draft.operand(np.float32, (1, 1, 4, 4)), rois], pooled_shape=[2, 2])


def _suppression(draft: Draft) -> None:
    boxes = draft.constant([[[0, 0, 1, 1], [0, 0, 1, 0.9], [2, 2, 3, 3]]], np.float32)
    scores = draft.constant([[[0.9, 0.8, 0.7]]], np.float32)
    most, overlap = draft.constant(3, np.int64), draft.constant(0.5, np.float32)
    draft.node("NonMaxSuppression", [boxes, scores, most, overlap])


def _deform(draft: Draft) -> None:
    value = draft.operand(np.float32, (1, 1, 3, 3))
    offset = draft.constant(np.full((1, 8, 2, 2), 0.25), np.float32)
    draft.node("DeformConv", [value, _weight(draft, 1, 1, 2, 2), offset])


def _non_zero(draft: Draft) -> None:
    draft.node("NonZero", [draft.operand(np.bool_, (3,))])


def _compress(draft: Draft) -> None:
    value = draft.ranked(1)
    size = draft.shape(value)[0]
    draft.node("Compress", [value, draft.operand(np.bool_, (size,))], axis=0)


def _unique(draft: Draft) -> None:
    draft.node("Unique", [draft.constant([2, 1, 1, 3], np.int64)], 4)


def _sequence(draft: Draft) -> None:
    parts = [draft.operand(np.float32, (2, 3)) for _ in range(2)]
    listed = draft.node("SequenceConstruct", parts)
    kind = int(draft.rng.integers(3))
    if kind == 0:
        listed = draft.node("SequenceInsert", [listed, parts[0]])
    elif kind == 1:
        listed = draft.node("SequenceErase", [listed, draft.constant(0, np.int64)])
    draft.node("SequenceAt", [listed, draft.constant(0, np.int64)])
    draft.node("SequenceLength", [listed])
    draft.node("ConcatFromSequence", [listed], axis=0)


def _empty_sequence(draft: Draft) -> None:
    empty = draft.node("SequenceEmpty", [], dtype=TensorProto.FLOAT)
    listed = draft.node("SequenceInsert", [empty, draft.operand(np.float32, (2, 3))])
    draft.node("SequenceAt", [listed, draft.constant(0, np.int64)])


def _split_to_sequence(draft: Draft) -> None:
    value = draft.operand(np.float32, (3, 2))
    parts = draft.node("SplitToSequence", [value], axis=0, keepdims=1)
    draft.node("SequenceAt", [parts, draft.constant(1, np.int64)])


def _optional(draft: Draft) -> None:
    value = draft.operand(np.float32, (2, 2))
    wrapped = draft.node("Optional", [value])
    draft.node("OptionalHasElement", [wrapped])
    draft.node("OptionalGetElement", [wrapped])


def _text(draft: Draft) -> None:
    words = draft.node("StringNormalizer", [draft.constant(np.array(["a", "b"], object))],
                       case_change_action="UPPER")  # fmt: skip
    draft.node("Equal", [words, draft.constant(np.array(["A", "C"], object))])


def _tf_idf(draft: Draft) -> None:
    draft.node(
        "TfIdfVectorizer", [draft.operand(np.int64, (4,))], mode="TF", min_gram_length=1,
        max_gram_length=1, max_skip_count=0, ngram_counts=[0], ngram_indexes=[0, 1, 2],
        pool_int64s=[0, 1, 2],
    )  # fmt: skip


def _bit_cast(draft: Draft) -> None:
    if draft.opset < 26:
        raise Skip
    draft.node("BitCast", [draft.ranked(1)], to=TensorProto.INT32)


def _tensor_scatter(draft: Draft) -> None:
    if draft.opset < 24:
        raise Skip
    cache = draft.operand(np.float32, (1, 2, 4, 2))
    update = draft.operand(np.float32, (1, 2, 1, 2))
    draft.node("TensorScatter", [cache, update, draft.ints(1)])


def _constant_node(draft: Draft) -> None:
    name = draft.assembly.fresh("k")
    attribute = draft.choose(
        ({"value_float": 0.5}, {"value_floats": [0.5, 1.0]}, {"value_ints": [1, 2]},
         {"value_int": 3})
    )  # fmt: skip
    draft.nodes.append(helper.make_node("Constant", [], [name], **attribute))


def _family(function: Callable[..., None], *ops: str) -> dict[str, Recipe]:
    return {op: partial(function, op) for op in ops}


RECIPES: Mapping[str, Recipe] = {
    **_family(_unary, *_FLOAT_UNARY),
    **{op: partial(_binary, op, "f") for op in ("Add", "Sub", "Mul", "Div", "Pow", "PRelu")},
    **{op: partial(_binary, op, "f") for op in ("Equal", "Less", "Greater", "LessOrEqual")},
    "GreaterOrEqual": partial(_binary, "GreaterOrEqual", "fi"),
    "Mod": partial(_binary, "Mod", "f"),
    **{f"integer {op}": partial(_binary, op, "i") for op in ("Add", "Sub", "Mul", "Div", "Mod")},
    **_family(_variadic, "Sum", "Mean", "Max", "Min"),
    **_family(_logic, "And", "Or", "Xor", "Not"),
    **_family(_bitwise, "BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseNot", "BitShift"),
    **_family(
        _reduce, "ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1",
        "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare",
    ),
    **_family(_arg, "ArgMax", "ArgMin"),
    **_family(_cumulative, "CumSum"),
    **_family(_depth, "DepthToSpace", "SpaceToDepth"),
    **_family(
        _pool, "MaxPool", "AveragePool", "LpPool", "GlobalMaxPool", "GlobalAveragePool",
        "GlobalLpPool",
    ),
    **_family(_layer_norm, "LayerNormalization", "RMSNormalization"),
    **_family(_recurrent, "RNN", "GRU", "LSTM"),
    **_family(_loss, "NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"),
    **_family(_window, "HannWindow", "HammingWindow", "BlackmanWindow"),
    "Where": _where, "Clip": _clip, "TopK": _top_k, "Reshape": _reshape,
    "reshape twice": _reshape_twice, "Flatten": _flatten, "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze, "Transpose": _transpose, "Expand": _expand, "Tile": _tile,
    "Concat": _concat, "Split": _split, "Slice": _slice, "Pad": _pad, "Gather": _gather,
    "GatherElements": _gather_elements, "GatherND": _gather_nd,
    "ScatterElements": _scatter_elements, "ScatterND": _scatter_nd,
    "ReverseSequence": _reverse_sequence, "Trilu": _trilu, "EyeLike": _eye_like,
    "OneHot": _one_hot, "Range": _range, "ConstantOfShape": _constant_of_shape,
    "Shape": _shape_of, "Size": _size, "computed reshape": _computed_reshape,
    "computed expand": _computed_expand, "CenterCropPad": _center_crop_pad, "Col2Im": _col2im,
    "Resize": _resize, "Cast": _cast, "CastLike": _cast_like, "QuantizeLinear": _quantize,
    "dequantized weight": _dequantized_weight, "DynamicQuantizeLinear": _dynamic_quantize,
    "MatMulInteger": _matmul_integer, "ConvInteger": _conv_integer,
    "QLinearMatMul": _quantized_matmul, "MatMul": _matmul,
    "parallel matmuls": _parallel_matmuls, "tied": _tied, "Gemm": _gemm, "Conv": _conv,
    "conv of rank 1": _conv1d, "ConvTranspose": _conv_transpose, "MaxUnpool": _max_unpool,
    "BatchNormalization": _batchnorm, "InstanceNormalization": _instance_norm,
    "GroupNormalization": _group_norm, "LRN": _lrn, "Einsum": _einsum, "Det": _det,
    "Attention": _attention, "scores": _scores, "heads": _heads, "RotaryEmbedding": _rotary,
    "norm steps": _norm_steps, "gelu steps": _gelu_steps, "gate": _gate,
    "softmax steps": _softmax_steps, "arithmetic chain": _arithmetic_chain, "no-op": _no_op,
    "twice": _twice, "computed constant": _computed_constant, "MelWeightMatrix": _mel,
    "DFT": _dft, "STFT": _stft, "GridSample": _grid_sample, "AffineGrid": _affine_grid,
    "RoiAlign": _roi_align, "MaxRoiPool": _roi_pool, "NonMaxSuppression": _suppression,
    "DeformConv": _deform, "NonZero": _non_zero, "Compress": _compress, "Unique": _unique,
    "sequence": _sequence,
    "SequenceEmpty": _empty_sequence, "SplitToSequence": _split_to_sequence, "Optional": _optional,
    "StringNormalizer": _text, "TfIdfVectorizer": _tf_idf, "BitCast": _bit_cast,
    "TensorScatter": _tensor_scatter, "Constant": _constant_node,
}  # fmt: skip
"""By name; a name with a space, or in lower case, is that of a chain."""
