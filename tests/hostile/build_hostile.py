"""Builds the hostile models; run as a script it writes them into a folder to look at.

Each case has a folder of its own, ``<root>/<case>``. What no model may reach lies in
``<root>/outside``.
"""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import AttributeProto, ModelProto, TensorProto, helper, numpy_helper

SECRET = b"-----BEGIN PRIVATE KEY----- 0123456789abcdef " * 4
Node = onnx.NodeProto


@dataclass(frozen=True)
class Case:
    """A model and what has to become of it.

    Attributes:
        write: Writes the model into its folder and returns its path.
        refused: What the message of the refusal says; None if the model has to load.
    """

    write: Callable[[Path], Path]
    refused: str | None


CASES: dict[str, Case] = {}


def _bytes_case(name: str, refused: str | None, content: Callable[[], bytes]) -> None:
    def write(folder: Path) -> Path:
        path = folder / "model.onnx"
        path.write_bytes(content())
        return path

    CASES[name] = Case(write, refused)


def _model_case(name: str, refused: str | None, build: Callable[[], ModelProto]) -> None:
    _bytes_case(name, refused, lambda: build().SerializeToString())


def _folder_case(name: str, refused: str | None, write: Callable[[Path], Path]) -> None:
    CASES[name] = Case(write, refused)


def model(
    nodes: Iterable[Node],
    *,
    initializers: Sequence[TensorProto] = (),
    opsets: Sequence[tuple[str, int]] = (("", 20),),
    inputs: Sequence[str] = ("x",),
    outputs: Sequence[str] = ("y",),
    functions: Sequence[onnx.FunctionProto] = (),
) -> ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in inputs],
        [_untyped(name) for name in outputs],
        list(initializers),
    )
    return helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid(*opset) for opset in opsets],
        functions=list(functions),
        ir_version=10,
    )


def _untyped(name: str) -> onnx.ValueInfoProto:
    return onnx.ValueInfoProto(name=name)


def relu() -> ModelProto:
    return model([helper.make_node("Relu", ["x"], ["y"], name="r")])


def op(kind: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: object) -> Node:
    name = f"{kind}_{'_'.join(outputs)}"
    return helper.make_node(kind, list(inputs), list(outputs), name=name, **attributes)


def ints(name: str, *values: int) -> TensorProto:
    return numpy_helper.from_array(np.asarray(values, dtype=np.int64), name)


def scalar(name: str, value: int | float | bool) -> TensorProto:
    dtype = np.bool_ if isinstance(value, bool) else np.int64
    dtype = np.float32 if isinstance(value, float) else dtype
    return numpy_helper.from_array(np.asarray(value, dtype=dtype), name)


def with_tensor(tensor: TensorProto) -> ModelProto:
    tensor.name = "w"
    return model([op("Identity", ["w"], ["y"])], initializers=[tensor])


def body(nodes: Sequence[Node], output: str, inputs: Sequence[str] = ()) -> onnx.GraphProto:
    return helper.make_graph(
        list(nodes), "b", [_untyped(name) for name in inputs], [_untyped(output)]
    )


def branch(then: onnx.GraphProto, extra: Sequence[Node] = ()) -> ModelProto:
    other = body([op("Relu", ["x"], ["other"])], "other")
    chosen = op("If", ["c"], ["y"], then_branch=then, else_branch=other)
    return model([*extra, chosen], initializers=[scalar("c", True)])


# Files that are no model ---------------------------------------------------------------------

