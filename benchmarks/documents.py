"""The documents that a benchmark writes: a JSON file of its results, and a page made of it."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = ["Documents", "Results", "versions"]

_DOCS = Path(__file__).resolve().parents[1] / "docs" / "reference"

Results = dict[str, dict[str, Any]]
"""Records by the name of what was run."""


@dataclass(frozen=True)
class Documents:
    """``NAME.json`` and ``NAME.md`` of the reference.

    Attributes:
        name: Their name.
        key: Under which the JSON file holds the results.
        distributions: Whose versions stand beside the results.
        page: Gives the lines of the page, of the results and what they were measured on.
    """

    name: str
    key: str
    distributions: tuple[str, ...]
    page: Callable[[Results, Mapping[str, Any]], list[str]]

    def read(self) -> Results:
        """Return the committed results by name."""
        path = _DOCS / f"{self.name}.json"
        if not path.exists():
            return {}
        document: dict[str, Results] = json.loads(path.read_text(encoding="utf-8"))
        return document[self.key]

    def write(self, results: Mapping[str, Any]) -> None:
        """Write both files; ``results`` are all that there are."""
        measured = {"machine": _machine(), "packages": _packages(self.distributions)}
        ordered = dict(sorted(results.items()))
        text = json.dumps({"measured_on": measured, self.key: ordered}, indent=1)
        (_DOCS / f"{self.name}.json").write_text(text + "\n", encoding="utf-8")
        lines = "\n".join(self.page(ordered, measured))
        (_DOCS / f"{self.name}.md").write_text(lines + "\n", encoding="utf-8")


def versions(measured: Mapping[str, Any]) -> str:
    """Return the versions of what the figures were measured with, in words."""
    return ", ".join(f"{name} {number}" for name, number in measured["packages"].items())


def _machine() -> str:
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors, Python " + (
        platform.python_version()
    )


def _packages(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of the distributions that are installed."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
