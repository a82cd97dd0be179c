"""The difference of two states of a model: which nodes a pass touched, in groups."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from irconv.graph.difference import graph_difference
from irconv.graph.snapshot import snapshot
from irconv.passes.base import PassContext
from irconv.passes.eliminate_identity import EliminateIdentity
from irconv.passes.fuse_conv_batchnorm import FuseConvBatchnorm

TEXT = """
    < ir_version: 10, opset_import: ["" : 20] >
    g (float[1, 2, 4, 4] x, bool flag) => (float[1, 2, 4, 4] y)
    < float[2, 2, 1, 1] w = {1.0, 0.5, 2.0, 1.0}, float[2] s = {2.0, 1.0}, float[2] b = {0.5, 0.0},
      float[2] m = {1.0, 0.0}, float[2] v = {3.0, 1.0} > {
        [conv_a] a = Conv (x, w)
        [norm_a] an = BatchNormalization (a, s, b, m, v)
        [act] r = Relu (an)
        [conv_b] c = Conv (r, w)
        [norm_b] cn = BatchNormalization (c, s, b, m, v)
        [sum] z = Add (an, cn)
        [branch] y = If (flag) <
            then_branch = t () => (float[1, 2, 4, 4] p) { [same] i = Identity (z) [n] p = Neg (i) },
            else_branch = e () => (float[1, 2, 4, 4] q) { [m] q = Neg (z) }
        >
    }
"""


def names(groups):
    return [
        ([node.name for node in group.before], [node.name for node in group.after])
        for group in groups
    ]


def difference(*passes):
    model = ir.from_onnx_text(TEXT)
    before = snapshot(model)
    for pass_ in passes:
        assert pass_.run(model, PassContext()).modified
    return names(graph_difference(before, model))


def test_nothing_changed():
    model = ir.from_onnx_text(TEXT)
    assert graph_difference(snapshot(model), model) == []


def test_each_fusion_is_a_group_and_rewired_readers_are_not():
    assert difference(FuseConvBatchnorm()) == [
        (["conv_a", "norm_a"], ["conv_a"]),
        (["conv_b", "norm_b"], ["conv_b"]),
    ]


def test_nodes_of_bodies_are_found():
    assert difference(EliminateIdentity()) == [(["same"], [])]


def test_attributes_and_weights_count():
    model = ir.from_onnx_text(TEXT)
    before = snapshot(model)
    nodes = {node.name: node for node in model.graph}
    nodes["norm_a"].attributes["epsilon"] = ir.AttrFloat32("epsilon", 0.5)
    weight = model.graph.initializers["m"]
    weight.const_value = ir.tensor(np.array([1.0, 2.0], np.float32), name="m")
    assert names(graph_difference(before, model)) == [
        (["norm_a"], ["norm_a"]),
        (["norm_b"], ["norm_b"]),
    ]
