"""Transposes that are in the model already, as views of other values."""

from __future__ import annotations

import onnx_ir as ir

from irconv.graph.constants import is_constant
from irconv.passes.layout.permutation import Permutation, compose, identity

__all__ = ["Aliases", "transpose_order"]


def transpose_order(node: ir.Node) -> Permutation | None:
    """Return the permutation of a ``Transpose``; None for any other node, or where unknown."""
    if node.op_type != "Transpose" or node.domain not in ("", "ai.onnx"):
        return None
    value, attribute = node.inputs[0], node.attributes.get("perm")
    if is_constant(value):
        return None
    if attribute is not None:
        return None if attribute.is_ref() else tuple(attribute.as_ints())
    if value is None or value.shape is None:
        return None
    return tuple(reversed(range(len(value.shape))))


class Aliases:
    """Finds for the result of transposes the value that is transposed, and by what."""

    def __init__(self) -> None:
        self._known: dict[ir.Value, tuple[ir.Value, Permutation]] = {}

    def root(self, value: ir.Value) -> tuple[ir.Value, Permutation] | None:
        """Return the value that is not the result of a transpose, and the order to read it in.

        None where the rank is unknown.
        """
        if value.shape is None:
            return None
        chain: list[tuple[ir.Value, Permutation]] = []
        current = value
        while current not in self._known:
            producer = current.producer()
            order = None if producer is None else transpose_order(producer)
            source = None if producer is None or order is None else producer.inputs[0]
            if source is None or order is None or source.shape is None:
                rank = len(value.shape)
                self._known[current] = (current, identity(rank))
                break
            chain.append((current, order))
            current = source
        root, total = self._known[current]
        for alias, order in reversed(chain):
            total = compose(total, order)
            self._known[alias] = (root, total)
        return self._known[value]
