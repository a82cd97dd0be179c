from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx_ir as ir
import pytest

from irconv.graph.digest import TensorKey, tensor_chunks, tensor_digest
from irconv.graph.reading.mapped import MappedTensor
from irconv.graph.text import format_model, format_type

MODEL = """
< ir_version: 10, opset_import: ["" : 20, "local" : 1] >
main (float[N, 4] x, bool c) => (float[N, 4] y)
<float[4] w = {1, 2, 3, 4}, int64[9] many = {1, 2, 3, 4, 5, 6, 7, 8, 9}> {
    h = LeakyRelu <alpha = 0.1> (x)
    y = If (c) <
        then_branch = a_graph () => (float[N, 4] a) { a = Add(h, w) },
        else_branch = b_graph () => (float[N, 4] b) { b = local.Twice(h) }
    >
}
< domain: "local", opset_import: ["" : 20] >
Twice (p) => (q) { q = Add(p, p) }
"""
EXPECTED = """\
ir_version 10
opset "" 20, local 1
graph main (x: float32[N,4], c: bool[]) -> (y: float32[N,4]) {
  initializer many: int64[9] sha256:ac8ef865dc60
  initializer w: float32[4] {1.0, 2.0, 3.0, 4.0}
  h = LeakyRelu<alpha=0.1>(x)
  y: float32[N,4] = If(c)
    else_branch = b_graph () -> (b: float32[N,4]) {
      b: float32[N,4] = local::Twice(h)
    }
    then_branch = a_graph () -> (a: float32[N,4]) {
      a: float32[N,4] = Add(h, w)
    }
}
function local::Twice (p) -> (q) {
  opset "" 20
  q = Add(p, p)
}
"""


def test_whole_text() -> None:
    assert format_model(ir.from_onnx_text(MODEL)) == EXPECTED


