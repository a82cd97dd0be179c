"""A TFLite file that another tool made, opened as if irconv had emitted it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from irconv_tflite.sdk import load_interpreter_module, quiet

from irconv.backends.base import Artifact
from irconv.errors import InputError

__all__ = ["foreign_artifact"]

_TO_LAST = {4: (0, 2, 3, 1), 5: (0, 2, 3, 4, 1)}


def foreign_artifact(
    path: Path, feeds: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]
) -> Artifact:
    """Say which input and output of a file is which of the model's.

    They are matched by the ends of their names, and what is left by shape, channel-last as well,
    in order.

    Args:
        path: The file.
        feeds: Inputs of the model.
        expected: Its outputs.

    Raises:
        InputError: If one of them has no counterpart.
    """
    module = load_interpreter_module()
    with quiet():
        interpreter = module.Interpreter(str(path))
        data = {
            "inputs": _matched(interpreter.get_input_details(), feeds, path),
            "outputs": _matched(interpreter.get_output_details(), expected, path),
        }
    return Artifact(path.name, "float32", data=data)


def _matched(
    details: Sequence[Mapping[str, Any]], arrays: Mapping[str, np.ndarray], path: Path
) -> list[dict[str, Any]]:
    """Return the entry of each tensor of the file; see ``irconv_tflite.emit.write``."""
    left = dict(arrays)
    entries = []
    for detail in details:
        name = next(
            (name for name in left if _bare(detail["name"]) == name),
            next((name for name in left if _order(detail, left[name]) is not None), None),
        )
        order = None if name is None else _order(detail, left[name])
        if name is None or order is None:
            raise InputError(
                f"{path.name} has a tensor {detail['name']!r} of shape "
                f"{detail['shape_signature'].tolist()}, and the model has none like it",
                where="--tflite-file",
                hint="give a file of the same network, with the same inputs and outputs",
            )
        entry = {"name": name, "dtype": left.pop(name).dtype.name, "tensor": detail["name"]}
        entries.append(entry | ({"permutation": list(order)} if order else {}))
    return entries


def _bare(name: str) -> str:
    """Return the name that a tensor had before converters put a signature around it."""
    return name.removeprefix("serving_default_").partition(":")[0]


def _order(detail: Mapping[str, Any], array: np.ndarray) -> tuple[int, ...] | None:
    """Return the permutation from the model's layout, empty for none; None if nothing fits."""
    if _fits(detail, array.shape):
        return ()
    order = _TO_LAST.get(array.ndim, ())
    return order if order and _fits(detail, [array.shape[axis] for axis in order]) else None


def _fits(detail: Mapping[str, Any], shape: Sequence[int]) -> bool:
    fixed = detail["shape_signature"]
    return len(fixed) == len(shape) and all(
        size in (-1, given) for size, given in zip(fixed, shape, strict=True)
    )
