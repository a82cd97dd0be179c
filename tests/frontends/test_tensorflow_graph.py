"""Reading graphs from their bytes, finding their ends, and what they may not hold."""

from __future__ import annotations

import pytest

from irconv.errors import InputError
from irconv.frontends.tensorflow.dimensions import name_dimensions
from irconv.frontends.tensorflow.fields import Message
from irconv.frontends.tensorflow.graph_def import Graph, read_graph
from irconv.frontends.tensorflow.graph_ends import find_ends
from irconv.frontends.tensorflow.operators import dangers_of_graph, dangers_of_saved_model
from irconv.frontends.tensorflow.saved_model import read_saved_model
from irconv.graph.reading.wire import WireError
from irconv.runtime.base import TensorSpec
from irconv.shapes import parse_input


def field(number: int, content: bytes | str) -> bytes:
    data = content.encode() if isinstance(content, str) else content
    return bytes([number << 3 | 2]) + varint(len(data)) + data


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def node(name: str, op: str, *inputs: str, attributes: bytes = b"") -> bytes:
    body = field(1, name) + field(2, op) + b"".join(field(3, text) for text in inputs)
    return field(1, body + attributes)


def attribute(key: str, value: bytes) -> bytes:
    return field(5, field(1, key) + field(2, value))


def calls(function: str) -> bytes:
    return attribute("f", field(10, field(1, function)))


def library(**functions: bytes) -> bytes:
    """Functions by name, each given as the nodes of a graph."""
    found = b""
    for name, nodes in functions.items():
        body = b"".join(
            field(3, bytes(inside.data[inside.start : inside.end]))
            for inside in Message.of(memoryview(nodes)).messages(1)
        )
        found += field(1, field(1, field(1, name)) + body)
    return field(2, found)


def graph(content: bytes) -> Graph:
    return read_graph(Message.of(memoryview(content)))


FLOAT = attribute("dtype", b"\x30\x01")
X = node("x", "Placeholder", attributes=FLOAT + attribute("shape", field(7, field(2, b"\x08\x03"))))
WRITES = node("w", "WriteFile")
BODY = library(evil=node("inner", "WriteFile"))


@pytest.mark.parametrize(
    "content",
    [
        node("y", "WriteFile", "x"),
        node("y", "Identity", "x", "^w") + WRITES,
        node("y", "Identity", "w:1") + WRITES,
        node("y", "PartitionedCall", "x", attributes=calls("evil")) + BODY,
        node("y", "evil", "x") + BODY,
        node("y", "Case", attributes=attribute("b", field(1, field(9, field(1, "evil"))))) + BODY,
        node(
            "y",
            "Map",
            attributes=attribute(
                "f",
                field(
                    10,
                    field(1, "fine")
                    + field(2, field(1, "g") + field(2, field(10, field(1, "evil")))),
                ),
            ),
        )
        + BODY,
        node("y", "PartitionedCall", attributes=calls("outer"))
        + library(
            outer=node("o", "StatefulPartitionedCall", attributes=calls("evil")),
            evil=node("inner", "ReadFile"),
        ),
        node("y", "TFRecordDatasetV2"),
        node("y", "EagerPyFunc"),
        node("y", "DebugIdentityV2"),
        node("y", "SymbolicGradient"),
    ],
)
def test_every_way_to_a_dangerous_operator_is_found(content: bytes) -> None:
    assert len(dangers_of_graph(graph(X + content), ["y"])) == 1


def test_what_no_output_leads_to_does_not_run() -> None:
    assert dangers_of_graph(graph(X + node("y", "Relu", "x") + WRITES), ["y"]) == []


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (X + X, "'x' stands there twice"),
        (library(f=X) + library(f=X), "'f' stands there twice"),
        (field(1, field(1, "x") + field(1, "y")), "field 1 .* stands there twice"),
        (field(1, field(1, b"\xff")), "not UTF-8"),
        (b"\x0a\x05abc", "cut off"),
        (b"\x0b", "wire type 3"),
    ],
)
def test_bytes_that_readers_take_differently(content: bytes, what: str) -> None:
    with pytest.raises(WireError, match=what):
        graph(content)


def meta_graph(nodes: bytes, *more: bytes) -> bytes:
    return field(2, field(1, field(4, "serve")) + field(2, nodes) + b"".join(more))


def signature(name: str, output: str) -> bytes:
    outputs = field(2, field(1, "y") + field(2, field(1, output)))
    return field(5, field(1, name) + field(2, outputs))


def restoring(prefix: str) -> bytes:
    return (
        node("save/Const", "Const")
        + node("evil", "Const")
        + node("restore", "RestoreV2", prefix)
        + node("all", "NoOp", "^restore")
    )


SAVER = field(3, field(1, "save/Const:0") + field(2, "save:0") + field(3, "all"))
SERVES = signature("serving_default", "y:0")
LEGACY_INIT = field(4, field(1, "legacy_init_op") + field(2, field(1, field(1, "w"))))


