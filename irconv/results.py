"""What a compilation made: one result a target, and the passes that all of them share."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from irconv.errors import ExitCode, IrconvError
from irconv.passes.manager import PassRecord

__all__ = ["CompileResult", "TargetResult"]


@dataclass
class TargetResult:
    """What became of one target.

    Attributes:
        target: Spec text of the target.
        directory: The published bundle; None if nothing was published.
        manifest: The manifest as written, or as it would have been.
        error: Why nothing was published, or why the build is no success.
    """

    target: str
    directory: Path | None = None
    manifest: dict[str, Any] | None = None
    error: IrconvError | None = None

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of this target alone."""
        return ExitCode.OK if self.error is None else self.error.exit_code

    def to_json(self) -> dict[str, Any]:
        """Return the result as a JSON object."""
        return {
            "target": self.target,
            "exit_code": int(self.exit_code),
            "directory": None if self.directory is None else str(self.directory),
            "manifest": self.manifest,
            "error": None if self.error is None else self.error.to_json(),
        }


@dataclass
class CompileResult:
    """What a compilation made.

    Attributes:
        targets: One result a target, in the order asked for.
        passes: Records of the level's pipeline. Where targets avoid different passes of it, it ran
            once for each such choice, and the records of one follow those of the other.
        skipped: With target ``all``: targets that are not available here, with the reason.
    """

    targets: list[TargetResult]
    passes: list[PassRecord]
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def exit_code(self) -> ExitCode:
        """OK if every target is done and verified, else the code of the first that is not."""
        codes = (result.exit_code for result in self.targets)
        return next((code for code in codes if code != ExitCode.OK), ExitCode.OK)

    def to_json(self) -> dict[str, Any]:
        """Return the result as a JSON object."""
        return {
            "exit_code": int(self.exit_code),
            "targets": [result.to_json() for result in self.targets],
            "passes": [record.to_json() for record in self.passes],
            "skipped": self.skipped,
        }
