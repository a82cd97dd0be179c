"""The pass contract.

A pass is a frozen dataclass with a kebab-case ``name``; its fields are its options. It changes
a model in place, says truthfully whether it did, and gives a reason wherever it held back.
What it needs beyond the graph comes from an explicit :class:`PassContext`.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from irconv.spec import Configurable

if TYPE_CHECKING:
    import onnx_ir as ir

    from irconv.backends.base import Abilities
    from irconv.graph.spill import Spill
    from irconv.runtime.base import Feeds, Runner
    from irconv.shapes import DimRange

__all__ = ["Effect", "Pass", "PassContext", "PassResult", "Refusal", "Site"]

Effect = Literal["bit-exact", "real-arithmetic", "lossy"]
"""What a pass may do to the numbers: nothing; rounding only; more, measured and reported."""


@dataclass(frozen=True)
class Refusal:
    """A place where a pass could have acted and did not.

    Attributes:
        node: Node name.
        op: Operator type.
        reason: The first condition that failed.
    """

    node: str
    op: str
    reason: str


@dataclass(frozen=True)
class Site:
    """A place where a pass acted.

    Attributes:
        node: Name of the node that a refusal at this place would have named.
        op: Operator type that the node had before.
    """

    node: str
    op: str


@dataclass(frozen=True)
class PassResult:
    """What a pass did.

    Attributes:
        modified: Whether anything in the model changed; the manager checks that it is true.
        details: JSON-ready facts for the manifest, such as counts.
        refusals: Where the pass nearly acted, and why it did not.
        sites: Where it acted, in the order in which it did; :class:`irconv.passes.sites.Sites`
            collects them. A pass that keeps no account of its sites leaves this empty.
    """

    modified: bool
    details: Mapping[str, Any] = field(default_factory=dict)
    refusals: tuple[Refusal, ...] = ()
    sites: tuple[Site, ...] = ()


@dataclass(frozen=True)
class PassContext:
    """What a pass may use beside the graph.

    Attributes:
        abilities: What the target can do; None where no target is chosen.
        calibration: Real or generated input samples, each a mapping from input name to array.
        open_reference: Opens a model in the reference runtime; the caller closes the runner.
        shapes: Ranges of named dimensions as given by the user.
        max_constant_bytes: The most bytes that a pass may add to the model as new constants.
        spill: Keeps the constants that passes compute; None keeps them all in memory.
        max_sites: The most sites at which one run of a pass may act, the first ones of the order
            in which it looks; None for no bound. ``irconv bisect`` counts rewrites with it.
    """

    abilities: Abilities | None = None
    calibration: Sequence[Feeds] = ()
    open_reference: Callable[[ir.Model], Runner] | None = None
    shapes: Mapping[str, DimRange] = field(default_factory=dict)
    max_constant_bytes: int = 64 * 1024 * 1024
    spill: Spill | None = None
    max_sites: int | None = None


@dataclass(frozen=True)
class Pass(Configurable, abc.ABC):
    """Base of all passes.

    Class attributes:
        name: Kebab-case verb-noun name.
        after: Names of passes that must come earlier if they are in the same pipeline.
        effect: What the pass may do to the numbers.
        once: Whether the pass runs in the first round only, not at every round of a fixpoint.
    """

    after: ClassVar[tuple[str, ...]] = ()
    effect: ClassVar[Effect] = "bit-exact"
    once: ClassVar[bool] = False

    @abc.abstractmethod
    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Transform ``model`` in place.

        Subgraph bodies and local functions are part of the model. Arrays of weights are shared
        with the caller's snapshot: a changed weight is a new tensor.

        Raises:
            irconv.errors.IrconvError: If the user asked for what cannot be done; any other
                exception counts as a defect of the pass, which is then rolled back.
        """
