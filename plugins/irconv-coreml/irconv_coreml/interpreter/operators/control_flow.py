"""Branches and loops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from irconv.runtime.base import Array
from irconv_coreml.interpreter.registry import interprets

if TYPE_CHECKING:
    from irconv_coreml.interpreter.execute import Context

__all__: list[str] = []

_CONDITION, _BODY = 0, 1


def _truth(value: Any) -> bool:
    if not isinstance(value, np.ndarray) or value.dtype != np.bool_ or value.size != 1:
        raise TypeError("its condition is no single bool")
    return bool(value)


@interprets("cond")
def cond(pred: Array, context: Context) -> tuple[Any, ...]:
    """The first block where ``pred`` is true, else the second."""
    return tuple(context.run_block(0 if _truth(pred) else 1))


@interprets("while_loop")
def while_loop(context: Context, loop_vars: Any = ()) -> tuple[Any, ...]:
    """Run the second block on the variables while the first gives true."""
    variables = list(loop_vars) if isinstance(loop_vars, tuple) else [loop_vars]
    while _truth(context.run_block(_CONDITION, variables)[0]):
        variables = context.run_block(_BODY, variables)
    return tuple(variables)
