"""Looks at a result beside its source: ``python inspect_result.py SOURCE RESULT`` prints JSON.

``nodes`` counts every node of the graph, of its bodies and of its functions, those of Constant
included; ``error`` is the largest difference of an output from the source's, over that output's
largest value, in ONNX Runtime with its own optimizer off. Of a source, ``noise`` is that difference
between ONNX Runtime with its optimizer and without: what rewrites that are right in real
arithmetic do to it.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from graphs.check import outputs_of

from irconv.runtime.values import load_samples


def inspect(source: Path, result: Path) -> dict[str, Any]:
    """Return the figures of ``result``; with ``source`` as result, those of the source."""
    model = onnx.load(result, load_external_data=False)
    ops = Counter(_kinds(model))
    record: dict[str, Any] = {
        "nodes": ops.total(),
        "bytes": sum(path.stat().st_size for path in _files(result, model)),
        "ops": dict(ops.most_common()),
        "opsets": {entry.domain: entry.version for entry in model.opset_import},
        "checker": _check(result),
    }
    del model
    if result == source:
        record["noise"] = _error(source, source, optimized=True)
    else:
        record["error"] = _error(source, result)
    return record


def _kinds(model: onnx.ModelProto) -> Iterator[str]:
    waiting = [list(model.graph.node), *(list(function.node) for function in model.functions)]
    while waiting:
        for node in waiting.pop():
            yield f"{node.domain}::{node.op_type}" if node.domain else node.op_type
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    waiting.append(list(attribute.g.node))
                waiting.extend(list(graph.node) for graph in attribute.graphs)


def _files(path: Path, model: onnx.ModelProto) -> set[Path]:
    beside = {
        path.parent / entry.value
        for tensor in model.graph.initializer
        for entry in tensor.external_data
        if entry.key == "location"
    }
    return {path, *beside}


def _check(path: Path) -> str:
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except Exception as error:
        return str(error).strip().splitlines()[0][:200]
    return ""


def _error(source: Path, result: Path, *, optimized: bool = False) -> float | str:
    worst = 0.0
    try:
        for feed in load_samples(source.with_suffix(".npz")):
            results = outputs_of(result, feed, optimized=optimized)
            for want, got in zip(outputs_of(source, feed), results, strict=True):
                if want.shape != got.shape or want.dtype != got.dtype:
                    return f"{got.dtype}{list(got.shape)} for {want.dtype}{list(want.shape)}"
                scale = float(np.abs(want).max()) or 1.0
                difference = float(np.abs(want - got).max())
                worst = max(worst, difference / scale)
    except Exception as error:
        return str(error).strip().splitlines()[0][:200]
    return worst


if __name__ == "__main__":
    print(json.dumps(inspect(Path(sys.argv[1]), Path(sys.argv[2]))))
