"""What golden cases cannot show: budgets, refusals, large weights, odd names, linear time."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx_ir as ir
import pytest

from irconv.graph.expansion import expanded_node_count
from irconv.graph.skeleton import skeleton_proto
from irconv.passes.base import Pass, PassContext
from irconv.passes.dedup_initializers import DedupInitializers
from irconv.passes.eliminate_common_subexpressions import EliminateCommonSubexpressions
from irconv.passes.eliminate_dead_code import EliminateDeadCode
from irconv.passes.eliminate_identity import EliminateIdentity
from irconv.passes.eliminate_no_op import EliminateNoOp
from irconv.passes.fold_constants import FoldConstants
from irconv.passes.infer_shapes import InferShapes
from irconv.passes.manager import PassManager

HEAD = '< ir_version: 10, opset_import: ["" : 20] >\n'
SHADOWED = """
main (float[4] x, bool c) => (float[4] y) {
    h = Exp(x)
    y = If (c) <
        then_branch = a_graph () => (float[4] a) { g = Identity(h) h2 = Neg(x) a = Add(g, h2) },
        else_branch = b_graph () => (float[4] b) { z = Exp(x) b = Neg(z) }
    >
}
"""


def reasons(pass_: Pass, text: str, kit: SimpleNamespace) -> tuple[str, ...]:
    refusals: tuple[str, ...] = kit.apply_pass(pass_, HEAD + text, checked=False).refusals
    return refusals


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("r = Exp(a)", "round it differently"),
        ("r = RandomNormalLike(a)", "random"),
        ("r = Dropout(a, half, yes)", "random"),
        ("r = QuantizeLinear(a, half)", "quantization"),
        ("r = ConstantOfShape(big)", "over max_bytes"),
        ("r = Div(big, none)", "divides an integer by zero"),
        ("r = NonZero(a)", "not evaluated"),
        ("r = custom.Op(a)", "domain 'custom'"),
        ("r = local.F(a)", "local function"),
        (
            """r = If (yes) <then_branch = t () => (float[2] p) { p = Neg(x) },
                          else_branch = e () => (float[2] q) { q = Exp(x) }>""",
            "control flow",
        ),
    ],
)
def test_why_constants_do_not_fold(line: str, reason: str, kit: SimpleNamespace) -> None:
    text = f"""< ir_version: 10, opset_import: ["" : 20, "custom" : 1, "local" : 1] >
main (float[2] x) => (float[2] y)
<float[2] a = {{1, 2}}, float half = {{0.5}}, bool yes = {{1}},
 int64[2] big = {{1048576, 1048576}}, int64[2] none = {{1, 0}}> {{
    {line}
    y = Neg(x)
}}
< domain: "local", opset_import: ["" : 20] >
F (p) => (q) {{ q = Neg(p) }}
"""
    applied = kit.apply_pass(FoldConstants(), text, checked=False)
    assert not applied.modified
    assert len(applied.refusals) == 1
    assert reason in applied.refusals[0]


def test_the_sum_of_folded_constants_is_bounded(kit: SimpleNamespace) -> None:
    lines = "\n".join(f"v{i} = Expand(one, shape) y{i} = Add(x, v{i})" for i in range(8))
    outputs = ", ".join(f"float[100] y{i}" for i in range(8))
    text = f"""{HEAD} main (float[100] x) => ({outputs})
<float one = {{1}}, int64[1] shape = {{100}}> {{ {lines} }}"""
    applied = kit.apply_pass(FoldConstants(), text, PassContext(max_constant_bytes=1000))
    assert applied.modified
    assert len(applied.refusals) == 6
    assert "budget of 1000 bytes" in applied.refusals[0]


def test_intermediate_results_are_freed() -> None:
    count = 300
    one = np.ones(1 << 16, np.float32)
    model = ir.from_onnx_text(HEAD + "main (float[65536] x) => (float[65536] y) { y = Neg(x) }")
    tensor = ir.Tensor(one, name="one")
    current = first = ir.Value(
        name="one", type=ir.TensorType(tensor.dtype), shape=ir.Shape([1 << 16]), const_value=tensor
    )
    model.graph.register_initializer(first)
    neg = model.graph[0]
    for index in range(count):
        node = ir.node("Add", [current, first], outputs=[ir.Value(name=f"v{index}")])
        model.graph.insert_before(neg, node)
        current = node.outputs[0]
    model.graph.insert_before(
        neg, ir.node("Add", [current, neg.inputs[0]], outputs=[ir.Value(name="sum")])
    )
    neg.replace_input_with(0, list(model.graph)[-2].outputs[0])
    tracemalloc.start()
    result = FoldConstants().run(model, PassContext(max_constant_bytes=1 << 20))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert result.details["folded"] == count
    assert peak < 8 << 20
    assert sorted(model.graph.initializers) == ["one", f"v{count - 1}"]
    folded = model.graph.initializers[f"v{count - 1}"].const_value
    assert folded is not None
    assert set(folded.numpy()) == {count + 1}


def test_effect_says_whether_folding_may_round() -> None:
    assert FoldConstants().effect == "bit-exact"
    assert FoldConstants(rounding=True).effect == "real-arithmetic"
    assert str(FoldConstants(rounding=True)) == "fold-constants{rounding=true}"


def shadowed() -> ir.Model:
    """Return a model whose body hides the outer value ``h``, as some exporters write it."""
    model = ir.from_onnx_text(HEAD + SHADOWED)
    body = model.graph[1].attributes["then_branch"].as_graph()
    body[1].outputs[0].name = "h"
    return model


def test_an_outer_value_does_not_move_under_a_name_that_hides_it() -> None:
    model = shadowed()
    result = EliminateIdentity().run(model, PassContext())
    assert not result.modified
    assert "same name" in result.refusals[0].reason
    result = EliminateCommonSubexpressions().run(shadowed(), PassContext())
    assert not result.modified
    assert "same name" in result.refusals[0].reason


def test_training_batch_norm_keeps_its_outputs(kit: SimpleNamespace) -> None:
    text = """main (float[N, 2] x) => (float[N, 2] y)
