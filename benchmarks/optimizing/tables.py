"""The figures as text, and in the documents."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from math import exp, log
from pathlib import Path
from typing import Any

from optimizing.tools import PINNED, TOOLS

__all__ = ["faults", "line", "published", "store", "text", "write_documents"]

_DOCUMENTS = Path(__file__).resolve().parents[2] / "docs" / "reference"
_NOISES, _LEAST = 10, 1e-5
"""A result counts as right within so many times the source's noise, and within the second."""
_MB = 1e6
_PRESENT = ("onnxsim", "onnxscript", "onnxruntime", "onnx-ir", "torch", "tf2onnx")

Record = Mapping[str, Any]


def store(results: Record, path: Path) -> dict[str, Any]:
    """Merge results into a JSON file and return all it has now."""
    stored: dict[str, Any] = {"graphs": {}, "scale": {}, "big": {}}
    if path.exists():
        stored = json.loads(path.read_text())
    for name, record in results["graphs"].items():
        before = stored["graphs"].get(name, {}).get("tools", {})
        tools = {
            tool: _kept(before.get(tool, {}), entry) for tool, entry in record["tools"].items()
        }
        stored["graphs"][name] = {**record, "tools": before | tools}
    for shape, records in results["scale"].items():
        stored["scale"][shape] = stored["scale"].get(shape, {}) | records
    stored["big"] |= results["big"]
    path.write_text(json.dumps(stored, indent=1, sort_keys=True) + "\n")
    return stored


def published() -> dict[str, Any]:
    """Return the records that are published, by graph."""
    stored = json.loads((_DOCUMENTS / "optimizers.json").read_text())
    graphs: dict[str, Any] = stored["graphs"]
    return graphs


def _kept(before: Record, now: Record) -> dict[str, Any]:
    """Keep a latency that was measured on a result of the same operators."""
    same = before.get("ops") == now.get("ops") and "latency" in before
    return {**({"latency": before["latency"]} if same else {}), **now}


def problem(record: Record, entry: Record) -> str:
    """Return what is wrong with a result for a graph; empty if nothing is."""
    if "failed" in entry:
        return f"failed: {entry['failed']}"
    if isinstance(entry["error"], str):
        return f"does not run: {entry['error']}"
    if not entry["error"] <= _NOISES * record["noise"] + _LEAST:
        return f"wrong: error {entry['error']:.2g}"
    return f"invalid: {entry['checker']}" if entry["checker"] else ""


def faults(results: Record) -> list[str]:
    """Return what is wrong with results of irconv, one line each."""
    return [
        f"{graph}: {tool}: {problem(record, entry)}"
        for graph, record in results["graphs"].items()
        for tool, entry in record["tools"].items()
        if tool.startswith("irconv") and problem(record, entry)
    ]


def line(record: Record, tool: str) -> str:
    """Return one tool's figures on one graph as a line."""
    entry = record["tools"][tool]
    if "failed" in entry:
        return problem(record, entry)
    latency = "".join(
        f" {level} {ratios['ratio']:.2f}"
        for level, ratios in entry.get("latency", {}).items()
        if level != "failed"
    )
    return (
        f"{record['nodes']} -> {entry['nodes']} nodes, {entry['cpu']:.2f} s CPU, "
        f"{entry['peak'] / record['bytes']:.1f} x memory, "
        f"{entry['bytes'] / record['bytes']:.2f} x bytes{latency} {problem(record, entry)}"
    ).rstrip()


_MEASURES: Mapping[str, Callable[[Record, Record], float]] = {
    "nodes": lambda record, entry: entry["nodes"] / record["nodes"],
    "CPU s": lambda record, entry: entry["cpu"],
    "memory": lambda record, entry: entry["peak"] / record["bytes"],
    "bytes": lambda record, entry: entry["bytes"] / record["bytes"],
    "latency, off": lambda record, entry: entry["latency"]["off"]["ratio"],
    "latency, default": lambda record, entry: entry["latency"]["default"]["ratio"],
}


def _mean(graphs: Record, tool: str, measure: Callable[[Record, Record], float]) -> str:
    """Return the geometric mean over the graphs on which the tool's result is right."""
    values = []
    for record in graphs.values():
        entry = record["tools"].get(tool)
        if entry is not None and problem(record, entry) in ("", f"invalid: {entry.get('checker')}"):
            try:
                values.append(measure(record, entry))
            except KeyError:
                return ""
    return f"{exp(sum(map(log, values)) / len(values)):.3g}" if values else ""


def _tools(graphs: Record) -> list[str]:
    return [
        tool.name
        for tool in TOOLS
        if any(tool.name in record["tools"] for record in graphs.values())
    ]


