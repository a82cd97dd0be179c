"""The target ``reference``: an ONNX model, run by the reference evaluator of ONNX.

``onnx.reference`` computes every operator in plain NumPy as the ONNX specification says. It is
slow and needs nothing that is not installed with irconv anyway.
"""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from irconv.backends.base import (
    Abilities,
    Artifact,
    Availability,
    Backend,
    EmitRequest,
    Support,
)
from irconv.errors import Diagnostic, UnsupportedError

if TYPE_CHECKING:
    from pathlib import Path

    import onnx_ir as ir

    from irconv.runtime.base import Runner

__all__ = ["ReferenceBackend"]

_MODEL = "model.onnx"
_DTYPES = frozenset(
    {
        "float64", "float32", "float16", "bool", "int64", "int32", "int16", "int8",
        "uint64", "uint32", "uint16", "uint8",
    }
)  # fmt: skip


@dataclass(frozen=True)
class ReferenceBackend(Backend):
    """Target ``reference``.

    Attributes:
        strict: Have ``onnx.checker`` examine the written file, and refuse what it refuses.
    """

    name: ClassVar[str] = "reference"
    summary: ClassVar[str] = "ONNX model, run by the reference evaluator of ONNX in NumPy"

    strict: bool = True

    def available(self) -> Availability:
        """Look the version up without importing the package."""
        try:
            version = importlib.metadata.version("onnx")
        except importlib.metadata.PackageNotFoundError:
            return Availability(False, "the package onnx is missing", "pip install onnx")
        return Availability(True, f"onnx.reference {version}, CPU")

    def abilities(self) -> Abilities:
        """Say what passes may count on: dynamic shapes, and the dtypes that NumPy has."""
        return Abilities(opset=24, ir_version=12, dynamic_shapes=True, dtypes=_DTYPES)

    def legalization(self) -> tuple[str, ...]:
        """Multiply instead of dividing where the result is the same: NumPy does it faster."""
        return ("replace-div-by-constant",)

    def supports(self, node: ir.Node) -> Support:
        """Take the standard operators that the evaluator implements, in dtypes of NumPy."""
        from irconv.graph.interface import dtype_text

        if node.domain != "":
            return Support(
                False,
                code="UNSUPPORTED_DOMAIN",
                reason=f"the evaluator knows no operators of domain {node.domain!r}",
                way_out="express it by standard ONNX operators",
            )
        if not _is_implemented(node.op_type, node.version):
            return Support(
                False,
                code="UNSUPPORTED_OP",
                reason=f"the evaluator does not implement {node.op_type}",
                way_out="compile for the target onnx, or replace the operator",
            )
        for value in (*node.inputs, *node.outputs):
            if value is not None and value.dtype and dtype_text(value.dtype) not in _DTYPES:
                return Support(
                    False,
                    code="UNSUPPORTED_DTYPE",
                    reason=f"value {value.name!r} is {dtype_text(value.dtype)}, which NumPy lacks",
                    way_out="export the model in float32",
                )
        return Support(True)

    def emit(self, model: ir.Model, directory: Path, request: EmitRequest) -> Artifact:
        """Write ``model.onnx``; nothing in ``request`` matters, because shapes stay open.

        Raises:
            UnsupportedError: If ``onnx.checker`` refuses the model.
        """
        from irconv.graph.serialize import save_model
        from irconv.verify.precision import model_precision

        del request
        save_model(model, directory / _MODEL)
        if self.strict:
            self._examine(directory / _MODEL)
        return Artifact(
            main=_MODEL,
            precision=model_precision(model),
            requires={"runtime": "onnx", "version": ">=1.21", "device": "CPU"},
        )

    def _examine(self, path: Path) -> None:
        import onnx

        try:
            onnx.checker.check_model(str(path), full_check=True)
        except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
            diagnostic = Diagnostic("INVALID_MODEL", str(error), way_out="mend the source model")
            raise UnsupportedError(str(self), [diagnostic], where="onnx.checker") from error

    def runner(self, directory: Path, artifact: Artifact) -> Runner:
        """Open the model in the evaluator."""
        from irconv_example.reference_runner import ReferenceRunner

        return ReferenceRunner(directory / artifact.main)


def _is_implemented(op_type: str, version: int | None) -> bool:
    from onnx.reference import ReferenceEvaluator
    from onnx.reference.op_run import RuntimeContextError
    from onnx.reference.ops import load_op

    try:
        load_op("", op_type, version, evaluator_cls=ReferenceEvaluator)
    except RuntimeContextError:
        return True  # ONNX defines it by a function whose body depends on the input types
    except (NotImplementedError, RuntimeError):
        return False
    return True
