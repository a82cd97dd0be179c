"""PyTorch in a worker: one process builds, exports and runs a module.

A factory that draws its weights at random gives another module at every call, so the process
that exports a module is also the one that gives its reference outputs.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from irconv.errors import InputError
from irconv.frontends.factories import first_line
from irconv.frontends.pytorch.archive import UNBOUNDED
from irconv.frontends.pytorch.export import changed_buffers, check_inference, to_onnx, trace
from irconv.frontends.pytorch.factory import call_factory, prepare
from irconv.frontends.pytorch.runner import TorchRunner, flat_feeds
from irconv.frontends.pytorch.signature import Signature, name_dimensions, read_signature
from irconv.frontends.pytorch.state import fill, read_state, unpickle_module
from irconv.frontends.pytorch.tensors import state_digest
from irconv.runtime.service import RunnerService
from irconv.runtime.values import save_samples
from irconv.shapes import DimRange, InputSpec

__all__ = ["PytorchService"]

_WHERE = "frontend pytorch"


class PytorchService(RunnerService):
    """Holds one module, from its source to its reference outputs."""

    def __init__(self) -> None:
        super().__init__()
        self._module: torch.nn.Module
        self._program: torch.export.ExportedProgram
        self._signature: Signature
        self._examples: tuple[tuple[Any, ...], dict[str, Any]] | None = None
        self._notes: list[str] = []
        self._digest = ""
        self._dimensions: dict[str, str] = {}

    def load_program(self, path: str, *, trust: bool) -> None:
        """Load an exported program.

        Args:
            path: A ``.pt2`` that irconv copied after judging it, or any under ``trust``.
            trust: Whether pickled objects in it may run code.

        Raises:
            InputError: If PyTorch cannot read it, or it was exported in training mode.
        """
        if not trust:
            os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
        try:
            with Path(path).open("rb") as file:
                self._program = torch.export.load(file)
        except Exception as error:
            raise InputError(
                f"PyTorch {torch.__version__} cannot read the program: {first_line(error)}",
                where=_WHERE,
                hint="save it with this version of PyTorch, from a module on the CPU",
            ) from error
        self._examples = self._program.example_inputs or None
        self._open(self._program.module())

    def load_factory(
        self,
        target: str,
        inputs: Sequence[tuple[str, Sequence[int | str | None], str | None]],
        shapes: Mapping[str, tuple[int, int, int]],
    ) -> None:
        """Build a module by its factory and trace it.

        Args:
            target: ``package.module:factory``.
            inputs: Name, dims and dtype of each stated input.
            shapes: Minimum, best and maximum of named dimensions.

        Raises:
            InputError: If the factory fails or the module cannot be traced.
        """
        self._trace(*call_factory(target), inputs, shapes, [])

    def load_weights(
        self,
        path: str,
        target: str,
        entry: str,
        inputs: Sequence[tuple[str, Sequence[int | str | None], str | None]],
        shapes: Mapping[str, tuple[int, int, int]],
    ) -> None:
        """Build a module by its class or factory, give it weights, and trace it.

        Args:
            path: A file of weights that irconv copied after judging it.
            target: ``package.module:Class``.
            entry: The key of a checkpoint under which the state dict stands; empty for none.
            inputs: Name, dims and dtype of each stated input.
            shapes: Minimum, best and maximum of named dimensions.

        Raises:
            InputError: If the weights do not fit the module, or it cannot be traced.
        """
        module, args, kwargs = call_factory(target)
        notes = fill(module, read_state(Path(path), entry), target)
        self._trace(module, args, kwargs, inputs, shapes, notes)

    def load_pickled(
        self,
        path: str,
        inputs: Sequence[tuple[str, Sequence[int | str | None], str | None]],
        shapes: Mapping[str, tuple[int, int, int]],
    ) -> None:
        """Unpickle a module that the user trusts, and trace it; see :meth:`load_weights`."""
        self._trace(unpickle_module(Path(path)), None, {}, inputs, shapes, [])

    def _trace(
        self,
        module: torch.nn.Module,
        args: tuple[Any, ...] | None,
        kwargs: dict[str, Any],
        inputs: Sequence[tuple[str, Sequence[int | str | None], str | None]],
        shapes: Mapping[str, tuple[int, int, int]],
        notes: Sequence[str],
    ) -> None:
        stated = [InputSpec(name, tuple(dims), dtype) for name, dims, dtype in inputs]
        ranges = {name: DimRange(*bounds) for name, bounds in shapes.items()}
        source = prepare(module, args, kwargs, stated, ranges)
        self._notes = [*notes, *source.notes]
        self._examples = source.examples
        before = state_digest(source.module.state_dict().items())
        self._program = trace(source)
        self._check_unchanged(source.module, before, "tracing")
        self._open(source.module)

    def _open(self, module: torch.nn.Module) -> None:
        self._module = module
        self._signature = read_signature(self._program)
        check_inference(self._program)
        changed = changed_buffers(self._program)
        if changed:
            self._notes.append(
                "a call changes the buffers "
                + ", ".join(changed)
                + "; the compiled model does not keep them, and every run is a first run"
            )
        if None in self._signature.outputs:
            self._notes.append("outputs that are None were left out")
        self._runner = TorchRunner(module, self._signature)
        self._digest = state_digest(module.state_dict().items())

    def name_dimensions(
        self, inputs: Sequence[tuple[str, Sequence[int | str | None], str | None]]
    ) -> dict[str, Any]:
        """Choose the names of the free dimensions.

        Args:
            inputs: Name, dims and dtype of each stated input.

        Returns:
            ``ranges``: minimum and maximum, or None where there is none, by name; ``axes``: the
            dims of each input by its name.

        Raises:
            InputError: If the stated inputs do not fit.
        """
        stated = [InputSpec(name, tuple(dims), dtype) for name, dims, dtype in inputs]
        self._dimensions = name_dimensions(self._signature, self._program, stated)
        return {
            "ranges": self._ranges(self._dimensions),
            "axes": {
                spec.name: [
                    self._dimensions.get(dim, dim) if isinstance(dim, str) else dim
                    for dim in spec.shape or ()
                ]
                for spec in self._signature.specs
            },
        }

    def export(self, path: str, examples: str, opset: int) -> dict[str, Any]:
        """Write the module as ONNX, and its example inputs where it has any.

        Args:
            path: The ``.onnx`` file to write.
            examples: The ``.npz`` file to write example inputs to.
            opset: The opset to write.

        Returns:
            ``opset``, ``examples`` (whether they were written) and ``notes``.

        Raises:
            UnsupportedError: If an operator has no translation to ONNX.
            InputError: If exporting changed the weights.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            written = to_onnx(self._program, self._signature, self._dimensions, Path(path), opset)
        self._check_unchanged(self._module, self._digest, "the export to ONNX")
        return {
            "opset": written,
            "examples": self._write_examples(Path(examples)),
            "notes": self._notes,
        }

    def _write_examples(self, path: Path) -> bool:
        if self._examples is None:
            return False
        feeds = flat_feeds(self._signature, *self._examples)
        if feeds is None:
            return False
        save_samples(path, [feeds])
        return True

    def _ranges(self, dimensions: Mapping[str, str]) -> dict[str, tuple[int, int | None]]:
        ranges: dict[str, tuple[int, int | None]] = {}
        for symbol, bounds in self._program.range_constraints.items():
            name = dimensions.get(str(symbol))
            if name is not None:
                upper = int(bounds.upper) if bounds.upper.is_Integer else UNBOUNDED
                ranges[name] = (int(bounds.lower), upper if upper < UNBOUNDED else None)
        return ranges

    def _check_unchanged(self, module: torch.nn.Module, before: str, step: str) -> None:
        if state_digest(module.state_dict().items()) != before:
            raise InputError(
                f"{step} changed the module's weights or buffers, so its outputs can no longer "
                "be trusted",
                where=_WHERE,
                hint="do not write to parameters or buffers in forward, and call module.eval()",
            )
        if any(part.training for part in module.modules()) and not isinstance(
            module, torch.fx.GraphModule
        ):
            raise InputError(
                f"{step} left a part of the module in training mode",
                where=_WHERE,
                hint="do not call train() in forward",
            )
