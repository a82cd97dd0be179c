"""What a fusion makes: one node in the place of the values that it computes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy.typing as npt
import onnx_ir as ir

if TYPE_CHECKING:
    from irconv.graph.symbolic.sizes import Sizes

__all__ = ["Fused", "Item", "Made", "Output", "values_of"]


@dataclass(frozen=True)
class Made:
    """A node of the default domain that a fusion needs beside the one that it makes.

    Equal ones are made again at every place; eliminate-common-subexpressions leaves one.

    Attributes:
        op_type: Operator; its first output is what is meant.
        inputs: Its inputs, as in :class:`Fused`.
        attributes: Its attributes.
        dtype: Dtype of the output, if it is known.
    """

    op_type: str
    inputs: Sequence[Item]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    dtype: ir.DataType | None = None

    def values(self) -> list[ir.Value]:
        """Return the values that it is made of."""
        return values_of(self.inputs)


@dataclass(frozen=True)
class Output:
    """An output of the node that a fusion makes, as an operand of what is derived from it."""

    index: int


Item = ir.Value | npt.NDArray[Any] | ir.LazyTensor | Made | Output | None
"""An input of a new node: a value, what becomes a constant, a new node or its output, or none."""


def values_of(items: Sequence[Item]) -> list[ir.Value]:
    """Return the values among items, and those that new nodes among them are made of."""
    found: list[ir.Value] = []
    for item in items:
        if isinstance(item, ir.Value):
            found.append(item)
        elif isinstance(item, Made):
            found += item.values()
    return found


@dataclass(frozen=True)
class Fused:
    """One node, and the values that it computes in the place of others.

    Attributes:
        op_type: Operator.
        inputs: Its inputs; an array or tensor becomes a new constant, :class:`Made` a node in
            front of it, None is an absent input.
        outputs: The values that its outputs replace, in order; None for an output that is not
            wanted. They keep their names, types and shapes.
        attributes: Its attributes; one that is None is left out.
        derived: Further values that are replaced, each by a node that reads an :class:`Output`.
        domain: Domain of the operator; one other than the default is imported at version 1.
        opset: The oldest opset of the default domain that has the operator.
        spared: Further values where the region ends. What computes them stays if it is read.
        shapes: Shapes of inputs that ONNX's own inference does not find, and has to be told.
        sized: Whether the match knows the dims of the outputs, so that no number can add axes.
        sizes: What knows the dims of the replaced values, and is to know those of the new ones.
        before: Where the node goes: all inputs but Constant nodes are computed before, all outputs
            are read after. If not given, that is where the first output was computed.
    """

    op_type: str
    inputs: Sequence[Item]
    outputs: Sequence[ir.Value | None]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    derived: Mapping[ir.Value, Made] = field(default_factory=dict)
    domain: str = ""
    opset: int = 1
    spared: Sequence[ir.Value] = ()
    shapes: Mapping[ir.Value, ir.Shape] = field(default_factory=dict)
    sized: bool = False
    sizes: Sizes | None = None
    before: ir.Node | None = None

    @property
    def replaced(self) -> list[ir.Value]:
        """The values that are replaced."""
        return [value for value in (*self.outputs, *self.derived) if value is not None]

    @property
    def place(self) -> ir.Node:
        """The node in front of which the new one goes."""
        node = self.before or self.replaced[0].producer()
        assert node is not None
        return node
