"""The backend contract: one class a target.

A backend module imports nothing heavy. The vendor's SDK is imported inside
:meth:`Backend.available`, :meth:`Backend.emit` and :meth:`Backend.runner`; the latter two run
in a worker process, so a vendor's crash is an ordinary, reported result.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from irconv.errors import Diagnostic
from irconv.shapes import DimRange
from irconv.spec import Configurable

if TYPE_CHECKING:
    from pathlib import Path

    import onnx_ir as ir

    from irconv.runtime.base import Runner

__all__ = [
    "Abilities",
    "Artifact",
    "Availability",
    "Backend",
    "EmitRequest",
    "Precision",
    "Support",
]

Precision = Literal["float64", "float32", "tf32", "float16", "bfloat16", "int8"]


@dataclass(frozen=True)
class Availability:
    """Whether something can be used here.

    Attributes:
        ok: Whether it can.
        detail: Version and device when it can; what is missing when it cannot.
        way_out: How to get it.
    """

    ok: bool
    detail: str = ""
    way_out: str = ""


@dataclass(frozen=True)
class Abilities:
    """What a target can do, for passes that adapt to it.

    Attributes:
        opset: The version of the default ONNX domain that the target reads best.
        ir_version: The highest ONNX IR version it reads.
        dynamic_shapes: Whether dimensions may stay unbound.
        dtypes: Tensor dtypes it computes with.
    """

    opset: int
    ir_version: int
    dynamic_shapes: bool
    dtypes: frozenset[str]


@dataclass(frozen=True)
class Support:
    """Whether a target takes a node, and if not, why and what helps."""

    ok: bool
    code: str = ""
    reason: str = ""
    way_out: str = ""


@dataclass(frozen=True)
class EmitRequest:
    """What emitting needs beside the model.

    Attributes:
        shapes: Ranges of named dimensions, for optimization profiles.
    """

    shapes: Mapping[str, DimRange] = field(default_factory=dict)


@dataclass(frozen=True)
class Artifact:
    """What :meth:`Backend.emit` wrote; every file of the directory belongs to it.

    Attributes:
        main: The file to open, relative to the artifact's directory.
        precision: The precision it computes in, by which its outputs are judged.
        requires: What it needs to run: ``runtime``, ``version``, ``device`` and more.
        notes: What a user should know, in plain words.
        data: JSON-ready facts that :meth:`Backend.runner` needs, such as changed names.
    """

    main: str
    precision: Precision
    requires: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the artifact as a JSON object."""
        return {
            "main": self.main,
            "precision": self.precision,
            "requires": dict(self.requires),
            "notes": list(self.notes),
            "data": dict(self.data),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Rebuild an artifact from :meth:`to_json`; unknown keys are ignored."""
        return cls(
            main=document["main"],
            precision=document["precision"],
            requires=document.get("requires", {}),
            notes=tuple(document.get("notes", ())),
            data=document.get("data", {}),
        )


@dataclass(frozen=True)
class Backend(Configurable, abc.ABC):
    """Base of all backends.

    Class attributes:
        name: The target's name, as the user types it.
        summary: One line for ``irconv targets``.
    """

    summary: ClassVar[str] = ""

    @abc.abstractmethod
    def available(self) -> Availability:
        """Say whether artifacts can be made here; cheap, and imports no SDK."""

    @abc.abstractmethod
    def abilities(self) -> Abilities:
        """Say what the target can do under these options; needs no SDK."""

    @abc.abstractmethod
    def supports(self, node: ir.Node) -> Support:
        """Say whether the target takes this node after legalization; needs no SDK."""

    def avoids(self) -> frozenset[str]:
        """Return the names of passes of the optimization levels that are left out for the target.

        After them it would be slower under these options, because it has to take apart again
        what they put together. Needs no SDK.
        """
        return frozenset({"fuse-attention", "fuse-rotary-embedding"})

    def optimization(self) -> Sequence[str]:
        """Return the specs of the passes that ``-O3`` adds for this target, in order.

        They run once, before legalization, on the target's own copy of the model, with
        :meth:`abilities` in their context. A pass that breaks its contract, or that moves an
        output further than its declared effect allows, is rolled back and recorded. Needs no
        SDK.
        """
        return ()

    def legalization(self) -> tuple[str, ...]:
        """Return the specs of the passes that fit a model to the target, in order."""
        return ()

    def check(self, model: ir.Model, shapes: Mapping[str, DimRange]) -> list[Diagnostic]:
        """Return everything in a legalized model that the target cannot express.

        Every node of the graph, its subgraph bodies and its local functions is asked about;
        a call of a local function is not, because the nodes of its body are.

        Args:
            model: The legalized model.
            shapes: Ranges of named dimensions as given by the user.
        """
        del shapes
        return list(self._check_nodes(model))

    def _check_nodes(self, model: ir.Model) -> Iterator[Diagnostic]:
        from irconv.graph.walk import all_nodes

        for node in all_nodes(model):
            if node.op_identifier() in model.functions:
                continue
            support = self.supports(node)
            if not support.ok:
                yield Diagnostic(
                    code=support.code or "UNSUPPORTED_OP",
                    reason=support.reason,
                    node=node.name or "",
                    op=f"{node.domain}::{node.op_type}" if node.domain else node.op_type,
                    way_out=support.way_out,
                )

    @abc.abstractmethod
    def emit(self, model: ir.Model, directory: Path, request: EmitRequest) -> Artifact:
        """Write the artifact's files into the empty ``directory``.

        Raises:
            irconv.errors.UnsupportedError: If the vendor's builder refuses the model.
        """

    @abc.abstractmethod
    def runner(self, directory: Path, artifact: Artifact) -> Runner:
        """Open the artifact in its runtime; ``Runner.level`` says what a run proves.

        Raises:
            irconv.errors.MissingError: If it cannot be run here in any way.
        """
