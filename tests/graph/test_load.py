from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from irconv.errors import InputError
from irconv.graph.preflight.model import Limits, preflight
from irconv.graph.reading.load import LoadedModel, load_model, source_digest
from irconv.graph.reading.mapped import MappedTensor
from irconv.graph.serialize import save_model

HEADER = '< ir_version: 10, opset_import: ["" : 20] >'


def _load(folder: Path, model: str | onnx.ModelProto, **options: int) -> LoadedModel:
    proto = onnx.parser.parse_model(model) if isinstance(model, str) else model
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return load_model(path, **options)  # type: ignore[arg-type]


def _with_weights(*tensors: TensorProto) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Identity", [tensor.name], [f"y{index}"])
        for index, tensor in enumerate(tensors)
    ]
    outputs = [onnx.ValueInfoProto(name=f"y{index}") for index in range(len(tensors))]
    graph = helper.make_graph(nodes, "g", [], outputs, list(tensors))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def _random_tensor(dtype: ir.DataType) -> ir.Tensor:
    rng = np.random.default_rng(int(dtype))
    if dtype.bitwidth < 8:
        values = rng.integers(0, 1 << (dtype.bitwidth - 1), (3, 7)).astype(np.uint8)
        return ir.Tensor(values.view(dtype.numpy()), dtype=dtype, name="w")
    raw = rng.integers(0, 2, (3, 7)) if dtype == ir.DataType.BOOL else rng.integers(0, 100, (3, 7))
    return ir.Tensor(raw.astype(dtype.numpy()), dtype=dtype, name="w")


DTYPES = [
    dtype for dtype in ir.DataType if dtype not in (ir.DataType.UNDEFINED, ir.DataType.STRING)
]


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.name.lower())
@pytest.mark.parametrize("external", [False, True], ids=["inside", "external"])
def test_every_dtype_comes_through(tmp_path: Path, dtype: ir.DataType, external: bool) -> None:
    expected = _random_tensor(dtype)
    loaded = _load(tmp_path, _with_weights(ir.to_proto(expected)))
    model = loaded.model
    if external:
        tensor = expected.tobytes()
        (tmp_path / "w.bin").write_bytes(b"padding" + tensor)
        proto = TensorProto(name="w", data_type=dtype, dims=[3, 7], data_location=1)
        for key, value in (("location", "w.bin"), ("offset", "7"), ("length", str(len(tensor)))):
            proto.external_data.add(key=key, value=value)
        model = _load(tmp_path, _with_weights(proto)).model
    found = model.graph.initializers["w"].const_value
    assert found is not None
    assert isinstance(found, MappedTensor) == external
    assert found.dtype == dtype
    assert found.tobytes() == expected.tobytes()
    np.testing.assert_array_equal(found.numpy(), expected.numpy())
    written = save_model(model, tmp_path / "again.onnx")
    again = load_model(written[0]).model.graph.initializers["w"].const_value
    assert again is not None
    assert again.tobytes() == expected.tobytes()


def test_typed_data_and_strings_come_through(tmp_path: Path) -> None:
    typed = [
        helper.make_tensor("f", TensorProto.FLOAT, [2], [1.5, -2.0]),
        helper.make_tensor("h", TensorProto.FLOAT16, [2], [1.5, -2.0]),
        helper.make_tensor("i", TensorProto.INT64, [2], [1, -(2**62)]),
        helper.make_tensor("u", TensorProto.UINT64, [1], [2**63]),
        helper.make_tensor("b", TensorProto.BOOL, [2], [True, False]),
        helper.make_tensor("c", TensorProto.COMPLEX64, [1], [1 + 2j]),
        helper.make_tensor("s", TensorProto.STRING, [2], [b"one", b"\xff\x00"]),
        helper.make_tensor("e", TensorProto.FLOAT, [0, 3], []),
    ]
    loaded = _load(tmp_path, _with_weights(*typed))
    save_model(loaded.model, tmp_path / "again.onnx")
    again = load_model(tmp_path / "again.onnx").model
    for proto in typed:
        for model in (loaded.model, again):
            tensor = model.graph.initializers[proto.name].const_value
            assert tensor is not None
            np.testing.assert_array_equal(tensor.numpy(), numpy_helper.to_array(proto).astype(
                tensor.numpy().dtype) if proto.name != "s" else [b"one", b"\xff\x00"])  # fmt: skip


