"""Golden cases of the plugin's passes: text before, text after, and every promise of a pass.

``IRCONV_UPDATE_GOLDEN=1`` writes the expected side anew.
"""

from __future__ import annotations

import os
import re
import textwrap
from pathlib import Path

import onnx
import onnx_ir as ir
import pytest

from irconv.plugins import load_registry
from irconv.spec import parse_spec
from irconv.testing import assert_pass

_GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "passes"
_CASES = sorted(_GOLDEN.glob("*/*.onnxtxt"))
_SEPARATOR = "// output\n"


def _header(text: str, key: str) -> str:
    found = re.search(rf"^// {key}: (.+)$", text, re.MULTILINE)
    assert found, f"no '// {key}:' line"
    return found[1].strip()


def _model_text(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.startswith("//"))


def _id(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


@pytest.mark.parametrize("path", _CASES, ids=_id)
def test_golden_case(path: Path) -> None:
    text = path.read_text()
    before, _, after = text.partition(_SEPARATOR)
    pass_ = load_registry().build_pass(parse_spec(_header(before, "pass")))
    assert pass_.name == path.parent.name
    if os.environ.get("IRCONV_UPDATE_GOLDEN") and _header(before, "expect") == "modified":
        from irconv.passes.base import PassContext

        model = ir.from_onnx_text(_model_text(before))
        pass_.run(model, PassContext())
        after = onnx.printer.to_text(ir.to_proto(model)) + "\n"
        path.write_text(before + _SEPARATOR + after)
    if _header(before, "expect") == "modified":
        assert_pass(pass_, _model_text(before), after)
    else:
        assert not after
        assert_pass(pass_, _model_text(before))


_PASSES = {
    name: cls
    for name, cls in load_registry().passes().items()
    if cls.__module__.startswith("irconv_coreml.")
}


def test_there_are_cases_for_every_pass_of_the_plugin() -> None:
    assert {path.parent.name for path in _CASES} == set(_PASSES)


@pytest.mark.parametrize("name", sorted(_PASSES))
def test_docstring_example(name: str) -> None:
    documentation = _PASSES[name].__doc__ or ""
    examples = documentation.partition("Before::\n")[2]
    before, spec, after = re.split(r"After(?: ``(.+)``)?::\n", examples)
    pass_ = load_registry().build_pass(parse_spec(spec or name))
    after = after.partition("    Attributes:")[0]
    assert_pass(pass_, textwrap.dedent(before), textwrap.dedent(after))
