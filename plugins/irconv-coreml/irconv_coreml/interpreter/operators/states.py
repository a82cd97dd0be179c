"""Tensors that outlive a prediction."""

from __future__ import annotations

from irconv.runtime.base import Array
from irconv_coreml.interpreter.registry import interprets
from irconv_coreml.interpreter.types import State

__all__: list[str] = []


@interprets("read_state", since=8)
def read_state(input: State) -> Array:
    """The state's content."""
    return input.value


@interprets("write_state", since=8)
def write_state(input: State, data: Array) -> tuple[()]:
    """Replace the state's content."""
    _replace(input, data)
    return ()


@interprets("coreml_update_state", since=8)
def update_state(state: State, value: Array) -> Array:
    """Replace the state's content and return it."""
    _replace(state, value)
    return value


def _replace(state: State, value: Array) -> None:
    if value.shape != state.value.shape or value.dtype != state.value.dtype:
        raise TypeError(f"it writes {value.dtype}{list(value.shape)} into another kind of state")
    state.value = value
