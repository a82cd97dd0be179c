"""Sizes and names for the open dimensions of a model's inputs; needs no TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from irconv.errors import InputError
from irconv.runtime.base import TensorSpec
from irconv.shapes import InputSpec

__all__ = ["name_dimensions"]

BATCH = "batch"
"""Name of the first dimension where it is open in every input."""


def name_dimensions(
    specs: Sequence[TensorSpec], stated: Sequence[InputSpec]
) -> tuple[TensorSpec, ...]:
    """Give every dimension of the inputs a size or a name.

    What the user states comes first: a size binds an open dimension, a name is kept. Other open
    dimensions are called ``batch`` where they are the first one and open in every input that has
    dimensions, else after input and position, such as ``image_dim1``.

    Args:
        specs: The inputs as the source has them; an open dimension is None.
        stated: What the user says of them.

    Returns:
        The inputs with no open dimension left.

    Raises:
        InputError: If the statements do not fit, or an input's rank is not known.
    """
    by_name = {statement.name: statement for statement in stated}
    for name in by_name:
        if name not in {spec.name for spec in specs}:
            raise InputError(
                f"the model has no input {name!r}",
                where=f"--input {name}",
                hint="its inputs: " + "; ".join(map(str, specs)),
            )
    shaped = [_fit(spec, by_name.get(spec.name)) for spec in specs]
    leading = [spec.shape[0] for spec in shaped if spec.shape]
    batch = BATCH if all(not isinstance(dim, int) for dim in leading) else None
    return tuple(_named(spec, batch) for spec in shaped)


def _fit(spec: TensorSpec, statement: InputSpec | None) -> TensorSpec:
    if statement is None:
        if spec.shape is None:
            raise InputError(
                f"the file does not say how many dimensions input {spec.name!r} has",
                where=f"--input {spec.name}",
                hint=f"state its shape: --input '{spec.name}[batch,224,224,3]'",
            )
        return spec
    shape = spec.shape if spec.shape is not None else (None,) * len(statement.dims)
    problem = ""
    if len(statement.dims) != len(shape):
        problem = f"it has {len(shape)} dimensions, not {len(statement.dims)}"
    elif statement.dtype not in (None, spec.dtype):
        problem = f"its dtype is {spec.dtype}, not {statement.dtype}"
    dims: list[int | str | None] = []
    for axis, (wanted, dim) in enumerate(zip(statement.dims, shape, strict=False)):
        if isinstance(dim, int) and wanted not in (None, dim):
            problem = problem or f"its dimension {axis} is {dim}, not {wanted}"
        dims.append(dim if isinstance(dim, int) else wanted)
    if problem:
        raise InputError(
            f"--input does not fit input {spec.name!r}: {problem}",
            where=f"--input {spec.name}",
            hint=f"the model has {spec}",
        )
    return replace(spec, shape=tuple(dims))


def _named(spec: TensorSpec, batch: str | None) -> TensorSpec:
    shape = tuple(
        dim
        if dim is not None
        else batch
        if axis == 0 and batch is not None
        else f"{spec.name}_dim{axis}"
        for axis, dim in enumerate(spec.shape or ())
    )
    return replace(spec, shape=shape)
