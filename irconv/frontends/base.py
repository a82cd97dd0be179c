"""The frontend contract: one source format into the IR, with the source's own outputs.

A frontend never executes what a model file names unless the user said ``--trust``.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from irconv.backends.base import Availability
from irconv.errors import MissingError
from irconv.shapes import DimRange, InputSpec
from irconv.spec import Configurable

if TYPE_CHECKING:
    from pathlib import Path

    import onnx_ir as ir

    from irconv.runtime.base import Feeds, Runner
    from irconv.worker import WorkerLimits

__all__ = ["Frontend", "ImportRequest", "Imported", "SourceInfo"]


@dataclass(frozen=True)
class SourceInfo:
    """Where a model came from; this is the manifest's ``source``.

    Attributes:
        frontend: Spec text of the frontend.
        sha256: Digest over the source's files; empty for code given by ``module:factory``.
        bytes: Size of the source's files.
        opset: Opset of the default ONNX domain that the IR started with.
        notes: What the frontend changed on the way, in plain words.
    """

    frontend: str
    sha256: str
    bytes: int
    opset: int
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the facts as they stand in a manifest."""
        document = asdict(self)
        return document | {"notes": list(self.notes)}


@dataclass(frozen=True)
class ImportRequest:
    """What importing may need beside the source.

    Attributes:
        directory: An empty scratch directory that lives until the import is closed.
        trust: Whether code that the source names may run.
        inputs: Inputs as the user states them by ``--input``.
        shapes: Ranges of named dimensions.
        limits: Limits of the worker processes that a frontend starts, and the interpreter of
            another environment that they run in, where the user names one.
        signature: Which of the source's signatures is meant; None for the only or default one.
        outputs: Names of the values of the source that are to be outputs; empty for its own.
    """

    directory: Path
    limits: WorkerLimits
    trust: bool = False
    inputs: Sequence[InputSpec] = ()
    shapes: Mapping[str, DimRange] = field(default_factory=dict)
    signature: str | None = None
    outputs: Sequence[str] = ()


@dataclass
class Imported:
    """A model in the IR, and the source framework ready to give its outputs.

    Attributes:
        model: The model; inputs and outputs carry the source's names, order and dtypes.
        source: Where it came from.
        open_reference: Opens the *source* in its own framework, on demand because that takes
            time and memory that a dry run does not need; the caller closes the runner.
        example_feeds: Inputs that came with the source, where there were any.
        close: Ends what the import keeps alive, such as a worker that holds the framework.
    """

    model: ir.Model
    source: SourceInfo
    open_reference: Callable[[], Runner]
    example_feeds: Sequence[Feeds] = ()
    close: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Frontend(Configurable, abc.ABC):
    """Base of all frontends.

    Class attributes:
        name: Kebab-case name.
        summary: One line for ``irconv frontends``.
        suffixes: File suffixes that it reads, for messages.
        takes: Which of ``signature`` and ``outputs`` of a request it understands; a request
            with another is refused before ``load``.
    """

    summary: ClassVar[str] = ""
    suffixes: ClassVar[tuple[str, ...]] = ()
    takes: ClassVar[frozenset[str]] = frozenset()

    @abc.abstractmethod
    def recognizes(self, source: str) -> bool:
        """Say whether ``source`` (a path or ``module:factory``) is of this format.

        Reads at most a few bytes and executes nothing.
        """

    @abc.abstractmethod
    def available(self) -> Availability:
        """Say whether the framework is installed; cheap, and imports nothing heavy."""

    def require(self, request: ImportRequest) -> None:
        """Check that the framework is there, unless its worker runs in another environment.

        Raises:
            MissingError: If it is not installed here.
        """
        availability = self.available()
        if not availability.ok and request.limits.python is None:
            raise MissingError(
                f"frontend {self.name!r} cannot run here: {availability.detail}",
                where=f"frontend {self.name}",
                hint=f"{availability.way_out}, or name the interpreter of an environment that has "
                "it by --frontend-python",
            )

    @abc.abstractmethod
    def inspect(self, source: str) -> dict[str, Any]:
        """Return JSON-ready facts about the source without executing anything in it."""

    @abc.abstractmethod
    def load(self, source: str, request: ImportRequest) -> Imported:
        """Bring the source into the IR.

        Raises:
            irconv.errors.InputError: If the source is broken, hostile or needs ``--trust``.
            irconv.errors.MissingError: If the framework is not installed.
        """
