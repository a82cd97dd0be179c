"""How the time of the default pipeline grows with the number of nodes.

Runs the default pipeline with all checks over graphs of several shapes and sizes, fits
``processor seconds = a * nodes ** exponent`` and prints the exponent of each shape.

Usage: ``python benchmarks/scaling.py [--most 20000] [--repeat 2]``

The exponent may be at most 1.1, and 20,000 nodes may take at most 60 s of wall time.
"""

from __future__ import annotations

import argparse
import gc
import math
import os
import sys
import time
from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from irconv.passes.base import PassContext
from irconv.passes.manager import PassManager
from irconv.passes.pipelines import DEFAULT_LEVEL, MAX_ROUNDS, resolve_pipeline
from irconv.plugins import load_registry

MOST_EXPONENT, MOST_SECONDS, AT_NODES = 1.1, 60.0, 20_000
COLLECT_AFTER = 100_000
"""Objects between two runs of the garbage collector, as the ``irconv`` command sets it."""
_FLOAT = ir.TensorType(ir.DataType.FLOAT)


class Builder:
    """Builds one graph, node by node."""

    def __init__(self, shape: list[int | str]) -> None:
        self.input = ir.Value(name="x", type=_FLOAT, shape=ir.Shape(shape))
        self.nodes: list[ir.Node] = []
        self.initializers: list[ir.Value] = []

    def add(self, kind: str, *inputs: ir.Value, **attributes: int | list[int]) -> ir.Value:
        """Add a node with one output and return that."""
        values = [ir.AttrInt64s(k, v) if isinstance(v, list) else ir.AttrInt64(k, v)
                  for k, v in attributes.items()]  # fmt: skip
        name = f"{kind.lower()}{len(self.nodes)}"
        output = ir.Value(name=f"v{len(self.nodes)}")
        self.nodes.append(ir.Node("", kind, inputs, values, outputs=[output], name=name))
        return output

    def constant(self, array: np.ndarray) -> ir.Value:
        """Add an initializer."""
        tensor = ir.Tensor(array, name=f"c{len(self.initializers)}")
        value = ir.Value(
            name=tensor.name,
            type=ir.TensorType(tensor.dtype),
            shape=ir.Shape(array.shape),
            const_value=tensor,
        )
        self.initializers.append(value)
        return value

    def model(self, output: ir.Value) -> ir.Model:
        """Return the model with one output."""
        output.type = _FLOAT
        graph = ir.Graph(
            [self.input],
            [output],
            nodes=self.nodes,
            initializers=self.initializers,
            opset_imports={"": 20},
            name="g",
        )
        return ir.Model(graph, ir_version=10)


def chain(nodes: int) -> ir.Model:
    """One long chain: products with a constant, additions, activations, identities."""
    build = Builder(["batch", 8])
    value = build.input
    while len(build.nodes) < nodes:
        weight = np.full(8, 1 + len(build.nodes) / 1024, np.float32)
        value = build.add("Mul", value, build.constant(weight))
        value = build.add("Identity", build.add("Relu", value))
        value = build.add("Add", value, build.input)
    return build.model(value)


def wide(nodes: int) -> ir.Model:
    """Many short branches from one input, summed in a tree."""
    build = Builder(["batch", 8])
    level = []
    while 3 * len(level) < nodes:
        weight = np.full(8, len(level), np.float32)
        scaled = build.add("Mul", build.input, build.constant(weight))
        level.append(build.add("Sigmoid", scaled))
    while len(level) > 1:
        odd = level[len(level) // 2 * 2 :]
        level = [build.add("Add", *level[i : i + 2]) for i in range(0, len(level) - 1, 2)] + odd
    return build.model(level[0])


def cnn(nodes: int) -> ir.Model:
    """Residual blocks of convolution, batch normalization and activation."""
    build = Builder(["batch", 4, 8, 8])
    rng = np.random.default_rng(0)
    value = build.input
    while len(build.nodes) < nodes:
        shortcut = value
        for _ in range(2):
            kernel = build.constant(rng.standard_normal((4, 4, 3, 3)).astype(np.float32))
            value = build.add("Conv", value, kernel, pads=[1, 1, 1, 1])
            terms = [build.constant(rng.random(4).astype(np.float32) + 0.5) for _ in range(4)]
            value = build.add("BatchNormalization", value, *terms)
            value = build.add("Relu", value)
        value = build.add("Add", value, shortcut)
    return build.model(value)


def shapes(nodes: int) -> ir.Model:
    """What exporters of dynamic models write: shapes taken apart and put together again."""
    build = Builder(["batch", 4, 8])
    value = build.input
    while len(build.nodes) < nodes:
        zero = build.constant(np.asarray([0], np.int64))
        size = build.add("Gather", build.add("Shape", value), zero, axis=0)
        rest = build.constant(np.asarray([32], np.int64))
        flat = build.add("Reshape", value, build.add("Concat", size, rest, axis=0))
        back = build.constant(np.asarray([-1, 4, 8], np.int64))
        value = build.add("Relu", build.add("Reshape", flat, back))
    return build.model(value)


SHAPES: dict[str, Callable[[int], ir.Model]] = {
    "chain": chain, "wide": wide, "cnn": cnn, "shapes": shapes,
}  # fmt: skip


def seconds_of(
    build: Callable[[int], ir.Model], nodes: int, repeat: int
) -> tuple[int, float, float]:
    """Return the nodes of a graph and the least processor and wall time of the pipeline."""
    passes = resolve_pipeline(load_registry(), DEFAULT_LEVEL, None, None, None, {})
    processor = wall = math.inf
    for _ in range(repeat):
        model = build(nodes)
        count = len(model.graph)
        start, start_wall = sum(os.times()[:4]), time.perf_counter()
        result = PassManager(passes, max_rounds=MAX_ROUNDS, check="end").run(model, PassContext())
        processor = min(processor, sum(os.times()[:4]) - start)
        wall = min(wall, time.perf_counter() - start_wall)
        rolled_back = [record.name for record in result.records if record.error]
        if rolled_back:
            raise SystemExit(f"rolled back: {rolled_back}")
    return count, processor, wall


def main() -> int:
    """Measure every shape; return 1 if one grows too fast or takes too long."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--most", type=int, default=AT_NODES)
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--shape", choices=sorted(SHAPES), action="append")
    options = parser.parse_args()
    gc.set_threshold(COLLECT_AFTER)
    sizes = [options.most // factor for factor in (16, 8, 4, 2, 1)]
    kept = True
    for name in options.shape or SHAPES:
        points = [seconds_of(SHAPES[name], size, options.repeat) for size in sizes]
        counts, seconds, walls = np.asarray(points).T
        exponent = float(np.polyfit(np.log(counts), np.log(seconds), 1)[0])
        kept = kept and exponent <= MOST_EXPONENT
        kept = kept and (counts[-1] > 1.1 * AT_NODES or walls[-1] <= MOST_SECONDS)
        listed = ", ".join(f"{count}: {second:.2f} s" for count, second, _ in points)
        print(f"{name:7s} exponent {exponent:.2f} (at most {MOST_EXPONENT})  {listed}")
        print(f"        {counts[-1]:.0f} nodes took {walls[-1]:.1f} s of wall time", flush=True)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
