"""Looks for wrong passes at length: ``python tests/random_models/soak.py SEED EXAMPLES``.

Every failure is printed when it is first seen, shrunk, and the search goes on with the next seed.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from hypothesis import HealthCheck, Phase, assume, given, seed, settings
from orders import cases
from proof import assert_kept, is_usable
from strategy import RandomModel

from irconv.passes.base import Pass


def soak(number: int, examples: int, *, shrink: bool) -> str:
    """Run one search; return what it found, or nothing."""
    phases = [Phase.generate, *([Phase.shrink] if shrink else [])]

    @seed(number)
    @settings(
        max_examples=examples, deadline=None, database=None, phases=phases,
        suppress_health_check=list(HealthCheck), report_multiple_bugs=False,
    )  # fmt: skip
    @given(case=cases())
    def search(case: tuple[RandomModel, list[Pass]]) -> None:
        random, passes = case
        assume(is_usable(random))
        assert_kept(random, passes)

    try:
        search()
    except Exception as error:
        notes = "\n".join(getattr(error, "__notes__", ()))
        return f"{type(error).__name__}: {error}\n{notes}"
    return ""


if __name__ == "__main__":
    first, total = int(sys.argv[1]), int(sys.argv[2])
    done, number, start = 0, first, time.time()
    while done < total:
        found = soak(number, 50, shrink="--quick" not in sys.argv)
        done, number = done + 50, number + 1
        if found:
            print(f"=== seed {number - 1}\n{found}", flush=True)
    print(f"{done} examples, {time.time() - start:.0f} s", flush=True)
