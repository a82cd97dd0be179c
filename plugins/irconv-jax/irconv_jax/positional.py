"""Functions of Flax keep taking positional arguments while jax2onnx traces.

jax2onnx 0.17 replaces functions of Flax, ``nn.avg_pool`` among them, by ones that take keywords
only, while most code calls them as their signature allows: ``nn.avg_pool(x, (2, 2))``. Each
replacement is wrapped by a function with the signature of the original; what a replacement has
no argument for goes to the original, which is traced as what it is made of. This module is
imported in the worker process only.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

from jax2onnx.plugins import plugin_system
from jax2onnx.plugins._patching import MonkeyPatchSpec, apply_patches

__all__ = ["positional_arguments"]

Function = Callable[..., Any]


@contextlib.contextmanager
def positional_arguments() -> Iterator[None]:
    """Wrap what jax2onnx puts in place of functions, as long as the context lasts."""
    kept = plugin_system.apply_patches
    plugin_system.apply_patches = _apply_wrapped
    try:
        yield
    finally:
        plugin_system.apply_patches = kept


def _apply_wrapped(specs: list[Any]) -> contextlib.AbstractContextManager[None]:
    patched: contextlib.AbstractContextManager[None] = apply_patches(list(map(_wrapped, specs)))
    return patched


def _wrapped(spec: Any) -> Any:
    if not isinstance(spec, MonkeyPatchSpec):
        return spec

    def make_value(original: Any) -> Any:
        replacement = spec.make_value(original)
        if inspect.isfunction(original) and inspect.isfunction(replacement):
            return _like(original, replacement)
        return replacement

    return dataclasses.replace(spec, make_value=make_value)


def _like(original: Function, replacement: Function) -> Function:
    """Return ``replacement`` with the signature of ``original``."""
    own = inspect.signature(replacement)
    keyword_only = [name for name, item in own.parameters.items() if item.kind is item.KEYWORD_ONLY]
    if not keyword_only:
        return replacement
    signature = inspect.signature(original)

    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            own.bind(*args, **kwargs)
        except TypeError:
            given = signature.bind(*args, **kwargs).arguments
            positional = [given.pop(name) for name in [*given] if name not in keyword_only][:1]
            try:
                own.bind(*positional, **given)
            except TypeError:
                return original(*args, **kwargs)
            return replacement(*positional, **given)
        return replacement(*args, **kwargs)

    return call
