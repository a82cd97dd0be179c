"""Giving a module the weights of a file.

This module needs PyTorch and is imported in the worker process only.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from irconv.errors import InputError, MissingError
from irconv.frontends.factories import first_line
from irconv.frontends.pytorch.factory import user_line

__all__ = ["fill", "read_state", "unpickle_module"]

_WHERE = "frontend pytorch"
_SHOWN = 5


def read_state(path: Path, entry: str) -> Mapping[str, torch.Tensor]:
    """Read a state dict that irconv judged, its tensors mapped from the file.

    Args:
        path: A file of ``torch.save`` or of safetensors.
        entry: The key under which the state dict stands in a checkpoint; empty for none.

    Raises:
        InputError: If PyTorch cannot read it.
        MissingError: If it is a safetensors file and that package is not installed.
    """
    try:
        if path.suffix == ".safetensors":
            state: Any = _load_safetensors(path)
        else:
            state = torch.load(path, weights_only=True, map_location="cpu", mmap=True)
    except ImportError as error:
        raise MissingError(
            "the package safetensors is not installed",
            where=_WHERE,
            hint="pip install safetensors",
        ) from error
    except Exception as error:
        raise InputError(
            f"PyTorch {torch.__version__} cannot read the weights: {first_line(error)}",
            where=_WHERE,
            hint="the file is damaged; write it again",
        ) from error
    return state[entry] if entry else state  # type: ignore[no-any-return]


def _load_safetensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return dict(load_file(path))


def fill(module: torch.nn.Module, state: Mapping[str, torch.Tensor], target: str) -> list[str]:
    """Give a module the weights of a state dict, all of them and no others.

    Returns:
        Notes on what was converted.

    Raises:
        InputError: If names or shapes differ, with a list of them.
    """
    own = module.state_dict()
    try:
        result = module.load_state_dict(state, strict=False)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:] if line.strip()]
        raise InputError(
            f"the weights do not fit {target}:\n{_listed(lines or [str(error)])}",
            where=_WHERE,
            hint="build the module with the configuration that the weights were trained with",
        ) from error
    lists = (
        [f"{name!r} is missing in the file" for name in result.missing_keys],
        [f"{name!r} is in the file, but not in the module" for name in result.unexpected_keys],
    )
    if any(lists):
        problems = "\n".join(_listed(lines) for lines in lists if lines)
        raise InputError(
            f"the weights do not fit {target}:\n{problems}",
            where=_WHERE,
            hint="give the class that the weights were saved from, or a factory that builds it",
        )
    converted = {
        f"weights of {tensor.dtype} were converted to {own[name].dtype}"
        for name, tensor in state.items()
        if name in own and tensor.dtype != own[name].dtype
    }
    return sorted(text.replace("torch.", "") for text in converted)


def _listed(every: Sequence[str]) -> str:
    more = [f"and {len(every) - _SHOWN} more"] if len(every) > _SHOWN else []
    return "\n".join(f"  - {line}" for line in (*every[:_SHOWN], *more))


def unpickle_module(path: Path) -> torch.nn.Module:
    """Unpickle a module, which runs code that the file names; only under ``--trust``.

    Raises:
        InputError: If it cannot be unpickled here, or is no module.
    """
    sys.path.insert(0, str(Path.cwd()))
    try:
        module = torch.load(path, weights_only=False, map_location="cpu")
    except Exception as error:
        raise InputError(
            f"the pickled object cannot be loaded: {first_line(error)}",
            where=user_line(error),
            hint="run irconv where Python finds the classes that it was saved from",
        ) from error
    if not isinstance(module, torch.nn.Module):
        raise InputError(
            f"the file holds a {type(module).__name__}, not a torch.nn.Module",
            where=_WHERE,
            hint="save the state dict of the module and give its class by the option module",
        )
    return module