_bytes_case("control", None, lambda: relu().SerializeToString())
_bytes_case("empty", "it is empty", lambda: b"")
_bytes_case("text", "not an ONNX model", lambda: b"hello, this is no model at all\n")
_bytes_case("web-page", "web page", lambda: b"<!doctype html><html></html>")
_bytes_case("zip", "zip archive", lambda: b"PK\x03\x04" + bytes(100))
_bytes_case("gzip", "gzip", lambda: b"\x1f\x8b\x08" + bytes(100))
_bytes_case("json", "JSON", lambda: b'{"irVersion": 8}')
_bytes_case("git-lfs", "git lfs pull", lambda: b"version https://git-lfs.github.com/spec/v1\n")
_bytes_case("noise", "not an ONNX model", lambda: np.random.default_rng(0).bytes(10_000))
_bytes_case("zeros", "not an ONNX model", lambda: bytes(1000))
_bytes_case("half", "not an ONNX model", lambda: relu().SerializeToString()[:40])
_bytes_case(
    "cut-in-the-weights",
    "goes beyond the end",
    lambda: with_tensor(numpy_helper.from_array(np.zeros(4000, np.float32))).SerializeToString()[
        :-9000
    ],
)
_bytes_case("no-graph", "it has no graph", lambda: ModelProto(ir_version=8).SerializeToString())
_bytes_case(
    "length-of-2-to-the-60", "beyond the end", lambda: b"\x08\x0a\x3a" + b"\xff" * 8 + b"\x0f"
)
_bytes_case("endless-number", "cut off or too long", lambda: b"\x08" + b"\xff" * 40)
_bytes_case("group-wire-type", "wire type", lambda: b"\x08\x0a\x3b\x3c")


def _nested_messages(levels: int) -> bytes:
    """If within If by hand, since protobuf refuses to write so many levels."""

    def field(number: int, content: bytes) -> bytes:
        length, out = len(content), bytearray()
        while length >= 0x80:
            out.append(length & 0x7F | 0x80)
            length >>= 7
        return bytes([number << 3 | 2, *out, length]) + content

    graph = b""
    for _ in range(levels):
        attribute = field(1, b"then_branch") + field(6, graph) + b"\xa0\x01\x05"
        graph = field(1, field(4, b"If") + field(5, attribute))
    return b"\x08\x0a" + field(7, graph)


_bytes_case("5000-nested-bodies", "nested", lambda: _nested_messages(5000))
_bytes_case("40-nested-bodies", "nested", lambda: _nested_messages(40))


def _deep_ifs(levels: int) -> ModelProto:
    inner = body([op("Relu", ["x"], ["v0"])], "v0")
    for level in range(1, levels):
        other = body([op("Neg", ["x"], [f"e{level}"])], f"e{level}")
        chosen = op("If", ["c"], [f"v{level}"], then_branch=inner, else_branch=other)
        inner = body([chosen], f"v{level}")
    return branch(inner)


_model_case("20-nested-bodies", None, lambda: _deep_ifs(20))


def _directory(folder: Path) -> Path:
    path = folder / "model.onnx"
    path.mkdir()
    return path


def _pipe(folder: Path) -> Path:
    path = folder / "model.onnx"
    os.mkfifo(path)
    return path


def _dangling(folder: Path) -> Path:
    path = folder / "model.onnx"
    path.symlink_to("nowhere")
    return path


_folder_case("model-is-a-directory", "a directory", _directory)
_folder_case("model-is-a-pipe", "a named pipe", _pipe)
_folder_case("model-is-a-dangling-link", "does not exist", _dangling)
_folder_case("model-is-missing", "does not exist", lambda folder: folder / "model.onnx")
_folder_case("model-is-a-device", "a device", lambda folder: Path("/dev/zero"))
_folder_case("model-name-is-too-long", "cannot be opened", lambda folder: folder / ("x" * 5000))


# Versions and operators ----------------------------------------------------------------------


def _with(change: Callable[[ModelProto], object]) -> Callable[[], ModelProto]:
    def build() -> ModelProto:
        changed = relu()
        change(changed)
        return changed

    return build


def _set_ir(version: int) -> Callable[[], ModelProto]:
    return _with(lambda m: setattr(m, "ir_version", version))


