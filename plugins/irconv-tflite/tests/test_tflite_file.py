"""What stands in the file beside the graph: versions, metadata, and its form as C source."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from irconv_tflite.backend import TfliteBackend
from irconv_tflite.emit import options, runtime_versions, versions
from irconv_tflite.emit.graph import Operator, Quantization, Subgraph, Tensor
from irconv_tflite.emit.runtime_versions import runtime_version
from irconv_tflite.emit.versions import version_of

from irconv.backends.base import Artifact, EmitRequest
from irconv.passes.base import PassContext
from irconv.passes.manager import PassManager
from irconv.passes.pipelines import build_pipeline
from irconv.plugins import load_registry

_SCALE = Quantization((0.1,), (0,))
_SCALES = Quantization((0.1, 0.2), (0, 0))


def tensor(dtype: str, *shape: int, quantization: Quantization | None = None) -> Tensor:
    return Tensor(dtype, shape, "t", None, quantization)


_F, _I8 = tensor("float32", 1, 4, 4, 2), tensor("int8", 1, 4, 4, 2, quantization=_SCALE)
_I16 = tensor("int16", 1, 4, 4, 2, quantization=_SCALE)
_PLAIN_16 = tensor("int16", 1, 4, 4, 2)
_DEEP = tensor("float32", 1, 4, 4, 2, 1, 3)
_CASES: list[tuple[str, list[Tensor], Tensor, dict[str, Any], int]] = [
    ("CONV_2D", [_F, tensor("float32", 8, 3, 3, 2)], _F, {}, 1),
    ("CONV_2D", [_F, tensor("float32", 8, 3, 3, 1)], _F, {}, 6),
    ("CONV_2D", [_I8, tensor("int8", 8, 3, 3, 2)], _I8, {}, 3),
    ("CONV_2D", [_I16, tensor("int8", 8, 3, 3, 2)], _I16, {}, 4),
    ("DEPTHWISE_CONV_2D", [_F, _F], _F, {"dilationHFactor": 2}, 2),
    ("FULLY_CONNECTED", [_F, _F], _F, {"keepNumDims": True}, 5),
    ("FULLY_CONNECTED", [_I16, _I8], _I16, {"keepNumDims": True}, 7),
    ("ADD", [_F, _F], _F, {}, 1),
    ("ADD", [_I16, _I16], _I16, {}, 3),
    ("ADD", [_PLAIN_16, _PLAIN_16], _PLAIN_16, {}, 5),
    ("ADD", [tensor("int64", 2)] * 2, tensor("int64", 2), {}, 4),
    ("SUB", [_DEEP, tensor("float32", 3)], _DEEP, {}, 3),
    ("MUL", [_I16, _I16], _I16, {}, 4),
    ("CAST", [tensor("int64", 2)], tensor("int32", 2), {}, 1),
    ("CAST", [_F], tensor("float16", 2), {}, 5),
    ("TRANSPOSE", [_F, tensor("int32", 4)], _F, {}, 1),
    ("TRANSPOSE", [_DEEP, tensor("int32", 6)], _DEEP, {}, 6),
    ("RESIZE_BILINEAR", [_F, tensor("int32", 2)], _F, {"halfPixelCenters": True}, 3),
    ("RESIZE_BILINEAR", [_F, tensor("int32", 2)], _F, {"halfPixelCenters": False}, 1),
    ("SPLIT", [tensor("int32"), _I8], _I8, {}, 2),
    ("WHERE", [_F], tensor("int64", 2, 4), {}, 2),
    ("QUANTIZE", [_F], _I16, {}, 2),
    ("DEQUANTIZE", [tensor("int8", 2, 2, quantization=_SCALES)], _F, {}, 5),
]


@pytest.mark.parametrize(("code", "inputs", "result", "fields", "version"), _CASES)
def test_the_lowest_version_that_has_what_is_used(
    code: str, inputs: list[Tensor], result: Tensor, fields: dict[str, Any], version: int
) -> None:
    assert version_of(Operator(code, list(inputs), [result], fields)) == version


def test_every_version_has_a_runtime() -> None:
    codes = {*versions._DTYPES, *versions._HIGH_RANKS, *versions._BROADCAST_ABOVE_4}
    for code in codes & set(runtime_versions._RUNTIMES):
        highest = max([*versions._DTYPES.get(code, {"": 1}).values()])
        assert len(runtime_versions._RUNTIMES[code].split()) >= highest, code


def test_the_newest_operator_tells_the_runtime() -> None:
    add = Operator("ADD", [_F, _F], [_F])
    gelu = Operator("GELU", [_F], [_F])
    assert runtime_version([Subgraph("main", [], [], [add])]) == "1.5.0"
    bodies = [Subgraph("main", [], [], [add]), Subgraph("body", [], [], [gelu])]
    assert runtime_version(bodies) == "2.9.0"


def test_every_operator_with_options_has_its_table_in_the_schema() -> None:
    from ai_edge_litert import schema_py_generated as schema

    for code in options._OPTIONS:
        assert hasattr(schema.BuiltinOperator, code)
        assert hasattr(schema, f"{options.options_class(code)}T")


def legalized(text: str, backend: TfliteBackend) -> ir.Model:
    passes = build_pipeline(load_registry(), backend.legalization())
    context = PassContext(abilities=backend.abilities())
    return PassManager(passes, strict=True).run(ir.from_onnx_text(text), context).model


_NETWORK = """<ir_version: 10, opset_import: ["" : 21]>
net (float[batch, 2, 4, 4] image) => (float[batch, 2] scores, int64[batch] best)
<float[2, 2, 1, 1] w = {1, 2, -3, 4}> {
    c = Conv (image, w)
    a = Gelu (c)
    p = GlobalAveragePool (a)
    scores = Flatten (p)
    best = ArgMax <axis = 1, keepdims = 0> (scores)
}"""


def emit(folder: Path, text: str = _NETWORK, **fields: str) -> tuple[Artifact, Any]:
    from ai_edge_litert import schema_py_generated as schema

    backend = TfliteBackend(**fields)
    artifact = backend.emit(legalized(text, backend), folder, EmitRequest())
    data = (folder / artifact.main).read_bytes()
    assert schema.Model.ModelBufferHasIdentifier(data, 0)
    return artifact, schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))


def test_the_file_says_what_it_is_and_what_it_needs(tmp_path: Path) -> None:
    artifact, model = emit(tmp_path, layout="nhwc")
    content = {
        entry.name.decode(): bytes(model.buffers[entry.buffer].data) for entry in model.metadata
    }
    assert model.description == b"net"
    assert content["min_runtime_version"] == b"2.9.0".ljust(16, b"\0")
    assert artifact.requires["min_runtime_version"] == "2.9.0"
    interface = json.loads(content["irconv"])
    (image,) = interface["inputs"]
    assert (image["name"], image["dtype"]) == ("image", "float32")
    assert image["permutation"] == [0, 2, 3, 1]
    assert [entry["name"] for entry in interface["outputs"]] == ["scores", "best"]


def test_the_signature_names_what_the_source_names(tmp_path: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    emit(tmp_path)
    interpreter = Interpreter(str(tmp_path / "model.tflite"))
    signature = interpreter.get_signature_list()["serving_default"]
    assert signature["inputs"] == ["image"]
    assert set(signature["outputs"]) == {"best", "scores"}
    (image,) = interpreter.get_input_details()
    assert image["shape_signature"].tolist() == [-1, 2, 4, 4]
    run = interpreter.get_signature_runner("serving_default")
    assert run(image=np.ones((3, 2, 4, 4), np.float32))["best"].shape == (3,)


@pytest.mark.parametrize("fields", [{}, {"precision": "f16"}, {"layout": "nhwc"}])
def test_no_operator_is_custom(fields: dict[str, str], tmp_path: Path) -> None:
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    _, model = emit(tmp_path, **fields)
    assert model.operatorCodes
    for code in model.operatorCodes:
        assert code.customCode is None
        assert code.builtinCode != BuiltinOperator.CUSTOM
        assert code.deprecatedBuiltinCode == min(code.builtinCode, 127)


_MAIN = """
#include <cstdio>
#include "model.h"
static_assert(sizeof(g_model[0]) == 1);
int main() {
    std::FILE* file = std::fopen("written", "wb");
    std::fwrite(g_model, 1, g_model_len, file);
    std::fclose(file);
    return reinterpret_cast<unsigned long>(g_model) % 16 == 0 ? 0 : 1;
}
"""


@pytest.mark.slow
def test_the_c_source_compiles_and_holds_the_file(tmp_path: Path) -> None:
    compiler = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("there is no C++ compiler")
    emit(tmp_path, form="c-array")
    (tmp_path / "main.cc").write_text(_MAIN)
    command = [compiler, "-std=c++17", "-Wall", "-Wextra", "-Werror", "-o", "program"]
    subprocess.run([*command, "main.cc", "model.cc"], cwd=tmp_path, check=True)
    subprocess.run([str(tmp_path / "program")], cwd=tmp_path, check=True)
    assert (tmp_path / "written").read_bytes() == (tmp_path / "model.tflite").read_bytes()
