"""Run the ONNX backend suite through irconv, for one target after another.

    python tests/conformance/run.py [--target onnx] [--only PATTERN] [--write]

Prints how many cases pass for each target and for ONNX Runtime alone. With ``--write`` it
brings ``docs/reference/conformance.json`` and ``docs/reference/operators.md`` up to date.
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
from routes import BASELINE, run_case
from suite import Case, load_suite

from irconv.plugins import load_registry


def run_target(cases: dict[str, Case], target: str, *, level: int, processes: int = 2) -> dict[str, str]:
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
    """Run the suite as the command line asks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", action="append", default=[])
    parser.add_argument("--only", default="", help="regular expression that case names must have")
    parser.add_argument("-O", "--level", type=int, default=2)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--raw", type=Path, help="write every status in full to this JSON file")
    arguments = parser.parse_args()
    start = time.perf_counter()
    cases = {name: case for name, case in load_suite().items() if re.search(arguments.only, name)}
    print(f"{len(cases)} cases in {time.perf_counter() - start:.0f} s")
    raw: dict[str, dict[str, str]] = {}
    for target in arguments.target:
        start = time.perf_counter()
        raw[target] = run_target(cases, target, level=arguments.level)
        counts = Counter(status.split(":")[0] for status in raw[target].values())
        print(f"{target}: {dict(counts.most_common())} in {time.perf_counter() - start:.0f} s")
    if arguments.raw:
        arguments.raw.write_text(json.dumps(raw, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