_model_case("ir-version-999", "IR version 999", _set_ir(999))
_model_case("ir-version-0", "IR version 0", _set_ir(0))
_model_case("ir-version-negative", "IR version -1", _set_ir(-1))
for _version in (999, 0, -1):
    _model_case(
        f"opset-{_version}",
        f"version {_version} of the operator set",
        lambda v=_version: model([op("Relu", ["x"], ["y"])], opsets=[("", v)]),
    )
_model_case(
    "ml-opset-999",
    "version 999",
    lambda: model([op("Relu", ["x"], ["y"])], opsets=[("", 20), ("ai.onnx.ml", 999)]),
)
_model_case(
    "unknown-operators-are-listed-at-once",
    "(?s)Frobnicate.*acme::Blend.*Squash.*HardSwish",
    lambda: model(
        [
            op("Frobnicate", ["x"], ["a"]),
            op("Blend", ["a"], ["b"], domain="acme"),
            op("Squash", ["b"], ["c"], domain="com.microsoft"),
            op("HardSwish", ["c"], ["y"]),
        ],
        opsets=[("", 13), ("acme", 1), ("com.microsoft", 1)],
    ),
)
_model_case(
    "operator-was-removed",
    "removed from the operator set in version 10",
    lambda: model([op("Upsample", ["x", "x"], ["y"])], opsets=[("", 17)]),
)
_model_case(
    "runtime-operators-are-known",
    None,
    lambda: model(
        [op("Gelu", ["x"], ["y"], domain="com.microsoft")],
        opsets=[("", 17), ("com.microsoft", 1)],
    ),
)
_model_case("no-opset-at-all", None, lambda: model([op("Relu", ["x"], ["y"])], opsets=[]))
_model_case(
    "opset-twice", None, lambda: model([op("Relu", ["x"], ["y"])], opsets=[("", 6), ("", 17)])
)


# Graphs --------------------------------------------------------------------------------------

_model_case(
    "cycle",
    r"form a cycle: '.*' \(Neg\) -> '.*' \(Relu\) -> '.*' \(Neg\)|form a cycle: .*Relu.*Neg.*Relu",
    lambda: model([op("Relu", ["b"], ["a"]), op("Neg", ["a"], ["b"]), op("Abs", ["b"], ["y"])]),
)
_model_case("self-loop", "form a cycle", lambda: model([op("Add", ["x", "y"], ["y"])]))
_model_case(
    "cycle-through-a-body",
    "form a cycle",
    lambda: branch(body([op("Neg", ["late"], ["t"])], "t"), [op("Abs", ["y"], ["late"])]),
)
_model_case("undefined-input", "nothing defines it", lambda: model([op("Relu", ["q"], ["y"])]))
_model_case("undefined-output", "nothing defines it", lambda: model([op("Relu", ["x"], ["z"])]))
_model_case(
    "assigned-twice",
    "assigned twice",
    lambda: model([op("Relu", ["x"], ["y"]), op("Neg", ["x"], ["y"])]),
)
_model_case(
    "output-is-an-input",
    "assigned twice",
    lambda: model([op("Relu", ["x"], ["x"])], outputs=["x"]),
)
_model_case(
    "output-is-an-initializer",
    "assigned twice",
    lambda: model([op("Relu", ["x"], ["y"])], initializers=[ints("y", 1)]),
)
_model_case(
    "initializer-twice",
    "two initializers",
    lambda: model([op("Relu", ["x"], ["y"])], initializers=[ints("w", 1), ints("w", 2)]),
)
_model_case(
    "input-twice",
    "assigned twice",
    lambda: model([op("Relu", ["x"], ["y"])], inputs=["x", "x"]),
)
_model_case(
    "graph-output-twice",
    "listed twice",
    lambda: model([op("Relu", ["x"], ["y"])], outputs=["y", "y"]),
)
_model_case(
    "nameless-input", "has no name", lambda: model([op("Relu", ["x"], ["y"])], inputs=["x", ""])
)
_model_case(
    "nameless-initializer",
    "has no name",
    lambda: model([op("Relu", ["x"], ["y"])], initializers=[ints("", 1)]),
)
_model_case(
    "body-hides-an-outer-name",
    "graph around it",
    lambda: branch(body([op("Neg", ["x"], ["z"])], "z"), [op("Relu", ["x"], ["z"])]),
)
_model_case(
    "body-reads-the-undefined",
    "nothing defines it",
    lambda: branch(body([op("Neg", ["nowhere"], ["t"])], "t")),
)
_model_case(
    "out-of-order", None, lambda: model([op("Relu", ["a"], ["y"]), op("Neg", ["x"], ["a"])])
)
_model_case(
    "wrong-element-type",
    "element type is 999",
    _with(lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", 999)),
)
_model_case(
    "negative-input-dimension",
    None,
    _with(lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[0], "dim_value", -1)),
)


