"""Services for the worker's tests; they run in worker processes."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from irconv.errors import Diagnostic, UnsupportedError, UsageError


class Plain:
    def __init__(self, fail: str = "") -> None:
        if fail == "ours":
            raise UsageError("not like this", where="constructor", hint="another way")
        if fail == "foreign":
            raise KeyError("nothing here")
        if fail == "exit":
            os._exit(7)

    def double(self, number: float) -> float:
        return number * 2

    def text(self, size: int) -> str:
        return "x" * size

    def unserializable(self) -> object:
        return object()

    def ours(self) -> None:
        raise UnsupportedError("t", [Diagnostic("CODE", "why", "n", "op", "out")], where="here")

    def foreign(self) -> None:
        raise ZeroDivisionError("a defect")

    def memory_error(self) -> None:
        raise MemoryError

    def system_exit(self) -> None:
        sys.exit("goodbye")

    def segfault(self) -> None:
        print("about to fall", flush=True)
        ctypes.string_at(0)

    def exit(self, status: int) -> None:
        os.write(2, b"\n".join(b"line %d" % number for number in range(100)))
        os._exit(status)

    def flood(self) -> None:
        os.write(2, b"old\n" * 1_000_000 + b"new\n")
        os._exit(1)

    def kill_self(self, number: int) -> None:
        os.kill(os.getpid(), number)
        time.sleep(60)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def allocate(self, mebibytes: int) -> int:
        block = bytearray(mebibytes * 1024 * 1024)
        block[::4096] = b"x" * len(block[::4096])
        time.sleep(30)
        return len(block)

    def allocate_in_child(self, mebibytes: int) -> None:
        code = f"import time; b = b'x' * ({mebibytes} << 20); time.sleep(60)"
        subprocess.run([sys.executable, "-c", code], check=True)

    def start_child(self, *, own_session: bool) -> int:
        code = "import time; time.sleep(600)"
        child = subprocess.Popen([sys.executable, "-c", code], start_new_session=own_session)
        return child.pid

    def ignore_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)

    def facts(self) -> dict[str, object]:
        return {
            "pid": os.getpid(),
            "python": sys.executable,
            "prefix": sys.prefix,
            "path": sys.path,
            "cwd": str(Path.cwd()),
            "irconv": sys.modules["irconv"].__file__,
        }

    def import_module(self, name: str) -> str:
        module = __import__(name)
        return str(module.__file__)
