"""Damaged and hostile TFLite files: one clear error, whatever a byte says."""

from __future__ import annotations

import copy
import struct
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from irconv.cli.main import run
from irconv.errors import ExitCode, InputError, UnsupportedError
from irconv.frontends.base import ImportRequest
from irconv.frontends.tflite import TfliteFrontend
from irconv.worker import WorkerLimits

FILES = Path(__file__).with_name("tflite_files")
GRU = (FILES / "gru.tflite").read_bytes()
SMALL = (FILES / "signatures.tflite").read_bytes()

Change = Callable[[Any], None]


def load(data: bytes, signature: str | None = None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.tflite")
        path.write_bytes(data)
        scratch = Path(folder, "scratch")
        scratch.mkdir()
        request = ImportRequest(directory=scratch, limits=WorkerLimits(), signature=signature)
        TfliteFrontend().load(str(path), request)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "only 0 bytes"),
        (b"TFL3", "only 4 bytes"),
        (b"PK\x03\x04" + bytes(60), "instead of b'TFL3'"),
        (b"\x1c\x00\x00\x00TFL2" + bytes(60), "instead of b'TFL3'"),
        (struct.pack("<I", 1 << 30) + b"TFL3" + bytes(60), "the file has 68"),
        (bytes(4) + b"TFL3" + bytes(60), "leads to itself"),
        (struct.pack("<I", 18) + b"TFL3" + bytes(60), "not aligned"),
        (struct.pack("<I", 8) + b"TFL3" + struct.pack("<i", 1 << 29) + bytes(60), "reaches from"),
        (
            struct.pack("<I", 8) + b"TFL3" + struct.pack("<i", -(1 << 29)) + bytes(60),
            "the file has",
        ),
        (struct.pack("<I", 8) + b"TFL3" + bytes(60), "impossible length"),
    ],
)
def test_what_is_no_model_at_all(data: bytes, problem: str) -> None:
    with pytest.raises(InputError, match="is no TFLite model") as caught:
        load(data)
    assert problem in caught.value.what
    assert caught.value.hint


