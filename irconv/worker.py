"""Worker processes: where vendor libraries run.

A worker is a fresh interpreter (this one's or another environment's) that hosts one *service*
object and answers calls to its methods. Requests and replies are JSON lines on two pipes of
their own; arrays travel as files. What the vendor prints goes to a log. A crash, a hang or a
run out of memory ends the worker and comes back as
:class:`~irconv.errors.BackendError` with the last words of that log.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from irconv.errors import BackendError, InputError, IrconvError, error_from_json

if TYPE_CHECKING:
    import psutil

__all__ = ["Worker", "WorkerLimits"]

_POLL_SECONDS = 0.05
_CENSUS_SECONDS = 0.5
"""How often the worker's children are looked for, which reads the whole process table."""
_EXIT_SECONDS = 5.0
_CLOSE_SECONDS = 2.0
_LAST_WORDS = 15
_LAST_BYTES = 1 << 16
_GIB = 1024**3


@dataclass(frozen=True)
class WorkerLimits:
    """Limits of one worker.

    Attributes:
        seconds: The longest that one call may take.
        memory_bytes: The most resident memory of the worker and its children; None for no
            limit but the machine's.
        python: Interpreter to run; None for the current one. It must see irconv's
            dependencies and whatever the service imports.
    """

    seconds: float = 1800.0
    memory_bytes: int | None = None
    python: str | None = None


