"""Judging a source before TensorFlow or Keras sees it, and preparing the copy that they read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irconv.errors import InputError
from irconv.frontends.base import ImportRequest
from irconv.frontends.tensorflow.fields import Message
from irconv.frontends.tensorflow.folder import (
    PROGRAM,
    TEXT_PROGRAM,
    data_files,
    link_folder,
    root_of,
)
from irconv.frontends.tensorflow.formats import Format, copy_file, opened, parsed
from irconv.frontends.tensorflow.graph_def import read_graph
from irconv.frontends.tensorflow.graph_ends import find_ends
from irconv.frontends.tensorflow.keras_archive import copy_archive, read_archive
from irconv.frontends.tensorflow.keras_config import dangers_of_config, parse_config
from irconv.frontends.tensorflow.operators import dangers_of_graph, dangers_of_saved_model
from irconv.frontends.tensorflow.saved_model import read_saved_model

if TYPE_CHECKING:
    from irconv.worker import Worker

__all__ = ["Judged", "Preflight"]

_WHERE = "frontend tensorflow"
_TRUSTED = "loaded by --trust, whatever it runs"


@dataclass(frozen=True)
class Judged:
    """What the worker is asked to load.

    Attributes:
        method: The method of the service.
        arguments: Its arguments.
        files: The source's files.
        notes: What was found, in plain words.
    """

    method: str
    arguments: Mapping[str, Any]
    files: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()


class Preflight:
    """Judges one source.

    Args:
        source: The source.
        request: What importing was asked for.
        worker: Gives the worker, for what needs HDF5 or TensorFlow's text form to read.
    """

    def __init__(self, source: str, request: ImportRequest, worker: Callable[[], Worker]) -> None:
        self._source = source
        self._request = request
        self._worker = worker

    def judge(self, form: Format) -> Judged:
        """Judge the source.

        Raises:
            InputError: If it is broken, or would run or read something and is not trusted.
        """
        return {
            Format.SAVED_MODEL: self._saved_model,
            Format.KERAS: self._keras,
            Format.HDF5: self._hdf5,
            Format.GRAPH: self._graph,
            Format.FACTORY: self._factory,
        }[form]()

    def _factory(self) -> Judged:
        return Judged("load_factory", {"target": self._source})

    def _keras(self) -> Judged:
        path = Path(self._source)
        if self._request.trust:
            arguments = {"path": str(path.resolve()), "trust": True}
            return Judged("load_keras", arguments, (path,), (_TRUSTED,))
        copy = self._request.directory / "model.keras"
        weights = self._request.directory / "weights.h5"
        with opened(path) as stream:
            archive = read_archive(stream)
            self._refuse(archive.dangers, "this Keras file")
            copy_archive(stream, archive, copy, weights)
        self._worker().call("read_hdf5", path=str(weights))
        weights.unlink()
        return Judged("load_keras", {"path": str(copy), "trust": False}, (path,))

    def _hdf5(self) -> Judged:
        path = Path(self._source)
        copy = self._request.directory / "model.h5"
        copy_file(path, copy)
        held = self._worker().call("read_hdf5", path=str(copy))
        if held["config"] is None:
            raise InputError(
                f"{self._source} holds weights only, and no model",
                where=_WHERE,
                hint="save the whole model, model.save('model.keras'), or load the weights in a "
                "function of your own and give it as module:factory with --trust --frontend "
                "tensorflow",
            )
        dangers = dangers_of_config(parse_config(held["config"].encode(), "model_config"))
        self._refuse(dangers, "this Keras file")
        arguments = {"path": str(copy), "trust": self._request.trust}
        return Judged("load_keras", arguments, (path,), (_TRUSTED,) if dangers else ())

    def _saved_model(self) -> Judged:
        root = root_of(self._source)
        copy = self._request.directory / "saved_model"
        copy.mkdir()
        program = root / PROGRAM
        if program.is_file():
            copy_file(program, copy / PROGRAM)
        else:
            program = root / TEXT_PROGRAM
            text = self._request.directory / TEXT_PROGRAM
            copy_file(program, text)
            self._worker().call("write_binary", text=str(text), path=str(copy / PROGRAM))
        meta = parsed(copy / PROGRAM, "SavedModel", read_saved_model)
        dangers = dangers_of_saved_model(meta)
        self._refuse(dangers, "this SavedModel")
        signature = meta.choose(self._request.signature)
        names = data_files(root, meta)
        link_folder(root, names, copy)
        return Judged(
            "load_saved_model",
            {"folder": str(copy), "tags": list(meta.tags), "signature": signature},
            (program, *(root / name for name in names)),
            (_TRUSTED,) if dangers else (),
        )

    def _graph(self) -> Judged:
        path = Path(self._source)
        copy = self._request.directory / "graph.pb"
        copy_file(path, copy)
        graph = parsed(copy, "frozen graph", lambda view: read_graph(Message.of(view)))
        if not graph.nodes:
            raise InputError(
                f"{self._source} is no frozen graph: it holds no nodes",
                where=_WHERE,
                hint="give the .pb file of a GraphDef, or the folder of a SavedModel",
            )
        stated = [spec.name for spec in self._request.inputs]
        ends = find_ends(graph, stated, self._request.outputs)
        dangers = dangers_of_graph(graph, [name.partition(":")[0] for name in ends.outputs])
        self._refuse(dangers, "this graph")
        return Judged(
            "load_graph",
            {"path": str(copy), "names": ends.inputs, "outputs": ends.outputs},
            (path,),
            (*ends.notes, *((_TRUSTED,) if dangers else ())),
        )

    def _refuse(self, dangers: Sequence[str], what: str) -> None:
        if not dangers or self._request.trust:
            return
        shown = "\n".join(f"  - {reason}" for reason in dangers[:5])
        more = f"\n  - and {len(dangers) - 5} more" if len(dangers) > 5 else ""
        raise InputError(
            f"loading {what} would do more than compute:\n{shown}{more}",
            where=_WHERE,
            hint="re-run with --trust only if you made this file or know who did",
        )
