"""A TFLite model as plain classes, with every index checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from irconv.frontends.tflite.flatbuffer import Bytes, Table

__all__ = ["Model", "Operator", "Quantization", "Signature", "Subgraph", "Tensor"]


@dataclass(frozen=True)
class Quantization:
    """How integers stand for real numbers: ``(q - zero_point) * scale``.

    Attributes:
        scales: One step for all, or one for each slice along ``axis``.
        zero_points: As many as there are scales.
        axis: The dimension that several scales go along.
        details: Kind of a scheme that this cannot say, such as ``BlockwiseQuantization``.
    """

    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int = 0
    details: str = ""

    @property
    def per_axis(self) -> bool:
        """Whether there are several scales."""
        return len(self.scales) > 1


@dataclass(frozen=True)
class Tensor:
    """A tensor of a subgraph.

    Attributes:
        index: Its number in the subgraph.
        name: Its name, not always unique.
        dtype: Full dtype name; ``int4`` and others that irconv has no use for included.
        shape: Sizes, None where dynamic; None as a whole where the rank is unknown.
        quantization: None where the numbers stand for themselves.
        data: Where its bytes lie in the file; None where it is computed.
        variable: Whether it keeps its value from one run to the next.
        sparse: Whether its bytes are stored sparsely.
    """

    index: int
    name: str
    dtype: str
    shape: tuple[int | None, ...] | None
    quantization: Quantization | None = None
    data: Bytes | None = None
    variable: bool = False
    sparse: bool = False

    @property
    def rank(self) -> int | None:
        """Number of dimensions, None where it is unknown."""
        return None if self.shape is None else len(self.shape)


@dataclass(frozen=True)
class Operator:
    """An operator of a subgraph.

    Attributes:
        index: Its number in the subgraph.
        code: Name of the builtin operator, or ``CUSTOM``.
        custom: Name of a custom operator.
        inputs: Numbers of its input tensors, -1 for one that is left out.
        outputs: Numbers of its output tensors.
        options: Its options table.
    """

    index: int
    code: str
    custom: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Table | None = None

    def option(self, name: str, default: Any = 0) -> Any:
        """Return an option, or ``default`` where the operator carries no such table."""
        return default if self.options is None else getattr(self.options, name, default)

    @property
    def bodies(self) -> tuple[int, ...]:
        """Numbers of the subgraphs that it runs."""
        names = _BODIES.get(self.code, ())
        return tuple(int(self.option(name, -1)) for name in names)


_BODIES: Mapping[str, tuple[str, ...]] = {
    "IF": ("then_subgraph_index", "else_subgraph_index"),
    "WHILE": ("cond_subgraph_index", "body_subgraph_index"),
    "CALL": ("subgraph",),
    "CALL_ONCE": ("init_subgraph_index",),
    "STABLEHLO_COMPOSITE": ("decomposition_subgraph_index",),
    "STABLEHLO_WHILE": ("cond_subgraph_index", "body_subgraph_index"),
    "STABLEHLO_REDUCE": ("body_subgraph_index",),
    "STABLEHLO_REDUCE_WINDOW": ("body_subgraph_index",),
    "STABLEHLO_SCATTER": ("update_computation_subgraph_index",),
    "STABLEHLO_SORT": ("comparator_subgraph_index",),
}


@dataclass(frozen=True)
class Subgraph:
    """A graph of the model; the first one is the main graph.

    Attributes:
        name: Its name.
        tensors: Its tensors.
        inputs: Numbers of its input tensors.
        outputs: Numbers of its output tensors.
        operators: Its operators, in the order in which they run.
    """

    name: str
    tensors: tuple[Tensor, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    operators: tuple[Operator, ...]


@dataclass(frozen=True)
class Signature:
    """An entry point of the model.

    Attributes:
        key: Its name, such as ``serving_default``.
        subgraph: Number of the subgraph that it runs.
        inputs: Number of each input tensor by the input's name.
        outputs: Number of each output tensor by the output's name.
    """

    key: str
    subgraph: int
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]


@dataclass(frozen=True)
class Model:
    """A model file that was judged.

    Attributes:
        version: Version of the schema.
        description: What its writer says.
        subgraphs: Its graphs.
        signatures: Its entry points, where it has any.
        metadata: Where the bytes of each entry lie in the file.
        bytes: Size of the file.
    """

    version: int
    description: str
    subgraphs: tuple[Subgraph, ...]
    signatures: tuple[Signature, ...] = ()
    metadata: Mapping[str, Bytes] = field(default_factory=dict)
    bytes: int = 0
