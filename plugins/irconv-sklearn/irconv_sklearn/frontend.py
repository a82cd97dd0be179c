"""The scikit-learn frontend: boosted trees from their own files; pickles and code with trust.

The frameworks live in a worker process. A model file of XGBoost or LightGBM is checked before
they see it, and they read irconv's copy of what was checked; a pickle runs what it says.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from irconv.backends.base import Availability
from irconv.errors import InputError, UnsupportedError
from irconv.frontends.base import Frontend, Imported, ImportRequest, SourceInfo
from irconv.frontends.factories import is_factory, untrusted

if TYPE_CHECKING:
    from irconv.frontends.pickle_imports import PickleImports
    from irconv.worker import Worker
    from irconv_sklearn.booster import Booster

__all__ = ["SklearnFrontend"]

_WHERE = "frontend sklearn"
_PICKLES = (".pkl", ".pickle", ".joblib")
_MOST_BYTES = 4 << 30
_HEAD = 1024
_MOST_NAMED = 20


@dataclass(frozen=True)
class SklearnFrontend(Frontend):
    """Frontend ``sklearn``.

    Attributes:
        opset: Opset to write; ai.onnx.ml is written in version 3.
    """

    name: ClassVar[str] = "sklearn"
    summary: ClassVar[str] = "XGBoost and LightGBM models; with --trust scikit-learn estimators"
    suffixes: ClassVar[tuple[str, ...]] = (".ubj", ".json", ".txt", *_PICKLES)

    opset: int = 18

    def __post_init__(self) -> None:
        if not 13 <= self.opset <= 21:
            raise ValueError(f"opset must be from 13 to 21, not {self.opset}")

    def recognizes(self, source: str) -> bool:
        """Say yes to pickles by their suffix, and to model files by how they begin."""
        suffix = Path(source).suffix.lower()
        if suffix in (".ubj", *_PICKLES):
            return True
        if suffix not in (".json", ".txt", ".lgb", ".model"):
            return False
        head = _head(Path(source))
        return head.startswith(b"tree\nversion=") or (head[:1] == b"{" and b"learner" in head)

    def available(self) -> Availability:
        """Say whether scikit-learn and its converters are installed, without importing them."""
        missing = [
            name
            for name in ("sklearn", "skl2onnx", "onnxmltools", "pandas")
            if importlib.util.find_spec(name) is None
        ]
        if missing:
            return Availability(
                False, f"{', '.join(missing)} not installed", "pip install irconv-sklearn"
            )
        versions = [
            f"{name} {importlib.metadata.version(name)}" for name in ("scikit-learn", "skl2onnx")
        ]
        return Availability(True, ", ".join(versions))

    def inspect(self, source: str) -> dict[str, Any]:
        """Return facts about a model file; a pickle is read and not run."""
        facts: dict[str, Any] = {"frontend": self.name}
        if is_factory(source):
            return facts | {
                "needs_trust": True,
                "notes": [f"{source} is code; looking inside would run it, so it needs --trust"],
            }
        path = _regular(source)
        facts["bytes"] = path.stat().st_size
        if path.suffix.lower() in _PICKLES:
            imports = _imports(path)
            return facts | {
                "needs_trust": True,
                "imports": list(imports.names),
                "all_imports_known": imports.whole,
                "notes": ["a pickle is a program; opening it runs what it says"],
            }
        return facts | {"needs_trust": False} | _read(path.read_bytes(), source).to_json()

    def load(self, source: str, request: ImportRequest) -> Imported:
        """Bring the source into the IR; see :meth:`irconv.frontends.base.Frontend.load`."""
        if is_factory(source):
            if not request.trust:
                raise untrusted(source, _WHERE)
            return self._load(request, "", 0, "open_factory", target=source)
        path = _regular(source)
        if path.suffix.lower() in _PICKLES:
            if not request.trust:
                raise _refusal(source, _imports(path))
            return self._load(request, *_digest(path.read_bytes()), "open_pickle", path=str(path))
        data = path.read_bytes()
        booster = _read(data, source)
        if booster.obstacles:
            raise UnsupportedError("onnx", booster.obstacles, where=_WHERE)
        copy = _copied(data, booster, request.directory)
        return self._load(
            request,
            *_digest(data),
            "open_booster",
            path=str(copy),
            library=booster.library,
            objective=booster.objective,
            classes=booster.classes,
            ranges=[(index, *bounds) for index, bounds in booster.ranges.items()],
        )

    def _load(
        self, request: ImportRequest, sha256: str, size: int, method: str, **arguments: Any
    ) -> Imported:
        from irconv.worker import Worker

        self.require(request)
        worker = Worker(
            "irconv_sklearn.service:SklearnService", limits=request.limits, label=_WHERE
        )
        try:
            worker.call(method, **arguments)
            return self._finish(worker, request, sha256, size)
        except BaseException:
            worker.close()
            raise

    def _finish(self, worker: Worker, request: ImportRequest, sha256: str, size: int) -> Imported:
        from irconv.graph.reading.load import load_model
        from irconv.runtime.remote import RemoteRunner
        from irconv.runtime.values import load_samples

        path = request.directory / "converted.onnx"
        examples = request.directory / "examples.npz"
        facts = worker.call(
            "export",
            path=str(path),
            examples=str(examples),
            opset=self.opset,
            inputs=[(spec.name, list(spec.dims), spec.dtype) for spec in request.inputs],
            shapes={
                name: [bounds.minimum, bounds.best, bounds.maximum]
                for name, bounds in request.shapes.items()
            },
        )
        loaded = load_model(path)
        imported = Imported(
            model=loaded.model,
            source=SourceInfo(
                frontend=str(self),
                sha256=sha256,
                bytes=size,
                opset=loaded.opset,
                notes=(*facts["notes"], *loaded.notes),
            ),
            open_reference=lambda: RemoteRunner(worker, owns_worker=False),
            example_feeds=load_samples(examples) if facts["examples"] else [],
        )
        imported.close = weakref.finalize(imported, worker.close)
        return imported


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_HEAD)
    except OSError:
        return b""


def _regular(source: str) -> Path:
    """Return the path of a regular file of a size that can be read."""
    import os

    from irconv.graph.reading.regular_file import open_regular

    descriptor = open_regular(Path(source), what="model file")
    size = os.fstat(descriptor).st_size
    os.close(descriptor)
    if size > _MOST_BYTES:
        raise InputError(
            f"{source} has {size / 2**30:.1f} GiB, more than the {_MOST_BYTES >> 30} GiB that an "
            "estimator may have",
            where=_WHERE,
            hint="give a file of XGBoost, LightGBM or a pickled estimator",
        )
    return Path(source)


def _read(data: bytes, source: str) -> Booster:
    from irconv_sklearn.lightgbm_file import read_lightgbm
    from irconv_sklearn.xgboost_file import read_xgboost

    if data[:1] == b"{":
        return read_xgboost(data)
    if data[:5] == b"tree\n":
        return read_lightgbm(data)
    raise InputError(
        f"{source} is neither a model file of XGBoost (JSON or UBJSON) nor one of LightGBM (text)",
        where=_WHERE,
        hint="save the model by save_model of its library, or give a pickle named .pkl or .joblib",
    )


def _copied(data: bytes, booster: Booster, directory: Path) -> Path:
    """Write what was checked into the scratch directory, named as its library expects it."""
    from irconv_sklearn.lightgbm_file import without_parameters
    from irconv_sklearn.xgboost_file import is_binary

    if booster.library == "lightgbm":
        path = directory / "booster.txt"
        path.write_bytes(without_parameters(data))
    else:
        path = directory / ("booster.ubj" if is_binary(data) else "booster.json")
        path.write_bytes(data)
    return path


def _digest(data: bytes) -> tuple[str, int]:
    import hashlib

    return hashlib.sha256(data).hexdigest(), len(data)


def _imports(path: Path) -> PickleImports:
    from irconv.frontends.pickle_imports import imports_of_pickle

    with path.open("rb") as file:
        return imports_of_pickle(file)


def _refusal(source: str, imports: PickleImports) -> InputError:
    shown = "".join(f"\n  - {name}" for name in imports.names[:_MOST_NAMED])
    left = len(imports.names) - _MOST_NAMED
    more = f"\n  - and {left} more" if left > 0 else ""
    least = "" if imports.whole else " at least"
    named = f"; it would import{least}:{shown}{more}" if shown else "; it imports nothing"
    return InputError(
        f"{source} is a pickle, which runs code when it is opened{named}",
        where=_WHERE,
        hint="re-run with --trust only if you made this file or know who did",
    )
