"""Before and After in the docstring of every pass are true."""

from __future__ import annotations

import inspect
import re
import textwrap
from types import SimpleNamespace

import pytest

from irconv.passes.base import Pass
from irconv.passes.catalog import PASSES
from irconv.spec import parse_spec

BLOCK = r"(?m)^{}(?: ``(.+)``)?::\n\n((?:[ ]{{4}}.*\n|[ ]*\n)+)"
MAKE_RUNNABLE = {"fit-onnxruntime"}
"""Passes whose whole point is that ONNX Runtime cannot run the model before."""


def block(cls: type[Pass], head: str) -> tuple[str, str]:
    """Return the spec in the head of a block, and the block."""
    docstring = inspect.cleandoc(cls.__doc__ or "") + "\n"
    found = re.search(BLOCK.format(head), docstring)
    assert found, f"the docstring of {cls.__name__} has no {head}:: block"
    return found[1] or cls.name, textwrap.dedent(found[2])


@pytest.mark.parametrize("cls", PASSES, ids=lambda cls: cls.name)
def test_before_becomes_after(cls: type[Pass], kit: SimpleNamespace) -> None:
    _, before = block(cls, "Before")
    spec_text, after = block(cls, "After")
    spec = parse_spec(spec_text)
    assert spec.name == cls.name
    pass_ = cls.from_options(spec.options)
    applied = kit.apply_pass(pass_, before)
    assert applied.modified
    kit.same_text(applied.after, kit.parse(after))
    if pass_.name in MAKE_RUNNABLE:
        kit.same_as_reference(applied.before, applied.after)
    elif pass_.effect != "lossy":
        kit.same_outputs(applied.before, applied.after, exact=False)
