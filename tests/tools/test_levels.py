"""What -O3 adds for a target: run on its own copy, kept if proved, recorded in any case."""

from __future__ import annotations

import json

import onnx
import pytest

import irconv
from irconv.backends.onnx import OnnxBackend
from irconv.errors import ExitCode, MismatchError, UsageError
from irconv.passes import pipelines

SOUND = "double-by-adding"
WRONG = "double-by-adding{wrong=mul_3}"


_NEVER_RUNS = "z = NonZero (x) s = Shape (z) y = Reshape (x, s)"


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


def optimized(irconv_cli, model, tmp_path, *options):
    return irconv_cli("optimize", model, "-o", tmp_path / "out.onnx", "-O", 3, "--json", *options)


def test_optimize_proves_what_level_three_adds(chain, tmp_path, irconv_cli):
    done = optimized(irconv_cli, chain, tmp_path, "--target", f"faulty{{adds={SOUND}}}")
    assert done.code == 0, done.err
    proof = done.json()["verification"]
    assert (proof["level"], proof["verdict"]) == ("graph", "pass")
    assert {entry["name"] for entry in proof["outputs"]} == {"early", "late"}
    assert all(0 <= entry["max_abs"] <= entry["tolerance"] for entry in proof["outputs"])
    assert "unit roundoffs of float32" in proof["outputs"][1]["basis"]


@pytest.mark.parametrize("where", ["level", "target"])
def test_optimize_rolls_back_what_is_not_proved(where, chain, tmp_path, irconv_cli, monkeypatch):
    options = ["--target", f'faulty{{adds=["{WRONG}",{SOUND}]}}']
    if where == "level":
        monkeypatch.setattr(pipelines, "_FUSIONS", (WRONG,))
        monkeypatch.setattr(pipelines, "_LEVELS", (*pipelines._LEVELS[:3], (WRONG,)))
        options = ["--target", f"faulty{{adds={SOUND}}}"]
    done = optimized(irconv_cli, chain, tmp_path, *options)
    assert done.code == 0, done.err
    result = done.json()
    first, *rest = [record for record in result["passes"] if record["name"] == SOUND]
    assert "output 'late' moved by" in first["error"]
    assert not first["modified"]
    assert rest[-1]["modified"], "the pass after it still runs"
    assert result["verification"]["verdict"] == "pass"
    assert operators(tmp_path / "out.onnx").count("Add") == 8
    done = irconv_cli("optimize", chain, "-o", tmp_path / "out.onnx", "-O", 3, *options)
    assert "was rolled back: PassViolation: output 'late' moved by" in done.err
    assert "output 'late' agrees with the source: off by" in done.out


def test_optimize_writes_nothing_that_is_wrong(chain, tmp_path, irconv_cli, monkeypatch):
    """A pass that the levels below have as well is not rolled back, but found out."""
    monkeypatch.setattr(pipelines, "_LEVELS", (*pipelines._LEVELS[:3], (WRONG,)))
    done = optimized(irconv_cli, chain, tmp_path)
    assert done.code == ExitCode.MISMATCH
    assert "the optimized model is wrong: output 'late'" in done.err
    assert not (tmp_path / "out.onnx").exists()
    with pytest.raises(MismatchError, match="the optimized model is wrong"):
        irconv.optimize(chain, tmp_path / "out.onnx", level=3, samples=1)


def test_lossy_passes_may_do_what_they_declare(small_net, tmp_path, irconv_cli):
    done = optimized(
        irconv_cli, small_net, tmp_path, "--quantize", "quantize-weights{min_elements=8}"
    )
    assert done.code == 0, done.err
    outputs = done.json()["verification"]["outputs"]
    assert any("plus the measured effect" in entry["basis"] for entry in outputs)


@pytest.mark.parametrize("options", [["-O", 2], ["-O", 3, "--passes", SOUND]])
def test_nothing_is_run_where_nothing_is_relaxed(options, chain, tmp_path, irconv_cli):
    arguments = ("optimize", chain, "-o", tmp_path / "out.onnx", *options)
    done = irconv_cli(*arguments, "--json")
    assert done.code == 0, done.err
    assert done.json()["verification"]["verdict"] == "not-run"
    assert "agrees" not in irconv_cli(*arguments).out
    done = irconv_cli(*arguments, "--data", tmp_path)
    assert done.code == 2
    assert "--data changes nothing here" in done.err


@pytest.mark.parametrize(
    ("graph", "code", "words"),
    [
        (f"(float[2, 4] x) => (float[K, 8] y) {{ {_NEVER_RUNS} }}", 2, "-O 2 runs nothing"),
        ("(float[4] x) => (float[4] y) { y = Sub (x, x) }", 1, "one constant value"),
    ],
)
def test_what_cannot_be_proved_is_refused(graph, code, words, write_model, tmp_path, irconv_cli):
    model = write_model(f'< ir_version: 8, opset_import: ["" : 17] > m {graph}')
    done = optimized(irconv_cli, model, tmp_path)
    assert done.code == code, done.err
    assert words in done.err
    assert "-O 2" in done.err
    assert not (tmp_path / "out.onnx").exists()
    assert irconv_cli("optimize", model, "-o", tmp_path / "out.onnx").code == 0


def test_each_target_gets_what_it_does_not_avoid(chain, tmp_path, irconv_cli, monkeypatch):
    monkeypatch.setattr(pipelines, "_FUSIONS", (SOUND,))
    monkeypatch.setattr(pipelines, "_LEVELS", (*pipelines._LEVELS[:3], (SOUND, "infer-shapes")))
    arguments = ("compile", chain, "-O", 3, "--dump-ir", tmp_path / "ir", "--json")
    targets = ("-t", "plain", "-t", "faulty", "-t", "onnx")
    done = irconv_cli(*arguments, "-o", tmp_path / "both", *targets)
    assert done.code == 0, done.err
    plain, *others = (target["manifest"] for target in done.json()["targets"])
    for name in ("plain", "faulty", "onnx"):
        alone = irconv_cli(*arguments, "-o", tmp_path / "alone", "-t", name).json()
        (manifest,) = (target["manifest"] for target in alone["targets"])
        both = json.loads((tmp_path / "both" / name / "manifest.json").read_text())
        assert both["artifact"]["files"] == manifest["artifact"]["files"]
        assert both["pipeline"] == manifest["pipeline"]
    assert SOUND not in [record["name"] for record in plain["passes"]]
    for manifest in others:
        (record,) = (r for r in manifest["passes"] if r["name"] == SOUND and r["round"] == 1)
        assert record["modified"]
    shown = done.json()["passes"]
    assert [record["name"] for record in shown].count(SOUND) == 2, "one pipeline for two targets"
    assert sorted(path.name for path in (tmp_path / "ir").iterdir() if path.is_dir()) == [
        "faulty-onnx",
        "plain",
    ]
    checks = irconv.check(chain, ["plain", "onnx"], level=3)
    assert [check.supported.get("Add", 0) for check in checks] == [0, 8]


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
