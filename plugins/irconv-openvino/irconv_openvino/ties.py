"""The order of equal numbers in TopK, ArgMax and ArgMin.

ONNX gives the lower index first. OpenVINO's importer makes operators that leave the order open;
their attribute ``stable``, which needs a sorted result, settles it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["settle_ties"]

_SETTLED = "opset11"
"""The first version of TopK with the attribute."""


def settle_ties(model: Any) -> None:
    """Make every TopK of an ``openvino.Model`` stable, in the bodies of loops and branches too."""
    for operator in _operators(model):
        if operator.get_type_name() != "TopK":
            continue
        if operator.get_type_info().version_id != _SETTLED:
            continue
        if operator.get_attributes()["sort"] == "none":
            operator.set_attribute("sort", "value")
        operator.set_attribute("stable", True)


def _operators(model: Any) -> Iterator[Any]:
    for operator in model.get_ops():
        yield operator
        kind = operator.get_type_name()
        if kind in ("Loop", "TensorIterator"):
            yield from _operators(operator.get_function())
        elif kind == "If":
            yield from _operators(operator.get_then_body())
            yield from _operators(operator.get_else_body())
