"""What a conformance run found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

__all__ = ["ConformanceReport", "Outcome", "Status"]

Status = Literal["pass", "fail", "skip"]


@dataclass(frozen=True)
class Outcome:
    """How one promise fared.

    Attributes:
        promise: What was promised, in plain words.
        status: Whether it was kept; ``skip`` where it could not be asked here.
        reason: Why it failed or was skipped; empty for a pass.
    """

    promise: str
    status: Status
    reason: str = ""

    def __str__(self) -> str:
        lines = [f"{self.status:4}  {self.promise}", *self.reason.splitlines()]
        return "\n        ".join(lines)


@dataclass
class ConformanceReport:
    """How a backend or frontend fared; prints as a list of promises.

    Attributes:
        subject: Its spec text.
        kind: ``backend`` or ``frontend``.
        outcomes: One outcome a promise, in the order in which they were asked.
    """

    subject: str
    kind: str = "backend"
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def failures(self) -> list[Outcome]:
        """The promises that are broken."""
        return [outcome for outcome in self.outcomes if outcome.status == "fail"]

    def outcome(self, promise: str) -> Outcome:
        """Return the outcome of a promise; KeyError where it was not asked."""
        for outcome in self.outcomes:
            if outcome.promise == promise:
                return outcome
        raise KeyError(promise)

    def record(self, promise: str, problems: list[str]) -> None:
        """Add a pass, or a failure with its problems."""
        self.outcomes.append(Outcome(promise, "fail" if problems else "pass", "\n".join(problems)))

    def skip(self, promise: str, reason: str) -> None:
        """Add a promise that could not be asked."""
        self.outcomes.append(Outcome(promise, "skip", reason))

    def __str__(self) -> str:
        counts = {
            status: sum(outcome.status == status for outcome in self.outcomes)
            for status in ("pass", "fail", "skip")
        }
        head = ", ".join(f"{count} {status}" for status, count in counts.items())
        return "\n".join([f"{self.kind} {self.subject}: {head}", *map(str, self.outcomes)])
