"""Every form of TensorFlow model, converted by one worker and compared with TensorFlow.

One worker serves all tests, as importing TensorFlow takes seconds.
"""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from irconv.errors import InputError, UnsupportedError
from irconv.graph.interface import input_specs, output_specs
from irconv.graph.reading.load import load_model
from irconv.graph.walk import all_nodes
from irconv.runtime.base import Feeds
from irconv.runtime.onnxruntime import OnnxRuntimeRunner
from irconv.runtime.remote import RemoteRunner
from irconv.shapes import parse_input
from irconv.worker import Worker, WorkerLimits

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("tensorflow") is None, reason="TensorFlow is not installed"
    ),
]
TOLERANCE = 5e-6
SIZES = (1, 3, 6)


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=":")
        service = "irconv.frontends.tensorflow.service:TensorflowService"
        with Worker(service, limits=WorkerLimits(seconds=240), label="tensorflow") as started:
            yield started


def stated(*texts: str) -> list[Any]:
    specs = [parse_input(text) for text in texts]
    return [(spec.name, list(spec.dims), spec.dtype) for spec in specs]


def samples(model: ir.Model) -> list[Feeds]:
    """Inputs of every size, indices within the smallest table."""
    random = np.random.default_rng(11)
    found: list[Feeds] = []
    for size in SIZES:
        feeds = {}
        for spec in input_specs(model):
            shape = [dim if isinstance(dim, int) else size for dim in spec.shape or ()]
            if spec.dtype.startswith("int"):
                feeds[spec.name] = random.integers(0, 6, shape).astype(spec.dtype)
            else:
                feeds[spec.name] = random.standard_normal(shape).astype(spec.dtype)
        found.append(feeds)
    return found


def check(worker: Worker, folder: Path, opset: int = 18) -> ir.Model:
    """Export what is open, compare it with TensorFlow, and return it."""
    path = folder / "model.onnx"
    worker.call("export", path=str(path), opset=opset)
    model = load_model(path).model
    feeds = samples(model)
    seen: dict[str, list[Any]] = {}
    with RemoteRunner(worker, owns_worker=False) as reference, OnnxRuntimeRunner(path) as runner:
        for sample, wanted in zip(feeds, reference.run_all(feeds), strict=True):
            found = runner.run(sample)
            assert list(found) == list(wanted) == [spec.name for spec in output_specs(model)]
            for name, value in wanted.items():
                array, ours = np.asarray(value), np.asarray(found[name])
                assert (ours.dtype, ours.shape) == (array.dtype, array.shape)
                scale = max(1.0, float(np.abs(array).max(initial=0)))
                np.testing.assert_allclose(ours, array, rtol=0, atol=TOLERANCE * scale)
                seen.setdefault(name, []).extend(array.ravel())
    assert [name for name, values in seen.items() if len(set(values)) < 2] == []
    return model


def interface(model: ir.Model) -> list[str]:
    return [str(spec) for spec in (*input_specs(model), *output_specs(model))]


def operators(model: ir.Model) -> Counter[str]:
    return Counter(node.op_type for node in all_nodes(model))


KERAS = {
    "cnn.keras": ["image: float32[batch,16,16,3]", "label: float32[batch,5]",
                  "mask: float32[batch,8,8,1]"],
    "cnn.h5": ["image: float32[batch,16,16,3]", "label: float32[batch,5]",
               "mask: float32[batch,8,8,1]"],
    "lstm.keras": ["x: float32[batch,x_dim1,5]", "lstm: float32[batch,x_dim1,4]",
                   "lstm_1: float32[batch,4]", "lstm_2: float32[batch,4]"],
    "gru.keras": ["x: float32[batch,x_dim1,5]", "gru: float32[?,?,4]"],
    "gru_before.keras": ["x: float32[batch,x_dim1,5]", "gru_1: float32[?,4]"],
    "bidirectional.keras": ["x: float32[batch,x_dim1,5]",
                            "bidirectional: float32[batch,x_dim1,8]"],
    "bigru.keras": ["x: float32[batch,x_dim1,5]", "bidirectional_1: float32[?,3]"],
    "stacked.keras": ["tokens: int32[batch,7]", "simple_rnn: float32[?,3]"],
    "odd.keras": ["x: float32[batch,6,6,2]", "grown: float32[batch,14,14,3]",
                  "resized: float32[batch,10,7,2]", "nearest: float32[batch,10,7,2]",
                  "hot: float32[batch,3,4]", "bins: int32[batch,3]", "places: int32[batch,1]"],
    "shifted.keras": ["x: float32[batch,8,8,3]", "y: float32[batch,4,4,2]"],
    "sequential.keras": ["input_layer: float32[batch,4]", "dense: float32[batch,3]"],
}  # fmt: skip


