"""Fixtures that many tests share."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "suite", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("suite")

SMALL_NET = """
< ir_version: 8, opset_import: ["" : 17] >
net (float[N, 3, 8, 8] image) => (float[N, 5] logits, int64[N] label)
< float[16, 3, 3, 3] w, float[16] scale, float[16] bias, float[16] mean, float[16] var,
  float[16, 5] head, float[5] head_bias > {
    conv = Conv <pads = [1, 1, 1, 1]> (image, w)
    norm = BatchNormalization (conv, scale, bias, mean, var)
    same = Identity (norm)
    act = Relu (same)
    pooled = GlobalAveragePool (act)
    flat = Flatten (pooled)
    logits = Gemm (flat, head, head_bias)
    label = ArgMax <axis = 1, keepdims = 0> (logits)
}
"""


def build_small_net() -> onnx.ModelProto:
    """Return a CNN with seeded weights, dynamic batch and two outputs."""
    import numpy as np

    model = onnx.parser.parse_model(SMALL_NET)
    random = np.random.default_rng(7)
    shapes = {
        "w": (16, 3, 3, 3), "scale": (16,), "bias": (16,), "mean": (16,), "var": (16,),
        "head": (16, 5), "head_bias": (5,),
    }  # fmt: skip
    del model.graph.initializer[:]
    for name, shape in shapes.items():
        values = random.standard_normal(shape).astype(np.float32)
        values = np.abs(values) + 0.5 if name == "var" else values
        model.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    return model


@pytest.fixture
def small_net(tmp_path: Path) -> Path:
    """Path of a small CNN on disk, alone in its folder."""
    folder = tmp_path / "source"
    folder.mkdir()
    path = folder / "net.onnx"
    onnx.save(build_small_net(), path)
    return path


@dataclass
class Outcome:
    """What a command line call did."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Return stdout as one JSON document."""
        return json.loads(self.out)


@pytest.fixture
def irconv_cli(capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run the command line in this process."""
    from irconv.cli.main import run

    def call(*arguments: object) -> Outcome:
        capfd.readouterr()
        code = run([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call
