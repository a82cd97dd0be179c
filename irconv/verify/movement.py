"""Which tensor inside a model a pass moved first.

Values of two states of a model that must be the same (:mod:`irconv.graph.correspondence`) are
computed by running both states in the reference, with those values as outputs, some at a time
so that memory stays bounded, in topological order, and only up to the first that moved.

A difference of a few unit roundoffs of the largest element is within the tolerance of any value
and needs no noise floor; for a larger one the floor of that value is derived.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from irconv.graph.correspondence import corresponding_values
from irconv.graph.snapshot import snapshot
from irconv.passes.base import PassContext
from irconv.passes.infer_shapes import InferShapes
from irconv.runtime.base import Feeds, Runner, Value
from irconv.verify.extract import extract
from irconv.verify.golden import Golden
from irconv.verify.metrics import OutputMetrics, compare_outputs
from irconv.verify.noise import UNIT_ROUNDOFF
from irconv.verify.precision import model_precision
from irconv.verify.tolerance import MARGIN, derive_tolerances, named_sizes

__all__ = ["Movement", "first_movement", "movement_limits"]

_BUDGET_BYTES = 256 << 20
"""Bytes of values, over all samples, that are compared at a time."""
_MOST_VALUES = 1024
_UNKNOWN_DIM = 64

OpenReference = Callable[[ir.Model], Runner]


@dataclass(frozen=True)
class Movement:
    """A tensor that differs between two states of a model by more than it may.

    Attributes:
        name: The tensor's name.
        node: Name of the node that computes it now.
        op: Operator type of that node.
        metrics: Its distance from what it was.
        limit: How far it might have moved; 0 for not at all.
    """

    name: str
    node: str
    op: str
    metrics: OutputMetrics
    limit: float

    def __str__(self) -> str:
        metrics = self.metrics
        how = f"moved by {metrics.max_abs:.3g}"
        if metrics.nonfinite_mismatches:
            how = f"became NaN or infinite, or ceased to be ({metrics.nonfinite_mismatches} times)"
        return (
            f"{self.name!r} (computed by {self.op} {self.node!r}) {how} "
            f"({metrics.mismatched} of {metrics.elements} elements)"
        )


def first_movement(
    before: ir.Model,
    after: ir.Model,
    samples: Sequence[Feeds],
    open_reference: OpenReference,
    *,
    exact: bool,
    budget_bytes: int = _BUDGET_BYTES,
) -> Movement | None:
    """Return the first tensor in topological order that moved further than it may.

    Args:
        before: A snapshot from before, which shares its tensors with ``after``.
        after: The model now.
        samples: What both are run on.
        open_reference: Opens a model in the reference runtime, without its optimizations.
        exact: Whether no bit may change; else a value may move within its derived tolerance.
        budget_bytes: About how many bytes of values are held at a time.

    Raises:
        IrconvError: If one of the states does not run.
    """
    before, after = _typed(before), _typed(after)
    values = corresponding_values(before, after)
    sizes = named_sizes(before, samples)
    for batch in _batches(values, sizes, budget_bytes // max(1, len(samples))):
        names = [value.name or "" for value in batch]
        was = _run(extract(before, names), samples, open_reference)
        now = _run(extract(after, names), samples, open_reference)
        moved = _differing(names, was, now)
        limits = {} if exact else movement_limits(before, moved, was, samples, open_reference)
        for value in batch:
            metrics = moved.get(value.name or "")
            limit = limits.get(value.name or "", 0.0)
            if metrics is not None and _beyond(metrics, limit):
                node = value.producer()
                assert node is not None
                return Movement(value.name or "", node.name or "", node.op_type, metrics, limit)
    return None


def _typed(model: ir.Model) -> ir.Model:
    """Return a copy with the types and shapes that ONNX's rules give."""
    copy = snapshot(model)
    InferShapes().run(copy, PassContext())
    return copy


def _differing(
    names: Sequence[str],
    was: Sequence[Mapping[str, Value]],
    now: Sequence[Mapping[str, Value]],
) -> dict[str, OutputMetrics]:
    """Return how far those values are apart that are comparable and not equal."""
    found: dict[str, OutputMetrics] = {}
    for name in names:
        pairs = [(old[name], new[name]) for old, new in zip(was, now, strict=True)]
        if all(_identical(old, new) for old, new in pairs):
            continue
        metrics = compare_outputs(
            [{name: old} for old, _ in pairs], [{name: new} for _, new in pairs]
        )[name]
        if not metrics.equal and not metrics.problem:
            found[name] = metrics
    return found


def _identical(old: Value, new: Value) -> bool:
    """Say whether two arrays have the same bits; a cheap answer for most values."""
    return (
        isinstance(old, np.ndarray)
        and isinstance(new, np.ndarray)
        and old.dtype == new.dtype
        and old.dtype != object
        and old.shape == new.shape
        and old.tobytes() == new.tobytes()
    )


def _beyond(metrics: OutputMetrics, limit: float) -> bool:
    return bool(metrics.nonfinite_mismatches) or metrics.max_abs > limit or not limit


def _batches(
    values: Sequence[ir.Value], sizes: Mapping[str, int], budget: int
) -> Iterator[list[ir.Value]]:
    batch: list[ir.Value] = []
    total = 0
    for value in values:
        nbytes = _bytes(value, sizes)
        if batch and (total + nbytes > budget or len(batch) == _MOST_VALUES):
            yield batch
            batch, total = [], 0
        batch.append(value)
        total += nbytes
    if batch:
        yield batch


def _bytes(value: ir.Value, sizes: Mapping[str, int]) -> int:
    """Return about how large a value is.

    A dimension that nothing is known of counts as the largest named one of the inputs.
    """
    unknown = max(sizes.values(), default=_UNKNOWN_DIM)
    dims = [
        dim if isinstance(dim, int) else sizes.get(dim.value or "", unknown)
        for dim in value.shape or (unknown, unknown)
    ]
    itemsize = 8 if value.dtype is None else max(1, int(value.dtype.itemsize))
    return math.prod(dims) * itemsize


def _run(
    model: ir.Model, samples: Sequence[Feeds], open_reference: OpenReference
) -> list[dict[str, Value]]:
    with open_reference(model) as runner:
        return [runner.run(feeds) for feeds in samples]


def movement_limits(
    before: ir.Model,
    moved: Mapping[str, OutputMetrics],
    was: Sequence[Mapping[str, Value]],
    samples: Sequence[Feeds],
    open_reference: OpenReference,
) -> dict[str, float]:
    """Return how far each of some values of a model may move by rounding alone.

    Args:
        before: The model that the values are of.
        moved: How far each of them did move, by name.
        was: What they were, for each sample.
        samples: What the model was run on.
        open_reference: Opens a model in the reference runtime, without its optimizations.

    Raises:
        IrconvError: If a part of the model does not run.
    """
    precision = model_precision(before)
    roundoff = UNIT_ROUNDOFF[precision]
    limits = {
        name: MARGIN * roundoff * metrics.largest
        for name, metrics in moved.items()
        if not metrics.exact
    }
    doubtful = [name for name, metrics in moved.items() if _beyond(metrics, limits.get(name, 0.0))]
    if doubtful:
        expected = [{name: sample[name] for name in doubtful} for sample in was]
        golden = Golden(samples, expected, "data", None, {})
        part = extract(before, doubtful)
        for name, item in derive_tolerances(part, golden, precision, open_reference).items():
            limits[name] = max(limits.get(name, 0.0), item.value)
    return limits