@pytest.mark.parametrize("name", KERAS)
def test_keras(name: str, worker: Worker, tensorflow_models: Path, tmp_path: Path) -> None:
    path = str(tensorflow_models / name)
    worker.call("load_keras", path=path, inputs=[], trust=False)
    assert interface(check(worker, tmp_path)) == KERAS[name]


def test_what_recurrent_layers_become(
    worker: Worker, tensorflow_models: Path, tmp_path: Path
) -> None:
    for name, operator, count in (
        ("lstm", "LSTM", 1),
        ("bidirectional", "LSTM", 1),
        ("gru", "Loop", 1),
    ):
        folder = tmp_path / name
        folder.mkdir()
        path = str(tensorflow_models / f"{name}.keras")
        worker.call("load_keras", path=path, inputs=[], trust=False)
        assert operators(check(worker, folder))[operator] == count


def test_no_transposes_are_left_inside(
    worker: Worker, tensorflow_models: Path, tmp_path: Path
) -> None:
    """One at the input, and one where the image is flattened, whose order the weights know."""
    worker.call("load_keras", path=str(tensorflow_models / "cnn.keras"), inputs=[], trust=False)
    model = check(worker, tmp_path)
    transposes = [node for node in all_nodes(model) if node.op_type == "Transpose"]
    at_input = [node for node in transposes if node.inputs[0].is_graph_input()]
    at_flatten = [
        node
        for node in transposes
        if [user.op_type for user in node.outputs[0].consumers()] == ["Reshape"]
    ]
    assert (len(at_input), len(at_flatten), len(transposes)) == (1, 1, 2)


def test_dense_layers_let_transposes_pass(
    worker: Worker, tensorflow_models: Path, tmp_path: Path
) -> None:
    path = str(tensorflow_models / "block.keras")
    worker.call("load_keras", path=path, inputs=[], trust=False)
    counts = operators(check(worker, tmp_path))
    assert (counts["Transpose"], counts["Conv"]) == (1, 7)
    assert counts["Shape"] == 0


def test_trusted_code_runs(worker: Worker, tensorflow_models: Path, tmp_path: Path) -> None:
    marker = tensorflow_models / "markers" / "lambda.keras"
    path = str(tensorflow_models / "hostile" / "lambda.keras")
    worker.call("load_keras", path=path, inputs=[], trust=True)
    assert marker.exists()
    marker.unlink()
    check(worker, tmp_path)
    marker.unlink(missing_ok=True)


def test_dimensions_as_the_user_names_and_binds_them(
    worker: Worker, tensorflow_models: Path, tmp_path: Path
) -> None:
    worker.call(
        "load_keras",
        path=str(tensorflow_models / "words.keras"),
        inputs=stated("ids[2,seq]{i32}", "weight[2,seq]"),
        trust=False,
    )
    assert interface(check(worker, tmp_path)) == [
        "ids: int32[2,seq]", "weight: float32[2,seq]", "score: float32[2,2]",
        "hidden: float32[2,seq,6]",
    ]  # fmt: skip


@pytest.mark.parametrize("opset", [13, 17])
def test_an_older_opset(
    opset: int, worker: Worker, tensorflow_models: Path, tmp_path: Path
) -> None:
    path = str(tensorflow_models / "cnn.keras")
    worker.call("load_keras", path=path, inputs=[], trust=False)
    assert check(worker, tmp_path, opset).opset_imports == {"": opset}


SIGNATURES = {
    ("signatures", "serving_default"): [
        "apple: int64[batch]", "zebra: float32[batch,4]", "arg: int64[batch]",
        "sum: float32[batch,3]",
    ],
    ("signatures", "same"): [
        "x: float32[batch,2]", "x_out: float32[batch,2]", "y: float32[batch,2]",
    ],
    ("signatures", "power"): ["n: int32[]", "power: float32[4,4]"],
    ("cnn", "serving_default"): KERAS["cnn.keras"],
    ("v1", "serving_default"): ["features: float32[batch,4]", "scores: float32[?,4]"],
    ("v1_resource", "serving_default"): ["features: float32[batch,4]", "scores: float32[?,4]"],
}  # fmt: skip


@pytest.mark.parametrize(("name", "signature"), SIGNATURES)
def test_saved_models(
    name: str, signature: str, worker: Worker, tensorflow_models: Path, tmp_path: Path
) -> None:
    folder = str(tensorflow_models / name)
    worker.call("load_saved_model", folder=folder, tags=["serve"], signature=signature, inputs=[])
    assert interface(check(worker, tmp_path)) == SIGNATURES[name, signature]


