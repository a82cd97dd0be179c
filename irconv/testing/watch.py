"""The service under which a conformance run emits and opens: it watches what else happens."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from irconv.errors import IrconvError
from irconv.runtime.service import BackendService

__all__ = ["WatchedService", "digests"]


def digests(directory: Path) -> dict[str, str]:
    """Return the SHA-256 of each file below ``directory``, by relative path."""
    found: dict[str, str] = {}
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory).as_posix()
        if path.is_symlink():
            found[name] = f"link to {path.readlink()}"
        elif path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


class WatchedService(BackendService):
    """A backend service in folders of its own, which says what a call changed beside its result.

    Args:
        target: Spec text of the target.
        scratch: An empty folder; ``cwd`` and ``tmp`` in it become the working directory and
            the place for temporary files.
    """

    def __init__(self, target: str, scratch: str) -> None:
        self._scratch = Path(scratch)
        self._cwd, self._tmp = self._scratch / "cwd", self._scratch / "tmp"
        for folder in (self._cwd, self._tmp):
            folder.mkdir(exist_ok=True)
        os.chdir(self._cwd)
        os.environ["TMPDIR"] = str(self._tmp)
        tempfile.tempdir = None
        super().__init__(target)

    def emit_watched(
        self, model: str, directory: str, shapes: Mapping[str, Sequence[int]]
    ) -> dict[str, Any]:
        """Emit as :meth:`emit` does; return the artifact, and the side effects found."""
        own = Path(directory).relative_to(self._scratch).as_posix() + "/"
        before = self._outside(own)
        with self._watched() as effects:
            artifact = self.emit(model, directory, shapes)
        after = self._outside(own)
        files = [
            f"{name} was {'changed' if name in before else 'written'}"
            for name in sorted(after)
            if before.get(name) != after[name]
        ]
        files += [f"{name} was removed" for name in sorted(before.keys() - after.keys())]
        return {"artifact": artifact, "files": files, "effects": effects}

    def _outside(self, own: str) -> dict[str, str]:
        found = digests(self._scratch)
        return {name: digest for name, digest in found.items() if not name.startswith(own)}

    @contextlib.contextmanager
    def _watched(self) -> Iterator[list[str]]:
        effects: list[str] = []
        environment, directory = dict(os.environ), Path.cwd()
        with _captured_stdout() as printed:
            yield effects
        for name in sorted(environment.keys() | os.environ.keys()):
            if environment.get(name) != os.environ.get(name):
                effects.append(f"environment variable {name} changed")
        if Path.cwd() != directory:
            effects.append(f"the working directory became {Path.cwd()}")
            os.chdir(directory)
        if printed:
            effects.append(f"it printed to standard output: {printed[0][:200]!r}")

    def close_runner(self) -> list[str]:
        """Close the open runner twice and try to run it; return what went wrong."""
        problems: list[str] = []
        for count in ("once", "twice"):
            try:
                self.runner.close()
            except Exception as error:
                problems.append(f"closing it {count}: {type(error).__name__}: {error}")
        try:
            self.runner.run({})
        except IrconvError:
            pass
        except Exception as error:
            problems.append(
                f"running it after close() gives no irconv error: {type(error).__name__}: {error}"
            )
        else:
            problems.append("it still runs after close()")
        return problems

    def leftovers(self) -> list[str]:
        """Return the files in the working directory and among the temporary files."""
        return [*digests(self._cwd), *digests(self._tmp)]


@contextlib.contextmanager
def _captured_stdout() -> Iterator[list[str]]:
    """Collect what Python and C code print; the list is filled when the block ends."""
    printed: list[str] = []
    sys.stdout.flush()
    saved = os.dup(1)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 1)
        try:
            yield printed
        finally:
            sys.stdout.flush()
            ctypes.CDLL(None).fflush(None)
            os.dup2(saved, 1)
            os.close(saved)
            file.seek(0)
            text = file.read().decode(errors="replace")
            if text:
                printed.append(text)
