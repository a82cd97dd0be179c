"""The TFLite frontend: files of TensorFlow's converter, LiteRT's own outputs as reference."""

from __future__ import annotations

import importlib.util
import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from click.testing import CliRunner

import irconv
from irconv.backends.base import Availability
from irconv.cli.main import cli
from irconv.errors import InputError, MissingError, UnsupportedError
from irconv.frontends.base import Imported, ImportRequest
from irconv.frontends.choose import choose_frontend
from irconv.frontends.tflite import TfliteFrontend
from irconv.graph.interface import input_specs, output_specs
from irconv.graph.serialize import save_model
from irconv.plugins import load_registry
from irconv.runtime.base import Feeds
from irconv.runtime.onnxruntime import OnnxRuntimeRunner
from irconv.shapes import parse_input
from irconv.worker import WorkerLimits

FILES = Path(__file__).with_name("tflite_files")
needs_litert = pytest.mark.skipif(
    importlib.util.find_spec("ai_edge_litert") is None, reason="LiteRT is not installed"
)


class Imports:
    """Imports files and closes them at the end of the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.opened: list[Imported] = []

    def __call__(
        self, source: Path, *inputs: str, signature: str | None = None, hybrid: str = "exact"
    ) -> Imported:
        directory = Path(tempfile.mkdtemp(dir=self.folder))
        request = ImportRequest(
            directory=directory,
            limits=WorkerLimits(seconds=120),
            inputs=[parse_input(text) for text in inputs],
            signature=signature,
        )
        imported = TfliteFrontend(hybrid=hybrid).load(str(source), request)
        self.opened.append(imported)
        return imported


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Imports]:
    imports = Imports(tmp_path)
    yield imports
    for imported in imports.opened:
        imported.close()


def samples(model: ir.Model, count: int = 4) -> list[Feeds]:
    """Draw inputs; a dynamic batch is of another size in each."""
    random = np.random.default_rng(11)
    drawn: list[Feeds] = []
    for number in range(count):
        feeds = {}
        for value in model.graph.inputs:
            shape = [dim if isinstance(dim, int) else number % 3 + 1 for dim in value.shape]
            dtype = value.dtype.numpy()
            if dtype.kind == "f":
                array = random.standard_normal(shape)
            elif dtype == np.int8:
                array = random.integers(-128, 128, shape)
            else:
                array = random.integers(0, 2 if dtype == np.bool_ else 50, shape)
            feeds[value.name] = np.asarray(array).astype(dtype)
        drawn.append(feeds)
    return drawn


def largest_difference(imported: Imported, path: Path) -> float:
    """Run the import and the source on the same inputs; names, order, dtypes must agree."""
    save_model(imported.model, path)
    worst = 0.0
    with imported.open_reference() as reference, OnnxRuntimeRunner(path) as runner:
        for feeds in samples(imported.model):
            wanted, found = reference.run(feeds), runner.run(feeds)
            assert list(wanted) == list(found)
            for name in wanted:
                assert wanted[name].dtype == found[name].dtype
                assert wanted[name].shape == found[name].shape
                gap = np.abs(wanted[name].astype(float) - found[name].astype(float))
                worst = max(worst, gap.max(initial=0.0))
            spread = [np.std(array.astype(float)) for array in wanted.values() if array.size > 1]
            assert any(spread), "a constant output proves nothing"
    return float(worst)


@needs_litert
@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("convnet-float", 1e-5),
        ("convnet-float16", 1e-5),
        ("convnet-dynamic", 1e-5),
        ("convnet-int8", 2.0),
        ("convnet-int8-float-io", 2 / 256),
        ("convnet-int16x8", 2e-3),
        ("attention-float", 1e-5),
        ("attention-dynamic", 1e-5),
        ("lstm", 1e-6),
        ("gru", 1e-6),
    ],
)
def test_outputs_are_those_of_litert(
    name: str, allowed: float, load: Imports, tmp_path: Path
) -> None:
    imported = load(FILES / f"{name}.tflite")
    assert largest_difference(imported, tmp_path / "model.onnx") <= allowed


@needs_litert
@pytest.mark.parametrize("signature", ["halve", "branch"])
def test_each_signature_is_a_model(signature: str, load: Imports, tmp_path: Path) -> None:
    imported = load(FILES / "signatures.tflite", signature=signature)
    assert largest_difference(imported, tmp_path / "model.onnx") <= 1e-6
    assert f"imported the signature '{signature}'" in imported.source.notes


def test_names_and_dims_are_those_of_the_signature(load: Imports) -> None:
    halve = load(FILES / "signatures.tflite", signature="halve").model
    assert [str(spec) for spec in input_specs(halve)] == ["x: float32[batch,4]"]
    assert [str(spec) for spec in output_specs(halve)] == ["steps: int32[]", "small: float32[?,4]"]
    branch = load(FILES / "signatures.tflite", signature="branch").model
    assert [str(spec) for spec in input_specs(branch)] == ["up: bool[]", "a: float32[3]"]
    assert [str(spec) for spec in output_specs(branch)] == ["result: float32[6]"]


def test_quantized_models_keep_their_dtype_at_the_interface(load: Imports) -> None:
    model = load(FILES / "convnet-int8.tflite").model
    assert [spec.dtype for spec in (*input_specs(model), *output_specs(model))] == ["int8", "int8"]


def test_several_signatures_need_a_choice(load: Imports) -> None:
    with pytest.raises(InputError, match="has 2 signatures") as caught:
        load(FILES / "signatures.tflite")
    assert "branch, halve" in caught.value.hint
    with pytest.raises(InputError, match="no signature 'train'"):
        load(FILES / "signatures.tflite", signature="train")
    with pytest.raises(InputError, match="no signature 'x'") as caught:
        load(FILES / "flex.tflite", signature="x")
    assert "it has none" in caught.value.hint


def test_dynamic_dims_take_the_names_and_sizes_that_the_user_states(load: Imports) -> None:
    named = load(FILES / "convnet-float.tflite", "image[n,15,12,3]{f32}").model
    assert str(input_specs(named)[0]) == "image: float32[n,15,12,3]"
    fixed = load(FILES / "convnet-float.tflite", "image[2,15,12,3]").model
    assert str(output_specs(fixed)[0]) == "output_0: float32[2,5]"
    for text in ("image[n,15,12]", "image[n,15,13,3]", "image[n,15,12,3]{i8}"):
        with pytest.raises(InputError, match=r"is float32\['\?', 15, 12, 3\], not"):
            load(FILES / "convnet-float.tflite", text)
    with pytest.raises(InputError, match="names \\['picture'\\]"):
        load(FILES / "convnet-float.tflite", "picture[1]")


def operators(model: ir.Model) -> Counter[str]:
    return Counter(node.op_type for node in model.graph)


def test_images_come_out_channels_first_without_a_trail_of_transposes(load: Imports) -> None:
    counts = operators(load(FILES / "convnet-float.tflite").model)
    assert counts["Conv"] == 4
    assert counts["Transpose"] == 4, "one at the input, one at Flatten, two around UpSampling2D"


def test_dilated_convolutions_are_joined_again(load: Imports) -> None:
    model = load(FILES / "convnet-float.tflite").model
    dilations = [
        node.attributes["dilations"].as_ints()
        for node in model.graph
        if "dilations" in node.attributes
    ]
    assert dilations == [(2, 2)]


def test_shapes_of_a_dynamic_batch_are_no_chains_of_nodes(load: Imports) -> None:
    counts = operators(load(FILES / "convnet-float.tflite").model)
    assert not counts["Shape"]
    assert not counts["Slice"]


def test_shapes_of_what_a_loop_carries_are_known(load: Imports) -> None:
    model = load(FILES / "gru.tflite").model
    loop = next(node for node in model.graph if node.op_type == "Loop")
    assert [str(value.shape) for value in loop.outputs[-3:]] == ["[1,1,5]", "[1,5]", "[5,1,4]"]
    halve = load(FILES / "signatures.tflite", signature="halve").model
    loop = next(node for node in halve.graph if node.op_type == "Loop")
    assert "[None,4]" in [str(value.shape) for value in loop.outputs]


def test_quantization_is_kept_as_pairs_around_real_operators(load: Imports) -> None:
    model = load(FILES / "convnet-int8.tflite").model
    convolutions = [node for node in model.graph if node.op_type == "Conv"]
    for node in convolutions:
        x, weights, bias = (value.producer() for value in node.inputs)
        assert [x.op_type, weights.op_type, bias.op_type] == ["DequantizeLinear"] * 3
        stored = weights.inputs[0]
        assert stored.is_initializer()
        assert stored.dtype == ir.DataType.INT8
        assert weights.inputs[1].shape == [stored.shape[0]]
        assert weights.attributes["axis"].as_int() == 0
        steps = x.inputs[1].const_value.numpy() * weights.inputs[1].const_value.numpy()
        assert bias.inputs[0].dtype == ir.DataType.INT32
        np.testing.assert_allclose(bias.inputs[1].const_value.numpy(), steps, rtol=1e-6)
    assert model.opset_imports[""] == 20
    wide = load(FILES / "convnet-int16x8.tflite").model
    points = {node.inputs[2].dtype for node in wide.graph if node.op_type == "QuantizeLinear"}
    assert points == {ir.DataType.INT16}
    assert wide.opset_imports[""] == 21


def test_half_weights_stay_half(load: Imports) -> None:
    model = load(FILES / "convnet-float16.tflite").model
    kernels = [node.inputs[1].producer() for node in model.graph if node.op_type == "Conv"]
    assert {kernel.op_type for kernel in kernels} == {"Cast"}
    assert {kernel.inputs[0].dtype for kernel in kernels} == {ir.DataType.FLOAT16}


def test_rounded_activations_may_be_left_out(load: Imports) -> None:
    exact = load(FILES / "convnet-dynamic.tflite")
    plain = load(FILES / "convnet-dynamic.tflite", hybrid="weights")
    assert operators(exact.model)["Round"]
    assert not operators(plain.model)["Round"]
    assert any("are in the graph" in note for note in exact.source.notes)
    assert any("differs from the source" in note for note in plain.source.notes)


@needs_litert
@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["convnet-int8", "convnet-int16x8", "convnet-dynamic", "attention-float", "lstm"]
)
def test_compiled_and_verified_against_litert(name: str, tmp_path: Path) -> None:
    result = irconv.compile(FILES / f"{name}.tflite", ["onnx"], tmp_path / "build")
    manifest = result.targets[0].manifest
    assert manifest["verification"]["verdict"] == "pass"
    assert manifest["source"]["frontend"] == "tflite"
    golden = json.loads((tmp_path / "build" / "onnx" / "golden" / "golden.json").read_text())
    assert "litert" in str(golden)


def test_every_operator_that_has_no_converter_is_named_at_once(load: Imports) -> None:
    with pytest.raises(UnsupportedError) as caught:
        load(FILES / "flex.tflite")
    named = [diagnostic.op for diagnostic in caught.value.diagnostics]
    assert named == ["tflite::CUSTOM::FlexCholesky", "tflite::CUSTOM::FlexMatrixInverse"]
    assert "SELECT_TF_OPS" in caught.value.diagnostics[0].way_out


def test_chosen_by_suffix_or_content(tmp_path: Path) -> None:
    other = tmp_path / "model.bin"
    other.write_bytes((FILES / "gru.tflite").read_bytes())
    registry = load_registry()
    assert choose_frontend(registry, str(other)).name == "tflite"
    assert choose_frontend(registry, str(tmp_path / "absent.tflite")).name == "tflite"


def test_importing_needs_no_litert_and_the_goldens_do(
    load: Imports, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = Availability(False, "ai-edge-litert is not installed", "pip install ai-edge-litert")
    monkeypatch.setattr(TfliteFrontend, "available", lambda _: absent)
    imported = load(FILES / "gru.tflite")
    with pytest.raises(MissingError, match="ai-edge-litert is not installed"):
        imported.open_reference()


def test_inspect_says_what_it_is_without_running_it() -> None:
    done = CliRunner().invoke(cli, ["inspect", str(FILES / "convnet-int8.tflite"), "--json"])
    assert done.exit_code == 0
    facts = json.loads(done.stdout)
    assert facts["frontend"] == "tflite"
    assert facts["description"] == "MLIR Converted."
    assert facts["min_runtime_version"]
    assert facts["signatures"] == ["serving_default"]
    assert facts["inputs"][0]["shape"] == [None, 15, 12, 3]
    assert facts["inputs"][0]["dtype"] == "int8"
    assert facts["inputs"][0]["scale"] > 0
    assert facts["operators"]["CONV_2D"] == 3
    assert facts["can_import"]


def test_inspect_names_custom_operators() -> None:
    facts = TfliteFrontend().inspect(str(FILES / "flex.tflite"))
    assert facts["custom_operators"] == ["FlexCholesky", "FlexMatrixInverse"]
    assert not facts["can_import"]
    assert len(facts["notes"]) == 2
