"""A random model that grows by drafts, each of which is run before it is accepted.

An assembly knows an array for every value that it holds. So a draft can choose operands by their
real dtypes and shapes, and one that cannot run, that makes a NaN or an infinity, or that is not
continuous where it stands (a tie in ArgMax, a number next to where Floor jumps) is dropped:
there a rewrite that only rounds differently may rightly change the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import ml_dtypes  # noqa: F401 - registers bfloat16 and the float8 dtypes with numpy
import numpy as np
import onnx
from execution import run_part, value_info
from onnx import FunctionProto, GraphProto, NodeProto, TensorProto, helper, numpy_helper

__all__ = ["LARGEST", "Assembly", "Draft", "Skip"]

SYMBOL = "N"
SYMBOL_SIZE = 3
LARGEST = 1e4
"""The largest number that a readable value holds."""
_MOST_ELEMENTS = 512
_NUDGE = 1e-3
_MOST_GAIN = 100.0
_NUDGES = 2
_POOLED = "fiub"


class Skip(Exception):
    """A draft finds no operands, or does not run; nothing is added."""


@dataclass
class Counter:
    """Numbers for names, shared by an assembly and those of its bodies."""

    value: int = 0

    def next(self) -> int:
        """Return the next number."""
        self.value += 1
        return self.value


@dataclass
class Assembly:
    """The nodes so far, and an array for every value.

    Attributes:
        opset: Version of the default domain.
        known: The array of every value in reach, those of outer graphs included.
        own: Names of the values of this graph that may be read, in the order of their making.
        closed: Whether new graph inputs and initializers are impossible, as in a function.
        is_body: Whether this is the graph of a body, whose inputs are fixed.
    """

    opset: int
    counter: Counter = field(default_factory=Counter)
    known: dict[str, np.ndarray] = field(default_factory=dict)
    own: list[str] = field(default_factory=list)
    closed: bool = False
    is_body: bool = False
    depth: int = 0
    nodes: list[NodeProto] = field(default_factory=list)
    initializers: dict[str, TensorProto] = field(default_factory=dict)
    inputs: dict[str, onnx.ValueInfoProto] = field(default_factory=dict)
    functions: list[FunctionProto] = field(default_factory=list)

    def fresh(self, prefix: str = "v") -> str:
        """Return a name that nothing has."""
        return f"{prefix}{self.counter.next()}"

    def child(self, given: Sequence[tuple[str, np.ndarray]], *, closed: bool) -> Assembly:
        """Return the assembly of a body, or of a function if ``closed``, with these inputs."""
        outer = {} if closed else self.known
        return Assembly(
            self.opset,
            self.counter,
            {**outer, **dict(given)},
            ([] if closed else list(self.own)) + [name for name, _ in given],
            closed,
            True,
            self.depth + 1,
        )

    def attempt(self, make: Callable[[Draft], None], seed: int) -> bool:
        """Add what ``make`` drafts, if it runs; return whether it did."""
        draft = Draft(self, np.random.default_rng(seed))
        try:
            make(draft)
            results = draft.evaluate()
        except Skip:
            return False
        self.nodes += draft.nodes
        self.initializers.update(draft.initializers)
        self.inputs.update(draft.inputs)
        self.functions += draft.functions
        self.known.update(draft.given)
        for name, array in results.items():
            self.known[name] = array
            if array.dtype.kind in _POOLED and array.size <= _MOST_ELEMENTS:
                self.own.append(name)
        return True


class Draft:
    """Nodes that are about to join an assembly, all of them or none.

    Args:
        assembly: What they join.
        rng: Makes every choice.
    """

    def __init__(self, assembly: Assembly, rng: np.random.Generator) -> None:
        self.assembly = assembly
        self.rng = rng
        self.nodes: list[NodeProto] = []
        self.initializers: dict[str, TensorProto] = {}
        self.inputs: dict[str, onnx.ValueInfoProto] = {}
        self.functions: list[FunctionProto] = []
        self.given: dict[str, np.ndarray] = {}
        self.hidden: set[str] = set()

    @property
    def opset(self) -> int:
        """Version of the default domain."""
        return self.assembly.opset

    def chance(self, share: float) -> bool:
        """Return True in about this share of cases."""
        return bool(self.rng.random() < share)

    def choose(self, options: Sequence[Any]) -> Any:
        """Return one of the options."""
        return options[int(self.rng.integers(len(options)))]

    def array(self, name: str) -> np.ndarray:
        """Return what is known of a value that is not of this draft's own nodes."""
        return self.given[name] if name in self.given else self.assembly.known[name]

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a value that is not of this draft's own nodes."""
        return self.array(name).shape

    def node(
        self,
        op: str,
        inputs: Sequence[str],
        outputs: int | Sequence[str] = 1,
        domain: str = "",
        **attributes: Any,
    ) -> str:
        """Add a node; return the name of its first output, which is every other node's name too."""
        names = (
            [self.assembly.fresh() for _ in range(outputs)]
            if isinstance(outputs, int)
            else list(outputs)
        )
        number = self.assembly.counter.next()
        name = names[0] if number % 2 else f"{op.lower()}{number}"
        self.nodes.append(
            helper.make_node(op, list(inputs), names, name=name, domain=domain, **attributes)
        )
        return names[0]

    def constant(self, array: Any, dtype: Any = None) -> str:
        """Return a constant: an initializer or, at times and in functions, a Constant node."""
        array = np.asarray(array, dtype)
        name = self.assembly.fresh("k")
        tensor = numpy_helper.from_array(array, name)
        if self.assembly.closed or self.chance(0.2):
            self.nodes.append(helper.make_node("Constant", [], [name], value=tensor))
            self.hidden.add(name)
        else:
            self.initializers[name] = tensor
        self.given[name] = array
        return name

    def ints(self, *values: int) -> str:
        """Return a constant of rank 1 and dtype int64."""
        return self.constant(np.array(values, np.int64))

    def source(self, dtype: Any, shape: Sequence[int]) -> str:
        """Return a graph input; inside bodies, or at times, a constant."""
        if self.assembly.is_body or self.chance(0.3):
            return self.constant(self.random(np.dtype(dtype), tuple(shape)))
        return self.input(dtype, shape)

    def input(self, dtype: Any, shape: Sequence[int]) -> str:
        """Return a new graph input, in which sizes of 3 may have a name."""
        array = self.random(np.dtype(dtype), tuple(shape))
        name = self.assembly.fresh("x")
        dims = [SYMBOL if size == SYMBOL_SIZE and self.chance(0.5) else size for size in shape]
        self.inputs[name] = value_info(name, array, dims)
        self.given[name] = array
        return name

    def random(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> np.ndarray:
        """Return an array: random numbers, or those that rewrites look for."""
        if dtype.kind == "b":
            return np.asarray(self.rng.random(shape) < 0.5)
        if dtype.kind in "iu":
            return np.asarray(self.rng.integers(0, 4, shape), dtype)
        kind = int(self.rng.integers(8))
        if kind < 3:
            return np.full(shape, (0.0, 1.0, 0.5)[kind]).astype(dtype)
        return np.asarray(np.round(self.rng.standard_normal(shape) * 64) / 64, dtype)

    def values(
        self, kinds: str = "f", accept: Callable[[np.ndarray], bool] | None = None
    ) -> list[str]:
        """Return the readable values of some dtype kinds that ``accept`` lets pass."""
        return [
            name
            for name in self.assembly.own
            if self.assembly.known[name].dtype.kind in kinds
            and (accept is None or accept(self.assembly.known[name]))
        ]

    def pick(self, kinds: str = "f", accept: Callable[[np.ndarray], bool] | None = None) -> str:
        """Return one of those values, the newest ones with preference.

        Raises:
            Skip: If there is none.
        """
        found = self.values(kinds, accept)
        if not found:
            raise Skip
        if self.chance(0.5):
            found = found[-4:]
        return str(self.choose(found))

    def ranked(self, least: int, kinds: str = "f", most: int = 5) -> str:
        """Return a value of a rank within bounds, made from another one if need be."""
        found = self.values(kinds, lambda array: least <= array.ndim <= most)
        if found and self.chance(0.8):
            return str(self.choose(found[-6:]))
        shape = [int(size) for size in self.rng.integers(1, 4, max(least, 1))]
        return self.operand(np.float32 if "f" in kinds else np.int64, shape)

    def operand(self, dtype: Any, shape: Sequence[int]) -> str:
        """Return a value of exactly this dtype and shape: one there is, adapted, or new."""
        dtype, shape = np.dtype(dtype), tuple(int(size) for size in shape)
        same = self.values("fiub", lambda array: array.dtype == dtype and array.shape == shape)
        if same and self.chance(0.7):
            return str(self.choose(same))
        wanted = int(np.prod(shape))
        larger = self.values(
            "fiub", lambda array: array.dtype == dtype and array.size >= wanted and array.ndim > 0
        )
        if not larger or wanted == 0 or self.chance(0.4):
            return self.source(dtype, shape)
        value = str(self.choose(larger[-6:]))
        array = self.array(value)
        if array.size > wanted or self.chance(0.1):
            value = self.node("Reshape", [value, self.ints(-1)])
            value = self.node("Slice", [value, self.ints(0), self.ints(wanted)])
        value = self.node("Reshape", [value, self.ints(*shape)])
        self.given[value] = array.reshape(-1)[:wanted].reshape(shape)
        self.hidden.add(value)
        return value

    def body(
        self,
        name: str,
        child: Assembly,
        inputs: Sequence[str],
        outputs: Sequence[str],
    ) -> GraphProto:
        """Return the graph of a child assembly; its functions become this draft's."""
        self.functions += child.functions
        return helper.make_graph(
            child.nodes,
            self.assembly.fresh(name),
            [_open(value, child.known[value]) for value in inputs],
            [_open(value, child.known[value]) for value in outputs],
            list(child.initializers.values()),
        )

    def evaluate(self) -> dict[str, np.ndarray]:
        """Run the draft; return what it makes, new inputs included.

        Raises:
            Skip: If it does not run, or does not make numbers that can be compared.
        """
        known = {**self.assembly.known, **self.given}
        reachable = {**self.initializers}
        fixed = {name for node in self.nodes for name in node.output} | set(reachable)
        outside = {name: array for name, array in known.items() if name not in fixed}
        results: dict[str, np.ndarray] = {
            name: self.given[name] for name in (*self.inputs, *self.initializers)
        }
        if not self.nodes:
            return results
        with np.errstate(all="ignore"):
            try:
                functions = [*self.assembly.functions, *self.functions]
                session, feeds, made = run_part(
                    self.opset, self.nodes, reachable, functions, outside
                )
                first = session.run(made, feeds)
                nudged = [
                    session.run(made, {k: self._nudge(v) for k, v in feeds.items()})
                    for _ in range(_NUDGES)
                ]
            except Exception as error:
                raise Skip from error
            read = {name for node in self.nodes for name in node.input}
            for name, array, *others in zip(made, first, *nudged, strict=True):
                if not isinstance(array, np.ndarray) or array.dtype.kind in "OUS":
                    continue
                steady = _steady(array, others)
                if not steady and name not in read:
                    raise Skip
                if steady and name not in self.hidden:
                    results[name] = array
        return results

    def _nudge(self, array: np.ndarray) -> np.ndarray:
        if array.dtype.kind != "f":
            return array
        signs = self.rng.choice([-_NUDGE, _NUDGE], array.shape)
        return np.asarray(array * (1 + signs) + signs / 16 * (array != 0), array.dtype)


def _open(name: str, array: np.ndarray) -> onnx.ValueInfoProto:
    """Return the declaration of a body's input or output, which leaves all sizes open."""
    return value_info(name, array, [None] * array.ndim)


def _steady(array: np.ndarray, others: Iterable[np.ndarray]) -> bool:
    """Say whether an output is finite, and moves as little as its operands were moved."""
    if array.dtype.kind != "f":
        return all(np.array_equal(array, other) for other in others)
    wide = array.astype(np.float64)
    if not np.isfinite(wide).all():
        return False
    largest = float(np.abs(wide).max(initial=0.0))
    if largest > LARGEST:
        return False
    for other in others:
        if other.shape != array.shape:
            return False
        if float(np.abs(other.astype(np.float64) - wide).max(initial=0.0)) > (
            _MOST_GAIN * _NUDGE * max(largest, 1e-2)
        ):
            return False
    return True
