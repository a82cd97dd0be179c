"""compile --measure: what a target adds to -O3 is kept only if it pays."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest

from irconv.measuring.race import Race, sign_flip_p

PASS = "double-by-adding"


def race(first, second):
    return Race(tuple(first), tuple(second))


def noisy(seed, mean, spread=0.05, count=16):
    return mean * np.exp(spread * np.random.default_rng(seed).standard_normal(count))


def test_p_is_the_share_of_signs_that_are_as_extreme():
    assert sign_flip_p([1.0, 1.0, 1.0]) == 1 / 8
    assert sign_flip_p([1.0, 2.0, 3.0]) == 1 / 8
    assert sign_flip_p([1.0, -1.0]) == 3 / 4
    assert sign_flip_p([-1.0, -1.0]) == 1.0
    assert sign_flip_p([0.0] * 10) == 1.0
    with pytest.raises(ValueError, match="21 values"):
        sign_flip_p(np.ones(21))


def test_a_clear_gain_and_a_clear_loss():
    assert race(noisy(0, 1.0), noisy(1, 0.8)).faster
    assert not race(noisy(0, 1.0), noisy(1, 0.8)).slower
    assert race(noisy(0, 1.0), noisy(1, 1.25)).slower
    assert race([1.0] * 16, [0.8] * 16).ratio == pytest.approx(0.8)


def test_too_small_a_gain_is_none_however_sure():
    sure = race([1.0] * 16, [0.995] * 16)
    assert sure.p_faster < 1e-4
    assert not sure.faster


def test_noise_alone_is_seldom_taken_for_a_gain():
    wins = sum(race(noisy(seed, 1.0), noisy(seed + 1000, 1.0)).faster for seed in range(400))
    assert wins <= 12, "about 1 % of 400"


def test_what_slows_the_machine_for_a_while_slows_both():
    drift = np.linspace(1, 3, 16)
    assert race(drift * noisy(2, 1.0, 0.02), drift * noisy(3, 0.9, 0.02)).faster
    assert not race(drift * noisy(2, 1.0, 0.02), drift * noisy(3, 1.0, 0.02)).faster


def compiled(irconv_cli, model, tmp_path, target, *options):
    arguments = ("compile", model, "-o", tmp_path / "out", "-O", 3, "--measure", "--json")
    done = irconv_cli(*arguments, "--target", target, *options)
    assert done.code == 0, done.err
    manifest = done.json()["targets"][0]["manifest"]
    return [record for record in manifest["passes"] if record["name"] == PASS][-1], manifest


@pytest.mark.slow
@pytest.mark.parametrize(("slow", "kept"), [("Mul", True), ("Add", False)])
def test_a_pass_is_kept_only_if_it_pays(slow, kept, chain, tmp_path, irconv_cli):
    target = f"faulty{{adds={PASS},slow={slow}}}"
    record, manifest = compiled(irconv_cli, chain, tmp_path, target)
    measured = record["details"]["measured"]
    assert set(measured) == {"before_ms", "after_ms", "kept", "reason"}
    assert measured["kept"] is record["modified"] is kept
    assert (measured["after_ms"] < measured["before_ms"]) is kept
    assert "error" not in record
    assert manifest["verification"]["verdict"] == "pass"
    assert manifest == json.loads((tmp_path / "out" / "faulty" / "manifest.json").read_text())
    if not kept:
        assert "slower beyond noise" in measured["reason"]
        assert record["nodes_after"] == record["nodes_before"]


@pytest.mark.slow
@pytest.mark.parametrize(("follows", "kept"), [(True, True), (False, False)])
def test_what_a_later_pass_counts_on_is_kept_with_it(follows, kept, chain, tmp_path, irconv_cli):
    """The first pass only marks the products; the second turns those that are marked into sums."""
    adds = ["prepare-pairs", "drop-pairs"] if follows else ["prepare-pairs", "eliminate-dead-code"]
    target = f"faulty{{adds=[{','.join(adds)}],slow=Mul}}"
    arguments = ("compile", chain, "-o", tmp_path / "out", "-O", 3, "--measure", "--json")
    done = irconv_cli(*arguments, "--target", target)
    assert done.code == 0, done.err
    manifest = done.json()["targets"][0]["manifest"]
    records = {record["name"]: record for record in manifest["passes"]}
    measured = records["prepare-pairs"]["details"]["measured"]
    assert measured["kept"] is records["prepare-pairs"]["modified"] is kept
    assert measured["reason"].startswith("not faster beyond noise")
    assert ("kept because drop-pairs" in measured["reason"]) is kept
    assert ("Add" in records_of_operators(tmp_path)) is kept
    if follows:
        assert records["drop-pairs"]["details"]["measured"]["kept"]


def records_of_operators(tmp_path):
    model = onnx.load(tmp_path / "out" / "faulty" / "model.onnx")
    return {node.op_type for node in model.graph.node}


@pytest.mark.slow
def test_people_see_the_decisions(chain, tmp_path, irconv_cli):
    arguments = ("compile", chain, "-o", tmp_path / "out", "-O", 3, "--measure", "--target")
    done = irconv_cli(*arguments, f"faulty{{adds=[infer-shapes,{PASS}],slow=Add}}")
    assert done.code == 0, done.err
    (line,) = [line for line in done.err.splitlines() if line.startswith("measured:")]
    assert f"{PASS} left out: " in line
    assert " -> " in line
    done = irconv_cli(*arguments, "faulty{adds=infer-shapes}")
    assert "no pass that the target adds to -O 3 changed a node" in done.err


@pytest.mark.slow
def test_what_cannot_run_here_is_kept_and_said(chain, tmp_path, irconv_cli):
    target = f"faulty{{adds={PASS},stands_in=true}}"
    record, _ = compiled(irconv_cli, chain, tmp_path, target)
    measured = record["details"]["measured"]
    assert record["modified"]
    assert (measured["before_ms"], measured["after_ms"], measured["kept"]) == (None, None, True)
    assert measured["reason"].startswith("not measured: the artifact itself cannot run here")
    done = irconv_cli(
        "compile", chain, "-o", tmp_path / "two", "-O", 3, "--measure", "--target", target
    )
    assert "measured: faulty" in done.err
    assert "kept: not measured: the artifact itself cannot run here" in done.err


@pytest.mark.parametrize(
    "options", [["-O", "2"], [], ["-O", "3", "--passes", "infer-shapes"], ["-O", "3", "--dry-run"]]
)
def test_measuring_nothing_is_refused(options, chain, tmp_path, irconv_cli):
    done = irconv_cli("compile", chain, "-t", "onnx", "-o", tmp_path, "--measure", *options)
    assert done.code == 2
    assert "nothing to measure" in done.err
