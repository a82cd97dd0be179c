"""Runs hostile models through irconv, each in a child process of its own with hard limits.

Usage: ``run_hostile.py ROOT load|optimize SECONDS``; prints one JSON object a case.
"""

from __future__ import annotations

import json
import os
import resource
import runpy
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from irconv.errors import IrconvError
from irconv.graph.preflight.runtime_schemas import runtime_schemas
from irconv.graph.reading.load import load_model
from irconv.optimize import optimize_model
from irconv.passes.base import Pass
from irconv.passes.pipelines import DEFAULT_LEVEL, MAX_ROUNDS, resolve_pipeline
from irconv.plugins import load_registry

MEMORY = 8 << 30


def attempt(path: Path, root: Path, passes: Sequence[Pass] | None) -> dict[str, Any]:
    """Load a model, optimize it if passes are given; say what became of it, files opened."""
    opened: list[str] = []
    home = path.parent if path.is_relative_to(root) else root / "nowhere"

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str | bytes):
            real = Path(os.path.realpath(os.fsdecode(arguments[0])))
            if real.is_relative_to(root) and not real.is_relative_to(home):
                opened.append(str(real))

    sys.addaudithook(watch)
    start = time.perf_counter()
    result: dict[str, Any] = {"kind": "loaded", "text": "", "hint": ""}
    try:
        if passes is None:
            load_model(path)
        else:
            output = path.parent / "optimized.onnx"
            done = optimize_model(path, output, passes, max_rounds=MAX_ROUNDS)
            result["errors"] = [record.error for record in done.records if record.error]
            result["output_bytes"] = done.bytes_after
    except IrconvError as error:
        result |= {"kind": type(error).__name__, "text": str(error), "hint": error.hint}
    except BaseException as error:
        result |= {"kind": "escaped", "text": f"{type(error).__name__}: {error}"[:500]}
    result["seconds"] = time.perf_counter() - start
    result["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    result["outside"] = opened
    return result


def in_child(path: Path, root: Path, passes: Sequence[Pass] | None, seconds: int) -> dict[str, Any]:
    """Run :func:`attempt` in a forked child that dies when it takes too long or too much."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.alarm(seconds)
        os.write(write, json.dumps(attempt(path, root, passes)).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as stream:
        answer = stream.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        return {"kind": "died", "text": name, "hint": "", "outside": [], "peak": 0, "seconds": 0}
    found: dict[str, Any] = json.loads(answer)
    return found


def main() -> None:
    """Build the cases and run them all."""
    root, mode, seconds = Path(sys.argv[1]).resolve(), sys.argv[2], int(sys.argv[3])
    runtime_schemas()
    passes = None
    if mode == "optimize":
        passes = resolve_pipeline(load_registry(), DEFAULT_LEVEL, None, None, None, {})
    cases = runpy.run_path(str(Path(__file__).with_name("build_hostile.py")))["build"](root)
    for name, (path, refused) in cases.items():
        result = in_child(path, root, passes, seconds)
        print(json.dumps({"case": name, "refused": refused} | result), flush=True)


if __name__ == "__main__":
    main()
