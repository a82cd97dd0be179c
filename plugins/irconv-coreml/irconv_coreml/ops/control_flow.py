"""Branches and loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from irconv_coreml import node as ask
from irconv_coreml.dtypes import MIL_DTYPES
from irconv_coreml.ops.registry import Reason, emits
from irconv_coreml.site import Site, Var

__all__: list[str] = []


def _dims(value: ir.Value) -> tuple[int | None, ...] | None:
    if value.shape is None:
        return None
    return tuple(dim if isinstance(dim, int) else None for dim in value.shape)


def _branch_refusal(node: ir.Node) -> Reason:
    branches = [node.attributes[name].as_graph() for name in ("then_branch", "else_branch")]
    for yes, no in zip(*(branch.outputs for branch in branches), strict=True):
        if _dims(yes) is None or _dims(yes) != _dims(no):
            return (
                f"DYNAMIC_SHAPE: the branches give {yes.name!r} and {no.name!r} of different "
                "shapes, and MIL wants one"
            )
        if yes.dtype != no.dtype:
            return f"UNSUPPORTED_FORM: the branches give {yes.name!r} in two dtypes"
    return ""


@emits("If", refuses=_branch_refusal)
def _if(site: Site) -> list[Var]:
    """ONNX If as MIL cond; what a branch gives is a copy made inside it."""

    def branch(name: str) -> Any:
        graph = site.node.attributes[name].as_graph()

        def write() -> list[Var]:
            with site.program.body({}):
                site.program.nodes(graph)
                return [_inside(site, value) for value in graph.outputs]

        return write

    condition = site.as_scalar(site.x)
    results = site.mb.cond(
        pred=condition, _true_fn=branch("then_branch"), _false_fn=branch("else_branch")
    )
    return list(results) if isinstance(results, (tuple, list)) else [results]


def _inside(site: Site, value: ir.Value) -> Var:
    return site.mb.identity(x=site.program.var(value))


def _loop_refusal(node: ir.Node) -> Reason:
    body = node.attributes["body"].as_graph()
    carried = len(node.inputs) - 2
    for value in body.outputs[1 + carried :]:
        if ask.static_shape(_dims(value)) is None:
            return f"DYNAMIC_SHAPE: the sizes of {value.name!r}, collected by the loop, vary"
    for before, after in zip(body.inputs[2:], body.outputs[1 : 1 + carried], strict=True):
        first, last = _dims(before), _dims(after)
        if first is not None and last is not None and len(first) != len(last):
            return f"DYNAMIC_RANK: the rank of {before.name!r} changes in the loop"
        if before.dtype != after.dtype:
            return f"UNSUPPORTED_FORM: the dtype of {before.name!r} changes in the loop"
    if len(node.inputs) > 2 and any(value is None for value in node.inputs[2:]):
        return "UNSUPPORTED_FORM: a loop-carried value is left out"
    return ""


@emits("Loop", refuses=_loop_refusal)
def _loop(site: Site) -> list[Var]:
    """ONNX Loop as MIL while_loop.

    It carries a counter, the condition, the loop's values, and a list for each value that is
    collected.
    """
    return _Loop(site).write()


class _Loop:
    def __init__(self, site: Site) -> None:
        self.site, self.mb = site, site.mb
        self.body = site.node.attributes["body"].as_graph()
        self.carried = len(site.node.inputs) - 2
        self.limit = site.as_scalar(site[0]) if site.has(0) else None

    def write(self) -> list[Var]:
        site, mb = self.site, self.mb
        start = mb.const(val=np.int32(0))
        keep = site.as_scalar(site[1]) if site.has(1) else mb.const(val=np.bool_(True))
        carried = [site[2 + index] for index in range(self.carried)]
        lists = [self._new_list(value) for value in self.body.outputs[1 + self.carried :]]
        results = mb.while_loop(
            _cond=self._goes_on, _body=self._step, loop_vars=(start, keep, *carried, *lists)
        )
        count = results[0]
        collected = [
            self._gathered(values, count, value)
            for values, value in zip(
                results[2 + self.carried :], self.body.outputs[1 + self.carried :], strict=True
            )
        ]
        return [*results[2 : 2 + self.carried], *collected]

    def _new_list(self, value: ir.Value) -> Var:
        shape = ask.static_shape(_dims(value)) or (1,)
        assert value.dtype is not None
        kind = MIL_DTYPES[value.dtype]
        return self.mb.make_list(
            init_length=np.int32(1),
            dynamic_length=True,
            elem_shape=tuple(np.int32(size) for size in shape),
            dtype="int32" if kind == "bool" else kind,
        )

    def _goes_on(self, count: Var, keep: Var, *_: Var) -> Var:
        if self.limit is None:
            return self.mb.identity(x=keep)
        return self.mb.logical_and(x=keep, y=self.mb.less(x=count, y=self.limit))

    def _step(self, count: Var, keep: Var, *rest: Var) -> list[Var]:
        site, mb, body = self.site, self.mb, self.body
        bindings = dict(zip(body.inputs, (count, keep, *rest[: self.carried]), strict=True))
        with site.program.body(bindings):
            site.program.nodes(body)
            going = site.as_scalar(site.program.var(body.outputs[0]))
            carried = [
                self._like(value, before)
                for value, before in zip(
                    body.outputs[1 : 1 + self.carried], rest[: self.carried], strict=True
                )
            ]
            lists = [
                mb.list_write(ls=values, index=count, value=self._element(value))
                for values, value in zip(
                    rest[self.carried :], body.outputs[1 + self.carried :], strict=True
                )
            ]
            return [
                mb.add(x=count, y=np.int32(1)), mb.identity(x=going), *carried, *lists
            ]  # fmt: skip

    def _like(self, value: ir.Value, before: Var) -> Var:
        """Give a carried value its sizes again, where they stay and MIL has lost them."""
        var = _inside(self.site, value)
        sizes = ask.static_shape(_dims(value))
        if not sizes or self.site.dims(before) != sizes or self.site.dims(var) == sizes:
            return var
        return self.mb.reshape(x=var, shape=np.array(sizes, np.int32))

    def _element(self, value: ir.Value) -> Var:
        var = self.site.program.var(value)
        sizes = ask.static_shape(_dims(value)) or ()
        if self.site.dims(var) != sizes:
            var = self.mb.reshape(x=var, shape=np.array(sizes, np.int32))
        if self.site.kind(var) == "bool":
            var = self.mb.cast(x=var, dtype="int32")
        return self.mb.expand_dims(x=var, axes=[0]) if not var.shape else var

    def _gathered(self, values: Var, count: Var, value: ir.Value) -> Var:
        positions = self.mb.range_1d(start=np.int32(0), end=count, step=np.int32(1))
        stacked = self.mb.list_gather(ls=values, indices=positions)
        return self.mb.squeeze(x=stacked, axes=[1]) if not _dims(value) else stacked
