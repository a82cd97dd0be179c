"""A copy of a model in which every rounding is random: Monte Carlo arithmetic.

Each floating-point value v that a rounding operator produces becomes v * (1 + s r), with r
either 1 or -1 and drawn anew per element and per run. A few runs of that copy show how far
rounding alone can move the outputs. The amplitude s is the unit roundoff u of the precision for
the result itself, plus u' * sqrt(k) for the k terms that the operator adds up, u' being the
unit roundoff of its accumulator. An element that fits a much shorter format (0, 1, -0.5: masks,
flags, counts) is taken for a result that nothing has rounded, and stays. A Fourier transform
errs by that part of its largest result in all of them, also where its terms cancel: v + s r |v|max.

Sources: D. S. Parker, Monte Carlo Arithmetic, UCLA CSD-970002, 1997; N. J. Higham and
T. Mary, A New Approach to Probabilistic Rounding Error Analysis, SIAM J. Sci. Comput. 41(5),
2019, for sqrt(k) in place of k; J. Vignes, Discrete Stochastic Arithmetic for Validating Results
of Numerical Software, Numer. Algorithms 37, 2004, for rounding at random one way or the other;
N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., 2002, chapter 24, for
Fourier transforms.

The draws come from Dropout in training mode, whose mask is a coin thrown per element: of ONNX's
random operators it is the one that ONNX Runtime has at every opset from 12 on; before that,
RandomUniformLike serves.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import InlinePass, ShapeInferencePass

from irconv.backends.base import Precision
from irconv.graph.walk import all_graphs
from irconv.passes.base import PassContext
from irconv.passes.infer_shapes import InferShapes
from irconv.verify.exact import is_exact, may_be_exact
from irconv.verify.protected import protected_values
from irconv.verify.reductions import reduction_length

__all__ = ["UNIT_ROUNDOFF", "is_activation_quantizer", "noisy_copy"]

UNIT_ROUNDOFF: dict[Precision, float] = {
    "float64": 2.0**-53,
    "float32": 2.0**-24,
    "tf32": 2.0**-11,
    "float16": 2.0**-11,
    "bfloat16": 2.0**-8,
    "int8": 2.0**-24,
}
"""Unit roundoffs; int8 stands for float32 arithmetic around weights rounded beforehand."""

_DTYPE_ROUNDOFF = {
    ir.DataType.DOUBLE: 2.0**-53,
    ir.DataType.FLOAT: 2.0**-24,
    ir.DataType.FLOAT16: 2.0**-11,
    ir.DataType.BFLOAT16: 2.0**-8,
}

_TRANSFORMS = frozenset({"DFT", "STFT"})
"""Operators each of whose results errs by roundings of the largest one, however small it is."""
_WHERE_AND_EQUAL = 11
_TRAINING_MODE = 12
_BFLOAT16_CASTS = 13
"""Opsets from which Equal takes floating-point values, Dropout can be told to drop, and Cast
takes bfloat16."""


def noisy_copy(
    model: ir.Model,
    precision: Precision,
    *,
    seed: int = 0,
    scale: float = 1.0,
    sources_only: bool = False,
    grid: bool = False,
    sizes: Mapping[str, int] | None = None,
) -> ir.Model:
    """Return a copy of ``model`` whose roundings are random; weights are shared.

    Names and dtypes of inputs and outputs stay. Local functions are inlined. What decides
    shapes or control flow is left alone, as far back as the network's own contractions.

    Args:
        model: The model; it is left as it was.
        precision: The precision that the model is judged at. Where it is coarser than a
            value's dtype, graph inputs and weights are perturbed too.
        seed: Seed of all random draws.
        scale: Factor on all amplitudes.
        sources_only: Perturb graph inputs and weights and nothing else.
        grid: Also round to the grid of every QuantizeLinear at random, up or down by half a
            step, as runtimes do that compute between two quantizations in integers.
        sizes: Sizes of named dimensions, for the number of terms of reductions.
    """
    copy = model.clone()
    InlinePass()(copy)
    InferShapes().run(copy, PassContext())  # ShapeInferencePass would make tensors of sequences
    ShapeInferencePass()(copy)
    noise = _Noise(copy, precision, seed, scale, sizes or {})
    if not sources_only:
        noise.perturb_results()
    noise.perturb_sources(always=sources_only)
    if grid:
        noise.perturb_quantization()
    return copy


class _Noise:
    """The insertion of random factors into one model."""

    def __init__(
        self,
        model: ir.Model,
        precision: Precision,
        seed: int,
        scale: float,
        sizes: Mapping[str, int],
    ) -> None:
        self.model = model
        self.roundoff = UNIT_ROUNDOFF[precision]
        self.accumulator = min(self.roundoff, UNIT_ROUNDOFF["float32"])
        self.scale = scale
        self.sizes = sizes
        self.protected = protected_values(model)
        self.seeds = itertools.count(1 + 1_000_003 * seed)
        self.names = _NewNames(model)
        self.scalars: dict[tuple[float, ir.DataType], ir.Value] = {}

    def perturb_results(self) -> None:
        """Multiply what rounding operators produce by random factors."""
        for graph in all_graphs(self.model):
            for node in list(graph):
                if is_exact(node):
                    continue
                terms = reduction_length(node, self.sizes)
                mixed = node.domain == "" and node.op_type in _TRANSFORMS
                for value in node.outputs:
                    amplitude = self._amplitude(value, terms)
                    if amplitude and value.name and value not in self.protected:
                        self._perturb(graph, value, amplitude, after=node, mixed=mixed)

    def _amplitude(self, value: ir.Value, terms: int) -> float:
        own = _DTYPE_ROUNDOFF.get(value.dtype) if value.dtype is not None else None
        if own is None or not isinstance(value.type, ir.TensorType):
            return 0.0
        if self.roundoff > own:
            return self.scale * (self.roundoff + self.accumulator * math.sqrt(terms))
        accumulator = min(own, UNIT_ROUNDOFF["float32"]) if own > self.accumulator else own
        return self.scale * max(2 * own, accumulator * math.sqrt(terms))

    def perturb_sources(self, *, always: bool) -> None:
        """Multiply graph inputs and weights by random factors where they would be rounded."""
        own_scalars = set(self.scalars.values())
        for graph in all_graphs(self.model):
            main = graph is self.model.graph
            values = [*(graph.inputs if main else ()), *graph.initializers.values()]
            for value in dict.fromkeys(values):
                if value in own_scalars:
                    continue
                own = _DTYPE_ROUNDOFF.get(value.dtype) if value.dtype is not None else None
                if own is None or not isinstance(value.type, ir.TensorType | None):
                    continue
                if (self.roundoff > own or always) and value not in self.protected:
                    amplitude = self.scale * (self.roundoff if self.roundoff > own else 2 * own)
                    self._perturb(graph, value, amplitude, after=None)

    def perturb_quantization(self) -> None:
        """Move what is quantized by half a step, up or down."""
        for graph in all_graphs(self.model):
            for node in list(graph):
                if is_activation_quantizer(node):
                    self._shift(graph, node)

    def _shift(self, graph: ir.Graph, node: ir.Node) -> None:
        value, step = node.inputs[:2]
        assert value is not None
        assert step is not None
        nodes = list(self._moved(value, step, math.sqrt(3) / 2))
        nodes[-1].outputs[0].type, nodes[-1].outputs[0].shape = value.type, value.shape
        graph.insert_before(node, nodes)
        node.replace_input_with(0, nodes[-1].outputs[0])

    def _perturb(
        self,
        graph: ir.Graph,
        value: ir.Value,
        amplitude: float,
        *,
        after: ir.Node | None,
        mixed: bool = False,
    ) -> None:
        uses = list(value.uses())
        if after is None and not uses:
            return
        noise = self._noise_of_transform if mixed else self._factor
        nodes = list(noise(value, amplitude))
        result = nodes[-1].outputs[0]
        result.type, result.shape = value.type, value.shape
        for node, index in uses:
            node.replace_input_with(index, result)
        if after is None:
            first = next(iter(graph), None)
            assert first is not None, "a source that is used has a node that uses it"
            graph.insert_before(first, nodes)
            return
        name = value.name
        for position, output in enumerate(graph.outputs):
            if output is value:
                graph.outputs[position] = result
        if result.is_graph_output():
            value.name = self.names.new()
            result.name = name
        graph.insert_after(after, nodes)

    def _factor(self, value: ir.Value, amplitude: float) -> Iterator[ir.Node]:
        dtype = value.dtype
        assert dtype is not None
        wide = dtype in (ir.DataType.FLOAT, ir.DataType.DOUBLE)
        working = dtype if wide else ir.DataType.FLOAT
        operand = value
        if not wide:
            yield (cast := self._cast(value, working))
            operand = cast.outputs[0]
        *before, random = self._random(operand, working, amplitude)
        yield from before
        yield random
        yield (result := self._node("Mul", [operand, random.outputs[0]], {}))
        short = self._short_dtype(dtype) if may_be_exact(value) else None
        if short is not None:
            yield (down := self._cast(operand, short))
            yield (back := self._cast(down.outputs[0], working))
            yield (equal := self._node("Equal", [operand, back.outputs[0]], {}))
            yield (
                result := self._node("Where", [equal.outputs[0], operand, result.outputs[0]], {})
            )
        if not wide:
            yield self._cast(result.outputs[0], dtype)

    def _noise_of_transform(self, value: ir.Value, amplitude: float) -> Iterator[ir.Node]:
        """Yield the nodes that move every element by a part of the largest one."""
        dtype = value.dtype
        assert dtype is not None
        if dtype not in (ir.DataType.FLOAT, ir.DataType.DOUBLE):
            yield from self._factor(value, amplitude)
            return
        yield (sizes := self._node("Abs", [value], {}))
        yield (largest := self._node("ReduceMax", [sizes.outputs[0]], {"keepdims": 0}))
        largest.outputs[0].type = ir.TensorType(dtype)
        yield from self._moved(value, largest.outputs[0], amplitude)

    def _moved(self, value: ir.Value, step: ir.Value, amplitude: float) -> Iterator[ir.Node]:
        """Yield the nodes that add amplitude/sqrt(3) steps to each element, or take them away."""
        dtype = step.dtype or ir.DataType.FLOAT
        *before, factors = self._random(value, dtype, amplitude)
        yield from before
        yield factors
        yield (steps := self._node("Sub", [factors.outputs[0], self._scalar(1.0, dtype)], {}))
        yield (sizes := self._node("Mul", [steps.outputs[0], step], {}))
        yield self._node("Add", [value, sizes.outputs[0]], {})

    def _random(self, like: ir.Value, dtype: ir.DataType, amplitude: float) -> Iterator[ir.Node]:
        """Yield the nodes that draw factors of mean 1 and standard deviation amplitude/sqrt(3)."""
        seed = next(self.seeds)
        if self.model.opset_imports.get("", 0) < _TRAINING_MODE:
            types = {"low": -1.0, "high": 1.0, "seed": float(seed), "dtype": int(dtype)}
            yield (draw := self._node("RandomUniformLike", [like], types))
            width = self._scalar(amplitude, dtype)
            yield (step := self._node("Mul", [draw.outputs[0], width], {}))
            one = self._scalar(1.0, dtype)
            yield self._node("Add", [one, step.outputs[0]], {})
            return
        half = self._scalar(0.5, ir.DataType.FLOAT)
        training = self._scalar(1.0, ir.DataType.BOOL)
        coin = self._node("Dropout", [like, half, training], {"seed": seed}, outputs=2)
        yield coin
        up = self._scalar(1.0 + amplitude / math.sqrt(3), dtype)
        down = self._scalar(1.0 - amplitude / math.sqrt(3), dtype)
        yield self._node("Where", [coin.outputs[1], up, down], {})

    def _scalar(self, number: float, dtype: ir.DataType) -> ir.Value:
        """Return an initializer of the main graph, which every body sees."""
        key = (number, dtype)
        if key not in self.scalars:
            name = self.names.new()
            tensor = ir.tensor(np.array(number, dtype=dtype.numpy()), name=name)
            value = ir.Value(
                name=name, type=ir.TensorType(dtype), shape=ir.Shape([]), const_value=tensor
            )
            self.model.graph.initializers.add(value)
            self.scalars[key] = value
        return self.scalars[key]

    def _short_dtype(self, dtype: ir.DataType) -> ir.DataType | None:
        """Return the dtype in which a value that nothing has rounded is likely to be exact."""
        opset = self.model.opset_imports.get("", 0)
        if opset < _WHERE_AND_EQUAL:
            return None
        if dtype in (ir.DataType.FLOAT, ir.DataType.DOUBLE):
            coarse = self.roundoff == UNIT_ROUNDOFF["bfloat16"] and opset >= _BFLOAT16_CASTS
            return ir.DataType.BFLOAT16 if coarse else ir.DataType.FLOAT16
        if dtype == ir.DataType.FLOAT16 and opset >= _BFLOAT16_CASTS:
            return ir.DataType.BFLOAT16
        return None

    def _cast(self, value: ir.Value, to: ir.DataType) -> ir.Node:
        return self._node("Cast", [value], {"to": int(to)})

    def _node(
        self,
        operator: str,
        inputs: list[ir.Value],
        attributes: Mapping[str, int | float],
        *,
        outputs: int = 1,
    ) -> ir.Node:
        made = ir.node(
            operator, inputs, attributes=attributes, num_outputs=outputs, name=self.names.new()
        )
        for output in made.outputs:
            output.name = self.names.new()
        return made


def is_activation_quantizer(node: ir.Node) -> bool:
    """Say whether a node quantizes computed float32 values with one step for all of them."""
    if node.domain != "" or node.op_type != "QuantizeLinear":
        return False
    value, step = node.inputs[:2]
    if value is None or step is None or value.is_initializer():
        return False
    single = step.shape is not None and all(dim == 1 for dim in step.shape)
    return single and value.dtype == ir.DataType.FLOAT


class _NewNames:
    """Names that no value of a model has."""

    def __init__(self, model: ir.Model) -> None:
        self._taken: set[str | None] = set()
        for graph in all_graphs(model):
            self._taken.update(value.name for value in graph.inputs)
            self._taken.update(graph.initializers)
            self._taken.update(output.name for node in graph for output in node.outputs)
        self._count = 0

    def new(self) -> str:
        """Return the next free name."""
        while (name := f"irconv_noise_{self._count}") in self._taken:
            self._count += 1
        self._count += 1
        return name
