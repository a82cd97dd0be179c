"""Memory and time of ``irconv optimize`` on a model with 3 GB of external weights.

Makes a chain of matrix products and small nodes with real (random, not sparse) weights, optimizes
it in a process of its own and copies its files, by turns, and deletes everything afterwards.

Usage: ``python benchmarks/big_model.py [--weights 48] [--megabytes 64] [--runs 3] [--folder DIR]``

What is printed, and what it may be:

* ``heap``: the most anonymous memory (``RssAnon``) above that of the same command on a model of
  a few bytes; at most 1.3 times the largest tensor plus 400 MB.
* ``resident``: the most resident memory (``VmHWM``), pages of mapped files included. The kernel
  takes those back whenever it needs them.
* ``ratio``: wall time over that of copying the same files and waiting until they are on the disk,
  as ``irconv`` does; at most 1.5.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

MB = 1_000_000
MIB = 1 << 20
MOST_HEAP_FACTOR, MOST_HEAP_EXTRA, MOST_RATIO = 1.3, 400 * MB, 1.5


@dataclass
class Memory:
    """Peak bytes of heap and of resident memory of a process."""

    heap: int = 0
    resident: int = 0


def write_model(folder: Path, weights: int, size: int) -> Path:
    """Write a chain of ``weights`` products with square matrices of ``size`` bytes each."""
    side = int((size / 4) ** 0.5)
    size = side * side * 4
    data = folder / "model.onnx.data"
    rng = np.random.default_rng(0)
    nodes, tensors = [], []
    with data.open("wb") as stream:
        for index in range(weights):
            for start in range(0, size, 16 * MIB):
                count = min(16 * MIB, size - start) // 4
                stream.write((rng.random(count, np.float32) * 0.01).tobytes())
            tensor = TensorProto(name=f"w{index}", data_type=1, dims=[side, side], data_location=1)
            for key, value in (("location", data.name), ("offset", index * size), ("length", size)):
                tensor.external_data.add(key=key, value=str(value))
            tensors.append(tensor)
            kind = "MatMul" if index % 2 else "Gemm"
            nodes += [
                helper.make_node(kind, [f"x{index}", f"w{index}"], [f"p{index}"]),
                helper.make_node("Identity", [f"p{index}"], [f"i{index}"]),
                helper.make_node("Relu", [f"i{index}"], [f"x{index + 1}"]),
            ]
    ends = [helper.make_tensor_value_info(f"x{n}", 1, [1, side]) for n in (0, weights)]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def optimize(source: Path, output: Path, *, watch: bool = False) -> tuple[float, Memory]:
    """Run ``irconv optimize``; return its seconds and, if it is watched, its memory.

    Watching slows it down, so time and memory are taken from different runs.
    """
    os.sync()
    memory = Memory()
    command = [sys.executable, "-m", "irconv.cli.main", "optimize", str(source)]
    start = time.perf_counter()
    with subprocess.Popen([*command, "-o", str(output), "--json"], stdout=subprocess.PIPE) as run:
        while watch and run.poll() is None:
            now = _status(run.pid)
            memory.heap = max(memory.heap, now.get("RssAnon", 0))
            memory.resident = max(memory.resident, now.get("VmHWM", 0))
            time.sleep(0.005)
        assert run.stdout is not None
        text = run.stdout.read()
        run.wait()
        seconds = time.perf_counter() - start
    if run.returncode:
        raise SystemExit(f"irconv optimize failed with exit code {run.returncode}")
    for record in json.loads(text)["passes"]:
        if record.get("error"):
            raise SystemExit(f"pass {record['name']} was rolled back: {record['error']}")
    return seconds, memory


def _status(pid: int) -> dict[str, int]:
    """Return the memory fields of a process, in bytes; none if it has ended."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    fields = (line.split() for line in text.splitlines() if line.endswith(" kB"))
    return {name.rstrip(":"): int(count) * 1024 for name, count, _ in fields}


def copy(source: Path, folder: Path) -> float:
    """Copy a model's files, wait for the disk, and return the seconds that took."""
    folder.mkdir()
    os.sync()
    start = time.perf_counter()
    for path in (source, source.with_name(source.name + ".data")):
        target = folder / path.name
        shutil.copyfile(path, target)
        descriptor = os.open(target, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
    return time.perf_counter() - start


def measure(folder: Path, weights: int, size: int, runs: int) -> bool:
    """Measure by turns and print the figures; return whether all of them are kept."""
    tiny = folder / "tiny"
    tiny.mkdir()
    _, floor = optimize(write_model(tiny, 2, 4096), tiny / "out.onnx", watch=True)
    source = write_model(folder, weights, size)
    total = sum(path.stat().st_size for path in folder.glob("model.onnx*"))
    _, peak = _optimize_once(source, folder, watch=True)
    optimized: list[float] = []
    copied: list[float] = []
    for _ in range(runs):
        optimized.append(_optimize_once(source, folder)[0])
        copied.append(copy(source, folder / "copy"))
        shutil.rmtree(folder / "copy")
    heap, resident = peak.heap - floor.heap, peak.resident - floor.resident
    most_heap = MOST_HEAP_FACTOR * size + MOST_HEAP_EXTRA
    ratio = statistics.median(mine / plain for mine, plain in zip(optimized, copied, strict=True))
    print(f"model      {total / MB:.0f} MB in {weights} weights of {size / MB:.0f} MB")
    print(f"floor      {floor.heap / MB:.0f} MB heap, {floor.resident / MB:.0f} MB resident")
    print(f"heap       {heap / MB:.0f} MB above the floor (at most {most_heap / MB:.0f})")
    print(f"resident   {resident / MB:.0f} MB above the floor, pages of mapped files included")
    print(f"optimize   {', '.join(f'{seconds:.2f}' for seconds in optimized)} s")
    print(f"copy       {', '.join(f'{seconds:.2f}' for seconds in copied)} s")
    print(f"ratio      {ratio:.2f} (at most {MOST_RATIO})")
    return heap <= most_heap and ratio <= MOST_RATIO


def _optimize_once(source: Path, folder: Path, *, watch: bool = False) -> tuple[float, Memory]:
    output = folder / "out"
    result = optimize(source, output / "model.onnx", watch=watch)
    _check(source, output / "model.onnx")
    shutil.rmtree(output)
    return result


def _check(source: Path, output: Path) -> None:
    """Check that the result is a smaller graph with the same weights."""
    before = onnx.load(source, load_external_data=False).graph
    after = onnx.load(output, load_external_data=False).graph
    kinds = {node.op_type for node in after.node}
    if "Identity" in kinds or len(after.initializer) != len(before.initializer):
        raise SystemExit("the optimized model is not what it should be")


def main() -> int:
    """Parse the options and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=int, default=48)
    parser.add_argument("--megabytes", type=int, default=64, help="MiB a weight")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to work; needs thrice the model's size")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="big-model-", dir=options.folder) as folder:
        kept = measure(Path(folder), options.weights, options.megabytes * MIB, options.runs)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
