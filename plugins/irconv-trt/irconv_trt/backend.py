"""Target ``trt``: a TensorRT-RTX engine for named GPUs, built without one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from irconv.backends.base import (
    Abilities,
    Artifact,
    Availability,
    Backend,
    EmitRequest,
    Precision,
    Support,
)
from irconv.errors import Diagnostic, UnsupportedError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    import onnx_ir as ir

    from irconv.runtime.base import Runner
    from irconv.shapes import DimRange

__all__ = ["ENGINE", "GRAPH", "TrtBackend"]

ENGINE = "model.engine"
GRAPH = "graph.onnx"
_NAMED = (75, 80, 86, 89, 120, 121)


@dataclass(frozen=True)
class TrtBackend(Backend):
    """Target ``trt``.

    The artifact holds the engine and ``graph.onnx``, the exact graph that was handed to the
    parser: it is what a machine without the right GPU can run to verify.

    Attributes:
        sm: Compute capabilities that the engine is for, all in one file; or ``current`` for the
            GPU of this machine. TensorRT-RTX 1.7 can name 75, 80, 86, 89, 120 and 121; others,
            such as 90 and 100, only by ``current`` on that GPU.
        precision: ``fp16`` converts the model to float16, keeping its inputs and outputs and
            the operators of ``keep``. int8 comes with the model, as quantize and dequantize
            nodes.
        keep: Operator types that stay in float32 under ``fp16``; None for those that overflow
            or lose most.
        asymmetric: What to do about quantization with a zero point other than 0, which TensorRT
            does not have: refuse it, or compute it in floating point, with the same results but
            without the speed of int8.
        tf32: Let matrix products of float32 round their inputs to 10-bit mantissas.
        weights: ``stripped`` leaves the weights out of the engine, to be refitted; that needs a
            GPU at build time.
        workspace_mib: The most GPU memory, in MiB, that a layer may use for scratch; None for
            no limit.
        flavor: ``classic`` uses the package ``tensorrt``, which builds for the GPU at hand.
    """

    name: ClassVar[str] = "trt"
    summary: ClassVar[str] = "TensorRT-RTX engine for NVIDIA GPUs, built without one"

    sm: tuple[int | str, ...] = (80, 86, 89, 120, 121)
    precision: Literal["fp32", "fp16"] = "fp32"
    keep: tuple[str, ...] | None = None
    asymmetric: Literal["refuse", "float"] = "refuse"
    tf32: bool = False
    weights: Literal["full", "stripped"] = "full"
    workspace_mib: int | None = None
    flavor: Literal["rtx", "classic"] = "rtx"

    def __post_init__(self) -> None:
        """Refuse capabilities that cannot be named."""
        unknown = [sm for sm in self.sm if sm != "current" and sm not in _NAMED]
        if unknown or not self.sm:
            names = ", ".join(str(sm) for sm in unknown) or "an empty list"
            known = ", ".join(str(sm) for sm in _NAMED)
            raise UsageError(
                f"TensorRT-RTX cannot name the compute capability {names}",
                where="target trt, option sm",
                hint=f"it can name {known}; for any other, compile on a machine with that GPU "
                "and sm=current",
            )
        if "current" in self.sm and len(self.sm) > 1:
            raise UsageError(
                "sm=current cannot be mixed with named compute capabilities",
                where="target trt, option sm",
            )
        if self.workspace_mib is not None and self.workspace_mib < 1:
            raise UsageError("workspace_mib must be at least 1", where="target trt")
        wrong = [kind for kind in self.keep or () if not re.fullmatch(r"[A-Za-z]\w*", kind)]
        if wrong:
            raise UsageError(f"{wrong[0]!r} is no operator type", where="target trt, option keep")

    def compute_capabilities(self) -> list[str]:
        """Return the names that the builder has for :attr:`sm`, such as ``SM89``."""
        return ["CURRENT" if sm == "current" else f"SM{sm}" for sm in self.sm]

    def available(self) -> Availability:
        """Say whether engines can be built here."""
        from irconv_trt.sdk import availability

        return availability(self.flavor)

    def abilities(self) -> Abilities:
        """Say what an engine can do."""
        return Abilities(opset=_OPSET, ir_version=_IR_VERSION, dynamic_shapes=True, dtypes=_DTYPES)

    def legalization(self) -> tuple[str, ...]:
        """Replace what TensorRT lacks, fit quantization to it, convert to float16 if asked.

        Models of before opset 18 are raised to it, where decompositions begin. Function bodies
        come before that too, since those of an older opset do not hold in a newer one.
        """
        expand = f"expand-functions{{ops=[{','.join(_EXPANDED)}]}}"
        specs = [
            expand,
            "convert-opset{to=18,below=18}",
            expand,
            "infer-shapes",
            "legalize-trt",
            "infer-shapes",
            "legalize-trt",
            "infer-shapes",
            "fold-constants",
            "rewrite-uint8-qdq",
            "fold-bias-dequantize",
        ]
        if self.asymmetric == "float":
            specs.append("expand-asymmetric-qdq")
        if self.precision == "fp16":
            keep = "" if self.keep is None else f"{{keep=[{','.join(self.keep)}]}}"
            specs.append(f"convert-float16{keep}")
        return tuple(specs)

    def supports(self, node: ir.Node) -> Support:
        """Say whether TensorRT-RTX takes ``node``."""
        from irconv_trt.support import support_of

        return support_of(node, [sm for sm in self.sm if isinstance(sm, int)])

    def check(self, model: ir.Model, shapes: Mapping[str, DimRange]) -> list[Diagnostic]:
        """Return unsupported nodes, inputs that size others, and sizes that have no range.

        A call of a local function is judged by the nodes of the function, not by its name.
        """
        from irconv_trt.profiles import missing_ranges
        from irconv_trt.sizing import sizing_diagnostics

        calls = {f"{domain}::{name}" for domain, name, _ in model.functions}
        diagnostics = [
            diagnostic for diagnostic in self._check_nodes(model) if diagnostic.op not in calls
        ]
        return [
            *self._check_opset(model),
            *missing_ranges(model, shapes),
            *sizing_diagnostics(model),
            *diagnostics,
        ]

    @staticmethod
    def _check_opset(model: ir.Model) -> list[Diagnostic]:
        opset = model.opset_imports.get("", _OPSET)
        if opset >= _OLDEST_OPSET:
            return []
        return [
            Diagnostic(
                "OLD_OPSET",
                f"the model is of opset {opset}, and TensorRT reads those from {_OLDEST_OPSET} on",
                way_out=f"raise it first, for example with --passes 'convert-opset{{to={_OPSET}}}'",
            )
        ]

    def emit(self, model: ir.Model, directory: Path, request: EmitRequest) -> Artifact:
        """Write ``graph.onnx`` and the engine built from exactly its bytes."""
        from irconv.graph.interface import input_specs, output_specs
        from irconv.graph.serialize import save_model
        from irconv_trt.engine import build_engine
        from irconv_trt.header import read_header
        from irconv_trt.profiles import profile_of
        from irconv_trt.sdk import load

        diagnostics = self.check(model, request.shapes)
        if diagnostics:
            raise UnsupportedError(self.name, diagnostics, where="emit")
        sdk = load(self.flavor)
        save_model(model, directory / GRAPH)
        inputs, outputs = input_specs(model), output_specs(model)
        built = build_engine(
            sdk,
            self,
            directory / GRAPH,
            directory / ENGINE,
            profile_of(model, request.shapes),
            inputs,
            outputs,
        )
        version = sdk.version
        if self.flavor == "rtx":
            version = read_header(directory / ENGINE).version
        return Artifact(
            main=ENGINE,
            precision=self._precision(model),
            requires={"runtime": sdk.runtime, "version": version, "device": self._device()},
            notes=(*self._notes(version), *built.notes),
            data={
                "inputs": dict(zip([spec.name for spec in inputs], built.inputs, strict=True)),
                "outputs": dict(zip([spec.name for spec in outputs], built.outputs, strict=True)),
            },
        )

    def _device(self) -> str:
        if self.flavor == "classic" or "current" in self.sm:
            return "NVIDIA GPU of the kind that it was built on"
        known = ", ".join(f"{sm // 10}.{sm % 10}" for sm in self.sm if isinstance(sm, int))
        return f"NVIDIA GPU with compute capability in [{known}]"

    def _notes(self, version: str) -> tuple[str, ...]:
        if self.flavor == "classic" or "current" in self.sm:
            return ()
        return (
            f"TensorRT-RTX {version} builds the same bytes again from the same graph and options",
        )

    def _precision(self, model: ir.Model) -> Precision:
        from irconv.graph.walk import all_nodes
        from irconv.verify.precision import model_precision

        found = model_precision(model)
        if found != "float32":
            return found
        if any(node.op_type == "QuantizeLinear" for node in all_nodes(model)):
            return "int8"
        return "tf32" if self.tf32 else found

    def runner(self, directory: Path, artifact: Artifact) -> Runner:
        """Run the engine on a GPU that it is for, or else the graph it was built from."""
        from irconv_trt.runner import open_runner

        return open_runner(self, directory, artifact)


_EXPANDED = (
    "AffineGrid", "Attention", "CausalConvWithState", "Celu", "CenterCropPad", "LinearAttention",
    "NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss", "SwiGLU",
)  # fmt: skip
"""Operators that TensorRT-RTX lacks, or builds in few forms only, and whose bodies it takes."""
_OPSET = 23
_OLDEST_OPSET = 7
_IR_VERSION = 12
_DTYPES = frozenset(
    {"float32", "float16", "bfloat16", "int64", "int32", "int8", "bool", "float8_e4m3fn", "int4"}
)