# Tensors -------------------------------------------------------------------------------------


def _raw(dims: Sequence[int], data: bytes, dtype: int = TensorProto.FLOAT) -> TensorProto:
    return TensorProto(data_type=dtype, dims=dims, raw_data=data)


for _name, _refused, _tensor in (
    ("tensor-dimension-negative", "negative dimension", _raw([-2], bytes(8))),
    ("tensor-product-wraps-to-zero", "takes", _raw([1 << 32, 1 << 32], b"")),
    ("tensor-of-1e12-without-data", "takes", TensorProto(data_type=1, dims=[10**12])),
    ("tensor-raw-too-short", "takes 12 bytes, and it has 8", _raw([3], bytes(8))),
    ("tensor-raw-too-long", "takes 4 bytes, and it has 8", _raw([1], bytes(8))),
    ("tensor-typed-too-short", "entries", TensorProto(data_type=1, dims=[3], float_data=[1.0])),
    ("tensor-typed-too-long", "entries", TensorProto(data_type=7, dims=[1], int64_data=[1, 2])),
    ("tensor-in-the-wrong-field", "stored in", TensorProto(data_type=1, dims=[1], int64_data=[1])),
    (
        "tensor-raw-and-typed",
        "holds its data twice",
        TensorProto(data_type=1, dims=[1], raw_data=bytes(4), float_data=[1.0]),
    ),
    ("tensor-of-unknown-type", "data type is 999", TensorProto(data_type=999, dims=[1])),
    ("tensor-of-no-type", "data type is 0", TensorProto(data_type=0, dims=[0])),
    ("tensor-of-raw-strings", "strings", _raw([1], b"abc", TensorProto.STRING)),
    ("tensor-int4-too-short", "takes 2 bytes", _raw([3], bytes(1), TensorProto.INT4)),
    ("tensor-int4", None, _raw([3], bytes(2), TensorProto.INT4)),
    ("tensor-scalar-without-data", "entries", TensorProto(data_type=1)),
    ("tensor-of-rank-1000", "rank is 1000", _raw([1] * 1000, bytes(4))),
    (
        "tensor-in-segments",
        "segments",
        TensorProto(data_type=1, dims=[1], segment=TensorProto.Segment(begin=0, end=1)),
    ),
):
    _model_case(_name, _refused, lambda t=_tensor: with_tensor(t))


def _sparse(dims: Sequence[int], index: int) -> ModelProto:
    built = model([op("Identity", ["w"], ["y"])])
    sparse = built.graph.sparse_initializer.add(dims=dims)
    sparse.values.CopyFrom(numpy_helper.from_array(np.ones(1, np.float32), "w"))
    sparse.indices.CopyFrom(ints("i", index))
    return built


_model_case("sparse", None, lambda: _sparse([4, 4], 5))
_model_case("sparse-bomb", "takes more than 256 MiB", lambda: _sparse([10**6, 10**6], 5))
_model_case("sparse-index-outside", "outside its shape", lambda: _sparse([4, 4], 16))


# External data -------------------------------------------------------------------------------


def external(location: str, dims: Sequence[int] = (4,), **entries: str) -> ModelProto:
    tensor = TensorProto(data_type=1, dims=dims, data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=value)
    return with_tensor(tensor)


