"""Functions of JAX and modules of Flax: the converted model gives JAX's own outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from irconv_jax import JaxFrontend

import irconv
from irconv.errors import InputError
from irconv.frontends.base import ImportRequest
from irconv.graph.interface import input_specs, output_specs
from irconv.graph.reading.load import load_model
from irconv.runtime.onnxruntime import OnnxRuntimeRunner
from irconv.runtime.values import load_samples
from irconv.shapes import parse_input
from irconv.testing import assert_frontend_conforms
from irconv.worker import WorkerLimits

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

TOLERANCE = 1e-5


@pytest.fixture
def convert(tmp_path: Path) -> Any:
    """Convert a factory of ``jax_models`` in this process, as the worker does."""
    from irconv_jax.service import JaxService

    def call(name: str, *inputs: str, opset: int = 20, shapes: Any = None) -> Any:
        service = JaxService()
        stated = [parse_input(text) for text in inputs]
        service.open(f"jax_models:{name}", [(s.name, list(s.dims), s.dtype) for s in stated])
        path, examples = tmp_path / "model.onnx", tmp_path / "examples.npz"
        facts = service.export(str(path), str(examples), opset, shapes or {})
        feeds = load_samples(examples)[0] if facts["examples"] else None
        return service, load_model(path).model, feeds, facts["notes"]

    return call


def assert_same(service: Any, path: Path, *samples: Any) -> None:
    with OnnxRuntimeRunner(path) as runner:
        for sample in samples:
            wanted, found = service.runner.run(sample), runner.run(sample)
            assert list(wanted) == list(found)
            for name, value in wanted.items():
                assert value.dtype == found[name].dtype
                assert value.shape == found[name].shape
                np.testing.assert_allclose(found[name], value, TOLERANCE, TOLERANCE)


@pytest.mark.parametrize(
    ("name", "inputs", "outputs"),
    [
        ("mlp", ["features: float32[3,16]"], ["label", "logits"]),
        (
            "tree_of_inputs",
            ["pair_left: float32[2,5]", "pair_right: float32[2,5]", "scale: float32[1]"],
            ["output_0", "output_1_0"],
        ),
        ("fixed_number", ["x: float32[2,5]"], ["output"]),
        (
            "same_output_twice",
            ["x: float32[2,3]", "unused: float32[4]"],
            ["output_0", "output_1", "output_2"],
        ),
        ("recurrence", ["x: float32[2,5,16]"], ["last", "states"]),
        ("linen_cnn", ["image: float32[2,8,8,3]"], ["output"]),
        ("attention", ["tokens: float32[2,6,32]"], ["output"]),
        ("nnx_cnn_with_example", ["image: float32[2,8,8,3]"], ["output"]),
    ],
)
def test_outputs_are_those_of_jax(
    name: str, inputs: list[str], outputs: list[str], convert: Any, tmp_path: Path
) -> None:
    service, model, example, _ = convert(name)
    assert [str(spec) for spec in input_specs(model)] == inputs
    assert [spec.name for spec in output_specs(model)] == outputs
    assert_same(service, tmp_path / "model.onnx", example)


@pytest.mark.parametrize("opset", [20, 23])
@pytest.mark.parametrize(
    ("name", "statement"),
    [
        ("mlp", "features[batch,16]"),
        ("recurrence", "x[batch,5,16]"),
        ("linen_cnn", "image[batch,8,8,3]"),
        ("attention", "tokens[batch,6,32]"),
        ("nnx_cnn", "image[batch,8,8,3]{f32}"),
    ],
)
def test_a_free_batch(name: str, statement: str, opset: int, convert: Any, tmp_path: Path) -> None:
    service, model, _, _ = convert(name, statement, opset=opset)
    stated = parse_input(statement)
    assert input_specs(model)[0].shape == stated.dims
    assert all(spec.shape[0] == "batch" for spec in output_specs(model) if spec.shape)
    random = np.random.default_rng(0)
    sizes = [stated.dims[1:]] * 3
    samples = [
        {stated.name: random.standard_normal((batch, *rest)).astype(np.float32)}
        for batch, rest in zip((1, 2, 5), sizes, strict=True)
    ]
    assert_same(service, tmp_path / "model.onnx", *samples)


def test_positional_arguments_keep_the_operators_of_flax(convert: Any) -> None:
    _, model, _, notes = convert("linen_cnn")
    assert notes == ["converted by calls of Flax and jax.numpy"]
    operators = {node.op_type for node in model.graph}
    assert {"Conv", "AveragePool", "MaxPool", "Gemm"} <= operators


def test_names_of_sizes_are_free_dimensions(convert: Any) -> None:
    _, model, example, _ = convert("shapes_only")
    assert example is None
    assert [str(spec) for spec in input_specs(model)] == ["x: float32[rows,7]"]


def test_examples_outside_of_the_range_are_left_out(convert: Any) -> None:
    _, _, example, notes = convert("mlp", "features[batch,16]", shapes={"batch": (8, 16)})
    assert example is None
    assert "the example arguments have batch=3 and were left out" in notes


@pytest.mark.parametrize(
    ("name", "inputs", "message"),
    [
        ("python_branch", [], "Attempted boolean conversion"),
        ("random_numbers", [], "draws random numbers"),
        ("a_key", [], "is a key of random numbers"),
        ("linen_without_variables", [], "without variables"),
        ("a_number", [], "returned int"),
        ("function_alone", [], "no example arguments"),
        ("function_alone", ["y[3]"], "no argument 'y'"),
        ("function_alone", ["x[?]"], "open dimension"),
        ("mlp", ["features[batch,17]"], "does not fit"),
        ("mlp", ["features[16]"], "does not fit"),
        ("mlp", ["features[batch,16]{i64}"], "does not fit"),
        ("mlp", ["other[batch,16]"], "no input 'other'"),
        ("no_such_factory", [], "has no 'no_such_factory'"),
    ],
)
def test_what_cannot_be_used(name: str, inputs: list[str], message: str, convert: Any) -> None:
    with pytest.raises(InputError, match=message) as caught:
        convert(name, *inputs)
    assert caught.value.hint


def test_the_line_of_the_users_code_is_named(convert: Any) -> None:
    with pytest.raises(InputError) as caught:
        convert("python_branch")
    assert caught.value.where.endswith(" in choose")


@pytest.mark.parametrize(
    ("source", "message"),
    [("jax_models:mlp", "is code"), ("nothing.json", "is no module:factory")],
)
def test_refused_without_running_anything(source: str, message: str, tmp_path: Path) -> None:
    request = ImportRequest(directory=tmp_path, limits=WorkerLimits(seconds=60))
    with pytest.raises(InputError, match=message):
        JaxFrontend().load(source, request)
    assert not JaxFrontend().recognizes(source)


def test_a_file_of_jax_export_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "exported.bin"
    path.write_bytes(b"StableHLO")
    with pytest.raises(InputError, match="reads none") as caught:
        irconv.inspect(path, frontend="jax")
    assert "StableHLO" in caught.value.hint


@pytest.mark.timeout(900)
def test_from_a_factory_to_verified_artifacts(tmp_path: Path) -> None:
    result = irconv.compile(
        "jax_models:linen_cnn",
        ["onnx", "openvino", "tflite"],
        tmp_path,
        trust=True,
        frontend="jax",
        inputs=("image[batch,8,8,3]",),
        shapes=("batch=1..4@2",),
    )
    assert result.exit_code == 0, [str(target.error) for target in result.targets]
    for target in result.targets:
        assert target.manifest["verification"]["verdict"] == "pass"
        assert target.manifest["verification"]["reference"]["runtime"] == "jax"


def test_it_keeps_every_promise() -> None:
    report = assert_frontend_conforms(
        JaxFrontend(), "jax_models:mlp", inputs=["features[batch,16]"], trust=True
    )
    assert [str(outcome) for outcome in report.outcomes if outcome.status != "pass"] == []
