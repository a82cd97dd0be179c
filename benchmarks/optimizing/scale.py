"""Graphs of many nodes: how the processor time of a tool grows with them.

``python scale.py FOLDER SHAPE NODES`` writes one.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from optimizing import process
from optimizing.tools import Tool

__all__ = ["exponent", "measure_scale"]

_TINY, _SIZES = 16, (5_000, 10_000, 20_000)


def exponent(seconds: Mapping[int, float]) -> float:
    """Return ``e`` of ``seconds = start + a * nodes ** e``, by the least squares of logarithms.

    Args:
        seconds: Processor time by size; that of a tiny graph is what the process costs at all.
    """
    grown = [max(seconds[size] - seconds[_TINY], 1e-3) for size in _SIZES]
    return float(np.polyfit(np.log(_SIZES), np.log(grown), 1)[0])


def measure_scale(
    tools: Sequence[Tool], shape: str, folder: Path, *, rounds: int, seconds: float, peers: Path
) -> dict[str, Any]:
    """Return by tool ``cpu`` by size and the exponent; a tool that fails once is left out then."""
    records: dict[str, Any] = {tool.name: {"cpu": {}} for tool in tools}
    for size in (_TINY, *_SIZES):
        source = folder / f"{shape}-{size}.onnx"
        subprocess.run([sys.executable, __file__, str(folder), shape, str(size)], check=True)
        for turn in range(rounds):
            for tool in tools:
                record = records[tool.name]
                if "failed" in record:
                    continue
                result = tool.result(folder, source)
                result.parent.mkdir(parents=True, exist_ok=True)
                usage = process.run(tool.command(source, result, shape, peers), seconds)
                if usage.error:
                    record["failed"] = f"{size} nodes: {usage.error}"
                else:
                    before = record["cpu"].get(size, usage.cpu) if turn else usage.cpu
                    record["cpu"][size] = round(min(before, usage.cpu), 2)
    for record in records.values():
        if "failed" not in record:
            record["exponent"] = round(exponent(record["cpu"]), 2)
    return {shape: records}


def main() -> None:
    """Write a graph of ``benchmarks/scaling.py``."""
    import onnx_ir as ir
    from scaling import SHAPES

    folder, shape, nodes = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    ir.save(SHAPES[shape](nodes), folder / f"{shape}-{nodes}.onnx")


if __name__ == "__main__":
    main()