def test_same_bytes_in_another_process() -> None:
    script = (
        "import sys, onnx_ir as ir; from irconv.graph.text import format_model; "
        "sys.stdout.write(format_model(ir.from_onnx_text(sys.stdin.read())))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=MODEL,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )
    assert done.stdout == EXPECTED


def test_what_has_no_meaning_is_sorted() -> None:
    model = ir.from_onnx_text(MODEL)
    model.metadata_props.update({"b": "2", "a": "1\n"})
    node = model.graph[0]
    node.attributes["aaa"] = ir.AttrString("aaa", "x\x1b[31m")
    moved = model.graph.initializers.pop("w")
    model.graph.initializers["w"] = moved
    text = format_model(model)
    assert 'metadata a = "1\\n"\nmetadata b = "2"\n' in text
    assert 'LeakyRelu<aaa="x\\u001b[31m", alpha=0.1>' in text
    assert text.index("initializer many") < text.index("initializer w")


def test_odd_names_are_quoted() -> None:
    model = ir.from_onnx_text(MODEL)
    model.graph[0].outputs[0].name = "a b\n"
    assert '"a b\\n" = LeakyRelu' in format_model(model)


def test_every_difference_of_content_shows() -> None:
    def with_weight(array: np.ndarray) -> str:
        model = ir.from_onnx_text(MODEL)
        model.graph.initializers["w"].const_value = ir.Tensor(array)
        return format_model(model)

    arrays = [
        np.zeros(4, np.float32),
        -np.zeros(4, np.float32),
        np.zeros(4, np.float64),
        np.zeros((2, 2), np.float32),
        np.zeros(100, np.float32),
        np.eye(10, dtype=np.float32),
        np.full(4, np.nan, np.float32),
    ]
    assert len({with_weight(array) for array in arrays}) == len(arrays)


def test_types() -> None:
    tensor = ir.TensorType(ir.DataType.FLOAT)
    shape = ir.Shape([1, None, "N"])
    assert format_type(ir.Value(name="v", type=tensor, shape=shape)) == "float32[1,?,N]"
    assert format_type(ir.Value(name="v", type=ir.SequenceType(tensor))) == "seq(float32)"
    assert format_type(ir.Value(name="v", type=ir.OptionalType(tensor))) == "optional(float32)"
    assert format_type(ir.Value(name="v")) == ""


def external(tmp_path: Path, raw: bytes, dtype: ir.DataType, dims: list[int]) -> ir.ExternalTensor:
    (tmp_path / "data").write_bytes(b"skip" * 4 + raw)
    return ir.ExternalTensor(
        "data", 16, len(raw), dtype, shape=ir.Shape(dims), name="t", base_dir=tmp_path
    )


def test_digest_does_not_depend_on_storage(tmp_path: Path) -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    tensors = [
        ir.Tensor(array),
        ir.Tensor(np.asfortranarray(array)),
        external(tmp_path, array.tobytes(), ir.DataType.FLOAT, [3, 4]),
        ir.serde.deserialize_tensor(ir.serde.serialize_tensor(ir.Tensor(array))),
    ]
    assert len({tensor_digest(tensor) for tensor in tensors}) == 1


def test_digest_of_packed_dtypes(tmp_path: Path) -> None:
    items = np.array([1, -2, 3], ml_dtypes.int4)
    packed = bytes([0xE1, 0x03])
    tensors = [
        ir.Tensor(items),
        ir.PackedTensor(np.frombuffer(packed, np.uint8), ir.DataType.INT4, shape=ir.Shape([3])),
        external(tmp_path, packed, ir.DataType.INT4, [3]),
    ]
    tensors.append(MappedTensor(tmp_path / "data", 16, tensors[-1]))
    assert {b"".join(tensor_chunks(tensor)) for tensor in tensors} == {packed}
    assert len({tensor_digest(tensor) for tensor in tensors}) == 1


def test_digest_of_strings_keeps_their_borders() -> None:
    def strings(*items: bytes) -> ir.StringTensor:
        return ir.StringTensor(list(items), shape=ir.Shape([len(items)]))

    assert tensor_digest(strings(b"ab", b"c")) != tensor_digest(strings(b"a", b"bc"))
    as_array = ir.Tensor(np.array(["ab", "c"], dtype=object), dtype=ir.DataType.STRING)
    assert tensor_digest(strings(b"ab", b"c")) == tensor_digest(as_array)


def test_digest_of_an_empty_tensor() -> None:
    empty = ir.Tensor(np.zeros((0, 3), np.float32))
    assert tensor_digest(empty) != tensor_digest(ir.Tensor(np.zeros((3, 0), np.float32)))


@pytest.mark.parametrize("strided", [False, True])
def test_digest_makes_no_copy(tmp_path: Path, strided: bool) -> None:
    size = 64 << 20
    (tmp_path / "data").write_bytes(bytes(size))
    tensor: ir.TensorProtocol = ir.ExternalTensor(
        "data", 0, size, ir.DataType.UINT8, shape=ir.Shape([size]), name="t", base_dir=tmp_path
    )
    if strided:
        tensor = ir.Tensor(tensor.numpy().reshape(8, -1)[:, ::2])
    tracemalloc.start()
    tensor_digest(tensor)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


def test_key_reads_all_only_where_samples_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    full: list[object] = []
    monkeypatch.setattr(
        "irconv.graph.digest.tensor_digest",
        lambda tensor: full.append(tensor) or tensor_digest(tensor),
    )
    big = np.zeros(1 << 16, np.float32)
    other_start, other_inside = big.copy(), big.copy()
    other_start[0] = 1
    other_inside[5000] = 1
    assert TensorKey(ir.Tensor(big)) != TensorKey(ir.Tensor(other_start))
    assert not full
    assert TensorKey(ir.Tensor(big)) != TensorKey(ir.Tensor(other_inside))
    assert len(full) == 2
    assert TensorKey(ir.Tensor(big)) == TensorKey(ir.Tensor(big.copy()))


def test_a_tensor_in_a_file_is_mapped_only_while_it_is_read(tmp_path: Path) -> None:
    array = np.random.default_rng(0).random((64, 64), np.float32)
    first, second = (
        MappedTensor(
            tmp_path / "data", 16, external(tmp_path, array.tobytes(), ir.DataType.FLOAT, [64, 64])
        )
        for _ in range(2)
    )
    assert TensorKey(first) == TensorKey(second) == TensorKey(ir.Tensor(array))
    assert hash(TensorKey(first)) == hash(TensorKey(ir.Tensor(array)))
    if sys.platform == "linux":
        mapped = Path("/proc/self/maps")
        assert str(tmp_path / "data") not in mapped.read_text()
        held = second.numpy()
        assert second.numpy() is held
        assert str(tmp_path / "data") in mapped.read_text()
        row = held[0]
        del held
        assert str(tmp_path / "data") in mapped.read_text()
        assert row.tobytes() == array[0].tobytes()
        del row
        assert str(tmp_path / "data") not in mapped.read_text(), "it ends with the last array"
