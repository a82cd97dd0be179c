"""Looks for wrong passes at length: ``python tests/random_models/soak.py SEED EXAMPLES``.

Every failure is printed when it is first seen, and the search goes on with the next seed. With
``--quick`` it is not shrunk. ``--keep FOLDER`` keeps the model, its inputs and the passes.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import onnx
from hypothesis import HealthCheck, Phase, assume, given, seed, settings
from orders import cases
from proof import assert_kept, is_usable
from steady import STEADY
from strategy import RandomModel

from irconv.passes.base import Pass


def soak(number: int, examples: int, *, shrink: bool, keep: Path | None) -> str:
    """Run one search; return what it found, or nothing."""
    phases = [Phase.generate, *([Phase.shrink] if shrink else [])]
    failed: list[tuple[RandomModel, list[Pass]]] = []

    @seed(number)
    @settings(
        max_examples=examples, deadline=None, database=None, phases=phases, backend=STEADY,
        suppress_health_check=list(HealthCheck), report_multiple_bugs=False,
    )  # fmt: skip
    @given(case=cases())
    def search(case: tuple[RandomModel, list[Pass]]) -> None:
        random, passes = case
        assume(is_usable(random))
        failed[:] = [case]
        assert_kept(random, passes)

    try:
        search()
    except Exception as error:
        if keep is not None and failed:
            _keep(*failed[0], keep / str(number))
        return f"{type(error).__name__}: {error}"
    return ""


def _keep(random: RandomModel, passes: list[Pass], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(random.proto, folder / "model.onnx")
    np.savez(folder / "inputs.npz", **random.feeds)
    (folder / "passes.txt").write_text(",".join(map(str, passes)) + "\n")


def main() -> None:
    """Search until as many examples were tried as are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seed", type=int)
    parser.add_argument("examples", type=int)
    parser.add_argument("--quick", action="store_true", help="do not shrink what is found")
    parser.add_argument("--keep", type=Path, help="folder for what is found")
    options = parser.parse_args()
    done, number, start = 0, options.seed, time.time()
    while done < options.examples:
        found = soak(number, 50, shrink=not options.quick, keep=options.keep)
        if found:
            print(f"=== seed {number}\n{found}", flush=True)
        done, number = done + 50, number + 1
    print(f"{done} examples, {time.time() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
