"""The pipelines behind ``-O``, ``--passes``, ``--quantize`` and ``--prune``.

Everything here is spec text, so what a build ran can be logged, put in a manifest and pasted
back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from irconv.errors import UsageError
from irconv.spec import Spec, parse_pipeline, parse_spec

if TYPE_CHECKING:
    from irconv.backends.base import Backend
    from irconv.passes.base import Pass
    from irconv.plugins import Registry
    from irconv.shapes import DimRange

__all__ = [
    "DEFAULT_LEVEL",
    "HIGHEST_LEVEL",
    "MAX_ROUNDS",
    "build_pipeline",
    "default_pipeline",
    "relaxed_passes",
    "resolve_pipeline",
    "spec_texts",
    "target_pipeline",
]

DEFAULT_LEVEL = 2
HIGHEST_LEVEL = 3
MAX_ROUNDS = 4
"""How often a pipeline may repeat while some pass still changes the model."""

_CLEAN_UP_FIRST = ("eliminate-identity", "fold-constants", "eliminate-no-op")
_CLEAN_UP_LAST = (
    "dedup-initializers",
    "eliminate-common-subexpressions",
    "eliminate-dead-code",
)
_FOLDING = (
    "infer-shapes",
    "lift-constants",
    "eliminate-identity",
    "fold-constants{rounding=true}",
)
_REWRITES = (
    "inline-branches",
    "unroll-loops{most=1}",
    "eliminate-no-op{signed_zeros=false}",
    "merge-casts",
    "fold-layouts",
    "fold-shapes",
    "drop-expands",
    "drop-default-inputs",
    "merge-reshapes",
    "merge-slices",
    "merge-concats",
    "unflatten-matmuls",
    "merge-matmuls",
    "sink-reshapes",
    "cancel-transposes",
    "fold-padding",
    "merge-arithmetic",
    "fuse-conv-batchnorm",
    "fuse-batchnorm-conv",
    "split-pointwise-conv",
    "fold-scales",
    "fold-biases",
    "hoist-invariants",
    "hoist-selections",
)
"""What runs on as few nodes as there are after folding."""
_PRODUCTS = ("merge-parallel-matmuls", "fuse-gemm")
_CANONICAL_OPSET = "convert-opset{to=23,below=23}"
_FUSIONS: tuple[str, ...] = (
    "fuse-instance-normalization",
    "fuse-group-normalization",
    "fuse-layer-normalization",
    "fuse-rms-normalization",
    "fuse-rotary-embedding",
    "fuse-attention",
    "fuse-lstm",
    "fuse-gru",
    "fuse-gelu",
    "fuse-softplus",
    "fuse-mish",
    "fuse-hard-swish",
    "fuse-hard-sigmoid",
    "fuse-softmax",
)
"""What ``-O3`` adds for every target; each is kept only where it proves itself."""
_LEVELS: tuple[tuple[str, ...], ...] = (
    (),
    (*_CLEAN_UP_FIRST, *_CLEAN_UP_LAST),
    (*_FOLDING, *_REWRITES, *_PRODUCTS, *_CLEAN_UP_LAST),
    (
        *_FOLDING,
        _CANONICAL_OPSET,
        *_REWRITES,
        *_CLEAN_UP_LAST,
        *_FUSIONS,
        *_PRODUCTS,
        *_CLEAN_UP_LAST,
    ),
)
_QUANTIZE_RECIPES: Mapping[str, str] = {"weights-int8": "quantize-weights"}
_QUANTIZE_PREFIX = "quantize-"
_PRUNE_PREFIX = "prune-"


def default_pipeline(level: int) -> tuple[str, ...]:
    """Return the pass specs of an optimization level.

    ``-O0`` runs nothing. ``-O1`` cleans up without changing a bit of any output. ``-O2``, the
    default, adds shape inference and rewrites that are exact in real arithmetic but may round
    differently. ``-O3`` adds fusions and relaxed arithmetic, which may move outputs within the
    tolerance derived from the model's noise floor; each target adds passes of its own to it,
    see :func:`target_pipeline`.

    Raises:
        UsageError: If the level is not 0 to 3.
    """
    if not 0 <= level <= HIGHEST_LEVEL:
        raise UsageError(f"there is no optimization level {level}", hint="use -O 0, 1, 2 or 3")
    return _LEVELS[level]


def relaxed_passes() -> frozenset[str]:
    """Return the names of the passes that ``-O3`` adds for every target.

    A compilation keeps what they did only if the outputs prove it.
    """
    return frozenset(parse_spec(text).name for text in (_CANONICAL_OPSET, *_FUSIONS))


def target_pipeline(
    registry: Registry, backend: Backend, level: int, passes: str | None = None
) -> list[Pass]:
    """Return the passes that an optimization level adds for one target.

    Only ``-O3`` adds any, and ``--passes`` replaces them together with the level's.

    Args:
        registry: Where the passes are looked up.
        backend: The target's backend.
        level: Optimization level, 0 to 3.
        passes: Pipeline text that replaces the level's passes; None keeps them.

    Raises:
        UsageError: If the backend names an unknown pass or option.
    """
    if level < HIGHEST_LEVEL or passes is not None:
        return []
    return build_pipeline(registry, list(backend.optimization()))


def build_pipeline(registry: Registry, specs: Sequence[str | Spec]) -> list[Pass]:
    """Build one pass per spec, in the given order.

    Raises:
        UsageError: If a name or an option is unknown.
    """
    return [registry.build_pass(spec) for spec in specs]


def resolve_pipeline(
    registry: Registry,
    level: int,
    passes: str | None = None,
    quantize: str | None = None,
    prune: str | None = None,
    shapes: Mapping[str, DimRange] | None = None,
    backend: Backend | None = None,
) -> list[Pass]:
    """Return the passes that the command line's options ask for.

    Dimensions are bound first; then come the passes of the level, or those of ``passes``
    instead; then pruning, and last quantization, which stores the pruned weights.

    Args:
        registry: Where the passes are looked up.
        level: Optimization level, 0 to 3.
        passes: Pipeline text that replaces the level's passes; blank text is an empty pipeline.
        quantize: ``weights-int8`` or the spec of a pass named ``quantize-*``.
        prune: ``magnitude{sparsity=0.5}`` or the spec of a pass named ``prune-*``.
        shapes: Ranges of named dimensions; those with one size left are bound.
        backend: The target, if there is one; what it avoids is left out of the level's passes.

    Raises:
        UsageError: If a text cannot be read, or names an unknown pass, recipe or option.
    """
    specs: list[str | Spec] = []
    if any(extent.bound for extent in (shapes or {}).values()):
        specs.append("bind-shapes")
    if passes is None:
        avoided = frozenset() if backend is None else backend.avoids()
        specs += [text for text in default_pipeline(level) if parse_spec(text).name not in avoided]
    else:
        specs += parse_pipeline(passes)
    if prune is not None:
        specs.append(_prune_spec(registry, prune))
    if quantize is not None:
        specs.append(_quantize_spec(registry, quantize))
    return build_pipeline(registry, specs)


def spec_texts(passes: Iterable[Pass]) -> tuple[str, ...]:
    """Return the spec text of each pass; equal pipelines have equal texts."""
    return tuple(map(str, passes))


def _quantize_spec(registry: Registry, text: str) -> Spec:
    asked = parse_spec(text)
    name = _QUANTIZE_RECIPES.get(asked.name, asked.name)
    _require(registry, "--quantize", text, name, _QUANTIZE_PREFIX, _QUANTIZE_RECIPES)
    return Spec(name, asked.options)


def _prune_spec(registry: Registry, text: str) -> Spec:
    asked = parse_spec(text)
    name = asked.name.removeprefix(_PRUNE_PREFIX)
    _require(registry, "--prune", text, _PRUNE_PREFIX + name, _PRUNE_PREFIX, {})
    return Spec(_PRUNE_PREFIX + name, asked.options)


def _require(
    registry: Registry,
    option: str,
    text: str,
    name: str,
    prefix: str,
    recipes: Mapping[str, str],
) -> None:
    known = [known for known in registry.passes() if known.startswith(prefix)]
    if name not in known:
        raise UsageError(
            f"{option} {text!r}: there is no such recipe or pass",
            hint="known: " + ", ".join([*recipes, *sorted(known)]),
        )
