"""Publishing files and directories so that a reader sees the old content or the new, whole.

Everything is written into a private staging directory beside its goal, flushed to the disk and
renamed. A killed process leaves a staging directory behind, which the next one in the same
folder removes: its name holds the owner's process id and its owner holds a lock on it, so one
that is still in use is never taken away.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from irconv.errors import InputError

__all__ = ["output_errors", "publish_directory", "publish_files", "staging_directory"]

_STAGING = ".irconv-tmp-"
_SWAPPED_OUT = ".irconv-old-"
_LEFTOVER = re.compile(
    rf"(?:{re.escape(_STAGING)}|{re.escape(_SWAPPED_OUT)})(?P<pid>\d+)-(?P<rest>.+)"
)
_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_NO_EXCHANGE = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})


@contextlib.contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Turn an ``OSError`` of writing ``path`` into an :class:`InputError` that says what helps."""
    try:
        yield
    except OSError as error:
        raise _output_error(path, error) from error


def _output_error(path: Path, error: OSError) -> InputError:
    if error.errno in _DISK_FULL:
        return InputError(
            f"there is not enough space to write {str(path)!r}: {error.strerror}",
            where="output",
            hint="free some space or choose another output folder; nothing was left behind",
        )
    return InputError(
        f"cannot write {str(path)!r}: {error.strerror or error}",
        where="output",
        hint="choose an output path in a folder that exists and that you may write to",
    )


@contextlib.contextmanager
def staging_directory(beside: Path) -> Iterator[Path]:
    """Give a new private directory in the folder of ``beside``, on the same file system.

    It is removed at the end unless it was published. Missing parent folders are made, and
    removed again if nothing was published into them. Leftovers of dead processes in that folder
    are swept.

    Args:
        beside: The path that the content will be published under.

    Raises:
        InputError: If the folder cannot be written, or the disk is full.
    """
    folder = _resolved(beside).parent
    with output_errors(beside):
        made = _make_folders(folder)
        _sweep(folder)
        staging = folder / f"{_STAGING}{os.getpid()}-{secrets.token_hex(4)}"
        staging.mkdir()
        lock = os.open(staging, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        yield staging
    except OSError as error:
        if error.errno in _DISK_FULL:
            raise _output_error(beside, error) from error
        raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        os.close(lock)
        for parent in made:
            with contextlib.suppress(OSError):
                parent.rmdir()


def _resolved(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _make_folders(folder: Path) -> list[Path]:
    """Make ``folder`` and its parents; return those that were made, innermost first."""
    missing: list[Path] = []
    at = folder
    while not at.exists():
        missing.append(at)
        at = at.parent
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def _sweep(folder: Path) -> None:
    for path in list(folder.iterdir()):
        found = _LEFTOVER.fullmatch(path.name)
        if found is None or path.is_symlink() or not path.is_dir():
            continue
        if not _is_abandoned(path, int(found["pid"])):
            continue
        goal = folder / found["rest"]
        if path.name.startswith(_SWAPPED_OUT) and not goal.exists():
            with contextlib.suppress(OSError):
                path.rename(goal)
        else:
            shutil.rmtree(path, ignore_errors=True)


def _is_abandoned(path: Path, pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        pass
    except (OSError, OverflowError):
        return False
    else:
        return False
    try:
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(lock)
    return True


def publish_directory(
    staging: Path, final: Path, *, marker: str = "manifest.json", durable: bool = True
) -> None:
    """Give the directory ``staging`` the name ``final`` in one step.

    A directory that is already there is swapped out in the same step and then removed, but only
    if it is empty or holds ``marker``: what irconv did not write is not irconv's to remove.

    Args:
        staging: A directory on the same file system, from :func:`staging_directory`.
        final: The name to publish it under.
        marker: A file that an earlier output has and a user's own folder does not.
        durable: Whether to wait until the content is on the disk.

    Raises:
        InputError: If ``final`` is not ours to replace, or cannot be written.
    """
    goal = _resolved(final)
    _check_replaceable(goal, final, marker)
    with output_errors(final):
        if durable:
            _flush_tree(staging)
        if goal.exists():
            _swap(staging, goal)
        else:
            staging.rename(goal)
        if durable:
            _flush(goal.parent)


def _check_replaceable(goal: Path, final: Path, marker: str) -> None:
    if not goal.exists():
        return
    if not goal.is_dir():
        raise InputError(
            f"{str(final)!r} is a file, and a directory of that name is to be written",
            where="output",
            hint="choose another output path",
        )
    if any(goal.iterdir()) and not (goal / marker).is_file():
        raise InputError(
            f"{str(final)!r} exists and was not written by irconv: it has no {marker}",
            where="output",
            hint="choose another output path, or remove that folder yourself",
        )


def _swap(staging: Path, goal: Path) -> None:
    """Exchange two directories and remove the old one, which is then named ``staging``."""
    if _exchange(staging, goal):
        shutil.rmtree(staging, ignore_errors=True)
        return
    old = goal.with_name(f"{_SWAPPED_OUT}{os.getpid()}-{goal.name}")
    goal.rename(old)
    try:
        staging.rename(goal)
    except OSError:
        old.rename(goal)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two names atomically by renameat2(2); False where the system cannot."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    if renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NO_EXCHANGE:
        return False
    raise OSError(number, os.strerror(number), str(other))


def publish_files(moves: Sequence[tuple[Path, Path]], *, durable: bool = True) -> None:
    """Give staged files their final names; the last one is the file that refers to the others.

    While the others are replaced the last name does not exist, so nobody can open an old file
    that refers to new data. If a step fails, what was there before is put back.

    Args:
        moves: Pairs of a staged file and its final path, all on one file system.
        durable: Whether to wait until the content is on the disk.

    Raises:
        InputError: If one of the final paths cannot be written.
    """
    final_main = moves[-1][1]
    for _, final in moves:
        if final.is_dir():
            raise InputError(
                f"{str(final)!r} is a directory, and a file of that name is to be written",
                where="output",
                hint="give the path of a file",
            )
    with output_errors(final_main):
        if durable:
            for staged, _ in moves:
                _flush(staged)
        undo: list[tuple[Path, Path]] = []
        try:
            for staged, final in (moves[-1], *moves[:-1]):
                goal = _resolved(final)
                if goal.exists() and len(moves) > 1:
                    aside = staged.with_name(f"{staged.name}.replaced")
                    goal.rename(aside)
                    undo.append((aside, goal))
            for staged, final in moves:
                goal = _resolved(final)
                staged.rename(goal)
                undo.append((goal, staged))
        except OSError:
            for was, back in reversed(undo):
                was.rename(back)
            raise
        if durable:
            for folder in {_resolved(final).parent for _, final in moves}:
                _flush(folder)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush_tree(root: Path) -> None:
    for folder, _, files in os.walk(root):
        for name in files:
            _flush(Path(folder, name))
        _flush(Path(folder))
