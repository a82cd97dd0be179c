"""What -O3 adds for a target: run on its own copy, kept if proved, recorded in any case."""

from __future__ import annotations

import json

import onnx
import pytest

import irconv
from irconv.backends.onnx import OnnxBackend
from irconv.errors import ExitCode, UsageError
from irconv.passes import pipelines

SOUND = "double-by-adding"
WRONG = "double-by-adding{wrong=mul_3}"


def operators(path):
    return [node.op_type for node in onnx.load(path).graph.node]


def records_of(result, name):
    return [record for record in result.targets[0].manifest["passes"] if record["name"] == name]


def test_a_target_adds_passes_to_level_three_only(chain, tmp_path):
    target = f"faulty{{adds={SOUND}}}"
    for level, present in ((2, False), (3, True)):
        result = irconv.compile(chain, [target, "onnx"], tmp_path / str(level), level=level)
        assert result.exit_code == ExitCode.OK, result.targets[0].error
        assert (SOUND in result.targets[0].manifest["pipeline"]) is present
        assert bool(records_of(result, SOUND)) is present
        assert ("Add" in operators(tmp_path / str(level) / "faulty" / "model.onnx")) is present
        assert SOUND not in result.targets[1].manifest["pipeline"], "each target has its own copy"
        assert "Add" not in operators(tmp_path / str(level) / "onnx" / "model.onnx")


def test_they_run_after_the_level_and_before_legalization(chain, tmp_path):
    target = f"faulty{{opset=18,adds={SOUND}}}"
    result = irconv.compile(chain, [target], tmp_path / "out", level=3)
    pipeline = result.targets[0].manifest["pipeline"]
    assert sorted(pipeline[:-2]) == sorted(pipelines.default_pipeline(3))
    assert pipeline[-2:] == [SOUND, "convert-opset{to=18}"]


@pytest.mark.parametrize(
    ("adds", "error"),
    [(f'"{WRONG}"', "output 'late' moved by"), ("break-off", "KeyError: 'half way'")],
)
def test_what_is_not_proved_is_rolled_back_and_recorded(adds, error, chain, tmp_path):
    result = irconv.compile(chain, [f"faulty{{adds=[{adds},{SOUND}]}}"], tmp_path / "out", level=3)
    assert result.exit_code == ExitCode.OK, result.targets[0].error
    first = next(r for r in result.targets[0].manifest["passes"] if r.get("error"))
    assert error in first["error"]
    assert not first["modified"]
    assert records_of(result, SOUND)[-1]["modified"], "the next pass still runs"


def test_people_are_warned_of_what_was_rolled_back(chain, tmp_path, irconv_cli):
    target = f'faulty{{adds="{WRONG}"}}'
    done = irconv_cli("compile", chain, "-t", target, "-O", 3, "-o", tmp_path / "out")
    assert done.code == 0, done.err
    assert done.err.count("was rolled back: PassViolation: output 'late' moved by") == 1


def test_fusions_of_the_level_are_proved_as_well(chain, tmp_path, monkeypatch):
    monkeypatch.setattr(pipelines, "_FUSIONS", (WRONG,))
    monkeypatch.setattr(pipelines, "_LEVELS", (*pipelines._LEVELS[:3], (WRONG,)))
    result = irconv.compile(chain, ["onnx"], tmp_path / "out", level=3)
    assert result.exit_code == ExitCode.OK, result.targets[0].error
    assert "moved by" in records_of(result, SOUND)[0]["error"]


def test_passes_replace_what_a_target_adds(chain, tmp_path):
    result = irconv.compile(
        chain, [f"faulty{{adds={SOUND}}}"], tmp_path / "out", level=3, passes="infer-shapes"
    )
    assert result.targets[0].manifest["pipeline"][:1] == ["infer-shapes"]
    assert SOUND not in result.targets[0].manifest["pipeline"]


def test_optimize_for_a_target(chain, tmp_path, irconv_cli):
    out = tmp_path / "out.onnx"
    target = f"faulty{{adds={SOUND}}}"
    done = irconv_cli("optimize", chain, "-o", out, "-O", 3, "--target", target, "--json")
    assert done.code == 0, done.err
    assert done.json()["pipeline"].endswith(f",{SOUND}")
    assert "Add" in operators(out)
    assert irconv_cli("optimize", chain, "-o", out, "-O", 3).code == 0
    assert "Add" not in operators(out)
    irconv.optimize(chain, out, level=3, target=target)
    assert "Add" in operators(out)


@pytest.mark.parametrize("options", [["-O", "2"], [], ["-O", "3", "--passes", "infer-shapes"]])
def test_a_target_that_would_change_nothing_is_refused(options, chain, tmp_path, irconv_cli):
    done = irconv_cli("optimize", chain, "-o", tmp_path / "o.onnx", "--target", "onnx", *options)
    assert done.code == 2
    assert "changes nothing" in done.err
    with pytest.raises(UsageError, match="no target"):
        irconv.optimize(chain, tmp_path / "out.onnx", level=3, target="nowhere")


def test_check_looks_at_what_will_be_built(chain, irconv_cli):
    done = irconv_cli("check", chain, "-O", 3, "--target", f"faulty{{adds={SOUND}}}", "--json")
    assert done.code == 0, done.err
    assert done.json()[0]["supported"]["Add"] == 8


def test_passes_lists_levels_and_targets(irconv_cli, monkeypatch):
    monkeypatch.setattr(OnnxBackend, "optimization", lambda self: ("fold-constants", SOUND))
    done = irconv_cli("passes")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    at = lines.index("-O 3 --target onnx: adds")
    assert [line.split()[0] for line in lines[at + 1 : at + 3]] == ["fold-constants", SOUND]
    assert "Replace x * 2 by x + x" in lines[at + 2]
    assert "-O 0: nothing" in lines
    rows = {row["name"]: row for row in json.loads(irconv_cli("passes", "--json").out)}
    assert rows[SOUND]["targets"] == {"onnx": [SOUND]}
    assert rows[SOUND]["levels"] == {}
    assert rows["fold-constants"]["levels"]["2"] == ["fold-constants{rounding=true}"]
    shown = irconv_cli("passes", SOUND).out
    assert "Names of the nodes that are replaced wrongly" in shown
    assert f"-O 3 for onnx: {SOUND}" in shown
    assert "--passes" in irconv_cli("passes", "break-off").out
