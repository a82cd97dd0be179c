"""Run the ONNX backend suite through irconv, for one target after another.

    python tests/conformance/run.py [--target onnx] [--only PATTERN] [--write]

Prints how many cases pass for each target and for ONNX Runtime alone, and names every case that
got worse than the committed results say. With ``--write`` it brings
``docs/reference/conformance.json`` and ``docs/reference/operators.md`` up to date; targets that
did not run, or have a case that fails and is not listed as known, keep their results.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from pool import SECONDS_A_CASE, run_all
from report import (
    read_baseline,
    read_results,
    regressions,
    settle,
    write_operators,
    write_results,
)
from routes import BASELINE, Route
from suite import Case, load_suite

from irconv.plugins import load_registry
from irconv.spec import parse_spec

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


def run_target(
    cases: dict[str, Case],
    target: str,
    *,
    level: int = 2,
    processes: int = 2,
    seconds: float = SECONDS_A_CASE,
) -> dict[str, str]:
    """Return the status of every case for one target.

    Args:
        cases: The cases by name.
        target: Spec text of a target, or the baseline's name.
        level: Optimization level of the passes.
        processes: How many processes share the cases.
        seconds: The longest that one case may take.
    """
    route = Route(target, load_registry(), level)

    def work(name: str) -> str:
        try:
            return route.run(cases[name])
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(place.filename).name}:{place.lineno}"
            return f"fail: {type(error).__name__} at {where}: {str(error)[:300]}"

    return dict(sorted(run_all(list(cases), work, processes=processes, seconds=seconds)))


def main() -> int:
    """Run the suite as the command line asks; the exit status is 1 if a case got worse."""
    arguments = _parse()
    start = time.perf_counter()
    suite = load_suite()
    asked = set(arguments.cases.read_text().split() if arguments.cases else suite)
    cases = {
        name: case
        for name, case in suite.items()
        if name in asked and re.search(arguments.only, name)
    }
    print(f"{len(cases)} cases, generated in {time.perf_counter() - start:.0f} s", flush=True)
    raw: dict[str, dict[str, str]] = {}
    for path in arguments.done:
        raw |= json.loads(path.read_text())
    for text in [*([] if arguments.no_baseline else [BASELINE]), *arguments.targets]:
        name = parse_spec(text).name
        if name in raw:
            continue
        start = time.perf_counter()
        raw[name] = run_target(
            cases,
            text,
            level=arguments.level,
            processes=arguments.processes,
            seconds=arguments.seconds,
        )
        seconds = time.perf_counter() - start
        print(f"{name}: {_counts(name, raw[name])} in {seconds:.0f} s", flush=True)
    if arguments.raw:
        arguments.raw.write_text(json.dumps(raw, indent=1))
    settled = {target: settle(target, statuses) for target, statuses in raw.items()}
    baseline = settled.pop(BASELINE, None) or read_baseline()
    committed = read_results()
    worse = [
        f"{target} {line}"
        for target, statuses in settled.items()
        for line in regressions(committed.get(target, {}), statuses)
    ]
    print("\n".join(worse))
    if arguments.write:
        write_results(
            {name: found for name, found in settled.items() if _is_whole(found, suite)}, baseline
        )
        write_operators(suite, baseline)
    return 1 if worse else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--target",
        action="append",
        help="name, or spec with options, such as 'trt{precision=fp16,sm=89}'; may be repeated "
        f"(default: those of {', '.join(SPECS)} that are available here)",
    )
    parser.add_argument("--only", default="", help="regular expression that case names must have")
    parser.add_argument("--cases", type=Path, help="file with the names of the cases to run")
    parser.add_argument("-O", "--level", type=int, default=2)
    parser.add_argument("--processes", type=int, default=2, help="how many share the cases")
    parser.add_argument("--seconds", type=float, default=SECONDS_A_CASE, help="limit of one case")
    parser.add_argument("--no-baseline", action="store_true", help="leave ONNX Runtime alone out")
    parser.add_argument("--write", action="store_true", help="bring the documents up to date")
    parser.add_argument(
        "--done", action="append", type=Path, default=[], help="statuses that --raw wrote before"
    )
    parser.add_argument("--raw", type=Path, help="write every status in full to this JSON file")
    arguments = parser.parse_args()
    if arguments.write and (arguments.only or arguments.cases):
        parser.error("--write needs the whole suite")
    if arguments.write and arguments.no_baseline and not read_baseline():
        parser.error("--write needs the baseline once")
    asked = arguments.target or available_targets()
    arguments.targets = [SPECS.get(text, text) for text in asked]
    return arguments


def _is_whole(statuses: dict[str, str], suite: dict[str, Case]) -> bool:
    failed = any(status.startswith(("fail", "crash")) for status in statuses.values())
    return statuses.keys() == suite.keys() and not failed


def available_targets() -> list[str]:
    """Return the targets of the documents that can be built here."""
    registry = load_registry()
    return [
        name
        for name, text in SPECS.items()
        if name in registry.backends() and registry.build_backend(text).available().ok
    ]


def _counts(target: str, statuses: dict[str, str]) -> str:
    kinds = Counter(status.split(":")[0] for status in settle(target, statuses).values())
    late = sum(status.startswith("late ") for status in statuses.values())
    counts = [f"{count} {kind}" for kind, count in kinds.most_common()]
    return ", ".join([*counts, *([f"{late} of these refused late"] if late else [])])


if __name__ == "__main__":
    raise SystemExit(main())
