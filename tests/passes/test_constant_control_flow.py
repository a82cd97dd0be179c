"""Branches and loops whose course is constant vanish; malformed ones stay, with a reason."""

from __future__ import annotations

from types import SimpleNamespace

import onnx_ir as ir
import pytest

from irconv import builtins
from irconv.graph.walk import all_nodes, node_count
from irconv.passes.base import Pass, PassContext
from irconv.passes.decompose.inline_branches import InlineBranches
from irconv.passes.decompose.unroll_loops import UnrollLoops
from irconv.passes.hoist_invariants import HoistInvariants
from irconv.passes.manager import PassManager
from irconv.passes.pipelines import MAX_ROUNDS, build_pipeline, default_pipeline
from irconv.plugins import Registry

HEADER = '< ir_version: 10, opset_import: ["" : 20] >\n'
BRANCHES = (
    "then_branch = t () => (float[2] a) { a = Neg (x) },"
    "else_branch = e () => (float[2] b) { b = Exp (x) }"
)
STEP = (
    "body = b (int64 i, bool g, float[2] a) => (bool o, float[2] d, float[2] s)"
    " { o = Identity (g)  d = Neg (a)  s = Exp (a) }"
)
CONSTANT = {
    "a comparison of sizes": "m (float[2] x, float[N, 3] z) => (float[2] y)"
    " <int64 one = {1}, int64 two = {1}>"
    " { n = Shape <start = 1, end = 2> (z)  c = Greater (n, one)  k = Squeeze (c)"
    f" y = If (k) < {BRANCHES} > }}",
    "a branch in a loop of one step": "m (float[2] x) => (float[2] y)"
    " <int64 one = {1}, bool no = {0}>"
    " { y = Loop (one, , x) < body = l (int64 i, bool g, float[2] p) => (bool o, float[2] q)"
    f" {{ o = Identity (g)  r = If (no) < {BRANCHES} >  q = Add (r, p) }} > }}",
    "no step": "m (float[2] x) => (float[2] y) <int64 none = {0}>"
    " { h = Loop (none, , x) < body = b (int64 i, bool g, float[2] a) => (bool o, float[2] d)"
    " { o = Identity (g)  d = Neg (a) } >  y = Exp (h) }",
    "one step that is collected": "m (float[2] x) => (float[2] y, float[1, 2] z) <int64 one = {1}>"
    f" {{ y, z = Loop (one, , x) < {STEP} > }}",
}
MALFORMED = {
    "an empty condition": f"m (float[2] x) => (float[2] y)"
    f" <bool[0] c = {{}}> {{ y = If (c) < {BRANCHES} > }}",
    "a number as condition": f"m (float[2] x) => (float[2] y)"
    f" <int64 c = {{1}}> {{ y = If (c) < {BRANCHES} > }}",
    "no condition": f"m (float[2] x) => (float[2] y) {{ y = If () < {BRANCHES} > }}",
    "no else branch": "m (float[2] x) => (float[2] y) <bool c = {0}>"
    " { y = If (c) < then_branch = t () => (float[2] a) { a = Neg (x) } > }",
    "a number as branch": "m (float[2] x) => (float[2] y) <bool c = {1}>"
    " { y = If (c) < then_branch = 1, else_branch = 2 > }",
    "too few outputs": "m (float[2] x) => (float[2] y, float[2] z) <bool c = {1}>"
    f" {{ y, z = If (c) < {BRANCHES} > }}",
    "a branch with an input": "m (float[2] x) => (float[2] y) <bool c = {1}> { y = If (c) <"
    " then_branch = t (float[2] q) => (float[2] a) { a = Neg (q) },"
    " else_branch = e () => (float[2] b) { b = Exp (x) } > }",
    "no body": "m (float[2] x) => (float[2] y) <int64 t = {1}> { y = Loop (t, , x) }",
    "no number of steps": f"m (float[2] x) => (float[2] y)"
    f" <int64[0] t = {{}}> {{ y, z = Loop (t, , x) < {STEP} > }}",
    "a float number of steps": f"m (float[2] x) => (float[2] y)"
    f" <float t = {{1}}> {{ y, z = Loop (t, , x) < {STEP} > }}",
    "too few carried": f"m (float[2] x) => (float[2] y)"
    f" <int64 t = {{1}}> {{ y, z = Loop (t, ) < {STEP} > }}",
    "too many carried": f"m (float[2] x) => (float[2] y)"
    f" <int64 t = {{1}}> {{ y, z = Loop (t, , x, x) < {STEP} > }}",
    "a body without outputs": "m (float[2] x) => (float[2] y) <int64 t = {1}>"
    " { y = Loop <body = b (int64 i, bool g, float[2] a) => () { d = Neg (a) }> (t, , x) }",
}  # fmt: skip
PASSES: tuple[Pass, ...] = (InlineBranches(), UnrollLoops(most=1))


@pytest.mark.parametrize("name", CONSTANT)
def test_constant_control_flow_vanishes(name: str, kit: SimpleNamespace) -> None:
    model = kit.parse(HEADER + CONSTANT[name])
    registry = Registry([("irconv (built-in)", "builtins", lambda: builtins)])
    level = build_pipeline(registry, default_pipeline(2))
    before = node_count(model)
    passes = (*level, *PASSES, HoistInvariants())
    result = PassManager(passes, strict=True, max_rounds=MAX_ROUNDS).run(model)
    assert not {"If", "Loop"} & {node.op_type for node in all_nodes(result.model)}
    assert node_count(result.model) < before
    kit.same_outputs(kit.parse(HEADER + CONSTANT[name]), result.model, exact=False)


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_control_flow_stays(name: str) -> None:
    text = HEADER + MALFORMED[name]
    refusals: list[str] = []
    for pass_ in PASSES:
        result = pass_.run(ir.from_onnx_text(text), PassContext())
        assert not result.modified
        refusals += [refusal.reason for refusal in result.refusals]
    assert len(refusals) == 1
    HoistInvariants().run(ir.from_onnx_text(text), PassContext())
