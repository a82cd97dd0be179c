"""Importing a source by its frontend, and comparing it with its own framework's outputs."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import irconv
from irconv.errors import ExitCode, IrconvError
from irconv.inspection import inspect_path
from irconv.runtime.values import load_samples
from sources.catalog import Source

__all__ = ["import_source"]

_LETTERS = {"float32": "f32", "int64": "i64", "int32": "i32"}


def import_source(source: Source, path: Path, seconds: float) -> dict[str, Any]:
    """Import ``path`` at ``-O0``, run it in ONNX Runtime, and say how it compares.

    Returns:
        ``frontend``; ``status``, which is ``pass`` or ``fail: words``; ``seconds`` of reading it;
        and for what passes ``nodes``, ``max_abs`` and ``tolerance`` of the worst output.
    """
    samples = path.with_name(f"{source.name}.npz")
    start = time.perf_counter()
    record: dict[str, Any] = {"model": source.model, "form": source.form}
    with tempfile.TemporaryDirectory(prefix="irconv-frontends-") as scratch:
        try:
            record["frontend"] = inspect_path(str(path))["frontend"]
            result = irconv.compile(
                path,
                ["onnx"],
                scratch,
                level=0,
                timeout=seconds,
                inputs=_stated(source, samples),
                data=str(samples) if samples.exists() else None,
            )
        except IrconvError as error:
            return record | {"status": _failure(error, path)}
        target = result.targets[0]
        if target.error is not None:
            return record | {"status": _failure(target.error, path)}
        assert target.manifest is not None
        outputs = target.manifest["verification"]["outputs"]
        worst = max(outputs, key=lambda entry: entry["max_abs"] / (entry["tolerance"] or 1.0))
        return record | {
            "status": "pass",
            "seconds": round(target.manifest["seconds"]["frontend"], 1),
            "total": round(time.perf_counter() - start, 1),
            "max_abs": worst["max_abs"],
            "tolerance": worst["tolerance"],
        }


def _stated(source: Source, samples: Path) -> tuple[str, ...]:
    """Return the inputs of a TorchScript archive as ``--input`` would state them."""
    if source.form != "script":
        return ()
    feeds = load_samples(samples)[0]
    return tuple(
        f"{name}[{','.join(map(str, value.shape))}]{{{_LETTERS[str(value.dtype)]}}}"
        for name, value in feeds.items()
    )


def _failure(error: IrconvError, path: Path) -> str:
    lines = error.what.splitlines()
    words = " ".join(lines[:2] if lines[0].endswith(":") else lines[:1])
    words = words.replace(str(path), path.name)
    kind = ExitCode(error.exit_code).name.lower()
    return f"fail: {kind}: {words[:200]}"
