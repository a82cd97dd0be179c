"""The target ``torchscript``: a frozen TorchScript archive, or a program of torch.export."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from irconv.backends.base import Abilities, Artifact, Availability, Backend, EmitRequest, Support

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import onnx_ir as ir

    from irconv.errors import Diagnostic
    from irconv.runtime.base import Runner
    from irconv.shapes import DimRange

__all__ = ["TorchscriptBackend", "legalization"]

_OPSET = 28


def legalization() -> tuple[str, ...]:
    """Return the specs of the passes that fit a model to the module builder.

    What has no builder is expanded by the function bodies of the ONNX standard, twice, for
    bodies that use what has none themselves.
    """
    return (
        "inline-functions",
        f"convert-opset{{to={_OPSET}}}",
        "infer-shapes",
        "legalize-torchscript",
        "infer-shapes",
        "legalize-torchscript",
        "infer-shapes",
        "fold-constants",
        "inline-branches",
        "infer-shapes",
        "eliminate-dead-code",
    )


@dataclass(frozen=True)
class TorchscriptBackend(Backend):
    """Target ``torchscript``.

    Attributes:
        form: ``pt``, an archive that ``torch.jit.load`` and libtorch read; ``pt2``, a program
            that ``torch.export.load`` reads.
    """

    name: ClassVar[str] = "torchscript"
    summary: ClassVar[str] = (
        "TorchScript archive (.pt) or torch.export program (.pt2), run by torch"
    )

    form: Literal["pt", "pt2"] = "pt"

    def available(self) -> Availability:
        """Torch must be installed."""
        try:
            version = importlib.metadata.version("torch")
        except importlib.metadata.PackageNotFoundError:
            return Availability(False, "torch is not installed", "pip install torch")
        return Availability(True, f"torch {version}, CPU")

    def abilities(self) -> Abilities:
        """What the module builder reads, and torch computes with."""
        return Abilities(opset=_OPSET, ir_version=13, dynamic_shapes=True, dtypes=_DTYPES)

    def legalization(self) -> tuple[str, ...]:
        """Convert to the opset that the builders are written for; expand what they lack."""
        return legalization()

    def supports(self, node: ir.Node) -> Support:
        """Look the node up in the table of builders."""
        from irconv_torchscript.registry import refusal

        return refusal(node)

    def check(self, model: ir.Model, shapes: Mapping[str, DimRange]) -> list[Diagnostic]:
        """Check the nodes and the interface of the model and of bodies."""
        from irconv_torchscript.checks import check_form, check_interface

        found = [*check_interface(model), *super().check(model, shapes)]
        return [*found, *check_form(model)] if self.form == "pt2" else found

    def emit(self, model: ir.Model, directory: Path, request: EmitRequest) -> Artifact:
        """Write ``model.pt`` or ``model.pt2``."""
        from irconv.errors import UnsupportedError
        from irconv.verify.precision import model_precision
        from irconv_torchscript.emit import write_exported, write_scripted

        diagnostics = self.check(model, request.shapes)
        if diagnostics:
            raise UnsupportedError(self.name, diagnostics, where="check")
        if self.form == "pt2":
            main, interface = write_exported(model, directory, request.shapes)
        else:
            main, interface = write_scripted(model, directory)
        version = ".".join(importlib.metadata.version("torch").split(".")[:2])
        return Artifact(
            main=main,
            precision=model_precision(model),
            requires={"runtime": "torch", "version": f">={version}", "device": "CPU"},
            data=interface,
        )

    def runner(self, directory: Path, artifact: Artifact) -> Runner:
        """Open the artifact in torch."""
        from irconv_torchscript.runner import TorchRunner

        return TorchRunner(directory, artifact)


_DTYPES = frozenset(
    {
        "float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8",
        "uint64", "uint32", "uint16", "uint8", "bool", "int4", "uint4",
        "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz",
    }
)  # fmt: skip
