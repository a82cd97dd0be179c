"""A bound on the memory of this process, files that it maps not counted."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator

from irconv.errors import BackendError, UsageError

__all__ = ["memory_limit"]


@contextlib.contextmanager
def memory_limit(limit: int | None) -> Iterator[None]:
    """Let what runs inside take no more memory than ``limit`` bytes, by the system's RLIMIT_DATA.

    Raises:
        UsageError: If the process has more than that already, or the system forbids the limit.
        BackendError: If what ran inside wanted more.
    """
    if limit is None:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    bound = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (bound, hard))
    try:
        _check_room(limit)
        yield
    except MemoryError as error:
        raise BackendError(
            f"it needs more memory than --max-ram of {limit} bytes",
            where="--max-ram",
            hint="give more, or keep the weights in external data, which is mapped",
        ) from error
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _check_room(limit: int) -> None:
    try:
        bytearray(1 << 22)
    except MemoryError as error:
        raise UsageError(
            f"--max-ram of {limit} bytes is less than irconv itself takes",
            where="--max-ram",
            hint="give 256MiB or more",
        ) from error
