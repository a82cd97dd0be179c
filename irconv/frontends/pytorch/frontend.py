"""The PyTorch frontend: exported programs (``.pt2``), and with trust modules and weights.

PyTorch lives in a worker process. A file is judged before PyTorch sees it, and PyTorch reads
irconv's copy of what was judged; a factory, the class that weights belong to and a pickled
module are code and need ``--trust``.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar

from irconv.backends.base import Availability
from irconv.errors import InputError
from irconv.frontends.base import Frontend, Imported, ImportRequest, SourceInfo
from irconv.frontends.factories import is_factory, names_factory, untrusted

if TYPE_CHECKING:
    from irconv.runtime.base import Feeds
    from irconv.worker import Worker

__all__ = ["PytorchFrontend"]

_WHERE = "frontend pytorch"
_WEIGHT_SUFFIXES = (".pt", ".pth", ".safetensors")
_INSTALL = "pip install 'irconv[pytorch]'"


@dataclass(frozen=True)
class PytorchFrontend(Frontend):
    """Frontend ``pytorch``.

    Attributes:
        opset: Opset to export at. PyTorch's own default is 20; from 23 on its exporter writes
            operators, such as Attention, that few targets read.
        module: Where the source is a file of weights, the ``package.module:Class`` (or factory)
            that builds the module without arguments.
        entry: Where that file is a checkpoint, the key under which the state dict stands.
    """

    name: ClassVar[str] = "pytorch"
    summary: ClassVar[str] = (
        "PyTorch exported programs; with --trust module:factory, and weights of a module"
    )
    suffixes: ClassVar[tuple[str, ...]] = (".pt2", *_WEIGHT_SUFFIXES)

    opset: int = 20
    module: str = ""
    entry: str = ""

    def __post_init__(self) -> None:
        if self.module and not names_factory(self.module):
            raise ValueError(f"module must be package.module:Class, not {self.module!r}")
        if not 18 <= self.opset <= 23:
            raise ValueError(f"opset must be from 18 to 23, not {self.opset}")

    def recognizes(self, source: str) -> bool:
        """Say yes to ``module:factory``, and to files by what is in them or by their suffix."""
        from irconv.frontends.torch_files.kind import FileKind, kind_of_path

        if is_factory(source):
            return True
        kind = kind_of_path(source)
        if kind in (None, FileKind.ZIP, FileKind.OTHER):
            return Path(source).suffix.lower() in self.suffixes
        return kind is not FileKind.SCRIPT

    def available(self) -> Availability:
        """Say whether PyTorch is installed, without importing it."""
        if importlib.util.find_spec("torch") is None:
            return Availability(False, "PyTorch is not installed", _INSTALL)
        return Availability(True, f"torch {importlib.metadata.version('torch')}")

    def inspect(self, source: str) -> dict[str, Any]:
        """Return facts about a ``.pt2`` from its JSON; code that the source names never runs."""
        if is_factory(source):
            return {
                "frontend": self.name,
                "needs_trust": True,
                "notes": [f"{source} is code; looking inside would run it, so it needs --trust"],
            }
        from irconv.frontends.pytorch.facts import describe_program, describe_weights

        with _open(source) as file:
            describe = describe_program if _is_program(source, file) else describe_weights
            return {"frontend": self.name} | describe(file)

    def load(self, source: str, request: ImportRequest) -> Imported:
        """Bring the source into the IR; see :meth:`irconv.frontends.base.Frontend.load`."""
        if is_factory(source):
            if not request.trust:
                raise untrusted(source, _WHERE)
            self.require(request)
            return self._load_factory(source, request)
        with _open(source) as file:
            if _is_program(source, file):
                if self.module:
                    raise InputError(
                        "an exported program holds its own graph and weights",
                        where="--frontend",
                        hint="leave the option module out",
                    )
                return self._load_program(source, file, request)
            return self._load_weights(source, file, request)

    def _load_weights(self, source: str, file: IO[bytes], request: ImportRequest) -> Imported:
        from irconv.frontends.pytorch.weights import (
            choose_entry,
            read_weights,
            refuse_without_class,
        )
        from irconv.frontends.torch_files.kind import FileKind

        found = read_weights(file)
        if not self.module and not (found.classes and request.trust):
            raise refuse_without_class(found)
        if self.module:
            choose_entry(found, self.entry)
            if not request.trust:
                raise untrusted(self.module, _WHERE)
        self.require(request)
        sha256, size = _digest(file)
        safetensors = found.kind is FileKind.SAFETENSORS
        path = request.directory / ("weights.safetensors" if safetensors else "weights.pt")
        if self.module:
            read_weights(file, path)
        worker = _start(request)
        arguments = {"inputs": _stated(request), "shapes": _ranges(request)}
        try:
            if self.module:
                arguments |= {"target": self.module, "entry": self.entry}
                worker.call("load_weights", path=str(path), **arguments)
                path.unlink()
                notes = [f"the weights were given to {self.module}"]
            else:
                worker.call("load_pickled", path=str(Path(source).resolve()), **arguments)
                notes = [f"unpickled by --trust: {', '.join(found.classes[:3])}"]
            return self._finish(worker, request, sha256, size, notes)
        except BaseException:
            worker.close()
            raise

    def _load_program(self, source: str, file: IO[bytes], request: ImportRequest) -> Imported:
        from irconv.frontends.pytorch.archive import read_program_archive

        notes: list[str] = []
        path = Path(source).resolve()
        if request.trust:
            notes.append("loaded by --trust without a look inside")
        else:
            path = request.directory / "program.pt2"
            archive = read_program_archive(file, path)
            if archive.dangers:
                raise _refusal(archive.dangers)
            notes += archive.notes
        self.require(request)
        sha256, size = _digest(file)
        worker = _start(request)
        try:
            worker.call("load_program", path=str(path), trust=request.trust)
            if not request.trust:
                path.unlink()
            return self._finish(worker, request, sha256, size, notes)
        except BaseException:
            worker.close()
            raise

    def _load_factory(self, source: str, request: ImportRequest) -> Imported:
        worker = _start(request)
        try:
            worker.call(
                "load_factory",
                target=source,
                inputs=_stated(request),
                shapes=_ranges(request),
            )
            return self._finish(worker, request, "", 0, [])
        except BaseException:
            worker.close()
            raise

    def _finish(
        self, worker: Worker, request: ImportRequest, sha256: str, size: int, notes: list[str]
    ) -> Imported:
        from irconv.graph.reading.load import load_model
        from irconv.runtime.remote import RemoteRunner

        model_path = request.directory / "exported.onnx"
        examples = request.directory / "examples.npz"
        facts = worker.call("name_dimensions", inputs=_stated(request))
        _check_ranges(request, facts["ranges"])
        facts |= worker.call(
            "export", path=str(model_path), examples=str(examples), opset=self.opset
        )
        loaded = load_model(model_path)
        feeds, dropped = _examples(examples, facts, request) if facts["examples"] else ([], [])
        imported = Imported(
            model=loaded.model,
            source=SourceInfo(
                frontend=str(self),
                sha256=sha256,
                bytes=size,
                opset=facts["opset"],
                notes=(
                    *notes,
                    *facts["notes"],
                    *(_range_note(name, *bounds) for name, bounds in facts["ranges"].items()),
                    *dropped,
                    *loaded.notes,
                ),
            ),
            open_reference=lambda: RemoteRunner(worker, owns_worker=False),
            example_feeds=feeds,
        )
        imported.close = weakref.finalize(imported, worker.close)
        return imported


def _open(source: str) -> IO[bytes]:
    from irconv.graph.reading.regular_file import open_regular

    return open(open_regular(Path(source), what="model file"), "rb")  # noqa: PTH123


def _is_program(source: str, file: IO[bytes]) -> bool:
    """Say whether a file is an exported program, or is called one and nothing else we know."""
    from irconv.frontends.torch_files.kind import FileKind, kind_of_stream

    kind = kind_of_stream(file)
    called_one = Path(source).suffix.lower() == ".pt2" and kind is not FileKind.SAFETENSORS
    return kind is FileKind.PROGRAM or called_one


def _refusal(dangers: tuple[str, ...]) -> InputError:
    shown = "\n".join(f"  - {reason}" for reason in dangers[:5])
    more = f"\n  - and {len(dangers) - 5} more" if len(dangers) > 5 else ""
    return InputError(
        f"loading this .pt2 would run code:\n{shown}{more}",
        where=_WHERE,
        hint="re-run with --trust only if you made this file or know who did",
    )


def _digest(file: IO[bytes]) -> tuple[str, int]:
    import hashlib

    file.seek(0)
    digest = hashlib.file_digest(file, "sha256")  # type: ignore[arg-type]
    return digest.hexdigest(), file.tell()


def _start(request: ImportRequest) -> Worker:
    from irconv.worker import Worker

    return Worker(
        "irconv.frontends.pytorch.service:PytorchService", limits=request.limits, label=_WHERE
    )


def _stated(request: ImportRequest) -> list[tuple[str, list[int | str | None], str | None]]:
    return [(spec.name, list(spec.dims), spec.dtype) for spec in request.inputs]


def _ranges(request: ImportRequest) -> dict[str, list[int]]:
    return {
        name: [bounds.minimum, bounds.best, bounds.maximum]
        for name, bounds in request.shapes.items()
    }


def _check_ranges(request: ImportRequest, ranges: Mapping[str, list[int | None]]) -> None:
    for name, wanted in request.shapes.items():
        if name not in ranges:
            continue
        low, high = ranges[name]
        if wanted.minimum < (low or 0) or (high is not None and wanted.maximum > high):
            raise InputError(
                f"the dimension {name!r} of the program goes {_bounds(low, high)}, not {wanted}",
                where=f"--shape {name}",
                hint="ask for a part of that range, or export with another dynamic_shapes",
            )


def _bounds(low: int | None, high: int | None) -> str:
    return f"from {low or 0} to {high}" if high is not None else f"from {low or 0} upwards"


def _range_note(name: str, low: int | None, high: int | None) -> str:
    return f"the dimension {name} goes {_bounds(low, high)}"


def _examples(
    path: Path, facts: Mapping[str, Any], request: ImportRequest
) -> tuple[list[Feeds], list[str]]:
    """Return the source's example inputs, unless they are outside of the ranges asked for."""
    from irconv.runtime.values import load_samples

    feeds = load_samples(path)[0]
    for name, axes in facts["axes"].items():
        for dim, size in zip(axes, getattr(feeds[name], "shape", ()), strict=True):
            wanted = request.shapes.get(dim) if isinstance(dim, str) else None
            if wanted is not None and not wanted.minimum <= size <= wanted.maximum:
                return [], [f"the source's example inputs have {dim}={size} and were left out"]
    return [feeds], []
