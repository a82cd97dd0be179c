"""fuse-attention and fuse-rotary-embedding on random heads, sizes, scales and masks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import onnx_ir as ir
import pytest

from irconv.passes.fusions.fuse_attention import FuseAttention
from irconv.passes.fusions.fuse_rotary_embedding import FuseRotaryEmbedding

LOWEST = float(np.finfo(np.float32).min)


@dataclass(frozen=True)
class Shape:
    """Sizes of one attention, and how it is written."""

    batch: int
    heads: int
    shared: int
    queries: int
    keys: int
    size: int
    width: int
    past: int
    mask: str
    scale: str
    split: bool
    guarded: bool
    symbolic: bool


def drawn(seed: int) -> Shape:
    random = np.random.default_rng(seed)

    def one_of(*choices: object) -> object:
        return choices[int(random.integers(len(choices)))]

    shared = int(random.integers(1, 4))
    return Shape(
        batch=int(random.integers(1, 4)),
        heads=shared * int(random.integers(1, 4)),
        shared=shared,
        queries=int(random.integers(1, 6)),
        keys=int(random.integers(1, 6)),
        size=2 * int(random.integers(1, 5)),
        width=int(random.integers(1, 6)),
        past=int(one_of(0, 0, 1, 3)),  # type: ignore[call-overload]
        mask=str(one_of("none", "added", "keys", "lowest", "seen", "filled", "two", "heads")),
        scale=str(one_of("none", "div", "mul", "split")),
        split=bool(one_of(True, False)),
        guarded=bool(one_of(True, False)),
        symbolic=bool(one_of(True, False)),
    )


class Text:
    """A model as text, put together node by node."""

    def __init__(self) -> None:
        self.inputs: list[str] = []
        self.outputs: list[str] = []
        self.constants: list[str] = []
        self.nodes: list[str] = []

    def constant(self, name: str, kind: str, *items: float) -> str:
        shape = f"[{len(items)}]" if kind == "int64" else ""
        self.constants.append(f"{kind}{shape} {name} = {{{', '.join(map(str, items))}}}")
        return name

    def node(self, name: str, expression: str) -> str:
        self.nodes.append(f"{name} = {expression}")
        return name

    def model(self) -> str:
        return (
            '< ir_version: 11, opset_import: ["" : 23] >\n'
            f"g ({', '.join(self.inputs)}) => ({', '.join(self.outputs)})\n"
            f"<{', '.join(self.constants)}> {{\n" + "\n".join(self.nodes) + "\n}"
        )


def written(shape: Shape) -> str:
    """Return the model of one attention."""
    text = Text()
    total = shape.past + shape.keys
    batch, queries, keys, past, whole = (
        ("N", "S", "K", "P", "T")
        if shape.symbolic
        else (shape.batch, shape.queries, shape.keys, shape.past, total)
    )
    parts = (
        ("q", shape.heads, queries, shape.size),
        ("k", shape.shared, keys, shape.size),
        ("v", shape.shared, keys, shape.width),
    )
    four = []
    for name, heads, length, size in parts:
        if not shape.split:
            text.inputs.append(f"float[{batch}, {heads}, {length}, {size}] {name}")
            four.append(name)
            continue
        text.inputs.append(f"float[{batch}, {length}, {heads * size}] {name}")
        target = text.constant(f"{name}_split", "int64", 0, 0, heads, size)
        apart = text.node(f"{name}4", f"Reshape ({name}, {target})")
        four.append(text.node(f"{name}t", f"Transpose <perm = [0, 2, 1, 3]> ({apart})"))
    query, key, value = four
    if shape.past:
        for name, part, size in (("k", key, shape.size), ("v", value, shape.width)):
            text.inputs.append(f"float[{batch}, {shape.shared}, {past}, {size}] past_{name}")
            text.node(f"all_{name}", f"Concat <axis = 2> (past_{name}, {part})")
            text.outputs.append(f"float[{batch}, {shape.shared}, {whole}, {size}] all_{name}")
        key, value = "all_k", "all_v"
    if shape.heads != shape.shared:
        key, value = (
            repeated(text, name, shape, part) for name, part in (("k", key), ("v", value))
        )
    scores = scored(text, shape, query, key)
    scores = masked(text, shape, scores, batch, queries, whole if shape.past else keys)
    p = text.node("p", f"Softmax <axis = -1> ({scores})")
    if shape.guarded:
        zero = text.constant("nothing", "float", 0.0)
        text.node("nan", f"IsNaN ({p})")
        p = text.node("kept", f"Where (nan, {zero}, {p})")
    if shape.split:
        text.node("y4", f"MatMul ({p}, {value})")
        text.node("yt", "Transpose <perm = [0, 2, 1, 3]> (y4)")
        merge = text.constant("merge", "int64", 0, 0, shape.heads * shape.width)
        text.node("y", f"Reshape (yt, {merge})")
        text.outputs.insert(0, f"float[{batch}, {queries}, {shape.heads * shape.width}] y")
    else:
        text.node("y", f"MatMul ({p}, {value})")
        text.outputs.insert(0, f"float[{batch}, {shape.heads}, {queries}, {shape.width}] y")
    return text.model()


def repeated(text: Text, name: str, shape: Shape, part: str) -> str:
    count = shape.heads // shape.shared
    size = shape.size if name == "k" else shape.width
    axis = text.constant(f"{name}_axis", "int64", 2)
    wide = text.constant(f"{name}_wide", "int64", 1, 1, count, 1, 1)
    merged = text.constant(f"{name}_merged", "int64", 0, shape.heads, -1, size)
    text.node(f"{name}_5", f"Unsqueeze ({part}, {axis})")
    text.node(f"{name}_more", f"Expand ({name}_5, {wide})")
    return text.node(f"{name}_each", f"Reshape ({name}_more, {merged})")


def scored(text: Text, shape: Shape, query: str, key: str) -> str:
    turned = text.node("turned_key", f"Transpose <perm = [0, 1, 3, 2]> ({key})")
    number = math.sqrt(shape.size)
    if shape.scale == "split":
        root = text.constant("root", "float", number**-0.5)
        query, turned = (
            text.node("qs", f"Mul ({query}, {root})"),
            text.node("ks", f"Mul ({root}, {turned})"),
        )
    scores = text.node("product", f"MatMul ({query}, {turned})")
    if shape.scale == "div":
        scores = text.node("scaled", f"Div ({scores}, {text.constant('c', 'float', number)})")
    if shape.scale == "mul":
        scores = text.node("scaled", f"Mul ({text.constant('c', 'float', 0.75)}, {scores})")
    return scores


def masked(
    text: Text, shape: Shape, scores: str, batch: object, queries: object, keys: object
) -> str:
    if shape.mask == "none":
        return scores
    if shape.mask in ("added", "keys", "two", "heads"):
        heads = shape.heads if shape.mask == "heads" else 1
        rows = 1 if shape.mask == "keys" else queries
        text.inputs.append(f"float[{batch}, {heads}, {rows}, {keys}] mask")
        scores = text.node("with_mask", f"Add (mask, {scores})")
        if shape.mask != "two":
            return scores
    text.inputs.append(f"bool[{batch}, 1, {queries}, {keys}] seen")
    low = text.constant("low", "float", LOWEST if shape.mask == "lowest" else -math.inf)
    if shape.mask == "filled":
        return text.node("filled", f"Where (seen, {scores}, {low})")
    zero = text.constant("zero", "float", 0.0)
    text.node("hidden", f"Where (seen, {zero}, {low})")
    return text.node("masked", f"Add ({scores}, hidden)")


def fed(shape: Shape, model: ir.Model, seed: int) -> dict[str, np.ndarray]:
    """Return inputs; in a mask some queries see no key."""
    sizes = {
        "N": shape.batch, "S": shape.queries, "K": shape.keys, "P": shape.past,
        "T": shape.past + shape.keys,
    }  # fmt: skip
    random = np.random.default_rng(seed)
    feeds: dict[str, np.ndarray] = {}
    for value in model.graph.inputs:
        assert value.shape is not None
        dims = [dim if isinstance(dim, int) else sizes[str(dim.value)] for dim in value.shape]
        if value.dtype == ir.DataType.BOOL:
            array = random.random(dims) < 0.6
            array[0, 0, 0] = False
        else:
            array = random.standard_normal(dims).astype(np.float32)
        if value.name == "mask":
            array = np.where(random.random(dims) < 0.3, np.float32(LOWEST), array)
            array[0, ..., 0, :] = np.float32(LOWEST)
        feeds[str(value.name)] = array
    return feeds


@pytest.mark.parametrize("seed", range(80))
def test_any_attention_gives_the_same(seed: int, kit: SimpleNamespace) -> None:
    shape = drawn(seed)
    applied = kit.apply_pass(FuseAttention(), written(shape))
    found = [node for node in applied.after.graph if node.op_type == "Attention"]
    assert len(found) == 1, applied.refusals
    assert not {"MatMul", "Softmax"} & {node.op_type for node in applied.after.graph}
    if shape.past:
        assert [value.name for value in found[0].outputs] == ["y", "all_k", "all_v"]
    if shape.split:
        assert "Transpose" not in {node.op_type for node in applied.after.graph}
    feeds = fed(shape, applied.before, seed)
    for was, now in zip(
        kit.ort_outputs(applied.before, feeds), kit.ort_outputs(applied.after, feeds), strict=True
    ):
        assert was.shape == now.shape
        lost = np.isnan(was)
        assert not (lost.any() and shape.guarded)
        assert (now[lost] == 0).all(), "a query that sees no key gets zeros"
        np.testing.assert_allclose(now[~lost], was[~lost], rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("seed", range(20))
def test_any_turn_gives_the_same(seed: int, kit: SimpleNamespace) -> None:
    random = np.random.default_rng(seed)
    batch, heads, length = (int(item) for item in random.integers(1, 5, 3))
    half, one = int(random.integers(1, 5)), bool(random.integers(2))
    rows = 1 if one else batch
    text = Text()
    text.inputs += [
        f"float[{batch}, {heads}, {length}, {2 * half}] x",
        f"float[{rows}, {length}, {half}] angles",
    ]
    text.outputs.append(f"float[{batch}, {heads}, {length}, {2 * half}] y")
    for name, item in (("zero", 0), ("middle", half), ("end", 2 * half), ("last", 3), ("one", 1)):
        text.constant(name, "int64", item)
    text.node("both", "Concat <axis = 2> (angles, angles)")
    for name, operator in (("cos", "Cos"), ("sin", "Sin")):
        text.node(f"{name}3", f"{operator} (both)")
        text.node(name, f"Unsqueeze ({name}3, one)")
    text.node("first", "Slice (x, zero, middle, last)")
    text.node("second", "Slice (x, middle, end, last)")
    text.node("minus", "Neg (second)")
    text.node("turned", "Concat <axis = -1> (minus, first)")
    text.node("a", "Mul (x, cos)")
    text.node("b", "Mul (sin, turned)")
    text.node("y", "Add (a, b)")
    applied = kit.apply_pass(FuseRotaryEmbedding(), text.model())
    assert [node.op_type for node in applied.after.graph][-1] == "RotaryEmbedding"
    kit.same_outputs(applied.before, applied.after, exact=False)
