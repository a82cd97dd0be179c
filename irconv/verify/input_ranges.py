"""Which values each input of a model may take, read off the graph.

A value is followed from a graph input through operators that only move or cast it, also into
subgraph bodies, to the operators that compute with it. Each of those may
demand something: a Gather index lies within an axis, a logarithm needs a positive argument, an
attention mask holds zeros and ones. Linear in the part of the graph that is followed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import InlinePass, ShapeInferencePass

from irconv.graph.walk import subgraphs_of
from irconv.runtime.base import Array

__all__ = ["Demand", "Domain", "analyze_inputs", "scalar_constant"]

_BIG = 1e3
_SMALL_HOLE = 0.25


@dataclass(frozen=True)
class Demand:
    """What one use asks of a value; bounds are inclusive.

    Attributes:
        low: Least value.
        high: Largest value.
        hole: Values nearer to zero than this are to be avoided.
        limits: Exclusive upper bounds: sizes, or names of dimensions.
        mask: Whether the value acts as a mask of zeros and ones.
        distinct: Whether the elements are axes, no two of them the same.
        needs_data: Why no generated value makes sense; else empty.
    """

    low: float = -math.inf
    high: float = math.inf
    hole: float = 0.0
    limits: tuple[int | str, ...] = ()
    mask: bool = False
    distinct: bool = False
    needs_data: str = ""


@dataclass
class Domain:
    """What all uses of one input ask for together.

    Attributes:
        low: Least value.
        high: Largest value.
        hole: Values nearer to zero than this are to be avoided.
        limits: Pairs of an exclusive upper bound (a size or the name of a dimension) and what
            the model adds to the value before it is held against that bound.
        mask: Whether the value acts as a mask.
        integral: Whether a floating-point input is used as an index.
        distinct: Whether the elements are axes, no two of them the same.
        needs_data: Why the user must give data; else empty.
    """

    low: float = -math.inf
    high: float = math.inf
    hole: float = 0.0
    limits: list[tuple[int | str, int]] = field(default_factory=list)
    mask: bool = False
    integral: bool = False
    distinct: bool = False
    needs_data: str = ""

    @property
    def free(self) -> bool:
        """Whether nothing is asked."""
        bounded = math.isfinite(self.low) or math.isfinite(self.high)
        return not (bounded or self.limits or self.mask or self.hole)

    def meet(self, demand: Demand, offset: int) -> None:
        """Add one more demand; one that contradicts an earlier one is left out."""
        self.needs_data = self.needs_data or demand.needs_data
        self.mask = self.mask or demand.mask
        self.distinct = self.distinct or demand.distinct
        self.hole = max(self.hole, demand.hole)
        self.limits += [(limit, offset) for limit in demand.limits]
        self.integral = self.integral or bool(demand.limits)
        low = max(self.low, demand.low - offset)
        high = min(self.high, demand.high - offset)
        if low <= high:
            self.low, self.high = low, high


def analyze_inputs(model: ir.Model) -> dict[str, Domain]:
    """Return the domain of every graph input, by name; the model is left as it was."""
    if model.functions or any(_is_discrete(value) for value in model.graph.inputs):
        model = model.clone()
        InlinePass()(model)
        ShapeInferencePass()(model)
    return {value.name or "": _follow(value) for value in model.graph.inputs}


def _follow(start: ir.Value) -> Domain:
    domain = Domain()
    integer_input = start.dtype is not None and start.dtype.is_integer()
    stack: list[tuple[ir.Value, int]] = [(start, 0)]
    seen = {(start, 0)}
    while stack:
        value, offset = stack.pop()
        for node, index in value.uses():
            demand = _demand(node, index, integer=integer_input)
            if demand is not None:
                domain.meet(demand, offset)
            for item in _onward(node, index, offset):
                if item not in seen:
                    seen.add(item)
                    stack.append(item)
    if "mask" in (start.name or "").lower() and _is_discrete(start) and not domain.limits:
        domain.mask = True
    return domain


def _is_discrete(value: ir.Value) -> bool:
    return value.dtype is not None and (value.dtype.is_integer() or value.dtype == ir.DataType.BOOL)


_MOVES: dict[str, tuple[int, ...] | None] = {
    "Identity": (0,), "Reshape": (0,), "Flatten": (0,), "Squeeze": (0,), "Unsqueeze": (0,),
    "Transpose": (0,), "Cast": (0,), "CastLike": (0,), "Expand": (0,), "Slice": (0,),
    "Split": (0,), "Tile": (0,), "Gather": (0,), "GatherElements": (0,), "GatherND": (0,),
    "Pad": (0,), "Where": (1, 2), "Concat": None, "DepthToSpace": (0,), "SpaceToDepth": (0,),
}  # fmt: skip
"""Operators that hand on the values of these inputs as they are; None stands for all inputs."""


def _onward(node: ir.Node, index: int, offset: int) -> Iterator[tuple[ir.Value, int]]:
    if node.domain != "":
        return
    if node.op_type in _MOVES:
        positions = _MOVES[node.op_type]
        if positions is None or index in positions:
            yield from ((output, offset) for output in node.outputs)
    elif node.op_type in ("Add", "Sub") and len(node.inputs) == 2:
        constant = scalar_constant(node.inputs[1 - index])
        usable = node.op_type == "Add" or index == 0
        if constant is not None and usable and constant == round(constant):
            step = int(constant) if node.op_type == "Add" else -int(constant)
            if abs(offset + step) < _BIG:
                yield node.outputs[0], offset + step
    elif node.op_type in ("Loop", "Scan"):
        first = 2 if node.op_type == "Loop" else 0
        for body in subgraphs_of(node):
            if first <= index < len(body.inputs):
                yield body.inputs[index], offset


def scalar_constant(value: ir.Value | None) -> float | None:
    """Return the number that a constant of one element holds; None for anything else."""
    array = _small_constant(value)
    if array is None or array.size != 1 or array.dtype.kind not in "iufb":
        return None
    number = float(array.reshape(-1)[0])
    return number if math.isfinite(number) else None


def _small_constant(value: ir.Value | None) -> Array | None:
    if value is None or value.is_graph_input():
        return None
    tensor = ir.convenience.get_const_tensor(value)
    if tensor is None or tensor.size > 1024 or tensor.dtype == ir.DataType.STRING:
        return None
    return np.asarray(tensor.numpy())


def _dim(value: ir.Value | None, axis: int) -> int | str | None:
    if value is None or value.shape is None or not -len(value.shape) <= axis < len(value.shape):
        return None
    dim = value.shape[axis]
    return dim if isinstance(dim, int) else dim.value


def _attribute(node: ir.Node, name: str, default: int) -> int:
    attribute = node.attributes.get(name)
    return default if attribute is None or attribute.is_ref() else attribute.as_int()


def _within(*dims: int | str | None) -> Demand:
    known = tuple(dim for dim in dims if dim is not None)
    return Demand(low=0, limits=known) if known else Demand(low=0, high=0)


def _along_axis(node: ir.Node) -> Demand:
    return _within(_dim(node.inputs[0], _attribute(node, "axis", 0)))


def _any_axis(node: ir.Node) -> Demand:
    shape = node.inputs[0].shape if node.inputs[0] is not None else None
    return _within(*(_dim(node.inputs[0], axis) for axis in range(len(shape or ()))))


def _one_hot(node: ir.Node) -> Demand:
    depth = scalar_constant(node.inputs[1])
    return Demand(low=0, high=(depth or 4) - 1)


def _classes(node: ir.Node) -> Demand:
    return _within(_dim(node.inputs[0], 1))


def _sequence_lengths(node: ir.Node) -> Demand:
    size = _dim(node.inputs[0], 0)
    return Demand(low=1, limits=(size,)) if size is not None and size != 1 else Demand(1, 1)


def _power_base(node: ir.Node) -> Demand | None:
    exponent = _small_constant(node.inputs[1])
    if exponent is not None and exponent.size and bool((exponent == np.round(exponent)).all()):
        return Demand(hole=_SMALL_HOLE) if bool((exponent < 0).any()) else None
    return Demand(low=0.05)


def _data(what: str) -> Demand:
    return Demand(needs_data=f"it decides {what}")


_UNIT = Demand(low=-0.95, high=0.95)
_AWAY_FROM_ZERO = Demand(hole=_SMALL_HOLE)
_ZERO = Demand(low=0, high=0)
_ONE = Demand(low=1, high=1)
_AXES = Demand(low=0, distinct=True)
_SCALE = Demand(low=0.01, high=1)

_DEMANDS: dict[tuple[str, int], Demand | Callable[[ir.Node], Demand | None]] = {
    ("Gather", 1): _along_axis,
    ("GatherElements", 1): _along_axis,
    ("ScatterElements", 1): _along_axis,
    ("GatherND", 1): _any_axis,
    ("ScatterND", 1): _any_axis,
    ("OneHot", 0): _one_hot,
    ("OneHot", 1): Demand(low=4, high=4),
    ("NegativeLogLikelihoodLoss", 1): _classes,
    ("SoftmaxCrossEntropyLoss", 1): _classes,
    ("RNN", 4): _sequence_lengths,
    ("GRU", 4): _sequence_lengths,
    ("LSTM", 4): _sequence_lengths,
    ("ReverseSequence", 1): _ONE,
    ("Log", 0): Demand(low=0.05),
    ("Sqrt", 0): Demand(low=0.0),
    ("Acos", 0): _UNIT,
    ("Asin", 0): _UNIT,
    ("Atanh", 0): _UNIT,
    ("Acosh", 0): Demand(low=1.05),
    ("Reciprocal", 0): _AWAY_FROM_ZERO,
    ("Div", 1): _AWAY_FROM_ZERO,
    ("Mod", 1): _AWAY_FROM_ZERO,
    ("Pow", 0): _power_base,
    ("Pow", 1): Demand(low=-2, high=2),
    ("BatchNormalization", 4): Demand(low=0.1, high=2),
    ("Bernoulli", 0): Demand(low=0, high=1),
    ("BitShift", 1): Demand(low=0, high=7),
    ("QuantizeLinear", 1): _SCALE,
    ("DequantizeLinear", 1): _SCALE,
    **{(op, index): _SCALE for op in ("QLinearConv", "QLinearMatMul") for index in (1, 4, 6)},
    ("Dropout", 1): Demand(low=0, high=0.5),
    ("Dropout", 2): _ZERO,
    ("NonMaxSuppression", 2): Demand(low=1, high=5),
    ("NonMaxSuppression", 3): Demand(low=0, high=1),
    ("NonMaxSuppression", 4): Demand(low=0, high=0.5),
    ("ConstantOfShape", 0): Demand(low=1, high=4),
    ("Expand", 1): _ONE,
    ("Tile", 1): Demand(low=1, high=2),
    ("Range", 0): _ZERO,
    ("Range", 1): Demand(low=3, high=6),
    ("Range", 2): _ONE,
    ("TopK", 1): _ONE,
    ("Pad", 1): Demand(low=0, high=2),
    ("Loop", 0): Demand(low=2, high=4),
    ("Slice", 1): _ZERO,
    ("Slice", 2): Demand(low=1, high=3),
    ("Slice", 3): _AXES,
    ("Slice", 4): _ONE,
    ("CumSum", 1): _ZERO,
    ("CumProd", 1): _ZERO,
    ("DFT", 1): _data("a length"),
    ("DFT", 2): _ZERO,
    ("Scatter", 1): _along_axis,
    ("AffineGrid", 1): _data("sizes"),
    ("SplitToSequence", 1): _data("sizes"),
    ("Trilu", 1): Demand(low=0, high=1),
    ("Unsqueeze", 1): _AXES,
    ("Squeeze", 1): _data("which axes go"),
    ("Reshape", 1): _data("a shape"),
    ("Split", 1): _data("sizes"),
    ("Resize", 1): _data("sizes"),
    ("Resize", 2): _data("sizes"),
    ("Resize", 3): _data("sizes"),
    ("Upsample", 1): _data("sizes"),
    ("MaxUnpool", 1): _data("positions"),
    ("MaxUnpool", 2): _data("sizes"),
    ("CenterCropPad", 1): _data("sizes"),
    ("Col2Im", 1): _data("sizes"),
    ("Col2Im", 2): _data("sizes"),
}
"""What each input of an operator of the default domain asks of its values."""


def _demand(node: ir.Node, index: int, *, integer: bool) -> Demand | None:
    if node.domain != "":
        return None
    found = _DEMANDS.get((node.op_type, index))
    if callable(found):
        return found(node)
    if found is not None:
        return found
    if node.op_type.startswith("Reduce") and index == 1:
        return _AXES
    return Demand(mask=True) if _is_mask_use(node, index, integer=integer) else None


def _is_mask_use(node: ir.Node, index: int, *, integer: bool) -> bool:
    operator = node.op_type
    if operator in ("Not", "And", "Or", "Xor") or (operator in ("Where", "Compress") and not index):
        return True
    if operator == "Attention" and index == 3:
        return integer
    if operator == "Cast" and integer:
        return _attribute(node, "to", 0) == int(ir.DataType.BOOL)
    if operator in ("Equal", "Greater", "Less") and integer:
        return scalar_constant(node.inputs[1 - index]) == 0
    if operator == "Sub" and index == 1 and scalar_constant(node.inputs[0]) == 1:
        return integer or _scaled_by_much(node.outputs[0])
    return False


def _scaled_by_much(value: ir.Value) -> bool:
    for node, index in value.uses():
        if node.op_type == "Mul":
            factor = scalar_constant(node.inputs[1 - index])
            if factor is not None and abs(factor) >= _BIG:
                return True
    return False