<float[2] s = {1, 1}, float[2] z = {0, 0}, float[2] m = {0, 0}, float[2] v = {1, 1}> {
    y, mean, variance = BatchNormalization <training_mode = 1> (x, s, z, m, v)
}"""
    assert not kit.apply_pass(EliminateDeadCode(), HEAD + text).modified


def test_nodes_with_more_outputs_are_not_equal(kit: SimpleNamespace) -> None:
    text = """main (float[1, 1, 4, 4] x) => (float[1, 1, 2, 2] y, int64[1, 1, 2, 2] i) {
    a = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (x)
    b, i = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (x)
    y = Add(a, b)
}"""
    assert not kit.apply_pass(EliminateCommonSubexpressions(), HEAD + text).modified


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("y = Add(x, zero)", "-0.0"),
        ("y = Sub(x, minus)", "-0.0"),
        ("y = Mul(x, row)", "broadcasting"),
        ("y = Dropout(x, half, c)", "trains"),
        ("y = Cast <to = 1> (x)", "both names must survive"),
    ],
)
def test_why_a_near_no_op_stays(line: str, reason: str, kit: SimpleNamespace) -> None:
    text = f"""main (float[N] x, bool c) => (float[N] y)
<float zero = {{0}}, float minus = {{-0.0}}, float half = {{0.5}}, float[1, 1] row = {{1}}> {{
    {line}
}}"""
    assert reason in reasons(EliminateNoOp(), text, kit)[0]


def test_a_symbolic_dim_is_not_taken_for_a_size(kit: SimpleNamespace) -> None:
    text = """main (float[N, M] x) => (float[K, L] y)
<int64[2] four = {-1, 4}, int64[1] zero = {0}, int64[1] four_only = {4}> {
    a = Reshape(x, four)
    b = Slice(x, zero, four_only, zero)
    y = MatMul(a, b)
}"""
    assert not kit.apply_pass(EliminateNoOp(), HEAD + text).modified


def mapped_model(folder: Path, items: int) -> ir.Model:
    """Return a model with two mapped float32 weights of a sparse file."""
    with (folder / "weights").open("wb") as file:
        file.truncate(8 * items)
    model = ir.from_onnx_text(
        HEAD + "main (float[N, 8] x) => (float[N, M] y) { a = MatMul(x, x) y = Neg(a) }"
    )
    for index, name in enumerate(("w", "v")):
        tensor = ir.ExternalTensor(
            "weights",
            index * 4 * items,
            4 * items,
            ir.DataType.FLOAT,
            shape=ir.Shape([8, items // 8]),
            name=name,
            base_dir=folder,
        )
        value = ir.Value(
            name=name, type=ir.TensorType(tensor.dtype), shape=tensor.shape, const_value=tensor
        )
        model.graph.register_initializer(value)
    model.graph[0].replace_input_with(1, model.graph.initializers["w"])
    return model


def test_shapes_of_a_model_over_2_gb(tmp_path: Path) -> None:
    items = 1 << 30
    model = mapped_model(tmp_path, items)
    assert skeleton_proto(model).ByteSize() < 10_000
    tracemalloc.start()
    result = InferShapes().run(model, PassContext())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert result.modified
    assert list(model.graph[0].outputs[0].shape or ()) == ["N", items // 8]
    assert peak < 10 << 20
    assert all(tensor.raw is None for tensor in model.graph.initializers.tensors())


def test_equal_mapped_weights_merge_without_a_copy(tmp_path: Path) -> None:
    model = mapped_model(tmp_path, 1 << 24)
    tracemalloc.start()
    result = DedupInitializers().run(model, PassContext())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert result.details == {"merged": 1, "bytes": 4 << 24}
    assert peak < 10 << 20


def test_functions_that_explode_are_not_expanded() -> None:
    depth = 40
    calls = "".join(
        f'< domain: "l", opset_import: ["" : 20, "l" : 1] >\n'
        f"f{i} (a) => (c) {{ b = l.f{i + 1} (a) c = l.f{i + 1} (b) }}\n"
        for i in range(depth)
    )
    text = f"""< ir_version: 10, opset_import: ["" : 20, "l" : 1] >
