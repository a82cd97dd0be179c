"""TorchScript in a worker: one process loads, exports and runs a script module."""

from __future__ import annotations

import copy
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from irconv.errors import Diagnostic, InputError, UnsupportedError
from irconv.frontends.pytorch.tensors import state_digest, to_array
from irconv.frontends.torchscript.call import ScriptCall, bind_inputs
from irconv.frontends.torchscript.check import Check, check_export
from irconv.frontends.torchscript.export import (
    RouteError,
    flat_module,
    write_by_program,
    write_by_script,
)
from irconv.frontends.torchscript.outputs import OutputLeaf, read_outputs
from irconv.frontends.torchscript.runner import (
    ScriptRunner,
    call_module,
    script_line,
    script_reason,
)
from irconv.runtime.base import Value
from irconv.runtime.service import RunnerService
from irconv.shapes import DimRange, InputSpec

__all__ = ["TorchScriptService"]

_WHERE = "frontend torchscript"
_ROUTES = {
    "script": "PyTorch's TorchScript exporter",
    "program": "an exported program and PyTorch's newer exporter",
    "trace": "a trace at the example's sizes and PyTorch's newer exporter",
}
_LARGEST = 8
"""Free dimensions are exported with and checked up to this size, or at their least."""
_CHANGES_STATE = (
    "a call changes the module's buffers or attributes, which a compiled model does not keep: "
    "every run is a first run"
)


class TorchScriptService(RunnerService):
    """Holds one script module, from its archive to its reference outputs."""

    def __init__(self) -> None:
        super().__init__()
        self._module: Any
        self._call: ScriptCall
        self._outputs: list[OutputLeaf]
        self._shapes: dict[str, DimRange] = {}
        self._small: dict[str, DimRange] = {}
        self._notes: list[str] = []
        self._digest = ""
        self._keeps_state = True

    def load(
        self,
        path: str,
        inputs: Sequence[tuple[str, Sequence[int | str | None], str | None]],
        traced: Mapping[str, tuple[str, Sequence[int]]],
        shapes: Mapping[str, tuple[int, int, int]],
    ) -> None:
        """Load an archive and find its inputs and outputs.

        Args:
            path: An archive that irconv copied after judging it, or any that the user trusts.
            inputs: Name, dims and dtype of each stated input.
            traced: Dtype and shape of the arguments that the archive recorded.
            shapes: Minimum, best and maximum of named dimensions.

        Raises:
            InputError: If PyTorch cannot read it, it behaves as in training, or the inputs do
                not fit.
            BackendError: If the module fails on an input of the stated form.
        """
        self._shapes = {name: DimRange(*bounds) for name, bounds in shapes.items()}
        self._small = {name: _small(bounds) for name, bounds in self._shapes.items()}
        stated = [InputSpec(name, tuple(dims), dtype) for name, dims, dtype in inputs]
        self._module = _load(path)
        _check_inference(self._module)
        schema = self._module.forward.schema
        self._call = bind_inputs(schema, stated, traced, self._small)
        self._notes = list(self._call.notes)
        self._digest = self._state()
        result = call_module(self._module, self._call, self._call.examples())
        if self._state() != self._digest or _sets_attributes(self._module):
            self._module = _load(path)
            self._keeps_state = False
            self._notes.append(_CHANGES_STATE)
        self._outputs = read_outputs(result, schema.returns[0].type, self._call.inputs)
        self._runner = ScriptRunner(
            self._module, self._call, self._outputs, keeps_state=self._keeps_state
        )

    def _state(self) -> str:
        return state_digest(self._module.state_dict().items())

    def export(self, path: str, opset: int, route: str) -> dict[str, Any]:
        """Write the module as ONNX by the first route that gives the module's own outputs.

        Args:
            path: The ``.onnx`` file to write, in a folder for nothing else.
            opset: The opset to write.
            route: ``script``, ``program``, ``trace``, or ``auto`` for one after the other.

        Returns:
            ``ranks`` of the outputs, and ``notes``.

        Raises:
            UnsupportedError: If no route does, with the operators and lines that stop each.
            InputError: If exporting changed the weights.
        """
        module = self._module if self._keeps_state else copy.deepcopy(self._module)
        flat = flat_module(module, self._call, self._outputs)
        refusals: list[Diagnostic] = []
        for name in (*_ROUTES,) if route == "auto" else (route,):
            target = Path(path)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    self._writer(name)(flat, target, opset)
                check = self._checked(target)
            except RouteError as refusal:
                refusals += [_by_route(name, diagnostic) for diagnostic in refusal.diagnostics]
                _clear(target.parent)
                continue
            self._check_unchanged()
            notes = [*self._notes, f"exported by {_ROUTES[name]}"]
            notes += [f"another way did not do: {refusal}" for refusal in refusals]
            notes += [check.note] if check.note else []
            return {"ranks": _ranks(check.outputs), "notes": notes}
        hint = "" if self._keeps_state else _CHANGES_STATE
        raise UnsupportedError("onnx", refusals, where=_WHERE, hint=hint)

    def _writer(self, route: str) -> Callable[[Any, Path, int], None]:
        def by_script(flat: Any, path: Path, opset: int) -> None:
            write_by_script(flat, self._call, self._outputs, path, opset)

        def by_program(flat: Any, path: Path, opset: int) -> None:
            traced = route == "trace"
            write_by_program(
                flat, self._call, self._outputs, path, opset, self._shapes, traced=traced
            )

        return by_script if route == "script" else by_program

    def _checked(self, path: Path) -> Check:
        example = {name: to_array(value) for name, value in self._call.examples().items()}
        check = check_export(path, self.runner, example, self._small)
        if check.problems:
            reason = "what it writes is not the module: " + "; ".join(check.problems)
            raise RouteError([Diagnostic("EXPORT_WRONG", reason)])
        return check

    def _check_unchanged(self) -> None:
        if self._state() != self._digest:
            raise InputError(
                "the export to ONNX changed the module's weights or buffers, so its outputs can "
                "no longer be trusted",
                where=_WHERE,
                hint="save the module again after module.eval()",
            )


