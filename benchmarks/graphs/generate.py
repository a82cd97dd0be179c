"""Writing a graph with sample inputs beside it, in a process of its own.

Usage: ``python benchmarks/graphs/generate.py NAME PATH``
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from graphs.catalog import GRAPHS, Graph

__all__ = ["generate"]


def generate(graph: Graph, folder: Path) -> Path:
    """Return the path of a graph in ``folder``, which is generated unless it is there.

    Samples are in the ``.npz`` file of the same name: the first is the one to time.

    Raises:
        RuntimeError: If it cannot be generated; the message has what the process printed.
    """
    path = folder / f"{graph.name}.onnx"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, __file__, graph.name, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{graph.name}: {done.stderr.strip()[-2000:]}")
    return path


def main() -> int:
    """Write one graph; it appears complete or not at all."""
    name, path = sys.argv[1], Path(sys.argv[2])
    (graph,) = [graph for graph in GRAPHS if graph.name == name]
    origin = importlib.import_module(f"graphs.{graph.origin.replace('-', '_')}")
    partial = path.with_name(f"{name}.partial.onnx")
    origin.write(graph.network, partial)
    partial.with_suffix(".npz").rename(path.with_suffix(".npz"))
    partial.rename(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
