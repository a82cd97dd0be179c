"""Opening a file that a user or a model named, so that nothing but a regular file is read.

A FIFO would hang the reader and a device may do anything, so the file is opened without
blocking and looked at before its first byte is read.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from irconv.errors import InputError

__all__ = ["open_regular", "peek"]


def open_regular(path: Path, *, what: str) -> int:
    """Open ``path`` for reading and return the descriptor of the regular file behind it.

    Args:
        path: The path; symbolic links are followed.
        what: What the file is, for messages, such as ``model file``.

    Raises:
        InputError: If there is no such file, it may not be read, or it is not a regular file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except (OSError, ValueError) as error:
        raise _cannot_open(path, what, error) from error
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    kind = next((name for test, name in _KINDS if test(mode)), "a special file")
    raise InputError(
        f"the {what} {str(path)!r} is {kind}, not a regular file",
        where="reading the model",
        hint="give the path of an ordinary file",
    )


_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def _cannot_open(path: Path, what: str, error: Exception) -> InputError:
    if isinstance(error, FileNotFoundError):
        problem, hint = "does not exist", "check the path"
    elif isinstance(error, PermissionError):
        problem, hint = "may not be read by this user", "check the permissions of the file"
    else:
        problem = f"cannot be opened: {getattr(error, 'strerror', None) or error}"
        hint = "check the path"
    return InputError(f"the {what} {str(path)!r} {problem}", where="reading the model", hint=hint)


def peek(path: Path, count: int) -> bytes:
    """Return the first ``count`` bytes of a regular file; empty if it is none or unreadable."""
    try:
        descriptor = open_regular(path, what="file")
    except InputError:
        return b""
    try:
        return os.read(descriptor, count)
    finally:
        os.close(descriptor)
