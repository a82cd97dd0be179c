"""Errors that reach a user, each with one exit code.

Every error says what happened, where, and what to do next. The command line prints exactly
that and exits with the error's code; a traceback appears only under ``--debug``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Any, ClassVar

__all__ = [
    "BackendError",
    "Diagnostic",
    "ExitCode",
    "InputError",
    "IrconvError",
    "MismatchError",
    "MissingError",
    "UnsupportedError",
    "UsageError",
    "error_from_json",
]


class ExitCode(IntEnum):
    """The exit codes that users' scripts rely on."""

    OK = 0
    MISMATCH = 1
    BAD_INPUT = 2
    MISSING = 3
    UNSUPPORTED = 4
    BACKEND_FAILURE = 5


@dataclass(frozen=True)
class Diagnostic:
    """One thing a target cannot express.

    Attributes:
        code: Stable upper-case reason code, such as ``UNSUPPORTED_OP`` or ``DYNAMIC_DIM``.
        reason: Why, in one sentence.
        node: Name of the node, or the empty string for a diagnostic about the whole model.
        op: ``domain::OpType`` of the node, or the empty string.
        way_out: What the user can do about it.
    """

    code: str
    reason: str
    node: str = ""
    op: str = ""
    way_out: str = ""

    def __str__(self) -> str:
        place = " ".join(part for part in (self.op, repr(self.node) if self.node else "") if part)
        text = f"{place}: {self.reason}" if place else self.reason
        return f"{text} ({self.way_out})" if self.way_out else text


class IrconvError(Exception):
    """Base of all errors that are reported without a traceback.

    Args:
        what: What happened, in one sentence.
        where: Stage, file, pass, node or operator.
        hint: What to do next.
    """

    kind: ClassVar[str] = "error"
    exit_code: ClassVar[ExitCode] = ExitCode.BAD_INPUT

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append(f"where: {self.where}")
        if self.hint:
            lines.append(f"next: {self.hint}")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Return the error as a JSON object, the inverse of :func:`error_from_json`."""
        return {
            "kind": self.kind,
            "exit_code": int(self.exit_code),
            "what": self.what,
            "where": self.where,
            "hint": self.hint,
        }


class InputError(IrconvError):
    """A model, data file or option value that cannot be used."""

    kind = "bad-input"


class UsageError(IrconvError):
    """A command or option that does not exist or does not fit."""

    kind = "usage"


class MismatchError(IrconvError):
    """Outputs differ, or a digest does not hold."""

    kind = "mismatch"
    exit_code = ExitCode.MISMATCH


class MissingError(IrconvError):
    """Something needed is not installed, or not on this machine."""

    kind = "missing"
    exit_code = ExitCode.MISSING


class BackendError(IrconvError):
    """A backend crashed, ran out of time or ran out of memory."""

    kind = "backend-failure"
    exit_code = ExitCode.BACKEND_FAILURE


class UnsupportedError(IrconvError):
    """The model has what the target cannot express.

    Args:
        target: Name of the target.
        diagnostics: Every reason found, not only the first.
        where: As in :class:`IrconvError`.
        hint: As in :class:`IrconvError`.
    """

    kind = "unsupported"
    exit_code = ExitCode.UNSUPPORTED

    def __init__(
        self, target: str, diagnostics: Sequence[Diagnostic], *, where: str = "", hint: str = ""
    ) -> None:
        self.target = target
        self.diagnostics = tuple(diagnostics)
        lines = [f"target {target!r} cannot express this model:"]
        lines += [f"  - {diagnostic}" for diagnostic in self.diagnostics]
        super().__init__("\n".join(lines), where=where, hint=hint)

    def to_json(self) -> dict[str, Any]:
        """Return the error with its target and diagnostics."""
        return super().to_json() | {
            "target": self.target,
            "diagnostics": [asdict(diagnostic) for diagnostic in self.diagnostics],
        }


_KINDS: dict[str, type[IrconvError]] = {
    cls.kind: cls for cls in (InputError, UsageError, MismatchError, MissingError, BackendError)
}


def error_from_json(document: dict[str, Any]) -> IrconvError:
    """Rebuild the error that :meth:`IrconvError.to_json` wrote, across a process boundary."""
    where, hint = str(document.get("where", "")), str(document.get("hint", ""))
    if document.get("kind") == UnsupportedError.kind:
        diagnostics = [Diagnostic(**entry) for entry in document.get("diagnostics", [])]
        return UnsupportedError(str(document["target"]), diagnostics, where=where, hint=hint)
    cls = _KINDS.get(str(document.get("kind")), BackendError)
    return cls(str(document.get("what", "")), where=where, hint=hint)
