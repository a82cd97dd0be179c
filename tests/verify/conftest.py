from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from irconv.graph.serialize import save_model
from irconv.runtime.base import Feeds, Runner
from irconv.runtime.onnxruntime import OnnxRuntimeRunner
from irconv.verify.golden import Golden, Origin


class InProcessRunner(OnnxRuntimeRunner):
    """ONNX Runtime in this process, from a temporary folder that goes with it."""

    def __init__(self, model: ir.Model, *, optimize: bool) -> None:
        self._files = tempfile.TemporaryDirectory()
        path = Path(self._files.name, "model.onnx")
        save_model(model, path)
        try:
            super().__init__(path, optimize=optimize)
        except Exception:
            self._files.cleanup()
            raise

    def close(self) -> None:
        super().close()
        self._files.cleanup()


@pytest.fixture(scope="session")
def open_reference() -> Callable[[ir.Model], Runner]:
    return lambda model: InProcessRunner(model, optimize=False)


@pytest.fixture(scope="session")
def open_optimized() -> Callable[[ir.Model], Runner]:
    return lambda model: InProcessRunner(model, optimize=True)


@pytest.fixture(scope="session")
def make_golden(open_reference) -> Callable[..., Golden]:
    def make(model: ir.Model, samples: list[Feeds], origin: Origin = "generated") -> Golden:
        with open_reference(model) as runner:
            outputs = [runner.run(sample) for sample in samples]
        return Golden(samples, outputs, origin, 0, {"runtime": "onnxruntime"})

    return make


def _weights(model: ir.Model, shapes: dict[str, tuple[int, ...]], seed: int) -> ir.Model:
    random = np.random.default_rng(seed)
    for name, shape in shapes.items():
        fan_in = int(np.prod(shape[1:])) if len(shape) > 2 else shape[0]
        if len(shape) == 1:
            array = random.uniform(0.5, 1.5, shape)
        else:
            array = random.standard_normal(shape) * np.sqrt(2 / max(fan_in, 1))
        tensor = ir.tensor(array.astype(np.float32), name=name)
        value = next(value for value in model.graph.inputs if value.name == name)
        model.graph.inputs.remove(value)
        value.const_value = tensor
        model.graph.initializers.add(value)
    return model


@pytest.fixture
def cnn() -> ir.Model:
    """A small residual network with batch normalization."""
    model = ir.from_onnx_text("""
        < ir_version: 10, opset_import: ["" : 20] >
        g (float[N, 3, 32, 32] x, float[32, 3, 3, 3] w1, float[32] s1, float[32] b1,
           float[32] m1, float[32] v1, float[32, 32, 3, 3] w2, float[64, 32, 3, 3] w3,
           float[64, 10] w4, float[10] b4) => (float[N, 10] y) {
          c1 = Conv <pads = [1, 1, 1, 1]> (x, w1)
          n1 = BatchNormalization (c1, s1, b1, m1, v1)
          r1 = Relu (n1)
          c2 = Conv <pads = [1, 1, 1, 1]> (r1, w2)
          a2 = Add (c2, r1)
          r2 = Relu (a2)
          c3 = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (r2, w3)
          r3 = Relu (c3)
          p = GlobalAveragePool (r3)
          f = Flatten (p)
          y = Gemm (f, w4, b4)
        }
    """)
    names = ("w1", "s1", "b1", "m1", "v1", "w2", "w3", "w4", "b4")
    shapes = {v.name: tuple(v.shape.numpy()) for v in model.graph.inputs if v.name in names}
    return _weights(model, shapes, 1)


@pytest.fixture
def depthwise() -> ir.Model:
    """Inverted residuals as in MobileNetV2: cancellation-prone, clipped activations."""
    model = ir.from_onnx_text(
        """
        < ir_version: 10, opset_import: ["" : 20] >
        g (float[N, 16, 16, 16] x, float[96, 16, 1, 1] e1, float[96, 1, 3, 3] d1,
           float[16, 96, 1, 1] p1, float[96, 16, 1, 1] e2, float[96, 1, 3, 3] d2,
           float[16, 96, 1, 1] p2, float[16, 20] o) => (float[N, 20] y)
        < float zero = {0}, float six = {6} > {
          a1 = Conv (x, e1)
          a2 = Clip (a1, zero, six)
          a3 = Conv <group = 96, pads = [1, 1, 1, 1]> (a2, d1)
          a4 = Clip (a3, zero, six)
          a5 = Conv (a4, p1)
          r1 = Add (x, a5)
          c1 = Conv (r1, e2)
          c2 = Clip (c1, zero, six)
          c3 = Conv <group = 96, pads = [1, 1, 1, 1]> (c2, d2)
          c4 = Clip (c3, zero, six)
          c5 = Conv (c4, p2)
          r2 = Add (r1, c5)
          m = ReduceMean <keepdims = 0> (r2, axes)
          y = MatMul (m, o)
        }
    """.replace("float six = {6}", "float six = {6}, int64[2] axes = {2, 3}")
    )
    names = ("e1", "d1", "p1", "e2", "d2", "p2", "o")
    shapes = {v.name: tuple(v.shape.numpy()) for v in model.graph.inputs if v.name in names}
    return _weights(model, shapes, 2)


@pytest.fixture
def transformer() -> ir.Model:
    """One encoder layer with token ids, positions and an additive attention mask."""
    model = ir.from_onnx_text("""
        < ir_version: 10, opset_import: ["" : 20] >
        g (int64[batch, seq] input_ids, int64[batch, seq] attention_mask,
           float[100, 32] table, float[32, 32] wq, float[32, 32] wk, float[32, 32] wv,
           float[32, 32] wo, float[32] g1, float[32] g2, float[32, 64] f1, float[64, 32] f2)
           => (float[batch, seq, 32] y)
        < float one = {1}, float big = {-1000000000}, float root = {5.65685424949},
          int64[2] axes = {1, 2}, float half = {0.5}, float sqrt2 = {1.41421356} > {
          x = Gather (table, input_ids)
          q = MatMul (x, wq)
          k = MatMul (x, wk)
          v = MatMul (x, wv)
          kt = Transpose <perm = [0, 2, 1]> (k)
          s = MatMul (q, kt)
          scaled = Div (s, root)
          m = Cast <to = 1> (attention_mask)
          inverted = Sub (one, m)
          penalty = Mul (inverted, big)
          axis1 = Constant <value_ints = [1]> ()
          wide = Unsqueeze (penalty, axis1)
          masked = Add (scaled, wide)
          p = Softmax <axis = -1> (masked)
          c = MatMul (p, v)
          o = MatMul (c, wo)
          r = Add (x, o)
          n = LayerNormalization (r, g1)
          h = MatMul (n, f1)
          t = Div (h, sqrt2)
          e = Erf (t)
          e1 = Add (e, one)
          he = Mul (h, e1)
          ge = Mul (he, half)
          z = MatMul (ge, f2)
          r2 = Add (n, z)
          y = LayerNormalization (r2, g2)
        }
    """)
    shapes = {
        v.name: tuple(v.shape.numpy())
        for v in model.graph.inputs
        if v.name not in ("input_ids", "attention_mask")
    }
    return _weights(model, shapes, 3)
