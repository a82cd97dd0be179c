from __future__ import annotations

import onnx_ir as ir

from irconv.verify.depth import rounding_depths

HEAD = '< ir_version: 10, opset_import: ["" : 20] >\n'


def depth(text: str, **sizes: int) -> int:
    return rounding_depths(ir.from_onnx_text(HEAD + text), sizes)["y"]


def test_what_moves_or_chooses_rounds_nothing() -> None:
    assert depth("g (float[4] x) => (float[4] y) { y = Relu (x) }") == 0


def test_the_longest_path_counts() -> None:
    body = "a = Exp (x) b = Neg (x) c = Tanh (a) y = Add (c, b)"
    assert depth(f"g (float[4] x) => (float[4] y) {{ {body} }}") == 3


def test_sums_round_as_often_as_the_flattest_tree_of_them() -> None:
    graph = "g (float[2, {k}] x, float[{k}, 3] w) => (float[2, 3] y) {{ y = MatMul (x, w) }}"
    assert depth(graph.format(k=1)) == 1
    assert depth(graph.format(k=8)) == 1 + 3
    assert depth(graph.format(k=9)) == 1 + 4
    named = "g (float[2, K] x, float[K, 3] w) => (float[2, 3] y) { y = MatMul (x, w) }"
    assert depth(named, K=8) == 1 + 3
    assert depth(named) == 1, "an unknown dimension adds nothing"


def test_fourier_transforms_add_up_their_frame() -> None:
    assert depth("g (float[1, 16, 1] x) => (float[1, 16, 2] y) { y = DFT (x) }") == 1 + 4
    frames = "<int64 step = {4}, float[8] w = {1, 1, 1, 1, 1, 1, 1, 1}> { y = STFT (x, step, w) }"
    assert depth(f"g (float[1, 16, 1] x) => (float[1, 3, 5, 2] y) {frames}") == 1 + 3


def test_numbers_that_are_not_rounded_do_not_count() -> None:
    body = "a = Add (n, n) b = Cast <to = 1> (a) y = Mul (x, b)"
    assert depth(f"g (float[4] x, int64[4] n) => (float[4] y) <int64[4] a> {{ {body} }}") == 1


def test_a_body_counts_once() -> None:
    text = """g (bool c, float[4] x) => (float[4] y) {
        y = If (c) <
            then_branch = t () => (float[4] u) { v = Exp (x) u = Exp (v) },
            else_branch = e () => (float[4] w) { w = Identity (x) }
        >
    }"""
    assert depth(text) <= 1
