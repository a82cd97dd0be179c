"""Transposes that follow one another, which tf2onnx leaves where the first has another reader.

``transpose(transpose(x, p), q) = transpose(x, r)`` with ``r[i] = p[q[i]]``; where ``r`` changes
nothing, that is ``x``.
"""

from __future__ import annotations

import onnx_ir as ir

from irconv.graph.edit import Editor
from irconv.graph.walk import all_graphs

__all__ = ["compose_transposes"]


def compose_transposes(model: ir.Model) -> int:
    """Let every transpose read what is behind other transposes; return how many went away."""
    editor = Editor(model)
    composed: list[ir.Node] = []
    for graph in all_graphs(model):
        for node in graph:
            perm, source = _permutation(node), node.inputs[0] if node.inputs else None
            first = None if source is None else source.producer()
            inner = None if first is None else _permutation(first)
            if perm is None or first is None or inner is None or len(inner) != len(perm):
                continue
            both = [inner[axis] for axis in perm]
            behind = first.inputs[0]
            assert behind is not None
            composed.append(first)
            if both == sorted(both) and not editor.blocker(node.outputs[0], behind):
                editor.redirect(node.outputs[0], behind)
                editor.remove(node)
            else:
                node.replace_input_with(0, behind)
                node.attributes["perm"] = ir.AttrInt64s("perm", both)
    removed = editor.finish()
    return removed + _sweep(composed)


def _permutation(node: ir.Node) -> list[int] | None:
    if node.op_type != "Transpose" or node.domain != "" or "perm" not in node.attributes:
        return None
    return list(node.attributes["perm"].as_ints())


def _sweep(nodes: list[ir.Node]) -> int:
    """Remove the transposes that nothing reads any more."""
    unread = [
        node
        for node in dict.fromkeys(nodes)
        if node.graph is not None
        and not node.outputs[0].uses()
        and not node.outputs[0].is_graph_output()
    ]
    for node in unread:
        assert node.graph is not None
        node.graph.remove(node, safe=True)
    return len(unread)
