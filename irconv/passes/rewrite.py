"""What the passes share that rewrite a model node by node: one sweep, with its account.

Such a pass says in :meth:`NodeRewrite.match` what it would do at a node, and does it in
:meth:`NodeRewrite.rewrite`. Between the two stands the question whether it may.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from irconv.graph.add_constant import add_constant
from irconv.graph.edit import Editor
from irconv.graph.names import NameAllocator
from irconv.graph.scopes import Scope, scopes
from irconv.passes.base import Pass, PassContext, PassResult, Refusal
from irconv.passes.edits import Edits
from irconv.passes.sites import Sites

__all__ = ["NodeRewrite", "Place", "own_operators"]

_Match = TypeVar("_Match")


@dataclass(frozen=True)
class Place:
    """What holds where a node stands, and what edits there take.

    Attributes:
        scope: The main graph or local function that the node belongs to.
        edits: The edits of this run.
    """

    scope: Scope
    edits: Edits

    @property
    def opset(self) -> int:
        """The opset version of the default domain."""
        return self.scope.opsets.get("", 1)

    @property
    def editor(self) -> Editor:
        """The editor of this run."""
        return self.edits.editor

    @property
    def names(self) -> NameAllocator:
        """The fresh names of this run."""
        return self.edits.names

    def constant(
        self,
        before: ir.Node,
        name: str,
        data: ir.TensorProtocol | npt.NDArray[Any] | Sequence[int],
    ) -> ir.Value:
        """Add a constant to the graph of ``before`` and return its value.

        Args:
            before: A node of this scope that is to read the constant.
            name: The name, which gets a number behind it where it is taken.
            data: The tensor, or an array, or the items of an int64 vector.
        """
        if isinstance(data, Sequence):
            data = np.array(data, np.int64)
        tensor = ir.Tensor(data) if isinstance(data, np.ndarray) else data
        name = self.names.fresh(name)
        return add_constant(before, name, tensor, is_function=self.scope.is_function)


@dataclass(frozen=True)
class NodeRewrite(Pass, Generic[_Match]):
    """A pass that rewrites a model in one sweep over its nodes, each by itself.

    Class attributes:
        op_types: The operators of the default domain at which it looks.
        oldest_opset: The oldest opset that it works on.
        counted: What the details call the number of its sites.
    """

    op_types: ClassVar[frozenset[str]]
    oldest_opset: ClassVar[int] = 1
    counted: ClassVar[str] = "merged"

    @abc.abstractmethod
    def match(self, node: ir.Node, place: Place) -> _Match | str | None:
        """Return what to do at ``node``, and change nothing.

        Returns:
            What :meth:`rewrite` needs to know, where all conditions hold; the first condition
            that failed, in words, where the node nearly matches; else None.
        """

    @abc.abstractmethod
    def rewrite(self, node: ir.Node, match: _Match, place: Place) -> None:
        """Rewrite the model at ``node``; the sweep goes on with the nodes that stood behind it."""

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Rewrite in one sweep over all graphs, bodies and functions; linear in nodes."""
        sites, edits = Sites(context), Edits(model)
        refusals: list[Refusal] = []
        op_types = self.op_types - own_operators(model)
        for scope in scopes(model):
            place = Place(scope, edits)
            if place.opset < self.oldest_opset:
                continue
            for graph in scope.graphs():
                for node in tuple(graph):
                    if node.op_type not in op_types or node.domain != "":
                        continue
                    found = self.match(node, place)
                    if isinstance(found, str):
                        refusals.append(Refusal(node.name or "", node.op_type, found))
                    elif found is not None and sites.permit(node):
                        self.rewrite(node, found, place)
        edits.finish()
        details = {self.counted: len(sites.made)}
        return PassResult(bool(sites.made), details, tuple(refusals), sites.made)


def own_operators(model: ir.Model) -> frozenset[str]:
    """Return the operators of the default domain that a model defines itself, by functions."""
    return frozenset(name for domain, name, _ in model.functions if domain in ("", "ai.onnx"))
