"""Import models as their frameworks save them, and compare with the frameworks' own outputs.

Usage: ``python benchmarks/frontends.py [--only bert] [--form pt2] [--missing] [--write]``

The sources are generated offline on first use and kept in ``.cache/sources``; PyTorch and
TensorFlow write them in processes of their own. Each is imported without any optimization, run in
ONNX Runtime, and compared with what its framework gives for the same inputs, within the derived
tolerance. With ``--write`` the results go into ``docs/reference/frontends.json`` and
``docs/reference/frontends.md``; sources that did not run keep theirs.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import multiprocessing
import os
import re
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import chain
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from sources.catalog import SOURCES, Source

CACHE = Path(__file__).resolve().parents[1] / ".cache" / "sources"


def main() -> int:
    """Import what the command line asks for; the exit status is 1 if a source fails."""
    options = _parse()
    options.cache.mkdir(parents=True, exist_ok=True)
    chosen = [source for source in SOURCES if _is_chosen(source, options)]
    results: dict[str, Any] = {}
    for name, record in chain(_generate(chosen, options), _import(chosen, options)):
        results[name] = record
        print(f"{name}: {record['status']}", flush=True)
        if options.write:
            _publish({name: record})
    counts = Counter(record["status"].split(":")[0] for record in results.values())
    print(", ".join(f"{count} {kind}" for kind, count in counts.most_common()))
    return 1 if counts["fail"] else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="regular expression that names must have")
    parser.add_argument("--form", action="append", help="such as pt2; may be repeated")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="how many at once")
    parser.add_argument("--seconds", type=float, default=600.0, help="limit of one step")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where the sources are kept")
    parser.add_argument("--generate", action="store_true", help="generate the sources only")
    parser.add_argument("--missing", action="store_true", help="what has no result that passes")
    parser.add_argument("--write", action="store_true", help="bring the documents up to date")
    return parser.parse_args()


def _is_chosen(source: Source, options: argparse.Namespace) -> bool:
    if options.form and source.form not in options.form:
        return False
    if options.missing:
        from sources.tables import read_results

        if read_results().get(source.name, {}).get("status") == "pass":
            return False
    return re.search(options.only, source.name) is not None


def _generate(
    chosen: list[Source], options: argparse.Namespace
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Write what is not there yet, one process a framework; yield what cannot be written."""
    spawn = multiprocessing.get_context("spawn")
    for framework in ("torch", "tensorflow"):
        todo = [
            source
            for source in chosen
            if source.framework == framework and not (options.cache / source.file).exists()
        ]
        if not todo:
            continue
        with ProcessPoolExecutor(1, spawn, _quiet) as pool:
            for source in todo:
                words = pool.submit(_write, framework, source, options.cache).result()
                if words:
                    record = {"model": source.model, "form": source.form}
                    yield source.name, record | {"status": f"fail: cannot be written: {words}"}


def _publish(results: dict[str, Any]) -> None:
    from sources.tables import write_results

    write_results(results)


def _write(framework: str, source: Source, cache: Path) -> str:
    """Write one source under its name, complete or not at all; return what went wrong."""
    partial = cache / f"partial-{source.file}"
    try:
        importlib.import_module(f"sources.{framework}_files").write(source, partial)
    except Exception as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"
    samples = partial.with_name(f"{source.name}.npz")
    assert framework == "tensorflow" or samples.exists()
    partial.rename(cache / source.file)
    return ""


def _import(
    chosen: list[Source], options: argparse.Namespace
) -> Iterator[tuple[str, dict[str, Any]]]:
    if options.generate:
        return
    from sources.importing import import_source

    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.jobs, spawn, _quiet) as pool:
        running = {
            pool.submit(import_source, source, options.cache / source.file, options.seconds): source
            for source in chosen
            if (options.cache / source.file).exists()
        }
        for done in as_completed(running):
            yield running[done].name, done.result()


def _quiet() -> None:
    warnings.simplefilter("ignore")
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    logging.disable(logging.WARNING)


if __name__ == "__main__":
    sys.exit(main())
