"""What each target costs and gives on ResNet-18, MobileNetV2 and a BERT of six layers.

Usage: ``python benchmarks/targets.py [--target tflite] [--model mbv2] [--rounds 5] [--json FILE]``

For every model and target, at float32: seconds to legalize and to emit, the peak memory of the
process that emits, the largest difference from ONNX Runtime on the source, the artifact's size,
and, where the artifact itself runs here, its latency. Emitting happens in a fresh process after
one tiny model, so that the time of importing an SDK is not counted. Latencies are taken in turn,
a few runs of every target a round, each target in a process of its own. The models are those of
``benchmarks/zoo.py``, generated on first use, and with ``--model resnet18-default-static`` and the
like the same networks as a fresh initialization leaves them.

``--inputs 6`` takes the error over six random inputs, as its median and its largest; a maximum
over the outputs for one input varies by half. ONNX Runtime rounds as well: ``--exact`` adds how
far it and every target are from the same network computed in float64.

``--model mbv2-static --tflite-file onnx2tf=other.tflite`` takes turns with a file of the same
network that another tool made, and prints how the latency of irconv's compares with it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import onnx
from errors import Errors, inputs_like

from irconv.backends.base import Artifact, EmitRequest
from irconv.errors import IrconvError, UnsupportedError
from irconv.graph.reading.load import load_model
from irconv.graph.serialize import save_model
from irconv.passes.base import PassContext
from irconv.passes.manager import PassManager
from irconv.passes.pipelines import MAX_ROUNDS, build_pipeline, resolve_pipeline
from irconv.plugins import load_registry
from irconv.runtime.values import load_samples, save_samples
from irconv.shapes import DimRange, parse_shapes
from irconv.spec import parse_spec
from irconv.worker import Worker

HERE = Path(__file__).resolve().parent
CACHE = HERE.parent / ".cache" / "zoo"
MODELS = ("resnet18-static", "mbv2-static", "bert6-static", "bert6-dynamic")
INITIALIZED = tuple(f"{name}-default-static" for name in ("resnet18", "mbv2", "bert6"))
SPECS = ("onnx", "openvino", "tflite", "coreml", "torchscript", "trt{sm=89}")
_TINY = '<ir_version: 9, opset_import: ["": 18]> g (float[1, 2] x) => (float[1, 2] y) {y = Relu(x)}'
_MIB = 1 << 20


def main() -> int:
    """Measure what the command line asks for, print a table, and write it as JSON."""
    options = _parse()
    if options.emit:
        print(json.dumps(_emit(*options.emit)))
        return 0
    if options.generate:
        _generate(options.generate, options.cache)
        return 0
    table: dict[str, Any] = {}
    for model in options.model or MODELS:
        path = options.cache / f"{model}.onnx"
        if not path.exists():
            command = [sys.executable, __file__, "--generate", model, "--cache", options.cache]
            subprocess.run(command, check=True)
        table[model] = measure(
            path,
            options.target or list(SPECS),
            options.rounds,
            options.runs,
            Errors(
                path,
                inputs_like(load_samples(path.with_suffix(".npz"))[0], options.inputs),
                exact=options.exact,
            ),
            options.tflite_file,
        )
    if options.json:
        options.json.write_text(json.dumps(table, indent=1) + "\n")
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", action="append", help="spec of a target; may be repeated")
    parser.add_argument("--model", action="append", help=f"of {', '.join(MODELS + INITIALIZED)}")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where the models are kept")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=5, help="timed runs of each target a round")
    parser.add_argument("--inputs", type=int, default=1, help="inputs to take the error over")
    parser.add_argument("--exact", action="store_true", help="errors against float64 as well")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument(
        "--tflite-file", action="append", default=[], type=_named_file, metavar="NAME=PATH",
        help="a file of the same network made by another tool, timed in turn; needs one --model",
    )  # fmt: skip
    parser.add_argument("--emit", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--generate", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.tflite_file and len(options.model or ()) != 1:
        parser.error("--tflite-file needs exactly one --model")
    return options


def _named_file(text: str) -> tuple[str, Path]:
    name, separator, path = text.partition("=")
    if not name or not separator or not Path(path).is_file():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=PATH of a file")
    return name, Path(path).resolve()


def _generate(model: str, cache: Path) -> None:
    """Export a model, in a process that nothing else is loaded in, so that none follows from it."""
    sys.path.insert(0, str(HERE))
    import torch
    from architectures.export import export
    from architectures.registry import FAMILIES, INITIALIZED, architectures

    torch.set_num_threads(1)
    name, form = model.rsplit("-", 1)
    cache.mkdir(parents=True, exist_ok=True)
    export(architectures((*FAMILIES, INITIALIZED))[name], form, cache / f"{model}.onnx")


def measure(
    path: Path,
    targets: list[str],
    rounds: int,
    runs: int,
    errors: Errors,
    foreign: Sequence[tuple[str, Path]] = (),
) -> dict[str, Any]:
    """Return the figures of one model by target, and print them as they come."""
    figures: dict[str, Any] = {}
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="irconv-targets-")))
        save_samples(scratch / "feeds.npz", [errors.samples[0]])
        timed: dict[str, Worker] = {}
        for number, target in enumerate(targets):
            folder = scratch / str(number)
            folder.mkdir()
            try:
                record, artifact = _build(path, target, folder)
                worker = stack.enter_context(
                    Worker("irconv.runtime.service:BackendService", {"target": target})
                )
                worker.call("open", directory=str(folder / "artifact"), artifact=artifact)
                record |= errors.of(_run_by(worker, folder))
                level = worker.call("describe")["level"]
            except UnsupportedError as error:
                codes = sorted({diagnostic.code for diagnostic in error.diagnostics})
                figures[target] = {"refused": codes}
                continue
            except IrconvError as error:
                figures[target] = {"failed": str(error)}
                continue
            record["level"] = level
            figures[target] = record
            if level == "artifact":
                timed[target] = worker
        for name, file in foreign:
            figures[name], timed[name] = _open_foreign(file, errors, scratch, stack)
        for target, seconds in _latencies(timed, scratch / "feeds.npz", rounds, runs).items():
            figures[target]["latency_ms"] = seconds
    _print(path.stem, figures)
    if errors.exact:
        own = errors.of_reference()
        print(f"ONNX Runtime itself: {own['exact_error']:.2e}/{own['exact_max_error']:.2e} exact")
    for name, _ in foreign:
        _compare(figures, name)
    return figures


def _open_foreign(
    file: Path, errors: Errors, scratch: Path, stack: contextlib.ExitStack
) -> tuple[dict[str, Any], Worker]:
    """Open a TFLite file that another tool made; return its figures and a worker that runs it."""
    from foreign_tflite import foreign_artifact

    artifact = foreign_artifact(file, errors.samples[0], errors.expected[0])
    worker = stack.enter_context(
        Worker("irconv.runtime.service:BackendService", {"target": "tflite"})
    )
    worker.call("open", directory=str(file.parent), artifact=artifact.to_json())
    record = {"level": "artifact", "size_mb": round(file.stat().st_size / 1e6, 1)}
    return record | errors.of(_run_by(worker, scratch)), worker


def _run_by(worker: Worker, folder: Path) -> Callable[[Any], Any]:
    """Return what runs the artifact that a worker has opened."""

    def run(sample: Any) -> Any:
        feeds, outputs = folder / "run.npz", folder / "outputs.npz"
        save_samples(feeds, [sample])
        worker.call("run", feeds=str(feeds), outputs=str(outputs))
        return load_samples(outputs)[0]

    return run


def _compare(figures: dict[str, Any], name: str) -> None:
    """Print the latency of every TFLite file of ours over that of another tool's."""
    for target, record in figures.items():
        if target.partition("{")[0] == "tflite" and "latency_ms" in record:
            ratios = [
                f"{ours / theirs:.3f}"
                for ours, theirs in zip(
                    record["latency_ms"], figures[name]["latency_ms"], strict=True
                )
            ]
            print(f"{target} / {name}: {ratios[0]} by the least, {ratios[1]} by the median")


