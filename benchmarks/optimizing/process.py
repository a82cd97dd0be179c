"""Running a command and measuring what the whole process used."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Usage", "run"]

_KIB = 1024


@dataclass(frozen=True)
class Usage:
    """What a process used.

    Attributes:
        cpu: Seconds of processor time, user and system, of the process and its children.
        wall: Seconds from start to end.
        peak: The most resident memory of the process, in bytes, mapped files included.
        heap: The most resident memory that no file backs, in bytes; 0 unless it was watched.
        stdout: What it printed.
        error: Why it failed, in its own words; empty if it did not.
    """

    cpu: float
    wall: float
    peak: int
    heap: int
    stdout: str
    error: str


def run(command: Sequence[str], seconds: float, *, watch_heap: bool = False) -> Usage:
    """Run a command to its end, or stop it after ``seconds``.

    Modules keep their byte code, as those of an installed package do, whatever the environment
    says: compiling irconv anew in every run is no part of what a run costs its users.

    Args:
        command: The program and its arguments.
        seconds: Limit of wall time.
        watch_heap: Sample the heap every few milliseconds, which takes processor time itself.
    """
    environment = os.environ.copy()
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        start = time.perf_counter()
        child = subprocess.Popen(command, stdout=out, stderr=err, env=environment)
        timer = threading.Timer(seconds, os.kill, (child.pid, signal.SIGKILL))
        timer.start()
        heap = _watched_heap(child.pid) if watch_heap else 0
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - start
        timer.cancel()
        child.returncode = code = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        error = ""
        if code == -signal.SIGKILL:
            error = f"stopped after {wall:.0f} s"
        elif code:
            lines = err.read().strip().splitlines() or [f"exit code {code}"]
            error = lines[-1][:200]
        cpu = usage.ru_utime + usage.ru_stime
        return Usage(cpu, wall, usage.ru_maxrss * _KIB, heap, out.read(), error)


def _watched_heap(pid: int) -> int:
    """Return the most ``RssAnon`` of a process until it ends, in bytes."""
    heap = 0
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                heap = max(heap, int(line.split()[1]) * _KIB)
        time.sleep(0.005)
    return heap