class Worker:
    """A running worker; a context manager that ends it.

    Args:
        service: ``module:Class`` of the service to host.
        arguments: JSON-ready keyword arguments of the service's constructor.
        limits: Time and memory limits.
        label: What the worker is for, in messages, such as ``backend openvino``.

    Raises:
        BackendError: If the worker dies while it starts.
        IrconvError: If the service's constructor raised one.
    """

    def __init__(
        self,
        service: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        limits: WorkerLimits | None = None,
        label: str = "worker",
    ) -> None:
        self.label = label
        self.limits = limits or WorkerLimits()
        self.peak_rss_bytes = 0
        self._members: list[psutil.Process] = []
        self._next_census = 0.0
        self._log = tempfile.TemporaryFile(prefix="irconv-worker-")  # noqa: SIM115
        self._stack = contextlib.ExitStack()
        self._process, self._requests, self._replies = self._spawn()
        self._buffer = b""
        try:
            self._ask({"service": service, "arguments": dict(arguments or {})})
        except BaseException:
            self.close()
            raise

    def _spawn(self) -> tuple[subprocess.Popen[bytes], IO[bytes], IO[bytes]]:
        request_read, request_write = os.pipe()
        reply_read, reply_write = os.pipe()
        python = self.limits.python or sys.executable
        arguments = (request_read, reply_write, os.getpid())
        try:
            process = subprocess.Popen(
                [python, "-P", "-m", "irconv.worker", *map(str, arguments)],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                pass_fds=(request_read, reply_write),
                start_new_session=True,
                env=self._environment(),
            )
        except OSError as error:
            for end in (request_read, request_write, reply_read, reply_write):
                os.close(end)
            self._log.close()
            self._stack.close()
            raise InputError(
                f"cannot start the interpreter {python!r}: {error.strerror}",
                where=self.label,
                hint="give the path of a Python >= 3.11 that has irconv's dependencies",
            ) from error
        os.close(request_read)
        os.close(reply_write)
        return process, os.fdopen(request_write, "wb"), os.fdopen(reply_read, "rb", buffering=0)

    def _environment(self) -> dict[str, str]:
        """Return the environment of the worker.

        Another environment's interpreter sees this very irconv, by a link in a folder of its
        own, and nothing else that is installed beside it.
        """
        environment = dict(os.environ)
        if self.limits.python:
            package = Path(__file__).resolve().parent
            folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="irconv-path-"))
            Path(folder, package.name).symlink_to(package, target_is_directory=True)
            paths = (folder, environment.get("PYTHONPATH", ""))
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        return environment

    def call(self, method: str, **arguments: Any) -> Any:
        """Call a method of the service with JSON-ready arguments and return its result.

        Raises:
            BackendError: If the worker crashed, hung, ran out of memory, or the method raised
                an error that is none of ours.
            IrconvError: The error of that kind that the method raised.
        """
        return self._ask({"method": method, "arguments": arguments})

    def _ask(self, request: Mapping[str, Any]) -> Any:
        try:
            self._requests.write(json.dumps(request).encode() + b"\n")
            self._requests.flush()
        except BrokenPipeError:
            raise self._death("before it could be asked") from None
        reply = json.loads(self._reply())
        if "error" in reply:
            raise error_from_json(reply["error"])
        return reply["result"]

    def _reply(self) -> bytes:
        deadline = time.monotonic() + self.limits.seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self._replies, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                if selector.select(timeout=_POLL_SECONDS):
                    chunk = self._replies.read(1 << 16)
                    if not chunk:
                        raise self._death("while it worked")
                    self._buffer += chunk
                self._watch_memory()
                if time.monotonic() > deadline:
                    self._kill()
                    raise self._error(
                        f"it took more than {self.limits.seconds:g} s and was stopped",
                        "give it more time with --timeout",
                    )
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _watch_memory(self) -> None:
        if time.monotonic() > self._next_census:
            self._members = _family(self._process.pid)
            self._next_census = time.monotonic() + _CENSUS_SECONDS
        used = sum(_resident_bytes(member) for member in self._members)
        self.peak_rss_bytes = max(self.peak_rss_bytes, used)
        limit = self.limits.memory_bytes
        if limit is not None and used > limit:
            self._kill()
            raise self._error(
                f"it used {used / _GIB:.2f} GiB of memory, more than the {limit / _GIB:.2f} GiB "
                "it may, and was stopped",
                "give it more memory with --max-ram",
            )

    def _death(self, when: str) -> BackendError:
        self._await_exit(_EXIT_SECONDS)
        self._kill()
        code = self._process.returncode
        if code == -signal.SIGKILL:
            what, hint = (
                f"it was killed {when}; the machine is most likely out of memory",
                "use a machine with more memory, or a smaller model",
            )
        elif code < 0:
            what, hint = (
                f"it crashed {when} ({_signal_name(-code)})",
                "this is a defect of the library behind it; its last words are above",
            )
        else:
            what, hint = f"it ended {when} with exit status {code}", "see its last words above"
        return self._error(what, hint)

    def _error(self, what: str, hint: str) -> BackendError:
        words = self.last_words()
        text = f"{self.label}: {what}"
        if words:
            text += "\nits last words:\n" + "\n".join(f"  | {line}" for line in words)
        return BackendError(text, where=self.label, hint=hint)

    @property
    def alive(self) -> bool:
        """Whether the process still runs and can be asked."""
        return not self._has_ended()

    def last_words(self) -> list[str]:
        """Return the last lines that the worker printed."""
        if self._log.closed:
            return []
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - _LAST_BYTES))
        lines = self._log.read().decode(errors="replace").splitlines()
        return [line for line in lines if line.strip()][-_LAST_WORDS:]

    def _has_ended(self) -> bool:
        """Say whether the worker ended; it is left unreaped, so that its group stays ours."""
        if self._process.returncode is not None:
            return True
        flags = os.WEXITED | os.WNOWAIT | os.WNOHANG
        return os.waitid(os.P_PID, self._process.pid, flags) is not None

    def _await_exit(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self._has_ended() and time.monotonic() < deadline:
            time.sleep(0.005)

    def _kill(self) -> None:
        """Kill what is left of the worker and of everything it started."""
        if self._process.returncode is not None:
            return
        import psutil

        strays = {*self._members, *_family(self._process.pid)}
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for stray in strays:  # those that left the group
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                stray.kill()
        self._process.wait()

    def close(self) -> None:
        """End the worker and everything it started; may be called twice."""
        if self._process.returncode is None:
            self._members = _family(self._process.pid)
        with contextlib.suppress(BrokenPipeError):
            self._requests.close()
        self._replies.close()
        self._await_exit(_CLOSE_SECONDS)
        self._kill()
        self._log.close()
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _family(pid: int) -> list[psutil.Process]:
    """Return a process and all its descendants; nothing where it is gone."""
    import psutil

    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _resident_bytes(process: psutil.Process) -> int:
    import psutil

    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _resolve(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def _answer(service: Any, request: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    try:
        if "service" in request:
            service = _resolve(request["service"])(**request["arguments"])
            result = None
        else:
            result = getattr(service, request["method"])(**request["arguments"])
        reply: dict[str, Any] = {"result": result}
        json.dumps(reply)
    except IrconvError as error:
        reply = {"error": error.to_json()}
    except MemoryError:
        reply = {"error": BackendError("it ran out of memory").to_json()}
    except Exception as error:
        traceback.print_exc()
        what = f"{type(error).__name__}: {error}"
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno} in {place.name}"
        reply = {"error": BackendError(what, where=where).to_json()}
    return service, reply


def _end_with(parent: int) -> None:
    """End this worker and what it started as soon as its parent process is gone."""
    while os.getppid() == parent:
        time.sleep(_CENSUS_SECONDS)
    os.killpg(0, signal.SIGKILL)


def _serve(request_fd: int, reply_fd: int, parent: int) -> None:
    import faulthandler
    import resource

    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    service: Any = None
    with os.fdopen(request_fd, "rb") as requests, os.fdopen(reply_fd, "wb") as replies:
        for line in requests:
            service, reply = _answer(service, json.loads(line))
            replies.write(json.dumps(reply).encode() + b"\n")
            replies.flush()
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    _serve(*map(int, sys.argv[1:]))
