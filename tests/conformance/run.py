"""Run the ONNX backend suite through irconv, for one target after another.

    python tests/conformance/run.py [--target onnx] [--only PATTERN] [--write]

Prints how many cases pass for each target and for ONNX Runtime alone, and names every case that
got worse than the committed results say. With ``--write`` it brings
``docs/reference/conformance.json`` and ``docs/reference/operators.md`` up to date.
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

from pool import run_all
from report import read_results, regressions, settle, write_operators, write_results
from routes import BASELINE, run_case
from suite import Case, load_suite

from irconv.plugins import load_registry

TARGETS = ("onnx", "openvino")


def run_target(
    cases: dict[str, Case], target: str, *, level: int = 2, processes: int = 2
) -> dict[str, str]:
    """Return the status of every case for one target."""
    registry = load_registry()

    def work(name: str) -> str:
        try:
            return run_case(cases[name], target, registry, level)
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(place.filename).name}:{place.lineno}"
            return f"fail: {type(error).__name__} at {where}: {str(error)[:300]}"

    return dict(sorted(run_all(list(cases), work, processes=processes)))


def main() -> int:
    """Run the suite as the command line asks; the exit status is 1 if a case got worse."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", action="append", help="default: onnx and openvino")
    parser.add_argument("--only", default="", help="regular expression that case names must have")
    parser.add_argument("-O", "--level", type=int, default=2)
    parser.add_argument("--write", action="store_true", help="bring the documents up to date")
    parser.add_argument("--raw", type=Path, help="write every status in full to this JSON file")
    arguments = parser.parse_args()
    if arguments.write and arguments.only:
        parser.error("--write needs the whole suite")
    start = time.perf_counter()
    suite = load_suite()
    cases = {name: case for name, case in suite.items() if re.search(arguments.only, name)}
    print(f"{len(cases)} cases, generated in {time.perf_counter() - start:.0f} s")
    raw = {}
    for target in [BASELINE, *(arguments.target or TARGETS)]:
        start = time.perf_counter()
        raw[target] = run_target(cases, target, level=arguments.level)
        print(f"{target}: {_counts(target, raw[target])} in {time.perf_counter() - start:.0f} s")
    if arguments.raw:
        arguments.raw.write_text(json.dumps(raw, indent=1))
    baseline = raw.pop(BASELINE)
    settled = {target: settle(target, statuses) for target, statuses in raw.items()}
    committed = read_results()
    worse = [
        f"{target} {line}"
        for target, statuses in settled.items()
        for line in regressions(committed.get(target, {}), statuses)
    ]
    print("\n".join(worse))
    if arguments.write:
        write_results(settled)
        write_operators(suite, baseline)
    return 1 if worse else 0


def _counts(target: str, statuses: dict[str, str]) -> str:
    kinds = Counter(status.split(":")[0] for status in settle(target, statuses).values())
    return ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())


if __name__ == "__main__":
    raise SystemExit(main())
