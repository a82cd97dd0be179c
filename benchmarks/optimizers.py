"""Measure ``irconv optimize`` side by side with other optimizers of ONNX models.

Usage: ``python benchmarks/optimizers.py [--graph bert] [--tool 'irconv|slim'] [--rounds 3]
[--latency] [--scale] [--big] [--json FILE] [--write]``; ``--setup-peers`` once before.

Every run is a process of its own, and rounds over the tools are interleaved. The graphs are
generated offline on first use (``benchmarks/graphs``) and kept in ``.cache/graphs``.

* ``nodes``: what is left, in all bodies and functions, Constant nodes included;
* ``cpu``: the least processor time of the whole process, imports included; ``wall`` likewise;
* ``peak``: the most resident memory of any round, pages of mapped files included;
* ``bytes``: the size of the result; ``checker`` and ``error``: whether it is valid and right;
* ``--latency``: the time of a run in ONNX Runtime over that of the source, with ONNX Runtime's own
  optimizer off and with its defaults, in rounds that take turns;
* ``--scale``: processor time at 20,000 nodes and the exponent of its growth;
* ``--big``: a model of 2.8 GB with external data: memory and time.

With ``--write`` the figures go into ``docs/reference/optimizers.json`` and
``docs/reference/optimizers.md``; what did not run keeps its own. ``--published`` prints the means
that are there over the graphs of ``--graph``.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from graphs.catalog import GRAPHS, Graph
from graphs.generate import generate
from optimizing.big import measure_big
from optimizing.measure import latencies, measure_graph
from optimizing.scale import measure_scale
from optimizing.tables import faults, line, published, store, text, write_documents
from optimizing.tools import PEERS, PINNED, TOOLS, Tool

CACHE = Path(__file__).resolve().parents[1] / ".cache" / "graphs"


def main() -> int:
    """Measure what the command line asks for; 1 if a result of irconv is wrong or invalid."""
    options = _parse()
    if options.setup_peers:
        _setup_peers(options.peers)
        return 0
    graphs = [graph for graph in GRAPHS if re.search(options.graph, graph.name)]
    tools = [tool for tool in TOOLS if re.search(options.tool, tool.name)]
    results: dict[str, Any] = {"graphs": {}, "scale": {}, "big": {}}
    if options.published:
        results["graphs"] = {graph.name: published()[graph.name] for graph in graphs}
        print(text(results))
        return 0
    for graph in graphs if options.rounds else ():
        results["graphs"][graph.name] = record = _measure(graph, tools, options)
        for tool in tools:
            print(f"{graph.name:26s} {tool.name:17s} {line(record, tool.name)}", flush=True)
        if options.json:
            store(results, options.json)
    limits = {"rounds": max(options.rounds, 1), "seconds": options.seconds, "peers": options.peers}
    if options.scale:
        with tempfile.TemporaryDirectory(prefix="optimizers-") as folder:
            shape = options.shape
            results["scale"] = measure_scale(tools, shape, Path(folder), **limits)
    if options.big:
        with tempfile.TemporaryDirectory(prefix="optimizers-", dir=options.folder) as folder:
            run_nothing = [tool for tool in tools if not tool.proved]  # its outputs overflow
            results["big"] = measure_big(run_nothing, Path(folder), **limits)
    if options.json:
        store(results, options.json)
    if options.write:
        write_documents(results)
    print(text(results))
    return 1 if faults(results) else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--graph", default="", help="regular expression that names must have")
    parser.add_argument("--tool", default="", help="regular expression that names must have")
    parser.add_argument("--rounds", type=int, default=2, help="runs of each tool; 0 for no graph")
    parser.add_argument("--latency", action="store_true", help="time the results as well")
    parser.add_argument("--latency-rounds", type=int, default=5)
    parser.add_argument("--scale", action="store_true", help="graphs of 20,000 nodes as well")
    parser.add_argument("--shape", default="shapes", help="which graph of scaling.py that is")
    parser.add_argument("--big", action="store_true", help="a model of 2.8 GB as well")
    parser.add_argument("--folder", type=Path, help="where that model goes; needs 6 GB")
    parser.add_argument("--seconds", type=float, default=600.0, help="limit of one run")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where the graphs are kept")
    parser.add_argument("--keep", type=Path, help="folder in which the results are kept")
    parser.add_argument("--peers", type=Path, default=PEERS, help="environment of the peers")
    parser.add_argument("--published", action="store_true", help="print what is published; no run")
    parser.add_argument("--setup-peers", action="store_true", help="make that environment")
    parser.add_argument("--json", type=Path, help="file that takes the figures, or more of them")
    parser.add_argument("--write", action="store_true", help="bring the documents up to date")
    return parser.parse_args()


def _setup_peers(folder: Path) -> None:
    """Make a virtual environment over the present one, with the peers in it."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    (site,) = (folder / "lib").glob("python*/site-packages")
    present = [path for path in sys.path if path.endswith("site-packages")]
    (site / "shared.pth").write_text("".join(f"{path}\n" for path in present))
    subprocess.run([str(folder / "bin" / "pip"), "install", "--quiet", *PINNED], check=True)


def _measure(graph: Graph, tools: list[Tool], options: argparse.Namespace) -> dict[str, Any]:
    source = generate(graph, options.cache.resolve())
    with tempfile.TemporaryDirectory(prefix="optimizers-") as scratch:
        folder = options.keep or Path(scratch)
        record = measure_graph(
            source,
            graph.network,
            tools,
            folder,
            rounds=options.rounds,
            seconds=options.seconds,
            peers=options.peers,
        )
        if options.latency:
            right = {
                tool.name: tool.result(folder, source)
                for tool in tools
                if isinstance(record["tools"][tool.name].get("error"), float)
            }
            timed = latencies(source, right, rounds=options.latency_rounds, seconds=options.seconds)
            for name, ratios in timed.items():
                record["tools"][name]["latency"] = ratios
    return record


if __name__ == "__main__":
    sys.exit(main())