def _external_case(
    name: str,
    refused: str | None,
    build: Callable[[], ModelProto],
    prepare: Callable[[Path, Path], object] = lambda folder, secret: None,
) -> None:
    def write(folder: Path) -> Path:
        outside = folder.parent / "outside"
        outside.mkdir(exist_ok=True)
        secret = outside / "secret"
        secret.write_bytes(SECRET)
        (folder / "w.bin").write_bytes(bytes(64))
        (folder / "sub").mkdir()
        prepare(folder, secret)
        path = folder / "model.onnx"
        path.write_bytes(build().SerializeToString())
        return path

    CASES[name] = Case(write, refused)


_external_case("external", None, lambda: external("w.bin", offset="16", length="16"))
_external_case("external-in-a-subfolder", None, lambda: external("sub/w.bin"),
               lambda folder, _: (folder / "w.bin").rename(folder / "sub" / "w.bin"))  # fmt: skip
for _index, _location in enumerate(
    ("../outside/secret", "sub/../../outside/secret", "..\\outside\\secret", "C:\\secret",
     "\\\\host\\a",
     "/proc/self/environ", "/dev/zero", "//etc/passwd", "w.bin\0.txt")
):  # fmt: skip
    _external_case(
        f"external-location-{_index}",
        "leaves the model's folder",
        lambda at=_location: external(at),
    )
_external_case("external-location-empty", "no location", lambda: external(""))
_external_case("external-missing", "does not exist", lambda: external("gone.bin"))
_external_case(
    "external-link-outside",
    "outside the model's folder",
    lambda: external("link"),
    lambda folder, secret: (folder / "link").symlink_to(secret),
)
_external_case(
    "external-folder-link-outside",
    "outside the model's folder",
    lambda: external("away/secret"),
    lambda folder, secret: (folder / "away").symlink_to(secret.parent),
)
_external_case(
    "external-link-to-an-absolute-device",
    "outside the model's folder",
    lambda: external("link"),
    lambda folder, secret: (folder / "link").symlink_to("/dev/zero"),
)
_external_case(
    "external-hard-link",
    "hard links",
    lambda: external("hard"),
    lambda folder, secret: (folder / "hard").hardlink_to(secret),
)
_external_case(
    "external-pipe",
    "a named pipe",
    lambda: external("pipe"),
    lambda folder, secret: os.mkfifo(folder / "pipe"),
)
_external_case("external-directory", "a directory", lambda: external("sub"))
_external_case("external-link-loop", "cannot be opened", lambda: external("loop"),
               lambda folder, _: (folder / "loop").symlink_to("loop"))  # fmt: skip
for _index, (_key, _value, _refused) in enumerate(
    (
        ("offset", "abc", "not a size"),
        ("offset", "-1", "not a size"),
        ("offset", "1e3", "not a size"),
        ("offset", "１６", "not a size"),
        ("offset", str(1 << 70), "not a size"),
        ("offset", str((1 << 63) - 1), "beyond any file"),
        ("offset", "60", "which has 64 bytes"),
        ("offset", "4096", "which has 64 bytes"),
        ("length", "8", "takes 16 bytes"),
        ("length", "-16", "not a size"),
        ("length", "17", "takes 16 bytes"),
        ("__class__", "x", "unknown entry"),
        ("base_dir", "/etc", "unknown entry"),
    )
):
    _external_case(
        f"external-entry-{_index}",
        _refused,
        lambda key=_key, value=_value: external("w.bin", **{key: value}),
    )


def _entry_twice() -> ModelProto:
    built = external("w.bin")
    built.graph.initializer[0].external_data.add(key="location", value="../outside/secret")
    return built


_external_case("external-location-twice", "twice", _entry_twice)
_external_case("external-too-large", "which has 64 bytes", lambda: external("w.bin", [1 << 40]))


