"""Where a frozen graph begins and ends; needs no TensorFlow.

A ``GraphDef`` names no inputs and no outputs. Its placeholders are its inputs, and the nodes
that nobody reads are its outputs, unless the user says otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from irconv.errors import InputError
from irconv.frontends.tensorflow.graph_def import Graph
from irconv.graph.preflight.messages import shown

__all__ = ["GraphEnds", "find_ends"]

_WHERE = "frontend tensorflow"
_VARIABLES = frozenset({"VarHandleOp", "Variable", "VariableV2"})
_LOOP_ENDS = frozenset({"Exit", "RefExit"})
_MOST_NAMED = 8


@dataclass(frozen=True)
class GraphEnds:
    """Inputs and outputs of a graph by name.

    Attributes:
        inputs: Tensors to feed.
        outputs: Tensors to compute.
        notes: What was found or left out, in plain words.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    notes: tuple[str, ...] = ()


def find_ends(graph: Graph, inputs: Sequence[str], outputs: Sequence[str]) -> GraphEnds:
    """Find the inputs and outputs of a frozen graph.

    Args:
        graph: The graph.
        inputs: Tensors that the user states as inputs; any tensor may be one.
        outputs: Tensors that the user wants; empty to find them.

    Raises:
        InputError: If a name is not in the graph, nothing says which outputs are meant, or the
            graph has variables whose values are not in it.
    """
    stated = [name.removesuffix(":0") for name in inputs]
    for option, names in (("--input", stated), ("--output-name", outputs)):
        for name in names:
            _check_name(graph, name, option)
    wanted = [name.removesuffix(":0") for name in outputs] or _found_outputs(graph)
    for name in stated:
        if ":" in name:
            raise InputError(
                f"{name!r} is not the first output of its node, so it cannot be an input",
                where=f"--input {name}",
                hint="name a node that has one output",
            )
    cut = set(stated)
    nodes = list(graph.behind(map(_node, wanted), stop=cut))
    variables = [node.name for node in nodes if node.op in _VARIABLES]
    if variables:
        raise InputError(
            f"the graph is not frozen: the value of {shown(variables[0])} is not in it",
            where=_WHERE,
            hint="freeze it, or save it as a SavedModel, which keeps its variables",
        )
    reached = {node.name for node in nodes if node.op in ("Placeholder", "PlaceholderV2")}
    taken = [spec.name for spec in graph.placeholders() if spec.name in reached - cut]
    rest = [name for name in stated if _node(name) not in taken]
    notes = () if outputs else ("outputs found: " + ", ".join(map(shown, wanted)),)
    return GraphEnds(tuple([*taken, *rest] if taken else stated), tuple(wanted), notes)


def _node(tensor: str) -> str:
    return tensor.partition(":")[0]


def _check_name(graph: Graph, name: str, option: str) -> None:
    if _node(name) not in graph.nodes:
        known = [spec.name for spec in graph.placeholders()]
        known = known if option == "--input" else graph.unread()
        raise InputError(
            f"the graph has no node {_node(name)!r}",
            where=f"{option} {name}",
            hint="it has: " + ", ".join(map(shown, known[:_MOST_NAMED])),
        )


def _found_outputs(graph: Graph) -> list[str]:
    """Return the nodes that nobody reads; a loop's own variables only where there is one end."""
    unread = graph.unread()
    results = [name for name in unread if graph.nodes[name].op not in _LOOP_ENDS]
    if results:
        return results
    if len(unread) == 1:
        return unread
    raise InputError(
        "nothing says which nodes of the graph are its outputs",
        where="--output-name",
        hint="name them by --output-name"
        + (": " + ", ".join(map(shown, unread[:_MOST_NAMED])) if unread else ""),
    )
