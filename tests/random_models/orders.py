"""Passes of the catalogue in every order that their ``after`` declarations allow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hypothesis import strategies as st
from strategy import RandomModel, random_models

from irconv.passes.base import Pass
from irconv.passes.catalog import PASSES
from irconv.spec import parse_spec

__all__ = [
    "APART",
    "VARIANTS",
    "cases",
    "is_exact",
    "linear_extension",
    "lossy_cases",
    "pass_orders",
    "variants",
    "weight_passes",
]

LOSSY = (
    "narrow-float64",
    "prune-magnitude{sparsity=0.5,min-elements=1}",
    "prune-magnitude{sparsity=0.5,scope=global,min-elements=1}",
    "quantize-weights{min-elements=1}",
    "quantize-weights{min-elements=1,symmetric=false,per-channel=false}",
)
"""Spec texts of the passes that are meant to change outputs."""
APART: Mapping[str, str] = {
    "simplify": "it starts another project's tool, which takes seconds",
    "prune-magnitude": "it sets weights to zero, and is meant to change outputs",
    "quantize-weights": "it rounds weights to a few bits, and is meant to change outputs",
    "narrow-float64": "it computes in float32, and is meant to change float64 outputs",
}
"""Passes that only tests of their own draw, and why."""

VARIANTS: Mapping[str, tuple[str, ...]] = {
    "convert-opset": tuple(f"convert-opset{{to={n},below={n}}}" for n in (18, 20, 21, 23)),
    "expand-functions": (
        "expand-functions{ops=[Gelu,HardSwish,Softplus,Mish,Celu]}",
        "expand-functions{ops=[LayerNormalization,Clip,Softmax,RMSNormalization,Swish]}",
    ),
    "fold-constants": ("fold-constants", "fold-constants{rounding=true}"),
    "eliminate-no-op": ("eliminate-no-op", "eliminate-no-op{signed_zeros=false}"),
    "split-pointwise-conv": ("split-pointwise-conv", "split-pointwise-conv{least-spared=0.25}"),
    "unroll-loops": ("unroll-loops", "unroll-loops{most=1}"),
    "emulate-dtypes": (
        "emulate-dtypes",
        "emulate-dtypes{native=[float32,float64,int32,int64,bool]}",
    ),
}
"""Spec texts of the passes that need options, or that act in several ways."""

_ROUNDING = ("fold-constants{rounding=true}", "eliminate-no-op{signed_zeros=false}")


def _build(text: str) -> Pass:
    spec = parse_spec(text)
    made = _BY_NAME[spec.name].from_options(spec.options)
    assert isinstance(made, Pass)
    return made


_BY_NAME = {cls.name: cls for cls in PASSES}


def variants() -> list[Pass]:
    """Return every pass in each of its variants, what is drawn apart left out."""
    names = [cls.name for cls in PASSES if cls.name not in APART]
    return [_build(text) for name in names for text in VARIANTS.get(name, (name,))]


def is_exact(pass_: Pass) -> bool:
    """Say whether a pass may change no bit of any output."""
    return pass_.effect == "bit-exact" and str(pass_) not in {str(_build(t)) for t in _ROUNDING}


def linear_extension(passes: Sequence[Pass]) -> list[Pass]:
    """Return passes in an order that ``after`` allows, as near to the given one as may be.

    Every linear extension is the result for some given order: for itself.
    """
    waiting = list(passes)
    ordered: list[Pass] = []
    while waiting:
        names = {pass_.name for pass_ in waiting}
        ready = next(pass_ for pass_ in waiting if not names & set(pass_.after))
        waiting.remove(ready)
        ordered.append(ready)
    return ordered


@st.composite
def pass_orders(draw: st.DrawFn, favoured: Sequence[str] = (), exact: bool = False) -> list[Pass]:
    """Return a strategy of some passes, or all of them, each once, in an allowed order.

    Args:
        draw: Hypothesis's.
        favoured: Names of passes that are drawn more often.
        exact: Whether only bit-exact passes are drawn.
    """
    usable = [pass_ for pass_ in variants() if not exact or is_exact(pass_)]
    some = st.sampled_from(usable)
    liked = [pass_ for pass_ in usable if pass_.name in favoured]
    if liked:
        some = st.one_of(some, st.sampled_from(liked))
    drawn = draw(st.one_of(st.lists(some, min_size=1, max_size=16), st.permutations(usable)))
    first: dict[str, Pass] = {}
    for pass_ in drawn:
        first.setdefault(pass_.name, pass_)
    return linear_extension(tuple(first.values()))


@st.composite
def cases(draw: st.DrawFn, exact: bool = False) -> tuple[RandomModel, list[Pass]]:
    """Return a strategy of a random model and passes for it, as :func:`pass_orders` draws them."""
    random = draw(random_models())
    return random, draw(pass_orders(random.favoured, exact))


@st.composite
def lossy_cases(draw: st.DrawFn) -> tuple[RandomModel, list[Pass]]:
    """Return a strategy of a random model and a lossy pass for it, among other passes."""
    random = draw(random_models())
    others = draw(st.lists(st.sampled_from(variants()), max_size=6, unique_by=_name))
    drawn = draw(st.permutations([_build(draw(st.sampled_from(LOSSY))), *others]))
    return random, linear_extension(drawn)


def weight_passes() -> list[Pass]:
    """Return the passes that change weights, in each of their variants."""
    return [_build(text) for text in LOSSY if "min-elements" in text]


def _name(pass_: Pass) -> str:
    return pass_.name
