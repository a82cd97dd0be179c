"""What hoist-invariants does with models that the ONNX checker refuses, and without bodies."""

from __future__ import annotations

from types import SimpleNamespace

import onnx_ir as ir

from irconv.passes.base import PassContext
from irconv.passes.hoist_invariants import HoistInvariants

HIDDEN = """
<ir_version: 10, opset_import: ["" : 20]>
hidden (float[2] x, float[2] w, int64 trips, bool c) => (float[2] y, float[2] z) {
    y = Loop (trips, c, x) <
        body = outer (int64 i, bool on, float[2] a) => (bool on1, float[2] b) {
            on1 = Identity (on)
            b = Loop (trips, c, a) <
                body = inner (int64 j, bool go, float[2] d) => (bool go1, float[2] e) {
                    go1 = Identity (go)
                    n = Neg (w)
                    e = Add (d, n)
                }
            >
        }
    >
    z = Loop (trips, c, x) <
        body = hiding (int64 k, bool more, float[2] w) => (bool more1, float[2] f) {
            more1 = Identity (more)
            f = Exp (w)
        }
    >
}
"""
PLAIN = """
<ir_version: 10, opset_import: ["" : 20]>
plain (float[2] x) => (float[2] y) { y = Neg (x) }
"""


def test_a_hidden_name_keeps_a_node_where_it_is(kit: SimpleNamespace) -> None:
    applied = kit.apply_pass(HoistInvariants(), HIDDEN, checked=False)
    assert not applied.modified
    assert applied.refusals == ("another graph has a value of the same name as 'w'",)


def test_without_bodies_nothing_happens() -> None:
    result = HoistInvariants().run(ir.from_onnx_text(PLAIN), PassContext())
    assert not result.modified
    assert result.refusals == ()


def test_max_sites_bounds_what_moves(kit: SimpleNamespace) -> None:
    text = HIDDEN.replace("float[2] w)", "float[2] v)").replace("Exp (w)", "Exp (v)")
    assert kit.apply_pass(HoistInvariants(), text).modified
    one = HoistInvariants().run(ir.from_onnx_text(text), PassContext(max_sites=1))
    assert len(one.sites) == 1
