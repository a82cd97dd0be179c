"""Binding symbolic dimensions to sizes.

A dimension name stands for one size in the whole model, so a binding ``n -> k`` replaces ``n``
in the shape of every value of the main graph and its bodies; a dimension that is an expression
over bound names only, such as ``2*n + 1``, becomes its value. Shapes inside local functions are
left alone: their dimension names are the function's own, and one function may be called at
several sizes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import onnx_ir as ir

from irconv.errors import InputError, UsageError
from irconv.graph.walk import nested_graphs
from irconv.passes.base import Pass, PassContext, PassResult

__all__ = ["BindShapes"]

_Key = TypeVar("_Key")
_BOUND = "irconv.bound-dimensions"
"""Key in the meta data of the main graph: what was bound, so that binding it again is no error."""
_POSITION = re.compile(r"(?P<input>.+)\[(?P<axis>\d+)\]")
_WORD = re.compile(r"[A-Za-z_]\w*")
_EXPRESSION = re.compile(r"[\w\s+\-*/()]{1,200}")


@dataclass(frozen=True)
class BindShapes(Pass):
    """Give symbolic dimensions a size, in inputs and wherever else their names stand.

    Before::

        < ir_version: 10, opset_import: ["" : 20] >
        g (float[batch, 3] x) => (float[batch, 3] y) {
            y = Relu (x)
        }

    After ``bind-shapes{dims=["batch=3"]}``::

        < ir_version: 10, opset_import: ["" : 20] >
        g (float[3, 3] x) => (float[3, 3] y) {
            y = Relu (x)
        }

    Attributes:
        dims: Texts ``name=size``, or ``input[axis]=size`` for a dimension without a name. The
            bound ranges of :attr:`PassContext.shapes` are added to them.
    """

    name: ClassVar[str] = "bind-shapes"
    once: ClassVar[bool] = True

    dims: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Read the texts early, so a wrong one is a usage error."""
        _parse(self.dims)

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Bind the dimensions, which have one size in the whole model; the pass has no sites.

        Raises:
            InputError: If no input has such a dimension, or a size contradicts a size that the
                model or another binding gives.
        """
        requests = _parse(self.dims)
        requests += [(key, span.best) for key, span in context.shapes.items() if span.bound]
        sizes: dict[str, int] = dict(model.graph.meta.get(_BOUND, {}))
        places: dict[tuple[ir.Value, int], int] = {}
        for key, size in requests:
            self._request(model, key, size, sizes, places)
        changed = sum(_set_dim(value, axis, size) for (value, axis), size in places.items())
        if sizes:
            model.graph.meta[_BOUND] = sizes
        evaluated: dict[str, int | None] = {}
        for value in _values(model.graph):
            changed += _bind(value, sizes, evaluated)
        return PassResult(changed > 0, {"bound": dict(sorted(sizes.items())), "dims": changed})

    @staticmethod
    def _request(
        model: ir.Model,
        key: str,
        size: int,
        sizes: dict[str, int],
        places: dict[tuple[ir.Value, int], int],
    ) -> None:
        if key in sizes or key in _dim_names(model.graph.inputs):
            _agree(sizes, key, size, f"dimension {key!r}")
            return
        value, axis = _position(model, key)
        assert value.shape is not None
        dim = value.shape[axis]
        if isinstance(dim, int):
            if dim != size:
                raise InputError(
                    f"{key!r} cannot be {size}: the model fixes it to {dim}", where="bind-shapes"
                )
        elif dim.value is not None:
            _agree(sizes, dim.value, size, f"dimension {dim.value!r} ({key})")
        else:
            _agree(places, (value, axis), size, f"dimension {key!r}")


def _parse(texts: Iterable[str]) -> list[tuple[str, int]]:
    requests: list[tuple[str, int]] = []
    for text in texts:
        key, _, size = text.rpartition("=")
        if not key.strip() or not size.strip().isdecimal() or int(size) < 1:
            raise UsageError(
                f"{text!r} is not of the form NAME=SIZE with a size of at least 1",
                where="bind-shapes",
                hint='for example bind-shapes{dims=["batch=4"]}',
            )
        requests.append((key.strip(), int(size)))
    return requests


def _agree(known: dict[_Key, int], key: _Key, size: int, what: str) -> None:
    if known.setdefault(key, size) != size:
        raise InputError(
            f"{what} cannot be both {known[key]} and {size}",
            where="bind-shapes",
            hint="give each dimension one size",
        )


def _position(model: ir.Model, key: str) -> tuple[ir.Value, int]:
    found = _POSITION.fullmatch(key)
    inputs = {value.name: value for value in model.graph.inputs}
    value = inputs.get(found["input"]) if found else None
    if found is None or value is None:
        raise _unknown(model, key)
    axis = int(found["axis"])
    if value.shape is None or axis >= len(value.shape):
        rank = "no known rank" if value.shape is None else f"rank {len(value.shape)}"
        raise InputError(
            f"input {value.name!r} has {rank}, so there is no {key!r}", where="bind-shapes"
        )
    return value, axis


def _unknown(model: ir.Model, key: str) -> InputError:
    names = ", ".join(sorted(_dim_names(model.graph.inputs)))
    return InputError(
        f"no input of the model has a dimension named {key!r}",
        where="bind-shapes",
        hint=f"its named dimensions are: {names}"
        if names
        else "its inputs have no named dimension; write INPUT[AXIS]=SIZE",
    )


def _dim_names(values: Iterable[ir.Value]) -> set[str]:
    return {
        dim.value
        for value in values
        for dim in value.shape or ()
        if isinstance(dim, ir.SymbolicDim) and dim.value is not None
    }


def _values(graph: ir.Graph) -> Iterator[ir.Value]:
    for scope in (graph, *nested_graphs(graph)):
        yield from scope.inputs
        yield from scope.initializers.values()
        for node in scope:
            yield from node.outputs


def _set_dim(value: ir.Value, axis: int, size: int) -> bool:
    assert value.shape is not None
    shape = value.shape.copy()
    shape[axis] = size
    value.shape = shape
    return True


def _bind(value: ir.Value, sizes: Mapping[str, int], evaluated: dict[str, int | None]) -> int:
    changed = 0
    for axis, dim in enumerate(value.shape or ()):
        if isinstance(dim, ir.SymbolicDim) and dim.value is not None:
            size = _size_of(dim, sizes, evaluated)
            if size is not None:
                changed += _set_dim(value, axis, size)
    return changed


def _size_of(
    dim: ir.SymbolicDim, sizes: Mapping[str, int], evaluated: dict[str, int | None]
) -> int | None:
    text = dim.value
    assert text is not None
    if text in sizes:
        return sizes[text]
    if text not in evaluated:
        evaluated[text] = _evaluate(dim, text, sizes)
    return evaluated[text]


def _evaluate(dim: ir.SymbolicDim, text: str, sizes: Mapping[str, int]) -> int | None:
    words = set(_WORD.findall(text))
    if not words or not words <= sizes.keys() or "**" in text:
        return None
    if not _EXPRESSION.fullmatch(text):
        return None
    try:
        size = dim.evaluate(sizes)
    except (ValueError, ArithmeticError):
        return None
    return size if isinstance(size, int) and size >= 0 else None
