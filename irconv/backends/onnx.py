"""The reference backend: an optimized ONNX model, run by ONNX Runtime."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from irconv.backends.base import (
    Abilities,
    Artifact,
    Availability,
    Backend,
    EmitRequest,
    Precision,
    Support,
)
from irconv.errors import Diagnostic

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import onnx_ir as ir

    from irconv.runtime.base import Runner
    from irconv.shapes import DimRange

__all__ = ["OnnxBackend"]

_MODEL = "model.onnx"
_QUANTIZED_NOTE = (
    "open it with the session configuration session.qdq_matmulnbits_accuracy_level=1: left alone, "
    "ONNX Runtime rounds activations to int8 where weights are dequantized"
)


@dataclass(frozen=True)
class OnnxBackend(Backend):
    """Target ``onnx``.

    Attributes:
        opset: Convert the model to this opset first; None keeps the source's.
        external_data: Put weights into a file of their own even where one file would do.
    """

    name: ClassVar[str] = "onnx"
    summary: ClassVar[str] = "optimized ONNX model, run by ONNX Runtime"

    opset: int | None = None
    external_data: bool = False

    def available(self) -> Availability:
        """ONNX Runtime is a dependency of the core."""
        version = importlib.metadata.version("onnxruntime")
        return Availability(True, f"onnxruntime {version}, CPU")

    def avoids(self) -> frozenset[str]:
        """ONNX Runtime has kernels for all that the levels put together."""
        return frozenset()

    def abilities(self) -> Abilities:
        """ONNX Runtime computes in every ONNX dtype that some kernel takes."""
        return Abilities(opset=self.opset or 24, ir_version=12, dynamic_shapes=True, dtypes=_DTYPES)

    def optimization(self) -> tuple[str, ...]:
        """Use ONNX Runtime's own operators where their kernels were measured to be faster."""
        if self.opset:
            return ()
        return (
            "lower-swish",
            "lower-group-normalization",
            "fuse-conv-activation",
            "fuse-matmul-transpose",
            "fuse-gelu-bias",
            "lower-long-attention",
            "pack-attention",
            "eliminate-dead-code",
            "separate-residual-sum",
        )

    def legalization(self) -> tuple[str, ...]:
        """Convert to the asked opset, else only where ONNX Runtime lacks kernels."""
        if self.opset:
            return (f"convert-opset{{to={self.opset}}}",)
        return ("infer-shapes", "fit-onnxruntime")

    def supports(self, node: ir.Node) -> Support:
        """Take the domains that ONNX Runtime serves; :meth:`check` looks for kernels."""
        if node.domain in _DOMAINS:
            return Support(True)
        return Support(
            False,
            code="UNSUPPORTED_DOMAIN",
            reason=f"ONNX Runtime has no operators of domain {node.domain!r}",
            way_out="express it by standard ONNX operators, or bring it as a local function",
        )

    def check(self, model: ir.Model, shapes: Mapping[str, DimRange]) -> list[Diagnostic]:
        """Check the domains, and that ONNX Runtime has a kernel for every node."""
        from irconv.passes.fit_onnxruntime import kernel_gaps

        diagnostics = super().check(model, shapes)
        if diagnostics:
            return diagnostics
        return [
            Diagnostic(
                code="NO_KERNEL",
                reason=reason,
                node=node.name or "",
                op=f"{node.domain}::{node.op_type}" if node.domain else node.op_type,
                way_out="use another dtype or opset, or a newer ONNX Runtime",
            )
            for node, reason in kernel_gaps(model).items()
        ]

    def emit(self, model: ir.Model, directory: Path, request: EmitRequest) -> Artifact:
        """Write ``model.onnx``, with external data where the weights need it."""
        from irconv.graph.serialize import INLINE_LIMIT, save_model
        from irconv.graph.walk import all_nodes
        from irconv.runtime.onnxruntime import FULL_PRECISION

        del request
        limit = 0 if self.external_data else INLINE_LIMIT
        save_model(model, directory / _MODEL, inline_limit=limit)
        requires: dict[str, Any] = {
            "runtime": "onnxruntime",
            "version": ">=1.24",
            "device": "CPU",
        }
        notes: tuple[str, ...] = ()
        if any(node.op_type == "DequantizeLinear" for node in all_nodes(model)):
            requires["config"] = dict(FULL_PRECISION)
            notes = (_QUANTIZED_NOTE,)
        return Artifact(_MODEL, self._precision(model), requires, notes)

    @staticmethod
    def _precision(model: ir.Model) -> Precision:
        from irconv.verify.precision import model_precision

        return model_precision(model)

    def runner(self, directory: Path, artifact: Artifact) -> Runner:
        """Open the model in ONNX Runtime."""
        from irconv.runtime.onnxruntime import OnnxRuntimeRunner

        return OnnxRuntimeRunner(directory / artifact.main)


_DOMAINS = frozenset(
    {
        "", "ai.onnx", "ai.onnx.ml", "ai.onnx.preview", "ai.onnx.preview.training",
        "ai.onnx.training", "com.microsoft", "com.microsoft.experimental",
        "com.microsoft.nchwc", "com.ms.internal.nhwc",
    }
)  # fmt: skip

_DTYPES = frozenset(
    {
        "float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8",
        "uint64", "uint32", "uint16", "uint8", "bool", "string", "int4", "uint4",
        "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz",
    }
)  # fmt: skip
