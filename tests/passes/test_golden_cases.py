"""Every file under golden/passes: what a pass does to a graph, as text.

``IRCONV_UPDATE_GOLDEN=1`` writes the ``// output`` part anew; look at the difference before you
commit it.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import onnx
import onnx_ir as ir
import pytest
from golden_files import FILES, FOLDER, SEPARATOR, build, context_of, read_case

from irconv.graph.text import format_model
from irconv.passes.base import Pass
from irconv.passes.catalog import PASSES
from irconv.testing.passes import site_problem

MOST_LIMITS = 3
WITHOUT_SITES = {
    "bind-shapes": "a dimension has one size in the whole model",
    "convert-opset": "an opset holds for the whole model",
    "fit-onnxruntime": "it may convert the opset, which holds for the whole model",
    "infer-shapes": "it computes nothing otherwise, and each type follows from others",
    "inline-functions": "it leaves no function, so that all calls go at once",
    "simplify": "another program changes the whole model",
}
"""Passes that act on the model as a whole, and so cannot act at some places only."""
UPDATE = os.environ.get("IRCONV_UPDATE_GOLDEN") == "1"


def write_output(path: Path, model: ir.Model) -> None:
    lines = path.read_text().splitlines()
    head = lines[: lines.index(SEPARATOR)] if SEPARATOR in lines else lines
    text = onnx.printer.to_text(ir.to_proto(model))
    path.write_text("\n".join([*head, SEPARATOR, text.strip(), ""]))


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_golden_case(path: Path, kit: SimpleNamespace) -> None:
    case = read_case(path)
    assert case.title, "the first line says what the case shows"
    assert ":" not in case.title.split()[0], "the first line says what the case shows"
    assert case.header["expect"] in ("modified", "unchanged")
    pass_ = build(case.spec)
    assert pass_.name == path.parent.name
    context = context_of(case)
    applied = kit.apply_pass(pass_, case.before, context)
    assert applied.modified == (case.header["expect"] == "modified")
    if not applied.modified:
        assert case.after is None, "an unchanged case has no output part"
        kit.same_text(applied.after, applied.before)
        return
    if UPDATE:
        write_output(path, applied.after)
        case = read_case(path)
    assert case.after is not None, "a modified case has an output part"
    kit.same_text(applied.after, kit.parse(case.after))
    run = case.header.get("run", "")
    if run:
        assert run.startswith("no "), "`// run: no` gives a reason"
    elif pass_.effect != "lossy":
        kit.same_outputs(applied.before, applied.after, exact=False)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_sites_of_golden_case(path: Path, kit: SimpleNamespace) -> None:
    case = read_case(path)
    pass_, context, source = build(case.spec), context_of(case), kit.parse(case.before)
    whole = kit.parse(case.before)
    result = pass_.run(whole, context)
    assert bool(result.sites) == (result.modified and pass_.name not in WITHOUT_SITES)
    assert site_problem(pass_, source, result, context) == ""
    count = len(result.sites)
    for limit in {0, *range(1, min(count, MOST_LIMITS) + 1), count} if count else ():
        model = kit.parse(case.before)
        limited = pass_.run(model, replace(context, max_sites=limit))
        assert limited.modified == (limit > 0)
        assert limited.sites == result.sites[:limit]
        if limit in (0, count):
            assert format_model(model) == format_model(whole if limit else source)
            continue
        onnx.checker.check_model(ir.to_proto(model), full_check=True)
        if pass_.effect != "lossy" and not case.header.get("run", ""):
            kit.same_outputs(source, model, exact=False)


@pytest.mark.parametrize("cls", PASSES, ids=lambda cls: cls.name)
def test_every_pass_has_cases_both_ways(cls: type[Pass]) -> None:
    expectations = {read_case(path).header["expect"] for path in FOLDER.glob(f"{cls.name}/*")}
    assert "modified" in expectations
    assert "unchanged" in expectations


def test_no_case_of_an_unknown_pass() -> None:
    assert {path.parent.name for path in FILES} <= {cls.name for cls in PASSES}
