"""Seeded inputs for a model, within the ranges that its graph asks for.

Several samples cover several sizes of dynamic dimensions. Which sizes a model takes is seldom
written down (a height may have to be a multiple of 32, a sequence be at most 512 long), so
:func:`sample_plans` offers alternatives in the order in which they are worth trying.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from irconv.errors import InputError, UsageError
from irconv.graph.interface import input_specs
from irconv.runtime.base import Array, TensorSpec
from irconv.runtime.values import numpy_dtype
from irconv.shapes import DimRange, InputSpec
from irconv.verify.input_ranges import Domain, analyze_inputs

__all__ = ["MAX_SAMPLE_BYTES", "generate_samples", "sample_plans"]

MAX_SAMPLE_BYTES = 256 * 1024 * 1024
"""The most bytes that the generated inputs of one sample may take."""

_BATCH_SIZES = (1, 2, 3)
_PLANS: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    (_BATCH_SIZES, (8, 16, 24)),
    (_BATCH_SIZES, (32, 64, 96)),
    (_BATCH_SIZES, (224,)),
    ((1,), (8,)),
    ((1,), (32,)),
    ((1,), (224,)),
    ((1,), (1,)),
)
"""Sizes of batch-like and of other free dimensions, sample by sample, plan by plan."""

_MASK_SHARE = 0.9
_DATA_HINT = "give real inputs with --data"


@dataclass(frozen=True)
class _Input:
    """An input with the user's wishes applied: a dim is a size or the key of a free size."""

    spec: TensorSpec
    dims: tuple[int | str, ...]
    domain: Domain


def generate_samples(
    model: ir.Model,
    shapes: Mapping[str, DimRange] | None = None,
    inputs: Sequence[InputSpec] = (),
    count: int = 3,
    seed: int = 0,
) -> list[dict[str, Array]]:
    """Return ``count`` samples by the first plan of :func:`sample_plans`, which see.

    Raises:
        InputError: If no sensible input can be made up.
        UsageError: If ``inputs`` do not fit the model.
    """
    return next(sample_plans(model, shapes=shapes, inputs=inputs, count=count, seed=seed))


def sample_plans(
    model: ir.Model,
    shapes: Mapping[str, DimRange] | None = None,
    inputs: Sequence[InputSpec] = (),
    count: int = 3,
    seed: int = 0,
) -> Iterator[list[dict[str, Array]]]:
    """Yield alternative lists of samples; take the first that the source can run.

    A model without free dimensions has one plan. The values of an input depend on the seed,
    its name, the sample and its shape only.

    Args:
        model: The model.
        shapes: Ranges of named dimensions: the samples take their least, best and largest size.
        inputs: Shapes of inputs as the user states them; they come before the model's own.
        count: Number of samples.
        seed: Seed of the generator.

    Raises:
        InputError: If an input cannot be made up (a string, a sequence, a shape, an unknown
            rank, too many bytes).
        UsageError: If ``inputs`` name what the model lacks, or contradict it.
    """
    prepared = _prepare(model, inputs)
    free = _free_dims(prepared)
    seen: set[tuple[tuple[str, int], ...]] = set()
    for batch, other in _PLANS:
        samples = []
        key: list[tuple[str, int]] = []
        for number in range(count):
            sizes = {
                name: _size(name, is_batch, number, count, batch, other, shapes or {})
                for name, is_batch in free.items()
            }
            key += sizes.items()
            samples.append((number, sizes))
        if tuple(key) in seen:
            continue
        seen.add(tuple(key))
        try:
            plan = [_sample(prepared, number, sizes, seed) for number, sizes in samples]
        except InputError:
            if len(seen) == 1:
                raise
            continue
        yield plan


def _prepare(model: ir.Model, wishes: Sequence[InputSpec]) -> list[_Input]:
    specs = input_specs(model)
    wanted = {wish.name: wish for wish in wishes}
    unknown = sorted(set(wanted) - {spec.name for spec in specs})
    if unknown:
        raise UsageError(
            f"--input names {unknown[0]!r}, which the model does not have",
            where="inputs",
            hint="its inputs are: " + ("; ".join(map(str, specs)) or "none"),
        )
    domains = analyze_inputs(model)
    return [_prepare_one(spec, wanted.get(spec.name), domains[spec.name]) for spec in specs]


def _prepare_one(spec: TensorSpec, wish: InputSpec | None, domain: Domain) -> _Input:
    if spec.kind != "tensor" or spec.dtype in ("string", "undefined"):
        kind = spec.dtype if spec.kind == "tensor" else spec.kind
        raise _cannot(spec, f"a value of kind {kind} cannot be made up")
    if domain.needs_data:
        raise _cannot(spec, domain.needs_data)
    if wish is not None and wish.dtype not in (None, spec.dtype):
        raise UsageError(
            f"--input says that {spec.name!r} is {wish.dtype}; it is {spec.dtype}",
            where="--input",
            hint=f"the model takes {spec}",
        )
    shape = spec.shape if wish is None else wish.dims
    if shape is None:
        raise InputError(
            f"the model does not say how many dimensions input {spec.name!r} has",
            where="inputs",
            hint=f"say it with --input '{spec.name}[1,3,224,224]', or {_DATA_HINT}",
        )
    if spec.shape is not None and len(spec.shape) != len(shape):
        raise UsageError(
            f"--input gives {spec.name!r} {len(shape)} dimensions; it has {len(spec.shape)}",
            where="--input",
            hint=f"the model takes {spec}",
        )
    dims = []
    for axis, dim in enumerate(shape):
        own = dim if spec.shape is None else spec.shape[axis]
        if isinstance(own, int) and dim not in (None, own):
            raise UsageError(
                f"--input gives dimension {axis} of {spec.name!r} the size {dim}; it is {own}",
                where="--input",
                hint=f"the model takes {spec}",
            )
        chosen = own if dim is None or isinstance(own, int) else dim
        unnamed = f"{spec.name}[{axis}]" if axis else "[0]"
        dims.append(unnamed if chosen is None else chosen)
    return _Input(spec, tuple(dims), domain)


