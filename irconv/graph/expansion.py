"""How many nodes a model has once all calls of local functions are expanded."""

from __future__ import annotations

import onnx_ir as ir

from irconv.graph.walk import node_count, nodes_in_depth

__all__ = ["expanded_node_count"]


def expanded_node_count(model: ir.Model) -> int | None:
    """Return the node count after inlining, or None where functions call each other in a cycle.

    Each function is counted once, so 30 functions that each call the next twice cost 30 steps,
    not a thousand million.
    """
    if not model.functions:
        return node_count(model)
    sizes: dict[ir.OperatorIdentifier, int] = {}
    calls = {
        identifier: [
            node.op_identifier()
            for node in nodes_in_depth(function.graph)
            if node.op_identifier() in model.functions
        ]
        for identifier, function in model.functions.items()
    }
    own = {
        identifier: sum(1 for _ in nodes_in_depth(function.graph))
        for identifier, function in model.functions.items()
    }
    for root in calls:
        stack, open_ = [root], set[ir.OperatorIdentifier]()
        while stack:
            identifier = stack[-1]
            waiting = [callee for callee in calls[identifier] if callee not in sizes]
            if identifier in sizes or not waiting:
                sizes[identifier] = own[identifier] + sum(sizes[c] for c in calls[identifier])
                open_.discard(stack.pop())
                continue
            open_.add(identifier)
            if any(callee in open_ for callee in waiting):
                return None
            stack.extend(dict.fromkeys(waiting))
    return sum(1 + sizes.get(node.op_identifier(), 0) for node in nodes_in_depth(model.graph))
