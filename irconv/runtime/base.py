"""The runner contract: something that computes a model's outputs from its inputs."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Array", "Feeds", "Level", "Runner", "TensorSpec", "Value"]

Array: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"
Value: TypeAlias = "Array | list[Any] | dict[Any, Any] | None"
"""What flows in and out: a tensor; a list for a sequence; a dict for a map; None for an empty
optional."""
Feeds: TypeAlias = "Mapping[str, Value]"

Level = Literal["artifact", "reference", "graph", "none"]
"""What was run: the emitted file in its own runtime; the emitted file in a reference
interpreter; the graph that was handed to the vendor's builder; nothing."""


@dataclass(frozen=True)
class TensorSpec:
    """Name, dtype and shape of a model input or output.

    Attributes:
        name: The name in the source model.
        dtype: Full dtype name such as ``float32``, ``int64``, ``bfloat16``, ``string``.
        shape: Sizes, names of dynamic dimensions, or None where nothing is known; the whole
            shape is None when the rank is unknown.
        kind: ``tensor``, ``sequence`` or ``optional``; dtype and shape are the element's.
    """

    name: str
    dtype: str
    shape: tuple[int | str | None, ...] | None
    kind: Literal["tensor", "sequence", "optional", "map"] = "tensor"

    def __str__(self) -> str:
        dims = (
            "?"
            if self.shape is None
            else ",".join("?" if d is None else str(d) for d in self.shape)
        )
        text = f"{self.dtype}[{dims}]"
        return f"{self.name}: {text if self.kind == 'tensor' else f'{self.kind}({text})'}"

    def to_json(self) -> dict[str, Any]:
        """Return the spec as it stands in a manifest."""
        document: dict[str, Any] = {
            "name": self.name,
            "dtype": self.dtype,
            "shape": None if self.shape is None else list(self.shape),
        }
        return document if self.kind == "tensor" else document | {"kind": self.kind}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Rebuild a spec from :meth:`to_json`."""
        shape = document["shape"]
        return cls(
            document["name"],
            document["dtype"],
            None if shape is None else tuple(shape),
            document.get("kind", "tensor"),
        )


class Runner(abc.ABC):
    """Runs one loaded model or artifact; a context manager that closes it."""

    level: Level = "artifact"
    """What a run through this runner proves."""

    @abc.abstractmethod
    def run(self, feeds: Feeds) -> dict[str, Value]:
        """Return all outputs, keyed by the source model's output names, in its order.

        Args:
            feeds: A value for every input, keyed by the source model's names, in the source's
                layout and dtype.
        """

    def describe(self) -> dict[str, str]:
        """Return what ran: ``runtime``, ``version``, ``device``, ``precision``."""
        return {}

    def close(self) -> None:
        """Free what the runtime holds."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
