"""Unrolled LSTM and GRU cells of random sizes and forms compute what they did before."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from irconv.passes.base import Pass
from irconv.passes.catalog import PASSES
from irconv.passes.decompose.recurrent import DecomposeRecurrent
from irconv.passes.fusions.fuse_gru import FuseGru
from irconv.passes.fusions.fuse_lstm import FuseLstm
from irconv.passes.infer_shapes import InferShapes
from irconv.passes.manager import PassManager
from irconv.passes.pipelines import default_pipeline
from irconv.spec import parse_spec

pytestmark = pytest.mark.slow
BOUNDED = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
KINDS = st.sampled_from(("LSTM", "GRU", "GRU after"))


@dataclass(frozen=True)
class Sizes:
    """Sizes of an unrolled cell."""

    steps: int
    batch: int
    width: int
    hidden: int


SIZES = st.builds(Sizes, st.integers(2, 5), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4))


@dataclass(frozen=True)
class Form:
    """How an unrolled cell is written."""

    apart: bool
    swapped: bool
    batch_first: bool
    backwards: bool
    biased: bool
    moved: bool
    stack: bool


FORMS = st.builds(Form, *[st.booleans()] * 7)


class Writer:
    """Writes the steps of a cell as ONNX text."""

    def __init__(self, kind: str, sizes: Sizes, form: Form, seed: int) -> None:
        self.kind, self.sizes, self.form = kind, sizes, form
        self.lines: list[str] = []
        self.constants: dict[str, np.ndarray] = {"one": np.float32(1)}
        self.random = np.random.default_rng(seed)
        self.gates = "ifgo" if kind == "LSTM" else "rzn"
        for gate in self.gates:
            self.numbers(f"w{gate}", sizes.width, sizes.hidden)
            self.numbers(f"r{gate}", sizes.hidden, sizes.hidden)
            self.numbers(f"b{gate}", sizes.hidden)
            self.numbers(f"d{gate}", sizes.hidden)
        for name in "wrbd":
            parts = [self.constants[f"{name}{gate}"] for gate in self.gates]
            self.constants[name] = np.concatenate(parts, -1)

    def numbers(self, name: str, *shape: int) -> None:
        self.constants[name] = self.random.standard_normal(shape).astype(np.float32)

    def op(self, name: str, text: str) -> str:
        self.lines.append(f"{name} = {text}")
        return name

    def product(self, name: str, data: str, weight: str, bias: str) -> str:
        result = self.op(name, f"MatMul ({data}, {weight})")
        if not self.form.biased:
            return result
        pair = f"{bias}, {result}" if self.form.swapped else f"{result}, {bias}"
        return self.op(f"{name}_biased", f"Add ({pair})")

    def products(self, t: int, name: str, data: str, weight: str, bias: str) -> dict[str, str]:
        """Return the product of each gate."""
        if self.form.apart:
            return {
                gate: self.product(f"{name}{gate}{t}", data, f"{weight}{gate}", f"{bias}{gate}")
                for gate in self.gates
            }
        whole = self.product(f"{name}{t}", data, weight, bias)
        parts = {gate: f"{name}{gate}{t}" for gate in self.gates}
        outputs = ", ".join(parts.values())
        self.lines.append(f"{outputs} = Split <axis = -1, num_outputs = {len(parts)}> ({whole})")
        return parts

    def step(self, t: int, x: str, state: list[str]) -> list[str]:
        old = state[0]
        inputs = self.products(t, "u", x, "w", "b")
        if self.kind == "LSTM":
            inner = self.products(t, "v", old, "r", "d")
            gates = {g: self.op(f"s{g}{t}", f"Add ({inputs[g]}, {inner[g]})") for g in "ifgo"}
            act = {
                g: self.op(f"a{g}{t}", f"{'Tanh' if g == 'g' else 'Sigmoid'} ({gates[g]})")
                for g in "ifgo"
            }
            kept = self.op(f"kept{t}", f"Mul ({act['f']}, {state[1]})")
            new = self.op(f"new{t}", f"Mul ({act['g']}, {act['i']})")
            memory = self.op(f"c{t}", f"Add ({new}, {kept})")
            seen = self.op(f"seen{t}", f"Tanh ({memory})")
            return [self.op(f"h{t}", f"Mul ({act['o']}, {seen})"), memory]
        if self.kind == "GRU after":
            inner = self.products(t, "v", old, "r", "d")
        else:
            inner = {g: self.product(f"v{g}{t}", old, f"r{g}", f"d{g}") for g in "rz"}
        sums = {g: self.op(f"s{g}{t}", f"Add ({inputs[g]}, {inner[g]})") for g in "rz"}
        reset, update = (self.op(f"a{g}{t}", f"Sigmoid ({sums[g]})") for g in "rz")
        if self.kind == "GRU after":
            candidate = self.op(f"p{t}", f"Mul ({reset}, {inner['n']})")
        else:
            kept = self.op(f"kept{t}", f"Mul ({old}, {reset})")
            candidate = self.product(f"p{t}", kept, "rn", "dn")
        total = self.op(f"sn{t}", f"Add ({candidate}, {inputs['n']})")
        fresh = self.op(f"n{t}", f"Tanh ({total})")
        if self.form.moved:
            way = self.op(f"way{t}", f"Sub ({old}, {fresh})")
            share = self.op(f"m{t}", f"Mul ({way}, {update})")
            return [self.op(f"h{t}", f"Add ({fresh}, {share})")]
        rest = self.op(f"rest{t}", f"Sub (one, {update})")
        new = self.op(f"new{t}", f"Mul ({rest}, {fresh})")
        kept = self.op(f"old{t}", f"Mul ({update}, {old})")
        return [self.op(f"h{t}", f"Add ({new}, {kept})")]

    def model(self, read: list[bool]) -> ir.Model:
        """Return a model that reads the hidden states of some steps, and the last state."""
        sizes, form = self.sizes, self.form
        axis = 1 if form.batch_first else 0
        state = ["h", "c"][: 2 if self.kind == "LSTM" else 1]
        order = list(range(sizes.steps))
        if form.backwards:
            order.reverse()
        hidden: dict[int, str] = {}
        for t in order:
            self.constants[f"k{t}"] = np.array(t if t % 2 else t - sizes.steps, np.int64)
            x = self.op(f"x{t}", f"Gather <axis = {axis}> (x, k{t})")
            state = self.step(t, x, state)
            hidden[t] = state[0]
        outputs = list(state)
        if form.stack:
            self.constants["axis"] = np.array([axis])
            apart = [self.op(f"e{t}", f"Unsqueeze ({hidden[t]}, axis)") for t in sorted(hidden)]
            outputs.append(self.op("y", f"Concat <axis = {axis}> ({', '.join(apart)})"))
        for t, wanted in zip(hidden, read, strict=False):
            if wanted:
                outputs.append(self.op(f"z{t}", f"Neg ({hidden[t]})"))
        return self.built(outputs)

    def built(self, outputs: list[str]) -> ir.Model:
        sizes = self.sizes
        lead = ["N", sizes.steps] if self.form.batch_first else [sizes.steps, "N"]
        inputs = [f"float[{lead[0]}, {lead[1]}, {sizes.width}] x", f"float[N, {sizes.hidden}] h"]
        if self.kind == "LSTM":
            inputs.append(f"float[N, {sizes.hidden}] c")
        declared = ", ".join(f"float[] {name}" for name in outputs)
        proto = onnx.parser.parse_model(
            f'< ir_version: 10, opset_import: ["" : 20] > g ({", ".join(inputs)}) => ({declared}) '
            f"{{ {' '.join(self.lines)} }}"
        )
        read = {name for node in proto.graph.node for name in node.input}
        for name, array in self.constants.items():
            if name in read:
                tensor = onnx.numpy_helper.from_array(np.asarray(array), name)
                proto.graph.initializer.append(tensor)
        for value in proto.graph.output:
            value.type.tensor_type.ClearField("shape")
        return ir.from_proto(onnx.shape_inference.infer_shapes(proto))


def check(before: ir.Model, after: ir.Model, kind: str, kit: SimpleNamespace) -> None:
    ops = [node.op_type for node in after.graph]
    assert ops.count(kind.partition(" ")[0]) == 1
    assert not {"MatMul", "Gemm", "Sigmoid", "Tanh"} & set(ops)
    onnx.checker.check_model(ir.to_proto(after), full_check=True)
    feeds = kit.seeded_feeds(before)
    was, now = kit.ort_outputs(before, feeds), kit.ort_outputs(after, feeds)
    for old, new in zip(was, now, strict=True):
        assert old.shape == new.shape
        np.testing.assert_allclose(new, old, rtol=2e-5, atol=2e-5)


@BOUNDED
@given(
    kind=KINDS,
    sizes=SIZES,
    form=FORMS,
    seed=st.integers(0, 99),
    read=st.lists(st.booleans(), max_size=5),
)
def test_unrolled(
    kit: SimpleNamespace, kind: str, sizes: Sizes, form: Form, seed: int, read: list[bool]
) -> None:
    model = Writer(kind, sizes, form, seed).model(read)
    before = ir.from_proto(ir.to_proto(model))
    passes: list[Pass] = [InferShapes(), FuseLstm(), FuseGru()]
    result = PassManager(passes, strict=True, max_rounds=3).run(model)
    assert not PassManager(passes[1:], strict=True).run(result.model).modified
    check(before, result.model, kind, kit)


@BOUNDED
@given(kind=KINDS, sizes=SIZES, form=FORMS, seed=st.integers(0, 99))
def test_there_and_back(
    kit: SimpleNamespace, kind: str, sizes: Sizes, form: Form, seed: int
) -> None:
    """Steps that decompose-recurrent wrote out, and -O2 simplified, become the operator again."""
    random = np.random.default_rng(seed)
    gates, rows = (4 if kind == "LSTM" else 3) * sizes.hidden, sizes.hidden
    shapes = {"w": (1, gates, sizes.width), "r": (1, gates, rows), "b": (1, 2 * gates)}
    op_type = kind.partition(" ")[0]
    states = ["h", "c"][: 2 if kind == "LSTM" else 1]
    flags = ['direction = "reverse"'] if form.backwards else []
    flags += ["linear_before_reset = 1"] if kind == "GRU after" else []
    attributes = ", ".join([f"hidden_size = {rows}", *flags])
    bias = "b" if form.biased else '""'
    inputs = ", ".join(f"float[1, {sizes.batch}, {rows}] {name}" for name in states)
    last = ", ".join(f"float[1, {sizes.batch}, {rows}] {name}_last" for name in states)
    outputs = ", ".join(["y", *(f"{name}_last" for name in states)])
    proto = onnx.parser.parse_model(
        f'< ir_version: 10, opset_import: ["" : 20] > '
        f"g (float[{sizes.steps}, {sizes.batch}, {sizes.width}] x, {inputs}) => "
        f"(float[{sizes.steps}, 1, {sizes.batch}, {rows}] y, {last}) "
        f'{{ {outputs} = {op_type} <{attributes}> (x, w, r, {bias}, "", {", ".join(states)}) }}'
    )
    for name, shape in shapes.items():
        if name != "b" or form.biased:
            array = random.standard_normal(shape).astype(np.float32)
            proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    model = ir.from_proto(proto)
    before = ir.from_proto(ir.to_proto(model))
    known = {cls.name: cls for cls in PASSES}
    specs = [parse_spec(text) for text in default_pipeline(2)]
    level = [known[spec.name].from_options(spec.options) for spec in specs]
    taken = PassManager([DecomposeRecurrent()], strict=True).run(model)
    assert taken.modified
    passes = [*level, FuseLstm(), FuseGru()]
    result = PassManager(passes, strict=True, max_rounds=4).run(taken.model)
    check(before, result.model, kind, kit)
