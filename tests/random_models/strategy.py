"""The strategy of random models: a list of steps, each with a seed, that shrinks by leaving out."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import onnx
import onnx_ir as ir
from assembly import Assembly, Draft
from bodies import BODIES
from execution import free_names, make_model, value_info
from grafts import GRAFTS, fits, graft, is_rewritten
from hypothesis import strategies as st
from operators import RECIPES

__all__ = [
    "OPSETS",
    "RandomModel",
    "Step",
    "assemble",
    "first_input",
    "models_for",
    "random_models",
]

OPSETS = (21, 20, 23, 18, 24, 17)
_SEEDS = 1 << 16
_MOST_OUTPUTS = 6
_GRAFTS_OF = {
    pass_name: tuple(names)
    for pass_name, names in itertools.groupby(GRAFTS, lambda name: name.split("/")[0])
}

Step = tuple[str, str, int]
"""A family (``operator``, ``graft`` or ``body``), a name in it, and a seed."""


@dataclass(frozen=True)
class RandomModel:
    """A model that the checker accepts and ONNX Runtime runs.

    Attributes:
        proto: The model.
        feeds: Its inputs; every dimension that has a name is of size 3 there.
        favoured: Names of the passes whose golden cases were grafted into it.
    """

    proto: onnx.ModelProto
    feeds: dict[str, np.ndarray]
    favoured: tuple[str, ...] = ()

    def model(self) -> ir.Model:
        """Return a fresh copy as irconv sees it."""
        return ir.from_proto(self.proto)

    def __repr__(self) -> str:
        return f"RandomModel(\n{onnx.printer.to_text(self.proto)}\n)"


def _steps() -> st.SearchStrategy[Step]:
    seeds = st.integers(0, _SEEDS - 1)
    return st.one_of(
        st.tuples(st.just("operator"), st.sampled_from(tuple(RECIPES)), seeds),
        st.tuples(st.just("graft"), st.sampled_from(GRAFTS), seeds),
        st.tuples(st.just("operator"), st.sampled_from(tuple(RECIPES)), seeds),
        st.tuples(st.just("body"), st.sampled_from(tuple(BODIES)), seeds),
    )


@st.composite
def random_models(draw: st.DrawFn, least: int = 3, most: int = 16) -> RandomModel:
    """Return a strategy of random models.

    Args:
        draw: Hypothesis's.
        least: The fewest steps; a step that does not fit is left out.
        most: The most steps.
    """
    opset, leading = draw(_leading_grafts())
    steps = draw(st.lists(_steps(), min_size=least - 1, max_size=most - 1))
    steps.insert(draw(st.integers(0, len(steps))), leading)
    return assemble(opset, steps, draw(st.integers(0, _SEEDS - 1)), draw(st.booleans()))


@st.composite
def _leading_grafts(draw: st.DrawFn) -> tuple[int, Step]:
    """Return a strategy of an opset and a graft that fits it: of every pass equally often."""
    name = draw(st.sampled_from(tuple(_GRAFTS_OF)).flatmap(_graft_of))
    opset = draw(st.sampled_from([opset for opset in OPSETS if fits(name, opset)] or OPSETS))
    return opset, ("graft", name, draw(st.integers(0, _SEEDS - 1)))


def _graft_of(pass_name: str) -> st.SearchStrategy[str]:
    return st.sampled_from(_GRAFTS_OF[pass_name])


def assemble(opset: int, steps: list[Step], seed: int, annotated: bool) -> RandomModel:
    """Build the model that steps make.

    Args:
        opset: Version of the default domain.
        steps: What is added, one after the other.
        seed: Chooses the outputs.
        annotated: Whether the types and shapes of inner values stand in the model.
    """
    assembly = Assembly(opset)
    assembly.attempt(first_input, seed)
    for family, name, number in steps:
        if family == "graft":
            assembly.attempt(partial(graft, name), number)
        else:
            assembly.attempt((BODIES if family == "body" else RECIPES)[name], number)
    favoured = dict.fromkeys(name.split("/")[0] for family, name, _ in steps if family == "graft")
    return _finish(assembly, np.random.default_rng(seed), annotated, tuple(favoured))


def models_for(pass_name: str, count: int) -> Iterator[RandomModel]:
    """Yield random models around the golden cases that a pass rewrites, the same ones each time.

    Args:
        pass_name: The pass.
        count: How many.
    """
    pairs = [
        (name, opset)
        for name in _GRAFTS_OF.get(pass_name, ())
        for opset in OPSETS
        if is_rewritten(name) and fits(name, opset)
    ]
    if not pairs:
        return
    rng = np.random.default_rng(0)
    for number in range(count):
        name, opset = pairs[number % len(pairs)]
        steps = [("operator", str(rng.choice(list(RECIPES))), _seed(rng)) for _ in range(6)]
        steps.insert(3, ("graft", name, _seed(rng)))
        yield assemble(opset, steps, _seed(rng), bool(rng.integers(2)))


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(_SEEDS))


def first_input(draft: Draft) -> None:
    """Draft the input that every model has."""
    draft.input(np.float32, (3, 4))


def _last(draft: Draft) -> None:
    draft.node("Relu", [draft.assembly.own[0]])


def _finish(
    assembly: Assembly, rng: np.random.Generator, annotated: bool, favoured: tuple[str, ...]
) -> RandomModel:
    made = {name for node in assembly.nodes for name in node.output}
    pool = [name for name in assembly.own if name in made]
    if not pool:
        assembly.attempt(_last, 0)
        pool = [assembly.own[-1]]
    read = set(free_names(assembly.nodes, set()))
    inner = {name for node in assembly.nodes for name in node.input} | read
    leaves = [name for name in pool if name not in inner]
    others = [name for name in pool if name in inner]
    outputs = [str(leaves[i]) for i in sorted(rng.permutation(len(leaves))[:_MOST_OUTPUTS])]
    count = int(rng.choice((0, 0, 1, 2))) if outputs else 1
    outputs += [str(others[i]) for i in sorted(rng.permutation(len(others))[:count])]
    rng.shuffle(outputs)
    # what nothing reads stays in the model, for dead code is part of it
    bare = _model(assembly, [onnx.ValueInfoProto(name=name) for name in outputs])
    inferred = onnx.shape_inference.infer_shapes(bare, data_prop=bool(rng.integers(2)))
    shapes = {value.name: value for value in (*inferred.graph.output, *inferred.graph.value_info)}
    declared = [_declare(name, assembly.known[name], shapes.get(name)) for name in outputs]
    proto = _model(assembly, declared)
    if annotated:
        taken = set(outputs) | set(assembly.inputs)
        proto.graph.value_info.extend(
            value for value in inferred.graph.value_info if value.name not in taken
        )
    defaults = set(assembly.initializers)
    feeds = {name: assembly.known[name] for name in assembly.inputs if name not in defaults}
    return RandomModel(proto, feeds, favoured)


def _model(assembly: Assembly, outputs: list[onnx.ValueInfoProto]) -> onnx.ModelProto:
    return make_model(
        assembly.opset,
        assembly.nodes,
        list(assembly.inputs.values()),
        outputs,
        list(assembly.initializers.values()),
        assembly.functions,
    )


def _declare(
    name: str, array: np.ndarray, inferred: onnx.ValueInfoProto | None
) -> onnx.ValueInfoProto:
    """Return the declaration of an output: what inference says, and open sizes elsewhere."""
    dims: list[int | str] = [f"{name}_{axis}" for axis in range(array.ndim)]
    if inferred is not None and inferred.type.tensor_type.HasField("shape"):
        found = inferred.type.tensor_type.shape.dim
        for axis, dim in enumerate(found):
            if dim.HasField("dim_value"):
                dims[axis] = array.shape[axis]
            elif dim.dim_param:
                dims[axis] = dim.dim_param
    return value_info(name, array, dims)