def test_a_loop_of_tf1_stays_a_loop(
    worker: Worker, tensorflow_models: Path, tmp_path: Path
) -> None:
    worker.call(
        "load_graph",
        path=str(tensorflow_models / "while.pb"),
        names=["x", "n"],
        outputs=["result"],
        inputs=[],
    )
    model = check(worker, tmp_path)
    assert interface(model) == ["x: float32[batch,3]", "n: int32[]", "result: float32[?,3]"]
    assert operators(model)["Loop"] == 1
    assert operators(model)["If"] == 1


def test_a_graph_cut_at_any_tensor(worker: Worker, tensorflow_models: Path, tmp_path: Path) -> None:
    worker.call(
        "load_graph",
        path=str(tensorflow_models / "convolution.pb"),
        names=["conv"],
        outputs=["relu", "conv"],
        inputs=stated("conv[1,8,8,4]{f32}"),
    )
    assert interface(check(worker, tmp_path)) == [
        "conv: float32[1,8,8,4]", "relu: float32[1,8,8,4]", "conv_out: float32[1,8,8,4]",
    ]  # fmt: skip


def test_operators_that_tf2onnx_lacks(
    worker: Worker, tensorflow_models: Path, tmp_path: Path
) -> None:
    worker.call(
        "load_graph",
        path=str(tensorflow_models / "lacking.pb"),
        names=["x"],
        outputs=["erfc", "log1p", "expm1", "xlogy", "xdivy", "mul_no_nan", "l2", "called"],
        inputs=[],
    )
    check(worker, tmp_path)


def test_a_factory_without_a_known_input(worker: Worker, tmp_path: Path) -> None:
    worker.call(
        "load_factory", target="tensorflow_models:subclassed", inputs=stated("x[batch,4]{f32}")
    )
    assert interface(check(worker, tmp_path)) == [
        "x: float32[batch,4]", "doubled: float32[batch,2]", "plain: float32[batch,2]",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("target", "texts", "what"),
    [
        ("tensorflow_models:raises", (), "no weights today"),
        ("tensorflow_models:number", (), "returned a int"),
        ("tensorflow_models:absent", (), "has no 'absent'"),
        ("no_such_module:make", (), "cannot be imported"),
        ("tensorflow_models:unbuilt", (), "does not know its own inputs"),
        ("tensorflow_models:subclassed", ("x[batch,5]",), "cannot be traced"),
    ],
)
def test_a_factory_that_does_not_do(
    target: str, texts: tuple[str, ...], what: str, worker: Worker
) -> None:
    with pytest.raises(InputError) as caught:
        worker.call("load_factory", target=target, inputs=stated(*texts))
    assert what in caught.value.what
    assert caught.value.hint


def test_state_is_refused_by_name(worker: Worker, tensorflow_models: Path, tmp_path: Path) -> None:
    worker.call(
        "load_saved_model",
        folder=str(tensorflow_models / "counting"),
        tags=["serve"],
        signature="serving_default",
        inputs=[],
    )
    with pytest.raises(UnsupportedError) as caught:
        worker.call("export", path=str(tmp_path / "m.onnx"), opset=18)
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.code, diagnostic.op) == ("STATE", "AssignAddVariableOp")
    assert not list(tmp_path.iterdir())


def test_an_operator_without_translation_is_named(
    worker: Worker, tensorflow_models: Path, tmp_path: Path
) -> None:
    worker.call(
        "load_graph",
        path=str(tensorflow_models / "untranslated.pb"),
        names=["x"],
        outputs=["bessel", "digamma"],
        inputs=[],
    )
    with pytest.raises(UnsupportedError) as caught:
        worker.call("export", path=str(tmp_path / "m.onnx"), opset=18)
    found = {(entry.code, entry.op, entry.node) for entry in caught.value.diagnostics}
    assert found == {
        ("UNSUPPORTED_OP", "tensorflow::BesselI0e", "bessel"),
        ("UNSUPPORTED_OP", "tensorflow::Digamma", "digamma"),
    }
    assert not list(tmp_path.iterdir())


def test_a_dtype_that_tf2onnx_confuses_is_refused(
    worker: Worker, tensorflow_models: Path, tmp_path: Path
) -> None:
    worker.call(
        "load_graph",
        path=str(tensorflow_models / "brain_float.pb"),
        names=["x"],
        outputs=["y"],
        inputs=[],
    )
    with pytest.raises(UnsupportedError) as caught:
        worker.call("export", path=str(tmp_path / "m.onnx"), opset=18)
    assert {entry.code for entry in caught.value.diagnostics} == {"UNSUPPORTED_DTYPE"}
    assert {entry.node for entry in caught.value.diagnostics} == {"narrow", "y"}
