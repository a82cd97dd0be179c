"""The target ``openvino``: OpenVINO IR, run by OpenVINO's runtime."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from irconv.backends.base import (
    Abilities,
    Artifact,
    Availability,
    Backend,
    EmitRequest,
    Precision,
    Support,
)
from irconv.errors import UsageError
from irconv_openvino.dtypes import ELEMENT_TYPES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import onnx_ir as ir

    from irconv.errors import Diagnostic
    from irconv.runtime.base import Runner
    from irconv.shapes import DimRange

__all__ = ["OpenvinoBackend"]

_PRECISIONS: dict[str, Precision] = {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}
_ROUNDING = ("CPU", "GPU")
"""Devices that, unless told otherwise, keep a key-value cache in fewer bits, and round what
integer weights are multiplied by to 8 bits."""
_COARSENESS: tuple[Precision, ...] = ("float64", "float32", "tf32", "float16", "bfloat16")


@dataclass(frozen=True)
class OpenvinoBackend(Backend):
    """Target ``openvino``.

    Attributes:
        precision: What the device computes floating-point operators in.
        compress: Store floating-point weights in 16 bits; halves the file, rounds the weights.
        device: OpenVINO's name of the device that runs it.
        stateful: Keep states inside of the model, so that each step takes what the one before
            gave: ``true`` for the inputs and outputs whose names tell that they are one, such as
            those of a key-value cache; or pairs, ``[h0:hn,c0:cn]``.
    """

    name: ClassVar[str] = "openvino"
    summary: ClassVar[str] = "OpenVINO IR (.xml and .bin), run by OpenVINO"

    precision: Literal["f32", "f16", "bf16"] = "f32"
    compress: bool = False
    device: str = "CPU"
    stateful: tuple[bool | str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a mixture of ``true`` and pairs; ``false`` is no state at all."""
        if self.stateful == (False,):
            object.__setattr__(self, "stateful", ())
        if len(self.stateful) > 1 and not all(isinstance(pair, str) for pair in self.stateful):
            raise UsageError(
                "stateful takes true, or pairs input:output, not both",
                where="target openvino, option stateful",
            )

    def available(self) -> Availability:
        """OpenVINO must be installed; its CPU device runs everywhere."""
        try:
            version = importlib.metadata.version("openvino")
        except importlib.metadata.PackageNotFoundError:
            return Availability(False, "openvino is not installed", "pip install openvino")
        return Availability(True, f"openvino {version}, {self.device}")

    def avoids(self) -> frozenset[str]:
        """OpenVINO's importer takes all that the levels put together."""
        return frozenset()

    def abilities(self) -> Abilities:
        """What OpenVINO's importer reads and its devices compute with."""
        return Abilities(
            opset=21, ir_version=12, dynamic_shapes=True, dtypes=frozenset(ELEMENT_TYPES)
        )

    def legalization(self) -> tuple[str, ...]:
        """Inline functions, replace what OpenVINO lacks, and guard int8 against its errors.

        Models of before opset 18 are raised to it, where decompositions begin. The replacement
        runs twice, for bodies that use what it lacks themselves.
        """
        return (
            "convert-opset{to=18,below=18}",
            "inline-functions",
            "infer-shapes",
            "legalize-openvino",
            "infer-shapes",
            "legalize-openvino",
            "infer-shapes",
            "restore-infinities",
            "fold-constants",
            "eliminate-dead-code",
            "rewrite-int8-concat",
            "insert-int8-barriers",
        )

    def supports(self, node: ir.Node) -> Support:
        """Look the node up among what OpenVINO is known not to take, or to get wrong."""
        from irconv_openvino.support import refusal

        return refusal(node)

    def check(self, model: ir.Model, shapes: Mapping[str, DimRange]) -> list[Diagnostic]:
        """Check the nodes, and the inputs and outputs of the model and of bodies."""
        from irconv_openvino.checks import check_interface

        return [*check_interface(model), *super().check(model, shapes)]

    def emit(self, model: ir.Model, directory: Path, request: EmitRequest) -> Artifact:
        """Write ``model.xml`` and ``model.bin``."""
        from irconv_openvino.emit import MODEL, write_ir

        data = write_ir(
            model, directory, request.shapes, compress=self.compress, stateful=self.stateful
        )
        requires: dict[str, Any] = {
            "runtime": "openvino",
            "version": f">={importlib.metadata.version('openvino').split('.')[0]}.0",
            "device": self.device,
            "config": self._config(model),
        }
        if self.stateful:
            requires["states"] = [
                {key: state[key] for key in ("name", "input", "output")} for state in data["states"]
            ]
        return Artifact(
            main=MODEL,
            precision=self._judged_precision(model),
            requires=requires,
            notes=(*self._notes(model), *_caveats(model)),
            data=data,
        )

    def _config(self, model: ir.Model) -> dict[str, Any]:
        config: dict[str, Any] = {"INFERENCE_PRECISION_HINT": self.precision}
        if self.device.split(".")[0] not in _ROUNDING:
            return config
        if self.stateful:
            config["KV_CACHE_PRECISION"] = self.precision
        if _packs_weights(model):
            config["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = 0
        return config

    def _notes(self, model: ir.Model) -> tuple[str, ...]:
        hint = f"INFERENCE_PRECISION_HINT={self.precision}"
        notes = [
            f"compile it with {hint}: left alone, OpenVINO computes in bf16 or f16 where it can"
        ]
        if self.stateful:
            notes.append(
                "it keeps states: they begin as zeros, empty where they grow, and do so again "
                "after InferRequest.reset_state(); it was verified step by step from given states"
            )
        if "DYNAMIC_QUANTIZATION_GROUP_SIZE" in self._config(model):
            notes.append(
                "compile it with DYNAMIC_QUANTIZATION_GROUP_SIZE=0: left alone, OpenVINO rounds "
                "what integer weights are multiplied by to 8 bits; that is faster, and coarser"
            )
        if self.compress:
            notes.append("floating-point weights are stored in 16 bits, rounded")
        return tuple(notes)

    def _judged_precision(self, model: ir.Model) -> Precision:
        from irconv.verify.precision import model_precision

        candidates = [model_precision(model), _PRECISIONS[self.precision]]
        if self.compress:
            candidates.append("float16")
        judged = max(candidates, key=_COARSENESS.index)
        return "int8" if judged == "float32" and _quantizes(model) else judged

    def runner(self, directory: Path, artifact: Artifact) -> Runner:
        """Open the artifact on its device, with the precision it was made for."""
        from irconv_openvino.runner import OpenvinoRunner

        return OpenvinoRunner(directory, artifact)


def _quantizes(model: ir.Model) -> bool:
    from irconv.graph.walk import all_nodes

    return any(node.op_type == "QuantizeLinear" for node in all_nodes(model))


def _packs_weights(model: ir.Model) -> bool:
    """Say whether weights are stored as integers of at most 8 bits and dequantized."""
    from irconv.graph.constants import constant_tensor
    from irconv.graph.walk import all_nodes

    for node in all_nodes(model):
        if node.op_type == "DequantizeLinear":
            tensor = constant_tensor(node.inputs[0])
            if tensor is not None and tensor.dtype.itemsize <= 1:
                return True
    return False


def _caveats(model: ir.Model) -> list[str]:
    """Name the special cases in which OpenVINO's numbers differ, once an operator."""
    from irconv.graph.walk import all_nodes
    from irconv_openvino.support import caveat

    found: dict[str, str] = {}
    for node in all_nodes(model):
        text = caveat(node)
        if text:
            found.setdefault(node.op_type, text)
        if any(value.dtype is not None and value.dtype.name == "DOUBLE" for value in node.outputs):
            found.setdefault("float64", _DOUBLE)
    return [f"{what}: {text}" for what, text in sorted(found.items())]


_DOUBLE = "it is computed in float32, and its infinities become the largest float32"
