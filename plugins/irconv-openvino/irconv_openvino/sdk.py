"""Importing OpenVINO without its telemetry, and its exceptions in our words.

``import openvino`` sends usage events where the package ``openvino_telemetry`` is installed.
OpenVINO replaces it by a stub of its own where that package cannot be imported, so it is hidden
while OpenVINO is imported.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator
from typing import Any

__all__ = ["first_line", "load_openvino", "unconverted_operators"]

_TELEMETRY = "openvino_telemetry"
_UNCONVERTED = re.compile(r"No conversion rule found for operations?: (?P<names>[^\n]+)")
_OPERATOR = re.compile(r"^-- (?P<name>\S+?)(-\d+)? with a message:", re.MULTILINE)
_FRAME = re.compile(
    r"^(Exception from |Check '|FrontEnd API failed|Loading input|Model wasn't fully converted|"
    r"While validating |Summary:|Details:|-- )"
)


def load_openvino() -> Any:
    """Return the module ``openvino``, imported with telemetry off."""
    if "openvino" in sys.modules:
        return sys.modules["openvino"]
    with _hidden(_TELEMETRY):
        import openvino
    return openvino


@contextlib.contextmanager
def _hidden(module: str) -> Iterator[None]:
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[module]


def unconverted_operators(message: str) -> list[str]:
    """Return ``domain.OpType`` of every operator that OpenVINO says it has no rule for.

    The message lists them as ``Det-20, com.acme.FooBar``; the version is left out.
    """
    found = _UNCONVERTED.search(message)
    if found is None:
        return []
    names = (name.strip() for name in found["names"].split(","))
    return [re.sub(r"-\d+$", "", name) for name in names if name]


def first_line(error: BaseException) -> str:
    """Return the first line of an OpenVINO exception that says something.

    Lines that only name a C++ source line or a stage of the importer are skipped; the operator
    that the importer was at is put in front.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if not _FRAME.match(line)]
    text = (telling or lines or [type(error).__name__])[0]
    operator = _OPERATOR.search(str(error))
    return f"{operator['name']}: {text}" if operator else text
