"""What is dropped with a branch reads nothing any more."""

from __future__ import annotations

import onnx
import onnx_ir as ir

from irconv.graph.walk import all_nodes
from irconv.passes.base import PassContext
from irconv.passes.decompose.inline_branches import InlineBranches


def test_unread_nodes_with_bodies_let_go_of_what_they_read() -> None:
    proto = onnx.parser.parse_model("""
        <ir_version: 10, opset_import: ["" : 20]>
        g (float[2] x, bool open) => (float[2] z) <bool always = {1}> {
            y = Neg (x)
            z = If (always) <
                then_branch = taken () => (float[2] t) {
                    a = Abs (y)
                    unread = If (open) <
                        then_branch = p () => (float[2] c) { c = Exp (a) },
                        else_branch = q () => (float[2] d) { d = Sin (y) }
                    >
                    t = Identity (y)
                },
                else_branch = other () => (float[2] e) { e = Cos (y) }
            >
        }""")
    model = ir.from_proto(proto)
    assert InlineBranches().run(model, PassContext()).modified
    nodes = set(all_nodes(model))
    assert {node.op_type for node in nodes} == {"Neg", "Identity"}
    assert all(user in nodes for node in nodes for out in node.outputs for user, _ in out.uses())
