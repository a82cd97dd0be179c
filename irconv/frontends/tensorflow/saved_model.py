"""A SavedModel as it lies in its folder, read without TensorFlow.

The layout is that of ``saved_model.proto`` and ``meta_graph.proto``. A file may hold several
meta graphs with different tags; the one that is served is read. TensorFlow reads such a file the
way of v1, whatever objects it holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from irconv.errors import InputError
from irconv.frontends.tensorflow.fields import Message
from irconv.frontends.tensorflow.graph_def import DTYPES, Graph, read_graph, read_shape
from irconv.graph.preflight.messages import shown
from irconv.runtime.base import TensorSpec

__all__ = ["MetaGraph", "Saver", "Signature", "read_saved_model"]

_WHERE = "frontend tensorflow"
_SERVE = "serve"
_DEFAULT = "serving_default"
_INIT = "__saved_model_init_op"
_INIT_COLLECTIONS = ("saved_model_main_op", "legacy_init_op")


@dataclass(frozen=True)
class Signature:
    """A signature: its inputs and outputs under their argument names.

    Attributes:
        inputs: What it takes, sorted by name, as TensorFlow does.
        outputs: What it gives, likewise.
        nodes: Names of the graph's nodes that give its outputs.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    nodes: tuple[str, ...]


@dataclass(frozen=True)
class Saver:
    """The nodes that a v1 model saves and restores its variables by, without ports."""

    filename: str
    restore: str


@dataclass(frozen=True)
class MetaGraph:
    """One graph of a SavedModel and what belongs to it.

    Attributes:
        tags: Its tags.
        version: The TensorFlow that wrote it.
        graph: The graph.
        signatures: Signatures by name, without those that TensorFlow hides.
        saver: How a v1 model restores its variables; None without variables.
        objects: Names of the functions of a v2 model's objects; None in a v1 model.
        initializers: Names of the nodes that loading a v1 model runs.
        assets: Names of the files that it reads from its ``assets`` folder.
    """

    tags: tuple[str, ...]
    version: str
    graph: Graph
    signatures: Mapping[str, Signature]
    saver: Saver | None
    objects: tuple[str, ...] | None
    initializers: tuple[str, ...]
    assets: tuple[str, ...]

    @property
    def has_variables(self) -> bool:
        """Whether the model keeps weights in variables."""
        kinds = ("VarHandleOp", "VariableV2", "Variable")
        return any(node.op in kinds for node in self.graph.all_nodes())

    def choose(self, wanted: str | None) -> str:
        """Return the name of the signature to read.

        Args:
            wanted: The user's choice, or None for the default or only one.

        Raises:
            InputError: If there is none, or several and no choice.
        """
        names = ", ".join(map(shown, self.signatures)) or "none"
        if wanted is not None:
            if wanted in self.signatures:
                return wanted
            raise InputError(
                f"the SavedModel has no signature {wanted!r}",
                where="--signature",
                hint=f"its signatures: {names}",
            )
        if _DEFAULT in self.signatures:
            return _DEFAULT
        if len(self.signatures) == 1:
            return next(iter(self.signatures))
        if not self.signatures:
            raise InputError(
                "the SavedModel has no signature, so nothing says what its inputs are",
                where=_WHERE,
                hint="save it with signatures, tf.saved_model.save(model, path, signatures=...)",
            )
        raise InputError(
            f"the SavedModel has {len(self.signatures)} signatures and none is the default",
            where="--signature",
            hint=f"choose one of {names} by --signature",
        )


def read_saved_model(data: memoryview) -> MetaGraph:
    """Read the served meta graph of a ``saved_model.pb``.

    Raises:
        irconv.graph.reading.wire.WireError: If the message is cut off or malformed.
        InputError: If it holds no graph, or several of which none is served.
    """
    found = [(_tags(meta), meta) for meta in Message.of(data).messages(2)]
    if not found:
        raise InputError(
            "saved_model.pb holds no graph",
            where=_WHERE,
            hint="the file is damaged or of another kind; save the model again",
        )
    served = [item for item in found if _SERVE in item[0]]
    if len(found) > 1 and len(served) != 1:
        tags = "; ".join(", ".join(item[0]) or "no tags" for item in found)
        raise InputError(
            f"the SavedModel holds {len(found)} graphs, with the tags: {tags}",
            where=_WHERE,
            hint=f"save the one that is meant alone, or with the tag {_SERVE!r}",
        )
    return _read_meta_graph(*(served or found)[0], alone=len(found) == 1)


def _tags(meta: Message) -> tuple[str, ...]:
    info = meta.message(1)
    return tuple(info.texts(4)) if info else ()


def _read_meta_graph(tags: tuple[str, ...], meta: Message, *, alone: bool) -> MetaGraph:
    info, graph, objects = meta.message(1), meta.message(2), meta.message(7)
    signatures = dict(_signatures(meta))
    initializers = [*signatures[_INIT].nodes] if _INIT in signatures else []
    for name, collection in meta.entries(4):
        if name in _INIT_COLLECTIONS:
            nodes = collection.message(1)
            initializers += [_node(text) for text in nodes.texts(1)] if nodes else []
    return MetaGraph(
        tags,
        info.line(5) if info else "",
        read_graph(graph) if graph else Graph(),
        {name: signatures[name] for name in sorted(signatures) if not name.startswith("__")},
        _saver(meta),
        tuple(name for name, _ in objects.entries(2)) if objects and alone else None,
        tuple(initializers),
        tuple(name for asset in meta.messages(6) for name in asset.texts(2)),
    )


def _signatures(meta: Message) -> Iterator[tuple[str, Signature]]:
    for name, message in meta.entries(5):
        inputs, outputs = dict(message.entries(1)), dict(message.entries(2))
        yield (
            name,
            Signature(
                tuple(_tensor(key, inputs[key]) for key in sorted(inputs)),
                tuple(_tensor(key, outputs[key]) for key in sorted(outputs)),
                tuple(_node(outputs[key].line(1)) for key in sorted(outputs)),
            ),
        )


def _tensor(name: str, info: Message) -> TensorSpec:
    shape = info.message(3)
    dtype = info.number(2)
    return TensorSpec(
        name, DTYPES.get(dtype, f"dtype {dtype}"), None if shape is None else read_shape(shape)
    )


def _saver(meta: Message) -> Saver | None:
    saver = meta.message(3)
    if saver is None:
        return None
    return Saver(_node(saver.line(1)), _node(saver.line(3)))


def _node(tensor: str) -> str:
    return tensor.removeprefix("^").partition(":")[0]