def _rows(results: Record) -> Iterator[list[list[str]]]:
    """Yield one table after another, each with its heading as the first row."""
    graphs = results["graphs"]
    if graphs:
        tools = _tools(graphs)
        means = [[tool, *(_mean(graphs, tool, m) for m in _MEASURES.values())] for tool in tools]
        counts = [
            str(sum(bool(problem(record, record["tools"][tool])) for record in graphs.values()
                    if tool in record["tools"]))
            for tool in tools
        ]  # fmt: skip
        yield [
            ["tool", *_MEASURES, "faults"],
            *([*row, count] for row, count in zip(means, counts, strict=True)),
        ]
        nodes = [["graph", "source", *tools]]
        for name, record in graphs.items():
            entries = [record["tools"].get(tool) for tool in tools]
            nodes.append(
                [name, str(record["nodes"]), *(_nodes(record, entry) for entry in entries)]
            )
        yield nodes
    for shape, records in results["scale"].items():
        yield [
            [f"20,000 nodes ({shape})", "CPU s", "exponent"],
            *(
                [tool, *((record["failed"], "") if "failed" in record
                         else (str(_largest(record["cpu"])), str(record["exponent"])))]
                for tool, record in records.items()
            ),
        ]  # fmt: skip
    if results["big"]:
        yield [
            ["2.8 GB of external data", "CPU s", "wall s", "peak MB", "heap MB"],
            *([tool, *_big(record)] for tool, record in results["big"].items()),
        ]


def _largest(seconds: Mapping[Any, float]) -> float:
    return seconds[max(seconds, key=int)]


def _nodes(record: Record, entry: Record | None) -> str:
    if entry is None:
        return ""
    if "failed" in entry:
        return "fails"
    return f"{entry['nodes']}" + ("*" if problem(record, entry) else "")


def _big(record: Record) -> list[str]:
    if "failed" in record:
        return [record["failed"], "", "", ""]
    memory = [f"{record[part] / _MB:.0f}" for part in ("peak", "heap")]
    return [f"{record['cpu']:.1f}", f"{record['wall']:.1f}", *memory]


def text(results: Record) -> str:
    """Return the tables for a terminal, and what is wrong with irconv's results."""
    parts = []
    for rows in _rows(results):
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        parts.append(
            "\n".join(
                "  ".join(
                    cell.ljust(width) for cell, width in zip(row, widths, strict=True)
                ).rstrip()
                for row in rows
            )
        )
    return "\n\n".join([*parts, *faults(results)])


def _padded(row: list[str], widths: list[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def write_documents(results: Record) -> None:
    """Bring ``optimizers.json`` and ``optimizers.md`` of the reference up to date."""
    stored = store(results, _DOCUMENTS / "optimizers.json")
    parts = [_HEAD.format(versions=_versions(), python=platform.python_version())]
    for rows in _rows(stored):
        parts.append(
            "\n".join(
                "| " + " | ".join(row) + " |" + ("\n|" + "---|" * len(row) if not index else "")
                for index, row in enumerate(rows)
            )
        )
    wrong = [
        f"- {graph}, {tool}: {problem(record, entry)}"
        for graph, record in stored["graphs"].items()
        for tool, entry in record["tools"].items()
        if problem(record, entry)
    ]
    parts.append("\n".join(["What fails, or is wrong or invalid:", "", *(wrong or ["- nothing"])]))
    (_DOCUMENTS / "optimizers.md").write_text("\n\n".join(parts) + "\n")


def _versions() -> str:
    return ", ".join([*(f"{name} {version(name)}" for name in _PRESENT),
                      *(pin.replace("==", " ") for pin in PINNED)])  # fmt: skip


_HEAD = """# Optimizers side by side

<!-- Written by benchmarks/optimizers.py --write. Do not edit. -->

`irconv optimize` and other optimizers of ONNX models on the same graphs, by
`python benchmarks/optimizers.py`: every run a process of its own, in rounds that take turns. What
the last call did not run keeps the figures of an earlier one, perhaps of another machine.
Python {python}; {versions}.

The first table has geometric means over the graphs: nodes left over nodes of the source
(Constant nodes included), processor seconds of the whole process with its imports, peak memory
over the bytes of the model, bytes of the result over those of the source, and time of a run in
ONNX Runtime over that of the source, with ONNX Runtime's own optimizer off and with its defaults.
`faults` counts graphs on which the tool fails or gives a wrong or invalid model; a wrong one is
left out of the means. `irconv -O3`, `ort-extended`, `ort-all` and `ort-transformers` may use
operators that only ONNX Runtime has, and the seconds of `irconv -O3` include running its result
against the source; `onnx-ir` reads and writes the model and changes nothing.
A `*` marks what is wrong or invalid. A result is wrong if an output differs from the source's by
more than ten times what ONNX Runtime's own optimizer changes there."""
