"""Runs one peer on one model: ``python peers.py TOOL SOURCE RESULT NETWORK``.

Each is called as its own documentation has it for a file, with its defaults.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

_MODEL_TYPES = {"bert": "bert", "vit": "vit", "swin": "swin", "t5-decoder": "t5",
                "whisper-encoder": "bart"}  # fmt: skip


def _onnxslim(source: str, result: str, _: str) -> None:
    import onnxslim

    onnxslim.slim(source, result)


def _onnxsim(source: str, result: str, _: str) -> None:
    import onnx
    import onnxsim

    model, checked = onnxsim.simplify(source)
    if not checked:
        raise SystemExit("onnxsim's own check failed")
    large = model.ByteSize() >= onnx.checker.MAXIMUM_PROTOBUF
    onnx.save(model, result, save_as_external_data=large)


def _onnxscript(source: str, result: str, _: str) -> None:
    import onnx_ir as ir
    from onnxscript import optimizer

    model = ir.load(source)
    optimizer.optimize(model)
    ir.save(model, result, external_data=_external_data(source, result))


def _onnxoptimizer(source: str, result: str, _: str) -> None:
    import onnx
    import onnxoptimizer

    onnx.save(onnxoptimizer.optimize(onnx.load(source)), result)


def _olive(source: str, result: str, _: str) -> None:
    from olive.model import ONNXModelHandler
    from olive.passes.olive_pass import create_pass_from_dict
    from olive.passes.onnx.peephole_optimizer import OnnxPeepholeOptimizer

    optimizer = create_pass_from_dict(OnnxPeepholeOptimizer, {}, disable_search=True)
    written = Path(optimizer.run(ONNXModelHandler(source), result).model_path)
    if written != Path(result):
        written.rename(result)


def _onnxruntime(level: str) -> Callable[[str, str, str], None]:
    def optimize(source: str, result: str, _: str) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
        options.optimized_model_filepath = result
        ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])

    return optimize


def _transformers(source: str, result: str, network: str) -> None:
    from onnxruntime.transformers.optimizer import optimize_model

    optimize_model(source, _MODEL_TYPES.get(network, "bert")).save_model_to_file(result)


def _onnx_ir(source: str, result: str, _: str) -> None:
    import onnx_ir as ir

    ir.save(ir.load(source), result, external_data=_external_data(source, result))


def _external_data(source: str, result: str) -> str | None:
    large = Path(source).with_name(Path(source).name + ".data").exists()
    return Path(result).name + ".data" if large else None


_PEERS: Mapping[str, Callable[[str, str, str], None]] = {
    "onnxslim": _onnxslim,
    "onnxsim": _onnxsim,
    "onnxscript": _onnxscript,
    "onnxoptimizer": _onnxoptimizer,
    "olive": _olive,
    "ort-extended": _onnxruntime("ORT_ENABLE_EXTENDED"),
    "ort-all": _onnxruntime("ORT_ENABLE_ALL"),
    "ort-transformers": _transformers,
    "onnx-ir": _onnx_ir,
}

if __name__ == "__main__":
    logging.disable(logging.WARNING)
    tool, *arguments = sys.argv[1:]
    _PEERS[tool](*arguments)
