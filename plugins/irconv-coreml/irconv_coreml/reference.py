"""Running a package in the reference interpreter."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from irconv.errors import BackendError, InputError, MismatchError
from irconv_coreml.interpreter.digests import compare_weights
from irconv_coreml.interpreter.execute import check_operations, run_function
from irconv_coreml.interpreter.package import open_package
from irconv_coreml.interpreter.types import MilValue, State, StateType, TensorType

if TYPE_CHECKING:
    from irconv.runtime.base import Array
    from irconv_coreml.interface import WeightDigest
    from irconv_coreml.interpreter.program import Function

__all__ = ["ReferenceModel"]

_WHERE = "reference interpreter of ML Programs"
_SHOWN = 5


class ReferenceModel:
    """An opened package, checked as far as it can be without inputs.

    Args:
        path: The package.
        weights: Digests of weights that it must hold, by name.

    Attributes:
        weights: What became of them.

    Raises:
        InputError: If the package is broken.
        MismatchError: If a weight is not in it as it was handed over.
        UnsupportedError: If it has an operation that is not interpreted.
    """

    def __init__(self, path: Path, weights: Mapping[str, WeightDigest]) -> None:
        self._package = open_package(path)
        for function in self._package.functions.values():
            check_operations(function)
        self.weights = compare_weights(self._package.functions.values(), weights)
        changed = self.weights.changed
        if changed:
            shown = ", ".join(map(repr, changed[:_SHOWN])) + (", …" if changed[_SHOWN:] else "")
            raise MismatchError(
                f"{len(changed)} of {len(weights)} weights are not in the package as they were "
                f"handed over: {shown}",
                where=_WHERE,
                hint="make the package again; if it happens again, report it with the model",
            )

    def predict(self, name: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run a function and return its outputs by name.

        Args:
            name: The function; empty for the default one.
            inputs: Its inputs by name, in the dtypes of the features.

        Raises:
            InputError: If an input has a shape that the package does not take.
            BackendError: If the program does not hold what it declares.
        """
        chosen = name or self._package.default_function
        function = self._package.functions[chosen]
        signature = self._package.signatures[chosen]
        for feature, kind in signature.inputs.items():
            if feature not in inputs:
                raise BackendError(f"nothing feeds the package's input {feature!r}", where=_WHERE)
            refusal = kind.explain_refusal(inputs[feature].shape)
            if refusal:
                raise InputError(
                    f"input {feature!r} has shape {list(inputs[feature].shape)}, and {refusal}",
                    where="target coreml",
                    hint="compile it with a --shape that has this size",
                )
        results = run_function(function, _arguments(function, inputs))
        outputs = {}
        for feature, kind in signature.outputs.items():
            value = results.get(feature)
            if not isinstance(value, np.ndarray) or value.dtype != np.dtype(kind.dtype):
                raise BackendError(
                    f"output {feature!r} is described as {kind.dtype}, and the program gives "
                    f"{value.dtype if isinstance(value, np.ndarray) else 'none'}",
                    where=_WHERE,
                )
            refusal = kind.explain_refusal(value.shape)
            if refusal:
                raise BackendError(
                    f"output {feature!r} comes out as {list(value.shape)}, and {refusal}",
                    where=_WHERE,
                )
            outputs[feature] = value
        return outputs


def _arguments(function: Function, inputs: Mapping[str, Array]) -> dict[str, MilValue]:
    arguments: dict[str, MilValue] = {}
    for entry in function.inputs:
        if isinstance(entry.type, StateType):
            content = entry.type.content
            arguments[entry.name] = State(np.zeros(_static(content), content.held_as))
        elif entry.name in inputs:
            arguments[entry.name] = inputs[entry.name]
        else:
            raise BackendError(
                f"the program takes {entry.name!r}, which its description does not name",
                where=_WHERE,
            )
    return arguments


def _static(declared: TensorType) -> list[int]:
    return [0 if size is None else size for size in declared.shape]
