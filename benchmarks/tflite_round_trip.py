"""The ONNX backend suite through the target ``tflite`` and back by the frontend ``tflite``.

Each case that the target takes is emitted as a TFLite file, imported, and run by ONNX Runtime;
its outputs must be what the suite expects, within the case's own tolerance, or else what LiteRT
makes of the file.

Usage: ``python benchmarks/tflite_round_trip.py [--only REGEX] [--kind node] [--json OUT]``
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
SUITE = ROOT / "tests" / "conformance"


def load_suite() -> dict[str, Any]:
    """Return the cases of the conformance suite by name."""
    spec = importlib.util.spec_from_file_location("suite", SUITE / "suite.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["suite"] = module
    spec.loader.exec_module(module)
    return module.load_suite()


def round_trip(case: Any, folder: Path) -> str:
    """Return ``pass`` or what went wrong."""
    import onnx
    import onnxruntime
    from irconv_tflite.backend import TfliteBackend

    import irconv.passes.base as passes
    from irconv.backends.base import EmitRequest
    from irconv.errors import IrconvError
    from irconv.frontends.base import ImportRequest
    from irconv.frontends.tflite import TfliteFrontend
    from irconv.graph.reading.load import load_model
    from irconv.graph.serialize import save_model
    from irconv.passes.manager import PassManager
    from irconv.passes.pipelines import build_pipeline
    from irconv.plugins import load_registry
    from irconv.worker import WorkerLimits

    source = folder / "source.onnx"
    onnx.save(case.model, source)
    backend = TfliteBackend()
    try:
        pipeline = build_pipeline(load_registry(), backend.legalization())
        context = passes.PassContext(abilities=backend.abilities())
        legalized = PassManager(pipeline).run(load_model(source).model, context).model
        if backend.check(legalized, {}):
            return "not emitted"
        backend.emit(legalized, folder, EmitRequest())
    except IrconvError:
        return "not emitted"
    scratch = folder / "import"
    scratch.mkdir()
    request = ImportRequest(directory=scratch, limits=WorkerLimits())
    try:
        imported = TfliteFrontend().load(str(folder / "model.tflite"), request)
    except IrconvError as error:
        return f"not imported: {error.what}"
    path = folder / "imported.onnx"
    save_model(imported.model, path)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    except Exception as error:
        return f"ONNX Runtime refuses it: {str(error)[:200]}"
    by_suite = compared(case, session, [expected for _, expected in case.samples()])
    if by_suite == "pass":
        return by_suite
    try:
        with imported.open_reference() as litert:
            expected = [list(litert.run(feeds).values()) for feeds, _ in case.samples()]
    except IrconvError as error:
        return f"LiteRT fails: {error.what}"
    verdict = compared(case, session, expected)
    return f"as LiteRT: {by_suite}" if verdict == "pass" else verdict


def compared(case: Any, session: Any, expectations: list[list[Any]]) -> str:
    rtol, atol = case.tolerance
    for (feeds, _), expected in zip(case.samples(), expectations, strict=True):
        kinds = {entry.name: entry.type for entry in session.get_inputs()}
        given = {name: value for name, value in feeds.items() if name in kinds}
        try:
            outputs = session.run(None, given)
        except Exception as error:
            return f"ONNX Runtime fails: {str(error)[:200]}"
        for entry, actual, wanted in zip(session.get_outputs(), outputs, expected, strict=False):
            wanted = np.asarray(wanted)
            if actual.shape != wanted.shape:
                return f"{entry.name}: shape {actual.shape}, not {wanted.shape}"
            if actual.dtype != wanted.dtype:
                actual = actual.astype(wanted.dtype)
            if wanted.dtype.kind in "fV":
                actual, wanted = actual.astype(np.float64), wanted.astype(np.float64)
                if not np.allclose(actual, wanted, rtol, atol, equal_nan=True):
                    return f"{entry.name}: off by {np.nanmax(np.abs(actual - wanted)):.3g}"
            elif not np.array_equal(actual, wanted):
                return f"{entry.name}: differs"
    return "pass"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help="Names of cases.")
    parser.add_argument("--kind", default="", help="node, simple, pytorch-operator, ...")
    parser.add_argument("--json", type=Path, help="Where to write the result of each case.")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    results: dict[str, str] = {}
    for name, case in load_suite().items():
        if not re.search(arguments.only, name) or not name.startswith(arguments.kind):
            continue
        with tempfile.TemporaryDirectory(prefix="irconv-round-trip-") as folder:
            results[name] = round_trip(case, Path(folder))
        if results[name] != "pass":
            print(f"{name}: {results[name]}", flush=True)
    counts = Counter(result.partition(":")[0] for result in results.values())
    print(dict(counts))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    emitted = len(results) - counts["not emitted"]
    print(f"{counts['pass']} of {emitted} emitted cases come back ({len(results)} in all)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
