"""The TorchScript frontend: archives of ``torch.jit.save``, scripted, traced or frozen.

PyTorch lives in a worker process. An archive is judged before PyTorch sees it, and PyTorch
reads irconv's copy of what was judged.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar

from irconv.backends.base import Availability
from irconv.errors import InputError
from irconv.frontends.base import Frontend, Imported, ImportRequest, SourceInfo

if TYPE_CHECKING:
    import onnx_ir as ir

    from irconv.frontends.torchscript.archive import ScriptArchive
    from irconv.worker import Worker

__all__ = ["TorchScriptFrontend"]

_WHERE = "frontend torchscript"
_ROUTES = ("auto", "script", "program", "trace")


@dataclass(frozen=True)
class TorchScriptFrontend(Frontend):
    """Frontend ``torchscript``.

    Attributes:
        opset: Opset to export at.
        route: How the module becomes ONNX: ``script`` by PyTorch's TorchScript exporter, which
            knows loops and branches; ``program`` by way of an exported program, which knows
            more operators; ``trace`` by the operators that it calls on the example, where
            neither data nor free dimensions decide which; ``auto`` by the first of them that
            gives the module's outputs.
    """

    name: ClassVar[str] = "torchscript"
    summary: ClassVar[str] = "TorchScript archives, scripted or traced; inputs by --input"
    suffixes: ClassVar[tuple[str, ...]] = (".pt", ".pth", ".ts")

    opset: int = 20
    route: str = "auto"

    def __post_init__(self) -> None:
        if not 18 <= self.opset <= 20:
            raise ValueError(f"opset must be from 18 to 20, not {self.opset}")
        if self.route not in _ROUTES:
            raise ValueError(f"route must be one of {', '.join(_ROUTES)}, not {self.route!r}")

    def recognizes(self, source: str) -> bool:
        """Say yes to a TorchScript archive of any name, and to ``.ts`` to explain it."""
        from irconv.frontends.torch_files.kind import FileKind, kind_of_path

        kind = kind_of_path(source)
        if kind is FileKind.SCRIPT:
            return True
        return Path(source).suffix.lower() == ".ts" and kind in (
            None,
            FileKind.ZIP,
            FileKind.OTHER,
        )

    def available(self) -> Availability:
        """Say whether PyTorch is installed, without importing it."""
        if importlib.util.find_spec("torch") is None:
            return Availability(False, "PyTorch is not installed", "pip install 'irconv[pytorch]'")
        return Availability(True, f"torch {importlib.metadata.version('torch')}")

    def inspect(self, source: str) -> dict[str, Any]:
        """Return facts about an archive from its text and pickles; nothing in it is run."""
        from irconv.frontends.torch_files.tensor_facts import count_parameters
        from irconv.frontends.torchscript.archive import read_script_archive

        with _open(source) as file:
            archive = read_script_archive(file)
            facts: dict[str, Any] = {
                "frontend": self.name,
                "what": "a traced module" if archive.traced else "a scripted or frozen module",
                "class": archive.root,
                "bytes": file.seek(0, os.SEEK_END),
                "needs_trust": bool(archive.dangers),
                "dangers": list(archive.dangers),
                "notes": [*archive.notes, *self._plan(archive)],
                "operators": dict(archive.calls),
            }
        if archive.signature is not None:
            facts["inputs"] = [argument.to_json() for argument in archive.signature.arguments]
            facts["returns"] = archive.signature.returns
        return facts | count_parameters(archive.tensors.values())

    def _plan(self, archive: ScriptArchive) -> list[str]:
        """Say what importing would do and needs."""
        from irconv.frontends.torchscript.signature import input_flags

        if archive.dangers:
            return ["loading it needs --trust"]
        if archive.signature is None:
            return ["it has no method forward and cannot be imported"]
        first = {
            "auto": "by PyTorch's TorchScript exporter, and if that does not do, by way of an "
            "exported program or of a trace",
            "script": "by PyTorch's TorchScript exporter",
            "program": "by way of an exported program",
            "trace": "by way of a trace",
        }[self.route]
        plan = [f"it would become ONNX {first}"]
        needed = [argument for argument in archive.signature.arguments if argument.needs_flag]
        if needed:
            plan.append(f"it does not say the shapes of its inputs: {input_flags(needed)}")
        return plan

    def load(self, source: str, request: ImportRequest) -> Imported:
        """Bring the source into the IR; see :meth:`irconv.frontends.base.Frontend.load`."""
        from irconv.frontends.torchscript.archive import read_script_archive

        with _open(source) as file:
            copy = request.directory / "module.pt"
            archive = read_script_archive(file, copy)
            notes = list(archive.notes)
            path = copy
            if archive.dangers and request.trust:
                path = Path(source).resolve()
                notes.append(f"loaded by --trust in spite of: {archive.dangers[0]}")
            elif archive.dangers:
                raise _refusal(archive.dangers)
            self.require(request)
            sha256 = hashlib.file_digest(_rewound(file), "sha256").hexdigest()  # type: ignore[arg-type]
            size = file.seek(0, os.SEEK_END)
        worker = _start(request)
        try:
            return self._finish(worker, request, archive, path, (sha256, size, notes))
        except BaseException:
            worker.close()
            raise

    def _finish(
        self,
        worker: Worker,
        request: ImportRequest,
        archive: ScriptArchive,
        path: Path,
        facts: tuple[str, int, list[str]],
    ) -> Imported:
        from irconv.graph.reading.load import load_model
        from irconv.runtime.remote import RemoteRunner

        sha256, size, notes = facts
        worker.call(
            "load",
            path=str(path),
            inputs=[(spec.name, list(spec.dims), spec.dtype) for spec in request.inputs],
            traced=_traced_inputs(archive),
            shapes={
                name: [bounds.minimum, bounds.best, bounds.maximum]
                for name, bounds in request.shapes.items()
            },
        )
        if path.parent == request.directory:
            path.unlink()
        folder = request.directory / "onnx"
        folder.mkdir()
        written = folder / "model.onnx"
        exported = worker.call("export", path=str(written), opset=self.opset, route=self.route)
        loaded = load_model(written)
        _state_shapes(loaded.model, exported["ranks"])
        imported = Imported(
            model=loaded.model,
            source=SourceInfo(
                frontend=str(self),
                sha256=sha256,
                bytes=size,
                opset=loaded.opset,
                notes=(*notes, *exported["notes"], *loaded.notes),
            ),
            open_reference=lambda: RemoteRunner(worker, owns_worker=False),
        )
        imported.close = weakref.finalize(imported, worker.close)
        return imported


def _open(source: str) -> IO[bytes]:
    from irconv.graph.reading.regular_file import open_regular

    return os.fdopen(open_regular(Path(source), what="model file"), "rb")


def _rewound(file: IO[bytes]) -> IO[bytes]:
    file.seek(0)
    return file


def _refusal(dangers: tuple[str, ...]) -> InputError:
    shown = "\n".join(f"  - {reason}" for reason in dangers[:5])
    more = f"\n  - and {len(dangers) - 5} more" if len(dangers) > 5 else ""
    return InputError(
        f"this TorchScript archive could do more than compute:\n{shown}{more}",
        where=_WHERE,
        hint="re-run with --trust only if you made this file or know who did",
    )


def _start(request: ImportRequest) -> Worker:
    from irconv.worker import Worker

    return Worker(
        "irconv.frontends.torchscript.service:TorchScriptService",
        limits=request.limits,
        label=_WHERE,
    )


def _traced_inputs(archive: ScriptArchive) -> dict[str, tuple[str, list[int]]]:
    if archive.signature is None:
        return {}
    return {
        argument.name: (argument.dtype, list(argument.shape))
        for argument in archive.signature.arguments
        if argument.dtype is not None and argument.shape is not None
    }


def _state_shapes(model: ir.Model, ranks: dict[str, int]) -> None:
    """State the shapes that follow from the inputs', and of other outputs the rank seen."""
    import onnx_ir as ir

    from irconv.passes.base import PassContext
    from irconv.passes.infer_shapes import InferShapes

    InferShapes().run(model, PassContext())
    for value in model.graph.outputs:
        if value.shape is None and value.name in ranks:
            value.shape = ir.Shape([None] * ranks[value.name])
