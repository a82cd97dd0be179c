"""A model of 2.8 GB whose weights are external data: ``python big.py FOLDER`` writes it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from optimizing import process
from optimizing.measure import Runs
from optimizing.tools import Tool

__all__ = ["measure_big"]

_WEIGHTS, _WEIGHT_BYTES = 42, 64 << 20


def measure_big(
    tools: Sequence[Tool], folder: Path, *, rounds: int, seconds: float, peers: Path
) -> dict[str, Any]:
    """Return by tool its processor and wall seconds, peak memory and peak heap.

    The heap (``RssAnon``) is what no file backs; it is sampled, in all rounds but the first, which
    gives the times with nothing watching. What was written before is on the disk when a run starts.
    """
    subprocess.run([sys.executable, __file__, str(folder)], check=True)
    source = folder / "model.onnx"
    runs = {tool.name: Runs() for tool in tools}
    heaps = dict.fromkeys(runs, 0)
    for turn in range(rounds + 1):
        for tool in tools:
            if runs[tool.name].error:
                continue
            result = tool.result(folder, source)
            result.parent.mkdir(parents=True)
            command = tool.command(source, result, "chain", peers)
            os.sync()
            usage = process.run(command, seconds, watch_heap=turn == rounds)
            if turn < rounds:
                runs[tool.name].add(usage)
            heaps[tool.name] = max(heaps[tool.name], usage.heap)
            shutil.rmtree(result.parent)
    return {
        name: run.record() | ({} if run.error else {"heap": heaps[name]})
        for name, run in runs.items()
    }


def main() -> None:
    """Write the model."""
    from big_model import write_model

    write_model(Path(sys.argv[1]), _WEIGHTS, _WEIGHT_BYTES)


if __name__ == "__main__":
    main()
