"""Looking into a zip archive that may be hostile, before any library opens it.

Only structure is judged here: names, sizes, compression, duplicates. Members are copied by
streaming, so that a library may be handed an archive that irconv wrote itself and that has one
reading only.
"""

from __future__ import annotations

import shutil
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from irconv.errors import InputError

__all__ = [
    "MAX_MEMBERS",
    "MAX_RATIO",
    "copy_member",
    "open_zip",
    "read_member",
    "rooted_members",
    "write_member",
]

MAX_MEMBERS = 200_000
"""More members than this are refused."""
MAX_RATIO = 200
"""A member may be at most this much larger than its compressed bytes."""

_SMALL = 4096
_CHUNK = 1 << 20
_ENCRYPTED = 0x1
_WRITTEN_DATE = (1980, 1, 1, 0, 0, 0)


@contextmanager
def open_zip(stream: IO[bytes], what: str) -> Iterator[zipfile.ZipFile]:
    """Open a seekable stream as a zip archive whose members are safe to read.

    Args:
        stream: The archive's bytes.
        what: How to call the archive in messages.

    Raises:
        InputError: If the bytes are no whole zip archive, or a member has a path that leaves the
            archive, a name that is there twice, encryption, an unusual compression, or a size
            out of proportion.
    """
    try:
        with zipfile.ZipFile(stream) as archive:
            _check_members(archive, what, stream.seek(0, 2))
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError) as error:
        raise InputError(
            f"{what} is no whole zip archive: {error}",
            where="reading the model",
            hint="the file is truncated or of another kind; write it again",
        ) from error


def _check_members(archive: zipfile.ZipFile, what: str, archive_bytes: int) -> None:
    members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        raise _refusal(what, f"it has {len(members)} members, more than {MAX_MEMBERS}")
    seen: set[str] = set()
    for member in members:
        reason = _fault(member)
        if reason:
            raise _refusal(what, f"member {member.orig_filename!r} {reason}")
        key = member.filename.casefold()
        if key in seen:
            raise _refusal(what, f"two members are named {member.filename!r}")
        seen.add(key)
    if members and min(member.header_offset for member in members) != 0:
        raise zipfile.BadZipFile("bytes stand before its first member")
    packed = sum(member.compress_size for member in members)
    if packed > archive_bytes:
        raise _refusal(
            what, f"its members claim {packed} bytes, but it has {archive_bytes}; they overlap"
        )


def _fault(member: zipfile.ZipInfo) -> str:
    name = member.orig_filename
    parts = name.removesuffix("/").split("/")
    if name != member.filename or "\\" in name or not name.isprintable():
        return "has a name that programs read differently"
    if name.startswith("/") or ":" in parts[0] or any(part in ("", ".", "..") for part in parts):
        return "has a path that leaves the archive"
    if member.flag_bits & _ENCRYPTED:
        return "is encrypted"
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"has compression type {member.compress_type}, which is unusual"
    if member.file_size > MAX_RATIO * max(member.compress_size, _SMALL):
        return f"would unpack from {member.compress_size} to {member.file_size} bytes"
    return ""


def _refusal(what: str, reason: str) -> InputError:
    return InputError(
        f"{what} is refused: {reason}",
        where="reading the model",
        hint="no exporter writes such an archive; do not use it, or write it again",
    )


def rooted_members(archive: zipfile.ZipFile, what: str) -> dict[str, zipfile.ZipInfo]:
    """Return the members by their path below the archive's one top folder.

    Raises:
        InputError: If the members do not share one top folder, as PyTorch's archives do.
    """
    files = [member for member in archive.infolist() if not member.is_dir()]
    roots = {member.filename.partition("/")[0] for member in files}
    if len(roots) != 1 or not all("/" in member.filename for member in files):
        raise InputError(
            f"{what} is no PyTorch archive: its members do not share one top folder",
            where="reading the model",
            hint="write it by torch.export.save(exported_program, path)",
        )
    return {member.filename.partition("/")[2]: member for member in files}


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, limit: int) -> bytes:
    """Return the bytes of a member of at most ``limit`` bytes.

    Raises:
        InputError: If it is larger.
    """
    if member.file_size > limit:
        raise InputError(
            f"member {member.filename!r} has {member.file_size} bytes; at most {limit} are read",
            where="reading the model",
            hint="no exporter writes such an archive; write it again",
        )
    return archive.read(member)


def copy_member(
    source: zipfile.ZipFile, member: zipfile.ZipInfo, target: zipfile.ZipFile, name: str
) -> None:
    """Copy one member as it is into ``target`` under ``name``, uncompressed."""
    with source.open(member) as read:
        write_member(target, name, read)


def write_member(target: zipfile.ZipFile, name: str, content: IO[bytes]) -> None:
    """Write a member from a stream, uncompressed, with a fixed date."""
    entry = zipfile.ZipInfo(name, date_time=_WRITTEN_DATE)
    with target.open(entry, "w", force_zip64=True) as write:
        shutil.copyfileobj(content, write, _CHUNK)