def _make_sparse_file(folder: Path, _: Path) -> None:
    with (folder / "holes.bin").open("wb") as stream:
        stream.truncate(64 << 30)


_external_case("external-64-gib-of-holes", None, lambda: external("holes.bin"), _make_sparse_file)


def _overlaps() -> ModelProto:
    tensors = []
    for offset in range(2000):
        tensor = external("holes.bin", [1 << 30], offset=str(4 * offset)).graph.initializer[0]
        tensor.name = f"w{offset}"
        tensors.append(tensor)
    return model([op("Identity", ["w0"], ["y"])], initializers=tensors)


_external_case("external-overlaps", "overlap", _overlaps, _make_sparse_file)


# Functions -----------------------------------------------------------------------------------


def function(name: str, nodes: Sequence[Node]) -> onnx.FunctionProto:
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("f", 1)]
    return helper.make_function("f", name, ["a"], ["b"], list(nodes), opsets)


def calling(functions: Sequence[onnx.FunctionProto], called: str = "F0") -> ModelProto:
    return model(
        [op(called, ["x"], ["y"], domain="f")], opsets=[("", 20), ("f", 1)], functions=functions
    )


def _laughs(levels: int) -> ModelProto:
    functions = [function("F0", [op("Relu", ["a"], ["b"])])]
    for level in range(1, levels):
        inner = f"F{level - 1}"
        nodes = [op(inner, ["a"], ["m"], domain="f"), op(inner, ["m"], ["b"], domain="f")]
        functions.append(function(f"F{level}", nodes))
    return calling(functions, f"F{levels - 1}")


_model_case("function", None, lambda: calling([function("F0", [op("Relu", ["a"], ["b"])])]))
_model_case("billion-laughs", "after expanding its functions", lambda: _laughs(30))
_model_case("function-chain-too-deep", "call each other", lambda: _laughs(60))
_model_case(
    "function-calls-itself",
    "without end",
    lambda: calling([function("F0", [op("F0", ["a"], ["b"], domain="f")])]),
)
_model_case(
    "functions-call-each-other",
    "without end",
    lambda: calling(
        [
            function("F0", [op("F1", ["a"], ["b"], domain="f")]),
            function("F1", [op("F0", ["a"], ["b"], domain="f")]),
        ]
    ),
)
_model_case(
    "unused-function-calls-itself",
    "without end",
    lambda: calling(
        [
            function("F0", [op("Relu", ["a"], ["b"])]),
            function("F1", [op("F1", ["a"], ["b"], domain="f")]),
        ]
    ),
)
_model_case(
    "function-twice",
    "two functions",
    lambda: calling([function("F0", [op("Relu", ["a"], ["b"])])] * 2),
)
_model_case(
    "function-reads-the-undefined",
    "nothing defines it",
    lambda: calling([function("F0", [op("Relu", ["x"], ["b"])])]),
)
_model_case(
    "function-without-its-output",
    "nothing defines it",
    lambda: calling([function("F0", [op("Relu", ["a"], ["c"])])]),
)
_model_case(
    "function-with-a-cycle",
    "cycle",
    lambda: calling([function("F0", [op("Add", ["a", "b"], ["b"])])]),
)
_model_case(
    "function-with-an-unknown-operator",
    "Frobnicate",
    lambda: calling([function("F0", [op("Frobnicate", ["a"], ["b"])])]),
)


# Attributes and names ------------------------------------------------------------------------

for _kind, _attribute, _value in (
    ("Conv", "strides", [0, 0]),
    ("Conv", "dilations", [1, -1]),
    ("Conv", "group", 0),
    ("MaxPool", "strides", [0]),
    ("AveragePool", "kernel_shape", [0]),
    ("ConvTranspose", "strides", [-1]),
    ("DepthToSpace", "blocksize", 0),
    ("Split", "num_outputs", 0),
):
    _model_case(
        f"{_kind}-{_attribute}-{_value}".lower().replace(" ", ""),
        "at least 1",
        lambda k=_kind, a=_attribute, v=_value: model([op(k, ["x", "x"], ["y"], **{a: v})]),
    )