def _build(path: Path, target: str, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Legalize here and emit in a process of its own; return the figures and the artifact."""
    registry = load_registry()
    backend = registry.build_backend(parse_spec(target))
    shapes = _shapes(path)
    manager = PassManager(resolve_pipeline(registry, 2), max_rounds=MAX_ROUNDS)
    model = manager.run(load_model(path).model, PassContext(shapes=shapes)).model
    start = time.perf_counter()
    context = PassContext(abilities=backend.abilities(), shapes=shapes)
    passes = build_pipeline(registry, backend.legalization())
    model = PassManager(passes, strict=True).run(model, context).model
    diagnostics = backend.check(model, shapes)
    if diagnostics:
        raise UnsupportedError(target, diagnostics)
    legalize = time.perf_counter() - start
    legalized = folder / "legalized"
    legalized.mkdir()
    save_model(model, legalized / "model.onnx")
    (folder / "artifact").mkdir()
    command = [sys.executable, __file__, "--emit", target, str(legalized / "model.onnx")]
    texts = ",".join(f"{name}={extent}" for name, extent in shapes.items())
    done = subprocess.run(
        [*command, str(folder / "artifact"), texts], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise IrconvError(done.stderr.strip().splitlines()[-1])
    result = json.loads(done.stdout.splitlines()[-1])
    size = sum(file.stat().st_size for file in (folder / "artifact").rglob("*") if file.is_file())
    figures = {
        "legalize_s": round(legalize, 2),
        "emit_s": round(result["seconds"], 2),
        "peak_mib": round(result["peak"] / _MIB),
        "model_mib": round(path.stat().st_size / _MIB),
        "size_mb": round(size / 1e6, 1),
    }
    return figures, result["artifact"]


def _emit(target: str, path: str, directory: str, shapes: str) -> dict[str, Any]:
    """Emit a legalized model, after a tiny one, and return time, memory and the artifact."""
    backend = load_registry().build_backend(parse_spec(target))
    with tempfile.TemporaryDirectory(prefix="irconv-targets-") as scratch:
        tiny = Path(scratch, "tiny.onnx")
        onnx.save(onnx.parser.parse_model(_TINY), tiny)
        place = Path(scratch, "artifact")
        place.mkdir()
        backend.emit(load_model(tiny).model, place, EmitRequest())
    start = time.perf_counter()
    artifact: Artifact = backend.emit(
        load_model(Path(path)).model, Path(directory), EmitRequest(parse_shapes([shapes]))
    )
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "peak": _peak_bytes(), "artifact": artifact.to_json()}


def _peak_bytes() -> int:
    """Return the most memory that was resident since this program was loaded (Linux).

    ``ru_maxrss`` would count the parent that forked it as well.
    """
    found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def _shapes(path: Path) -> dict[str, DimRange]:
    sys.path.insert(0, str(HERE))
    from architectures.shapes import shape_options

    return parse_shapes(shape_options(path))


def _latencies(
    workers: dict[str, Worker], feeds: Path, rounds: int, runs: int
) -> dict[str, list[float]]:
    """Return least and median milliseconds by target; the targets take turns."""
    seconds: dict[str, list[float]] = {target: [] for target in workers}
    for _ in range(rounds):
        for target, worker in workers.items():
            seconds[target] += worker.call("time", feeds=str(feeds), runs=runs, warmup=2)
    return {
        target: [round(1e3 * min(taken), 2), round(1e3 * statistics.median(taken), 2)]
        for target, taken in seconds.items()
    }


def _print(model: str, figures: dict[str, Any]) -> None:
    print(
        f"\n{model}\n| target | level | legalize s | emit s | peak MiB | MB | error median/largest "
        "| exact median/largest | ms min/med |"
    )
    for target, record in figures.items():
        if "level" not in record:
            print(f"| {target} | {record} |")
            continue
        latency = "/".join(map(str, record.get("latency_ms", ["-"])))
        print(
            f"| {target} | {record['level']} | {record.get('legalize_s', '-')} "
            f"| {record.get('emit_s', '-')} | {record.get('peak_mib', '-')} "
            f"| {record['size_mb']} | {_error(record, '')} | {_error(record, 'exact_')} "
            f"| {latency} |",
            flush=True,
        )


def _error(record: dict[str, Any], kind: str) -> str:
    if f"{kind}error" not in record:
        return "-"
    return f"{record[f'{kind}error']:.2e}/{record[f'{kind}max_error']:.2e}"


if __name__ == "__main__":
    sys.exit(main())
