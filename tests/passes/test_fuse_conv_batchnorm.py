"""fuse-conv-batchnorm on random weights, and each reason for refusing."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import onnx_ir as ir
import pytest

from irconv.passes.base import PassContext, PassResult
from irconv.passes.fuse_conv_batchnorm import FuseConvBatchnorm


def constant(name: str, array: np.ndarray) -> ir.Value:
    return ir.Value(
        name=name,
        shape=ir.Shape(array.shape),
        type=ir.TensorType(ir.DataType.from_numpy(array.dtype)),
        const_value=ir.tensor(array, name=name),
    )


def build(
    op_type: str, groups: int, spatial: int, *, bias: bool, dtype: type = np.float32
) -> ir.Model:
    """Return one convolution of 4 to 6 channels and its normalization, seeded."""
    random = np.random.default_rng(11)
    kernel = (3,) * spatial
    shape = (6, 4 // groups, *kernel) if op_type == "Conv" else (4, 6 // groups, *kernel)
    arrays = {
        "w": random.standard_normal(shape), "b": random.standard_normal(6),
        "scale": random.standard_normal(6), "shift": random.standard_normal(6),
        "mean": random.standard_normal(6), "var": random.uniform(0.1, 2, 6),
    }  # fmt: skip
    values = {name: constant(name, array.astype(dtype)) for name, array in arrays.items()}
    data_type = ir.DataType.from_numpy(np.dtype(dtype))
    x = ir.val("x", data_type, [2, 4, *(7,) * spatial])
    inputs = [x, values["w"], *([values["b"]] if bias else [])]
    conv = ir.Node("", op_type, inputs, [ir.AttrInt64("group", groups)], name="conv")
    conv.outputs[0].name = "c"
    parameters = [values[name] for name in ("scale", "shift", "mean", "var")]
    norm = ir.Node("", "BatchNormalization", [conv.outputs[0], *parameters], name="norm")
    output = norm.outputs[0]
    output.name, output.type = "y", ir.TensorType(data_type)
    output.shape = ir.Shape([None] * (spatial + 2))
    graph = ir.Graph([x], [output], nodes=[conv, norm], opset_imports={"": 20}, name="g")
    for name, value in values.items():
        if bias or name != "b":
            graph.register_initializer(value)
    return ir.Model(graph, ir_version=10)


def run(model: ir.Model) -> PassResult:
    return FuseConvBatchnorm().run(model, PassContext())


@pytest.mark.parametrize("op_type", ["Conv", "ConvTranspose"])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("spatial", [1, 2])
@pytest.mark.parametrize("bias", [False, True])
def test_the_numbers_stay(
    op_type: str, groups: int, spatial: int, bias: bool, kit: SimpleNamespace
) -> None:
    source, model = (build(op_type, groups, spatial, bias=bias) for _ in range(2))
    assert run(model).details == {"fused": 1}
    assert [node.op_type for node in model.graph] == [op_type]
    assert set(model.graph.initializers) == {"w_normalized", "y_bias"}
    assert model.graph.outputs[0].name == "y"
    feeds = kit.seeded_feeds(source)
    (was,), (now,) = kit.ort_outputs(source, feeds), kit.ort_outputs(model, feeds)
    np.testing.assert_allclose(now, was, rtol=1e-5, atol=1e-5 * np.abs(was).max())


def node(model: ir.Model, name: str) -> ir.Node:
    return next(item for item in model.graph if item.name == name)


def read_by_another(model: ir.Model) -> None:
    made = ir.Node("", "Relu", [node(model, "conv").outputs[0]], name="relu")
    made.outputs[0].name = "r"
    model.graph.append(made)


def also_an_output(model: ir.Model) -> None:
    model.graph.outputs.append(node(model, "conv").outputs[0])


def training(model: ir.Model) -> None:
    node(model, "norm").attributes["training_mode"] = ir.AttrInt64("training_mode", 1)


def overridable(model: ir.Model) -> None:
    model.graph.inputs.append(model.graph.initializers["w"])


def computed_mean(model: ir.Model) -> None:
    norm = node(model, "norm")
    made = ir.Node("", "Neg", [norm.inputs[3]], name="neg")
    made.outputs[0].name = "negative_mean"
    model.graph.insert_before(norm, made)
    norm.replace_input_with(3, made.outputs[0])


def negative_variance(model: ir.Model) -> None:
    model.graph.initializers["var"].const_value = ir.tensor(np.full(6, -1, np.float32))


def wrong_channels(model: ir.Model) -> None:
    model.graph.initializers["w"].const_value = ir.tensor(np.ones((3, 4, 3, 3), np.float32))


def overflow(model: ir.Model) -> None:
    model.graph.initializers["w"].const_value = ir.tensor(np.full((6, 4, 3, 3), 3e38, np.float32))
    model.graph.initializers["scale"].const_value = ir.tensor(np.full(6, 99, np.float32))


def function_attribute(model: ir.Model) -> None:
    norm = node(model, "norm")
    norm.attributes["epsilon"] = ir.RefAttr("epsilon", "eps", ir.AttributeType.FLOAT)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (read_by_another, "has other readers"),
        (also_an_output, "is also a graph output"),
        (training, "training mode"),
        (overridable, "weight is not constant"),
        (computed_mean, "its mean are not constant"),
        (negative_variance, "variance plus epsilon is not positive"),
        (wrong_channels, "one channel for each"),
        (overflow, "not finite in float32"),
        (function_attribute, "parameter of the enclosing function"),
    ],
)
def test_every_refusal_has_its_reason(change: object, reason: str) -> None:
    model = build("Conv", 1, 2, bias=True)
    assert callable(change)
    change(model)
    result = run(model)
    assert not result.modified
    (refusal,) = result.refusals
    assert reason in refusal.reason
    assert (refusal.node, refusal.op) == ("norm", "BatchNormalization")


def test_the_algebra_is_done_in_float64(kit: SimpleNamespace) -> None:
    model, wide = build("Conv", 1, 2, bias=True), build("Conv", 1, 2, bias=True)
    run(model)
    values = {
        name: value.const_value.numpy().astype(np.float64)
        for name, value in wide.graph.initializers.items()
    }
    factor = values["scale"] / np.sqrt(values["var"] + np.float64(np.float32(1e-5)))
    expected = (factor.reshape(-1, 1, 1, 1) * values["w"]).astype(np.float32)
    found = model.graph.initializers["w_normalized"].const_value.numpy()
    np.testing.assert_array_max_ulp(found, expected, maxulp=1)


def test_a_taken_name_is_not_replaced() -> None:
    model = build("Conv", 1, 2, bias=False)
    other = constant("w_normalized", np.ones(2, np.float32))
    model.graph.register_initializer(other)
    run(model)
    assert model.graph.initializers["w_normalized"] is other
    assert "w_normalized_1" in model.graph.initializers