def _small(bounds: DimRange) -> DimRange:
    """Return the lower part of a range: a graph is no other one above, and costs more to run."""
    top = min(bounds.maximum, max(bounds.minimum, _LARGEST))
    return DimRange(bounds.minimum, top, top)


def _load(path: str) -> Any:
    try:
        module = torch.jit.load(path, map_location="cpu")
    except Exception as error:
        raise InputError(
            f"PyTorch {torch.__version__} cannot read the archive: {script_reason(error)}",
            where=script_line(str(error)) or _WHERE,
            hint="save it with this version of PyTorch; operators of other libraries cannot be "
            "loaded",
        ) from error
    if not hasattr(module, "forward"):
        raise InputError(
            "the archive's module has no method forward",
            where=_WHERE,
            hint="save a module with forward by torch.jit.save",
        )
    return module.eval()


def _check_inference(module: Any) -> None:
    """Refuse a module whose code, not its mode, says that it trains."""
    graph = module.inlined_graph
    active = [
        f"{kind} at {script_line(str(node.sourceRange())) or 'an unknown line'}"
        for kind, position in _TRAINING.items()
        for node in graph.findAllNodes(kind)
        if _is_true(list(node.inputs()), position)
    ]
    if active:
        raise InputError(
            "the module was traced in training mode: " + "; ".join(dict.fromkeys(active[:5])),
            where=_WHERE,
            hint="call module.eval() before torch.jit.trace",
        )


_TRAINING = {
    "aten::dropout": 2,
    "aten::dropout_": 2,
    "aten::feature_dropout": 2,
    "aten::alpha_dropout": 2,
    "aten::batch_norm": 5,
}
"""Position of the argument by which an operator trains."""


def _is_true(inputs: Sequence[Any], position: int) -> bool:
    return len(inputs) > position and inputs[position].toIValue() is True


def _sets_attributes(module: Any) -> bool:
    return bool(module.inlined_graph.findAllNodes("prim::SetAttr"))


def _by_route(route: str, diagnostic: Diagnostic) -> Diagnostic:
    reason = f"by {_ROUTES[route]}: {diagnostic.reason}"
    return Diagnostic(diagnostic.code, reason, diagnostic.node, diagnostic.op, diagnostic.way_out)


def _clear(folder: Path) -> None:
    for entry in folder.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def _ranks(samples: Sequence[Mapping[str, Value]]) -> dict[str, int]:
    """Return the rank of each output that has the same one on every sample."""
    ranks: dict[str, set[int]] = {}
    for outputs in samples:
        for name, value in outputs.items():
            ranks.setdefault(name, set()).add(getattr(value, "ndim", 0))
    return {name: found.pop() for name, found in ranks.items() if len(found) == 1}
