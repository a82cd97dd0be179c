"""Converting the operators of one graph, one after another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from irconv.errors import Diagnostic, InputError
from irconv.frontends.tflite.disguise import disguise_outputs, prepare_disguised
from irconv.frontends.tflite.edges import Edge
from irconv.frontends.tflite.nodes import ONNX_DTYPES, Nodes, Pool
from irconv.frontends.tflite.ops.registry import converter_of
from irconv.frontends.tflite.refusal import RefusalError
from irconv.frontends.tflite.site import Site
from irconv.frontends.tflite.sizes import follow_sizes

if TYPE_CHECKING:
    import onnx_ir as ir

    from irconv.frontends.tflite.file import ModelFile
    from irconv.frontends.tflite.model import Operator, Tensor

__all__ = ["Conversion", "Scope"]


_MISFITS = (ArithmeticError, AssertionError, LookupError, TypeError, ValueError, MemoryError)
"""What converters run into where a file says what cannot be, such as a fifth dimension of four."""


class Conversion:
    """What all graphs of a model share while they are converted.

    Args:
        file: The model.
        exact: Whether integers that LiteRT makes of activations at run time are kept.

    Attributes:
        file: The model.
        exact: Whether integers that LiteRT makes of activations at run time are kept.
        pool: Names and constants.
        refusals: What could not be converted.
        notes: What the user should know, in the order of discovery.
    """

    def __init__(self, file: ModelFile, *, exact: bool) -> None:
        self.file = file
        self.exact = exact
        self.pool = Pool()
        self.refusals: list[Diagnostic] = []
        self.notes: dict[str, None] = {}


class Scope:
    """One graph.

    Args:
        conversion: What all graphs share.
        number: Number of the subgraph.
        inputs: Values of its inputs, in their own dtypes, channels last.
        nodes: Where nodes are added; None for a new graph.

    Attributes:
        conversion: What all graphs share.
        nodes: Where nodes are added.
        edges: Its tensors.
    """

    def __init__(
        self,
        conversion: Conversion,
        number: int,
        inputs: Sequence[ir.Value],
        nodes: Nodes | None = None,
    ) -> None:
        self.conversion = conversion
        self.nodes = nodes or Nodes(conversion.pool)
        self._subgraph = conversion.file.model.subgraphs[number]
        self.edges = [
            Edge(tensor, self.nodes, conversion.file) for tensor in self._subgraph.tensors
        ]
        for index, value in zip(self._subgraph.inputs, inputs, strict=True):
            self.edges[index].set_raw(value)
        for edge in self.edges:
            if edge.tensor.variable and edge.tensor.data is None:
                self._clear(edge)

    def run(self) -> list[ir.Value]:
        """Convert all operators and return the outputs; a refused one is its input or zero."""
        for operator in self._subgraph.operators:
            self._convert(operator)
        return [self._result(self.edges[index]) for index in self._subgraph.outputs]

    def _result(self, edge: Edge) -> ir.Value:
        return self.nodes.constant(0) if edge.refused else edge.raw()

    def _convert(self, operator: Operator) -> None:
        site = Site(self, operator)
        if any(edge.refused for edge in site.inputs):
            _refuse(site)
            return
        try:
            disguise = prepare_disguised(site)
            converter_of(operator.code)(site)
            disguise_outputs(site, disguise)
            follow_sizes(site)
        except RefusalError as refusal:
            self.conversion.refusals.append(
                Diagnostic(
                    "UNSUPPORTED_FORM",
                    refusal.reason,
                    node=site.outputs[0].tensor.name if site.outputs else "",
                    op=f"tflite::{operator.code}",
                    way_out=refusal.way_out,
                )
            )
            _refuse(site)
        except _MISFITS as error:
            raise InputError(
                f"operator {operator.index} ({operator.code}) of the TFLite model has operands or "
                f"options that do not fit it: {error}",
                where="frontend tflite",
                hint="the file is damaged, or uses the operator in a form that irconv does not "
                "know; if LiteRT runs it, report it",
            ) from error

    def _clear(self, edge: Edge) -> None:
        """Give a variable the value that it has in the first run."""
        tensor: Tensor = edge.tensor
        if tensor.shape is None or None in tensor.shape or tensor.dtype not in ONNX_DTYPES:
            return
        dtype = ONNX_DTYPES[tensor.dtype].numpy()
        point = tensor.quantization.zero_points[0] if tensor.quantization else 0
        shape = [size for size in tensor.shape if size is not None]
        start = self.nodes.constant(np.array(point, dtype))
        edge.set_raw(self.nodes.op("Expand", start, self.nodes.ints(shape)))


def _refuse(site: Site) -> None:
    for edge in site.outputs:
        edge.refused = True
