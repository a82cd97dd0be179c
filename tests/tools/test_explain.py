"""irconv explain: where a pass fired, where it nearly did, and why not."""

from __future__ import annotations

import onnx
import pytest

PASS = "double-by-adding"

REFUSING = """
    < ir_version: 8, opset_import: ["" : 17] >
    g (float[N, 4] x, float factor) => (float[N, 4] y)
    < float two = {2.0}, float three = {3.0} > {
        [doubled] a = Mul (x, two)
        [tripled] b = Mul (a, three)
        [tripled_again] c = Mul (b, three)
        [scaled] y = Mul (c, factor)
    }
"""

NORMS = """
    < ir_version: 8, opset_import: ["" : 17] >
    g (float[1, 2, 4, 4] x) => (float[1, 2, 4, 4] y, float[1, 2, 4, 4] c1)
    < float[2, 2, 1, 1] w = {1.0, 0.5, 2.0, 1.0}, float[2] s = {2.0, 1.0}, float[2] b = {0.5, 0.0},
      float[2] m = {1.0, 0.0}, float[2] v = {3.0, 1.0} > {
        [conv_a] c0 = Conv (x, w)
        [norm_a] n0 = BatchNormalization (c0, s, b, m, v)
        [conv_b] c1 = Conv (n0, w)
        [norm_b] n1 = BatchNormalization (c1, s, b, m, v)
        [conv_c] c2 = Conv (n1, w)
        [act] r = Relu (c2)
        [norm_c] n2 = BatchNormalization (c2, s, b, m, v)
        [sum] y = Add (n2, r)
    }
"""


def test_fired_and_refused_are_grouped(write_model, irconv_cli):
    passes = f"infer-shapes,{PASS}"
    done = irconv_cli("explain", write_model(REFUSING), "--pass", PASS, "--passes", passes)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0] == f"{PASS}: in the pipeline of --passes"
    assert "fired: one site" in lines
    assert "  Mul 'doubled' -> Add 'doubled'" in lines
    assert "nearly fired: 3 sites" in lines
    assert "  2 x its factor is not two" in lines
    assert "    Mul 'tripled_again'" in lines
    assert "  1 x its factor is not constant" in lines


def test_reasons_that_differ_in_names_are_one_group(write_model, irconv_cli):
    passes = "infer-shapes,fuse-conv-batchnorm"
    done = irconv_cli(
        "explain", write_model(NORMS), "--pass", "fuse-conv-batchnorm", "--passes", passes, "--json"
    )
    assert done.code == 0, done.err
    found = done.json()
    assert found["place"] == "in the pipeline of --passes"
    assert found["sites_from"] == "pass"
    assert [(site["node"], site["op"]) for site in found["fired"]] == [
        ("norm_a", "BatchNormalization")
    ]
    assert found["fired"][0]["became"] == [{"node": "conv_a", "op": "Conv"}]
    assert {entry["count"] for entry in found["refused"]} == {1}
    reasons = {node["node"]: node["reason"] for e in found["refused"] for node in e["nodes"]}
    assert set(reasons) == {"norm_b", "norm_c"}
    assert "is also a graph output" in reasons["norm_b"]
    assert "has other readers" in reasons["norm_c"]
    assert found["runs"][0]["modified"]


def test_many_nodes_of_one_reason_are_shortened(write_model, irconv_cli):
    count = 15
    norms = "\n".join(
        f"[conv_{n}] c{n} = Conv (x, w)\n[act_{n}] r{n} = Relu (c{n})\n"
        f"[norm_{n}] n{n} = BatchNormalization (c{n}, s, b, m, v)\n"
        f"[join_{n}] y{n} = Add (n{n}, r{n})"
        for n in range(count)
    )
    outputs = ", ".join(f"float[1, 2, 4, 4] y{n}" for n in range(count))
    text = NORMS.partition("{\n        [conv_a]")[0] + "{" + norms + "}"
    text = text.replace("float[1, 2, 4, 4] y, float[1, 2, 4, 4] c1", outputs)
    model = write_model(text)
    arguments = ("explain", model, "--pass", "fuse-conv-batchnorm", "--passes")
    done = irconv_cli(*arguments, "fuse-conv-batchnorm")
    assert f"  {count} x the convolution's output '…' has other readers" in done.out
    assert "BatchNormalization 'norm_9': the convolution's output 'c9' has other" in done.out
    assert "… and 5 more; --all names them" in done.out
    assert "norm_14" not in done.out
    assert "norm_14" in irconv_cli(*arguments, "fuse-conv-batchnorm", "--all").out


