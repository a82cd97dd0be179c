"""Operators of the reference interpreter against formulas and ONNX Runtime."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

Array = np.ndarray[Any, Any]
Interpret = Callable[..., dict[str, Array]]
RNG = np.random.default_rng(7)


def normal(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32)


def onnx_node(
    op: str, inputs: list[Array | None], outputs: int = 1, **attributes: Any
) -> list[Any]:
    """Run one ONNX node in ONNX Runtime; the independent expectation."""
    names = [f"i{k}" if value is not None else "" for k, value in enumerate(inputs)]
    fed = {name: value for name, value in zip(names, inputs, strict=True) if value is not None}
    graph = helper.make_graph(
        [helper.make_node(op, names, [f"o{k}" for k in range(outputs)], **attributes)],
        "g",
        [
            helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape)
            for n, v in fed.items()
        ],
        [helper.make_value_info(f"o{k}", onnx.TypeProto()) for k in range(outputs)],
    )
    opsets = [helper.make_opsetid("", 20)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return list(session.run(None, fed))


def assert_all(
    actual: Mapping[str, Array], expected: Mapping[str, Array], atol: float = 1e-5
) -> None:
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(actual[name], value, rtol=1e-5, atol=atol, err_msg=name)
        assert actual[name].shape == np.shape(value), name


def test_elementwise(interpret: Interpret) -> None:
    x, y = normal(3, 4), normal(4)

    def build(mb: Any, x: Any, y: Any) -> dict[str, Any]:
        unit = mb.tanh(x=x)
        return {
            "sum": mb.add(x=x, y=y),
            "floor_quotient": mb.floor_div(x=x, y=y),
            "remainder": mb.mod(x=x, y=y),
            "power": mb.pow(x=mb.abs(x=x), y=y),
            "reciprocal": mb.inverse(x=x, epsilon=0.5),
            "logarithm": mb.log(x=mb.abs(x=x), epsilon=0.25),
            "root": mb.rsqrt(x=mb.square(x=x), epsilon=0.125),
            "clipped": mb.clip(x=x, alpha=-0.5, beta=0.75),
            "bounded": mb.threshold(x=x, alpha=0.1),
            "error": mb.erf(x=x),
            "arcs": mb.add(x=mb.asin(x=unit), y=mb.add(x=mb.acos(x=unit), y=mb.atanh(x=unit))),
            "rounded": mb.add(x=mb.round(x=x), y=mb.mul(x=mb.ceil(x=x), y=mb.floor(x=x))),
            "powers": mb.add(x=mb.exp(x=x), y=mb.exp2(x=x)),
            "compared": mb.cast(
                x=mb.logical_xor(
                    x=mb.less_equal(x=x, y=y), y=mb.logical_not(x=mb.not_equal(x=x, y=x))
                ),
                dtype="int32",
            ),
            "cut": mb.cast(x=mb.mul(x=x, y=3.0), dtype="int32"),
            "chosen": mb.select(cond=mb.greater(x=x, y=0.0), a=x, b=mb.mul(x=x, y=-2.0)),
        }

    t = np.tanh(x)
    assert_all(
        interpret(build, {"x": x, "y": y}),
        {
            "sum": x + y,
            "floor_quotient": np.floor(x / y),
            "remainder": x - np.floor(x / y) * y,
            "power": np.abs(x) ** y,
            "reciprocal": 1 / (x + 0.5),
            "logarithm": np.log(np.abs(x) + 0.25),
            "root": 1 / np.sqrt(x * x + 0.125),
            "clipped": np.clip(x, -0.5, 0.75),
            "bounded": np.maximum(x, 0.1),
            "error": np.vectorize(math.erf)(x),
            "arcs": math.pi / 2 + np.arctanh(t),
            "rounded": np.round(x) + np.ceil(x) * np.floor(x),
            "powers": np.e**x + 2**x,
            "compared": ((x <= y) ^ True).astype(np.int32),
            "cut": np.trunc(x * 3).astype(np.int32),
            "chosen": np.where(x > 0, x, -2 * x),
        },
    )


def test_activations(interpret: Interpret) -> None:
    x = normal(2, 3, 4, 5) * 2
    slopes = np.array([0.1, 0.2, 0.3], np.float32)

    def build(mb: Any, x: Any) -> dict[str, Any]:
        return {
            "relu": mb.relu(x=x),
            "relu6": mb.relu6(x=x),
            "clamped": mb.clamped_relu(x=x, alpha=0.1, beta=1.5),
            "leaky": mb.leaky_relu(x=x, alpha=0.3),
            "prelu": mb.prelu(x=x, alpha=slopes),
            "elu": mb.elu(x=x, alpha=1.5),
            "gelu": mb.gelu(x=x, mode="EXACT"),
            "gelu_tanh": mb.gelu(x=x, mode="TANH_APPROXIMATION"),
            "gelu_sigmoid": mb.gelu(x=x, mode="SIGMOID_APPROXIMATION"),
            "linear": mb.linear_activation(x=x, alpha=2.0, beta=-1.0),
            "scaled": mb.scaled_tanh(x=x, alpha=1.5, beta=0.5),
            "hard": mb.sigmoid_hard(x=x, alpha=0.25, beta=0.5),
            "silu": mb.silu(x=x),
            "softplus": mb.softplus(x=x),
            "parametric": mb.softplus_parametric(x=x, alpha=slopes, beta=slopes + 1),
            "softsign": mb.softsign(x=x),
            "thresholded": mb.thresholded_relu(x=x, alpha=0.7),
            "softmax": mb.softmax(x=x, axis=1),
        }

    per_channel = slopes.reshape(3, 1, 1)
    assert_all(
        interpret(build, {"x": x}),
        {
            "relu": np.where(x > 0, x, 0),
            "relu6": np.clip(x, 0, 6),
            "clamped": np.minimum(1.5, np.where(x >= 0, x, 0.1 * x)),
            "leaky": onnx_node("LeakyRelu", [x], alpha=0.3)[0],
            "prelu": onnx_node("PRelu", [x, per_channel])[0],
            "elu": onnx_node("Elu", [x], alpha=1.5)[0],
            "gelu": onnx_node("Gelu", [x])[0],
            "gelu_tanh": onnx_node("Gelu", [x], approximate="tanh")[0],
            "gelu_sigmoid": x / (1 + np.exp(-1.702 * x)),
            "linear": 2 * x - 1,
            "scaled": 1.5 * np.tanh(0.5 * x),
            "hard": onnx_node("HardSigmoid", [x], alpha=0.25, beta=0.5)[0],
            "silu": x * onnx_node("Sigmoid", [x])[0],
            "softplus": onnx_node("Softplus", [x])[0],
            "parametric": per_channel * np.log1p(np.exp((per_channel + 1) * x)),
            "softsign": onnx_node("Softsign", [x])[0],
            "thresholded": onnx_node("ThresholdedRelu", [x], alpha=0.7)[0],
            "softmax": onnx_node("Softmax", [x], axis=1)[0],
        },
    )


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_convolutions(interpret: Interpret, groups: int) -> None:
    x, bias = normal(2, 4, 9, 8), normal(8)
    weight, back = normal(8, 4 // groups, 3, 2), normal(4, 8 // groups, 3, 2)
    volume, cube = normal(1, 2, 5, 4, 6), normal(3, 2, 2, 3, 1)

    def build(mb: Any, x: Any, volume: Any) -> dict[str, Any]:
        return {
            "plain": mb.conv(
                x=x, weight=weight, bias=bias, strides=[2, 1], dilations=[1, 2],
                pad_type="custom", pad=[1, 0, 2, 1], groups=groups,
            ),
            "same": mb.conv(x=x, weight=weight, strides=[2, 2], pad_type="same", groups=groups),
            "lower": mb.conv(
                x=x, weight=weight, strides=[2, 2], pad_type="same_lower", groups=groups
            ),
            "cube": mb.conv(x=volume, weight=cube, strides=[2, 1, 1]),
            "back": mb.conv_transpose(
                x=x, weight=back, bias=bias, strides=[2, 3], dilations=[2, 1],
                pad_type="custom", pad=[1, 2, 0, 1], groups=groups,
            ),
        }  # fmt: skip

    assert_all(
        interpret(build, {"x": x, "volume": volume}),
        {
            "plain": onnx_node("Conv", [x, weight, bias], strides=[2, 1], dilations=[1, 2],
                               pads=[1, 2, 0, 1], group=groups)[0],
            "same": onnx_node("Conv", [x, weight], strides=[2, 2], auto_pad="SAME_UPPER",
                              group=groups)[0],
            "lower": onnx_node("Conv", [x, weight], strides=[2, 2], auto_pad="SAME_LOWER",
                               group=groups)[0],
            "cube": onnx_node("Conv", [volume, cube], strides=[2, 1, 1])[0],
            "back": onnx_node("ConvTranspose", [x, back, bias], strides=[2, 3], dilations=[2, 1],
                              pads=[1, 0, 2, 1], group=groups)[0],
        },
    )  # fmt: skip


def test_pools(interpret: Interpret) -> None:
    x = normal(2, 3, 9, 8)
    options = {"kernel_sizes": [3, 2], "strides": [2, 3], "pad_type": "custom", "pad": [1, 1, 1, 1]}
    attributes: dict[str, Any] = {"kernel_shape": [3, 2], "strides": [2, 3], "pads": [1, 1, 1, 1]}

    def build(mb: Any, x: Any) -> dict[str, Any]:
        return {
            "largest": mb.max_pool(x=x, **options),
            "mean": mb.avg_pool(x=x, **options),
            "mean_inside": mb.avg_pool(x=x, exclude_padding_from_average=True, **options),
            "ceil": mb.avg_pool(x=x, ceil_mode=True, **options),
            "squares": mb.l2_pool(x=x, **options),
        }

    assert_all(
        interpret(build, {"x": x}),
        {
            "largest": onnx_node("MaxPool", [x], **attributes)[0],
            "mean": onnx_node("AveragePool", [x], count_include_pad=1, **attributes)[0],
            "mean_inside": onnx_node("AveragePool", [x], **attributes)[0],
            "ceil": onnx_node("AveragePool", [x], count_include_pad=1, ceil_mode=1, **attributes)[
                0
            ],
            "squares": onnx_node("LpPool", [x], p=2, **attributes)[0],
        },
    )


def test_products_and_normalizations(interpret: Interpret) -> None:
    x, y, w, b = normal(2, 3, 4, 5), normal(3, 6, 5), normal(7, 5), normal(7)
    gamma, beta, mean = normal(3), normal(3), normal(3)
    variance = np.abs(normal(3)) + 0.1

    def build(mb: Any, x: Any, y: Any) -> dict[str, Any]:
        return {
            "product": mb.matmul(x=x, y=y, transpose_y=True),
            "linear": mb.linear(x=x, weight=w, bias=b),
            "einsum": mb.einsum(
                values=(x, mb.transpose(x=x, perm=[0, 3, 2, 1])), equation="nchw,nwhu->nchu"
            ),
            "batch": mb.batch_norm(
                x=x, mean=mean, variance=variance, gamma=gamma, beta=beta, epsilon=1e-3
            ),
            "instance": mb.instance_norm(x=x, gamma=gamma, beta=beta, epsilon=1e-3),
            "layer": mb.layer_norm(x=x, axes=[-1], gamma=w[0], beta=w[1], epsilon=1e-3),
            "unit": mb.l2_norm(x=x, epsilon=1e-3),
            "local": mb.local_response_norm(x=x, size=3, alpha=0.1, beta=0.5, k=2.0),
        }

    assert_all(
        interpret(build, {"x": x, "y": y}),
        {
            "product": x @ np.swapaxes(y, 1, 2),
            "linear": x @ w.T + b,
            "einsum": np.einsum("nchw,nuhw->nchu", x, x),
            "batch": onnx_node("BatchNormalization", [x, gamma, beta, mean, variance],
                               epsilon=1e-3)[0],
            "instance": onnx_node("InstanceNormalization", [x, gamma, beta], epsilon=1e-3)[0],
            "layer": onnx_node("LayerNormalization", [x, w[0], w[1]], epsilon=1e-3)[0],
            "unit": x / np.sqrt((x * x).sum(axis=(1, 2, 3), keepdims=True) + 1e-3),
            "local": onnx_node("LRN", [x], size=3, alpha=0.1, beta=0.5, bias=2.0)[0],
        },
    )  # fmt: skip


def test_reductions_and_orders(interpret: Interpret) -> None:
    x = normal(3, 4, 5)
    reductions = ("mean", "sum", "prod", "max", "min", "l1_norm", "l2_norm", "log_sum_exp",
                  "sum_square")  # fmt: skip
    standard = ("Mean", "Sum", "Prod", "Max", "Min", "L1", "L2", "LogSumExp", "SumSquare")

    def build(mb: Any, x: Any) -> dict[str, Any]:
        built = {
            name: getattr(mb, f"reduce_{name}")(x=x, axes=[0, -1], keep_dims=name != "sum")
            for name in reductions
        }
        values, indices = mb.topk(x=x, k=2, axis=1)
        return built | {
            "values": values,
            "indices": indices,
            "largest": mb.reduce_argmax(x=x, axis=1),
            "smallest": mb.reduce_argmin(x=x, axis=-1, keep_dims=True),
            "sorted": mb.argsort(x=x, axis=1, ascending=True),
            "sums": mb.cumsum(x=x, axis=1, exclusive=True, reverse=True),
            "found": mb.non_zero(x=mb.relu(x=x)),
        }

    axes = np.array([0, -1])
    expected = {
        name: onnx_node(f"Reduce{op}", [x, axes], keepdims=int(name != "sum"))[0]
        for name, op in zip(reductions, standard, strict=True)
    }
    values, indices = onnx_node("TopK", [x, np.array([2])], 2, axis=1)
    expected |= {
        "values": values,
        "indices": indices,
        "largest": x.argmax(1),
        "smallest": x.argmin(-1)[..., None],
        "sorted": x.argsort(1),
        "sums": onnx_node("CumSum", [x, np.array(1)], exclusive=1, reverse=1)[0],
        "found": np.argwhere(x > 0),
    }
    assert_all(interpret(build, {"x": x}), expected)


@pytest.mark.parametrize("mode", ["forward", "reverse", "bidirectional"])
def test_recurrent_layers(interpret: Interpret, mode: str) -> None:
    ways, size = (2 if mode == "bidirectional" else 1), 3
    x, h, c = normal(5, 2, 4), normal(2, ways * size), normal(2, ways * size)
    w, r, b, p = (normal(ways, n, k) for n, k in ((12, 4), (12, 3), (12, 1), (9, 1)))

    def gates(values: Array) -> Array:
        """Reorder from ONNX's input, output, forget, cell to MIL's input, forget, output, cell."""
        i, o, f, z = np.split(values, 4)
        return np.concatenate([i, f, o, z])

    def peeps(values: Array) -> Array:
        i, o, f = np.split(values[:, 0], 3)
        return np.concatenate([i, f, o])

    back = {} if ways == 1 else {
        "weight_ih_back": gates(w[1]), "weight_hh_back": gates(r[1]),
        "bias_back": gates(b[1])[:, 0], "peephole_back": peeps(p[1]),
    }  # fmt: skip

    def build(mb: Any, x: Any, h: Any, c: Any) -> dict[str, Any]:
        steps, hidden, cell = mb.lstm(
            x=x, initial_h=h, initial_c=c, weight_ih=gates(w[0]), weight_hh=gates(r[0]),
            bias=gates(b[0])[:, 0], peephole=peeps(p[0]), direction=mode, output_sequence=True,
            **back,
        )  # fmt: skip
        return {"steps": steps, "hidden": hidden, "cell": cell}

    def by_way(values: Array) -> Array:
        return np.stack(np.split(values, ways, axis=1))

    biases = np.concatenate([b[..., 0], 0 * b[..., 0]], axis=1)
    steps, hidden, cell = onnx_node(
        "LSTM",
        [x, w, r, biases, None, by_way(h), by_way(c), p[..., 0]],
        3, hidden_size=size, direction=mode,
    )  # fmt: skip
    expected = {
        "steps": np.moveaxis(steps, 1, 2).reshape(5, 2, -1),
        "hidden": np.concatenate(list(hidden), axis=1),
        "cell": np.concatenate(list(cell), axis=1),
    }
    assert_all(interpret(build, {"x": x, "h": h, "c": c}), expected)


def test_resizing(interpret: Interpret) -> None:
    x, grid = normal(1, 2, 4, 5), (RNG.random((1, 3, 6, 2)) * 2.6 - 1.3).astype(np.float32)
    sizes = np.array([1, 2, 8, 7])
    modes = {"DEFAULT": "asymmetric", "STRICT_ALIGN_CORNERS": "align_corners",
             "UNALIGN_CORNERS": "half_pixel"}  # fmt: skip
    paddings = {"constant": "zeros", "border": "border", "reflection": "reflection"}

    def build(mb: Any, x: Any, grid: Any) -> dict[str, Any]:
        built = {
            mode: mb.resize(x=x, shape=[8, 7], resized_dims=np.uint32(2), sampling_mode=mode)
            for mode in modes
        }
        built["nearest"] = mb.upsample_nearest_neighbor(
            x=x, scale_factor_height=2, scale_factor_width=3
        )
        built["bilinear"] = mb.upsample_bilinear(
            x=x, scale_factor_height=2, scale_factor_width=3, align_corners=False
        )
        for padding in paddings:
            built[padding] = mb.resample(
                x=x, coordinates=grid, sampling_mode="bilinear", padding_mode=padding,
                padding_value=0.0, coordinates_mode="normalized_minus_one_to_one",
                align_corners=True,
            )  # fmt: skip
        return built

    expected = {
        mode: onnx_node("Resize", [x, None, None, sizes], mode="linear",
                        coordinate_transformation_mode=name)[0]
        for mode, name in modes.items()
    }  # fmt: skip
    expected["nearest"] = x.repeat(2, axis=2).repeat(3, axis=3)
    expected["bilinear"] = onnx_node(
        "Resize", [x, None, None, np.array([1, 2, 8, 15])], mode="linear"
    )[0]
    for padding, name in paddings.items():
        expected[padding] = onnx_node(
            "GridSample", [x, grid], mode="linear", padding_mode=name, align_corners=1
        )[0]
    assert_all(interpret(build, {"x": x, "grid": grid}), expected)
