"""What cannot be written or read is refused before anything is built, also for scripts."""

from __future__ import annotations

import json

import pytest


@pytest.mark.parametrize("place", ["file", "file/deep"])
def test_an_output_that_cannot_be_written_is_refused_first(place, small_net, tmp_path, irconv_cli):
    (tmp_path / "file").write_text("")
    done = irconv_cli("compile", small_net, "-t", "onnx", "-o", tmp_path / place)
    assert done.code == 2
    assert "is a file" in done.err or "cannot write" in done.err
    assert "reading" not in done.err
    assert [path.name for path in tmp_path.iterdir() if path.name != "source"] == ["file"]


def test_looking_whether_it_can_be_written_leaves_nothing(small_net, tmp_path, irconv_cli):
    place = tmp_path / "deep" / "out"
    done = irconv_cli("compile", small_net, "-t", "onnx", "-o", place, "--data", tmp_path / "none")
    assert done.code == 2
    assert not (tmp_path / "deep").exists()


@pytest.mark.parametrize("command", ["compile", "optimize"])
def test_dumps_that_cannot_be_written(command, small_net, tmp_path, irconv_cli):
    (tmp_path / "file").write_text("")
    target = ("-t", "onnx") if command == "compile" else ()
    place = tmp_path / ("out" if command == "compile" else "out.onnx")
    done = irconv_cli(
        command, small_net, *target, "-o", place, "--dump-ir", tmp_path / "file" / "ir"
    )
    assert done.code == 2
    assert "cannot write" in done.err
    assert "000-input.txt" in done.err
    assert not place.exists()


@pytest.mark.parametrize(
    "arguments", [["compile", "--measur"], ["optimize", "m.onnx"], ["compile", "m", "-O", "4"]]
)
def test_scripts_get_one_document_for_wrong_usage_too(arguments, irconv_cli):
    done = irconv_cli(*arguments, "--json")
    assert done.code == 2
    error = json.loads(done.out)["error"]
    assert (error["kind"], error["exit_code"]) == ("usage", 2)
    assert error["what"] in done.err
    assert not irconv_cli(*arguments).out


def test_the_error_of_a_target_looks_like_any_other(small_net, tmp_path, irconv_cli):
    done = irconv_cli("compile", small_net, "-t", "trt", "-o", tmp_path / "out", "--dry-run")
    if done.code == 3:
        pytest.skip("irconv-trt is not installed")
    assert done.code == 4
    assert "error: target 'trt' cannot express this model" in done.err
    assert "\n  where: target trt" in done.err
