"""Golden cases of the plugin's passes; ``IRCONV_UPDATE_GOLDEN=1`` writes them anew."""

from __future__ import annotations

import os
import re
import textwrap
from pathlib import Path

import onnx
import onnx_ir as ir
import pytest

from irconv.passes.base import PassContext
from irconv.plugins import load_registry
from irconv.testing import assert_pass

CASES = sorted((Path(__file__).resolve().parents[1] / "golden" / "passes").glob("*/*.onnxtxt"))
SEPARATOR = "// output\n"


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_golden_case(path: Path) -> None:
    before, _, after = path.read_text().partition(SEPARATOR)
    header = dict(re.findall(r"^// (\w+): (.+)$", before, re.MULTILINE))
    model = "\n".join(line for line in before.splitlines() if not line.startswith("//"))
    pass_ = load_registry().build_pass(header["pass"])
    assert pass_.name == path.parent.name
    if os.environ.get("IRCONV_UPDATE_GOLDEN") == "1" and header["expect"] == "modified":
        changed = ir.from_onnx_text(model)
        pass_.run(changed, PassContext())
        after = onnx.printer.to_text(ir.to_proto(changed)) + "\n"
        path.write_text(before + SEPARATOR + after)
    assert bool(after) == (header["expect"] == "modified")
    assert_pass(pass_, model, after or None)


PASSES = {
    name: cls
    for name, cls in load_registry().passes().items()
    if cls.__module__.startswith("irconv_openvino.")
}


def test_there_are_cases_for_every_pass() -> None:
    assert {path.parent.name for path in CASES} == set(PASSES)


@pytest.mark.parametrize("name", sorted(PASSES))
def test_docstring_example(name: str) -> None:
    documentation = PASSES[name].__doc__ or ""
    _, before, after = re.split(r"(?:Before|After)::\n", documentation)
    # ONNX Runtime has no kernel for the operator of legalize-openvino's example.
    runs = name != "legalize-openvino"
    assert_pass(PASSES[name](), textwrap.dedent(before), textwrap.dedent(after), run=runs)
