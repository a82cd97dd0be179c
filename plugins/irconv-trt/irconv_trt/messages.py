"""What the parser and builder said, in our own words.

Each kind of warning was judged once: some are noise, some tell a user something, and some mean
that the engine would compute other numbers than the model, which is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from irconv.errors import Diagnostic
from irconv_trt.sdk import Message

__all__ = ["builder_words", "notes_of", "parser_diagnostics", "wrong_number_diagnostics"]

_NOISE = re.compile(
    r"Make sure (input|output) .* has Int64 binding"
    r"|Unused Input: "
    r"|\[RemoveDeadLayers\]"
    r"|Empty initializer .* was provided with non-empty data"
    r"|catchCudaError"
)
_WRONG_NUMBERS = re.compile(
    r"[Dd]efaulting to INT8 instead"
    r"|is being converted to INT8"
    r"|will use INT8 instead"
    r"|will cast to INT32"
    r"|out of range\. Clamping to"
    r"|was clamped"
    r'|ignores the "seed" field'
    r"|Models using older opsets are not guaranteed to work"
)
_SOURCE = re.compile(r"^\S+\.(cpp|h):\d+: ")
_NO_DRIVER = re.compile(r"\s*\[checkMacros\.cpp::catchCudaError.*")
_API = re.compile(
    r"^(Invalid Node - \S+ )?(\w+::\w+: )?Error Code \d+: [\w ]+"
    r"\((?P<words>.*?)\.? In \w+ at \S+\)$"
)
_CODES = {
    "UNSUPPORTED_NODE": "the parser has no way to express it",
    "UNSUPPORTED_NODE_ATTR": "the parser does not take one of its attributes",
    "UNSUPPORTED_NODE_INPUT": "the parser does not take one of its inputs",
    "UNSUPPORTED_NODE_DATATYPE": "the parser does not take its dtype",
    "UNSUPPORTED_NODE_DYNAMIC": "the parser does not take it with dynamic shapes",
    "UNSUPPORTED_NODE_SHAPE": "the parser does not take its shape",
}
_MAX_WORDS = 500


def parser_diagnostics(errors: Iterable[Any]) -> list[Diagnostic]:
    """Return one diagnostic for each error of the parser."""
    return [_diagnostic(error) for error in errors]


def _diagnostic(error: Any) -> Diagnostic:
    code = error.code().name
    words = _shorten(error.desc())
    reason = _CODES.get(code, "the parser refused it")
    if "Plugin not found" in words:
        reason = "the parser knows no such operator"
    elif words not in ("", "false"):
        reason = f"{reason}: {words}"
    return Diagnostic(
        code=code,
        reason=reason,
        node=error.node_name(),
        op=error.node_operator(),
        way_out="express it by other operators in the model",
    )


def wrong_number_diagnostics(messages: Iterable[Message]) -> list[Diagnostic]:
    """Return a diagnostic for each warning after which the engine's numbers would be wrong."""
    return [
        Diagnostic("WRONG_NUMBERS", f"the parser would change the model's numbers: {words}")
        for words in _distinct(messages, "WARNING")
        if _WRONG_NUMBERS.search(words)
    ]


def notes_of(messages: Iterable[Message]) -> list[str]:
    """Return the warnings that a user should read."""
    return [
        f"TensorRT: {words}"
        for words in _distinct(messages, "WARNING")
        if not _WRONG_NUMBERS.search(words)
    ]


def builder_words(messages: Iterable[Message]) -> str:
    """Return the errors that the builder gave, in its own words."""
    words = [*_distinct(messages, "ERROR"), *_distinct(messages, "INTERNAL_ERROR")]
    return "; ".join(words) or "it gave no reason"


def _distinct(messages: Iterable[Message], severity: str) -> list[str]:
    texts = (
        _shorten(message.text)
        for message in messages
        if message.severity == severity and not _NOISE.search(message.text)
    )
    return list(dict.fromkeys(texts))


def _shorten(text: str) -> str:
    """Return a message without C++ places, and without the driver that is not needed to build."""
    flat = _NO_DRIVER.sub("", " ".join(_SOURCE.sub("", text).split()))
    found = _API.match(flat)
    flat = found["words"] if found else flat
    return flat if len(flat) <= _MAX_WORDS else flat[: _MAX_WORDS - 1] + "…"