main (float[N] x) => (float[N] y) {{ h = l.f0 (x) y = Neg(h) }}
{calls}< domain: "l", opset_import: ["" : 20] >
f{depth} (a) => (b) {{ b = Neg(a) }}
"""
    model = ir.from_onnx_text(text)
    assert expanded_node_count(model) == 2 + 2 ** (depth + 1) - 2 + 2**depth
    result = InferShapes().run(model, PassContext())
    assert not result.modified
    assert "expand to" in result.refusals[0].reason


def test_functions_in_a_cycle_have_no_expansion() -> None:
    model = ir.from_onnx_text(
        """< ir_version: 10, opset_import: ["" : 20, "l" : 1] >
main (float[N] x) => (float[N] y) { y = l.f (x) }
< domain: "l", opset_import: ["" : 20, "l" : 1] >
f (a) => (b) { b = l.g (a) }
< domain: "l", opset_import: ["" : 20, "l" : 1] >
g (a) => (b) { b = l.f (a) }
"""
    )
    assert expanded_node_count(model) is None
    assert "endlessly" in InferShapes().run(model, PassContext()).refusals[0].reason


def test_broken_nodes_are_a_refusal_or_left_alone() -> None:
    text = (
        HEAD
        + """main (float[1, 1, 4, 4] x) => (float[1, 1, 4, 4] y)
<float[1, 1, 1, 1] w = {1}> {
    a = Conv <strides = [0, 0]> (x, w)
    b = MaxPool <kernel_shape = [2, 2], strides = [0, 0]> (x)
    y = Neg(x)
}"""
    )
    model = ir.from_onnx_text(text)
    InferShapes().run(model, PassContext())
    assert model.graph[0].outputs[0].shape is None


def concat_doubling(steps: int) -> ir.Model:
    lines = "\n".join(f"v{i + 1} = Concat <axis = 0> (v{i}, v{i})" for i in range(steps))
    return ir.from_onnx_text(
        f"{HEAD} main (float x) => (float y) <int64[1] v0 = {{1}}> {{ {lines} y = Neg(x) }}"
    )


def test_concat_doubling_stays_small() -> None:
    result = PassManager([InferShapes(), FoldConstants()], strict=True).run(concat_doubling(60))
    refused = [reason.reason for record in result.records for reason in record.refusals]
    assert any("over max_bytes" in reason for reason in refused)
    assert max(tensor.nbytes for tensor in result.model.graph.initializers.tensors()) <= 1 << 20


def wide(count: int) -> ir.Model:
    """Return a model with a node of every kind before each of many outputs."""
    float32 = ir.TensorType(ir.DataType.FLOAT)
    x = ir.Value(name="x", type=float32, shape=ir.Shape(["N", 4]))
    graph = ir.Graph([x], [], nodes=[], opset_imports={"": 20}, name="wide")
    for index in range(count):
        tensor = ir.Tensor(np.full(4, index // 2, np.float32), name=f"w{index}")
        weight = ir.Value(name=f"w{index}", type=float32, shape=ir.Shape([4]), const_value=tensor)
        graph.register_initializer(weight)
        current = x
        for op, others in (("Add", [weight]), ("Cast", []), ("Identity", []), ("Identity", [])):
            attributes = {"to": 1} if op == "Cast" else {}
            name = f"{op}{index}_{len(graph)}"
            node = ir.node(op, [current, *others], attributes, outputs=[ir.Value(name=name)])
            graph.append(node)
            current = node.outputs[0]
        current.type, current.shape = float32, ir.Shape(["N", 4])
        graph.outputs.append(current)
    return ir.Model(graph, ir_version=10)


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        EliminateIdentity,
        EliminateNoOp,
        DedupInitializers,
        EliminateCommonSubexpressions,
        EliminateDeadCode,
        FoldConstants,
        InferShapes,
    ],
)
def test_time_is_linear_in_outputs_and_nodes(make: Callable[[], Pass]) -> None:
    def once(count: int) -> float:
        model = wide(count)
        start = time.process_time()
        make().run(model, PassContext())
        return time.process_time() - start

    def seconds(count: int) -> float:
        return min(once(count) for _ in range(3))

    small = max(seconds(500), 0.03)
    assert seconds(4000) < 8 * 3 * small
