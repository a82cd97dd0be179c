from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from irconv.graph.reading.load import load_model
from irconv.graph.reading.wire import Tokens, WireError, carve, weave
from irconv.graph.serialize import save_model, weight_bytes

RNG = np.random.default_rng(0)


def _value(name: str, tensor: ir.TensorProtocol) -> ir.Value:
    return ir.Value(
        name=name,
        type=ir.TensorType(tensor.dtype),
        shape=ir.Shape(tensor.shape.numpy()),
        const_value=tensor,
    )


def _model(**tensors: ir.TensorProtocol) -> ir.Model:
    values = [_value(name, tensor) for name, tensor in tensors.items()]
    nodes = [ir.node("Identity", [value]) for value in values]
    for index, node in enumerate(nodes):
        node.outputs[0].name = f"y{index}"
        node.outputs[0].type = values[index].type
        node.outputs[0].shape = values[index].shape
    outputs = [node.outputs[0] for node in nodes]
    graph = ir.Graph([], outputs, nodes=nodes, initializers=values, opset_imports={"": 20},
                     name="g")  # fmt: skip
    return ir.Model(graph, ir_version=10)


def _array(model: ir.Model, name: str) -> Any:
    tensor = model.graph.initializers[name].const_value
    assert tensor is not None
    return tensor.numpy()


def _spans(path: Path) -> dict[str, dict[str, str]]:
    graph = onnx.load(path, load_external_data=False).graph
    return {
        tensor.name: {entry.key: entry.value for entry in tensor.external_data}
        for tensor in graph.initializer
    }


@pytest.mark.parametrize("inline_limit", [0, 1 << 30])
def test_what_is_written_reads_back_and_the_model_is_left_alone(
    tmp_path: Path, inline_limit: int
) -> None:
    arrays = {
        "large": RNG.random((300, 400)).astype(np.float32),
        "medium": RNG.random(500),
        "tiny": np.asarray([1, 2], np.int64),
        "scalar": np.asarray(7, np.float16),
        "empty": np.zeros((0, 3), np.float32),
        "turned": np.asfortranarray(RNG.random((64, 48)).astype(np.float32)),
    }
    model = _model(**{name: ir.Tensor(array, name=name) for name, array in arrays.items()})
    before = {name: value.const_value for name, value in model.graph.initializers.items()}
    files = save_model(model, tmp_path / "m.onnx", inline_limit=inline_limit)
    assert len(files) == (1 if inline_limit else 2)
    for name, value in model.graph.initializers.items():
        assert value.const_value is before[name]
    onnx.checker.check_model(str(files[0]))
    again = load_model(files[0]).model
    for name, array in arrays.items():
        np.testing.assert_array_equal(_array(again, name), array)
    small = load_model(files[0], whole_file_limit=0).model
    np.testing.assert_array_equal(_array(small, "large"), arrays["large"])


def test_small_tensors_stay_in_the_graph_and_large_ones_start_a_page(tmp_path: Path) -> None:
    model = _model(
        small=ir.Tensor(np.zeros(256, np.float32)),
        odd=ir.Tensor(np.zeros(257, np.float32)),
        large=ir.Tensor(np.zeros(1 << 15, np.float32)),
    )
    save_model(model, tmp_path / "m.onnx", inline_limit=0)
    spans = _spans(tmp_path / "m.onnx")
    assert spans["small"] == {}
    assert spans["odd"] == {"location": "m.onnx.data", "offset": "0", "length": "1028"}
    assert spans["large"]["offset"] == "4096"


def test_shared_weights_are_written_once(tmp_path: Path) -> None:
    shared = ir.Tensor(RNG.random(5000))
    model = _model(a=shared, b=shared, c=ir.Tensor(RNG.random(5000)))
    assert weight_bytes(model) == 80_000
    save_model(model, tmp_path / "m.onnx", inline_limit=0)
    spans = _spans(tmp_path / "m.onnx")
    assert spans["a"] == spans["b"] != spans["c"]
    assert (tmp_path / "m.onnx.data").stat().st_size < 85_000

    loaded = load_model(tmp_path / "m.onnx").model
    assert weight_bytes(loaded) == 80_000
    save_model(loaded, tmp_path / "again.onnx", inline_limit=0)
    assert (tmp_path / "again.onnx.data").stat().st_size < 85_000
    np.testing.assert_array_equal(_array(load_model(tmp_path / "again.onnx").model, "b"),
                                  shared.numpy())  # fmt: skip


