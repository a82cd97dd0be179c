"""Running a PyTorch module as the reference.

This module needs PyTorch and is imported in the worker process only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.utils import _pytree as pytree

from irconv.errors import BackendError
from irconv.frontends.factories import first_line
from irconv.frontends.pytorch.factory import user_line
from irconv.frontends.pytorch.signature import Signature
from irconv.frontends.pytorch.tensors import to_array, to_tensor
from irconv.runtime.base import Feeds, Runner, Value

__all__ = ["TorchRunner", "flat_feeds"]


def flat_feeds(
    signature: Signature, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Value] | None:
    """Return example arguments as named arrays; None where they are not of the signature."""
    leaves, tree = pytree.tree_flatten((args, kwargs))
    if tree != signature.in_spec:
        return None
    feeds: dict[str, Value] = {}
    for leaf, value in zip(signature.inputs, leaves, strict=True):
        if leaf.name is not None:
            if not isinstance(value, torch.Tensor):
                return None
            feeds[leaf.name] = to_array(value)
    return feeds


class TorchRunner(Runner):
    """Calls a module with named inputs and gives its outputs their names.

    Args:
        module: The module; buffers that a call changes are set back after it, so that every run
            gives what a first run gives.
        signature: Names and trees of its inputs and outputs.
    """

    def __init__(self, module: torch.nn.Module, signature: Signature) -> None:
        self._module = module
        self._signature = signature
        self._saved = [
            (part, name, buffer, buffer._version, buffer.detach().clone())
            for part in module.modules()
            for name, buffer in part._buffers.items()
            if buffer is not None
        ]

    def run(self, feeds: Feeds) -> dict[str, Value]:
        """Return the outputs; see :meth:`irconv.runtime.base.Runner.run`."""
        leaves = [
            leaf.constant if leaf.name is None else to_tensor(np.asarray(feeds[leaf.name]))
            for leaf in self._signature.inputs
        ]
        args, kwargs = pytree.tree_unflatten(leaves, self._signature.in_spec)
        try:
            with torch.no_grad():
                result = self._module(*args, **kwargs)
        except Exception as error:
            raise BackendError(
                f"the module fails on an input: {first_line(error)}", where=user_line(error)
            ) from error
        finally:
            self._restore()
        flat = pytree.tree_leaves(result)
        return {
            name: to_array(value)
            for name, value in zip(self._signature.outputs, flat, strict=True)
            if name is not None
        }

    def _restore(self) -> None:
        for index, (part, name, buffer, version, content) in enumerate(self._saved):
            part._buffers[name] = buffer
            if buffer._version != version:
                with torch.no_grad():
                    buffer.copy_(content)
                self._saved[index] = (part, name, buffer, buffer._version, content)

    def describe(self) -> dict[str, str]:
        """Return what runs the module."""
        return {
            "runtime": "torch",
            "version": torch.__version__,
            "device": "CPU",
            "precision": "as in the model",
        }
