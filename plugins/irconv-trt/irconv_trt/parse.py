"""Parsing an ONNX file into a TensorRT network, with every refused node in one error.

The parser's checkers look at all nodes, but its importers stop at the first node that fails.
To name the others too, a failed node is taken out, what it computes becomes an input, and the
rest is parsed again.
"""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irconv.errors import Diagnostic, UnsupportedError
from irconv_trt.messages import (
    builder_words,
    parser_diagnostics,
    wrong_number_diagnostics,
)

if TYPE_CHECKING:
    import onnx

    from irconv_trt.sdk import Message, Sdk

__all__ = ["Parsed", "parse"]

_MAX_ROUNDS = 32
_MAX_BYTES = 64 * 1024 * 1024


class Parsed:
    """A network, and what must live as long as it.

    Attributes:
        builder: The builder that made the network.
        network: The network.
        messages: What the parser logged.
    """

    def __init__(self, sdk: Sdk, content: bytes | mmap.mmap, path: Path) -> None:
        trt = sdk.module
        sdk.drain()
        self.builder = trt.Builder(sdk.logger)
        flags = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        self.network = self.builder.create_network(flags)
        self._parser = trt.OnnxParser(self.network, sdk.logger)
        self.ok: bool = self._parser.parse(content, str(path))
        self.messages: list[Message] = sdk.drain()

    @property
    def errors(self) -> list[Any]:
        """The errors that the parser keeps."""
        return [self._parser.get_error(index) for index in range(self._parser.num_errors)]


def parse(sdk: Sdk, path: Path) -> Parsed:
    """Parse the ONNX file ``path``, which irconv wrote, its external data beside it.

    Raises:
        UnsupportedError: With a diagnostic for each node that the parser refuses, and for each
            warning after which the engine's numbers would be wrong.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        parsed = Parsed(sdk, content, path)
    diagnostics = parser_diagnostics(parsed.errors)
    if not parsed.ok and parsed.errors and path.stat().st_size <= _MAX_BYTES:
        diagnostics += _further_errors(sdk, path, parsed.errors)
    diagnostics += wrong_number_diagnostics(parsed.messages)
    if not parsed.ok and not diagnostics:
        diagnostics = [Diagnostic("PARSER", builder_words(parsed.messages))]
    if diagnostics:
        raise UnsupportedError("trt", diagnostics, where="TensorRT ONNX parser")
    return parsed


def _further_errors(sdk: Sdk, path: Path, errors: list[Any]) -> list[Diagnostic]:
    import onnx

    model = onnx.load_from_string(path.read_bytes())
    diagnostics: list[Diagnostic] = []
    for _ in range(_MAX_ROUNDS):
        if not _take_out(model.graph, errors):
            break
        parsed = Parsed(sdk, model.SerializeToString(), path)
        errors = parsed.errors
        diagnostics += parser_diagnostics(errors)
    return diagnostics


def _take_out(graph: onnx.GraphProto, errors: list[Any]) -> bool:
    """Remove the nodes that ``errors`` name; return whether there were any in this graph."""
    known = {value.name: value for value in graph.value_info}
    outputs = {value.name for value in graph.output}
    indices = sorted({error.node() for error in errors}, reverse=True)
    operators = {error.node(): error.node_operator() for error in errors}
    removed = False
    for index in indices:
        if not 0 <= index < len(graph.node) or graph.node[index].op_type != operators[index]:
            continue
        produced = [name for name in graph.node[index].output if name]
        if any(name not in known and name not in outputs for name in produced):
            continue
        graph.input.extend(known[name] for name in produced if name not in outputs)
        kept = [value for value in graph.output if value.name not in produced]
        del graph.output[:]
        graph.output.extend(kept)
        del graph.node[index]
        removed = True
    return removed