def test_sites_of_a_pass_that_tells_none_come_from_the_graph(chain, irconv_cli):
    done = irconv_cli("explain", chain, "--pass", "double-silently", "--json")
    assert done.code == 0, done.err
    found = done.json()
    assert found["sites_from"] == "graph"
    assert [site["node"] for site in found["fired"]] == [f"mul_{n}" for n in range(8)]
    assert all(site["became"] == [{"node": site["node"], "op": "Add"}] for site in found["fired"])
    assert found["place"].startswith("in no pipeline that was asked for; run behind -O 2")


def test_a_target_brings_its_own_passes(chain, irconv_cli):
    target = f"faulty{{opset=18,adds=[{PASS}]}}"
    arguments = ("explain", chain, "--target", target, "-O", 3, "--json", "--pass")
    done = irconv_cli(*arguments, PASS)
    assert done.json()["place"] == f"in what target {target} adds to -O 3"
    assert done.json()["pipeline"][-1] == PASS
    assert len(done.json()["fired"]) == 8
    done = irconv_cli(*arguments, "convert-opset")
    assert done.json()["place"] == f"in the legalization of target {target}"
    assert done.json()["pass"] == "convert-opset{to=18}"
    done = irconv_cli("explain", chain, "--target", target, "--pass", PASS)
    assert "in no pipeline" in done.out, "-O 2 does not run it"


def test_options_of_the_pass_replace_those_of_the_pipeline(chain, irconv_cli):
    done = irconv_cli("explain", chain, "--pass", "fold-constants{rounding=false}", "--json")
    assert done.json()["pass"] == "fold-constants"
    assert "fold-constants" in done.json()["pipeline"]
    assert "fold-constants{rounding=true}" not in done.json()["pipeline"]


def test_what_after_asks_for_runs_before_a_pass_of_no_pipeline(chain, irconv_cli):
    arguments = ("explain", chain, "-O", "0", "--json", "--pass", "fuse-conv-batchnorm")
    found = irconv_cli(*arguments).json()
    assert {"infer-shapes", "eliminate-identity", "fold-constants"} <= {*found["pipeline"]}
    assert found["pipeline"][-1] == "fuse-conv-batchnorm"
    assert "after" in found["place"]


def test_a_pass_that_breaks_off_is_reported(chain, irconv_cli):
    done = irconv_cli("explain", chain, "--pass", "break-off")
    assert done.code == 0, done.err
    assert "rolled back: KeyError: 'half way'" in done.out
    assert "fired: no sites" in done.out


def test_an_unknown_pass_names_its_neighbours(chain, irconv_cli):
    done = irconv_cli("explain", chain, "--pass", "double-by-ading")
    assert done.code == 2
    assert "did you mean 'double-by-adding'" in done.err
    assert irconv_cli("explain", chain).code == 2
    assert irconv_cli("explain", chain, "--pass", "double-by-adding{").code == 2
    assert irconv_cli("explain", chain.with_name("none.onnx"), "--pass", PASS).code == 2
    assert irconv_cli("explain", chain, "--pass", PASS, "--target", "nowhere").code == 2


def test_bodies_and_functions_are_looked_into(write_model, irconv_cli):
    model = write_model("""
        < ir_version: 9, opset_import: ["" : 18, "local" : 1] >
        g (float[N, 4] x, bool flag) => (float[N, 4] y) < float two = {2.0} > {
            [branch] b = If (flag) <
                then_branch = t () => (float[N, 4] p) { [inner] p = Mul (x, two) },
                else_branch = e () => (float[N, 4] q) { [other] q = Neg (x) }
            >
            [call] y = local.Twice (b)
        }
        < opset_import: ["" : 18], domain: "local" >
        Twice (v) => (w) { two = Constant <value_float = 2.0> () [called] w = Mul (v, two) }
    """)
    assert onnx.load(model).functions
    for name in (PASS, "double-silently"):
        found = irconv_cli("explain", model, "--pass", name, "-O", "0", "--json").json()
        assert {site["node"] for site in found["fired"]} == {"inner", "called"}


@pytest.mark.slow
def test_any_model_that_compile_takes(tmp_path, irconv_cli):
    torch = pytest.importorskip("torch")

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 4, 3)
            self.norm = torch.nn.BatchNorm2d(4)

        def forward(self, x):
            return self.norm(self.conv(x))

    program = torch.export.export(Net().eval(), (torch.zeros(1, 3, 8, 8),))
    torch.export.save(program, tmp_path / "net.pt2")
    done = irconv_cli("explain", tmp_path / "net.pt2", "--pass", "fuse-conv-batchnorm", "--json")
    assert done.code == 0, done.err
    assert done.json()["runs"][0]["nodes_before"] >= 1