def _attribute_case(name: str, refused: str | None, *attributes: AttributeProto) -> None:
    def build() -> ModelProto:
        built = model([op("Softmax", ["x"], ["y"])])
        built.graph.node[0].attribute.extend(attributes)
        return built

    _model_case(name, refused, build)


_attribute_case("attribute-without-a-type", "no known type", AttributeProto(name="axis", i=0))
_attribute_case("attribute-twice", "given twice", *[helper.make_attribute("axis", 0)] * 2)
_attribute_case("attribute-without-a-name", "has no name", AttributeProto(type=2, i=0))
_attribute_case(
    "attribute-strings-not-utf8",
    "not UTF-8",
    AttributeProto(name="t", type=AttributeProto.STRINGS, strings=[b"\xff\xfe"]),
)
_attribute_case(
    "attribute-sparse-tensors",
    "cannot be read",
    AttributeProto(name="t", type=AttributeProto.SPARSE_TENSORS),
)
_bytes_case(
    "name-not-utf8",
    "not UTF-8",
    lambda: (
        model([op("Relu", ["inputx"], ["y"])], inputs=["inputx"])
        .SerializeToString()
        .replace(b"inputx", b"\xff\xfe\xff\xfe\xff\xfe")
    ),
)
_ANSI = "\x1b[31mred\x1b[0m\x07\u202e"
_model_case("operator-with-terminal-codes", "\\\\x1b", lambda: model([op(_ANSI, ["x"], ["y"])]))
_model_case(
    "names-with-terminal-codes", None, lambda: model([op("Relu", [_ANSI], ["y"])], inputs=[_ANSI])
)
_model_case("name-of-a-megabyte", "…", lambda: model([op("Relu", ["n" * 1_000_000], ["y"])]))
_model_case(
    "name-that-is-a-path",
    None,
    lambda: model([op("Relu", ["../../etc/passwd"], ["y"])], inputs=["../../etc/passwd"]),
)


# Dangerous only to whoever evaluates ---------------------------------------------------------

_INT_MIN = -(2**63)


def _doubling(kind: str, start: TensorProto, **attributes: object) -> ModelProto:
    nodes = [op(kind, [f"v{i}", f"v{i}"], [f"v{i + 1}"], **attributes) for i in range(40)]
    return model([*nodes, op("Shape", ["v40"], ["y"])], initializers=[start])


def _endless_loop() -> ModelProto:
    inner = helper.make_graph(
        [op("Identity", ["cond"], ["again"]), op("Add", ["a", "one"], ["next"])],
        "b",
        [_untyped("i"), _untyped("cond"), _untyped("a")],
        [_untyped("again"), _untyped("next")],
    )
    return model(
        [op("Loop", ["m", "t", "one"], ["y"], body=inner)],
        initializers=[scalar("m", 2**62), scalar("t", True), scalar("one", 1)],
    )


def _evaluated(
    kind: str, *initializers: TensorProto, **attributes: object
) -> Callable[[], ModelProto]:
    names = [tensor.name for tensor in initializers]
    return lambda: model([op(kind, names, ["y"], **attributes)], initializers=initializers)


