"""The files under golden/passes: a graph as text, the pass to run, and what is expected of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from irconv.passes.base import Pass, PassContext
from irconv.passes.catalog import PASSES
from irconv.shapes import parse_shapes
from irconv.spec import parse_spec

__all__ = ["FILES", "FOLDER", "SEPARATOR", "Case", "build", "context_of", "read_case"]

FOLDER = Path(__file__).parents[2] / "golden" / "passes"
FILES = sorted(FOLDER.glob("*/*.onnxtxt"))
SEPARATOR = "// output"
HEADERS = ("pass", "expect", "shapes", "run")


@dataclass(frozen=True)
class Case:
    """A golden case: its header, the model before, and the model expected."""

    title: str
    header: dict[str, str]
    before: str
    after: str | None

    @property
    def spec(self) -> str:
        return self.header["pass"]


def read_case(path: Path) -> Case:
    lines = path.read_text().splitlines()
    header: dict[str, str] = {}
    comments = [line.removeprefix("//").strip() for line in lines if line.startswith("//")]
    for comment in comments[1:]:
        key, colon, value = comment.partition(":")
        if colon and key in HEADERS:
            header[key] = value.strip()
    split = lines.index(SEPARATOR) if SEPARATOR in lines else len(lines)
    before, after = (
        "\n".join(line for line in part if not line.startswith("//"))
        for part in (lines[:split], lines[split:])
    )
    return Case(comments[0], header, before, after if SEPARATOR in lines else None)


def build(spec_text: str) -> Pass:
    spec = parse_spec(spec_text)
    named = {cls.name: cls for cls in PASSES}
    made = named[spec.name].from_options(spec.options)
    assert isinstance(made, Pass)
    return made


def context_of(case: Case) -> PassContext:
    return PassContext(shapes=parse_shapes(filter(None, [case.header.get("shapes", "")])))
