"""Forms of a graph that ONNX Runtime can run where it lacks kernels for the graph itself."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from irconv.errors import IrconvError
from irconv.runtime.onnxruntime import OnnxRuntimeRunner

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx_ir as ir

__all__ = ["runnable_form"]

_NATIVE = ("float32", "float16", "int8", "int32", "int64", "bool", "uint8")


def runnable_form(graph: Path) -> tuple[OnnxRuntimeRunner, str] | None:
    """Open a form of the ONNX file ``graph`` that means the same; None if there is none.

    First operators are replaced by their function bodies or converted to another opset, then
    dtypes are computed in a wider one and rounded after each operator.

    Returns:
        The runner, and what was done, as words behind "was run".
    """
    from irconv.graph.reading.load import load_model
    from irconv.graph.serialize import save_model
    from irconv.passes.fit_onnxruntime import fitted

    model = load_model(graph).model
    forms: tuple[tuple[Callable[[], ir.Model | None], str], ...] = (
        (lambda: fitted(model), ", some operators by their function bodies"),
        (lambda: _widened(model), ", with bfloat16 computed in float32 and rounded"),
    )
    for make, words in forms:
        form = make()
        if form is None:
            continue
        with tempfile.TemporaryDirectory(prefix="irconv-trt-") as folder:
            path = Path(folder, "graph.onnx")
            save_model(form, path)
            try:
                return OnnxRuntimeRunner(path, optimize=False), words
            except IrconvError:
                continue
    return None


def _widened(model: ir.Model) -> ir.Model | None:
    from irconv.passes.base import PassContext
    from irconv.passes.decompose.emulate_dtypes import EmulateDtypes
    from irconv.passes.infer_shapes import InferShapes

    work = model.clone()
    InferShapes().run(work, PassContext())
    done = EmulateDtypes(native=_NATIVE, rounded=True).run(work, PassContext())
    return work if done.modified else None
