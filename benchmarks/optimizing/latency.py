"""Times one model in ONNX Runtime: ``python latency.py MODEL SAMPLES off|default`` prints JSON.

One thread, the first sample, a warm-up and then runs for about a second and a half: the least and
the median processor seconds of a run. Other processes lengthen them less than the time that passes.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path

import onnxruntime as ort

from irconv.runtime.values import load_samples

_SECONDS, _LEAST_RUNS = 1.5, 5


def main() -> None:
    """Time the model that the command line names."""
    model, samples, level = sys.argv[1:]
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    if level == "off":
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    feed = load_samples(Path(samples))[0]
    for _ in range(2):
        session.run(None, feed)
    seconds: list[float] = []
    end = time.perf_counter() + _SECONDS
    while len(seconds) < _LEAST_RUNS or time.perf_counter() < end:
        start = time.thread_time()
        session.run(None, feed)
        seconds.append(time.thread_time() - start)
    print(json.dumps({"least": min(seconds), "median": statistics.median(seconds)}))


if __name__ == "__main__":
    main()
