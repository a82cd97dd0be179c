"""Time and memory of importing a transformer of 300 MB, beside PyTorch's bare exporter.

By turns, each in a fresh process: ``torch.onnx.export(..., dynamo=True)`` and ``save``, and
irconv's import of the same module, which does that in a worker and brings the result into the IR.
The memory is that of all processes together, sampled every 20 ms, so what two of them share
counts twice.

Usage: ``python benchmarks/import_transformer.py [--layers 8] [--runs 3] [--form factory|pt2]``

What is printed: for each the best wall seconds, the best CPU seconds and the least peak of
resident memory, and the ratios; each may be at most 1.25.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

MB = 1_000_000
MOST_RATIO = 1.25
LAYERS = "IMPORT_TRANSFORMER_LAYERS"
INPUTS = ("ids[batch,length]{i64}", "mask[batch,length]{i64}")
SHAPES = ("batch=1..8", "length=2..128")


@dataclass(frozen=True)
class Cost:
    """What one process with its children took."""

    seconds: float
    cpu: float
    peak: int


def make() -> Any:
    """Return a seeded BERT with its language head left out."""
    import torch
    from transformers import BertConfig, BertModel

    class Encoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layers = int(os.environ.get(LAYERS, "8"))
            self.bert = BertModel(BertConfig(vocab_size=24000, num_hidden_layers=layers))

        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return self.bert(input_ids=ids, attention_mask=mask).last_hidden_state

    torch.manual_seed(0)
    return Encoder().eval()


def example() -> tuple[Any, Any]:
    """Return arguments to trace with, and their free dimensions."""
    import torch
    from torch.export import Dim

    sizes = {0: Dim("batch", min=1, max=8), 1: Dim("length", min=2, max=128)}
    ids = torch.randint(0, 24000, (4, 16))
    return (ids, torch.ones_like(ids)), {"ids": sizes, "mask": sizes}


def export_bare(form: str, folder: Path) -> None:
    """Export and save by PyTorch alone."""
    import torch

    if form == "pt2":
        program = torch.onnx.export(torch.export.load(folder / "model.pt2"), dynamo=True)
    else:
        arguments, sizes = example()
        program = torch.onnx.export(make(), arguments, dynamo=True, dynamic_shapes=sizes)
    program.save(folder / "bare.onnx", external_data=True)


def import_by_irconv(form: str, folder: Path) -> None:
    """Import by irconv, up to the model in the IR."""
    from irconv.config import CompileOptions
    from irconv.importing import import_model
    from irconv.plugins import load_registry

    source = str(folder / "model.pt2") if form == "pt2" else "import_transformer:make"
    options = CompileOptions(inputs=INPUTS, shapes=SHAPES, trust=form != "pt2")
    with import_model(source, options, load_registry()) as imported:
        print(len(imported.model.graph), "nodes")


def run(what: str, form: str, folder: Path, layers: int) -> Cost:
    """Run one of the two in a fresh process and watch it with its children."""
    environment = os.environ | {
        LAYERS: str(layers),
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *_paths()]),
    }
    command = [sys.executable, "-W", "ignore", __file__, "--do", what, "--form", form]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    peak = 0
    with (folder / f"{what}.log").open("wb") as log:
        process = psutil.Popen(
            [*command, "--folder", str(folder)],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        while process.poll() is None:
            peak = max(peak, _resident(process))
            time.sleep(0.02)
    seconds = time.perf_counter() - start
    if process.returncode:
        raise SystemExit((folder / f"{what}.log").read_text()[-2000:])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(seconds, cpu, peak)


def _paths() -> list[str]:
    return list(filter(None, [os.environ.get("PYTHONPATH", "")]))


def _resident(process: psutil.Popen) -> int:
    total = 0
    try:
        for member in (process, *process.children(recursive=True)):
            total += member.memory_info().rss
    except psutil.NoSuchProcess:
        pass
    return total


def save_program(folder: Path) -> None:
    """Write the module as an exported program."""
    import torch

    arguments, sizes = example()
    program = torch.export.export(make(), arguments, dynamic_shapes=sizes)
    torch.export.save(program, folder / "model.pt2")


def measure(form: str, layers: int, runs: int, folder: Path) -> bool:
    """Measure by turns and print the figures; return whether all ratios are kept."""
    if form == "pt2":
        run("save", form, folder, layers)
    costs: dict[str, list[Cost]] = {"bare": [], "irconv": []}
    for _ in range(runs):
        for what, taken in costs.items():
            taken.append(run(what, form, folder, layers))
            for path in folder.glob("bare.onnx*"):
                path.unlink()
    kept = True
    for unit, scale, pick in (("s wall", 1, "seconds"), ("s CPU", 1, "cpu"), ("MB", MB, "peak")):
        best = {what: min(getattr(cost, pick) for cost in all_) for what, all_ in costs.items()}
        ratio = best["irconv"] / best["bare"]
        kept &= ratio <= MOST_RATIO
        shown = ", ".join(f"{what} {value / scale:.1f}" for what, value in best.items())
        print(f"{form:8} {shown} {unit}; ratio {ratio:.2f} (at most {MOST_RATIO})", flush=True)
    return kept


def main() -> int:
    """Parse the options and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=8, help="8 make 300 MB")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--form", choices=("factory", "pt2"), default="factory")
    parser.add_argument("--folder", type=Path, help="where to work; needs thrice the model's size")
    parser.add_argument("--do", choices=("bare", "irconv", "save"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.do:
        work = {"bare": export_bare, "irconv": import_by_irconv}
        if options.do == "save":
            save_program(options.folder)
        else:
            work[options.do](options.form, options.folder)
        return 0
    with tempfile.TemporaryDirectory(prefix="import-", dir=options.folder) as folder:
        kept = measure(options.form, options.layers, options.runs, Path(folder))
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
