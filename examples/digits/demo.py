"""The main job on a real model: train, compile for every target, prove, and measure.

Run it by ``make demo``. Everything is written below ``build/demo``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import train
from rich.console import Console
from rich.table import Table

from irconv.bundle import Bundle, open_bundle
from irconv.deploy import open_artifact

BUILD = Path("build/demo")
TARGETS = ("onnx", "openvino", "tflite", "coreml", "torchscript", "trt")
REQUIRED_ACCURACY = 0.98
GOLDEN_SAMPLES = 64


def main() -> None:
    """Run the demo; exit 1 if anything is not as it must be."""
    console = Console(width=None if sys.stdout.isatty() else 140, markup=False)
    BUILD.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    network, accuracy = train.train()
    console.print(
        f"trained on scikit-learn's digits in {time.perf_counter() - start:.1f} s; "
        f"accuracy on the test images: {accuracy:.2%}"
    )
    if accuracy < REQUIRED_ACCURACY:
        sys.exit(f"the trained model is too poor: {accuracy:.2%}")
    model = BUILD / "digits.pt2"
    train.export(network, model)
    _, images, _, labels = train.data()
    inputs = BUILD / "test-images.npz"
    name = next(iter(json.loads(irconv("inspect", str(model), "--json"))["inputs"]))["name"]
    np.savez(inputs, **{name: images[:GOLDEN_SAMPLES]})
    command = ["compile", str(model), "-o", str(BUILD), "--data", str(inputs)]
    command += [argument for target in TARGETS for argument in ("--target", target)]
    command += ["--input", f"{name}[batch,1,8,8]", "--shape", "batch=1..512@64"]
    console.print("$ irconv " + " ".join(command), highlight=False, soft_wrap=True)
    console.print(irconv(*command), highlight=False, soft_wrap=True)
    bundles = [open_bundle(BUILD / target) for target in TARGETS]
    console.print(report(bundles, name, images, labels))


def irconv(*arguments: str) -> str:
    """Run an irconv command and return what it printed; stop the demo if it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "irconv.cli.main", *arguments], stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        print(done.stdout)
        sys.exit(done.returncode)
    return done.stdout


def report(bundles: list[Bundle], name: str, images: np.ndarray, labels: np.ndarray) -> Table:
    """Run every bundle on the whole test set and return the table of what was found."""
    table = Table(title="digits, proved against PyTorch", box=None)
    for heading in ("target", "artifact", "size", "verdict", "level", "accuracy", "latency"):
        table.add_column(heading, no_wrap=True)
    notes = []
    for bundle in bundles:
        verification = bundle.manifest["verification"]
        with open_artifact(bundle) as runner:
            outputs = runner.run({name: images})
            seconds = runner.time({name: images[:1]}, runs=200, warmup=20)
        logits = np.asarray(next(iter(outputs.values())))
        artifact = bundle.manifest["artifact"]
        size = sum(file["bytes"] for file in artifact["files"])
        table.add_row(
            bundle.target,
            str(bundle.directory / bundle.artifact.main),
            f"{size / 1e3:.0f} kB",
            verification["verdict"],
            verification["level"],
            f"{np.mean(logits.argmax(1) == labels):.2%}",
            f"{np.median(seconds) * 1e3:.3f} ms",
        )
        if verification["level"] != "artifact":
            ran = verification["ran"]
            notes.append(f"{bundle.target}: {ran.get('note') or 'run by the ' + ran['runtime']}")
    table.caption = "accuracy on all test images; latency: median of 200 runs of one image"
    if notes:
        table.caption += "\n" + "\n".join(notes)
    return table


if __name__ == "__main__":
    main()
