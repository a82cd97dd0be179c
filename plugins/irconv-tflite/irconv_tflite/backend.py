"""The target ``tflite``: a TFLite FlatBuffer, run by LiteRT's interpreter."""

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

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import onnx_ir as ir

    from irconv.errors import Diagnostic
    from irconv.runtime.base import Runner
    from irconv.shapes import DimRange

__all__ = ["TfliteBackend"]

_DTYPES = frozenset(
    {
        "float32", "float16", "float64", "int64", "int32", "int16", "int8", "uint64", "uint32",
        "uint16", "uint8", "bool",
    }
)  # fmt: skip


_LOWERING = (
    "expand-for-tflite",
    "infer-shapes",
    "decompose-for-tflite",
    "unroll-loops",
    "inline-branches",
    "infer-shapes",
)
"""Run several times, since the result of one may hold what another replaces."""


@dataclass(frozen=True)
class TfliteBackend(Backend):
    """Target ``tflite``.

    Attributes:
        precision: ``f16`` stores float32 constants in 16 bits; kernels still compute in float32.
        layout: ``nhwc`` gives inputs and outputs that the graph transposes anyway as NHWC.
        form: ``c-array`` writes C source with the same bytes beside the file.
        quantize: ``weight-int8`` stores weights as int8, by the pass ``quantize-weights``, whose
            effect is measured; ``dynamic-int8`` has ai-edge-quantizer quantize the written
            file, which is judged as float32. Models that hold QuantizeLinear need no option.
    """

    name: ClassVar[str] = "tflite"
    summary: ClassVar[str] = "TFLite FlatBuffer, run by LiteRT with XNNPACK"

    precision: Literal["f32", "f16"] = "f32"
    layout: Literal["source", "nhwc"] = "source"
    form: Literal["flatbuffer", "c-array"] = "flatbuffer"
    quantize: Literal["none", "dynamic-int8", "weight-int8"] = "none"

    def __post_init__(self) -> None:
        """Check that the options go together.

        Raises:
            ValueError: If they do not.
        """
        if self.quantize != "none" and self.precision != "f32":
            raise ValueError("quantize= works on a float32 file; leave out precision=f16")

    def available(self) -> Availability:
        """LiteRT must be installed; it runs on every CPU."""
        try:
            version = importlib.metadata.version("ai-edge-litert")
        except importlib.metadata.PackageNotFoundError:
            return Availability(
                False, "ai-edge-litert is not installed", "pip install ai-edge-litert"
            )
        return Availability(True, f"ai-edge-litert {version}, CPU")

    def abilities(self) -> Abilities:
        """What the emitters read."""
        return Abilities(opset=28, ir_version=13, dynamic_shapes=True, dtypes=_DTYPES)

    def legalization(self) -> tuple[str, ...]:
        """Bring the model into the operators that have emitters."""
        return (
            "inline-functions",
            "convert-opset{to=28}",
            "infer-shapes",
            "fold-constants",
            *(("quantize-weights",) if self.quantize == "weight-int8" else ()),
            "decompose-sequences",
            "infer-shapes",
            *_LOWERING,
            "type-bodies",
            "infer-shapes",
            *_LOWERING,
            "type-bodies",
            "infer-shapes",
            *_LOWERING,
            "fold-padding",
            "convert-layout",
            "infer-shapes",
            "fold-constants",
            "infer-shapes",
            "convert-layout",
            "eliminate-dead-code",
        )

    def supports(self, node: ir.Node) -> Support:
        """Try the emitter of the node, without writing anything."""
        from irconv_tflite.emit.lower import refusal_of

        refusal = refusal_of(node)
        if refusal is None:
            return Support(True)
        return Support(False, refusal.code, refusal.reason, refusal.way_out)

    def check(self, model: ir.Model, shapes: Mapping[str, DimRange]) -> list[Diagnostic]:
        """Lower the whole model, without reading a weight or writing anything."""
        from irconv_tflite.emit.lower import check_model

        del shapes
        return check_model(model, half=self.precision == "f16")

    def emit(self, model: ir.Model, directory: Path, request: EmitRequest) -> Artifact:
        """Write ``model.tflite``, and C source of it where that is asked for."""
        from irconv_tflite.emit.c_array import HEADER, SOURCE, write_c_array
        from irconv_tflite.emit.write import MODEL, write_model

        del request
        half = self.precision == "f16"
        data = write_model(model, directory, half=half, channels_last=self.layout == "nhwc")
        requires = {
            "runtime": "litert",
            "version": f">={importlib.metadata.version('ai-edge-litert').split('.')[0]}.0",
            "device": "CPU",
        }
        notes = ["constants are stored in 16 bits, rounded"] if half else []
        if self.quantize == "dynamic-int8":
            from irconv_tflite.emit.quantizer import quantize_file

            quantize_file(directory / MODEL)
            notes.append(_QUANTIZED_NOTE)
        else:
            requires["min_runtime_version"] = data["min_runtime_version"]
        if self.form == "c-array":
            write_c_array(directory / MODEL, directory)
            notes.append(f"{HEADER} and {SOURCE} hold the bytes of {MODEL}, which was run")
        return Artifact(
            main=MODEL,
            precision="float16" if half else "float32",
            requires=requires,
            notes=(*notes, *_caveats(model)),
            data=data,
        )

    def runner(self, directory: Path, artifact: Artifact) -> Runner:
        """Open the model in LiteRT's interpreter."""
        from irconv_tflite.runner import TfliteRunner

        return TfliteRunner(directory, artifact)


_QUANTIZED_NOTE = (
    "quantized by ai-edge-quantizer after emitting; outputs are judged against the unquantized "
    "source, so publishing it may need --allow-mismatch"
)


def _caveats(model: ir.Model) -> list[str]:
    from irconv.graph.walk import all_graphs

    found = any(
        value.dtype is not None and value.dtype.name == "DOUBLE"
        for graph in all_graphs(model)
        for value in (*graph.inputs, *(output for node in graph for output in node.outputs))
    )
    return ["float64 is computed in float32: LiteRT has no kernels for it"] if found else []
