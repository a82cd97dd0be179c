"""Fusing a normalization of groups of channels into GroupNormalization.

ONNX GroupNormalization (since opset 18, with a scale for each channel as of 21; Y. Wu and K. He,
arXiv:1803.08494) normalizes each of G groups of channels over all its elements. Below that opset
torch's exporters write it by InstanceNormalization, whose channels are then the groups::

    y = Reshape(InstanceNormalization(Reshape(x, [0, G, -1]), 1, 0), Shape(x)) * scale + bias
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from irconv.graph.constants import constant_ints, constant_tensor
from irconv.graph.scopes import Scope
from irconv.passes.decompose.block import Keep
from irconv.passes.fusions.affine import NARROW, Affine, absorbed
from irconv.passes.fusions.base import Fusion
from irconv.passes.fusions.fused import Fused
from irconv.passes.fusions.pattern import (
    dims_of,
    made_by,
    number_attribute,
    only_reader,
    operand,
)

__all__ = ["FuseGroupNormalization"]


@dataclass(frozen=True)
class FuseGroupNormalization(Fusion):
    """Fuse an InstanceNormalization between reshapes, with the scale and bias behind it.

    Before::

        < ir_version: 10, opset_import: ["" : 21] >
        g (float[N, 4, 3] x) => (float[N, 4, 3] y)
        <int64[3] groups = {0, 2, -1}, float[2] ones = {1.0, 1.0}, float[2] zeros = {0.0, 0.0},
         float[4, 1] scale = {1.0, 2.0, 3.0, 4.0}, float[4, 1] bias = {0.0, 1.0, 0.0, 1.0}> {
            grouped = Reshape (x, groups)
            unit = InstanceNormalization <epsilon = 0.5> (grouped, ones, zeros)
            shape = Shape (x)
            back = Reshape (unit, shape)
            scaled = Mul (back, scale)
            y = Add (scaled, bias)
        }

    After::

        < ir_version: 10, opset_import: ["" : 21] >
        g (float[N, 4, 3] x) => (float[N, 4, 3] y)
        <float[4] y_constant = {1.0, 2.0, 3.0, 4.0}, float[4] y_constant_1 = {0.0, 1.0, 0.0, 1.0}> {
            y = GroupNormalization <epsilon = 0.5, num_groups = 2> (x, y_constant, y_constant_1)
        }
    """

    name: ClassVar[str] = "fuse-group-normalization"
    after: ClassVar[tuple[str, ...]] = (*Fusion.after, "fuse-instance-normalization")
    anchors: ClassVar[frozenset[str]] = frozenset({"InstanceNormalization"})

    def match(self, node: ir.Node, scope: Scope) -> Fused | None:
        """Return the normalization around an InstanceNormalization; see :class:`Fusion`."""
        del scope
        before = made_by(operand(node, 0), "Reshape")
        after = only_reader(node.outputs[0], "Reshape")
        data = None if before is None else operand(before, 0)
        if before is None or after is None or data is None:
            return None
        groups = _groups(before, data)
        target = operand(after, 1)
        if target is None or not _is_shape_of(after, target, data):
            raise Keep(f"{after.outputs[0].name!r} is not in the shape of {data.name!r}")
        _check_unit(node)
        start = Affine(after.outputs[0])
        normal = absorbed(start, data, (1,), bias=True, dtypes=NARROW)
        return Fused(
            "GroupNormalization",
            [normal.data, normal.scale_or_ones(), normal.bias_or_zeros()],
            [normal.output],
            {"epsilon": number_attribute(node, "epsilon", 1e-5), "num_groups": groups},
            opset=21,
            spared=(*normal.spared, target),
        )


def _groups(node: ir.Node, data: ir.Value) -> int:
    """Return G where a Reshape makes (N, C, ...) to (N, G, the rest)."""
    target, dims = constant_ints(operand(node, 1)), dims_of(data)
    if target is None or dims is None or len(dims) < 2 or number_attribute(node, "allowzero", 0):
        raise Keep(f"the shape of {node.outputs[0].name!r} is not known")
    if len(target) < 3 or target[0] not in (0, dims[0]):
        raise Keep(f"{node.outputs[0].name!r} is no batch of groups")
    groups, channels = target[1], dims[1]
    if not isinstance(channels, int) or groups < 1 or channels % groups:
        raise Keep(f"{groups} groups do not divide the channels of {data.name!r}, {channels}")
    return groups


def _is_shape_of(node: ir.Node, target: ir.Value, data: ir.Value) -> bool:
    """Whether a Reshape of groups gives its result the shape of ``data``.

    The groups have the batch of the data in front, so a size of 0 there means that.
    """
    if number_attribute(node, "allowzero", 0):
        return False
    shape = made_by(target, "Shape")
    if shape is not None:
        whole = not any(name in shape.attributes for name in ("start", "end"))
        return operand(shape, 0) is data and whole
    dims, given = dims_of(data), constant_ints(target)
    if dims is None or given is None or len(given) != len(dims):
        return False
    pairs = list(zip(given, dims, strict=True))
    if pairs and pairs[0][0] == 0:
        del pairs[0]
    free = [goal for goal, dim in pairs if goal != dim]
    return not free or free == [-1]


def _check_unit(node: ir.Node) -> None:
    """Check that a normalization scales by 1 and shifts by 0."""
    for index, number in ((1, 1), (2, 0)):
        tensor = constant_tensor(operand(node, index))
        if tensor is None or not np.all(tensor.numpy() == number):
            raise Keep(f"its {('scale', 'bias')[index - 1]} is not {number} for each group")
