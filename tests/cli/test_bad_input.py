"""Bad input: one clear message, the right exit code, and nothing written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

Make = Callable[[Path], list[object]]


def _save(folder: Path, model: onnx.ModelProto) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def _text(folder: Path, body: str, imports: str = '"" : 17') -> Path:
    text = (
        f"< ir_version: 8, opset_import: [{imports}] >\ng (float[N] x) => (float[N] y) {{ {body} }}"
    )
    return _save(folder, onnx.parser.parse_model(text))


def _external(folder: Path, location: str) -> Path:
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4])
    weight.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, "offset": "0", "length": "16"}.items():
        weight.external_data.add(key=key, value=value)
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        "g",
        [info("x", TensorProto.FLOAT, [4])],
        [info("y", TensorProto.FLOAT, [4])],
        [weight],
    )
    return _save(folder, helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]))


def truncated(folder: Path) -> list[object]:
    weights = np.ones(4096, np.float32)
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        "g",
        [info("x", TensorProto.FLOAT, [4096])],
        [info("y", TensorProto.FLOAT, [4096])],
        [onnx.numpy_helper.from_array(weights, "w")],
    )
    path = _save(folder, helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]))
    path.write_bytes(path.read_bytes()[:-1000])
    return [path]


def not_onnx(folder: Path) -> list[object]:
    path = folder / "model.onnx"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8)
    return [path]


def empty_file(folder: Path) -> list[object]:
    path = folder / "model.onnx"
    path.touch()
    return [path]


def no_such_file(folder: Path) -> list[object]:
    return [folder / "nothing.onnx"]


def missing_external_data(folder: Path) -> list[object]:
    return [_external(folder, "weights.bin")]


def external_data_leaves_folder(folder: Path) -> list[object]:
    (folder.parent / "secret.bin").write_bytes(bytes(16))
    return [_external(folder, "../secret.bin")]


def cyclic(folder: Path) -> list[object]:
    return [_text(folder, "a = Add (x, b)  b = Relu (a)  y = Relu (b)")]


def unknown_op(folder: Path) -> list[object]:
    return [_text(folder, "y = Frobnicate (x)")]


def unknown_domain(folder: Path) -> list[object]:
    return [_text(folder, "y = com.acme.Foo (x)", '"" : 17, "com.acme" : 1')]


def wrong_shape(folder: Path) -> list[object]:
    return [_text(folder, "y = Relu (x)"), "--input", "x[2,3,4]{f32}"]


def wrong_dtype(folder: Path) -> list[object]:
    return [_text(folder, "y = Relu (x)"), "--input", "x[2]{i64}"]


def unknown_input(folder: Path) -> list[object]:
    return [_text(folder, "y = Relu (x)"), "--input", "image[2]{f32}"]


def unknown_dimension(folder: Path) -> list[object]:
    return [_text(folder, "y = Relu (x)"), "--shape", "batch=4"]


def missing_data(folder: Path) -> list[object]:
    return [_text(folder, "y = Relu (x)"), "--data", folder / "none.npz"]


def data_of_wrong_shape(folder: Path) -> list[object]:
    data = folder / "data.npz"
    np.savez(data, x=np.zeros((2, 2), np.float32))
    return [_text(folder, "y = Relu (x)"), "--data", data]


def broken_config(folder: Path) -> list[object]:
    config = folder / "config.json"
    config.write_text('{"levle": 3}')
    return [_text(folder, "y = Relu (x)"), "--config", config]


def unknown_pass(folder: Path) -> list[object]:
    return [_text(folder, "y = Relu (x)"), "--passes", "fuse-everything"]


def unknown_pass_option(folder: Path) -> list[object]:
    return [_text(folder, "y = Relu (x)"), "--passes", "fold-constants{speed=11}"]


CASES: list[tuple[Make, str]] = [
    (truncated, ""),
    (not_onnx, "ONNX"),
    (empty_file, ""),
    (no_such_file, "nothing.onnx"),
    (missing_external_data, "weights.bin"),
    (external_data_leaves_folder, "secret.bin"),
    (cyclic, "cycl"),
    (unknown_op, "Frobnicate"),
    (unknown_domain, "com.acme"),
    (wrong_shape, "x"),
    (wrong_dtype, "x"),
    (unknown_input, "image"),
    (unknown_dimension, "batch"),
    (missing_data, "none.npz"),
    (data_of_wrong_shape, "x"),
    (broken_config, "levle"),
    (unknown_pass, "fuse-everything"),
    (unknown_pass_option, "speed"),
]


@pytest.mark.parametrize(("make", "mentioned"), CASES, ids=[case[0].__name__ for case in CASES])
def test_compile_refuses(make: Make, mentioned: str, tmp_path: Path, irconv_cli) -> None:
    source, output = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    done = irconv_cli("compile", *make(source), "--target", "onnx", "-o", output)
    assert done.code == 2, done.err
    assert mentioned in done.err
    assert "next:" in done.err, "the message must say how to mend it"
    assert "Traceback" not in done.err
    assert not output.exists()
    assert done.out == ""


@pytest.mark.parametrize(
    ("target", "code"),
    [("nonsense", 2), ("onnx{opset=new}", 2), ("onnx{speed=1}", 2), ("onnx{", 2), ("", 2)],
)
def test_bad_target(target: str, code: int, small_net: Path, tmp_path: Path, irconv_cli) -> None:
    done = irconv_cli("compile", small_net, "--target", target, "-o", tmp_path / "out")
    assert done.code == code, done.err
    assert not (tmp_path / "out").exists()


def test_no_target(small_net: Path, irconv_cli) -> None:
    done = irconv_cli("compile", small_net)
    assert done.code == 2
    assert "--target" in done.err


def test_unknown_option(small_net: Path, irconv_cli) -> None:
    done = irconv_cli("compile", small_net, "--target", "onnx", "--fastest")
    assert done.code == 2
    assert "--fastest" in done.err


def test_unwritable_output(small_net: Path, tmp_path: Path, irconv_cli) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    done = irconv_cli("compile", small_net, "--target", "onnx", "-o", blocked / "out")
    assert done.code == 2, done.err
    assert blocked.read_text() == "in the way"


def test_a_folder_of_the_user_is_not_replaced(small_net: Path, tmp_path: Path, irconv_cli) -> None:
    mine = tmp_path / "out" / "onnx"
    mine.mkdir(parents=True)
    (mine / "thesis.txt").write_text("years of work")
    done = irconv_cli("compile", small_net, "--target", "onnx", "-o", tmp_path / "out")
    assert done.code == 2, done.err
    assert (mine / "thesis.txt").read_text() == "years of work"


def test_json_errors_are_json(tmp_path: Path, irconv_cli) -> None:
    done = irconv_cli("compile", tmp_path / "no.onnx", "--target", "onnx", "--json")
    assert done.code == 2
    assert done.json()["error"]["kind"] == "bad-input"
