"""The optimizers by name, and the command that runs each as a user would."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PEERS", "PINNED", "TOOLS", "Tool"]

PINNED = ("onnxslim==0.1.98", "onnxoptimizer==0.4.2", "olive-ai==0.13.0")
"""What the peers' environment has beyond the project's own."""
PEERS = Path(__file__).resolve().parents[2] / ".cache" / "peers"
_RUN_PEER = str(Path(__file__).with_name("peers.py"))


@dataclass(frozen=True)
class Tool:
    """One way to optimize a model.

    Attributes:
        name: As tables have it.
        standard: Whether the result has ONNX's own operators only, so that any runtime takes it.
        arguments: For irconv, the options after ``irconv optimize``; ``None`` for a peer.
        proved: Whether irconv runs its result against the source, on the samples if there are any.
    """

    name: str
    standard: bool = True
    arguments: tuple[str, ...] | None = None
    proved: bool = False

    def result(self, folder: Path, source: Path) -> Path:
        """Return where this tool writes its result, in a folder of its own."""
        return folder / self.name.replace(" ", "") / source.name

    def command(self, source: Path, result: Path, network: str, peers: Path) -> list[str]:
        """Return the command that writes ``result``.

        Args:
            source: The ONNX file to read.
            result: The ONNX file to write, in a folder that exists.
            network: What the graph is, for tools that want to be told.
            peers: The virtual environment of the peers.
        """
        if self.arguments is not None:
            optimize = [sys.executable, "-m", "irconv.cli.main", "optimize", str(source)]
            samples = source.with_suffix(".npz")
            data = ["--data", str(samples)] if self.proved and samples.exists() else []
            return [*optimize, "-o", str(result), "--json", *self.arguments, *data]
        python = str(peers / "bin" / "python")
        return [python, _RUN_PEER, self.name, str(source), str(result), network]


TOOLS = (
    Tool("irconv -O2", arguments=("-O", "2")),
    Tool("irconv -O3", standard=False, arguments=("-O", "3", "--target", "onnx"), proved=True),
    Tool("onnxslim"),
    Tool("onnxsim"),
    Tool("onnxscript"),
    Tool("onnxoptimizer"),
    Tool("olive"),
    Tool("ort-extended", standard=False),
    Tool("ort-all", standard=False),
    Tool("ort-transformers", standard=False),
    Tool("onnx-ir"),
)
"""The last one reads and writes the model and changes nothing."""