def test_a_large_file_is_not_held_in_memory(tmp_path: Path) -> None:
    weights = [np.random.default_rng(i).random((64, 512)).astype(np.float32) for i in range(3)]
    small = np.arange(4, dtype=np.float32)
    proto = _with_weights(*(numpy_helper.from_array(w, f"w{i}") for i, w in enumerate(weights)),
                          numpy_helper.from_array(small, "small"))  # fmt: skip
    constant = helper.make_node("Constant", [], ["k"], value=numpy_helper.from_array(weights[0]))
    proto.graph.node.append(constant)
    loaded = _load(tmp_path, proto, whole_file_limit=0)
    initializers = loaded.model.graph.initializers
    for index, weight in enumerate(weights):
        tensor = initializers[f"w{index}"].const_value
        assert isinstance(tensor, MappedTensor)
        np.testing.assert_array_equal(tensor.numpy(), weight)
    assert not isinstance(initializers["small"].const_value, MappedTensor)
    (node,) = (node for node in loaded.model.graph if node.op_type == "Constant")
    assert isinstance(node.attributes["value"].as_tensor(), MappedTensor)
    np.testing.assert_array_equal(node.attributes["value"].as_tensor().numpy(), weights[0])


def test_mapped_tensors_map_their_own_bytes_only(tmp_path: Path) -> None:
    """A hundred mappings of a whole file of 8 TiB would not fit the address space."""
    size, count = 1 << 43, 100
    with (tmp_path / "w.bin").open("wb") as stream:
        try:
            stream.truncate(size)
        except OSError:
            pytest.skip("the file system has no files of 8 TiB")
        stream.seek(size - 16)
        stream.write(np.arange(4, dtype=np.float32).tobytes())
    tensors = []
    for index in range(count):
        proto = TensorProto(name=f"w{index}", data_type=1, dims=[4], data_location=1)
        for key, value in (("location", "w.bin"), ("offset", str(size - 16 - 64 * index))):
            proto.external_data.add(key=key, value=value)
        tensors.append(proto)
    model = _load(tmp_path, _with_weights(*tensors)).model
    values = [value.const_value for value in model.graph.initializers.values()]
    arrays = [tensor.numpy() for tensor in values if tensor is not None]
    assert len(arrays) == count
    np.testing.assert_array_equal(arrays[0], [0, 1, 2, 3])


def test_defaults_become_constants(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        '< ir_version: 3, opset_import: ["" : 9] > '
        "g (float[2] x, float[2] w) => (float[2] y) < float[2] w = {1, 2} > { y = Add (x, w) }"
    )
    assert [value.name for value in model.graph.input] == ["x", "w"]
    loaded = _load(tmp_path, model)
    assert [value.name for value in loaded.model.graph.inputs] == ["x"]
    assert list(loaded.model.graph.initializers) == ["w"]
    assert loaded.model.ir_version == 4
    assert any("default value" in note and "'w'" in note for note in loaded.notes)


