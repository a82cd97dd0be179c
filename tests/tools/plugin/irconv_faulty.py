"""Passes and a target that are wrong where a test asks for it; found by workers, too."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from irconv.backends.base import Artifact, Support
from irconv.backends.onnx import OnnxBackend
from irconv.graph.constants import constant_tensor
from irconv.graph.scopes import scopes
from irconv.hookspecs import hookimpl
from irconv.passes.base import Effect, Pass, PassResult, Refusal
from irconv.passes.sites import Sites
from irconv.runtime.base import Feeds, Level, Runner, Value


@dataclass(frozen=True)
class DoubleByAdding(Pass):
    """Replace x * 2 by x + x; at nodes of some names by x + 2.

    Attributes:
        wrong: Names of the nodes that are replaced wrongly.
    """

    name: ClassVar[str] = "double-by-adding"
    effect: ClassVar[Effect] = "real-arithmetic"

    wrong: tuple[str, ...] = ()

    def run(self, model, context):
        sites, refusals = Sites(context), []
        for node in list(_muls(model)):
            tensor = constant_tensor(node.inputs[1])
            if tensor is None or tensor.size != 1:
                refusals.append(Refusal(node.name, node.op_type, "its factor is not constant"))
            elif tensor.numpy().item() != 2:
                refusals.append(Refusal(node.name, node.op_type, "its factor is not two"))
            elif sites.permit(node):
                _double(node, wrong=node.name in self.wrong)
        return PassResult(bool(sites.made), {}, tuple(refusals), sites.made)


@dataclass(frozen=True)
class DoubleSilently(DoubleByAdding):
    """The same by a pass that knows nothing of sites."""

    name: ClassVar[str] = "double-silently"

    def run(self, model, context):
        found = [
            node
            for node in _muls(model)
            if (tensor := constant_tensor(node.inputs[1])) is not None
            and tensor.size == 1
            and tensor.numpy().item() == 2
        ]
        for node in found:
            _double(node, wrong=node.name in self.wrong)
        return PassResult(bool(found))


def _muls(model):
    for scope in scopes(model):
        for graph in scope.graphs():
            yield from (node for node in graph if node.op_type == "Mul")


def _double(node, *, wrong):
    node.op_type = "Add"
    if not wrong:
        node.replace_input_with(1, node.inputs[0])


@dataclass(frozen=True)
class PreparePairs(Pass):
    """Swap the operands of products by two, which alone is no gain."""

    name: ClassVar[str] = "prepare-pairs"
    effect: ClassVar[Effect] = "real-arithmetic"

    def run(self, model, context):
        found = [node for node in _muls(model) if constant_tensor(node.inputs[1]) is not None]
        for node in found:
            first, second = node.inputs
            node.replace_input_with(0, second)
            node.replace_input_with(1, first)
        return PassResult(bool(found))


@dataclass(frozen=True)
class DropPairs(Pass):
    """Replace 2 * x by x + x, but not x * 2."""

    name: ClassVar[str] = "drop-pairs"
    effect: ClassVar[Effect] = "real-arithmetic"

    def run(self, model, context):
        found = [
            node
            for node in _muls(model)
            if (tensor := constant_tensor(node.inputs[0])) is not None
            and tensor.numpy().item() == 2
        ]
        for node in found:
            node.op_type = "Add"
            node.replace_input_with(0, node.inputs[1])
        return PassResult(bool(found))


@dataclass(frozen=True)
class HideOperator(Pass):
    """Call an operator by a name that only the target knows.

    Attributes:
        op: The operator type.
    """

    name: ClassVar[str] = "hide-operator"

    op: str = "Cos"

    def run(self, model, context):
        found = [node for node in model.graph if node.op_type == self.op]
        for node in found:
            node.domain = _OWN_DOMAIN
        model.opset_imports.setdefault(_OWN_DOMAIN, 1)
        return PassResult(bool(found))


@dataclass(frozen=True)
class ShowOperator(Pass):
    """Call what the target knows by the standard's names again.

    Attributes:
        wrong: Names of the nodes that are taken for others.
    """

    name: ClassVar[str] = "show-operator"

    wrong: tuple[str, ...] = ()

    def run(self, model, context):
        found = _show(model)
        for node in found:
            if node.name in self.wrong:
                node.op_type = _INSTEAD[node.op_type]
        return PassResult(bool(found))


def _show(model):
    found = [node for node in model.graph if node.domain == _OWN_DOMAIN]
    for node in found:
        node.domain = ""
    model.opset_imports.pop(_OWN_DOMAIN, None)
    return found


@dataclass(frozen=True)
class BreakOff(Pass):
    """Raise an exception half way."""

    name: ClassVar[str] = "break-off"

    def run(self, model, context):
        next(iter(model.graph)).op_type = "Nothing"
        raise KeyError("half way")


_OWN_DOMAIN = "faulty.own"
_INSTEAD = {"Sub": "Add", "Neg": "Abs", "Cos": "Sin", "Sin": "Cos"}


@dataclass(frozen=True)
class FaultyBackend(OnnxBackend):
    """An ONNX target that does what its options say.

    Attributes:
        adds: Spec texts of what it adds to -O3.
        fits: Spec texts of its legalization; empty for that of ONNX.
        breaks: Operator type of the nodes that it takes for others: Sub, Neg, Cos or Sin.
        hides: Get nothing wrong of a model that has more than two outputs.
        slow: Operator type of the nodes that take a millisecond each.
        stands_in: Say that what runs is not the artifact.
    """

    name: ClassVar[str] = "faulty"
    summary: ClassVar[str] = "ONNX, with the faults that a test asks for"

    adds: tuple[str, ...] = ()
    fits: tuple[str, ...] = ()
    breaks: str = ""
    hides: bool = False
    slow: str = ""
    stands_in: bool = False

    def optimization(self):
        return self.adds

    def legalization(self):
        return self.fits or super().legalization()

    def supports(self, node):
        return Support(True) if node.domain == _OWN_DOMAIN else super().supports(node)

    def check(self, model, shapes):
        shown = model.clone()
        _show(shown)
        return super().check(shown, shapes)

    def emit(self, model, directory, request) -> Artifact:
        _show(model)
        hidden = self.hides and len(model.graph.outputs) > 2
        for node in model.graph:
            if node.op_type == self.breaks and not hidden:
                node.op_type = _INSTEAD[node.op_type]
        artifact = super().emit(model, directory, request)
        slow = sum(node.op_type == self.slow for node in model.graph)
        return Artifact(artifact.main, artifact.precision, artifact.requires, data={"slow": slow})

    def runner(self, directory: Path, artifact: Artifact) -> Runner:
        runner = super().runner(directory, artifact)
        level = "graph" if self.stands_in else "artifact"
        return _SlowRunner(runner, 0.001 * artifact.data["slow"], level)


@dataclass(frozen=True)
class PlainBackend(FaultyBackend):
    """The same target, which would only take apart what double-by-adding puts together."""

    name: ClassVar[str] = "plain"
    summary: ClassVar[str] = "ONNX that avoids a pass"

    def avoids(self) -> frozenset[str]:
        return frozenset({"double-by-adding"})


class _SlowRunner(Runner):
    def __init__(self, inner: Runner, seconds: float, level: Level) -> None:
        self.level = level
        self.inner = inner
        self.seconds = seconds

    def run(self, feeds: Feeds) -> dict[str, Value]:
        time.sleep(self.seconds)
        return self.inner.run(feeds)

    def describe(self) -> dict[str, str]:
        return self.inner.describe()

    def close(self) -> None:
        self.inner.close()


@hookimpl
def irconv_passes():
    return [
        DoubleByAdding, DoubleSilently, PreparePairs, DropPairs, HideOperator, ShowOperator,
        BreakOff,
    ]  # fmt: skip


@hookimpl
def irconv_backends():
    return [FaultyBackend, PlainBackend]
