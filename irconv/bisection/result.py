"""What a bisection found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from irconv.verify.verifier import OutputVerdict

__all__ = ["Bisection", "Culprit", "FoundSite", "FoundTensor"]

Culprit = Literal["none", "import", "pass", "backend", "pass-or-backend"]
"""What broke the output: nothing did; bringing the source into the graph; a pass; the emitter
or the runtime of the target; one of these two, where no model after the last that is right runs
in the reference runtime."""


@dataclass(frozen=True)
class FoundSite:
    """A rewrite that broke the output.

    Attributes:
        node: Name of the node at which the pass acted.
        op: Its operator type before.
        index: Which of the pass's rewrites it is, from 1; 0 where the pass does not tell them.
        count: How many rewrites the pass made.
        nodes: Names and operators of the nodes that the rewrite left there.
        found_by: ``count``: with this rewrite the output breaks, and with those before it alone
            it does not. ``difference``: the pass does not count its rewrites, and this is the
            change of the graph that the first tensor that moved depends on.
    """

    node: str
    op: str
    index: int
    count: int
    nodes: tuple[tuple[str, str], ...]
    found_by: Literal["count", "difference"]

    def to_json(self) -> dict[str, Any]:
        """Return the site as a JSON object."""
        return {
            "node": self.node,
            "op": self.op,
            "index": self.index,
            "count": self.count,
            "nodes": [{"node": node, "op": op} for node, op in self.nodes],
            "found_by": self.found_by,
        }


@dataclass(frozen=True)
class FoundTensor:
    """The first tensor, in topological order, that is off by more than it may be.

    Attributes:
        name: Its name in the graph after the culprit.
        node: Name of the node that computes it.
        op: Operator type of that node.
        max_abs: The largest absolute difference; None where a value is NaN or infinite.
        limit: How far it might be off.
    """

    name: str
    node: str
    op: str
    max_abs: float | None
    limit: float

    def to_json(self) -> dict[str, Any]:
        """Return the tensor as a JSON object."""
        return {
            "name": self.name,
            "node": self.node,
            "op": self.op,
            "max_abs": self.max_abs,
            "limit": self.limit,
        }


@dataclass
class Bisection:
    """What broke an output of a target.

    Attributes:
        target: Spec text of the target.
        culprit: What broke it.
        summary: One sentence that says so.
        output: The verdict on the output in question; None if none differs.
        pass_: Spec text of the pass; empty if no pass is to blame.
        stage: Which pipeline the pass is part of, in words.
        round: In which round of that pipeline it ran; 0 if no pass is to blame.
        site: The rewrite; None if there is none, or it could not be told.
        tensor: The first tensor that is off; None if it could not be told.
        runs: How many times some state of the model was run to find this.
        note: What else to know; may be empty.
        way_out: What to do next.
    """

    target: str
    culprit: Culprit
    summary: str
    output: OutputVerdict | None = None
    pass_: str = ""
    stage: str = ""
    round: int = 0
    site: FoundSite | None = None
    tensor: FoundTensor | None = None
    runs: int = 0
    note: str = ""
    way_out: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the bisection as a JSON object."""
        return {
            "target": self.target,
            "culprit": self.culprit,
            "summary": self.summary,
            "output": None if self.output is None else self.output.to_json(),
            "pass": {"spec": self.pass_, "stage": self.stage, "round": self.round}
            if self.pass_
            else None,
            "site": None if self.site is None else self.site.to_json(),
            "tensor": None if self.tensor is None else self.tensor.to_json(),
            "runs": self.runs,
            "note": self.note,
            "way_out": self.way_out,
        }