@pytest.mark.parametrize("length", [40, 100, 1000, 2000, len(SMALL) // 2, len(SMALL) - 40])
def test_a_truncated_file(length: int) -> None:
    with pytest.raises(InputError, match="TFLite model"):
        load(SMALL[:length], "halve")


def vectors_of(data: bytes) -> list[int]:
    """Return places that look like a vector's length field: a small number before an offset."""
    return [at for at in range(8, len(data) - 8, 4) if struct.unpack_from("<I", data, at)[0] == 1]


def test_a_vector_that_is_longer_than_the_file() -> None:
    refused = 0
    for at in vectors_of(SMALL):
        broken = bytearray(SMALL)
        struct.pack_into("<I", broken, at, 0x7FFFFFFF)
        try:
            load(bytes(broken), "halve")
        except InputError:
            refused += 1
    assert refused > 20


# What the tables say


def main(model: Any) -> Any:
    return model.subgraphs[0]


def constant(model: Any) -> Any:
    """Return a constant of the main graph with several numbers."""
    return next(
        tensor
        for tensor in main(model).tensors
        if model.buffers[tensor.buffer].data is not None and len(tensor.shape) == 2
    )


def loop(model: Any) -> Any:
    return next(
        op for op in main(model).operators if hasattr(op.builtinOptions, "bodySubgraphIndex")
    )


def put(numbers: Any, number: int) -> None:
    numbers[0] = number


def quantize(model: Any, **fields: Any) -> None:
    from ai_edge_litert import schema_py_generated as schema

    tensor = constant(model)
    tensor.type = schema.TensorType.INT8
    tensor.shape[1] *= 4
    tensor.quantization = schema.QuantizationParametersT()
    tensor.quantization.scale, tensor.quantization.zeroPoint = [0.5], [0]
    for name, value in fields.items():
        setattr(tensor.quantization, name, value)


def swap(model: Any) -> None:
    main(model).operators.reverse()


def unfold(model: Any, levels: int = 30) -> None:
    """Make graphs of which each runs the next one twice."""
    from ai_edge_litert import schema_py_generated as schema

    first = loop(model)
    start = len(model.subgraphs)
    for depth in range(levels):
        graph = copy.deepcopy(model.subgraphs[first.builtinOptions.bodySubgraphIndex])
        graph.operators = [copy.deepcopy(first) for _ in range(2)]
        for operator in graph.operators:
            operator.inputs, operator.outputs = graph.inputs, []
            options = schema.WhileOptionsT()
            options.condSubgraphIndex = options.bodySubgraphIndex = start + depth + 1
            operator.builtinOptions = options
        graph.outputs = graph.inputs
        model.subgraphs.append(graph)
    model.subgraphs[-1].operators = []
    first.builtinOptions.bodySubgraphIndex = start


def nest(model: Any) -> None:
    """Make 60 graphs of which each runs the next one as a body."""
    unfold(model, levels=2)
    template = model.subgraphs[-2]
    start = len(model.subgraphs)
    for depth in range(60):
        graph = copy.deepcopy(template)
        graph.operators = graph.operators[:1]
        options = graph.operators[0].builtinOptions
        options.condSubgraphIndex = start - 1
        options.bodySubgraphIndex = start + depth + 1 if depth < 59 else start - 1
        model.subgraphs.append(graph)
    loop(model).builtinOptions.bodySubgraphIndex = start


CHANGES: dict[str, tuple[Change, str]] = {
    "operand outside": (
        lambda m: main(m).operators[0].inputs.__setitem__(0, 999),
        "name tensor 999",
    ),
    "negative result": (
        lambda m: main(m).operators[0].outputs.__setitem__(0, -1),
        "name tensor -1",
    ),
    "input outside": (lambda m: main(m).inputs.__setitem__(0, 999), "name tensor 999"),
    "code outside": (lambda m: setattr(main(m).operators[0], "opcodeIndex", 99), "number 99"),
    "unknown code": (lambda m: setattr(m.operatorCodes[0], "builtinCode", 9999), "does not know"),
    "buffer outside": (lambda m: setattr(constant(m), "buffer", 9999), "number 9999"),
    "larger shape": (lambda m: put(constant(m).shape, 1 << 20), "its buffer has"),
    "negative shape": (lambda m: put(constant(m).shape, -1), "impossible shape"),
    "endless shape": (
        lambda m: setattr(main(m).tensors[main(m).inputs[0]], "shape", [1 << 30] * 4),
        "impossible shape",
    ),
    "unknown type": (lambda m: setattr(constant(m), "type", 99), "unknown type"),
    "external data": (
        lambda m: (setattr(m.buffers[1], "offset", 1 << 40), setattr(m.buffers[1], "size", 9)),
        "reaches to byte",
    ),
    "other file": (lambda m: setattr(constant(m), "externalBuffer", 1), "in another file"),
    "wrong order": (swap, "nothing computes before it"),
    "computed twice": (
        lambda m: setattr(main(m).operators[1], "outputs", main(m).operators[0].outputs),
        "is computed before",
    ),
    "body outside": (
        lambda m: setattr(loop(m).builtinOptions, "bodySubgraphIndex", 99),
        "number 99",
    ),
    "runs itself": (
        lambda m: setattr(loop(m).builtinOptions, "bodySubgraphIndex", 0),
        "runs itself",
    ),
    "unfolds": (unfold, "unfold to more than"),
    "nested": (nest, "nested more than"),
    "step not finite": (lambda m: quantize(m, scale=[float("nan")]), "not finite"),
    "steps too many": (lambda m: quantize(m, scale=[0.5] * 3), "along dimension"),
    "zero point outside": (lambda m: quantize(m, zeroPoint=[1000]), "outside of int8"),
    "signature": (
        lambda m: setattr(m.signatureDefs[0].inputs[0], "tensorIndex", 3),
        "no input or output",
    ),
    "no graph": (lambda m: setattr(m, "subgraphs", []), "no graph"),
    "version": (lambda m: setattr(m, "version", 2), "version 2"),
}


def changed(change: Change) -> bytes:
    """Rewrite a valid file with one thing changed, by LiteRT's own writer of tables."""
    flatbuffers = pytest.importorskip("flatbuffers")
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(bytearray(GRU), 0))
    change(model)
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def test_the_rewritten_file_is_valid_where_nothing_is_changed() -> None:
    load(changed(lambda _: None))


@pytest.mark.parametrize("name", CHANGES)
def test_what_the_tables_say_is_checked(name: str) -> None:
    change, problem = CHANGES[name]
    with pytest.raises(InputError) as caught:
        load(changed(change))
    assert problem in caught.value.what
    assert caught.value.hint


def test_no_memory_is_taken_for_sizes_that_a_file_claims() -> None:
    def claim(model: Any) -> None:
        for tensor in main(model).tensors:
            if not tensor.buffer or model.buffers[tensor.buffer].data is None:
                tensor.shape, tensor.isVariable = [1 << 19, 1 << 19], True

    tracemalloc.start()
    judged(changed(claim))
    assert tracemalloc.get_traced_memory()[1] < 100 << 20
    tracemalloc.stop()


def test_a_builtin_operator_without_converter_is_named() -> None:
    def rename(model: Any) -> None:
        svdf, sparse = 27, 33
        for code, number in zip(model.operatorCodes, (svdf, sparse), strict=False):
            code.builtinCode = code.deprecatedBuiltinCode = number

    with pytest.raises(UnsupportedError) as caught:
        load(changed(rename))
    assert {entry.op for entry in caught.value.diagnostics} == {
        "tflite::EMBEDDING_LOOKUP_SPARSE",
        "tflite::SVDF",
    }


def test_the_command_line_says_so_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(GRU[: len(GRU) // 2])
    out = tmp_path / "build"
    assert run(["compile", str(path), "--target", "onnx", "-o", str(out)]) == ExitCode.BAD_INPUT
    assert "TFLite model" in capsys.readouterr().err
    assert not out.exists()


def judged(data: bytes, signature: str | None = None) -> bool:
    """Say whether a file is imported, or refused as bad or as what ONNX cannot say."""
    try:
        load(data, signature)
    except (InputError, UnsupportedError) as error:
        return bool(error.what)
    return True


@settings(max_examples=80, deadline=None)
@given(
    changes=st.lists(st.tuples(st.integers(0, len(SMALL) - 1), st.integers(0, 255)), max_size=6),
    length=st.one_of(st.none(), st.integers(0, len(SMALL))),
    signature=st.sampled_from(["halve", "branch"]),
)
def test_any_bytes_give_a_model_or_a_clear_error(
    changes: list[tuple[int, int]], length: int | None, signature: str
) -> None:
    data = bytearray(SMALL)
    for at, value in changes:
        data[at] = value
    assert judged(bytes(data[:length]), signature)


@settings(max_examples=40, deadline=None)
@given(
    at=st.integers(2, len(GRU) // 4 - 1),
    value=st.sampled_from([0, 1, 4, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFC, 0xFFFFFFFF]),
)
def test_any_word_may_lie(at: int, value: int) -> None:
    data = bytearray(GRU)
    struct.pack_into("<I", data, 4 * at, value)
    assert judged(bytes(data))
