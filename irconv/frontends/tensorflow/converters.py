"""Operators that TensorFlow 2.20 and Keras 3 write and tf2onnx does not know.

Each function is a handler of tf2onnx: it replaces one TensorFlow node by ONNX nodes in tf2onnx's
graph. This module needs tf2onnx and is imported in the worker process only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["HANDLERS"]

_Handler = Callable[..., None]
_SIGN_BIT = np.iinfo(np.int32).min
_HANDLERS: dict[str, _Handler] = {}


def _handles(*operators: str) -> Callable[[_Handler], _Handler]:
    def register(function: _Handler) -> _Handler:
        for operator in operators:
            _HANDLERS[operator] = function
        return function

    return register


class _Site:
    """One TensorFlow node that is being replaced."""

    def __init__(self, graph: Any, node: Any) -> None:
        self._graph = graph
        self._shapes = list(node.output_shapes)
        self._dtypes = list(node.output_dtypes)
        self.dtype = graph.get_dtype(node.input[0])
        self.inputs = list(node.input)
        self._node = node

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node and return its output."""
        return str(self._graph.make_node(operator, list(inputs), attr=attributes).output[0])

    def constant(self, value: Any, dtype: Any = None) -> str:
        """Add a constant, of the dtype of the first input unless another is given."""
        from tf2onnx import utils

        array = np.array(value, dtype or utils.map_onnx_to_numpy_type(self.dtype))
        return str(self._graph.make_const(utils.make_name("const"), array).output[0])

    def floats(self, attribute: str) -> list[float]:
        """Return a list of numbers that is an attribute."""
        return list(self._node.get_attr(attribute).floats)

    def only_asked_for_sign(self) -> bool:
        """Say whether all that reads the output takes its highest bit and nothing else."""
        readers = self._graph.find_output_consumers(self._node.output[0])
        return bool(readers) and all(
            reader.type == "BitwiseAnd"
            and reader.inputs[1].is_const()
            and np.all(reader.inputs[1].get_tensor_value(as_list=False) == _SIGN_BIT)
            for reader in readers
        )

    def replace(self, operator: str, *inputs: str, **attributes: Any) -> None:
        """Put a last node in the place of the TensorFlow node."""
        self._graph.remove_node(self._node.name)
        self._graph.make_node(
            operator,
            list(inputs),
            attr=attributes,
            name=self._node.name,
            outputs=list(self._node.output),
            shapes=self._shapes,
            dtypes=self._dtypes,
        )


@_handles("Erfc")
def _erfc(site: _Site) -> None:
    """``erfc(x) = 1 - erf(x)``."""
    site.replace("Sub", site.constant(1), site.add("Erf", site.inputs[0]))


@_handles("Log1p")
def _log1p(site: _Site) -> None:
    """``log(1 + x)``, exact near zero: ``x * log(u) / (u - 1)`` with ``u = 1 + x`` (Kahan)."""
    x, one = site.inputs[0], site.constant(1)
    u = site.add("Add", x, one)
    tiny = site.add("Equal", u, one)
    below = site.add("Where", tiny, one, site.add("Sub", u, one))
    quotient = site.add("Div", site.add("Log", u), below)
    infinite = site.add("IsInf", u)
    safe = site.add("Where", infinite, u, site.add("Mul", x, quotient))
    site.replace("Where", tiny, x, safe)


@_handles("Expm1")
def _expm1(site: _Site) -> None:
    """``exp(x) - 1`` as ``2 sinh(x/2) exp(x/2)``, exact near zero."""
    half = site.add("Mul", site.inputs[0], site.constant(0.5))
    product = site.add("Mul", site.add("Sinh", half), site.add("Exp", half))
    site.replace("Mul", product, site.constant(2))


def _unless_zero(site: _Site, zero: str, value: str) -> None:
    nothing = site.constant(0)
    site.replace("Where", site.add("Equal", zero, nothing), nothing, value)


@_handles("Xlogy")
def _xlogy(site: _Site) -> None:
    """``x log(y)``, and 0 where ``x`` is 0."""
    x, y = site.inputs
    _unless_zero(site, x, site.add("Mul", x, site.add("Log", y)))


@_handles("Xdivy")
def _xdivy(site: _Site) -> None:
    """``x / y``, and 0 where ``x`` is 0."""
    x, y = site.inputs
    _unless_zero(site, x, site.add("Div", x, y))


@_handles("MulNoNan")
def _mul_no_nan(site: _Site) -> None:
    """``x y``, and 0 where ``y`` is 0."""
    x, y = site.inputs
    _unless_zero(site, y, site.add("Mul", x, y))


@_handles("L2Loss")
def _l2_loss(site: _Site) -> None:
    """Half the sum of squares."""
    total = site.add("ReduceSumSquare", site.inputs[0], keepdims=0)
    site.replace("Mul", total, site.constant(0.5))


@_handles("Inv")
def _inverse(site: _Site) -> None:
    site.replace("Reciprocal", site.inputs[0])


@_handles("Bucketize")
def _bucketize(site: _Site) -> None:
    """The number of boundaries that are not above ``x``."""
    from onnx import TensorProto

    x = site.add("Cast", site.inputs[0], to=TensorProto.FLOAT)
    axis = site.constant([-1], np.int64)
    boundaries = site.constant(site.floats("boundaries"), np.float32)
    reached = site.add("GreaterOrEqual", site.add("Unsqueeze", x, axis), boundaries)
    counted = site.add("Cast", reached, to=TensorProto.INT32)
    site.replace("ReduceSum", counted, axis, keepdims=0)


@_handles("Bitcast")
def _bitcast(site: _Site) -> None:
    """The bits of a float as an integer, where only the sign is asked for.

    Keras asks so for negative zeros. ``1/x`` is below zero for those too.
    """
    if not site.only_asked_for_sign():
        raise ValueError("ONNX has no operator for the bits of a number")
    x, zero = site.inputs[0], site.constant(0)
    below = site.add("Less", x, zero)
    negative_zero = site.add("Less", site.add("Reciprocal", x), zero)
    minus, plus = site.constant(-1, np.int32), site.constant(0, np.int32)
    site.replace("Where", site.add("Or", below, negative_zero), minus, plus)


@_handles("Snapshot", "GuaranteeConst", "CheckNumericsV2")
def _same(site: _Site) -> None:
    site.replace("Identity", site.inputs[0])


def _adapt(handler: _Handler) -> Callable[[Any, Any, str, Sequence[Any]], None]:
    def adapted(graph: Any, node: Any, name: str, arguments: Sequence[Any]) -> None:
        del name, arguments
        handler(_Site(graph, node))

    return adapted


HANDLERS: Mapping[str, tuple[Callable[..., None], list[Any]]] = {
    operator: (_adapt(handler), []) for operator, handler in _HANDLERS.items()
}
"""Handlers by TensorFlow operator, in the form that tf2onnx takes."""
