"""The part of a model that computes some of its values."""

from __future__ import annotations

from collections.abc import Iterable

import onnx_ir as ir

from irconv.graph.snapshot import snapshot
from irconv.passes.base import PassContext
from irconv.passes.eliminate_dead_code import EliminateDeadCode

__all__ = ["extract"]


def extract(model: ir.Model, names: Iterable[str]) -> ir.Model:
    """Return a model whose outputs are the named values, and no node that they do not need.

    Args:
        model: The model; it is left as it is, and shares its tensors with the result.
        names: Names of values of the main graph, in the order of the outputs to be.

    Raises:
        KeyError: If the main graph has no value of a name.
    """
    part = snapshot(model)
    values = {value.name: value for value in part.graph.initializers.values()}
    values |= {value.name: value for value in part.graph.inputs}
    values |= {value.name: value for node in part.graph for value in node.outputs}
    part.graph.outputs[:] = [values[name] for name in names]
    EliminateDeadCode().run(part, PassContext())
    unread = [v for v in part.graph.inputs if not v.uses() and not v.is_graph_output()]
    for value in unread:
        part.graph.inputs.remove(value)
    return part
