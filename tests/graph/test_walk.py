"""Walking bodies."""

from __future__ import annotations

import onnx_ir as ir

from irconv.graph.walk import nested_graphs, nodes_in_depth

NESTED = """
<ir_version: 10, opset_import: ["" : 20]>
main (bool c, float[2] x) => (float[2] z) {
    a = Relu(x)
    y = If (c) <
        then_branch = t () => (float[2] p) {
            q = If (c) <
                then_branch = u () => (float[2] r) { r = Neg(a) },
                else_branch = v () => (float[2] s) { s = Abs(a) }
            >
            p = Exp(q)
        },
        else_branch = e () => (float[2] o) { o = Identity(a) }
    >
    z = Sqrt(y)
}
"""


def test_bodies_are_walked_as_onnx_ir_walks_them() -> None:
    graph = ir.from_onnx_text(NESTED).graph

    assert [node.op_type for node in nodes_in_depth(graph)] == [
        "Relu", "If", "If", "Neg", "Abs", "Exp", "Identity", "Sqrt",
    ]  # fmt: skip
    assert list(nodes_in_depth(graph)) == list(graph.all_nodes())
    assert set(nested_graphs(graph)) == set(graph.subgraphs())
    assert [body.name for body in nested_graphs(graph)] == ["t", "e", "u", "v"]
