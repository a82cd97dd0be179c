"""Running a script module as the reference.

This module needs PyTorch and is imported in the worker process only.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from irconv.errors import BackendError
from irconv.frontends.pytorch.tensors import to_array, to_tensor
from irconv.frontends.torchscript.call import ScriptCall
from irconv.frontends.torchscript.outputs import OutputLeaf, flat_values
from irconv.runtime.base import Feeds, Runner, Value

__all__ = ["ScriptRunner", "call_module", "script_line", "script_reason"]

_SCRIPTED = re.compile(r'File "([^"]+)", line (\d+)(?:, in (\S+))?')
_NO_REASON = "it fails without a reason, as where data decide on a branch that is to be traced"
_TRACED = re.compile(r"^(\S.*)\((\d+)\): (\S+)$", re.MULTILINE)


def script_reason(error: BaseException) -> str:
    """Return what went wrong: the last line of a text of the interpreter, the first of others."""
    text = str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    if "Traceback of TorchScript" in text:
        return next((line for line in reversed(lines) if "Error: " in line), _NO_REASON)
    return lines[0]


def script_line(text: str) -> str:
    """Return ``file:line in function`` of the code that a source range or a traceback ends in.

    The author's file comes before PyTorch's, and both before the archive's, where the archive
    tells of them. What was traced lists its frames from the inside, what was scripted ends in
    the innermost one.
    """
    traced = [(file, line, function) for file, line, function in _TRACED.findall(text)]
    scripted = [(file, line, function) for file, line, function in _SCRIPTED.findall(text)]
    frames = [*traced, *reversed(scripted)]
    known = [frame for frame in frames if not frame[0].startswith("code/__torch__")]
    own = [frame for frame in known if "/torch/" not in frame[0]]
    for file, line, function in own or known or frames:
        return f"{file}:{line} in {function}" if function else f"{file}:{line}"
    return ""


def call_module(module: Any, call: ScriptCall, tensors: Mapping[str, torch.Tensor]) -> Any:
    """Call a module on flat inputs, its operators one by one as they stand in its code.

    Raises:
        BackendError: If it fails, with the line of its code.
    """
    try:
        with torch.no_grad(), torch.jit.optimized_execution(False):
            return module(**call.keywords(tensors))
    except Exception as error:
        raise BackendError(
            f"the module fails on an input: {script_reason(error)}", where=script_line(str(error))
        ) from error


class ScriptRunner(Runner):
    """Calls a script module with named inputs and gives its outputs their names.

    Args:
        module: The module.
        call: How it is called.
        outputs: The names of its outputs.
        keeps_state: Whether a call leaves the module as it was; if not, every run is the first
            one of a copy.
    """

    def __init__(
        self, module: Any, call: ScriptCall, outputs: Sequence[OutputLeaf], *, keeps_state: bool
    ) -> None:
        self._module = module
        self._call = call
        self._outputs = outputs
        self._keeps_state = keeps_state

    def run(self, feeds: Feeds) -> dict[str, Value]:
        """Return the outputs; see :meth:`irconv.runtime.base.Runner.run`."""
        tensors = {leaf.name: to_tensor(np.asarray(feeds[leaf.name])) for leaf in self._call.inputs}
        module = self._module if self._keeps_state else copy.deepcopy(self._module)
        values = [value for _, value in flat_values(call_module(module, self._call, tensors))]
        if len(values) != len(self._outputs):
            raise BackendError(
                f"the module returns {len(values)} values on this input, but returned "
                f"{len(self._outputs)} on the example",
                where="frontend torchscript",
                hint="return the same number of tensors on every path",
            )
        return {
            leaf.name: to_array(value) if isinstance(value, torch.Tensor) else np.asarray(value)
            for leaf, value in zip(self._outputs, values, strict=True)
        }

    def describe(self) -> dict[str, str]:
        """Return what runs the module."""
        return {
            "runtime": "torch",
            "version": torch.__version__,
            "device": "CPU",
            "precision": "as in the model",
        }
