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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from irconv.errors import InputError

__all__ = [
    "call_factory",
    "call_user_code",
    "find_user_code",
    "first_line",
    "is_factory",
    "names_factory",
    "untrusted",
    "user_line",
]

_FACTORY = re.compile(r"(?:[^\W\d]\w*\.)*[^\W\d]\w*:(?:[^\W\d]\w*\.)*[^\W\d]\w*")
_PACKAGE = str(Path(__file__).parent.parent)


def is_factory(source: str) -> bool:
    """Say whether ``source`` is of the form ``package.module:factory`` and no file."""
    return names_factory(source) and not Path(source).exists()


def names_factory(text: str) -> bool:
    """Say whether ``text`` is of the form ``package.module:factory``."""
    return _FACTORY.fullmatch(text) is not None


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


def user_line(error: BaseException, default: str, libraries: Sequence[str] | None = None) -> str:
    """Return ``file:line in function`` of the innermost frame of the user's own code.

    Args:
        error: An error that was raised. The ``real_stack`` that PyTorch's tracer keeps of the
            code that it traces counts as the innermost part.
        default: What to return where no frame is outside of libraries and irconv.
        libraries: Folders whose code is not the user's; None for all that is installed.
    """
    if libraries is None:
        libraries = [sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib")]
    frames = [
        *traceback.extract_tb(error.__traceback__),
        *(getattr(error, "real_stack", None) or ()),
    ]
    for frame in reversed(frames):
        if not frame.filename.startswith((*libraries, _PACKAGE, "<")):
            return f"{frame.filename}:{frame.lineno} in {frame.name}"
    return default


def call_factory(target: str, *, where: str, returns: str) -> Any:
    """Import ``package.module``, call ``factory`` without arguments and return its result.

    What is no function is returned as it is.

    Args:
        target: ``package.module:factory``.
        where: The frontend, for messages.
        returns: What a factory returns, for messages, such as ``a fitted estimator``.

    Raises:
        InputError: If the module or the factory is not there, or raises.
    """
    found = find_user_code(target, where)
    if not callable(found) or not hasattr(found, "__code__"):
        return found
    return call_user_code(target, found, where, returns)


def find_user_code(target: str, where: str, libraries: Sequence[str] | None = None) -> Any:
    """Import ``package.module`` and return what it has under the name behind the colon.

    The working directory is searched first; a worker does not search it otherwise.

    Args:
        target: ``package.module:factory``.
        where: The frontend, for messages.
        libraries: See :func:`user_line`.

    Raises:
        InputError: If the module fails or has no such thing.
    """
    module_name, _, path = target.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = importlib.import_module(module_name)
    except Exception as error:
        raise InputError(
            f"module {module_name!r} cannot be imported: {first_line(error)}",
            where=user_line(error, where, libraries),
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
    return found


def call_user_code(
    target: str,
    function: Callable[[], Any],
    where: str,
    returns: str,
    libraries: Sequence[str] | None = None,
) -> Any:
    """Call what :func:`find_user_code` found.

    Args:
        target: ``package.module:factory``, for messages.
        function: The factory.
        where: The frontend, for messages.
        returns: What a factory returns, for messages.
        libraries: See :func:`user_line`.

    Raises:
        InputError: If it raises.
    """
    try:
        return function()
    except Exception as error:
        raise InputError(
            f"{target} raised {first_line(error)}",
            where=user_line(error, where, libraries),
            hint=f"a factory takes no arguments and returns {returns}",
        ) from error


def _functions_of(holder: Any, module_name: str) -> list[str]:
    return sorted(
        name
        for name, value in vars(holder).items()
        if callable(value) and getattr(value, "__module__", None) == module_name
    )
