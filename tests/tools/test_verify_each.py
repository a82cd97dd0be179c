"""compile --verify-each: the passes that a target adds, and those that fit a model to it."""

from __future__ import annotations

import json

import pytest

import irconv
from irconv.errors import ExitCode

pytestmark = pytest.mark.slow

WRONG = '"double-by-adding{wrong=mul_2}"'
MOVED = "the first tensor that moved is 'm2' (computed by Add 'mul_2')"


def compiled(model, tmp_path, target, **options):
    result = irconv.compile(model, [target], tmp_path / "out", verify_each=True, **options)
    return result.targets[0]


def verified(target):
    """Return the verification of each pass of a legalization that changed the model."""
    return {
        record["name"]: record["details"]["verified"]
        for record in target.manifest["passes"]
        if record["modified"] and "verified" in record.get("details", {})
    }


def test_a_sound_legalization_is_proved_pass_by_pass(chain, tmp_path):
    fits = "faulty{fits=[infer-shapes,double-by-adding]}"
    target = compiled(chain, tmp_path, fits, level=0)
    assert target.error is None
    assert verified(target) == {
        name: {"verdict": "pass", "reason": "", "passes": [name]}
        for name in ("infer-shapes", "double-by-adding")
    }
    target = irconv.compile(chain, [fits], tmp_path / "without", level=0).targets[0]
    assert verified(target) == {}, "without --verify-each nothing is run"


def test_a_wrong_pass_of_a_legalization_is_named(chain, tmp_path):
    target = compiled(chain, tmp_path, f"faulty{{fits=[infer-shapes,{WRONG}]}}")
    assert target.exit_code == ExitCode.MISMATCH
    assert target.directory is None
    entry = verified(target)["double-by-adding"]
    assert (entry["verdict"], entry["passes"]) == ("fail", ["double-by-adding{wrong=[mul_2]}"])
    assert entry["reason"].startswith("output 'late' moved by")
    assert MOVED in entry["reason"]
    assert "pass double-by-adding{wrong=[mul_2]} moved what it may not" in target.error.what


def test_each_pass_answers_for_itself(chain, tmp_path):
    fits = f"{WRONG},prepare-pairs,hide-operator"
    target = compiled(chain, tmp_path, f"faulty{{fits=[{fits}]}}", level=0)
    verdicts = {name: entry["verdict"] for name, entry in verified(target).items()}
    assert verdicts == {
        "double-by-adding": "fail", "prepare-pairs": "pass", "hide-operator": "not-run",
    }  # fmt: skip


def test_what_does_not_run_is_said_and_compared_at_the_next_point(chain, tmp_path):
    fits = "infer-shapes,hide-operator,double-by-adding,show-operator"
    target = compiled(chain, tmp_path, f"faulty{{fits=[{fits}]}}", level=0)
    assert target.error is None
    entries = verified(target)
    for name in ("hide-operator", "double-by-adding"):
        assert entries[name]["verdict"] == "not-run"
        assert "does not run in the reference runtime: " in entries[name]["reason"]
        assert "faulty.own" in entries[name]["reason"]
    shown = entries["show-operator"]
    assert (shown["verdict"], shown["reason"]) == ("pass", "")
    names = [text.partition("{")[0] for text in shown["passes"]]
    assert names == ["hide-operator", "double-by-adding", "show-operator"]


@pytest.mark.parametrize(
    "fits",
    [
        f"hide-operator,{WRONG},show-operator",
        'hide-operator,double-by-adding,"show-operator{wrong=cos_2}"',
    ],
)
def test_a_fault_between_two_points_that_run_is_found(fits, chain, tmp_path):
    target = compiled(chain, tmp_path, f"faulty{{fits=[{fits}]}}")
    assert target.exit_code == ExitCode.MISMATCH
    entry = verified(target)["show-operator"]
    assert entry["verdict"] == "fail"
    assert [text.partition("{")[0] for text in entry["passes"]] == [
        "hide-operator", "double-by-adding", "show-operator",
    ]  # fmt: skip
    assert "together with hide-operator" in target.error.what


def test_strict_stops_at_a_wrong_legalization(chain, tmp_path):
    target = compiled(chain, tmp_path, f"faulty{{fits=[{WRONG},infer-shapes]}}", strict=True)
    assert target.exit_code == ExitCode.BACKEND_FAILURE
    assert "double-by-adding{wrong=[mul_2]}" in target.error.what
    assert MOVED in target.error.what
    assert "--strict" not in target.error.hint


def test_a_lossy_legalization_is_not_held_to_the_values_before(small_net, tmp_path):
    fits = '"quantize-weights{min_elements=8}",eliminate-dead-code'
    target = compiled(small_net, tmp_path, f"faulty{{fits=[{fits}]}}")
    assert target.error is None
    entry = verified(target)["quantize-weights"]
    assert (entry["verdict"], entry["reason"].split()[:2]) == ("not-run", ["a", "lossy"])


def test_what_a_target_adds_is_compared_inside_too(chain, tmp_path):
    target = compiled(chain, tmp_path, f"faulty{{adds=[{WRONG},infer-shapes]}}", level=3)
    assert target.error is None
    (record,) = [r for r in target.manifest["passes"] if r.get("error")]
    assert MOVED in record["error"]
    assert record["details"]["verified"]["verdict"] == "fail"
    assert not record["modified"]


def test_people_read_it(chain, tmp_path, irconv_cli):
    arguments = ("compile", chain, "-o", tmp_path / "out", "--verify-each", "--target")
    done = irconv_cli(*arguments, f"faulty{{fits=[{WRONG}]}}")
    assert done.code == 1
    assert "warning: faulty" in done.err
    assert "double-by-adding{wrong=[mul_2]} moved what it may not: output 'late'" in done.err
    done = irconv_cli(*arguments, "faulty{fits=hide-operator}")
    assert done.code == 0, done.err
    (line,) = [line for line in done.err.splitlines() if "was not verified" in line]
    assert line.startswith("note: faulty")
    done = irconv_cli(*arguments, "faulty{fits=hide-operator}", "--json")
    assert json.loads(done.out)["targets"][0]["exit_code"] == 0


def test_a_dry_run_verifies_nothing(chain, irconv_cli):
    done = irconv_cli("compile", chain, "-t", "onnx", "--verify-each", "--dry-run")
    assert done.code == 2
    assert "nothing to compare" in done.err
