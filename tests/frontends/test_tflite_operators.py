"""Operators one by one: a file with one operator, LiteRT's kernel against the import."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from irconv.frontends.base import ImportRequest
from irconv.frontends.tflite import TfliteFrontend
from irconv.graph.serialize import save_model
from irconv.runtime.onnxruntime import OnnxRuntimeRunner
from irconv.worker import WorkerLimits

flatbuffers = pytest.importorskip("flatbuffers")
schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
interpreter = pytest.importorskip("ai_edge_litert.interpreter")

RANDOM = np.random.default_rng(9)
TYPES = {
    "float32": 0, "int32": 2, "uint8": 3, "int64": 4, "bool": 6, "int16": 7, "int8": 9,
}  # fmt: skip


def real(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


def ints(*items: Any) -> np.ndarray:
    return np.array(items, np.int32)


@dataclass
class Case:
    """One operator.

    Attributes:
        code: Its name.
        inputs: Its operands; those that are given at run time come first.
        given: How many are given at run time.
        options: Name and fields of its options.
        outputs: Dtype of each output.
        steps: Of a quantized operator, the step and zero point of each tensor that has one.
        order: In which order the operator takes its operands; None for as they stand.
    """

    code: str
    inputs: Sequence[np.ndarray]
    given: int = 1
    options: tuple[str, dict[str, Any]] | None = None
    outputs: Sequence[str] = ("float32",)
    steps: dict[int, tuple[float, int]] = field(default_factory=dict)
    order: Sequence[int] | None = None


def option(table: str, **fields: Any) -> tuple[str, dict[str, Any]]:
    return table, fields


def write(case: Case, shapes: Sequence[Sequence[int]]) -> bytes:
    graph, model = schema.SubGraphT(), schema.ModelT()
    model.buffers, graph.tensors = [schema.BufferT()], []
    arrays = [*case.inputs, *(None for _ in case.outputs)]
    for number, array in enumerate(arrays):
        tensor = schema.TensorT()
        tensor.name = f"t{number}"
        output = number - len(case.inputs)
        tensor.type = TYPES[case.outputs[output] if array is None else array.dtype.name]
        tensor.shape = list(shapes[output] if array is None else array.shape)
        tensor.hasRank = True
        if number in case.steps:
            tensor.quantization = schema.QuantizationParametersT()
            step, point = case.steps[number]
            tensor.quantization.scale, tensor.quantization.zeroPoint = [step], [point]
        if array is not None and number >= case.given:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(array.tobytes(), np.uint8)
            tensor.buffer = len(model.buffers)
            model.buffers.append(buffer)
        graph.tensors.append(tensor)
    operator, code = schema.OperatorT(), schema.OperatorCodeT()
    operator.inputs = list(case.order or range(len(case.inputs)))
    operator.outputs = list(range(len(case.inputs), len(arrays)))
    if case.options is not None:
        table, fields = case.options
        operator.builtinOptions = getattr(schema, f"{table}T")()
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, table)
        for name, value in fields.items():
            assert hasattr(operator.builtinOptions, name)
            setattr(operator.builtinOptions, name, value)
    code.builtinCode = getattr(schema.BuiltinOperator, case.code)
    code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), 1
    graph.inputs, graph.outputs = list(range(case.given)), operator.outputs
    graph.operators = [operator]
    model.version, model.subgraphs, model.operatorCodes = 3, [graph], [code]
    builder = flatbuffers.Builder(1 << 12)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def run_litert(data: bytes, case: Case) -> list[np.ndarray]:
    runtime = interpreter.Interpreter(
        model_content=data,
        experimental_op_resolver_type=(
            interpreter.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        ),
    )
    runtime.allocate_tensors()
    for number in range(case.given):
        runtime.set_tensor(number, case.inputs[number])
    runtime.invoke()
    return [runtime.get_tensor(detail["index"]) for detail in runtime.get_output_details()]


IMAGE = real(2, 7, 6, 4)
PIXELS = RANDOM.integers(-128, 128, (1, 5, 5, 4)).astype(np.int8)
KERNEL = RANDOM.integers(-127, 128, (5, 3, 2, 4)).astype(np.int8)
WEIGHTS = RANDOM.integers(-127, 128, (5, 8)).astype(np.int8)
CONV = {"strideW": 1, "strideH": 1}
BOXES = np.sort(RANDOM.random((6, 2, 2)), axis=1).transpose(0, 1, 2).reshape(6, 4).astype("f4")
SCORES = np.array([0.9, 0.3, 0.8, 0.2, 0.7, 0.6], np.float32)
SCALARS = (np.array(2, np.float32), np.array(-1, np.float32))
LIMITS = (ints(4).reshape(()), np.float32(0.4).reshape(()), np.float32(0.25).reshape(()))

CASES: dict[str, Case] = {
    "same-odd": Case(
        "CONV_2D", [IMAGE, real(5, 3, 2, 4), real(5)], 1,
        option("Conv2DOptions", strideW=2, strideH=3, fusedActivationFunction=1),
    ),
    "grouped": Case(
        "CONV_2D", [IMAGE, real(6, 3, 3, 2), real(6)], 1, option("Conv2DOptions", padding=1, **CONV)
    ),
    "dilated": Case(
        "CONV_2D", [IMAGE, real(5, 2, 2, 4), real(5)], 1,
        option("Conv2DOptions", dilationWFactor=2, dilationHFactor=3, **CONV),
    ),
    "depthwise": Case(
        "DEPTHWISE_CONV_2D", [IMAGE, real(1, 3, 2, 8), real(8)], 1,
        option("DepthwiseConv2DOptions", depthMultiplier=2, fusedActivationFunction=3, **CONV),
    ),
    "transposed-same": Case(
        "TRANSPOSE_CONV", [IMAGE, ints(2, 13, 12, 3), real(3, 3, 4, 4)], 1,
        option("TransposeConvOptions", strideW=2, strideH=2), order=(1, 2, 0),
    ),
    "transposed-valid": Case(
        "TRANSPOSE_CONV", [IMAGE, ints(2, 15, 14, 3), real(3, 3, 4, 4)], 1,
        option("TransposeConvOptions", strideW=2, strideH=2, padding=1), order=(1, 2, 0),
    ),
    "average-same": Case(
        "AVERAGE_POOL_2D", [IMAGE], 1,
        option("Pool2DOptions", filterHeight=3, filterWidth=2, strideH=2, strideW=1),
    ),
    "l2-pool": Case(
        "L2_POOL_2D", [IMAGE], 1,
        option("Pool2DOptions", filterHeight=2, filterWidth=2, strideH=1, strideW=2, padding=1),
    ),
    "prelu": Case("PRELU", [IMAGE, real(1, 1, 4)], 1),
    "fake-quant": Case(
        "FAKE_QUANT", [real(20)], 1,
        option("FakeQuantOptions", min=-1.3, max=0.9, numBits=8),
    ),
    "segment-sum": Case("SEGMENT_SUM", [real(5, 2), ints(0, 0, 1, 2, 2)], 1),
    "segment-max": Case(
        "UNSORTED_SEGMENT_MAX", [real(5, 2), ints(1, 0, 1, 3, 3), ints(4).reshape(())], 1
    ),
    "add-n": Case("ADD_N", [real(3, 2), real(3, 2), real(3, 2)], 3),
    "floor-div": Case(
        "FLOOR_DIV", [ints(7, -7, 7, -7, 6, -6), ints(2, 2, -2, -2, 3, 3)], 2, None, ["int32"]
    ),
    "floor-div-real": Case("FLOOR_DIV", [real(9), real(9)], 2),
    "floor-mod": Case(
        "FLOOR_MOD", [ints(7, -7, 7, -7, 6, -6), ints(2, 2, -2, -2, 3, 3)], 2, None, ["int32"]
    ),
    "floor-mod-real": Case("FLOOR_MOD", [real(9) * 5, real(9)], 2),
    "division-truncates": Case(
        "DIV", [ints(7, -7, 7, -7), ints(2, 2, -2, -2)], 2, option("DivOptions"), ["int32"]
    ),
    "atan2": Case("ATAN2", [real(12), np.r_[real(10), 0, 0].astype("f4")], 2),
    "broadcast-args": Case(
        "BROADCAST_ARGS", [ints(3, 1, 5), ints(4, 1)], 2, None, ["int32"]
    ),
    "embedding": Case("EMBEDDING_LOOKUP", [ints(2, 0, 3), real(4, 3)], 1),
    "gather-batch": Case(
        "GATHER", [real(2, 5, 3), ints([0, 4], [2, 2])], 1,
        option("GatherOptions", axis=1, batchDims=1),
    ),
    "one-hot": Case(
        "ONE_HOT",
        [ints([0, -1, 2], [5, 1, 0]), ints(3).reshape(()), *SCALARS],
        1, option("OneHotOptions", axis=1),
    ),
    "top-k": Case(
        "TOPK_V2", [np.float32([[1, 3, 3, 2], [0, 0, 0, -1]]), ints(3).reshape(())], 1, None,
        ["float32", "int32"],
    ),
    "cumsum": Case(
        "CUMSUM", [real(3, 4), ints(1).reshape(())], 1,
        option("CumsumOptions", exclusive=True, reverse=True),
    ),
    "mirror-symmetric": Case(
        "MIRROR_PAD", [real(3, 4), ints([2, 1], [0, 3])], 1, option("MirrorPadOptions", mode=1)
    ),
    "mirror-reflect": Case(
        "MIRROR_PAD", [real(3, 4), ints([2, 1], [0, 3])], 1, option("MirrorPadOptions", mode=0)
    ),
    "split-v-rest": Case(
        "SPLIT_V", [real(7, 2), ints(2, -1, 1), ints(0).reshape(())], 1,
        option("SplitVOptions", numSplits=3), ["float32"] * 3,
    ),
    "strided-ellipsis": Case(
        "STRIDED_SLICE", [real(3, 4, 5, 2), ints(1, 0, 0, 4), ints(2, 0, 0, 0), ints(1, 1, 1, -2)],
        1,
        option(
            "StridedSliceOptions", ellipsisMask=2, newAxisMask=4, shrinkAxisMask=1, endMask=8
        ),
    ),
    "strided-backwards": Case(
        "STRIDED_SLICE", [real(6, 4), ints(-1, 3), ints(0, 0), ints(-2, -1)], 1,
        option("StridedSliceOptions", beginMask=2, endMask=2),
    ),
    "squeeze-all": Case("SQUEEZE", [real(1, 3, 1, 2)], 1, option("SqueezeOptions")),
    "scatter-adds": Case("SCATTER_ND", [ints([1], [4], [1]), real(3, 2), ints(5, 2)], 1),
    "reverse-sequence": Case(
        "REVERSE_SEQUENCE", [real(2, 3, 4), ints(2, 4)], 1,
        option("ReverseSequenceOptions", seqDim=2, batchDim=0),
    ),
    "update-slice": Case("DYNAMIC_UPDATE_SLICE", [real(4, 5), real(2, 3), ints(3, 1)], 2),
    "bilinear-asymmetric": Case(
        "RESIZE_BILINEAR", [IMAGE, ints(10, 9)], 1, option("ResizeBilinearOptions")
    ),
    "bilinear-half-pixel": Case(
        "RESIZE_BILINEAR", [IMAGE, ints(4, 13)], 1,
        option("ResizeBilinearOptions", halfPixelCenters=True),
    ),
    "bilinear-corners": Case(
        "RESIZE_BILINEAR", [IMAGE, ints(10, 9)], 1,
        option("ResizeBilinearOptions", alignCorners=True),
    ),
    "nearest-asymmetric": Case(
        "RESIZE_NEAREST_NEIGHBOR", [IMAGE, ints(10, 4)], 1, option("ResizeNearestNeighborOptions")
    ),
    "nearest-half-pixel": Case(
        "RESIZE_NEAREST_NEIGHBOR", [IMAGE, ints(10, 4)], 1,
        option("ResizeNearestNeighborOptions", halfPixelCenters=True),
    ),
    "nearest-corners": Case(
        "RESIZE_NEAREST_NEIGHBOR", [IMAGE, ints(11, 4)], 1,
        option("ResizeNearestNeighborOptions", alignCorners=True),
    ),
    "depth-to-space": Case(
        "DEPTH_TO_SPACE", [real(1, 2, 3, 8)], 1, option("DepthToSpaceOptions", blockSize=2)
    ),
    "space-to-depth": Case(
        "SPACE_TO_DEPTH", [real(1, 4, 6, 3)], 1, option("SpaceToDepthOptions", blockSize=2)
    ),
    "space-to-batch": Case(
        "SPACE_TO_BATCH_ND", [real(2, 3, 4, 2), ints(2, 2), ints([1, 0], [0, 2])], 1
    ),
    "batch-to-space": Case(
        "BATCH_TO_SPACE_ND", [real(8, 2, 3, 2), ints(2, 2), ints([1, 0], [0, 2])], 1
    ),
    "lrn": Case(
        "LOCAL_RESPONSE_NORMALIZATION", [real(1, 2, 2, 9)], 1,
        option("LocalResponseNormalizationOptions", radius=2, bias=1.5, alpha=0.3, beta=0.7),
    ),
    "l2-normalization": Case("L2_NORMALIZATION", [real(2, 3, 4)], 1, option("L2NormOptions")),
    "softmax-beta": Case("SOFTMAX", [real(2, 5)], 1, option("SoftmaxOptions", beta=0.3)),
    "mean-of-one": Case(
        "MEAN", [IMAGE, ints(1, -1)], 1, option("ReducerOptions", keepDims=True)
    ),
    "any": Case(
        "REDUCE_ANY", [RANDOM.random((3, 4)) > 0.7, ints(1)], 1, option("ReducerOptions"), ["bool"]
    ),
    "shift-right": Case(
        "RIGHT_SHIFT", [ints(-9, 9, -1, 64), ints(1, 2, 3, 4)], 2, None, ["int32"]
    ),
    "shift-left": Case(
        "STABLEHLO_SHIFT_LEFT", [ints(-9, 9, 1), ints(1, 2, 3)], 2, None, ["int32"]
    ),
    "stablehlo-add": Case("STABLEHLO_ADD", [real(2, 3), real(2, 3)], 2),
    "stablehlo-maximum": Case("STABLEHLO_MAXIMUM", [real(2, 3), real(2, 3)], 2),
    "bits": Case("BITWISE_XOR", [ints(12, -7), ints(10, 3)], 2, None, ["int32"]),
    "rank": Case("RANK", [real(2, 3)], 1, None, ["int32"]),
    "rounds-to-even": Case("ROUND", [np.float32([0.5, 1.5, 2.5, -0.5, -1.5, 1.2])], 1),
    "suppression": Case(
        "NON_MAX_SUPPRESSION_V5", [BOXES, SCORES, *LIMITS, np.float32(0).reshape(())], 2, None,
        ["int32", "float32", "int32"],
    ),
    "quantized-add": Case(
        "ADD", [PIXELS, PIXELS[::-1].copy()], 2, option("AddOptions"), ["int8"],
        {0: (0.1, 3), 1: (0.05, -7), 2: (0.12, 1)},
    ),
    "quantized-mean": Case(
        "MEAN", [PIXELS, ints(1, 2)], 1, option("ReducerOptions"), ["int8"],
        {0: (0.1, 3), 2: (0.05, -5)},
    ),
    "quantized-max-pool": Case(
        "MAX_POOL_2D", [PIXELS], 1,
        option("Pool2DOptions", filterHeight=2, filterWidth=2, strideH=2, strideW=2), ["int8"],
        {0: (0.1, 3), 1: (0.1, 3)},
    ),
    "quantized-tanh": Case("TANH", [PIXELS], 1, None, ["int8"], {0: (0.02, 3), 1: (1 / 128, 0)}),
    "quantized-concat": Case(
        "CONCATENATION", [PIXELS, PIXELS + 1], 2, option("ConcatenationOptions", axis=3), ["int8"],
        {0: (0.1, 3), 1: (0.1, 3), 2: (0.1, 3)},
    ),
    "quantized-pad": Case(
        "PAD", [PIXELS, ints([0, 0], [1, 2], [0, 1], [0, 0])], 1, None, ["int8"],
        {0: (0.1, 3), 2: (0.1, 3)},
    ),
    "hybrid-conv": Case(
        "CONV_2D", [IMAGE, KERNEL, real(5)], 1, option("Conv2DOptions", **CONV),
        steps={1: (0.01, 0)},
    ),
    "hybrid-symmetric": Case(
        "FULLY_CONNECTED", [real(3, 8), WEIGHTS, real(5)], 1, option("FullyConnectedOptions"),
        steps={1: (0.01, 0)},
    ),
    "hybrid-asymmetric": Case(
        "FULLY_CONNECTED", [real(3, 8) + 1, WEIGHTS, real(5)], 1,
        option("FullyConnectedOptions", asymmetricQuantizeInputs=True), steps={1: (0.01, 0)},
    ),
    "hybrid-matmul": Case(
        "BATCH_MATMUL", [real(2, 3, 8), np.stack([WEIGHTS, WEIGHTS[::-1]])], 1,
        option("BatchMatMulOptions", adjY=True), steps={1: (0.01, 0)},
    ),
    "hybrid-matmul-asymmetric": Case(
        "BATCH_MATMUL", [real(2, 3, 8) + 1, np.stack([WEIGHTS, WEIGHTS[::-1]])], 1,
        option("BatchMatMulOptions", adjY=True, asymmetricQuantizeInputs=True),
        steps={1: (0.01, 0)},
    ),
    "requantize": Case(
        "QUANTIZE", [PIXELS], 1, None, ["int8"], {0: (0.1, 3), 1: (0.17, -20)}
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_one_operator(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    shapes = [array.shape for array in run_litert(write(case, [[1]] * len(case.outputs)), case)]
    data = write(case, shapes)
    expected = run_litert(data, case)
    path = tmp_path / "model.tflite"
    path.write_bytes(data)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    request = ImportRequest(scratch, WorkerLimits())
    model = TfliteFrontend().load(str(path), request).model
    save_model(model, tmp_path / "model.onnx")
    feeds = {f"t{number}": case.inputs[number] for number in range(case.given)}
    with OnnxRuntimeRunner(tmp_path / "model.onnx") as runner:
        found = list(runner.run(feeds).values())
    for wanted, array in zip(expected, found, strict=True):
        assert array.dtype == wanted.dtype
        assert array.shape == wanted.shape
        if wanted.dtype == np.int8:
            assert np.abs(array.astype(int) - wanted.astype(int)).max() <= 1
        else:
            np.testing.assert_allclose(array, wanted, rtol=1e-5, atol=2e-6)
