"""irconv bisect: which pass, which rewrite in it, which tensor broke an output."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import irconv
from irconv.bisection.search import first_bad
from irconv.errors import ExitCode

pytestmark = pytest.mark.slow

ADDING = "infer-shapes,double-by-adding{wrong=mul_5},eliminate-dead-code"
SILENTLY = "infer-shapes,double-silently{wrong=mul_5},eliminate-dead-code"


@pytest.mark.parametrize("bad", range(1, 12))
def test_the_first_bad_number_is_found(bad):
    asked = []

    def is_bad(number):
        asked.append(number)
        return number >= bad

    assert first_bad(0, 12, is_bad) == (bad - 1, bad)
    assert len(asked) <= 4


@pytest.mark.parametrize(
    ("untold", "expected"), [({5, 6, 7}, (8, 9)), ({8}, (7, 9)), (range(1, 12), (0, 12))]
)
def test_numbers_that_cannot_be_told_are_gone_around(untold, expected):
    found = first_bad(0, 12, lambda number: None if number in untold else number >= 9)
    assert found == expected


def bisect(irconv_cli, model, *options):
    done = irconv_cli("bisect", model, "--json", *options)
    assert done.code in (0, 1), done.err
    return done.json(), done.code


def change_operator(path, name, operator):
    model = onnx.load(path)
    next(node for node in model.graph.node if node.name == name).op_type = operator
    onnx.save(model, path)


def test_nothing_to_find(chain, irconv_cli):
    found, code = bisect(irconv_cli, chain, "--target", "onnx")
    assert (code, found["culprit"], found["output"]) == (0, "none", None)


def test_a_pass_that_counts_its_rewrites(chain, irconv_cli):
    found, code = bisect(irconv_cli, chain, "--target", "onnx", "--passes", ADDING)
    assert code == ExitCode.MISMATCH
    assert found["culprit"] == "pass"
    assert found["pass"]["spec"] == "double-by-adding{wrong=[mul_5]}"
    assert found["output"]["name"] == "late"
    assert found["site"] == {
        "node": "mul_5", "op": "Mul", "index": 6, "count": 8,
        "nodes": [{"node": "mul_5", "op": "Add"}], "found_by": "count",
    }  # fmt: skip
    assert found["tensor"]["name"] == "m5"
    assert found["tensor"]["max_abs"] > found["tensor"]["limit"]
    assert "double" not in found["way_out"].partition("--passes")[2]


def test_a_pass_that_knows_nothing_of_sites(chain, irconv_cli):
    found, _ = bisect(irconv_cli, chain, "--target", "onnx", "--passes", SILENTLY)
    assert found["pass"]["spec"] == "double-silently{wrong=[mul_5]}"
    assert found["site"]["found_by"] == "difference"
    assert (found["site"]["node"], found["site"]["op"]) == ("mul_5", "Mul")
    assert found["tensor"]["name"] == "m5"


def test_the_verbs_of_the_python_api(chain):
    found = irconv.bisect(chain, "onnx", passes=ADDING, broken="late")
    assert (found.culprit, found.site.node, found.tensor.name) == ("pass", "mul_5", "m5")
    explained = irconv.explain(chain, "double-by-adding", passes=ADDING)
    assert len(explained.fired) == 8


def test_people_read_it_too(chain, irconv_cli):
    done = irconv_cli("bisect", chain, "--target", "onnx", "--passes", ADDING)
    assert done.code == 1
    assert "broke output 'late' at Mul 'mul_5', its rewrite 6 of 8" in done.out
    assert "tensor: 'm5', computed by Add 'mul_5', is the first that is off" in done.out
    assert "--passes 'infer-shapes,eliminate-dead-code'" in done.out


@pytest.mark.parametrize(
    ("wrong", "output", "code"), [("mul_0", "early", 1), ("mul_5", "early", 0)]
)
def test_an_output_can_be_named(wrong, output, code, chain, irconv_cli):
    passes = f"double-by-adding{{wrong={wrong}}}"
    found, got = bisect(
        irconv_cli, chain, "--target", "onnx", "--passes", passes, "--broken", output
    )
    assert got == code
    if code:
        assert (found["output"]["name"], found["site"]["node"]) == (output, wrong)
    else:
        assert "'early' is within tolerance" in found["summary"]


@pytest.mark.parametrize(
    ("wrong", "found_by"), [("double-by-adding", "count"), ("double-silently", "difference")]
)
def test_legalization_is_bisected_as_well(wrong, found_by, chain, irconv_cli):
    fits = f'infer-shapes,"{wrong}{{wrong=mul_2}}",eliminate-dead-code'
    found, code = bisect(irconv_cli, chain, "--target", f"faulty{{fits=[{fits}]}}", "-O", 3)
    assert (code, found["culprit"]) == (1, "pass")
    assert found["pass"]["spec"] == f"{wrong}{{wrong=[mul_2]}}"
    assert found["pass"]["stage"].startswith("the legalization of target faulty")
    assert (found["site"]["node"], found["site"]["found_by"]) == ("mul_2", found_by)
    assert found["tensor"]["name"] == "m2"
    assert "target's author" in found["way_out"]


def test_a_fault_between_models_that_do_not_run(chain, irconv_cli):
    fits = 'hide-operator,"double-by-adding{wrong=mul_2}",show-operator'
    found, code = bisect(irconv_cli, chain, "--target", f"faulty{{fits=[{fits}]}}")
    assert (code, found["culprit"], found["pass"]) == (1, "pass", None)
    assert (
        "one of the passes hide-operator, double-by-adding{wrong=[mul_2]}, show" in found["summary"]
    )
    assert (found["tensor"]["name"], found["tensor"]["node"]) == ("m2", "mul_2")


@pytest.mark.parametrize(
    "faults",
    ['fits=[hide-operator,"double-by-adding{wrong=mul_2}"]', "fits=hide-operator,breaks=Sub"],
)
def test_a_legalized_model_that_does_not_run(faults, chain, irconv_cli):
    """Nobody can tell here whether a pass or the emitter is wrong, and nobody is blamed."""
    found, code = bisect(irconv_cli, chain, "--target", f"faulty{{{faults}}}")
    assert (code, found["culprit"], found["pass"]) == (1, "pass-or-backend", None)
    assert "right before hide-operator" in found["summary"]
    assert "does not run in the reference runtime" in found["note"]


def test_what_a_target_adds_is_rolled_back_as_in_compile(chain, irconv_cli):
    target = 'faulty{adds="double-by-adding{wrong=mul_2}"}'
    found, code = bisect(irconv_cli, chain, "--target", target, "-O", 3)
    assert (code, found["culprit"]) == (0, "none")


@pytest.mark.parametrize(("operator", "tensor"), [("Sub", "late"), ("Neg", "early"), ("Cos", "c0")])
def test_a_backend_that_is_wrong_itself(operator, tensor, chain, irconv_cli):
    found, code = bisect(irconv_cli, chain, "--target", f"faulty{{breaks={operator}}}")
    assert (code, found["culprit"], found["pass"]) == (1, "backend", None)
    assert found["tensor"]["name"] == tensor
    assert found["tensor"]["op"] == operator
    assert "emitter or runtime" in found["summary"]


def test_a_fault_that_more_outputs_hide_is_cut_out(chain, irconv_cli):
    change_operator(chain, "cos_4", "Sin")
    found, _ = bisect(irconv_cli, chain, "--target", "faulty{breaks=Sin,hides=true}")
    assert (found["culprit"], found["tensor"]["name"]) == ("backend", "c4")
    assert found["runs"] < 20


def test_a_source_that_the_import_gets_wrong(chain, tmp_path, irconv_cli):
    golden = tmp_path / "golden"
    assert irconv_cli("golden", "record", chain, "-o", golden).code == 0
    change_operator(chain, "cos_4", "Sin")
    found, _ = bisect(irconv_cli, chain, "--target", "onnx", "--golden", golden)
    assert (found["culprit"], found["pass"], found["site"]) == ("import", None, None)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "--target"),
        (["--target", "all"], "exactly one target"),
        (["--target", "nowhere"], "no target"),
        (["--target", "onnx", "--broken", "nothing"], "no output 'nothing'"),
        (["--target", "onnx", "--passes", "nothing"], "no pass"),
    ],
)
def test_bad_usage(options, words, chain, irconv_cli):
    done = irconv_cli("bisect", chain, *options)
    assert done.code == 2
    assert words in done.err


def test_compile_points_to_it(chain, tmp_path, irconv_cli):
    done = irconv_cli("compile", chain, "-t", "onnx", "-o", tmp_path, "--passes", ADDING)
    assert done.code == 1
    assert f"irconv bisect {chain} --target onnx" in done.err


def test_verify_each_names_the_tensor(chain, tmp_path):
    result = irconv.compile(chain, ["onnx"], tmp_path, passes=ADDING, verify_each=True)
    assert result.exit_code == ExitCode.OK
    record = next(record for record in result.passes if record.error)
    assert "output 'late' moved by" in record.error
    assert "the first tensor that moved is 'm5' (computed by Add 'mul_5')" in record.error


def test_lossy_passes_are_allowed_what_they_declare(small_net, irconv_cli):
    found, code = bisect(
        irconv_cli, small_net, "--target", "onnx", "--quantize", "quantize-weights{min_elements=8}"
    )
    assert (code, found["culprit"]) == (0, "none")


def test_rewrites_with_new_weights(small_net, irconv_cli, monkeypatch):
    """Only the fused weights of one of two normalizations are wrong."""
    from irconv.passes import fuse_conv_batchnorm

    sound = fuse_conv_batchnorm._scaled
    monkeypatch.setattr(
        fuse_conv_batchnorm, "_scaled", lambda weight, rows: sound(weight, rows) * np.float32(1.1)
    )
    found, _ = bisect(irconv_cli, small_net, "--target", "onnx")
    assert found["pass"]["spec"] == "fuse-conv-batchnorm"
    assert (found["site"]["index"], found["site"]["op"]) == (1, "BatchNormalization")
    assert found["tensor"]["name"] == "act"
