"""Packages that are verbs of the Python API as well: ``irconv.verify`` and ``irconv.optimize``.

Importing a submodule binds it in its package, and would hide the function of the same name of
:mod:`irconv.api`. Such a module is therefore callable and stands for that function.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

__all__ = ["make_callable"]


class _Verb(ModuleType):
    def __call__(self, *arguments: Any, **options: Any) -> Any:
        api = importlib.import_module("irconv.api")
        return getattr(api, self.__name__.rpartition(".")[2])(*arguments, **options)


def make_callable(module: str) -> None:
    """Let the loaded module of this name be called as the function of ``irconv.api``."""
    sys.modules[module].__class__ = _Verb
