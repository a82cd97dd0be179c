"""Compiling a generated model for several targets, by the public API, in one record a target."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import irconv
from architectures.shapes import shape_options
from irconv.errors import BackendError, ExitCode, IrconvError, UnsupportedError
from irconv.results import TargetResult
from irconv.spec import parse_spec

__all__ = ["compile_for"]

_MIB = 1 << 20


def compile_for(path: Path, targets: list[str], seconds: float) -> dict[str, dict[str, Any]]:
    """Compile ``path`` and prove each artifact on the samples beside it.

    Args:
        path: An ONNX file that :func:`architectures.export.export` wrote.
        targets: Target specs.
        seconds: The longest that one step of a worker may take.

    Returns:
        By target name: ``status``, which is ``pass``, ``refused: CODES`` or ``fail: words``, and
        for what passes ``level``, ``seconds`` of legalizing and emitting, ``mib`` of memory of
        the target's worker and ``bytes`` of the artifact.
    """
    with tempfile.TemporaryDirectory(prefix="irconv-zoo-") as scratch:
        try:
            result = irconv.compile(
                path,
                targets,
                scratch,
                data=str(path.with_suffix(".npz")),
                shapes=tuple(shape_options(path)),
                timeout=seconds,
            )
        except IrconvError as error:
            return {parse_spec(text).name: {"status": _failure(error)} for text in targets}
        return {parse_spec(entry.target).name: _record(entry) for entry in result.targets}


def _record(result: TargetResult) -> dict[str, Any]:
    if result.error is not None:
        return {"status": _failure(result.error)}
    assert result.manifest is not None
    manifest = result.manifest
    return {
        "status": "pass",
        "level": manifest["verification"]["level"],
        "seconds": round(manifest["seconds"]["legalize"] + manifest["seconds"]["emit"], 2),
        "mib": round(manifest["backend_rss_bytes"] / _MIB),
        "bytes": sum(entry["bytes"] for entry in manifest["artifact"]["files"]),
    }


def _failure(error: IrconvError) -> str:
    if isinstance(error, UnsupportedError):
        codes = sorted({diagnostic.code for diagnostic in error.diagnostics})
        nodes = sorted({diagnostic.op for diagnostic in error.diagnostics if diagnostic.op})
        return f"refused: {', '.join(codes)}" + (f" ({', '.join(nodes)})" if nodes else "")
    kind = "crash" if isinstance(error, BackendError) else ExitCode(error.exit_code).name.lower()
    return f"fail: {kind}: {error.what.splitlines()[0][:200]}"
