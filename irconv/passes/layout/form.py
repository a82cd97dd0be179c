"""A node with its tensors in other layouts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from irconv.passes.layout.permutation import Permutation

__all__ = ["Form"]


@dataclass(frozen=True)
class Form:
    """How a node computes the same on tensors whose dimensions are in another order.

    Attributes:
        inputs: For each input its order; None for one that stays as it is. An order longer than
            the input's rank belongs to the shape that the input is broadcast to.
        outputs: For each output its order; None for one that stays as it is.
        op_type: Operator.
        domain: Domain of the operator.
        attributes: Attributes that change.
        dropped: Attributes that go.
        constants: Inputs that become new constants, by index.
        picks: For ``Shape``: the items of the result, as indices into the other shape.
    """

    inputs: tuple[Permutation | None, ...]
    outputs: tuple[Permutation | None, ...]
    op_type: str
    domain: str = ""
    attributes: Mapping[str, ir.Attr] = field(default_factory=dict)
    dropped: frozenset[str] = frozenset()
    constants: Mapping[int, np.ndarray] = field(default_factory=dict)
    picks: tuple[int, ...] | None = None
