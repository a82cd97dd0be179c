"""The TFLite frontend: irconv reads the file itself, LiteRT's interpreter gives the goldens.

The file is copied and the copy judged as a whole; what is imported, and what the interpreter
opens in its worker, is that copy.
"""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from irconv.backends.base import Availability
from irconv.frontends.base import Frontend, Imported, ImportRequest, SourceInfo

if TYPE_CHECKING:
    from irconv.frontends.tflite.interface import Interface
    from irconv.runtime.base import Runner

__all__ = ["TfliteFrontend"]

_WHERE = "frontend tflite"
_IDENTIFIER = b"TFL3"
_INSTALL = "pip install 'irconv[frontend-tflite]'"


@dataclass(frozen=True)
class TfliteFrontend(Frontend):
    """Frontend ``tflite``.

    Attributes:
        hybrid: What becomes of operators whose weights alone are quantized. LiteRT rounds their
            activations to 8 bits at run time; ``exact`` writes that into the graph, ``weights``
            leaves it out, so that the model differs from the source by it.
    """

    name: ClassVar[str] = "tflite"
    summary: ClassVar[str] = "TFLite FlatBuffers, float or quantized"
    suffixes: ClassVar[tuple[str, ...]] = (".tflite",)
    takes: ClassVar[frozenset[str]] = frozenset({"signature"})

    hybrid: Literal["exact", "weights"] = "exact"

    def recognizes(self, source: str) -> bool:
        """Say yes to a path that ends in ``.tflite``, or to a file with TFLite's identifier."""
        from irconv.graph.reading.regular_file import peek

        path = Path(source)
        return path.suffix.lower() in self.suffixes or peek(path, 8)[4:] == _IDENTIFIER

    def available(self) -> Availability:
        """Say whether LiteRT is installed, which gives the goldens; importing needs it not."""
        try:
            version = importlib.metadata.version("ai-edge-litert")
        except importlib.metadata.PackageNotFoundError:
            return Availability(False, "ai-edge-litert is not installed", _INSTALL)
        return Availability(True, f"ai-edge-litert {version}")

    def inspect(self, source: str) -> dict[str, Any]:
        """Return facts about the model from its tables; its weights are not read."""
        from irconv.frontends.tflite.facts import describe
        from irconv.frontends.tflite.file import ModelFile

        return {"frontend": self.name, **describe(ModelFile(Path(source)))}

    def load(self, source: str, request: ImportRequest) -> Imported:
        """Bring the source into the IR; see :meth:`irconv.frontends.base.Frontend.load`."""
        from irconv.frontends.tflite.convert import convert
        from irconv.frontends.tflite.file import ModelFile, copy_file
        from irconv.frontends.tflite.interface import choose_interface, name_dims
        from irconv.passes.base import PassContext
        from irconv.passes.eliminate_dead_code import EliminateDeadCode
        from irconv.passes.infer_shapes import InferShapes

        path = request.directory / "model.tflite"
        sha256 = copy_file(source, path)
        file = ModelFile(path, source)
        interface = choose_interface(file.model, request.signature)
        dims = name_dims(interface.inputs, request.inputs)
        converted = convert(file, interface, dims, exact=self.hybrid == "exact")
        for step in (EliminateDeadCode(), InferShapes()):
            step.run(converted.model, PassContext())
        notes = list(converted.notes)
        if interface.signature is not None and len(file.model.signatures) > 1:
            notes.insert(0, f"imported the signature {interface.signature!r}")
        return Imported(
            model=converted.model,
            source=SourceInfo(
                frontend=str(self),
                sha256=sha256,
                bytes=file.model.bytes,
                opset=converted.opset,
                notes=tuple(notes),
            ),
            open_reference=lambda: self._open_reference(path, interface, request),
        )

    def _open_reference(self, path: Path, interface: Interface, request: ImportRequest) -> Runner:
        from irconv.runtime.remote import RemoteRunner
        from irconv.worker import Worker

        self.require(request)
        worker = Worker(
            "irconv.frontends.tflite.service:TfliteService",
            {
                "path": str(path),
                "signature": interface.signature if interface.subgraph else None,
                "inputs": [[port.name, port.tensor.index] for port in interface.inputs],
                "outputs": [[port.name, port.tensor.index] for port in interface.outputs],
            },
            limits=request.limits,
            label=_WHERE,
        )
        try:
            return RemoteRunner(worker)
        except BaseException:
            worker.close()
            raise