def _cannot(spec: TensorSpec, why: str) -> InputError:
    return InputError(
        f"input {spec.name!r} cannot be generated: {why}", where="inputs", hint=_DATA_HINT
    )


def _free_dims(inputs: Sequence[_Input]) -> dict[str, bool]:
    free: dict[str, bool] = {}
    for entry in inputs:
        for axis, dim in enumerate(entry.dims):
            if isinstance(dim, str):
                free[dim] = free.get(dim, False) or axis == 0
    return free


def _size(
    name: str,
    is_batch: bool,
    number: int,
    count: int,
    batch: Sequence[int],
    other: Sequence[int],
    shapes: Mapping[str, DimRange],
) -> int:
    bounds = shapes.get(name)
    if bounds is not None:
        order = (bounds.minimum, bounds.best, bounds.maximum)
        return bounds.best if count == 1 else order[number % 3] if count > 2 else order[2 * number]
    sizes = batch if is_batch else other
    return sizes[number % len(sizes)]


def _sample(
    inputs: Sequence[_Input], number: int, sizes: Mapping[str, int], seed: int
) -> dict[str, Array]:
    resolved = {
        entry.spec.name: tuple(sizes[d] if isinstance(d, str) else d for d in entry.dims)
        for entry in inputs
    }
    total = sum(
        math.prod(resolved[entry.spec.name]) * numpy_dtype(entry.spec.dtype).itemsize
        for entry in inputs
    )
    if total > MAX_SAMPLE_BYTES:
        raise InputError(
            f"one sample would take {total / 2**20:.0f} MiB, more than "
            f"{MAX_SAMPLE_BYTES / 2**20:.0f} MiB",
            where="inputs",
            hint=f"choose smaller dimensions with --shape or --input, or {_DATA_HINT}",
        )
    return {
        entry.spec.name: _fill(entry, resolved[entry.spec.name], number, sizes, seed)
        for entry in inputs
    }


def _fill(
    entry: _Input, shape: tuple[int, ...], number: int, sizes: Mapping[str, int], seed: int
) -> Array:
    key = (seed, number, *entry.spec.name.encode())
    random = np.random.Generator(np.random.PCG64(key))
    dtype = numpy_dtype(entry.spec.dtype)
    domain = entry.domain
    low, high = _bounds(domain, sizes)
    if domain.distinct:
        return np.arange(math.prod(shape)).reshape(shape).astype(dtype)
    if entry.spec.dtype == "bool":
        if (low, high) == (0, 0):
            return np.zeros(shape, dtype=bool)
        return _mask(random, shape) if domain.mask else np.asarray(random.random(shape) < 0.5)
    if domain.mask and not domain.limits:
        return _mask(random, shape).astype(dtype)
    if not entry.spec.dtype.startswith(("float", "bfloat", "complex")):
        return _integers(random, shape, entry.spec.dtype, low, high, domain.hole)
    if domain.integral:
        return np.floor(random.uniform(low, high + 1, shape)).clip(low, high).astype(dtype)
    if entry.spec.dtype.startswith("complex"):
        pair = random.standard_normal((2, *shape))
        return np.asarray(pair[0] + 1j * pair[1]).astype(dtype)
    return np.asarray(_floats(random, shape, low, high, domain)).astype(dtype)


def _bounds(domain: Domain, sizes: Mapping[str, int]) -> tuple[float, float]:
    low, high = domain.low, domain.high
    for limit, offset in domain.limits:
        size = sizes.get(limit) if isinstance(limit, str) else limit
        high = min(high, (1 if size is None else size) - 1 - offset)
    if domain.limits and low < 0 <= high:
        low = 0
    return low, max(low, high)


def _mask(random: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Mostly ones; a row of two or more has both kinds, whichever of them masks."""
    mask = np.asarray(random.random(shape) < _MASK_SHARE)
    if not shape or not mask.size:
        return np.ones(shape, dtype=bool)
    if shape[-1] > 1:
        mask[..., -1] = False
    mask[..., 0] = True
    return mask


def _integers(
    random: np.random.Generator,
    shape: tuple[int, ...],
    dtype_text: str,
    low: float,
    high: float,
    hole: float,
) -> Array:
    full = {"uint8": (0, 255), "int8": (-128, 127), "int4": (-8, 7), "uint4": (0, 15)}
    default = full.get(dtype_text, (0, 9))
    least = int(low) if math.isfinite(low) else min(default[0], int(min(high, default[0])))
    most = int(high) if math.isfinite(high) else max(default[1], least)
    values = random.integers(least, most, shape, endpoint=True)
    if hole:
        values = np.where(values == 0, max(1, least), values)
    dtype: np.dtype[Any] = numpy_dtype(dtype_text)
    return np.asarray(values).astype(dtype)


def _floats(
    random: np.random.Generator, shape: tuple[int, ...], low: float, high: float, domain: Domain
) -> Array:
    if domain.free:
        return random.standard_normal(shape)
    if math.isinf(low) and math.isinf(high):
        values = random.standard_normal(shape)
    else:
        least = low if math.isfinite(low) else min(-1.0, high - 2)
        most = high if math.isfinite(high) else max(2.0, low + 2)
        values = random.uniform(least, most, shape)
    if domain.hole:
        away = np.where(values < 0, -1.0, 1.0) * (np.abs(values) + domain.hole)
        values = np.clip(away, low, high)
    return values
