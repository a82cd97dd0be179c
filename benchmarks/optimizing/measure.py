"""Measuring tools on one graph, in rounds that take turns."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optimizing import process
from optimizing.tools import Tool

__all__ = ["Runs", "latencies", "measure_graph"]

_HERE = Path(__file__).parent
_INSPECT, _LATENCY = _HERE / "inspect_result.py", _HERE / "latency.py"
_LEVELS = ("off", "default")


@dataclass
class Runs:
    """What the runs of one tool on one model used.

    Attributes:
        usages: One a round; none after a round that failed.
        error: Why a run failed; empty if none did.
    """

    usages: list[process.Usage] = field(default_factory=list)
    error: str = ""

    def add(self, usage: process.Usage) -> None:
        """Take another round."""
        if usage.error:
            self.error = usage.error
        else:
            self.usages.append(usage)

    def record(self) -> dict[str, Any]:
        """Return ``cpu``, ``wall`` and ``peak``, or ``failed``."""
        if self.error:
            return {"failed": self.error}
        return {
            "cpu": round(min(usage.cpu for usage in self.usages), 2),
            "wall": round(min(usage.wall for usage in self.usages), 2),
            "peak": max(usage.peak for usage in self.usages),
        }


def measure_graph(
    source: Path,
    network: str,
    tools: Sequence[Tool],
    folder: Path,
    *,
    rounds: int,
    seconds: float,
    peers: Path,
) -> dict[str, Any]:
    """Return the figures of one graph under every tool; the results stay in ``folder``.

    Args:
        source: The graph, with samples beside it.
        network: What it is.
        tools: What to run.
        folder: Takes a folder for each tool.
        rounds: How often each tool runs.
        seconds: Limit of one run.
        peers: The virtual environment of the peers.
    """
    record = _inspect(source, source, seconds)
    runs = {tool.name: Runs() for tool in tools}
    for _ in range(rounds):
        for tool in tools:
            if not runs[tool.name].error:
                result = tool.result(folder, source)
                result.parent.mkdir(parents=True, exist_ok=True)
                command = tool.command(source, result, network, peers)
                runs[tool.name].add(process.run(command, seconds))
    record["tools"] = {
        tool.name: runs[tool.name].record()
        | ({} if runs[tool.name].error else _inspect(source, tool.result(folder, source), seconds))
        for tool in tools
    }
    return record


def _inspect(source: Path, result: Path, seconds: float) -> dict[str, Any]:
    return _json([sys.executable, str(_INSPECT), str(source), str(result)], seconds)


def latencies(
    source: Path, results: Mapping[str, Path], *, rounds: int, seconds: float
) -> dict[str, dict[str, Any]]:
    """Return by tool and level the time of a run over that of the source.

    Every timing is a process of its own; in each round the source and all results take turns.

    Returns:
        By tool name, and by ``off`` and ``default``: ``ratio`` of the least times and
        ``rounds``, the ratio of medians in each round.
    """
    models = {"source": source, **results}
    samples = source.with_suffix(".npz")
    times: dict[tuple[str, str], list[dict[str, float]]] = {}
    failed: dict[str, str] = {}
    for _ in range(rounds):
        for level in _LEVELS:
            for name, path in models.items():
                if name in failed:
                    continue
                command = [sys.executable, str(_LATENCY), str(path), str(samples), level]
                usage = process.run(command, seconds)
                if usage.error:
                    failed[name] = usage.error
                else:
                    times.setdefault((name, level), []).append(json.loads(usage.stdout))
    return {
        name: {"failed": failed[name]}
        if name in failed
        else {level: _ratios(times[name, level], times["source", level]) for level in _LEVELS}
        for name in results
    }


def _ratios(mine: list[dict[str, float]], source: list[dict[str, float]]) -> dict[str, Any]:
    each = [a["median"] / b["median"] for a, b in zip(mine, source, strict=True)]
    least = min(entry["least"] for entry in mine) / min(entry["least"] for entry in source)
    return {
        "ratio": round(least, 3),
        "median": round(statistics.median(each), 3),
        "rounds": [round(ratio, 3) for ratio in each],
    }


def _json(command: Sequence[str], seconds: float) -> dict[str, Any]:
    usage = process.run(command, seconds)
    if usage.error:
        raise RuntimeError(f"{' '.join(command)}: {usage.error}")
    record: dict[str, Any] = json.loads(usage.stdout)
    return record
