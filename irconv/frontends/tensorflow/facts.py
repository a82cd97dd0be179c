"""Describing a source without TensorFlow; nothing in it runs."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from irconv.errors import IrconvError
from irconv.frontends.tensorflow.fields import Message
from irconv.frontends.tensorflow.folder import PROGRAM, TEXT_PROGRAM, data_files, root_of
from irconv.frontends.tensorflow.formats import Format, opened, parsed
from irconv.frontends.tensorflow.graph_def import operators, read_graph
from irconv.frontends.tensorflow.graph_ends import find_ends
from irconv.frontends.tensorflow.keras_archive import read_archive
from irconv.frontends.tensorflow.keras_config import (
    dangers_of_config,
    describe_config,
    parse_config,
)
from irconv.frontends.tensorflow.operators import dangers_of_graph, dangers_of_saved_model
from irconv.frontends.tensorflow.saved_model import read_saved_model

__all__ = ["describe"]

_WHERE = "frontend tensorflow"
_INSPECT_SECONDS = 60.0
_ROUTES = {
    Format.SAVED_MODEL: "load, take one signature, put variables into its graph",
    Format.KERAS: "load by Keras, trace for inference, put variables into the graph",
    Format.HDF5: "load by Keras, trace for inference, put variables into the graph",
    Format.GRAPH: "import the graph, cut it at its inputs and outputs",
    Format.FACTORY: "call the factory, trace the model for inference, put variables into the graph",
}


def describe(source: str, form: Format, opset: int) -> dict[str, Any]:
    """Return JSON-ready facts about a source.

    Raises:
        InputError: If it is broken.
    """
    route = f"{_ROUTES[form]}, convert by tf2onnx to opset {opset}"
    facts = {
        Format.SAVED_MODEL: _saved_model,
        Format.KERAS: _keras,
        Format.HDF5: _hdf5,
        Format.GRAPH: _graph,
        Format.FACTORY: _factory,
    }[form](source)
    return {"format": form.value, "route": route} | facts


def _judgement(dangers: list[str]) -> dict[str, Any]:
    return {"needs_trust": bool(dangers), "dangers": dangers}


def _factory(source: str) -> dict[str, Any]:
    note = f"{source} is code; looking inside would run it, so it needs --trust"
    return {"needs_trust": True, "notes": [note]}


def _saved_model(source: str) -> dict[str, Any]:
    root = root_of(source)
    program = root / PROGRAM
    if not program.is_file():
        size = (root / TEXT_PROGRAM).stat().st_size
        note = f"{TEXT_PROGRAM} is in text form; what is in it is judged when it is loaded"
        return {"bytes": size, "notes": [note]}
    meta = parsed(program, "SavedModel", read_saved_model)
    names = data_files(root, meta)
    outputs = [node for signature in meta.signatures.values() for node in signature.nodes]
    served = list(meta.graph.behind(outputs))
    return {
        "version": 1 if meta.objects is None else 2,
        "tensorflow_version": meta.version,
        "tags": list(meta.tags),
        "signatures": [
            {
                "name": name,
                "inputs": [spec.to_json() for spec in signature.inputs],
                "outputs": [spec.to_json() for spec in signature.outputs],
            }
            for name, signature in meta.signatures.items()
        ],
        "nodes": len(served),
        "operators": operators(served),
        "bytes": sum(path.stat().st_size for path in (program, *(root / name for name in names))),
        "files": [program.name, *names],
        **_judgement(dangers_of_saved_model(meta)),
    }


def _graph(source: str) -> dict[str, Any]:
    path = Path(source)
    graph = parsed(path, "frozen graph", lambda view: read_graph(Message.of(view)))
    specs = {spec.name: spec for spec in graph.placeholders()}
    facts: dict[str, Any] = {
        "nodes": len(graph.nodes),
        "operators": operators(graph.all_nodes()),
        "bytes": path.stat().st_size,
    }
    try:
        ends = find_ends(graph, (), ())
    except IrconvError as error:
        return facts | {
            "inputs": [spec.to_json() for spec in specs.values()],
            "notes": [str(error)],
        }
    return {
        "inputs": [specs[name].to_json() for name in ends.inputs],
        "outputs": list(ends.outputs),
        **facts,
        **_judgement(dangers_of_graph(graph, ends.outputs)),
    }


def _keras(source: str) -> dict[str, Any]:
    with opened(Path(source)) as stream:
        archive = read_archive(stream)
        size = stream.seek(0, 2)
    return {
        "keras_version": archive.version,
        **describe_config(archive.config),
        "weight_bytes": archive.weight_bytes,
        "bytes": size,
        **_judgement(list(archive.dangers)),
    }


def _hdf5(source: str) -> dict[str, Any]:
    path = Path(source)
    with opened(path) as stream:
        size = stream.seek(0, 2)
    if importlib.util.find_spec("h5py") is None:
        note = "h5py is not installed, so the file was not looked into: pip install h5py"
        return {"bytes": size, "notes": [note]}
    held = _look_into(path)
    facts = {
        "keras_version": held["version"],
        "parameters": held["parameters"],
        "parameter_bytes": held["parameter_bytes"],
        "bytes": size,
    }
    if held["config"] is None:
        return facts | {"route": "none: the file holds weights only, and no model"}
    config = parse_config(held["config"].encode(), "model_config")
    return {**describe_config(config), **facts, **_judgement(dangers_of_config(config))}


def _look_into(path: Path) -> dict[str, Any]:
    """Read an HDF5 file in a process of its own, which a damaged file may crash."""
    from irconv.worker import Worker, WorkerLimits

    service = "irconv.frontends.tensorflow.service:TensorflowService"
    with Worker(service, limits=WorkerLimits(seconds=_INSPECT_SECONDS), label=_WHERE) as worker:
        held: dict[str, Any] = worker.call("read_hdf5", path=str(path.resolve()))
    return held
