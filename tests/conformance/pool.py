"""Running many cases in a few forked processes, and surviving those that die.

The suite is generated once, before the fork, so that a new process costs nothing. A process
that dies or hangs loses its case only, which is recorded as a crash or a time-out.
"""

from __future__ import annotations

import multiprocessing
import os
import selectors
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any

SECONDS_A_CASE = 120.0


class _Member:
    """One process, and the case that it is at."""

    def __init__(self, work: Callable[[str], str], log: int) -> None:
        context = multiprocessing.get_context("fork")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, work, log), daemon=True)
        self.process.start()
        theirs.close()
        self.case = ""
        self.deadline = 0.0

    def start(self, case: str, seconds: float) -> None:
        self.case, self.deadline = case, time.monotonic() + seconds
        self.connection.send(case)

    def end(self) -> int | None:
        self.process.kill()
        self.process.join()
        self.connection.close()
        return self.process.exitcode


def _serve(connection: Connection, work: Callable[[str], str], log: int) -> None:
    os.dup2(log, 1)
    os.dup2(log, 2)
    while True:
        try:
            case = connection.recv()
        except EOFError:
            os._exit(0)
        connection.send(work(case))


def run_all(
    cases: Sequence[str],
    work: Callable[[str], str],
    *,
    processes: int = 2,
    seconds: float = SECONDS_A_CASE,
) -> Iterator[tuple[str, str]]:
    """Yield ``(case, status)`` as the cases end.

    Args:
        cases: Names of the cases.
        work: Runs one case in a process of the pool and returns its status.
        processes: How many processes.
        seconds: The longest that one case may take.
    """
    waiting = list(reversed(cases))
    log = os.open(os.devnull, os.O_WRONLY)
    members = [_Member(work, log) for _ in range(min(processes, len(cases)))]
    try:
        while waiting or any(member.case for member in members):
            for index, member in enumerate(members):
                if not member.case and waiting:
                    member.start(waiting.pop(), seconds)
                elif member.case and time.monotonic() > member.deadline:
                    case = member.case
                    member.end()
                    members[index] = _Member(work, log)
                    yield case, f"fail: no answer in {seconds:g} s"
            yield from _collect(members, work, log)
    finally:
        for member in members:
            member.end()
        os.close(log)


def _collect(
    members: list[_Member], work: Callable[[str], str], log: int
) -> Iterator[tuple[str, str]]:
    with selectors.DefaultSelector() as selector:
        for index, member in enumerate(members):
            if member.case:
                selector.register(member.connection, selectors.EVENT_READ, index)
        ready: list[Any] = selector.select(timeout=1.0)
    for key, _ in ready:
        member = members[key.data]
        case, member.case = member.case, ""
        try:
            status = member.connection.recv()
        except EOFError:
            member.process.join(timeout=5)
            status = f"crash: exit status {member.process.exitcode}"
            member.end()
            members[key.data] = _Member(work, log)
        yield case, status
