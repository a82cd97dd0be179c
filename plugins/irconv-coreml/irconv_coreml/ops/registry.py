"""One table of emitters: which ONNX operators are written as which MIL operators.

An emitter takes a :class:`~irconv_coreml.site.Site` and returns the MIL value of the node's
output, or a tuple with one for each. Its predicate says from the IR alone, without coremltools,
why a node of its type cannot be written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from irconv_coreml.targets import Target

if TYPE_CHECKING:
    import onnx_ir as ir

    from irconv_coreml.site import Site

__all__ = ["EMITTERS", "Emitter", "Reason", "emits"]

Reason = str
"""Why a node cannot be written, as ``CODE: words``; empty where it can."""


@dataclass(frozen=True)
class Emitter:
    """How one operator is written.

    Attributes:
        emit: Writes a node.
        refuses: Returns why it cannot, or the empty string.
        wraps: Whether results in a narrow integer dtype may lie outside of it and must wrap.
        since: The oldest system that has what it writes.
    """

    emit: Callable[[Site], Any]
    refuses: Callable[[ir.Node], Reason]
    wraps: bool
    since: Target


EMITTERS: dict[tuple[str, str], Emitter] = {}
"""Domain and operator type, and how it is written."""


def emits(
    *op_types: str,
    refuses: Callable[[ir.Node], Reason] | Sequence[Callable[[ir.Node], Reason]] = (),
    wraps: bool = False,
    domain: str = "",
    since: Target = "iOS15",
) -> Callable[[Callable[[Site], Any]], Callable[[Site], Any]]:
    """Register a function as the emitter of operator types.

    Args:
        op_types: ONNX operator types.
        refuses: One predicate or several, asked in order.
        wraps: As in :class:`Emitter`.
        domain: The domain of the operators.
        since: As in :class:`Emitter`.
    """
    predicates = [refuses] if callable(refuses) else list(refuses)

    def first_reason(node: ir.Node) -> Reason:
        return next(filter(None, (predicate(node) for predicate in predicates)), "")

    def register(function: Callable[[Site], Any]) -> Callable[[Site], Any]:
        for op_type in op_types:
            EMITTERS[domain, op_type] = Emitter(function, first_reason, wraps, since)
        return function

    return register
