"""The target ``executorch``: a program for phones and microcontrollers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from irconv.backends.base import Abilities, Artifact, Availability, Backend, EmitRequest, Support
from irconv_torchscript.backend import TorchscriptBackend
from irconv_torchscript.executorch.sdk import WAY_OUT, version

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import onnx_ir as ir

    from irconv.errors import Diagnostic
    from irconv.runtime.base import Runner
    from irconv.shapes import DimRange

__all__ = ["ExecutorchBackend"]

_EXPORTED = TorchscriptBackend(form="pt2")


@dataclass(frozen=True)
class ExecutorchBackend(Backend):
    """Target ``executorch``.

    A program is lowered from the same module as the target ``torchscript``, and takes what
    ``torchscript{form=pt2}`` takes, with bounded dimensions.

    Attributes:
        delegate: ``xnnpack`` gives to XNNPACK what it takes; ``portable`` uses ExecuTorch's own
            kernels alone.
    """

    name: ClassVar[str] = "executorch"
    summary: ClassVar[str] = "ExecuTorch program (.pte), run by ExecuTorch with XNNPACK"

    delegate: Literal["xnnpack", "portable"] = "xnnpack"

    def available(self) -> Availability:
        """ExecuTorch must be installed; its runtime for Python runs on the CPU."""
        found = version()
        if found is None:
            return Availability(False, "executorch is not installed", WAY_OUT)
        return Availability(True, f"executorch {found}, CPU")

    def abilities(self) -> Abilities:
        """What the module builder reads; dimensions must be bounded."""
        return _EXPORTED.abilities()

    def legalization(self) -> tuple[str, ...]:
        """Fit the model to the module builder."""
        return _EXPORTED.legalization()

    def supports(self, node: ir.Node) -> Support:
        """Look the node up in the table of builders."""
        return _EXPORTED.supports(node)

    def check(self, model: ir.Model, shapes: Mapping[str, DimRange]) -> list[Diagnostic]:
        """Check what torch.export lacks, then open dimensions, dtypes, ranks, kernels."""
        from irconv_torchscript.executorch.checks import (
            check_dimensions,
            check_dtypes,
            check_kernels,
            check_ranks,
        )

        return [
            *_EXPORTED.check(model, shapes),
            *check_dimensions(model, shapes),
            *check_dtypes(model),
            *check_ranks(model, self.delegate),
            *check_kernels(model),
        ]

    def emit(self, model: ir.Model, directory: Path, request: EmitRequest) -> Artifact:
        """Write ``model.pte``."""
        from irconv.errors import UnsupportedError
        from irconv.verify.precision import model_precision
        from irconv_torchscript.executorch.lower import MODEL, write_program

        diagnostics = self.check(model, request.shapes)
        if diagnostics:
            raise UnsupportedError(self.name, diagnostics, where="check")
        data = write_program(model, directory, request.shapes, self.delegate)
        return Artifact(
            main=MODEL,
            precision=model_precision(model),
            requires={
                "runtime": "executorch",
                "version": f">={version()}",
                "device": "CPU",
                "delegate": self.delegate,
            },
            data=data,
        )

    def runner(self, directory: Path, artifact: Artifact) -> Runner:
        """Open the program in ExecuTorch's runtime."""
        from irconv_torchscript.executorch.runner import ExecutorchRunner

        return ExecutorchRunner(directory, artifact)
