"""Which operators of a TensorFlow graph reach beyond the graph.

"TensorFlow models are programs" (TensorFlow's ``SECURITY.md``): a graph reads and writes files,
calls Python and opens connections as soon as it runs. Only what loading the model, tracing it
and running its signatures may run is judged; the rest of the file is never run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from irconv.frontends.tensorflow.graph_def import Graph, Node
from irconv.frontends.tensorflow.saved_model import MetaGraph
from irconv.graph.preflight.messages import shown

__all__ = ["dangers_of_graph", "dangers_of_saved_model"]

_READS = (
    r"ReadFile|MatchingFiles|ImmutableConst|RecordInput|InitializeTableFromTextFile(?:V2)?"
    r"|(?:TextLine|FixedLengthRecord|TFRecord|LMDB|WholeFile|Identity)Reader(?:V2)?|Reader[A-Z]\w*"
    r"|LoadAndRemapMatrix|GenerateVocabRemapping|Restore|RestoreV2|RestoreSlice|BigQueryReader"
)
_WRITES = (
    r"WriteFile|Save|SaveV2|SaveSlices|DistributedSave|MergeV2Checkpoints|PrintV2|ImportEvent"
    r"|CreateSummary(?:File|Db)Writer|Write\w*Summary|FlushSummaryWriter"
)
_CONNECTS = (
    r"RemoteCall|_?(?:Host)?(?:Send|Recv)|Collective\w+|Nccl\w+|DataService\w+|Rpc\w+"
    r"|(?:Debug|Copy)\w*|Configure\w+|Shutdown\w+|FileSystemSetConfiguration"
)
_NATIVE = (
    r"TRTEngineOp|CreateTRTResourceHandle|InitializeTRTResource|MlirPassthroughOp|NeuronOp"
    r"|_?TPU\w+|XlaHostCompute\w*"
)
_PATTERNS = tuple(
    (re.compile(pattern), what)
    for pattern, what in (
        (_READS, "reads files"),
        (_WRITES, "writes files"),
        (r"\w*Dataset\w*", "reads or writes data sets"),
        (r"\w*PyFunc\w*", "calls Python"),
        (_CONNECTS, "opens connections, or writes where it is told to"),
        (_NATIVE, "runs machine code that it holds"),
        (r"SymbolicGradient", "calls a function that it does not name"),
        (r"Abort", "ends the process"),
    )
)
_HARMLESS = frozenset({"DebugGradientIdentity", "DebugGradientRefIdentity"})
_RESTORES = frozenset({"Restore", "RestoreV2", "RestoreSlice"})


def dangers_of_graph(graph: Graph, outputs: Iterable[str]) -> list[str]:
    """Return what computing the named nodes would do beside computing, each reason once."""
    return _reasons(_judge(graph.behind(outputs)))


def dangers_of_saved_model(meta: MetaGraph) -> list[str]:
    """Return what loading and running a SavedModel would do beside computing.

    A v1 model restores its variables by nodes of its own; they may read the file that
    TensorFlow gives them and no other.
    """
    outputs = [node for signature in meta.signatures.values() for node in signature.nodes]
    roots = [*outputs, *meta.initializers]
    reasons = list(_judge(meta.graph.behind(roots, meta.objects or ())))
    if meta.objects is None and meta.saver is not None:
        nodes = meta.graph.behind([meta.saver.restore])
        reasons += _judge(node for node in nodes if not _is_own_restore(meta, node))
    return _reasons(reasons)


def _is_own_restore(meta: MetaGraph, node: Node) -> bool:
    if node.op not in _RESTORES or meta.saver is None:
        return False
    source = meta.graph.nodes.get(node.first_input.partition(":")[0])
    return source is not None and source.name == meta.saver.filename


def _judge(nodes: Iterable[Node]) -> Iterator[str]:
    for node in nodes:
        for pattern, what in _PATTERNS:
            if pattern.fullmatch(node.op) and node.op not in _HARMLESS:
                yield f"node {shown(node.name)} ({node.op}) {what}"


def _reasons(reasons: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(reasons))
