"""What the adapters for both directions share."""

from __future__ import annotations

from collections.abc import Callable

from irconv.passes.opset.site import Inexpressible, Site

__all__ = [
    "AXES_AS_INPUT",
    "Adapter",
    "REDUCTIONS",
    "is_inference_dropout",
    "refuse_used_outputs",
]

Adapter = Callable[[Site], None]
"""Takes a node one step: changes it in place, replaces it, or raises Inexpressible."""

REDUCTIONS = (
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSumSquare",
)
"""Operators whose axes became an input in opset 18."""

AXES_AS_INPUT: dict[tuple[str, int], str] = {
    **{(name, 18): "axes" for name in REDUCTIONS},
    ("ReduceSum", 13): "axes",
    ("Squeeze", 13): "axes",
    ("Unsqueeze", 13): "axes",
    ("Split", 13): "split",
    ("DFT", 20): "axis",
}
"""Operators and versions in which an integer attribute became an input."""


def is_inference_dropout(site: Site) -> bool:
    """Return whether a Dropout of opset 12 or newer does nothing but pass its input on."""
    return site.input(2) is None or not site.scalar(2, "training_mode")


def refuse_used_outputs(site: Site, why: str) -> None:
    """Raise if anything reads an output after the first."""
    if any(value.uses() or value.is_graph_output() for value in site.node.outputs[1:]):
        raise Inexpressible(why)