@pytest.mark.parametrize(
    ("content", "dangerous"),
    [
        (meta_graph(X + node("y", "Relu", "x"), SERVES), False),
        (meta_graph(X + node("y", "Relu", "x") + WRITES, SERVES), False),
        (meta_graph(X + node("y", "Relu", "w") + WRITES, SERVES), True),
        (meta_graph(restoring("save/Const"), SERVES, SAVER), False),
        (meta_graph(restoring("evil"), SERVES, SAVER), True),
        (meta_graph(WRITES, signature("__saved_model_init_op", "w")), True),
        (meta_graph(WRITES, LEGACY_INIT), True),
        (meta_graph(X + BODY, field(7, field(2, field(1, "evil") + field(2, b"")))), True),
    ],
)  # fmt: skip
def test_what_loading_and_serving_run(content: bytes, dangerous: bool) -> None:
    meta = read_saved_model(memoryview(content))
    assert bool(dangers_of_saved_model(meta)) is dangerous


def test_two_graphs_are_read_the_way_of_v1() -> None:
    """TensorFlow runs their restore operator even if they hold objects."""
    objects = field(7, field(2, field(1, "f") + field(2, b"")))
    other = field(2, field(1, field(4, "train")))
    content = meta_graph(restoring("evil"), SERVES, SAVER, objects)
    assert dangers_of_saved_model(read_saved_model(memoryview(content))) == []
    assert dangers_of_saved_model(read_saved_model(memoryview(content + other)))


LOOP = (
    X
    + node("while/Exit", "Exit", "x")
    + node("while/Exit_1", "Exit", "x")
    + node("step", "NoOp", "^x")
)


@pytest.mark.parametrize(
    ("content", "inputs", "outputs", "found"),
    [
        (X + node("y", "Relu", "x"), [], [], (("x",), ("y",))),
        (LOOP + node("y", "Relu", "while/Exit"), [], [], (("x",), ("y",))),
        (LOOP, [], ["while/Exit_1"], (("x",), ("while/Exit_1",))),
        (X + node("y", "Split", "x"), [], ["y:1"], (("x",), ("y:1",))),
        (X + node("h", "Relu", "x") + node("y", "Relu", "h"), ["h"], [], (("h",), ("y",))),
        (X + node("z", "Placeholder") + node("y", "Relu", "x"), [], ["y:0"], (("x",), ("y",))),
    ],
)
def test_ends_that_are_found(
    content: bytes,
    inputs: list[str],
    outputs: list[str],
    found: tuple[tuple[str, ...], tuple[str, ...]],
) -> None:
    ends = find_ends(graph(content), inputs, outputs)
    assert (ends.inputs, ends.outputs) == found


@pytest.mark.parametrize(
    ("content", "inputs", "outputs", "what"),
    [
        (LOOP, [], [], "which nodes of the graph are its outputs"),
        (X, [], [], "which nodes of the graph are its outputs"),
        (X + node("y", "Relu", "x"), ["a"], [], "no node 'a'"),
        (X + node("y", "Relu", "x"), [], ["a"], "no node 'a'"),
        (X + node("y", "Relu", "x"), ["y:1"], [], "not the first output"),
        (node("v", "VariableV2") + node("y", "Relu", "v"), [], [], "not frozen"),
    ],
)
def test_ends_that_are_not_clear(
    content: bytes, inputs: list[str], outputs: list[str], what: str
) -> None:
    with pytest.raises(InputError, match=what) as caught:
        find_ends(graph(content), inputs, outputs)
    assert caught.value.hint


def named(specs: list[TensorSpec], *texts: str) -> list[tuple[int | str | None, ...] | None]:
    return [spec.shape for spec in name_dimensions(specs, [parse_input(text) for text in texts])]


IMAGE = TensorSpec("image", "float32", (None, None, 3))
SCALE = TensorSpec("scale", "float32", ())
FIXED = TensorSpec("fixed", "float32", (1, None))


def test_names_of_dimensions() -> None:
    assert named([IMAGE, SCALE]) == [("batch", "image_dim1", 3), ()]
    assert named([IMAGE, FIXED]) == [("image_dim0", "image_dim1", 3), (1, "fixed_dim1")]
    assert named([IMAGE], "image[n,224,?]") == [("n", 224, 3)]
    assert named([TensorSpec("x", "int32", None)], "x[?,7]") == [("batch", 7)]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("image[1,2]", "it has 3 dimensions, not 2"),
        ("image[1,2,4]", "its dimension 2 is 3, not 4"),
        ("image[1,2,c]", "its dimension 2 is 3, not c"),
        ("image[1,2,3]{i64}", "its dtype is float32"),
        ("other[1]", "no input 'other'"),
    ],
)
def test_statements_that_do_not_fit(text: str, what: str) -> None:
    with pytest.raises(InputError, match=what):
        named([IMAGE], text)


def test_a_rank_that_is_not_known() -> None:
    with pytest.raises(InputError, match="how many dimensions input 'x' has"):
        named([TensorSpec("x", "float32", None)])