def test_opsets_are_settled_as_onnx_runtime_reads_them(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(f"{HEADER} g (float[2] x) => (y) {{ y = Relu (x) }}")
    del model.opset_import[:]
    for domain, version in (("", 6), ("ai.onnx", 17), ("ai.onnx.ml", 3)):
        model.opset_import.add(domain=domain, version=version)
    loaded = _load(tmp_path, model)
    assert loaded.opset == 17
    assert dict(loaded.model.opset_imports) == {"": 17, "ai.onnx.ml": 3}
    assert any("more than once" in note for note in loaded.notes)

    del model.opset_import[:]
    loaded = _load(tmp_path, model)
    assert loaded.opset == onnx.defs.onnx_opset_version()
    assert any("does not import" in note for note in loaded.notes)


def test_nodes_out_of_order_are_sorted_and_named(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        f"{HEADER} g (float[2] x) => (y) {{ y = Relu (b) b = Neg (a) a = Abs (x) }}"
    )
    for node in model.graph.node:
        node.name = "" if node.op_type == "Abs" else "same"
    loaded = _load(tmp_path, model)
    assert [node.op_type for node in loaded.model.graph] == ["Abs", "Neg", "Relu"]
    names = [node.name for node in loaded.model.graph]
    assert all(names)
    assert len(set(names)) == 3
    assert any("out of order" in note for note in loaded.notes)
    assert any("renamed" in note for note in loaded.notes)


def test_an_honest_model_has_no_notes(small_net: Path) -> None:
    loaded = load_model(small_net)
    assert loaded.notes == ()
    assert loaded.files == (small_net.resolve(),)
    assert loaded.bytes == small_net.stat().st_size


def test_digests(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"one")
    two.write_bytes(b"two")
    assert source_digest([one]) == hashlib.sha256(b"one").hexdigest()
    listing = subprocess.run(
        ["sha256sum", "one", "two"], cwd=tmp_path, capture_output=True, check=True
    ).stdout
    assert source_digest([one, two]) == hashlib.sha256(listing).hexdigest()
    with pytest.raises(InputError, match="does not exist"):
        source_digest([tmp_path / "three"])


def test_sparse_constants_have_their_values(tmp_path: Path) -> None:
    model = _with_weights(numpy_helper.from_array(np.zeros(1, np.float32), "other"))
    for name, indices in (("flat", [1, 5]), ("pairs", [[0, 1], [1, 2]])):
        sparse = model.graph.sparse_initializer.add(dims=[2, 3])
        sparse.values.CopyFrom(numpy_helper.from_array(np.asarray([3.0, 4.0], np.float32), name))
        sparse.indices.CopyFrom(numpy_helper.from_array(np.asarray(indices, np.int64)))
    constant = model.graph.node.add(op_type="Constant", output=["k"])
    attribute = constant.attribute.add(name="sparse_value", type=onnx.AttributeProto.SPARSE_TENSOR)
    attribute.sparse_tensor.CopyFrom(model.graph.sparse_initializer[0])
    loaded = _load(tmp_path, model)
    expected = [[0, 3, 0], [0, 0, 4]]
    for name in ("flat", "pairs"):
        tensor = loaded.model.graph.initializers[name].const_value
        assert tensor is not None
        np.testing.assert_array_equal(tensor.numpy(), expected)
    (node,) = (node for node in loaded.model.graph if node.op_type == "Constant")
    np.testing.assert_array_equal(node.attributes["value"].as_tensor().numpy(), expected)
    assert len(loaded.notes) == 2


@pytest.mark.parametrize(
    ("limits", "what"),
    [
        (Limits(nodes=2), "2 nodes"),
        (Limits(tensors=0), "0 tensors"),
        (Limits(functions=0), "0 functions"),
        (Limits(expanded_nodes=3), "3 nodes after expanding"),
    ],
)
def test_limits(limits: Limits, what: str) -> None:
    model = onnx.parser.parse_model(
        '< ir_version: 10, opset_import: ["" : 20, "f" : 1] > '
        "g (float[2] x) => (y) < float[2] w = {1, 2} > { a = f.F (x) b = f.F (a) y = Add (b, w) } "
        '< domain: "f", opset_import: ["" : 20] > F (p) => (q) { q = Relu (p) }'
    )
    with pytest.raises(InputError, match=f"more than {what}") as caught:
        preflight(model, limits=limits)
    assert caught.value.hint
    preflight(model)


def test_a_cycle_is_shown_with_its_nodes(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Relu", [f"v{(i - 1) % 3}"], [f"v{i}"], name=f"n{i}") for i in range(3)
    ]
    model = _with_weights()
    model.graph.node.extend(nodes)
    with pytest.raises(InputError, match=r"'n(\d)' \(Relu\) -> .* -> 'n\1' \(Relu\)"):
        _load(tmp_path, model)


@pytest.mark.slow
def test_preflight_is_linear() -> None:
    def seconds(count: int) -> float:
        nodes = [
            helper.make_node("Add", [f"v{i}", f"v{i // 2}"], [f"v{i + 1}"], name=f"n{i}")
            for i in range(count)
        ]
        ends = [helper.make_tensor_value_info(name, 1, [2]) for name in ("v0", f"v{count}")]
        graph = helper.make_graph(nodes, "g", ends[:1], ends[1:])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
        start = time.process_time()
        preflight(model)
        return time.process_time() - start

    seconds(1000)
    assert seconds(60_000) < 6 * 2 * min(seconds(10_000), seconds(10_000))


@pytest.mark.slow
def test_a_file_of_two_gigabytes_loads_without_its_weights(tmp_path: Path) -> None:
    path = tmp_path / "large.onnx"
    _write_large_single_file(path, tensors=3, size=700 << 20)
    assert path.stat().st_size > 2 << 30
    script = """
import sys
from pathlib import Path
import numpy as np
from irconv.graph.reading.load import load_model
from irconv.graph.serialize import save_model

def peak():
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["RssAnon"].split()[0]) // 1024

before = peak()
model = load_model(Path(sys.argv[1])).model
for value in model.graph.initializers.values():
    array = value.const_value.numpy()
    assert array.size == 175 << 20, array.size
    assert array[-1] == 0 and array[0] == 0
print(peak() - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 50


def _write_large_single_file(path: Path, tensors: int, size: int) -> None:
    """Write a model whose weights are holes of the file, so that it takes no disk."""

    def varint(value: int) -> bytes:
        out = bytearray()
        while value >= 0x80:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        return bytes([*out, value])

    head = _with_weights()
    for index in range(tensors):
        head.graph.node.add(op_type="Identity", input=[f"w{index}"], output=[f"y{index}"])
        head.graph.output.add(name=f"y{index}")
    graph = head.graph.SerializeToString()
    heads = [
        TensorProto(name=f"w{i}", data_type=1, dims=[size // 4]).SerializeToString()
        + b"\x4a"
        + varint(size)
        for i in range(tensors)
    ]
    wrapped = [b"\x2a" + varint(len(start) + size) + start for start in heads]
    head.ClearField("graph")
    total = len(graph) + sum(len(start) + size for start in wrapped)
    with path.open("wb") as stream:
        stream.write(head.SerializeToString() + b"\x3a" + varint(total) + graph)
        for start in wrapped:
            stream.write(start)
            stream.truncate(stream.tell() + size)
            stream.seek(size, os.SEEK_CUR)