def test_shared_weights_count_as_often_as_they_are_written(tmp_path: Path) -> None:
    shared = ir.Tensor(RNG.random(1000))
    model = _model(a=shared, b=shared)
    assert len(save_model(model, tmp_path / "m.onnx", inline_limit=10_000)) == 2


def test_weights_in_attributes_and_bodies_go_outside_too(tmp_path: Path) -> None:
    big = ir.Tensor(RNG.random(5000), name="k")
    model = ir.from_onnx_text(
        '< ir_version: 10, opset_import: ["" : 20] >'
        "g (bool c) => (y) {"
        "  y = If (c) <"
        "    then_branch = t () => (double[5000] p) { p = Constant <value = double {1}> () },"
        "    else_branch = e () => (double[1] q) { q = Constant <value = double[1] {2}> () } > }"
    )
    bodies = list(model.graph.subgraphs())
    constant = next(iter(bodies[0]))
    constant.attributes["value"] = ir.AttrTensor("value", big)
    save_model(model, tmp_path / "m.onnx", inline_limit=0)
    assert constant.attributes["value"].as_tensor() is big
    assert (tmp_path / "m.onnx").stat().st_size < 2000
    again = next(
        node for node in next(iter(load_model(tmp_path / "m.onnx").model.graph.subgraphs()))
    )
    np.testing.assert_array_equal(again.attributes["value"].as_tensor().numpy(), big.numpy())


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    model = _model(w=ir.Tensor(np.zeros(4000, np.float32)))
    (tmp_path / "m.onnx.data").write_text("mine")
    with pytest.raises(FileExistsError):
        save_model(model, tmp_path / "m.onnx", inline_limit=0)
    assert (tmp_path / "m.onnx.data").read_text() == "mine"
    assert not (tmp_path / "m.onnx").exists()


def test_a_large_copy_survives_without_the_kernels_help(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = _model(w=ir.Tensor(RNG.random(3 << 20)))
    save_model(model, tmp_path / "m.onnx", inline_limit=0)
    loaded = load_model(tmp_path / "m.onnx").model

    def refuse(*_: object) -> int:
        raise OSError(18, "cross-device link")

    monkeypatch.setattr(os, "copy_file_range", refuse)
    save_model(loaded, tmp_path / "again.onnx", inline_limit=0)
    assert (tmp_path / "again.onnx.data").read_bytes() == (tmp_path / "m.onnx.data").read_bytes()


def test_carving_and_weaving_are_inverse(small_net: Path) -> None:
    content = small_net.read_bytes()
    for threshold in (1, 64, 1024, 1 << 30):
        with memoryview(content) as view:
            carved = carve(view, threshold)
        if threshold == 64:
            assert carved.spans
            assert len(carved.skeleton) < len(content)
        woven: list[bytes] = []

        def write_tensor(number: int, spans: Any = carved.spans, into: Any = woven) -> None:
            span = spans[number]
            into.append(content[span.offset : span.offset + span.length])

        sizes = {number: span.length for number, span in enumerate(carved.spans)}
        weave(carved.skeleton, carved.tokens, sizes, woven.append, write_tensor)
        assert b"".join(woven) == content


def test_every_cut_of_a_file_is_noticed_or_harmless(small_net: Path) -> None:
    content = small_net.read_bytes()
    for end in range(1, len(content), 7):
        with memoryview(content[:end]) as view:
            try:
                carved = carve(view, 1)
            except WireError:
                continue
            assert sum(span.length for span in carved.spans) <= end


def test_tokens_cannot_be_mistaken(small_net: Path) -> None:
    tokens, other = Tokens(), Tokens()
    number, token = tokens.new()
    assert tokens.number(token) == number == 0
    assert tokens.number(token + b"x") is None
    assert other.number(token) is None
