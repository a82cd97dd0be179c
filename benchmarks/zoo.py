"""Compile a zoo of generated networks for every target, and say what passes.

Usage: ``python benchmarks/zoo.py [--target tflite] [--only bert] [--static] [--jobs 2] [--write]``

The models are generated offline on first use and kept in ``.cache/zoo``. With ``--write`` the
results go into ``docs/reference/zoo.json`` and ``docs/reference/zoo.md``; models and targets
that did not run keep theirs.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

CACHE = Path(__file__).resolve().parents[1] / ".cache" / "zoo"
SPECS = {
    "onnx": "onnx",
    "openvino": "openvino",
    "tflite": "tflite",
    "coreml": "coreml",
    "torchscript": "torchscript",
    "executorch": "executorch",
    "trt": "trt{sm=89}",
}
"""The targets with the options under which their results stand in the documents."""
_SECONDS = 600.0


def main() -> int:
    """Run the zoo as the command line asks; the exit status is 1 if a model fails."""
    options = _parse()
    sys.path.insert(0, str(Path(__file__).parent))
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    failed = False
    results: dict[str, Any] = {}
    for model, record in _run(options):
        results[model] = record
        words = [f"{name} {entry['status']}" for name, entry in record["targets"].items()]
        failed = failed or any(" fail" in word for word in words)
        print(f"{model}: {'; '.join(words)}", flush=True)
        if options.write:
            _write({model: record})
    for target in {name for record in results.values() for name in record["targets"]}:
        counts = Counter(
            record["targets"][target]["status"].split(":")[0] for record in results.values()
        )
        print(f"{target}: {', '.join(f'{count} {kind}' for kind, count in counts.most_common())}")
    return 1 if failed else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", action="append", help="name or spec; may be repeated")
    parser.add_argument("--only", default="", help="regular expression that names must have")
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--static", action="append_const", dest="forms", const="static")
    forms.add_argument("--dynamic", action="append_const", dest="forms", const="dynamic")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="how many at once")
    parser.add_argument("--seconds", type=float, default=_SECONDS, help="limit of one step")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where the models are kept")
    parser.add_argument("--generate", action="store_true", help="generate the models only")
    parser.add_argument("--missing", action="store_true", help="what has no results written yet")
    parser.add_argument("--write", action="store_true", help="bring the documents up to date")
    options = parser.parse_args()
    options.targets = [SPECS.get(text, text) for text in options.target or _available()]
    options.forms = options.forms or ["static", "dynamic"]
    return options


def _available() -> list[str]:
    from irconv.plugins import load_registry

    registry = load_registry()
    return [
        name
        for name, text in SPECS.items()
        if name in registry.backends() and registry.build_backend(text).available().ok
    ]


def _run(options: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    """Generate what is not there yet, and yield every model's record as it is done."""
    options.cache.mkdir(parents=True, exist_ok=True)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.jobs, spawn, _quiet) as pool:
        names = pool.submit(_names, options.only).result()
        models = [(*entry, form) for entry in names for form in options.forms]
        waiting: dict[Future[str], tuple[str, str, str]] = {
            pool.submit(_generate, options.cache, name, form): (name, family, form)
            for name, family, form in models
        }
        wrong = {waiting[done]: done.result() for done in as_completed(waiting) if done.result()}
    for (name, _, form), words in wrong.items():
        print(f"{name}-{form}: cannot be exported: {words}", flush=True)
    if options.generate:
        return
    with ProcessPoolExecutor(options.jobs, spawn, _quiet) as pool:
        running = {
            pool.submit(_compile, options.cache, name, form, options.targets, options.seconds): (
                f"{name}-{form}",
                family,
            )
            for name, family, form in models
            if (name, family, form) not in wrong
            and not (options.missing and _has_results(f"{name}-{form}", options.targets))
        }
        for done in as_completed(running):
            model, family = running[done]
            yield model, {"family": family} | done.result()


def _quiet() -> None:
    logging.disable(logging.WARNING)


def _names(pattern: str) -> list[tuple[str, str]]:
    from architectures.registry import architectures

    return [
        (name, entry.family) for name, entry in architectures().items() if re.search(pattern, name)
    ]


def _generate(cache: Path, name: str, form: Any) -> str:
    """Generate one model, unless it is there; return what went wrong, or the empty string."""
    path = cache / f"{name}-{form}.onnx"
    if path.exists():
        return ""
    import torch
    from architectures.export import export
    from architectures.registry import architectures

    torch.set_num_threads(1)
    try:
        export(architectures()[name], form, path)
    except Exception as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0]}"
    return ""


def _compile(
    cache: Path, name: str, form: str, targets: list[str], seconds: float
) -> dict[str, Any]:
    import onnx
    from architectures.compiling import compile_for

    path = cache / f"{name}-{form}.onnx"
    start = time.perf_counter()
    records = compile_for(path, targets, seconds)
    return {
        "nodes": len(onnx.load(path, load_external_data=False).graph.node),
        "bytes": path.stat().st_size,
        "seconds": round(time.perf_counter() - start, 1),
        "targets": records,
    }


def _has_results(model: str, targets: list[str]) -> bool:
    from architectures.tables import read_results

    done = read_results().get(model, {}).get("targets", {})
    return all(text.partition("{")[0] in done for text in targets)


def _write(results: dict[str, Any]) -> None:
    from architectures.tables import write_results

    write_results(results)


if __name__ == "__main__":
    sys.exit(main())
