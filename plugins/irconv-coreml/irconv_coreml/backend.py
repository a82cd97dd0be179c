"""The target ``coreml``: an ML Program in a ``.mlpackage``, made on any operating system."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from irconv.backends.base import (
    Abilities,
    Artifact,
    Availability,
    Backend,
    EmitRequest,
    Support,
)
from irconv.errors import UsageError
from irconv_coreml.passes import LegalizeCoreml
from irconv_coreml.targets import Target, reaches

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import onnx_ir as ir

    from irconv.errors import Diagnostic
    from irconv.runtime.base import Runner
    from irconv.shapes import DimRange

__all__ = ["CoremlBackend"]

_OPSET = 28
_IR_VERSION = 13
_ROUNDS = 3
"""How often what MIL lacks is replaced: bodies use operators that it lacks themselves."""
_COMPRESSION: dict[str, tuple[str, ...]] = {
    "none": (),
    "int8": ("quantize-weights{min-elements=512}",),
    "int4": ("block-quantize-weights",),
    "palette8": ("palettize-weights{bits=8}",),
    "palette6": ("palettize-weights{bits=6}",),
    "palette4": ("palettize-weights{bits=4}",),
}
"""The lossy passes, which come last, so that nothing folds what they store."""
_DTYPES = frozenset({"float32", "float16", "int32", "bool"})


@dataclass(frozen=True)
class CoremlBackend(Backend):
    """Target ``coreml``.

    Attributes:
        precision: What it computes in. ``f32`` keeps the source's numbers and runs on CPU and
            GPU; ``f16`` halves the weights and is what the Neural Engine takes. Parts of the
            source that are float16 stay so under both.
        target: The oldest system that the package must run on; newer ones have more operators.
        weights: How float weights are stored: ``int8`` linear per channel, ``int4`` linear in
            blocks of 32 (needs iOS18), ``palette8``, ``palette6`` or ``palette4`` as indices into
            a table of evenly spaced values a tensor. All but ``none`` are lossy.
        shapes: What named dimensions become: a ``range``; the minimum, best and maximum of
            ``--shape`` ``enumerated``; or one static function for each of those (``functions``,
            needs iOS18), all with the same weights.
        image: Names of inputs, [1, 1 or 3, height, width], that the package takes as images.
        color: Order of an image's channels.
        scale: Factor of a pixel's value, 0 to 255, before the model sees it.
        bias: What is added after the factor; one value, or one a channel.
    """

    name: ClassVar[str] = "coreml"
    summary: ClassVar[str] = "Core ML ML Program (.mlpackage), made on any operating system"

    precision: Literal["f32", "f16"] = "f32"
    target: Target = "iOS17"
    weights: Literal["none", "int8", "int4", "palette8", "palette6", "palette4"] = "none"
    shapes: Literal["range", "enumerated", "functions"] = "range"
    image: tuple[str, ...] = ()
    color: Literal["RGB", "BGR"] = "RGB"
    scale: float = 1.0
    bias: tuple[float, ...] = (0.0,)

    def __post_init__(self) -> None:
        """Refuse options that do not go together."""
        newest = reaches(self.target, "iOS18")
        if self.weights == "int4" and not newest:
            raise UsageError(
                "weights=int4 needs target=iOS18 or newer", where="target coreml, option weights"
            )
        if self.weights != "none" and self.target == "iOS15":
            raise UsageError(
                "compressed weights need target=iOS16 or newer",
                where="target coreml, option weights",
            )
        if self.shapes == "functions" and not newest:
            raise UsageError(
                "shapes=functions needs target=iOS18 or newer",
                where="target coreml, option shapes",
            )
        if len(self.bias) not in (1, 3):
            raise UsageError("bias takes 1 or 3 values", where="target coreml, option bias")

    def available(self) -> Availability:
        """Say whether coremltools is installed; importing it is not needed for that."""
        try:
            version = importlib.metadata.version("coremltools")
        except importlib.metadata.PackageNotFoundError:
            return Availability(False, "coremltools is not installed", "pip install coremltools")
        return Availability(True, f"coremltools {version}")

    def abilities(self) -> Abilities:
        """Say what an ML Program can do."""
        return Abilities(opset=_OPSET, ir_version=_IR_VERSION, dynamic_shapes=True, dtypes=_DTYPES)

    def avoids(self) -> frozenset[str]:
        """Attention has an operator of its own from iOS18 on; its rotations have none."""
        if reaches(self.target, "iOS18"):
            return frozenset({"fuse-rotary-embedding"})
        return super().avoids()

    def legalization(self) -> tuple[str, ...]:
        """Bring the model to opset 28 and take apart what MIL lacks."""
        legalize = str(LegalizeCoreml(self.target))
        settle = ("infer-shapes", "fold-constants", "infer-shapes")
        return (
            "inline-functions",
            f"convert-opset{{to={_OPSET}}}",
            "infer-shapes",
            "fold-constants",
            "decompose-sequences",
            "infer-shapes",
            *(legalize, *settle) * _ROUNDS,
            "merge-dimensions",
            "eliminate-dead-code",
            *_COMPRESSION[self.weights],
        )

    def supports(self, node: ir.Node) -> Support:
        """Look the node up among the emitters."""
        from irconv_coreml.checks import node_support

        return node_support(node, self.target)

    def check(self, model: ir.Model, shapes: Mapping[str, DimRange]) -> list[Diagnostic]:
        """Check the interface, the values and the nodes."""
        from irconv_coreml.checks import check_model, name_free_dims

        nodes = name_free_dims(super().check(model, shapes), model, shapes)
        return [*check_model(model, shapes, self), *nodes]

    def emit(self, model: ir.Model, directory: Path, request: EmitRequest) -> Artifact:
        """Write ``model.mlpackage``."""
        from irconv_coreml.emit import write_package

        return write_package(model, directory, request, self)

    def runner(self, directory: Path, artifact: Artifact) -> Runner:
        """Open the package: in Core ML on macOS, elsewhere in the reference interpreter."""
        from irconv_coreml.runner import CoremlRunner

        return CoremlRunner(directory, artifact)
