"""Sizes and axes that come from values of an input, which an engine cannot be built for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from irconv.errors import Diagnostic

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["sizing_diagnostics"]

_SIZING_INPUTS: dict[str, tuple[int, ...]] = {
    "ConstantOfShape": (0,), "CumSum": (1,), "Expand": (1,), "Loop": (0,), "OneHot": (1,),
    "Pad": (1,), "Range": (0, 1, 2), "Reshape": (1,), "Resize": (2, 3), "Slice": (1, 2, 3, 4),
    "BlackmanWindow": (0,), "HammingWindow": (0,), "HannWindow": (0,), "Split": (1,),
    "Squeeze": (1,), "Tile": (1,), "TopK": (1,), "Unsqueeze": (1,), "Upsample": (1,),
}  # fmt: skip
_SHAPE_READERS = frozenset({"Shape", "Size"})


def sizing_diagnostics(model: ir.Model) -> Iterator[Diagnostic]:
    """Yield a diagnostic for each node whose sizes or axes come from values of an input."""
    from irconv.graph.walk import all_nodes

    fed = _FedValues(value for value in model.graph.inputs if value.const_value is None)
    for node in all_nodes(model):
        for index in _sizing_inputs(node):
            source = fed.source(node.inputs[index] if index < len(node.inputs) else None)
            if source is not None:
                yield Diagnostic(
                    "SHAPE_INPUT",
                    f"{source.name!r}, an input of the model, gives it sizes or axes, which must "
                    "be known when the engine is built",
                    node.name or "",
                    node.op_type,
                    "make it constant, or take it from the shape of another input",
                )


class _FedValues:
    """Which input of the model a value is computed from; its shape alone does not count."""

    def __init__(self, inputs: Iterable[ir.Value]) -> None:
        self._sources: dict[ir.Value, ir.Value | None] = {value: value for value in inputs}

    def source(self, value: ir.Value | None) -> ir.Value | None:
        """Return the first input whose values ``value`` depends on; each is looked at once."""
        if value is None:
            return None
        waiting = [value]
        while waiting:
            current = waiting[-1]
            producer = current.producer()
            if current in self._sources or producer is None or producer.op_type in _SHAPE_READERS:
                self._sources.setdefault(current, None)
                waiting.pop()
                continue
            operands = [operand for operand in producer.inputs if operand is not None]
            unknown = [operand for operand in operands if operand not in self._sources]
            if unknown:
                waiting += unknown
                continue
            sources = (self._sources[operand] for operand in operands)
            self._sources[current] = next((found for found in sources if found is not None), None)
            waiting.pop()
        return self._sources[value]


def _sizing_inputs(node: ir.Node) -> tuple[int, ...]:
    """Return which inputs of ``node`` are sizes, axes or counts rather than data."""
    if node.op_type.startswith("Reduce"):
        return (1,)
    return _SIZING_INPUTS.get(node.op_type, ())
