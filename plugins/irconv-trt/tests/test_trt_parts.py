"""Parts that need no engine: options, the operator table, messages, buffers, laziness."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from irconv_trt import cuda, sdk
from irconv_trt.backend import TrtBackend
from irconv_trt.messages import (
    builder_words,
    notes_of,
    parser_diagnostics,
    wrong_number_diagnostics,
)
from irconv_trt.op_table import NOT_BUILT, OPERATORS
from irconv_trt.runner import buffer_bytes
from irconv_trt.sdk import Message

from irconv.errors import MissingError, UsageError
from irconv.plugins import load_registry


def test_listing_the_target_imports_nothing_heavy() -> None:
    program = (
        "import sys; from irconv.plugins import load_registry;"
        "backend = load_registry().build_backend('trt{sm=89}'); backend.available();"
        "backend.abilities(); backend.legalization();"
        "heavy = {'tensorrt_rtx', 'numpy', 'onnx', 'onnx_ir'} & set(sys.modules);"
        "sys.exit(repr(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "text",
    [
        "trt",
        "trt{sm=[75,89],precision=fp16}",
        "trt{sm=[current],flavor=classic}",
        "trt{precision=fp16,keep=[Softmax,Exp],tf32=true,workspace_mib=512}",
    ],
)
def test_spec_reads_back(text: str) -> None:
    backend = load_registry().build_backend(text)
    assert load_registry().build_backend(str(backend)) == backend


@pytest.mark.parametrize("text", ["trt{sm=90}", "trt{keep=[a-b]}", "trt{workspace_mib=0}"])
def test_bad_options(text: str) -> None:
    with pytest.raises(UsageError):
        load_registry().build_backend(text)


def test_operator_table_agrees_with_the_parser() -> None:
    import onnx

    library = sdk.load("rtx")
    trt = library.module
    network = trt.Builder(library.logger).create_network(
        1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    )
    parser = trt.OnnxParser(network, library.logger)
    names = {schema.name for schema in onnx.defs.get_all_schemas() if not schema.domain}
    names |= {"Scatter", "Upsample"}
    claimed = {name for name in names if parser.supports_operator(name)}
    assert claimed == OPERATORS | NOT_BUILT.keys()
    assert not OPERATORS & NOT_BUILT.keys()


def test_messages_are_sorted_into_noise_notes_and_wrong_numbers() -> None:
    messages = [
        Message("WARNING", "ModelImporter.cpp:1071: Make sure input x has Int64 binding."),
        Message("WARNING", "WeightsContext.cpp:80: One or more weights was clamped"),
        Message("WARNING", "onnxOpImporters.cpp:9: For loop node l both a trip limit"),
        Message("ERROR", "IBuilder::build: no\n  way"),
    ]
    (wrong,) = wrong_number_diagnostics(messages)
    assert "clamped" in wrong.reason
    assert notes_of(messages) == ["TensorRT: For loop node l both a trip limit"]
    assert builder_words(messages) == "IBuilder::build: no way"
    assert builder_words([]) == "it gave no reason"


def test_a_parser_error_without_places_in_its_source() -> None:
    words = (
        "Invalid Node - pool INetworkDefinition::addPoolingNd: Error Code 3: API Usage Error "
        "(Parameter check failed, condition: allDimsGtEq(windowSize, 1). In addPoolingNd at "
        "/_src/optimizer/api/network.cpp:1366) [checkMacros.cpp::catchCudaError::250] Error Code "
        "1: Cuda Runtime (In catchCudaError at /_src/common/checkMacros.cpp:250 (cudaError 35))"
    )
    error = SimpleNamespace(
        code=lambda: SimpleNamespace(name="INVALID_NODE"),
        desc=lambda: words,
        node_name=lambda: "pool",
        node_operator=lambda: "AveragePool",
    )
    (diagnostic,) = parser_diagnostics([error])
    assert diagnostic.reason == (
        "the parser refused it: Parameter check failed, condition: allDimsGtEq(windowSize, 1)"
    )
    assert (diagnostic.node, diagnostic.op) == ("pool", "AveragePool")


def test_buffer_bytes() -> None:
    assert buffer_bytes((2, 3), np.dtype(np.float16)) == 12
    assert buffer_bytes((), np.dtype(np.int64)) == 8
    assert buffer_bytes((4, 0), np.dtype(np.float32)) == 0


@pytest.mark.skipif(bool(cuda.devices()), reason="there is a GPU here")
def test_availability_says_what_is_here() -> None:
    assert "no NVIDIA GPU" in TrtBackend().available().detail


def test_a_flavor_that_is_not_installed_is_missing() -> None:
    if sdk.availability("classic").ok:
        pytest.skip("classic TensorRT is installed, and there is a GPU")
    with pytest.raises(MissingError, match="tensorrt"):
        sdk.load("classic")
