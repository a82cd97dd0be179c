"""Backends that break one promise each; found by workers through PYTHONPATH."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

from irconv.backends.base import Artifact, Support
from irconv.backends.onnx import OnnxBackend
from irconv.hookspecs import hookimpl
from irconv.runtime.base import Feeds, Runner, Value

BACKENDS: list[type[OnnxBackend]] = []


def broken(cls):
    cls = dataclass(frozen=True)(cls)
    BACKENDS.append(cls)
    return cls


@hookimpl
def irconv_backends():
    return [*BACKENDS, NotFrozen]


class ChangedRunner(Runner):
    """Runs another runner and passes its outputs through a function."""

    def __init__(self, inner: Runner, change: Callable[[dict[str, Value]], dict[str, Value]]):
        self.inner = inner
        self.change = change

    def run(self, feeds: Feeds) -> dict[str, Value]:
        return self.change(self.inner.run(feeds))

    def describe(self) -> dict[str, str]:
        return self.inner.describe()

    def close(self) -> None:
        self.inner.close()


class Changing(OnnxBackend):
    """Base of backends whose runner changes the outputs."""

    def runner(self, directory: Path, artifact: Artifact) -> Runner:
        return ChangedRunner(super().runner(directory, artifact), self.change)

    def change(self, outputs: dict[str, Value]) -> dict[str, Value]:
        raise NotImplementedError


@broken
class Sound(OnnxBackend):
    name: ClassVar[str] = "broken-not-at-all"


@broken
class WrongOrder(Changing):
    name: ClassVar[str] = "broken-order"

    def change(self, outputs):
        return dict(reversed(outputs.items()))


@broken
class WrongDtype(Changing):
    name: ClassVar[str] = "broken-dtype"

    def change(self, outputs):
        return {name: array.astype("float32") for name, array in outputs.items()}


@broken
class WrongNumbers(Changing):
    name: ClassVar[str] = "broken-numbers"

    def change(self, outputs):
        return {name: array + array.dtype.type(1) for name, array in outputs.items()}


@broken
class Forgetful(Changing):
    name: ClassVar[str] = "broken-repetition"

    calls: ClassVar[list[int]] = []

    def change(self, outputs):
        self.calls.append(1)
        tiny = 1 + 1e-6 * len(self.calls)
        return {name: (array * tiny).astype(array.dtype) for name, array in outputs.items()}


@broken
class WritesOutside(OnnxBackend):
    name: ClassVar[str] = "broken-place"

    def emit(self, model, directory, request):
        (directory.parent / "stray.txt").write_text("x")
        Path("stray.log").write_text("x")
        return super().emit(model, directory, request)


@broken
class ChangesTheWorld(OnnxBackend):
    name: ClassVar[str] = "broken-world"

    def emit(self, model, directory, request):
        artifact = super().emit(model, directory, request)
        os.environ["BROKEN"] = "yes"
        os.chdir(directory)
        os.system("echo printed by a child")
        return artifact


@broken
class NoReason(OnnxBackend):
    name: ClassVar[str] = "broken-reason"

    def supports(self, node):
        return Support(node.domain == "")


@broken
class OnlyTheFirst(OnnxBackend):
    name: ClassVar[str] = "broken-check"

    def check(self, model, shapes):
        return super().check(model, shapes)[:1]


@broken
class Exits(OnnxBackend):
    name: ClassVar[str] = "broken-exit"

    def emit(self, model, directory, request):
        print("the last words", file=sys.stderr, flush=True)
        os._exit(3)


@broken
class Segfaults(OnnxBackend):
    name: ClassVar[str] = "broken-memory"

    def runner(self, directory, artifact):
        import ctypes

        ctypes.string_at(0)


@broken
class Hangs(OnnxBackend):
    name: ClassVar[str] = "broken-time"

    def emit(self, model, directory, request):
        time.sleep(600)


@broken
class NoMain(OnnxBackend):
    name: ClassVar[str] = "broken-main"

    def emit(self, model, directory, request):
        artifact = super().emit(model, directory, request)
        return replace(artifact, main="other.onnx", requires={})

    def runner(self, directory, artifact):
        return super().runner(directory, replace(artifact, main="model.onnx"))


@broken
class ClosesOnce(OnnxBackend):
    name: ClassVar[str] = "broken-close"

    def runner(self, directory, artifact):
        runner = super().runner(directory, artifact)
        original = runner.close

        def close():
            assert runner._session is not None, "closed before"
            original()

        runner.close = close
        return runner


@broken
class LeavesFiles(OnnxBackend):
    name: ClassVar[str] = "broken-cleanup"

    def runner(self, directory, artifact):
        (directory / "cache.bin").write_text("x")
        Path("core.dump").write_text("x")
        return super().runner(directory, artifact)


@broken
class UnknownPass(OnnxBackend):
    name: ClassVar[str] = "broken-legalization"

    def legalization(self):
        return ("no-such-pass",)


@broken
class SwallowsAnything(OnnxBackend):
    name: ClassVar[str] = "broken-validation"

    def emit(self, model, directory, request):
        (directory / "model.onnx").write_bytes(b"x")
        return Artifact("model.onnx", "float32", {"runtime": "none"})

    def runner(self, directory, artifact):
        class Runs(Runner):
            def run(self, feeds):
                return {"y": next(iter(feeds.values()))}

            def describe(self):
                return {"runtime": "none", "version": "0"}

        return Runs()


class NotFrozen(OnnxBackend):
    """Its option is not part of its spec, because it is no dataclass of its own."""

    name: ClassVar[str] = "Broken_Declaration"
    summary: ClassVar[str] = ""
    extra: int = field(default=1)

    def available(self):
        import numpy

        return super().available() if numpy else None
