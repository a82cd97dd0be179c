"""How far outputs may be off: derived from what rounding alone does to this very model.

The floor of an output is the largest difference that random rounding (see
:mod:`irconv.verify.noise`) made in a few seeded runs over all samples. The tolerance is eight
floors: another runtime adds in another order, fuses multiplications and additions, and
approximates transcendental functions to a few units in the last place.

Where a model quantizes activations, its precision between two quantizations is the step of
their grid: runtimes that compute there in integers round to a neighbouring step. The floor is
then what rounding to the grid at random does, and the tolerance is two such floors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import onnx_ir as ir

from irconv.backends.base import Precision
from irconv.errors import IrconvError
from irconv.graph.serialize import weight_bytes
from irconv.graph.walk import all_nodes
from irconv.runtime.base import Runner, Value
from irconv.verify.depth import rounding_depths
from irconv.verify.golden import Golden
from irconv.verify.metrics import OutputMetrics, array_kind, arrays_of, compare_outputs
from irconv.verify.noise import UNIT_ROUNDOFF, is_activation_quantizer, noisy_copy

__all__ = [
    "MARGIN",
    "Tolerance",
    "add_effects",
    "derive_tolerances",
    "named_sizes",
    "prior_tolerances",
]

MARGIN = 8.0
"""The tolerance is this many noise floors, and at least this many unit roundoffs of |y|max."""

GRID_MARGIN = 2.0
"""For quantized activations: the tolerance is this many floors of random rounding to the grid."""

_RUNS = 4
_RUNS_OF_A_BIG_MODEL = 2
_BIG = 2 << 30

Samples = Sequence[Mapping[str, Value]]


@dataclass(frozen=True)
class Tolerance:
    """How far one output may be off.

    Attributes:
        value: The largest absolute difference that is allowed.
        basis: Where the value comes from, in plain words.
    """

    value: float
    basis: str


@dataclass(frozen=True)
class _Floor:
    """What random rounding did to the outputs, and how that was found."""

    metrics: Mapping[str, Sequence[OutputMetrics]]
    basis: str
    failure: str = ""

    def of(self, name: str) -> float:
        """Return the largest difference that was seen in one output."""
        return max((entry.max_abs for entry in self.metrics.get(name, ())), default=0.0)


def derive_tolerances(
    model: ir.Model,
    golden: Golden,
    precision: Precision,
    open_reference: Callable[[ir.Model], Runner],
    *,
    exact: Samples | None = None,
    runs: int | None = None,
) -> dict[str, Tolerance]:
    """Return the tolerance of every output.

    Args:
        model: The model before it was fitted to any target.
        golden: The samples.
        precision: The precision that outputs are judged at.
        open_reference: Opens a model in ONNX Runtime, best without its own optimizations.
        exact: What the model gives there for the samples, if that is known; else it is run.
        runs: How often rounding is drawn at random; four times by default, and twice for a model
            of over 2 GiB. Fewer runs, or fewer samples, see less of the noise; they may see more
            only where the perturbed model does not run on the others.

    Raises:
        BackendError: If the reference runtime cannot run the model itself.
    """
    if exact is None:
        (exact,) = _run(model, golden, open_reference, runs=1)
    unstable = _unstable_outputs(model, golden, open_reference, exact)
    runs = runs or (_RUNS_OF_A_BIG_MODEL if weight_bytes(model) > _BIG else _RUNS)
    floor_at = partial(_floor, model, golden, precision, open_reference, exact, runs=runs)
    floor = floor_at(scale=1.0)
    names = dict.fromkeys(name for sample in golden.outputs for name in sample)
    discrete = [name for name in names if _is_discrete(golden, name)]
    flips = floor_at(scale=MARGIN) if discrete else floor
    grid = None
    if any(is_activation_quantizer(node) for node in all_nodes(model)):
        grid = floor_at(scale=1.0, grid=True)
    result: dict[str, Tolerance] = {}
    for name in names:
        if name in unstable:
            tolerance = Tolerance(0.0, "exact: the source gives another value at every run")
        elif name in discrete:
            tolerance = _discrete_tolerance(flips, name)
        else:
            tolerance = _float_tolerance(golden, floor, name, precision)
        if grid is not None and name not in unstable:
            tolerance = max(tolerance, _grid_tolerance(grid, name), key=lambda item: item.value)
        result[name] = tolerance
    return result


def prior_tolerances(model: ir.Model, golden: Golden, precision: Precision) -> dict[str, Tolerance]:
    """Return what to allow every output before anything is run to find its noise floor.

    Of n roundings one behind the other, each off by u at most and independent of the others, the
    sum stays below 8 sqrt(n) u but once in 10^13 times (N. J. Higham and T. Mary, A New Approach
    to Probabilistic Rounding Error Analysis, SIAM J. Sci. Comput. 41(5), 2019). That
    is taken of the output's largest element, as if no operator amplified what those in front of
    it rounded; n is counted sparingly, see :func:`irconv.verify.depth.rounding_depths`.
    A network that amplifies needs :func:`derive_tolerances`.

    Args:
        model: The model before it was fitted to any target.
        golden: The samples.
        precision: The precision that outputs are judged at.
    """
    depths = rounding_depths(model, named_sizes(model, golden.inputs))
    names = dict.fromkeys(name for sample in golden.outputs for name in sample)
    return {
        name: Tolerance(0.0, "exact")
        if _is_discrete(golden, name)
        else _prior_tolerance(golden, name, depths.get(name, 0), precision)
        for name in names
    }


def _prior_tolerance(golden: Golden, name: str, depth: int, precision: Precision) -> Tolerance:
    largest = _largest_of(golden, name)
    return Tolerance(
        MARGIN * math.sqrt(max(1, depth)) * UNIT_ROUNDOFF[precision] * largest,
        f"{MARGIN:g} x sqrt({depth}) unit roundoffs of {_arithmetic(precision)} at "
        f"|y|max {largest:.3g}, a chain of that many roundings",
    )


def add_effects(
    tolerances: Mapping[str, Tolerance], effects: Mapping[str, float]
) -> dict[str, Tolerance]:
    """Return tolerances that allow for what declared lossy passes did.

    Args:
        tolerances: The tolerance of every output.
        effects: By output name, the largest absolute difference that lossy passes made in the
            reference runtime.
    """
    return {
        name: _with_effect(tolerance, effects.get(name, 0.0))
        for name, tolerance in tolerances.items()
    }


def _run(
    model: ir.Model, golden: Golden, open_reference: Callable[[ir.Model], Runner], *, runs: int
) -> list[list[dict[str, Value]]]:
    with open_reference(model) as runner:
        return [[runner.run(feeds) for feeds in golden.inputs] for _ in range(runs)]


_RANDOM = frozenset({
    "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli",
    "Multinomial", "Dropout",
})  # fmt: skip


def _unstable_outputs(
    model: ir.Model,
    golden: Golden,
    open_reference: Callable[[ir.Model], Runner],
    exact: Samples,
) -> set[str]:
    if not any(node.domain == "" and node.op_type in _RANDOM for node in all_nodes(model)):
        return set()
    again = _run(model, golden, open_reference, runs=2)
    return {
        name
        for samples in again
        for name, metrics in compare_outputs(exact, samples).items()
        if not metrics.equal
    }


def _floor(
    model: ir.Model,
    golden: Golden,
    precision: Precision,
    open_reference: Callable[[ir.Model], Runner],
    exact: Samples,
    *,
    runs: int,
    scale: float,
    grid: bool = False,
) -> _Floor:
    sizes = named_sizes(model, golden.inputs)
    failure = ""
    for sources_only in (False, True):
        noisy = noisy_copy(
            model, precision, scale=scale, sources_only=sources_only, grid=grid, sizes=sizes
        )
        what = "inputs and weights only" if sources_only else f"{runs} run{'s' * (runs > 1)}"
        try:
            perturbed = _run(noisy, golden, open_reference, runs=runs)
        except IrconvError as error:
            failure = failure or f"the perturbed model does not run: {_first_line(error.what)}"
            continue
        compared = [compare_outputs(exact, samples) for samples in perturbed]
        if any(m.problem or m.nonfinite_mismatches for run in compared for m in run.values()):
            failure = failure or "rounding noise changes shapes, or makes values NaN or infinite"
            continue
        metrics = {name: [run[name] for run in compared] for name in compared[0]}
        return _Floor(metrics, f"Monte Carlo arithmetic, {what}")
    return _Floor({}, "", failure)


def _first_line(text: str) -> str:
    return next(iter(text.splitlines()), "")[:200]


def named_sizes(model: ir.Model, samples: Samples) -> dict[str, int]:
    """Return the largest size that each named dimension of an input has in the samples."""
    sizes: dict[str, int] = {}
    for value in model.graph.inputs:
        for feeds in samples:
            array = feeds.get(value.name or "")
            if value.shape is None or not isinstance(array, np.ndarray):
                continue
            for dim, size in zip(value.shape, array.shape, strict=False):
                if isinstance(dim, ir.SymbolicDim) and dim.value:
                    sizes[dim.value] = max(size, sizes.get(dim.value, 1))
    return sizes


def _arrays(golden: Golden, name: str) -> list[np.ndarray]:
    return [array for sample in golden.outputs for array in arrays_of(sample.get(name))]


def _is_discrete(golden: Golden, name: str) -> bool:
    return not any(array_kind(array) == "float" for array in _arrays(golden, name))


def _discrete_tolerance(flips: _Floor, name: str) -> Tolerance:
    value = flips.of(name)
    if not value:
        return Tolerance(0.0, "exact")
    return Tolerance(
        value, f"{MARGIN:g}-fold rounding noise alone moves it this far ({flips.basis})"
    )


def _float_tolerance(golden: Golden, floor: _Floor, name: str, precision: Precision) -> Tolerance:
    largest = _largest_of(golden, name)
    roundoff = UNIT_ROUNDOFF[precision]
    noise = floor.of(name)
    label = _arithmetic(precision)
    if floor.basis and noise >= roundoff * largest:
        return Tolerance(
            MARGIN * noise,
            f"{MARGIN:g} x the noise floor {noise:.2g} of {label} ({floor.basis})",
        )
    why = f"; no noise floor: {floor.failure}" if floor.failure else ""
    return Tolerance(
        MARGIN * roundoff * largest,
        f"{MARGIN:g} unit roundoffs of {label} at |y|max {largest:.3g}{why}",
    )


def _grid_tolerance(grid: _Floor, name: str) -> Tolerance:
    noise = grid.of(name)
    return Tolerance(
        GRID_MARGIN * noise,
        f"{GRID_MARGIN:g} x the noise floor {noise:.2g} of the model's quantized activations "
        f"({grid.basis})",
    )


def _with_effect(tolerance: Tolerance, effect: float) -> Tolerance:
    if not effect:
        return tolerance
    basis = f"{tolerance.basis}, plus the measured effect {effect:.2g} of lossy passes"
    return Tolerance(tolerance.value + effect, basis)


def _arithmetic(precision: Precision) -> str:
    return "float32" if precision == "int8" else precision


def _largest_of(golden: Golden, name: str) -> float:
    return max((_largest(array) for array in _arrays(golden, name)), default=0.0)


def _largest(array: np.ndarray) -> float:
    values = np.abs(array[np.isfinite(array)])
    return float(values.max()) if values.size else 0.0