_BIG = 10**6
for _name, _build in (
    ("div-int-min-by-minus-one", _evaluated("Div", ints("a", _INT_MIN), ints("b", -1))),
    ("mod-int-min-by-minus-one", _evaluated("Mod", ints("a", _INT_MIN), ints("b", -1))),
    ("div-by-zero", _evaluated("Div", ints("a", 1), ints("b", 0))),
    ("mod-by-zero", _evaluated("Mod", ints("a", 1), ints("b", 0))),
    ("constant-of-shape-bomb", _evaluated("ConstantOfShape", ints("s", _BIG, _BIG))),
    ("expand-bomb", _evaluated("Expand", scalar("a", 1.0), ints("s", _BIG, _BIG))),
    ("tile-bomb", _evaluated("Tile", ints("a", 1, 2), ints("s", 2**40))),
    ("range-bomb", _evaluated("Range", scalar("a", 0), scalar("b", 10**12), scalar("c", 1))),
    ("range-of-step-zero", _evaluated("Range", scalar("a", 0), scalar("b", 9), scalar("c", 0))),
    ("pad-bomb", _evaluated("Pad", ints("a", 1), ints("p", 2**40, 2**40))),
    ("pad-negative", _evaluated("Pad", ints("a", 1), ints("p", -9, -9))),
    ("one-hot-bomb", _evaluated("OneHot", ints("i", *range(64)), scalar("d", 10**11),
                                ints("v", 0, 1))),
    ("eye-bomb", _evaluated("EyeLike", numpy_helper.from_array(np.zeros((9, 9)), "a"))),
    ("gather-outside", _evaluated("Gather", ints("a", 1), ints("i", 10**9))),
    ("scatter-outside", _evaluated("ScatterND", ints("a", 1), numpy_helper.from_array(
        np.asarray([[-(10**9)]]), "i"), ints("u", 1))),
    ("reshape-overflow", _evaluated("Reshape", ints("a", 1), ints("s", 2**62, 4))),
    ("slice-of-step-zero", _evaluated("Slice", ints("a", 1), ints("b", 0), ints("c", 1),
                                      ints("d", 0), ints("e", 0))),
    ("split-into-many", _evaluated("Split", ints("a", 1), ints("s", *([0] * 1000)))),
    ("random-bomb", lambda: model([op("RandomUniform", [], ["y"], shape=[_BIG, _BIG])])),
    ("concat-doubling", lambda: _doubling("Concat", ints("v0", 1, 2), axis=0)),
    ("add-of-itself-doubling", lambda: _doubling("Add", ints("v0", 1, 2))),
    ("string-doubling", lambda: _doubling("StringConcat", helper.make_tensor(
        "v0", TensorProto.STRING, [1], [b"ha"]))),
    ("endless-loop", _endless_loop),
    ("resize-bomb", lambda: model(
        [op("Resize", ["a", "", "s"], ["y"])],
        initializers=[numpy_helper.from_array(np.ones((1, 1, 2, 2), np.float32), "a"),
                      numpy_helper.from_array(np.full(4, 1e5, np.float32), "s")])),
    ("conv-of-negative-size", lambda: model(
        [op("Conv", ["a", "k"], ["y"], pads=[-9, -9, -9, -9])],
        initializers=[numpy_helper.from_array(np.ones((1, 1, 4, 4), np.float32), "a"),
                      numpy_helper.from_array(np.ones((1, 1, 3, 3), np.float32), "k")])),
    ("wrong-number-of-inputs", lambda: model([op("Add", ["x"], ["y"])])),
    ("wrong-attribute", lambda: model([op("Relu", ["x"], ["y"], banana=[1, 2])])),
    ("wrong-types", _evaluated("MatMul", ints("a", 1), scalar("b", True))),
):  # fmt: skip
    _model_case(f"evaluated-{_name}", None, _build)


def _training() -> ModelProto:
    built = relu()
    built.training_info.add().initialization.node.add(op_type="Frobnicate")
    return built


_model_case("training-information", None, _training)
_bytes_case(
    "unknown-fields",
    None,
    lambda: relu().SerializeToString() + struct.pack("<BBB", 0xBA, 0x3E, 4) + b"junk",
)


def build(root: Path) -> dict[str, tuple[Path, str | None]]:
    """Write every case into a folder of its own; return each model's path and its refusal."""
    built: dict[str, tuple[Path, str | None]] = {}
    for name, case in CASES.items():
        folder = root / name.replace("[", "").replace("]", "").replace(",", "-")
        folder.mkdir()
        built[name] = (case.write(folder), case.refused)
    return built


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True)
    print(f"{len(build(target))} hostile models written to {target}")
