"""Sources that are code: ``package.module:factory``, called only with trust.

For frontends whose models are Python objects. :func:`call_factory` runs the user's code and
belongs in a worker process.
"""

from __future__ import annotations

import importlib
import re
import sys
import sysconfig
import traceback
from pathlib import Path
from typing import Any

from irconv.errors import InputError

__all__ = ["call_factory", "first_line", "is_factory", "untrusted", "user_line"]

_FACTORY = re.compile(r"(?:[^\W\d]\w*\.)*[^\W\d]\w*:(?:[^\W\d]\w*\.)*[^\W\d]\w*")
_PACKAGE = str(Path(__file__).parent.parent)
_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib")})


def is_factory(source: str) -> bool:
    """Say whether ``source`` is of the form ``package.module:factory`` and no file."""
    return _FACTORY.fullmatch(source) is not None and not Path(source).exists()


def untrusted(source: str, where: str) -> InputError:
    """Return the error for code that was given without ``--trust``."""
    return InputError(
        f"{source} is code that loading would run",
        where=where,
        hint="re-run with --trust if you wrote it or know who did",
    )


def first_line(error: BaseException) -> str:
    """Return the error's type and the first line of its text."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def user_line(error: BaseException, default: str) -> str:
    """Return ``file:line in function`` of the innermost frame of the user's own code.

    Args:
        error: An error that was raised.
        default: What to return where no frame is outside of libraries and irconv.
    """
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith((*_LIBRARIES, _PACKAGE, "<")):
            return f"{frame.filename}:{frame.lineno} in {frame.name}"
    return default


def call_factory(target: str, *, where: str, returns: str) -> Any:
    """Import ``package.module``, call ``factory`` without arguments and return its result.

    The working directory is searched first; a worker does not search it otherwise. What is no
    function is returned as it is.

    Args:
        target: ``package.module:factory``.
        where: The frontend, for messages.
        returns: What a factory returns, for messages, such as ``a fitted estimator``.

    Raises:
        InputError: If the module or the factory is not there, or raises.
    """
    module_name, _, path = target.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = importlib.import_module(module_name)
    except Exception as error:
        raise InputError(
            f"module {module_name!r} cannot be imported: {first_line(error)}",
            where=user_line(error, where),
            hint="run irconv where Python finds the module: in its folder, or with it installed",
        ) from error
    for name in path.split("."):
        if not hasattr(found, name):
            raise InputError(
                f"module {module_name!r} has no {path!r}",
                where=where,
                hint="it has: " + (", ".join(_functions_of(found, module_name)) or "no functions"),
            )
        found = getattr(found, name)
    if not callable(found) or not hasattr(found, "__code__"):
        return found
    try:
        return found()
    except Exception as error:
        raise InputError(
            f"{target} raised {first_line(error)}",
            where=user_line(error, where),
            hint=f"a factory takes no arguments and returns {returns}",
        ) from error


def _functions_of(holder: Any, module_name: str) -> list[str]:
    return sorted(
        name
        for name, value in vars(holder).items()
        if callable(value) and getattr(value, "__module__", None) == module_name
    )
