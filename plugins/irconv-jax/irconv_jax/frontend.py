"""The JAX frontend: functions and Flax modules that trusted code gives.

JAX lives in a worker process. A function of JAX is Python code, so there is no file to judge.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from irconv.backends.base import Availability
from irconv.errors import InputError
from irconv.frontends.base import Frontend, Imported, ImportRequest, SourceInfo
from irconv.frontends.factories import is_factory, untrusted

__all__ = ["JaxFrontend"]

_WHERE = "frontend jax"


@dataclass(frozen=True)
class JaxFrontend(Frontend):
    """Frontend ``jax``, which is used where ``--frontend jax`` asks for it.

    Attributes:
        opset: Opset to write.
    """

    name: ClassVar[str] = "jax"
    summary: ClassVar[str] = "with --frontend jax and --trust, a module:factory of JAX or Flax"
    suffixes: ClassVar[tuple[str, ...]] = ()

    opset: int = 20

    def __post_init__(self) -> None:
        if not 18 <= self.opset <= 23:
            raise ValueError(f"opset must be from 18 to 23, not {self.opset}")

    def recognizes(self, source: str) -> bool:
        """Say no: a ``module:factory`` does not show of which framework its model is."""
        del source
        return False

    def available(self) -> Availability:
        """Say whether JAX and its converter are installed, without importing them."""
        missing = [
            name for name in ("jax", "flax", "jax2onnx") if importlib.util.find_spec(name) is None
        ]
        if missing:
            return Availability(
                False, f"{', '.join(missing)} not installed", "pip install irconv-jax"
            )
        versions = [f"{name} {importlib.metadata.version(name)}" for name in ("jax", "jax2onnx")]
        return Availability(True, ", ".join(versions))

    def inspect(self, source: str) -> dict[str, Any]:
        """Say that the source is code, which looking inside would run."""
        _check_factory(source)
        return {
            "frontend": self.name,
            "needs_trust": True,
            "notes": [f"{source} is code; looking inside would run it, so it needs --trust"],
        }

    def load(self, source: str, request: ImportRequest) -> Imported:
        """Bring the source into the IR; see :meth:`irconv.frontends.base.Frontend.load`."""
        from irconv.graph.reading.load import load_model
        from irconv.runtime.remote import RemoteRunner
        from irconv.runtime.values import load_samples
        from irconv.worker import Worker

        _check_factory(source)
        if not request.trust:
            raise untrusted(source, _WHERE)
        self.require(request)
        path = request.directory / "converted.onnx"
        examples = request.directory / "examples.npz"
        worker = Worker("irconv_jax.service:JaxService", limits=request.limits, label=_WHERE)
        try:
            worker.call(
                "open",
                target=source,
                inputs=[(spec.name, list(spec.dims), spec.dtype) for spec in request.inputs],
            )
            facts = worker.call(
                "export",
                path=str(path),
                examples=str(examples),
                opset=self.opset,
                shapes={name: [r.minimum, r.maximum] for name, r in request.shapes.items()},
            )
            loaded = load_model(path)
        except BaseException:
            worker.close()
            raise
        imported = Imported(
            model=loaded.model,
            source=SourceInfo(
                frontend=str(self),
                sha256="",
                bytes=0,
                opset=loaded.opset,
                notes=(*facts["notes"], *loaded.notes),
            ),
            open_reference=lambda: RemoteRunner(worker, owns_worker=False),
            example_feeds=load_samples(examples) if facts["examples"] else [],
        )
        imported.close = weakref.finalize(imported, worker.close)
        return imported


def _check_factory(source: str) -> None:
    if is_factory(source):
        return
    if Path(source).exists():
        raise InputError(
            f"{source} is a file, and this frontend reads none",
            where=_WHERE,
            hint="give module:factory of a function that returns the function of JAX and example "
            "arguments; an artifact of jax.export holds StableHLO, which has no way to ONNX here",
        )
    raise InputError(
        f"{source} is no module:factory",
        where=_WHERE,
        hint="write for example --frontend jax --trust package.module:factory",
    )
