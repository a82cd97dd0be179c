"""The fused LSTM of TFLite, which TensorFlow 2's converter writes for older Keras layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from irconv.errors import UnsupportedError
from irconv.frontends.base import Imported, ImportRequest
from irconv.frontends.tflite import TfliteFrontend
from irconv.graph.serialize import save_model
from irconv.runtime.onnxruntime import OnnxRuntimeRunner
from irconv.worker import WorkerLimits

flatbuffers = pytest.importorskip("flatbuffers")
schema = pytest.importorskip("ai_edge_litert.schema_py_generated")

BATCH, STEPS, DEPTH, HIDDEN = 2, 5, 3, 4
INPUTS = 24
OUTPUT_STATE, CELL_STATE = 18, 19


class Writer:
    """Writes a model of one LSTM by LiteRT's object API."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(5)
        self.tensors: list[Any] = []
        self.buffers = [schema.BufferT()]

    def tensor(self, shape: tuple[int, ...], *, constant: bool = False, int8: bool = False) -> int:
        tensor = schema.TensorT()
        tensor.name, tensor.shape = f"t{len(self.tensors)}", list(shape)
        if constant:
            values = (self.random.standard_normal(shape) * 0.5).astype(np.float32)
            if int8:
                step = float(np.abs(values).max() / 127)
                values = np.round(values / step).astype(np.int8)
                tensor.type = schema.TensorType.INT8
                tensor.quantization = schema.QuantizationParametersT()
                tensor.quantization.scale, tensor.quantization.zeroPoint = [step], [0]
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(values.tobytes(), np.uint8)
            tensor.buffer = len(self.buffers)
            self.buffers.append(buffer)
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def write(
        self,
        *,
        coupled: bool = False,
        peepholes: bool = False,
        time_major: bool = False,
        int8: bool = False,
        projected: bool = False,
        clip: float = 0.0,
    ) -> bytes:
        batch_first = (BATCH, STEPS, DEPTH)
        shape = (STEPS, BATCH, DEPTH) if time_major else batch_first
        inputs = [-1] * INPUTS
        inputs[0] = self.tensor(shape)
        gates = range(1, 4) if coupled else range(4)
        for gate in gates:
            inputs[1 + gate] = self.tensor((HIDDEN, DEPTH), constant=True, int8=int8)
            inputs[5 + gate] = self.tensor((HIDDEN, HIDDEN), constant=True, int8=int8)
            inputs[12 + gate] = self.tensor((HIDDEN,), constant=True)
        if peepholes:
            for place in range(10 if coupled else 9, 12):
                inputs[place] = self.tensor((HIDDEN,), constant=True)
        if projected:
            inputs[16] = self.tensor((HIDDEN, HIDDEN), constant=True)
        for place in (OUTPUT_STATE, CELL_STATE):
            inputs[place] = self.tensor((BATCH, HIDDEN))
            self.tensors[-1].isVariable = True
        output = self.tensor((*shape[:2], HIDDEN))
        options = schema.UnidirectionalSequenceLSTMOptionsT()
        options.fusedActivationFunction = schema.ActivationFunctionType.TANH
        options.timeMajor, options.cellClip = time_major, clip
        operator = schema.OperatorT()
        operator.inputs, operator.outputs = inputs, [output]
        operator.builtinOptionsType = schema.BuiltinOptions.UnidirectionalSequenceLSTMOptions
        operator.builtinOptions = options
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = 44
        graph = schema.SubGraphT()
        graph.tensors, graph.operators = self.tensors, [operator]
        graph.inputs, graph.outputs = [inputs[0]], [output]
        model = schema.ModelT()
        model.version, model.subgraphs = 3, [graph]
        model.operatorCodes, model.buffers = [code], self.buffers
        builder = flatbuffers.Builder(1 << 12)
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())


def load(folder: Path, **options: Any) -> Imported:
    path = folder / "model.tflite"
    path.write_bytes(Writer().write(**options))
    scratch = folder / "scratch"
    scratch.mkdir()
    return TfliteFrontend().load(str(path), ImportRequest(scratch, WorkerLimits(seconds=60)))


def largest_difference(imported: Imported, folder: Path) -> float:
    save_model(imported.model, folder / "model.onnx")
    name = imported.model.graph.inputs[0].name
    shape = [int(dim) for dim in imported.model.graph.inputs[0].shape]
    random = np.random.default_rng(1)
    worst = 0.0
    with (
        imported.open_reference() as reference,
        OnnxRuntimeRunner(folder / "model.onnx") as runner,
    ):
        for _ in range(3):
            feeds = {name: random.standard_normal(shape).astype(np.float32)}
            wanted, found = reference.run(feeds), runner.run(feeds)
            for key, array in wanted.items():
                assert np.std(array) > 0.05
                worst = max(worst, float(np.abs(array - found[key]).max()))
    return worst


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"coupled": True},
        {"peepholes": True},
        {"time_major": True},
        {"coupled": True, "peepholes": True},
    ],
    ids=["plain", "coupled", "peepholes", "time-major", "coupled-peepholes"],
)
def test_outputs_are_those_of_litert_at_every_run(options: dict[str, Any], tmp_path: Path) -> None:
    imported = load(tmp_path, **options)
    assert "LSTM" in {node.op_type for node in imported.model.graph}
    assert largest_difference(imported, tmp_path) < 1e-6


def test_integer_weights_are_kept_and_the_state_is_said_to_be_real(tmp_path: Path) -> None:
    imported = load(tmp_path, int8=True)
    assert any("LSTM" in note for note in imported.source.notes)
    assert {node.op_type for node in imported.model.graph} >= {"DequantizeLinear", "LSTM"}
    assert largest_difference(imported, tmp_path) < 0.02


@pytest.mark.parametrize(
    ("options", "reason"), [({"projected": True}, "projected"), ({"clip": 1.0}, "clipped")]
)
def test_what_the_onnx_operator_lacks_is_refused(
    options: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(UnsupportedError) as caught:
        load(tmp_path, **options)
    assert reason in caught.value.diagnostics[0].reason
    assert caught.value.diagnostics[0].op == "tflite::UNIDIRECTIONAL_SEQUENCE_LSTM"
