"""The passes that changed a model, one step each, with the model after each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import onnx_ir as ir

from irconv.graph.snapshot import snapshot
from irconv.passes.base import Pass
from irconv.passes.manager import PassRecord

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Step", "StepRecorder"]


@dataclass(frozen=True)
class Step:
    """One run of a pass whose change was kept.

    Attributes:
        pass_: The pass.
        stage: Which pipeline it is part of, in words.
        for_target: Whether its context names the target's abilities.
        record: What it did.
        before: The model before it.
        after: The model after it; shares its tensors with ``before``.
        effects: By output name, how far lossy passes up to this one moved it, added up.
    """

    pass_: Pass
    stage: str
    for_target: bool
    record: PassRecord
    before: ir.Model
    after: ir.Model
    effects: Mapping[str, float]


class StepRecorder:
    """An observer that keeps the model after every pass that changed it.

    Attributes:
        steps: The steps so far.
        stage: The pipeline that runs, in words; to be set before each.
        for_target: Whether that pipeline runs with the target's abilities.
    """

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.stage = ""
        self.for_target = False
        self._before: ir.Model | None = None
        self._effects: dict[str, float] = {}

    def before(self, pass_: Pass, model: ir.Model) -> None:
        """Keep the model as it is, unless the last step has."""
        del pass_
        self._before = self.steps[-1].after if self.steps else snapshot(model)

    def after(self, pass_: Pass, model: ir.Model, record: PassRecord) -> None:
        """Keep the model if the pass changed it."""
        if not record.modified:
            return
        for name, accuracy in record.details.get("accuracy", {}).items():
            self._effects[name] = self._effects.get(name, 0.0) + accuracy["max_abs"]
        assert self._before is not None
        self.steps.append(
            Step(
                pass_,
                self.stage,
                self.for_target,
                record,
                self._before,
                snapshot(model),
                dict(self._effects),
            )
        )
